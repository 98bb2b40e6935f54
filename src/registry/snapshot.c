#include "registry/answer.h"
#include "registry/room.h"

void snapshot_show(struct registry *registry, uint64_t revision)
{
    uint64_t shown = atomic_load(&registry->shown);

    while (shown < revision &&
           !atomic_compare_exchange_weak(&registry->shown, &shown, revision)) {
    }
}

uint64_t snapshot_newest(struct registry *registry)
{
    uint64_t shown = atomic_load(&registry->shown);
    uint64_t published = core_revision(registry->core);

    return shown > published ? shown : published;
}

int snapshot_begin(struct op_state *s, struct store_txn **ret_txn)
{
    return store_read_begin(s->reader, ret_txn);
}

int snapshot_run(struct op_state *s, snapshot_func *func, void *user)
{
    struct store_txn *txn = NULL;
    int r = store_read_begin(s->reader, &txn);

    if (r != 0) {
        return r;
    }
    do {
        r = func(s, txn, user);
    } while (r == ERR_RESTART);
    s->seen = *store_meta(txn);
    s->op->answer.revision = s->seen.revision;
    store_read_end(txn);
    if (r == ERR_FULL) {
        return answer_busy(s, "too many namespaces are being read at once");
    }
    return r;
}
