/* What is there, told in parts while it changes. */
#include "kit.h"
#include "model/row.h"

enum { SPACES = 40, ROWS = 20, FIRST = 3 };

struct kit {
    struct kit_store bed;
    struct watch_initial initial;
    /* What a client would have: the revision of each row; 0: none. */
    uint64_t rows[SPACES][2 * ROWS];
    size_t told, changed;
    uint64_t wrong;
};

static int set_up(void **state)
{
    struct kit *k = mem_zero(sizeof *k);

    kit_store_open(&k->bed);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *k = *state;

    kit_store_close(&k->bed);
    (void)mem_free(k);
    return 0;
}

/* ---- a registry: the root, and leaves below it ---- */

static struct store_txn *begin(struct kit *k)
{
    struct store_txn *txn = NULL;

    assert_int_equal(store_write_begin(k->bed.store, &txn), 0);
    store_meta(txn)->history_limit = 100000;
    return txn;
}

static void put_node(struct store_txn *txn, uint64_t id, uint64_t parent,
                     struct str name, uint64_t n_children)
{
    const struct store_node node = {.id = id,
                                    .parent = parent,
                                    .kind = n_children > 0 ? STORE_BRANCH
                                                           : STORE_LEAF,
                                    .created_rev = 1,
                                    .n_children = n_children,
                                    .name = name};

    assert_int_equal(store_node_put(txn, &node), 0);
}

static struct str name_of(struct kit *k, unsigned space)
{
    return arena_printf(k->bed.arena, "s%u", space);
}

static struct ulid id_of(unsigned row)
{
    return (struct ulid){{1, (uint8_t)row}};
}

static void event(struct kit *k, struct store_txn *txn, const char *op,
                  unsigned space, unsigned row, struct str text)
{
    struct str ns =
        arena_printf(k->bed.arena, "%.*s.roster", STR_ARG(name_of(k, space)));
    const struct event_head head = {.revision = store_meta(txn)->revision,
                                    .op = op,
                                    .ns = ns,
                                    .ns_id = FIRST + space,
                                    .cause = "api"};
    struct buf out = {0};

    event_write_row(&out, &head, STR("t"), id_of(row), text, STR_NONE);
    event_write_end(&out);
    assert_int_equal(store_event_put(txn, head.revision, buf_str(&out)), 0);
    buf_done(&out);
}

static void put_row(struct kit *k, struct store_txn *txn, unsigned space,
                    unsigned row)
{
    uint64_t revision = ++store_meta(txn)->revision;
    struct buf text = {0};

    row_write(&text, id_of(row), revision, NULL, STR("\"a\":\"1\""));
    assert_int_equal(store_row_put(txn, FIRST + space, STR("t"), id_of(row),
                                   buf_str(&text), STR_NONE, STR_NONE, STR_NONE,
                                   revision),
                     0);
    event(k, txn, "put", space, row, buf_str(&text));
    buf_done(&text);
}

static void del_row(struct kit *k, struct store_txn *txn, unsigned space,
                    unsigned row)
{
    uint64_t revision = store_meta(txn)->revision + 1;
    struct buf text = {0};

    row_write(&text, id_of(row), revision, NULL, STR("\"a\":\"1\""));
    if (store_row_del(txn, FIRST + space, STR("t"), id_of(row), STR_NONE,
                      revision) == 0) {
        store_meta(txn)->revision = revision;
        event(k, txn, "delete", space, row, buf_str(&text));
    }
    buf_done(&text);
}

static void make(struct kit *k)
{
    struct store_txn *txn = begin(k);

    put_node(txn, STORE_ROOT, 0, STR("roster"), SPACES);
    for (unsigned space = 0; space < SPACES; space++) {
        put_node(txn, FIRST + space, STORE_ROOT, name_of(k, space), 0);
        for (unsigned row = 0; row < ROWS; row++) {
            put_row(k, txn, space, 2 * row);
        }
    }
    store_meta(txn)->next_ns = FIRST + SPACES;
    assert_int_equal(store_write_commit(txn), 0);
}

/* ---- a client ---- */

static void follow(void *user, const struct event *e)
{
    struct kit *k = user;
    bool initial = str_is(e->cause, "initial");
    struct ulid id;

    if (e->type.n == 0) {
        return;
    }
    assert_int_equal(ulid_parse(e->id, &id), 0);
    uint64_t *row = &k->rows[e->ns_id - FIRST][id.b[1]];
    k->told += initial;
    k->changed += !initial;
    if (e->op == EVENT_DELETE) {
        k->wrong += *row == 0; /* never told */
        *row = 0;
    } else {
        k->wrong += *row >= e->revision || (initial && *row != 0);
        *row = e->revision;
    }
}

static bool read_some(struct kit *k, const struct watch_spec *spec,
                      uint64_t bytes)
{
    bool end = false;

    assert_int_equal(watch_initial_read(k->bed.reader, spec, &k->initial, bytes,
                                        follow, k, &end),
                     0);
    return end;
}

static void expect_as_stored(struct kit *k)
{
    struct store_txn *txn = NULL;

    assert_int_equal(k->wrong, 0);
    for (unsigned space = 0; space < SPACES; space++) {
        assert_int_equal(store_read_begin(k->bed.reader, &txn), 0);
        while (store_use(txn, FIRST + space) == ERR_RESTART) {
        }
        for (unsigned row = 0; row < 2 * ROWS; row++) {
            uint64_t revision = 0;
            struct str text, fields;
            struct ulid id;
            if (store_row_get(txn, FIRST + space, STR("t"), id_of(row), &text,
                              NULL) == 0) {
                row_split(text, &id, &revision, NULL, &fields);
            }
            assert_int_equal(k->rows[space][row], revision);
        }
        store_read_end(txn);
    }
}

/* ---- tests ---- */

static void all_that_is_there_is_told_once(void **state)
{
    struct kit *k = *state;
    const struct watch_spec spec = {.ns = STR("roster"), .type = STR("")};
    unsigned parts = 1;

    make(k);
    while (!read_some(k, &spec, 500)) {
        parts++;
    }
    assert_true(parts > SPACES);
    assert_int_equal(k->told, SPACES * ROWS);
    assert_int_equal(k->changed, 0);
    assert_int_equal(k->initial.revision, SPACES * ROWS);
    expect_as_stored(k);
}

static void one_leaf_is_told_without_the_others(void **state)
{
    struct kit *k = *state;
    const struct watch_spec spec = {.ns = STR("s7.roster"), .type = STR("t")};

    make(k);
    assert_true(read_some(k, &spec, 1 << 20));
    assert_int_equal(k->told, ROWS);
    assert_int_equal(k->rows[6][0], 0);
}

static void a_filter_lets_through_what_fits(void **state)
{
    struct kit *k = *state;
    const struct watch_spec none = {
        .ns = STR("roster"), .type = STR(""), .k = STR("a"), .v = STR("2")};

    make(k);
    while (!read_some(k, &none, 4000)) {
    }
    assert_int_equal(k->told, 0);
}

/* Rows come and go everywhere between the parts: before, in and behind the
 * place that was reached. */
static void what_changes_meanwhile_is_neither_lost_nor_doubled(void **state)
{
    struct kit *k = *state;
    const struct watch_spec spec = {.ns = STR("roster"), .type = STR("t")};
    unsigned seed = 7;

    make(k);
    while (!read_some(k, &spec, 3000)) {
        struct store_txn *txn = begin(k);
        for (int i = 0; i < 8; i++) {
            seed = seed * 1103515245 + 12345;
            unsigned space = (seed >> 8) % SPACES;
            unsigned row = (seed >> 16) % (2 * ROWS);
            if ((seed >> 30) % 2 == 0) {
                put_row(k, txn, space, row);
            } else {
                del_row(k, txn, space, row);
            }
        }
        assert_int_equal(store_write_commit(txn), 0);
    }
    assert_true(k->changed > SPACES);
    expect_as_stored(k);
}

static void
a_namespace_that_is_born_meanwhile_is_told_by_its_events(void **state)
{
    struct kit *k = *state;
    const struct watch_spec spec = {.ns = STR("roster"), .type = STR("t")};
    struct store_txn *txn;

    make(k);
    txn = begin(k);
    store_meta(txn)->next_ns = FIRST + SPACES - 1; /* the last is to come */
    assert_int_equal(store_write_commit(txn), 0);
    assert_false(read_some(k, &spec, 500));
    txn = begin(k);
    put_row(k, txn, SPACES - 1, 1);
    assert_int_equal(store_write_commit(txn), 0);
    while (!read_some(k, &spec, 5000)) {
    }
    assert_int_equal(k->changed, 1);
    assert_int_not_equal(k->rows[SPACES - 1][1], 0);
}

static void who_is_too_slow_for_the_history_begins_anew(void **state)
{
    struct kit *k = *state;
    const struct watch_spec spec = {.ns = STR("roster"), .type = STR("t")};
    bool end = false;

    make(k);
    assert_false(read_some(k, &spec, 500));
    struct store_txn *txn = begin(k);
    store_meta(txn)->revision += 100;
    assert_int_equal(store_history_clear(txn), 0);
    assert_int_equal(store_write_commit(txn), 0);
    assert_int_equal(watch_initial_read(k->bed.reader, &spec, &k->initial, 500,
                                        follow, k, &end),
                     ERR_NOT_FOUND);
}

static void where_nothing_is_nothing_is_told(void **state)
{
    struct kit *k = *state;
    const struct watch_spec spec = {.ns = STR("no.roster"), .type = STR("t")};

    make(k);
    assert_true(read_some(k, &spec, 500));
    assert_int_equal(k->told, 0);
    assert_int_equal(k->initial.revision, SPACES * ROWS);
}

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(all_that_is_there_is_told_once),
        WITH_STORE(one_leaf_is_told_without_the_others),
        WITH_STORE(a_filter_lets_through_what_fits),
        WITH_STORE(what_changes_meanwhile_is_neither_lost_nor_doubled),
        WITH_STORE(a_namespace_that_is_born_meanwhile_is_told_by_its_events),
        WITH_STORE(who_is_too_slow_for_the_history_begins_anew),
        WITH_STORE(where_nothing_is_nothing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
