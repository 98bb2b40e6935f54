/* What of an event somebody may see: each is judged by what it is about, with
 * no look at the state. */
#include <stdio.h>

#include "registry/registry.h"

/* What is in no namespace has the root's path. */
static bool may_read(const struct access_who *who, const char *target,
                     struct str ns)
{
    return access_may(who, ACCESS_READ, str_of(target), ns);
}

/* Its path is known to whoever may read it, or anything below. */
static bool sees_ns(const struct access_who *who, struct str path)
{
    return path.n > 0 && (may_read(who, ACCESS_NS, path) ||
                          access_may_below(who, ACCESS_READ, path));
}

static enum registry_sight sees_tree(const struct access_who *who,
                                     const struct event *event)
{
    bool now = sees_ns(who, event->ns);

    if (event->old.n == 0) {
        return now ? SIGHT_WHOLE : SIGHT_NONE;
    }
    bool before = sees_ns(who, event->old);
    return now && before   ? SIGHT_WHOLE
           : now || before ? SIGHT_PART
                           : SIGHT_NONE;
}

static const struct {
    const char *op, *target;
} others[] = {
    {"breaker", ACCESS_CLUSTER},
    {"access", ACCESS_ACCESS},
    {"quota", ACCESS_NS},
};

/* What nobody has thought of is for who may see all there is to see. */
static bool sees_other(const struct access_who *who, const struct event *event)
{
    if (str_is(event->name, "type-put")) {
        return who->kind != ACCESS_ANONYMOUS;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (str_is(event->name, others[i].op)) {
            return may_read(who, others[i].target, event->ns);
        }
    }
    return may_read(who, ACCESS_ADMIN, event->ns);
}

enum registry_sight registry_sees(const struct access_who *who,
                                  const struct event *event)
{
    bool yes = false;

    switch (event->op) {
    case EVENT_PUT:
    case EVENT_DELETE:
        yes = access_may(who, ACCESS_READ, event->type, event->ns);
        break;
    case EVENT_NS_PUT:
    case EVENT_NS_DELETE:
        return who->kind == ACCESS_ANYONE ? SIGHT_WHOLE : sees_tree(who, event);
    case EVENT_RESTORE:
        yes = who->kind != ACCESS_ANONYMOUS;
        break;
    case EVENT_OTHER:
        yes = sees_other(who, event);
        break;
    }
    return who->kind == ACCESS_ANYONE || yes ? SIGHT_WHOLE : SIGHT_NONE;
}

void registry_event_part(const struct access_who *who,
                         const struct event *event, struct buf *out)
{
    bool came = sees_ns(who, event->ns);
    struct str path = came ? event->ns : event->old;
    char cause[32];
    const struct event_head head = {
        .revision = event->revision,
        .op = came ? "ns-put" : "ns-delete",
        .ns = path,
        .ns_id = event->ns_id,
        .cause = cause,
    };

    (void)snprintf(cause, sizeof cause, "%.*s", STR_ARG(event->cause));
    event_write_head(out, &head);
    buf_printf(out, ",\"kind\":\"%.*s\"", STR_ARG(event->kind));
    if (came) {
        buf_printf(out, ",\"old\":\"%.*s\"", STR_ARG(path));
    }
    event_write_end(out);
}
