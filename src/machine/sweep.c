/* What ends by itself: marks whose time is over, by the log's clock. The leader
 * proposes it when the first is due. */
#include "base/err.h"
#include "machine/apply.h"

/* A mark of a kind that has nothing to undo goes, and that is all. */
static int end_mark(struct apply *a, char kind, struct str name)
{
    switch (kind) {
    case STORE_MARK_MAINTENANCE:
        return maintenance_agent_due(a, name);
    case STORE_MARK_ROW:
        return maintenance_row_due(a, name);
    case STORE_MARK_FLAPPING:
        return flap_due(a, name);
    default:
        return store_mark_del(a->txn, kind, arena_str(a->arena, name));
    }
}

/* For the log of who proposed it: kind:1 length:2 name. */
static void note_end(struct apply *a, char kind, struct str name)
{
    struct buf *out = &a->res->detail;

    buf_add_char(out, kind);
    buf_add_le(out, name.n, 2);
    buf_add_str(out, name);
}

/* Each mark and each row that it changed count as one, large ones as several.
 */
int apply_sweep(struct apply *a, const struct command_sweep *c)
{
    uint64_t first = a->meta->revision, ended = 0;
    uint64_t ends_ms = 0;
    struct str name;
    char kind = 0;

    while (ended + a->gone + (a->meta->revision - first) < c->limit) {
        int r = store_mark_due(a->txn, a->meta->log_time_ms, &kind, &name,
                               &ends_ms);
        if (r == 0) {
            note_end(a, kind, name);
            r = end_mark(a, kind, name);
            ended++;
        } else if (r == ERR_END) {
            break;
        }
        if (r < 0) {
            return r;
        }
    }
    a->res->n = ended;
    a->res->revision = a->meta->revision;
    buf_clear(&a->res->row);
    return 0;
}
