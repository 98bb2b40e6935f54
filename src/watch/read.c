#include "base/err.h"
#include "watch/inside.h"

bool watch_reaches(const struct store_meta *meta, uint64_t after)
{
    return meta->history_n == 0 ? after >= meta->revision
                                : after + 1 >= meta->history_first;
}

static int read_events(struct store_txn *txn, const struct watch_spec *spec,
                       uint64_t after, uint64_t most_bytes,
                       watch_read_func *func, void *user,
                       struct watch_reading *ret)
{
    uint64_t revision = store_meta(txn)->revision;
    struct event event;
    struct str text;
    uint64_t bytes = 0;
    int r = 0;

    ret->upto = after;
    while (bytes < most_bytes) {
        r = store_event_next(txn, ret->upto, &after, &text);
        if (r != 0) {
            break;
        }
        event_read(text, &event);
        if (event.op == EVENT_RESTORE) {
            ret->upto = revision;
            return ERR_NOT_FOUND;
        }
        ret->upto = after;
        bytes += text.n;
        if (watch_wants(spec, &event)) {
            func(user, &event);
        }
    }
    if (r != ERR_END) {
        return r;
    }
    ret->end = true;
    ret->upto = revision > ret->upto ? revision : ret->upto;
    return 0;
}

int watch_read(struct store_reader *reader, const struct watch_spec *spec,
               uint64_t after, uint64_t most_bytes, watch_read_func *func,
               void *user, struct watch_reading *ret)
{
    struct store_txn *txn = NULL;

    *ret = (struct watch_reading){0};
    int r = store_read_begin(reader, &txn);
    if (r != 0) {
        return r;
    }
    const struct store_meta *meta = store_meta(txn);
    ret->first = meta->history_first;
    if (watch_reaches(meta, after)) {
        r = read_events(txn, spec, after, most_bytes, func, user, ret);
    } else {
        ret->upto = meta->revision;
        r = ERR_NOT_FOUND;
    }
    store_read_end(txn);
    return r;
}
