/* Lists out of the cache: compressed for those who take it. */
#include <libdeflate.h>

#include "kit.h"

#define NS "web.roster"

static int set_up(void **state)
{
    struct kit *k = kit_new();

    assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL,
                            "{\"parent\":\"roster\",\"name\":\"web\"}"),
                     OP_CREATED);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    return 0;
}

/* Rows of 1 KB each, as alike as rows are. */
static void add_rows(struct kit *k, unsigned n)
{
    struct buf body = {0};

    for (unsigned i = 0; i < n; i++) {
        buf_printf(&body, "%s{\"name\":\"n%u\",\"text\":\"%0900u\"}",
                   i == 0 ? "[" : ",", i, i);
    }
    buf_add_char(&body, ']');
    assert_int_equal(
        kit_do(k, OP_LIST_ADD, NS, "service", NULL, buf_text(&body)),
        OP_CREATED);
    buf_done(&body);
}

/* One turn of a read: what the registry wants next. */
static enum op_step turn(struct kit *k)
{
    return registry_run(k->registry, &k->op, k->reader);
}

static struct op *ask(struct kit *k, bool gzip)
{
    struct op *op = kit_op(k, OP_LIST_GET, NS, "service", NULL, NULL);
    op->gzip = gzip;
    return op;
}

static void read_once(struct kit *k, bool gzip)
{
    (void)ask(k, gzip);
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(k->op.answer.varies);
}

static void expect_plain(struct kit *k, bool passing)
{
    assert_int_equal(k->op.answer.code, OP_OK);
    assert_false(k->op.answer.gzip);
    assert_int_equal(k->op.answer.body.p[0], '[');
    assert_int_equal(k->op.answer.passing, passing);
}

static void expect_gzip(struct kit *k)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    struct op_answer *answer = &k->op.answer;
    struct str plain = answer->list->body;
    char *out = mem_alloc(plain.n);
    size_t n = 0;

    assert_int_equal(answer->code, OP_OK);
    assert_true(answer->gzip);
    assert_false(answer->passing);
    assert_int_equal(libdeflate_gzip_decompress(
                         d, answer->body.p, answer->body.n, out, plain.n, &n),
                     LIBDEFLATE_SUCCESS);
    assert_true(str_equal((struct str){out, n}, plain));
    (void)mem_free(out);
    libdeflate_free_decompressor(d);
}

static void the_first_who_takes_gzip_gets_it(void **state)
{
    struct kit *k = *state;

    add_rows(k, 5);
    read_once(k, true);
    expect_gzip(k);
    read_once(k, true);
    expect_gzip(k);
    read_once(k, false);
    expect_plain(k, false);
    assert_int_equal(cache_stats(k->cache).gzips, 1);
}

static void a_small_list_is_not_compressed(void **state)
{
    struct kit *k = *state;

    read_once(k, true);
    expect_plain(k, false);
    read_once(k, true);
    expect_plain(k, false);
}

static void a_large_one_is_compressed_by_a_worker(void **state)
{
    struct kit *k = *state;

    add_rows(k, 30);
    read_once(k, false);
    (void)ask(k, true);
    assert_int_equal(turn(k), OP_WORK);
    assert_int_equal(turn(k), OP_DONE);
    expect_gzip(k);
}

static void a_large_one_that_nobody_has_read_too(void **state)
{
    struct kit *k = *state;

    add_rows(k, 30);
    (void)ask(k, true);
    assert_int_equal(turn(k), OP_WORK);
    assert_int_equal(turn(k), OP_DONE);
    expect_gzip(k);
}

/* Who asks while it is made does not wait for it. */
static void meanwhile_it_goes_out_as_it_is(void **state)
{
    struct kit *k = *state;
    struct arena *arena = arena_new();

    add_rows(k, 30);
    read_once(k, false);
    struct op first = *ask(k, true);
    first.arena = arena;
    assert_int_equal(registry_run(k->registry, &first, k->reader), OP_WORK);

    read_once(k, true);
    expect_plain(k, true);

    assert_int_equal(registry_run(k->registry, &first, k->reader), OP_DONE);
    assert_true(first.answer.gzip);
    (void)cache_unref(first.answer.list);
    registry_op_done(k->registry, &first);
    arena_free(arena);
    read_once(k, true);
    expect_gzip(k);
}

/* Too many long requests: nobody is refused a list that is there. */
static void without_a_worker_it_goes_out_as_it_is(void **state)
{
    struct kit *k = *state;

    add_rows(k, 30);
    read_once(k, false);
    struct op *op = ask(k, true);
    assert_int_equal(turn(k), OP_WORK);
    op->no_worker = true;
    assert_int_equal(turn(k), OP_DONE);
    expect_plain(k, true);
    read_once(k, true); /* with a worker again */
    expect_gzip(k);
}

static void a_claim_ends_with_the_one_who_has_it(void **state)
{
    struct kit *k = *state;

    add_rows(k, 30);
    read_once(k, false);
    (void)ask(k, true);
    assert_int_equal(turn(k), OP_WORK);
    read_once(k, true); /* the one before has been given up */
    expect_gzip(k);
}

/* On the way to the worker the list has changed. */
static void what_has_changed_meanwhile_is_answered_anew(void **state)
{
    struct kit *k = *state;
    struct arena *arena = arena_new();

    add_rows(k, 30);
    read_once(k, false);
    struct op first = *ask(k, true);
    first.arena = arena;
    assert_int_equal(registry_run(k->registry, &first, k->reader), OP_WORK);
    assert_int_equal(kit_do(k, OP_LIST_PUT, NS, "service", NULL, "[]"), OP_OK);
    assert_int_equal(registry_run(k->registry, &first, k->reader), OP_DONE);
    assert_true(str_is(first.answer.body, "[]"));
    assert_false(first.answer.gzip);
    (void)cache_unref(first.answer.list);
    registry_op_done(k->registry, &first);
    arena_free(arena);
}

/* Of the forms that it takes. */
static void either_tag_is_the_list_one_has(void **state)
{
    struct kit *k = *state;
    char tag[40];

    add_rows(k, 5);
    read_once(k, true);
    read_once(k, true);
    uint64_t etag = k->op.answer.etag;
    for (int gzip = 0; gzip <= 1; gzip++) {
        for (int tagged = 0; tagged <= 1; tagged++) {
            (void)snprintf(tag, sizeof tag, "\"%llu%s\"",
                           (unsigned long long)etag, tagged ? "-gz" : "");
            ask(k, gzip)->if_.if_none_match = str_of(tag);
            bool takes = gzip || !tagged;
            assert_int_equal(kit_run(k), takes ? OP_NOT_MODIFIED : OP_OK);
            assert_int_equal(k->op.answer.gzip, takes && tagged);
            assert_true(k->op.answer.varies);
            assert_int_equal(k->op.answer.body.n == 0, takes);
        }
    }
}

static void pages_and_writes_are_never_compressed(void **state)
{
    struct kit *k = *state;

    add_rows(k, 5);
    for (int i = 0; i < 3; i++) {
        ask(k, true)->query.limit = 4;
        assert_int_equal(kit_run(k), OP_OK);
        assert_false(k->op.answer.gzip || k->op.answer.varies);
        ask(k, true)->query.fields = STR("text");
        assert_int_equal(kit_run(k), OP_OK);
        assert_false(k->op.answer.gzip || k->op.answer.varies);
        assert_int_equal(kit_do(k, OP_LIST_PUT, NS, "other", NULL, "[]"),
                         OP_OK);
        assert_false(k->op.answer.gzip || k->op.answer.varies);
    }
}

/* [CACHE-4] What a mouth keeps is told of a change by every write. */
static void each_change_is_told_to_those_who_keep_answers(void **state)
{
    struct kit *k = *state;

    for (unsigned i = 0; i < 3; i++) {
        add_rows(k, 1 + i);
        assert_int_equal(cache_newest(registry_cache(k->registry)),
                         k->op.answer.revision);
        read_once(k, false);
        assert_int_equal(cache_newest(k->cache), k->op.answer.revision);
        assert_int_equal(kit_do(k, OP_LIST_PUT, NS, "service", NULL, "[]"),
                         OP_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_who_takes_gzip_gets_it),
        TEST(a_small_list_is_not_compressed),
        TEST(a_large_one_is_compressed_by_a_worker),
        TEST(a_large_one_that_nobody_has_read_too),
        TEST(meanwhile_it_goes_out_as_it_is),
        TEST(without_a_worker_it_goes_out_as_it_is),
        TEST(a_claim_ends_with_the_one_who_has_it),
        TEST(what_has_changed_meanwhile_is_answered_anew),
        TEST(either_tag_is_the_list_one_has),
        TEST(pages_and_writes_are_never_compressed),
        TEST(each_change_is_told_to_those_who_keep_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
