#include "kit.h"

/* The log's time is 1000000 ms in the kit: 1970-01-01T00:16:40Z. */
#define HOUR 3600000
#define SAYS "\"_maintenance\":\"until 1970-01-01T01:16:40Z: a \\\"disk\\\"\""

static struct command agent(bool set)
{
    struct command c = {.kind = COMMAND_MAINT};

    c.maint.what = MAINT_AGENT;
    c.maint.set = set;
    c.maint.hostname = STR("web-1");
    c.maint.duration_ms = HOUR;
    c.maint.reason = STR("a \"disk\"");
    return c;
}

static struct command row(uint64_t ns, bool set, const char *reason)
{
    struct command c = {.kind = COMMAND_MAINT};

    c.maint.what = MAINT_ROW;
    c.maint.set = set;
    c.maint.ns = ns;
    c.maint.type = STR("service");
    c.maint.key_field = STR("name");
    c.maint.by_key = 1;
    c.maint.key = STR("http");
    c.maint.duration_ms = HOUR;
    c.maint.reason = str_of(reason);
    return c;
}

static struct kit *begun(uint64_t *ret_leaf)
{
    struct kit *k = kit_new();

    kit_rise(k, 2);
    *ret_leaf = kit_mkns(k, STORE_ROOT, STORE_LEAF, "web");
    return k;
}

static void add_service(struct kit *k, uint64_t ns)
{
    struct command c =
        kit_add(k, ns, "service", "name", "\"name\":\"http\",\"port\":\"80\"");

    assert_int_equal(kit_do(k, &c), 0);
}

static bool says(struct kit *k, uint64_t ns, const char *type, const char *what)
{
    return strstr(kit_list(k, ns, type), what) != NULL;
}

static uint64_t n_marks(struct kit *k, char kind)
{
    struct store_txn *txn;
    uint64_t n = 0;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(store_mark_count(txn, kind, &n), 0);
    store_read_end(txn);
    return n;
}

static void a_row_says_why_and_until_when(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);

    (void)state;
    add_service(k, leaf);
    struct command c = row(leaf, true, "a \"disk\"");
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(k->res.changed);
    assert_true(says(k, leaf, "service", SAYS));
    assert_string_equal(k->cause, "maintenance");
    assert_int_equal(machine_view(k->m).next_end_ms, 1000000 + HOUR);
    c = row(leaf, true, "");
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(says(k, leaf, "service",
                     "\"_maintenance\":\"until 1970-01-01T01:16:40Z\",\"_rev"));
    uint64_t revision = kit_meta(k).revision;
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(k->res.changed);
    assert_int_equal(kit_meta(k).revision, revision);
    c = row(leaf, false, "");
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(says(k, leaf, "service", "_maintenance"));
    assert_int_equal(n_marks(k, STORE_MARK_ROW), 0);
    assert_true(machine_view(k->m).next_end_ms == UINT64_MAX);
    kit_free(k);
}

static void what_is_not_there_or_is_ruled_out_is_refused(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);
    struct command c = row(leaf, true, "");

    (void)state;
    assert_int_equal(kit_do(k, &c), ERR_NOT_FOUND);
    add_service(k, leaf);
    c.maint.cond = COND_MATCH;
    c.maint.cond_revs = (struct str){"\1\0\0\0\0\0\0\0", 8};
    assert_int_equal(kit_do(k, &c), ERR_PRECONDITION);
    c = agent(true);
    assert_int_equal(kit_do(k, &c), ERR_NOT_FOUND);
    c = agent(false);
    assert_int_equal(kit_do(k, &c), ERR_NOT_FOUND);
    assert_int_equal(n_marks(k, STORE_MARK_ROW), 0);
    assert_int_equal(n_marks(k, STORE_MARK_MAINTENANCE), 0);
    kit_free(k);
}

/* Nodes that do not know it apply the same log. */
static void before_level_two_there_is_none(void **state)
{
    struct kit *k = kit_new();
    struct command c = agent(true);

    (void)state;
    assert_int_equal(kit_enrol(k, 0), 0);
    assert_int_equal(kit_do(k, &c), ERR_NOT_READY);
    assert_int_equal(n_marks(k, STORE_MARK_MAINTENANCE), 0);
    kit_free(k);
}

static void it_stays_when_the_row_is_written_and_follows_it(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);
    uint64_t other = kit_mkns(k, STORE_ROOT, STORE_LEAF, "other");

    (void)state;
    add_service(k, leaf);
    struct command c = row(leaf, true, "a \"disk\"");
    assert_int_equal(kit_do(k, &c), 0);
    c = kit_add(k, leaf, "service", "name", "\"port\":\"81\"");
    c.row_put.mode = ROW_PATCH;
    c.row_put.by_key = 1;
    c.row_put.key = STR("http");
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(says(k, leaf, "service", SAYS));
    assert_true(says(k, leaf, "service", "\"port\":\"81\""));
    struct command move = {.kind = COMMAND_ROW_MOVE};
    move.row_move = (struct command_row_move){.ns = leaf,
                                              .type = STR("service"),
                                              .key_field = STR("name"),
                                              .by_key = 1,
                                              .key = STR("http"),
                                              .to = other};
    assert_int_equal(kit_do(k, &move), 0);
    assert_true(says(k, other, "service", SAYS));
    assert_int_equal(n_marks(k, STORE_MARK_ROW), 1);
    move.row_move.ns = other;
    move.row_move.to = leaf;
    move.row_move.copy = 1;
    move.row_move.new_id = kit_id(k);
    assert_int_equal(kit_do(k, &move), 0);
    assert_false(says(k, leaf, "service", "_maintenance"));
    assert_int_equal(kit_sweep(k, 1000000 + HOUR, 10), 1);
    assert_false(says(k, other, "service", "_maintenance"));
    kit_free(k);
}

static void it_goes_with_the_row_and_with_its_namespace(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);

    (void)state;
    add_service(k, leaf);
    struct command c = row(leaf, true, "");
    assert_int_equal(kit_do(k, &c), 0);
    struct command del = {.kind = COMMAND_ROW_DELETE};
    del.row_delete = (struct command_row_delete){.ns = leaf,
                                                 .type = STR("service"),
                                                 .key_field = STR("name"),
                                                 .by_key = 1,
                                                 .key = STR("http")};
    assert_int_equal(kit_do(k, &del), 0);
    assert_int_equal(n_marks(k, STORE_MARK_ROW), 0);
    add_service(k, leaf);
    assert_int_equal(kit_do(k, &c), 0);
    struct command drop = {.kind = COMMAND_NS_DELETE,
                           .ns_delete = {.id = leaf, .recursive = 1}};
    assert_int_equal(kit_do(k, &drop), 0);
    uint64_t revision = kit_meta(k).revision;
    /* Due while it hangs under nothing: nobody is told. */
    assert_int_equal(kit_sweep(k, 1000000 + HOUR, 10), 1);
    assert_int_equal(kit_meta(k).revision, revision);
    struct command reclaim = {.kind = COMMAND_RECLAIM, .reclaim = {100}};
    assert_int_equal(kit_do(k, &reclaim), 0);
    assert_int_equal(n_marks(k, STORE_MARK_ROW), 0);
    kit_free(k);
}

static void an_agent_is_spared_and_all_its_rows_say_so(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);
    uint64_t late = kit_mkns(k, STORE_ROOT, STORE_LEAF, "late");

    (void)state;
    assert_int_equal(kit_enrol(k, leaf), 0);
    assert_false(k->spared);
    struct command c = agent(true);
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(k->spared);
    assert_true(says(k, leaf, "machine", SAYS));
    assert_int_equal(kit_expire(k), 0);
    assert_int_equal(kit_count(k, leaf, "machine"), 1);
    /* A placement that it gets later, and a registration. */
    assert_int_equal(kit_enrol(k, late), 0);
    assert_true(k->spared);
    assert_true(says(k, late, "machine", SAYS));
    c = agent(false);
    assert_int_equal(kit_do(k, &c), 0);
    assert_false(k->spared);
    assert_false(says(k, leaf, "machine", "_maintenance"));
    assert_false(says(k, late, "machine", "_maintenance"));
    assert_int_equal(kit_do(k, &c), 0); /* It is over already. */
    assert_false(k->res.changed);
    assert_int_equal(kit_expire(k), 1);
    kit_free(k);
}

static void it_holds_for_a_machine_that_was_away(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);
    struct command del = {.kind = COMMAND_AGENT_DEL,
                          .agent_del = {STR("web-1")}};

    (void)state;
    assert_int_equal(kit_enrol(k, leaf), 0);
    struct command c = agent(true);
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_do(k, &del), 0);
    assert_int_equal(kit_enrol(k, leaf), 0);
    assert_true(k->spared);
    assert_true(says(k, leaf, "machine", SAYS));
    assert_int_equal(kit_do(k, &del), 0);
    assert_int_equal(kit_sweep(k, 1000000 + HOUR, 10), 1);
    assert_int_equal(kit_enrol(k, leaf), 0);
    assert_false(k->spared);
    assert_false(says(k, leaf, "machine", "_maintenance"));
    kit_free(k);
}

/* A row that was there before the agent stays when the agent goes. */
static void a_row_that_stays_says_nothing_of_an_agent_that_left(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);
    struct command del = {.kind = COMMAND_AGENT_DEL,
                          .agent_del = {STR("web-1")}};

    (void)state;
    struct command c =
        kit_add(k, leaf, "machine", "hostname", "\"hostname\":\"web-1\"");
    assert_int_equal(kit_do(k, &c), 0);
    assert_int_equal(kit_enrol(k, leaf), 0);
    c = agent(true);
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(says(k, leaf, "machine", SAYS));
    assert_int_equal(kit_do(k, &del), 0);
    assert_int_equal(kit_count(k, leaf, "machine"), 1);
    assert_false(says(k, leaf, "machine", "_maintenance"));
    kit_free(k);
}

static struct ulid other_lease(struct kit *k)
{
    struct command c = {.kind = COMMAND_AGENT_PUT};

    c.agent_put.hostname = STR("db-1");
    c.agent_put.ttl_ms = 30000;
    c.agent_put.fields = STR("\"hostname\":\"db-1\"");
    c.agent_put.lease = kit_id(k);
    c.agent_put.pool_id = kit_id(k);
    assert_int_equal(kit_do(k, &c), 0);
    return k->res.id;
}

/* Another lease says when such a row goes: nothing follows it. */
static void
a_row_that_moves_away_from_its_agent_says_nothing_of_it(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);
    uint64_t away = kit_mkns(k, STORE_ROOT, STORE_LEAF, "away");
    struct ulid lease = other_lease(k);
    struct command add =
        kit_add(k, leaf, "machine", "hostname", "\"hostname\":\"web-1\"");
    struct command move = {.kind = COMMAND_ROW_MOVE};
    struct command set = agent(true);

    (void)state;
    add.row_put.has_lease = 1;
    add.row_put.lease = lease;
    assert_int_equal(kit_do(k, &add), 0);
    assert_int_equal(kit_enrol(k, leaf), 0);
    assert_int_equal(kit_do(k, &set), 0);
    assert_true(says(k, leaf, "machine", "_maintenance"));
    move.row_move.ns = leaf;
    move.row_move.type = STR("machine");
    move.row_move.key_field = STR("hostname");
    move.row_move.by_key = 1;
    move.row_move.key = STR("web-1");
    move.row_move.to = away;
    assert_int_equal(kit_do(k, &move), 0);
    assert_false(says(k, away, "machine", "_maintenance"));
    kit_free(k);
}

static void a_rows_own_comes_before_its_agents(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);

    (void)state;
    assert_int_equal(kit_enrol(k, leaf), 0);
    struct command own = row(leaf, true, "own");
    own.maint.type = STR("machine");
    own.maint.key_field = STR("hostname");
    own.maint.key = STR("web-1");
    own.maint.duration_ms = 60000;
    assert_int_equal(kit_do(k, &own), 0);
    struct command c = agent(true);
    assert_int_equal(kit_do(k, &c), 0);
    assert_true(says(k, leaf, "machine", ": own\""));
    assert_int_equal(kit_sweep(k, 1000000 + 60000, 10), 1);
    assert_true(says(k, leaf, "machine", SAYS));
    assert_string_equal(k->cause, "maintenance");
    k->now_ms = 1000000;
    assert_int_equal(kit_do(k, &own), 0);
    assert_true(says(k, leaf, "machine", ": own\""));
    assert_int_equal(kit_sweep(k, 1000000 + HOUR, 10), 2);
    assert_false(says(k, leaf, "machine", "_maintenance"));
    kit_free(k);
}

static void it_ends_by_itself_in_steps(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);
    char name[8];

    (void)state;
    for (int i = 0; i < 5; i++) {
        char fields[32];
        (void)snprintf(name, sizeof name, "s%d", i);
        (void)snprintf(fields, sizeof fields, "\"name\":\"%s\"", name);
        struct command c = kit_add(k, leaf, "service", "name", fields);
        assert_int_equal(kit_do(k, &c), 0);
        c = row(leaf, true, "");
        c.maint.key = str_of(name);
        assert_int_equal(kit_do(k, &c), 0);
    }
    assert_int_equal(kit_sweep(k, 1000000 + HOUR - 1, 100), 0);
    uint64_t revision = kit_meta(k).revision;
    assert_int_equal(kit_sweep(k, 1000000 + HOUR, 4), 2);
    assert_int_equal(kit_meta(k).revision, revision + 2);
    assert_int_equal(machine_view(k->m).next_end_ms, 1000000 + HOUR);
    assert_int_equal(kit_sweep(k, 1000000 + HOUR, 100), 3);
    assert_false(says(k, leaf, "service", "_maintenance"));
    assert_true(machine_view(k->m).next_end_ms == UINT64_MAX);
    kit_free(k);
}

/* A row that is as large as one may be. */
static void a_row_without_room_says_less_or_is_refused(void **state)
{
    uint64_t leaf;
    struct kit *k = begun(&leaf);
    struct buf fields = {0};
    static const size_t none = 0, some = 60;
    const size_t lefts[] = {some, none};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        buf_clear(&fields);
        buf_add_text(&fields, "\"a\":\"");
        while (fields.n <
               ROW_FIELDS_MAX - lefts[i] - sizeof "\",\"name\":\"http\"" + 1) {
            buf_add_char(&fields, 'x');
        }
        buf_add_text(&fields, "\",\"name\":\"http\"");
        struct command c =
            kit_add(k, leaf, "service", "name", buf_text(&fields));
        c.row_put.mode = ROW_REPLACE;
        c.row_put.by_key = 1;
        c.row_put.key = STR("http");
        assert_int_equal(kit_do(k, &c), 0);
        c = row(leaf, true, "a reason that is longer than the room");
        assert_int_equal(kit_do(k, &c), lefts[i] == none ? ERR_TOO_LARGE : 0);
        assert_int_equal(says(k, leaf, "service", "1970-01-01T01:16:40Z\",\"_"),
                         lefts[i] == some);
        c = row(leaf, false, "");
        assert_int_equal(kit_do(k, &c), 0);
    }
    assert_int_equal(n_marks(k, STORE_MARK_ROW), 0);
    buf_done(&fields);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_says_why_and_until_when),
        cmocka_unit_test(what_is_not_there_or_is_ruled_out_is_refused),
        cmocka_unit_test(before_level_two_there_is_none),
        cmocka_unit_test(it_stays_when_the_row_is_written_and_follows_it),
        cmocka_unit_test(it_goes_with_the_row_and_with_its_namespace),
        cmocka_unit_test(an_agent_is_spared_and_all_its_rows_say_so),
        cmocka_unit_test(it_holds_for_a_machine_that_was_away),
        cmocka_unit_test(a_row_that_stays_says_nothing_of_an_agent_that_left),
        cmocka_unit_test(
            a_row_that_moves_away_from_its_agent_says_nothing_of_it),
        cmocka_unit_test(a_rows_own_comes_before_its_agents),
        cmocka_unit_test(it_ends_by_itself_in_steps),
        cmocka_unit_test(a_row_without_room_says_less_or_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
