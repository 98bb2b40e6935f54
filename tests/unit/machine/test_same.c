/* P2: the same log makes the same state, however its entries fall into
 * transactions and its commands into slices, and also when a transaction was
 * lost and applied again. */
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

    switch (chance(10)) {
    case 8:
        c.kind = COMMAND_LIST_PUT;
        c.list_put.ns = STORE_POOL;
        c.list_put.type = STR("service");
        c.list_put.key_field = STR("name");
        c.list_put.rows = rows;
        c.list_put.n_rows = chance(5);
        c.list_put.first_id = kit_id(k);
        k->ids += 4;
        for (size_t i = 0; i < c.list_put.n_rows; i++) {
            static char named[4][48];
            (void)snprintf(named[i], sizeof named[i],
                           "\"name\":\"b%u\",\"v\":\"%u\"", (unsigned)chance(9),
                           (unsigned)chance(3));
            rows[i] = (struct command_row_item){.fields = str_of(named[i]),
                                                .secret = STR("")};
        }
        return c;
    case 9: /* Also to a name that is there, or below itself. */
        (void)snprintf(label, sizeof label, "%.*sn%u", (int)chance(3), "xx",
                       (unsigned)chance(5));
        c.kind = COMMAND_NS_CHANGE;
        c.ns_change.id = 3 + chance(5);
        c.ns_change.what = chance(2) ? NS_NAME | NS_PARENT : NS_NAME;
        c.ns_change.name = str_of(label);
        c.ns_change.parent = chance(3) ? STORE_ROOT : 3 + chance(4);
        c.ns_change.comment = STR("");
        return c;
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

/* Sometimes what is open is lost in the middle of a command. */
static void apply_sliced(struct kit *k, const struct buf *entries, size_t n,
                         size_t per_commit)
{
    unsigned n_cut = 0;

    for (size_t from = 0; from < n; from += per_commit) {
        size_t to = from + per_commit < n ? from + per_commit : n;
        for (size_t i = from; i < to;) {
            machine_slice(k->m, 1 + chance(3));
            int r = machine_apply(k->m, 2 + i, buf_str(&entries[i]), NULL);
            assert_true(r == 0 || r == ERR_BUSY);
            n_cut += r == ERR_BUSY;
            i += r == 0;
            if (r == ERR_BUSY && chance(7) == 0) {
                machine_abort(k->m);
                i = from;
            }
        }
        assert_int_equal(machine_commit(k->m), 0);
    }
    assert_true(n_cut > n / 20);
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
        struct kit *d = kit_new();
        struct buf *entries = make_history(a, ENTRIES);
        apply_all(a, entries, ENTRIES, 1, false);
        apply_all(b, entries, ENTRIES, 37, false);
        apply_all(c, entries, ENTRIES, 11, true);
        apply_sliced(d, entries, ENTRIES, 5);
        assert_true(kit_meta(a).revision > 100);
        digest(a, first);
        digest(b, other);
        assert_memory_equal(first, other, sizeof first);
        digest(c, other);
        assert_memory_equal(first, other, sizeof first);
        digest(d, other);
        assert_memory_equal(first, other, sizeof first);
        for (size_t i = 0; i < ENTRIES; i++) {
            buf_done(&entries[i]);
        }
        mem_free(entries);
        kit_free(a);
        kit_free(b);
        kit_free(c);
        kit_free(d);
    }
}

/* ---- a disk that becomes full again and again ---- */

static void reopen(struct kit *k, uint64_t limit_bytes)
{
    const struct machine_hooks nobody = {.lease_user = NULL};
    const struct store_config config = {k->dir, limit_bytes, 8, 8};

    (void)store_reader_free(k->reader);
    (void)machine_free(k->m);
    k->store = store_close(k->store);
    assert_int_equal(store_open(&config, &k->store), 0);
    k->m = machine_new(k->store, k->cache, &nobody);
    assert_int_equal(machine_load(k->m), 0);
    assert_int_equal(store_reader_new(k->store, &k->reader), 0);
}

/* What commands kept aside until the commit may be what finds no room. */
static int apply_some(struct kit *k, const struct buf *entries, size_t from,
                      size_t to)
{
    for (size_t i = from; i < to; i++) {
        int r = machine_apply(k->m, 2 + i, buf_str(&entries[i]), NULL);
        if (r != 0) {
            machine_abort(k->m);
            return r;
        }
    }
    return machine_commit(k->m);
}

static unsigned apply_in_little_room(struct kit *k, const struct buf *entries,
                                     size_t n, size_t per_commit)
{
    enum { LEAST = 160 << 10, MORE = 16 << 10 };
    uint64_t limit = LEAST;
    unsigned n_full = 0;
    int r;

    reopen(k, limit);
    for (size_t from = 0; from < n; from += per_commit) {
        size_t to = from + per_commit < n ? from + per_commit : n;
        while ((r = apply_some(k, entries, from, to)) != 0) {
            assert_int_equal(r, ERR_DISK_FULL);
            assert_true(machine_view(k->m).applied == 1 + from);
            if (++n_full % 2 == 0) {
                reopen(k, limit += MORE);
            }
        }
    }
    return n_full;
}

static void a_full_disk_changes_nothing(void **state)
{
    enum { ENTRIES = 1500 };
    static const size_t per_commit[] = {1, 37, 400};
    uint8_t first[32], other[32];

    (void)state;
    seed = 21;
    struct kit *a = kit_new();
    struct buf *entries = make_history(a, ENTRIES);
    apply_all(a, entries, ENTRIES, 1, false);
    digest(a, first);
    for (size_t i = 0; i < 3; i++) {
        struct kit *b = kit_new();
        assert_true(apply_in_little_room(b, entries, ENTRIES, per_commit[i]) >
                    4);
        digest(b, other);
        assert_memory_equal(first, other, sizeof first);
        kit_free(b);
    }
    for (size_t i = 0; i < ENTRIES; i++) {
        buf_done(&entries[i]);
    }
    mem_free(entries);
    kit_free(a);
}

/* ---- a log with a restore in it ---- */

static struct buf make_restore(uint64_t revision, uint64_t time_ms)
{
    struct command c = {.kind = COMMAND_RESTORE};
    struct buf bytes = {0}, entry = {0};

    c.restore.file = STR("staged-1");
    c.restore.revision = revision;
    command_encode(&bytes, &c);
    command_pack_begin(&entry, time_ms, 1);
    command_pack_add(&entry, buf_str(&bytes));
    command_pack_end(&entry);
    buf_done(&bytes);
    return entry;
}

static void remove_next(const char *directory)
{
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

static void make_next(const char *directory, const char *file)
{
    char command[512];

    remove_next(directory);
    (void)snprintf(command, sizeof command,
                   "mkdir '%.160s' && cp '%.160s' '%.160s/data.mdb'", directory,
                   file, directory);
    assert_int_equal(system(command), 0);
}

/* What is cleared of the history before, while there is time, is no part of it.
 */
static void clear_history(const char *directory)
{
    struct store_config config = {directory, 64U << 20, 8, 8};
    struct store *store = NULL;
    struct store_txn *txn = NULL;

    assert_int_equal(store_open(&config, &store), 0);
    assert_int_equal(store_write_begin(store, &txn), 0);
    assert_int_equal(store_history_clear(txn), 0);
    assert_int_equal(store_write_commit(txn), 0);
    store_close(store);
}

static void restore(struct kit *k, uint64_t index, const struct buf *entry,
                    const char *file, bool prepared)
{
    char directory[160];
    struct store_next *next = NULL;
    struct machine_result result = {0};
    struct command_restore c;

    (void)snprintf(directory, sizeof directory, "%.60s/next", k->dir);
    make_next(directory, file);
    if (prepared) {
        clear_history(directory);
    }
    assert_true(command_pack_restores(buf_str(entry), &c));
    assert_true(machine_replaces(k->m, buf_str(entry)));
    assert_int_equal(store_next_open(k->store, directory, &next), 0);
    assert_int_equal(
        machine_restore(k->m, index, buf_str(entry), next, &result), 0);
    assert_int_equal(result.answer, 0);
    assert_true(result.changed && result.revision == c.revision);
    machine_result_done(&result);
    (void)store_next_close(machine_restored(k->m, next));
    remove_next(directory);
    assert_true(machine_view(k->m).applied == index);
    assert_true(machine_view(k->m).revision == c.revision);
    assert_false(machine_replaces(k->m, buf_str(entry)));
}

enum { BEFORE = 150, AFTER = 150, BACKUP_AT = 60 };

static void apply_with_restore(struct kit *k, const struct buf *entries,
                               const struct buf *entry, const char *file,
                               size_t per_commit, bool prepared)
{
    apply_all(k, entries, BEFORE, per_commit, per_commit == 7);
    restore(k, 2 + BEFORE, entry, file, prepared);
    for (size_t i = BEFORE; i < BEFORE + AFTER; i++) {
        assert_int_equal(machine_apply(k->m, 3 + i, buf_str(&entries[i]), NULL),
                         0);
        if (i % per_commit == 0) {
            assert_int_equal(machine_commit(k->m), 0);
        }
    }
    assert_int_equal(machine_commit(k->m), 0);
}

static void one_log_with_a_restore_makes_one_state(void **state)
{
    uint8_t first[32], other[32];
    char file[160];

    (void)state;
    seed = 11;
    struct kit *a = kit_new(), *b = kit_new(), *c = kit_new(), *d = kit_new();
    struct buf *entries = make_history(a, BEFORE + AFTER);
    struct buf entry = make_restore(COMMAND_RESTORE_STEP, a->now_ms + 9999999);
    apply_all(d, entries, BACKUP_AT, 10, false);
    (void)snprintf(file, sizeof file, "%.60s/backup", d->dir);
    assert_int_equal(store_copy(d->store, file), 0);
    apply_with_restore(a, entries, &entry, file, 1, true);
    apply_with_restore(b, entries, &entry, file, 13, false);
    apply_with_restore(c, entries, &entry, file, 7, true);
    digest(a, first);
    digest(b, other);
    assert_memory_equal(first, other, sizeof first);
    digest(c, other);
    assert_memory_equal(first, other, sizeof first);
    assert_true(kit_meta(a).revision > COMMAND_RESTORE_STEP);
    assert_true(kit_meta(a).log_time_ms == a->now_ms + 9999999);
    (void)unlink(file);
    for (size_t i = 0; i < BEFORE + AFTER; i++) {
        buf_done(&entries[i]);
    }
    mem_free(entries);
    buf_done(&entry);
    kit_free(a);
    kit_free(b);
    kit_free(c);
    kit_free(d);
}

/* In place, the state stays and counts as restored. */
static void a_restore_without_a_file_keeps_the_rows(void **state)
{
    struct kit *k = kit_new();
    struct command add =
        kit_add(k, STORE_POOL, "service", "name", "\"name\":\"a\"");
    struct command c = {.kind = COMMAND_RESTORE};

    (void)state;
    assert_int_equal(kit_do(k, &add), 0);
    const char *before = kit_list(k, STORE_POOL, "service");
    uint64_t epoch = kit_meta(k).lease_epoch;
    c.restore.file = STR("");
    c.restore.revision = kit_meta(k).revision;
    assert_int_equal(kit_do(k, &c), ERR_RETRY);
    c.restore.revision = COMMAND_RESTORE_STEP + 1;
    assert_int_equal(kit_do(k, &c), ERR_RETRY);
    c.restore.revision = COMMAND_RESTORE_STEP;
    assert_int_equal(kit_do(k, &c), 0);
    assert_string_equal(kit_list(k, STORE_POOL, "service"), before);
    struct store_meta meta = kit_meta(k);
    assert_true(meta.revision == COMMAND_RESTORE_STEP);
    assert_true(meta.tree_rev == meta.revision &&
                meta.types_rev == meta.revision);
    assert_true(meta.lease_epoch > epoch && meta.history_n == 1);
    assert_int_equal(kit_do(k, &c), ERR_RETRY);
    kit_free(k);
}

/* Whatever version applies the first command, and there is no way down. */
static void a_feature_level_begins_at_one_and_rises(void **state)
{
    static const uint64_t levels[][2] = {
        {0, 1}, {1, 1}, {2, 2}, {1, 2}, {2, 2}};
    struct kit *k = kit_new();
    struct command c = {.kind = COMMAND_FEATURE};

    (void)state;
    assert_true(kit_meta(k).feature_level == MACHINE_FEATURE_FIRST);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        uint64_t revision = kit_meta(k).revision;
        c.feature.level = levels[i][0];
        assert_int_equal(kit_do(k, &c), 0);
        assert_true(kit_meta(k).feature_level == levels[i][1]);
        assert_true(machine_view(k->m).feature_level == levels[i][1]);
        assert_true(kit_meta(k).revision == revision);
    }
    c = (struct command){.kind = COMMAND_RESTORE};
    c.restore.file = STR("");
    c.restore.revision = COMMAND_RESTORE_STEP;
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(kit_meta(k).feature_level == 2);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_log_makes_one_state),
        cmocka_unit_test(a_full_disk_changes_nothing),
        cmocka_unit_test(one_log_with_a_restore_makes_one_state),
        cmocka_unit_test(a_restore_without_a_file_keeps_the_rows),
        cmocka_unit_test(a_feature_level_begins_at_one_and_rises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
