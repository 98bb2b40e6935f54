#include "registry/answer.h"
#include "registry/room.h"

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
