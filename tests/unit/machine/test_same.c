/* P2: the same log makes the same state, however its entries fall into
 * transactions, and also when a transaction was lost and applied again. */
#include <unistd.h>

#include "kit.h"

static uint64_t seed;

static uint64_t chance(uint64_t below)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (seed >> 33) % below;
}

static struct command any_row(struct kit *k, char fields[64])
{
    (void)snprintf(fields, 64, "\"name\":\"r%u\",\"v\":\"%u\"",
                   (unsigned)chance(12), (unsigned)chance(5));
    struct command c = kit_add(k, 2 + chance(6),
                               chance(2) ? "service" : "check", "name", fields);
    static const uint8_t modes[] = {ROW_ADD, ROW_REPLACE, ROW_PATCH};
    c.row_put.mode = modes[chance(3)];
    return c;
}

static struct command any_command(struct kit *k, char fields[64],
                                  struct command_row_item rows[4],
                                  struct command_leaf_item leaves[2])
{
    struct command c = {.kind = COMMAND_NS_CREATE};
    static char label[8];

    switch (chance(8)) {
    case 0:
        (void)snprintf(label, sizeof label, "n%u", (unsigned)chance(5));
        c.ns_create.parent = chance(2) ? STORE_ROOT : 3 + chance(4);
        c.ns_create.kind = (uint8_t)(STORE_LEAF + chance(2));
        c.ns_create.name = str_of(label);
        c.ns_create.first_id = kit_id(k);
        c.ns_create.n_ids = 100;
        k->ids += 100;
        return c;
    case 1:
        c.kind = COMMAND_ROWS_ADD;
        c.rows_add.ns = STORE_POOL;
        c.rows_add.type = STR("service");
        c.rows_add.key_field = STR("name");
        c.rows_add.rows = rows;
        c.rows_add.n_rows = 4;
        for (size_t i = 0; i < 4; i++) {
            static char texts[4][32];
            (void)snprintf(texts[i], sizeof texts[i], "\"name\":\"b%u\"",
                           (unsigned)chance(40));
            rows[i] = (struct command_row_item){
                .id = kit_id(k), .fields = str_of(texts[i]), .secret = STR("")};
        }
        return c;
    case 2:
        c.kind = COMMAND_AGENT_PUT;
        c.agent_put.hostname = chance(2) ? STR("web-1") : STR("web-2");
        c.agent_put.ttl_ms = 30000;
        c.agent_put.fields = chance(2)
                                 ? STR("\"hostname\":\"web-1\"")
                                 : STR("\"hostname\":\"web-1\",\"os\":\"x\"");
        c.agent_put.lease = kit_id(k);
        c.agent_put.pool_id = kit_id(k);
        c.agent_put.leaves = leaves;
        c.agent_put.n_leaves = chance(2);
        leaves[0] = (struct command_leaf_item){STORE_POOL, kit_id(k)};
        return c;
    case 3:
        c.kind = COMMAND_AGENT_DEL;
        c.agent_del.hostname = STR("web-1");
        return c;
    default:
        return any_row(k, fields);
    }
}

/* Entries 2 … n of a history, encoded once. */
static struct buf *make_history(struct kit *k, size_t n)
{
    struct buf *entries = mem_zero(n * sizeof *entries);

    for (size_t i = 0; i < n; i++) {
        char fields[64];
        struct command_row_item rows[4];
        struct command_leaf_item leaves[2];
        struct buf bytes = {0};
        struct command c = any_command(k, fields, rows, leaves);
        command_encode(&bytes, &c);
        command_pack_begin(&entries[i], k->now_ms + i, i);
        command_pack_add(&entries[i], buf_str(&bytes));
        command_pack_end(&entries[i]);
        buf_done(&bytes);
    }
    return entries;
}

static void apply_all(struct kit *k, const struct buf *entries, size_t n,
                      size_t per_commit, bool lose)
{
    for (size_t from = 0; from < n; from += per_commit) {
        size_t to = from + per_commit < n ? from + per_commit : n;
        for (int round = lose ? 0 : 1; round < 2; round++) {
            for (size_t i = from; i < to; i++) {
                assert_int_equal(
                    machine_apply(k->m, 2 + i, buf_str(&entries[i]), NULL), 0);
            }
            if (round == 0) {
                machine_abort(k->m);
            }
        }
        assert_int_equal(machine_commit(k->m), 0);
    }
}

static void digest(struct kit *k, uint8_t ret[32])
{
    char file[128];
    struct store_meta meta;

    (void)snprintf(file, sizeof file, "%s/copy", k->dir);
    assert_int_equal(store_copy(k->store, file), 0);
    assert_int_equal(store_digest_file(file, ret, &meta), 0);
    (void)unlink(file);
}

static void one_log_makes_one_state(void **state)
{
    enum { ENTRIES = 400 };

    (void)state;
    for (uint64_t s = 1; s <= 5; s++) {
        uint8_t first[32], other[32];
        seed = s;
        struct kit *a = kit_new(), *b = kit_new(), *c = kit_new();
        struct buf *entries = make_history(a, ENTRIES);
        apply_all(a, entries, ENTRIES, 1, false);
        apply_all(b, entries, ENTRIES, 37, false);
        apply_all(c, entries, ENTRIES, 11, true);
        assert_true(kit_meta(a).revision > 100);
        digest(a, first);
        digest(b, other);
        assert_memory_equal(first, other, sizeof first);
        digest(c, other);
        assert_memory_equal(first, other, sizeof first);
        for (size_t i = 0; i < ENTRIES; i++) {
            buf_done(&entries[i]);
        }
        mem_free(entries);
        kit_free(a);
        kit_free(b);
        kit_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_log_makes_one_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
