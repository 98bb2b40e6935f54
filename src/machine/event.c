#include "model/event.h"

#include "base/err.h"
#include "machine/apply.h"

static int begin(struct apply *a, uint64_t revision, const char *op,
                 uint64_t ns, struct event_head *ret_head)
{
    *ret_head = (struct event_head){
        .revision = revision, .op = op, .ns_id = ns, .cause = a->cause};
    return apply_path(a, ns, &ret_head->ns);
}

static int keep(struct apply *a, uint64_t revision, struct buf *event)
{
    event_write_end(event);
    int r = store_event_put(a->txn, revision, buf_str(event));
    if (r == 0) {
        apply_event(a, buf_str(event));
    }
    buf_done(event);
    return r;
}

int event_row(struct apply *a, uint64_t revision, const char *op,
              const struct place *p, struct ulid id, struct str row,
              const struct held *old)
{
    struct event_head head;
    struct buf event = {0};
    struct str before = STR_NONE;

    int r = begin(a, revision, op, p->ns, &head);
    if (r != 0) {
        return r;
    }
    if (old != NULL && a->meta->feature_level >= MACHINE_FEATURE_CHANGES) {
        before = old->fields;
    }
    event_write_row(&event, &head, p->type, id, row, before);
    return keep(a, revision, &event);
}

/* All that was is void: of what is now there is no event each. */
int event_restore(struct apply *a, uint64_t revision)
{
    struct event_head head;
    struct buf event = {0};

    int r = begin(a, revision, "restore", STORE_ROOT, &head);
    if (r != 0) {
        return r;
    }
    event_write_head(&event, &head);
    return keep(a, revision, &event);
}

/* Before there were watchers it had no namespace, and nobody is told of those.
 */
int event_type(struct apply *a, uint64_t revision, struct str type)
{
    struct event_head head;
    struct buf event = {0};

    int r = begin(a, revision, "type-put", STORE_ROOT, &head);
    if (r != 0) {
        return r;
    }
    if (a->meta->feature_level >= MACHINE_FEATURE_CHANGES) {
        event_write_head(&event, &head);
        buf_printf(&event, ",\"type\":\"%.*s\"", STR_ARG(type));
    } else {
        buf_printf(&event,
                   "{\"revision\":%llu,\"op\":\"type-put\",\"type\":\"%.*s\","
                   "\"cause\":\"%s\"",
                   (unsigned long long)revision, STR_ARG(type), a->cause);
    }
    return keep(a, revision, &event);
}

int event_ns(struct apply *a, uint64_t revision, const char *op,
             const struct store_node *node, struct str path,
             struct str old_path)
{
    const struct event_head head = {.revision = revision,
                                    .op = op,
                                    .ns = path,
                                    .ns_id = node->id,
                                    .cause = a->cause};
    struct buf event = {0};

    event_write_head(&event, &head);
    buf_printf(&event, ",\"kind\":\"%s\"",
               node->kind == STORE_LEAF ? "leaf" : "branch");
    if (old_path.n > 0) {
        buf_printf(&event, ",\"old\":\"%.*s\"", STR_ARG(old_path));
    }
    return keep(a, revision, &event);
}

int event_access(struct apply *a, uint64_t revision, const char *what,
                 struct str name, bool gone)
{
    struct event_head head;
    struct buf event = {0};

    int r = begin(a, revision, "access", STORE_ROOT, &head);
    if (r != 0) {
        return r;
    }
    event_write_access(&event, &head, what, name, gone);
    return keep(a, revision, &event);
}

int event_quota(struct apply *a, uint64_t revision, uint64_t ns,
                const struct machine_quota *quota)
{
    struct event_head head;
    struct buf event = {0};

    int r = begin(a, revision, "quota", ns, &head);
    if (r != 0) {
        return r;
    }
    event_write_head(&event, &head);
    buf_printf(&event, ",\"what\":\"%s\",\"state\":\"%s\",\"used\":",
               access_quota_what_name(quota->what),
               access_quota_state_name(quota->state));
    buf_add_u64(&event, quota->used);
    if (quota->warn != ACCESS_QUOTA_NONE) {
        buf_add_text(&event, ",\"warn\":");
        buf_add_u64(&event, quota->warn);
    }
    if (quota->refuse != ACCESS_QUOTA_NONE) {
        buf_add_text(&event, ",\"refuse\":");
        buf_add_u64(&event, quota->refuse);
    }
    return keep(a, revision, &event);
}

int event_breaker(struct apply *a, uint64_t revision,
                  const struct machine_breaker *breaker)
{
    static const char *const states[] = {[MACHINE_BREAKER_CLOSED] = "closed",
                                         [MACHINE_BREAKER_HELD] = "held",
                                         [MACHINE_BREAKER_PACING] = "pacing"};
    struct event_head head;
    struct buf event = {0};

    int r = begin(a, revision, "breaker",
                  breaker->scope == 0 ? STORE_ROOT : breaker->scope, &head);
    if (r != 0) {
        return r;
    }
    event_write_head(&event, &head);
    buf_printf(&event,
               ",\"state\":\"%s\",\"since_ms\":", states[breaker->state]);
    buf_add_u64(&event, breaker->since_ms);
    buf_add_text(&event, ",\"until_ms\":");
    buf_add_u64(&event, breaker->until_ms);
    buf_add_text(&event, ",\"leases\":");
    buf_add_u64(&event, breaker->n);
    buf_add_text(&event, ",\"suspect\":");
    buf_add_u64(&event, breaker->bad);
    return keep(a, revision, &event);
}
