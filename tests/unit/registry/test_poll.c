/* Reads with ?since=: what parks them, on what, and what does not. */
#include "kit.h"

static uint64_t ahead_ms;
uint64_t __real_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void)
{
    return __real_clock_mono_ms() + ahead_ms;
}

static int set_up(void **state)
{
    struct kit *k = kit_new();

    for (int i = 0; i < 2; i++) {
        assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL,
                                i == 0 ? "{\"parent\":\"roster\",\"name\":"
                                         "\"web\",\"kind\":\"leaf\"}"
                                       : "{\"parent\":\"roster\",\"name\":"
                                         "\"db\",\"kind\":\"leaf\"}"),
                         OP_CREATED);
    }
    assert_int_equal(kit_do(k, OP_LIST_ADD, "web.roster", "service", NULL,
                            "{\"name\":\"a\",\"os\":\"deb\"}"),
                     OP_CREATED);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    return 0;
}

static uint64_t now(const struct kit *k)
{
    return k->core.status.revision;
}

static struct op *poll_list(struct kit *k, uint64_t since)
{
    struct op *op = kit_op(k, OP_LIST_GET, "web.roster", "service", NULL, NULL);

    op->query.has_since = true;
    op->query.since = since;
    return op;
}

static struct op *poll_search(struct kit *k, const char *ns, uint64_t since)
{
    struct op *op = kit_op(k, OP_SEARCH, NULL, NULL, NULL, NULL);

    op->query.ns = str_of(ns);
    op->query.has_since = true;
    op->query.since = since;
    return op;
}

static enum op_step step(struct kit *k)
{
    return registry_run(k->registry, &k->op, k->reader);
}

static void add(struct kit *k, const char *ns, const char *body)
{
    assert_int_equal(kit_do(k, OP_LIST_ADD, ns, "service", NULL, body),
                     OP_CREATED);
}

static void expect(struct str got, const char *wanted)
{
    assert_int_equal(got.n, strlen(wanted));
    assert_memory_equal(got.p, wanted, got.n);
}

static void a_list_is_parked_while_there_is_nothing_newer(void **state)
{
    struct kit *k = *state;
    uint64_t seen = now(k);

    (void)poll_list(k, seen);
    assert_int_equal(step(k), OP_PARK);
    const struct op_watch *watch = k->op.answer.watch;
    expect(watch->spec.ns, "web.roster");
    expect(watch->spec.type, "service");
    assert_true(watch->exact && watch->spec.v.p == NULL);
    assert_int_equal(watch->from, seen);
    add(k, "db.roster", "{\"name\":\"x\"}");
    (void)poll_list(k, seen);
    assert_int_equal(step(k), OP_PARK);
    assert_int_equal(k->op.answer.watch->from, now(k));
    add(k, "web.roster", "{\"name\":\"b\"}");
    (void)poll_list(k, seen);
    assert_int_equal(step(k), OP_DONE);
    assert_int_equal(k->op.answer.code, OP_OK);
    assert_int_equal(k->op.answer.etag, now(k));
}

static void a_cached_list_is_only_looked_at(void **state)
{
    struct kit *k = *state;

    for (int i = 0; i < 2; i++) {
        (void)kit_do(k, OP_LIST_GET, "web.roster", "service", NULL, NULL);
    }
    struct cache_stats before = cache_stats(k->cache);
    (void)poll_list(k, now(k));
    assert_int_equal(step(k), OP_PARK);
    assert_null(k->op.answer.list);
    assert_int_equal(k->op.answer.body.n, 0);
    struct cache_stats after = cache_stats(k->cache);
    assert_int_equal(after.hits, before.hits + 1);
    assert_int_equal(after.bytes, before.bytes);
}

static void pages_and_projections_park_like_their_list(void **state)
{
    struct kit *k = *state;

    poll_list(k, now(k))->query.limit = 1;
    assert_int_equal(step(k), OP_PARK);
    poll_list(k, now(k))->query.fields = STR("name");
    assert_int_equal(step(k), OP_PARK);
    poll_list(k, now(k) - 1)->query.fields = STR("name");
    assert_int_equal(step(k), OP_DONE);
    assert_true(kit_says(k, "\"name\":\"a\""));
}

static void one_whose_time_is_over_gets_what_there_is(void **state)
{
    struct kit *k = *state;

    poll_list(k, now(k))->expired = true;
    assert_int_equal(step(k), OP_DONE);
    assert_true(kit_says(k, "\"name\":\"a\""));
    poll_list(k, UINT64_C(1) << 50)->expired = true;
    assert_int_equal(step(k), OP_DONE);
    assert_int_equal(k->op.answer.code, OP_OK);
}

static void a_namespace_that_is_not_there_parks_nobody(void **state)
{
    struct kit *k = *state;

    poll_list(k, now(k))->ns = STR("none.roster");
    assert_int_equal(step(k), OP_DONE);
    assert_int_equal(k->op.answer.code, OP_NOT_FOUND);
    (void)poll_search(k, "none.roster", now(k));
    assert_int_equal(step(k), OP_DONE);
    assert_int_equal(k->op.answer.code, OP_NOT_FOUND);
}

static void what_is_beyond_this_node_is_waited_for_then_asked_for(void **state)
{
    struct kit *k = *state;

    for (int failing = 0; failing < 2; failing++) {
        unsigned fences = k->core.fences;
        (void)poll_list(k, now(k) + 5);
        assert_int_equal(step(k), OP_WAIT);
        assert_int_equal(k->core.fences, fences);
        ahead_ms += 3000;
        registry_on_tick(k->registry);
        k->core.outcome = failing ? ERR_NOT_READY : 0;
        assert_int_equal(kit_run(k), failing ? OP_UNAVAILABLE : OP_OK);
        assert_int_equal(k->core.fences, fences + 1);
        k->core.outcome = 0;
    }
}

static void what_is_awaited_wakes_when_it_comes(void **state)
{
    struct kit *k = *state;

    (void)poll_list(k, now(k) + 1);
    assert_int_equal(step(k), OP_WAIT);
    unsigned wakes = k->wakes;
    registry_on_revision(k->registry, now(k));
    assert_int_equal(k->wakes, wakes);
    k->core.status.revision++;
    registry_on_revision(k->registry, now(k));
    assert_int_equal(k->wakes, wakes + 1);
    k->core.status.revision--; /* the kit's store has not seen it */
    registry_op_done(k->registry, &k->op);
}

static void a_search_is_parked_on_what_it_looks_for(void **state)
{
    struct kit *k = *state;
    struct op *op = poll_search(k, "roster", now(k));

    op->query.type = STR("service");
    op->query.k = STR("os");
    op->query.v = STR("de");
    op->query.mode = STR("prefix");
    assert_int_equal(step(k), OP_PARK);
    const struct op_watch *watch = k->op.answer.watch;
    expect(watch->spec.ns, "roster");
    expect(watch->spec.k, "os");
    expect(watch->spec.v, "de");
    assert_int_equal(watch->spec.mode, PATTERN_PREFIX);
    assert_false(watch->exact);
    op = poll_search(k, "roster", now(k));
    op->query.v = STR("^d");
    op->query.mode = STR("regex");
    assert_int_equal(step(k), OP_WORK);
    assert_int_equal(step(k), OP_PARK);
    assert_null(k->op.answer.watch->spec.v.p);
}

static void a_search_is_news_when_the_past_says_so(void **state)
{
    struct kit *k = *state;
    uint64_t seen = now(k);

    add(k, "db.roster", "{\"name\":\"x\"}");
    (void)poll_search(k, "web.roster", seen);
    assert_int_equal(step(k), OP_PARK);
    assert_int_equal(k->op.answer.watch->from, now(k));
    (void)poll_search(k, "roster", seen);
    assert_int_equal(step(k), OP_WORK);
    assert_int_equal(step(k), OP_DONE);
    assert_true(kit_says(k, "\"name\":\"x\""));
    /* Told of something: that is looked at no more. */
    poll_search(k, "web.roster", now(k))->woken = true;
    assert_int_equal(step(k), OP_WORK);
    assert_int_equal(step(k), OP_DONE);
    assert_int_equal(k->op.answer.code, OP_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_is_parked_while_there_is_nothing_newer),
        TEST(a_cached_list_is_only_looked_at),
        TEST(pages_and_projections_park_like_their_list),
        TEST(one_whose_time_is_over_gets_what_there_is),
        TEST(a_namespace_that_is_not_there_parks_nobody),
        TEST(what_is_beyond_this_node_is_waited_for_then_asked_for),
        TEST(what_is_awaited_wakes_when_it_comes),
        TEST(a_search_is_parked_on_what_it_looks_for),
        TEST(a_search_is_news_when_the_past_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
