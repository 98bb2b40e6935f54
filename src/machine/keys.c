#include "base/err.h"
#include "machine/apply.h"

/* What is remembered of an answer; the numbers little-endian.
 *
 *   offset size  what
 *   0      1     format (1)
 *   1      1     flags: 1 created, 2 changed
 *   2      2     zero
 *   4      4     answer
 *   8      8     revision
 *   16     8     first revision
 *   24     8     rows
 *   32     8     namespace
 *   40     4     index
 *   44     4     zero
 *   48     16    id
 *   64     32    hash of the request
 *   96     …     detail */
enum { RECORD_FORMAT = 1, RECORD_HEAD = 96, CREATED = 1, CHANGED = 2 };

static void read_record(struct str record, struct machine_result *res)
{
    uint8_t flags = (uint8_t)record.p[1];

    res->created = (flags & CREATED) != 0;
    res->changed = (flags & CHANGED) != 0;
    res->replayed = true;
    res->answer = (int)le_get(record.p + 4, 4);
    res->revision = le_get(record.p + 8, 8);
    res->first_rev = le_get(record.p + 16, 8);
    res->n = le_get(record.p + 24, 8);
    res->ns = le_get(record.p + 32, 8);
    res->index = (uint32_t)le_get(record.p + 40, 4);
    memcpy(res->id.b, record.p + 48, sizeof res->id.b);
    buf_clear(&res->detail);
    buf_add(&res->detail, record.p + RECORD_HEAD, record.n - RECORD_HEAD);
}

int key_look(struct apply *a, const struct command *c,
             enum key_state *ret_state)
{
    struct str record;

    int r = store_key_get(a->txn, c->key_hash, &record);
    if (r == ERR_NOT_FOUND) {
        *ret_state =
            a->meta->n_keys >= MACHINE_KEYS_MOST ? KEY_NO_ROOM : KEY_NEW;
        return 0;
    }
    if (r != 0) {
        return r;
    }
    if (record.n < RECORD_HEAD || record.p[0] != RECORD_FORMAT) {
        return err_raise(ERR_CORRUPT);
    }
    if (memcmp(record.p + 64, c->request_hash, sizeof c->request_hash) != 0) {
        *ret_state = KEY_OTHER;
        return 0;
    }
    read_record(record, a->res);
    *ret_state = KEY_SEEN;
    return 0;
}

int key_keep(struct apply *a, const struct command *c, int answer)
{
    const struct machine_result *res = a->res;
    struct buf out = {0};

    buf_add_le(&out, RECORD_FORMAT, 1);
    buf_add_le(
        &out, (res->created ? CREATED : 0U) | (res->changed ? CHANGED : 0U), 1);
    buf_add_le(&out, 0, 2);
    buf_add_le(&out, (uint64_t)answer, 4);
    buf_add_le(&out, res->revision, 8);
    buf_add_le(&out, res->first_rev, 8);
    buf_add_le(&out, res->n, 8);
    buf_add_le(&out, res->ns, 8);
    buf_add_le(&out, res->index, 4);
    buf_add_le(&out, 0, 4);
    buf_add(&out, res->id.b, sizeof res->id.b);
    buf_add(&out, c->request_hash, sizeof c->request_hash);
    buf_add_str(&out, buf_str(&res->detail));
    int r = store_key_put(a->txn, c->key_hash,
                          a->meta->log_time_ms + MACHINE_KEY_LIFE_MS,
                          buf_str(&out));
    buf_done(&out);
    return r;
}
