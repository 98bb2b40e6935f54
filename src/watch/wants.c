/* Who wants to know of an event: the one place that decides it. */
#include "model/row.h"
#include "watch/inside.h"

bool watch_is_below(struct str path, struct str top)
{
    return path.n >= top.n &&
           memcmp(path.p + path.n - top.n, top.p, top.n) == 0 &&
           (path.n == top.n || path.p[path.n - top.n - 1] == '.');
}

static bool fits(const struct watch_spec *spec, struct str raw)
{
    struct buf plain = {0};
    struct str text = raw;

    if (raw.p == NULL) {
        return false;
    }
    if (raw.n > 0 && memchr(raw.p, '\\', raw.n) != NULL) {
        row_unescape(&plain, raw);
        text = buf_str(&plain);
    }
    bool yes = pattern_plain(spec->mode, spec->v, text);
    buf_done(&plain);
    return yes;
}

static bool any_fits(const struct watch_spec *spec, struct str fields)
{
    struct str key, value;

    for (size_t at = 0; row_next(fields, &at, &key, &value);) {
        if (fits(spec, value)) {
            return true;
        }
    }
    return false;
}

/* As it is, or as it was: who watches a set of rows has to learn that one has
 * left it. */
static bool row_fits(const struct watch_spec *spec, const struct event *event)
{
    if (spec->v.p == NULL && spec->k.n == 0) {
        return true;
    }
    if (spec->k.n == 0) {
        return any_fits(spec, event->fields) || any_fits(spec, event->was);
    }
    if (spec->v.p == NULL) {
        return row_get(event->fields, spec->k).p != NULL ||
               event_old_value(event, spec->k).p != NULL;
    }
    return fits(spec, row_get(event->fields, spec->k)) ||
           (event->was.n > 0 && fits(spec, event_old_value(event, spec->k)));
}

/* Rows that come or go with a namespace have no events of their own. */
static bool is_around(const struct watch_spec *spec, struct str path)
{
    return watch_is_below(path, spec->ns) || watch_is_below(spec->ns, path);
}

bool watch_moves_rows(const struct event *event)
{
    return event->op == EVENT_NS_DELETE ||
           (event->op == EVENT_NS_PUT && event->old.n > 0);
}

bool watch_wants(const struct watch_spec *spec, const struct event *event)
{
    if (event->op == EVENT_RESTORE) {
        return true;
    }
    if (watch_moves_rows(event)) {
        return is_around(spec, event->ns) ||
               (event->old.n > 0 && is_around(spec, event->old));
    }
    if (!watch_is_below(event->ns, spec->ns)) {
        return false;
    }
    if (event->type.n == 0) {
        return spec->type.n == 0 && spec->k.n == 0 && spec->v.p == NULL;
    }
    return (spec->type.n == 0 || str_equal(spec->type, event->type)) &&
           row_fits(spec, event);
}
