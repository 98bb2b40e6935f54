/* What a webhook is sent, out of a history of its own. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <unistd.h>

#include "hook/batch.h"
#include "model/event.h"

struct kit {
    char dir[64];
    struct store *store;
    struct store_reader *reader;
    struct arena *arena;
    struct batch batch;
};

static struct kit kit_begin(void)
{
    struct kit k = {.arena = arena_new()};
    struct store_txn *txn = NULL;

    (void)snprintf(k.dir, sizeof k.dir, "/tmp/roster-batch-XXXXXX");
    assert_non_null(mkdtemp(k.dir));
    const struct store_config config = {k.dir, 64U << 20, 8, 8};
    assert_int_equal(store_open(&config, &k.store), 0);
    assert_int_equal(store_reader_new(k.store, &k.reader), 0);
    assert_int_equal(store_write_begin(k.store, &txn), 0);
    store_meta(txn)->history_limit = 100000;
    assert_int_equal(store_write_commit(txn), 0);
    return k;
}

static void kit_end(struct kit *k)
{
    char command[128];

    batch_done(&k->batch);
    k->reader = store_reader_free(k->reader);
    (void)store_close(k->store);
    arena_free(k->arena);
    (void)snprintf(command, sizeof command, "%s/data.mdb", k->dir);
    (void)unlink(command);
    (void)snprintf(command, sizeof command, "%s/lock.mdb", k->dir);
    (void)unlink(command);
    (void)rmdir(k->dir);
}

static void keep(struct kit *k, uint64_t revision, struct buf *event)
{
    struct store_txn *txn = NULL;

    assert_int_equal(store_write_begin(k->store, &txn), 0);
    assert_int_equal(store_event_put(txn, revision, buf_str(event)), 0);
    store_meta(txn)->revision = revision;
    assert_int_equal(store_write_commit(txn), 0);
    buf_done(event);
}

static void put(struct kit *k, uint64_t revision, const char *ns,
                const char *type, size_t fill)
{
    const struct event_head head = {revision, "put", str_of(ns), 3, "api"};
    struct buf event = {0}, row = {0};

    buf_printf(&row,
               "{\"_id\":\"00000000000000000000000000\",\"_rev\":%llu,"
               "\"a\":\"%0*d\"}",
               (unsigned long long)revision, (int)fill, 0);
    event_write_row(&event, &head, str_of(type), (struct ulid){{0}},
                    buf_str(&row), STR_NONE);
    event_write_end(&event);
    buf_done(&row);
    keep(k, revision, &event);
}

static void move(struct kit *k, uint64_t revision, const char *old,
                 const char *ns)
{
    const struct event_head head = {revision, "ns-put", str_of(ns), 3, "api"};
    struct buf event = {0};

    event_write_head(&event, &head);
    buf_printf(&event, ",\"kind\":\"leaf\",\"old\":\"%s\"", old);
    event_write_end(&event);
    keep(k, revision, &event);
}

static struct batch *next(struct kit *k, const char *path, const char *types,
                          uint64_t cursor)
{
    batch_done(&k->batch);
    const struct batch_ask ask = {.key = {.ns = 3},
                                  .path = str_of(path),
                                  .types = str_of(types),
                                  .cursor = cursor,
                                  .most_bytes = BATCH_BYTES};
    assert_int_equal(batch_read(k->reader, k->arena, &ask, &k->batch), 0);
    return &k->batch;
}

static void a_batch_holds_what_concerns_it(void **state)
{
    struct kit k = kit_begin();
    struct buf body = {0};

    (void)state;
    put(&k, 1, "web.roster", "t", 1);
    put(&k, 2, "other.roster", "t", 1);
    put(&k, 3, "web.roster", "u", 1);
    put(&k, 4, "web.roster", "t", 1);
    put(&k, 5, "other.roster", "t", 1);
    struct batch *batch = next(&k, "web.roster", "t", 0);
    assert_int_equal(batch->n, 2);
    assert_int_equal(batch->first, 1);
    assert_int_equal(batch->last, 4);
    assert_int_equal(batch->upto, 5);
    assert_true(batch->end && !batch->reset);
    const struct found row = {.name = STR("w\\n"), .path = STR("web.roster")};
    batch_write(&body, batch, &row);
    assert_non_null(strstr(buf_text(&body),
                           "{\"webhook\":\"w\\n\",\"ns\":\"web.roster\","
                           "\"first\":1,\"last\":4,\"events\":[{\"revision\":1,"
                           "\"op\":\"put\","));
    assert_memory_equal(body.p + body.n - 2, "]}", 2);
    buf_done(&body);
    batch = next(&k, "web.roster", "t", 4);
    assert_int_equal(batch->n, 0);
    assert_int_equal(batch->upto, 5);
    kit_end(&k);
}

static void a_batch_has_bounds_and_the_next_goes_on_behind_it(void **state)
{
    struct kit k = kit_begin();

    (void)state;
    for (uint64_t i = 1; i <= BATCH_EVENTS + 1; i++) {
        put(&k, i, "web.roster", "t", 1);
    }
    struct batch *batch = next(&k, "roster", "", 0);
    assert_int_equal(batch->n, BATCH_EVENTS);
    assert_int_equal(batch->upto, BATCH_EVENTS);
    assert_false(batch->end);
    assert_int_equal(next(&k, "roster", "", BATCH_EVENTS)->n, 1);
    for (uint64_t i = 502; i <= 522; i++) {
        put(&k, i, "web.roster", "t", 100000);
    }
    batch = next(&k, "roster", "", 501);
    assert_int_equal(batch->n, 10);
    assert_true(batch->events.n < BATCH_BYTES);
    assert_int_equal(batch->upto, 511);
    assert_int_equal(next(&k, "roster", "", 511)->n, 10);
    kit_end(&k);
}

static void what_stands_under_an_old_path_is_found_and_followed(void **state)
{
    struct kit k = kit_begin();
    struct str path;

    (void)state;
    put(&k, 1, "x.a.roster", "t", 1);
    move(&k, 2, "a.roster", "b.roster");
    put(&k, 3, "x.b.roster", "t", 1);
    move(&k, 4, "x.b.roster", "y.b.roster");
    put(&k, 5, "y.b.roster", "t", 1);
    put(&k, 6, "x.a.roster", "t", 1); /* another one by now */
    assert_int_equal(batch_path(k.reader, k.arena, STR("roster"),
                                STR("y.b.roster"), 6, 0, &path),
                     0);
    assert_true(str_is(path, "x.a.roster"));
    assert_int_equal(batch_path(k.reader, k.arena, STR("roster"),
                                STR("y.b.roster"), 6, 2, &path),
                     0);
    assert_true(str_is(path, "x.b.roster"));
    struct batch *batch = next(&k, "x.a.roster", "", 0);
    assert_int_equal(batch->n, 2);
    assert_int_equal(batch->upto, 2);
    assert_true(str_is(batch->path, "x.b.roster"));
    batch = next(&k, "x.b.roster", "", 2);
    assert_int_equal(batch->upto, 4);
    batch = next(&k, "y.b.roster", "", 4);
    assert_int_equal(batch->n, 1);
    assert_int_equal(batch->last, 5);
    assert_int_equal(batch->upto, 6);
    kit_end(&k);
}

static void a_batch_ends_where_its_own_row_becomes_another(void **state)
{
    struct kit k = kit_begin();

    (void)state;
    put(&k, 1, "web.roster", "t", 1);
    put(&k, 2, "web.roster", "webhook", 1);
    put(&k, 3, "web.roster", "t", 1);
    put(&k, 4, "web.roster", "u", 1);
    struct batch *batch = next(&k, "web.roster", "t", 0);
    assert_int_equal(batch->n, 1);
    assert_int_equal(batch->upto, 2);
    assert_false(batch->end);
    batch = next(&k, "web.roster", "t,u", 2);
    assert_int_equal(batch->n, 2);
    assert_int_equal(batch->upto, 4);
    kit_end(&k);
}

static void what_is_out_of_the_history_is_a_reset(void **state)
{
    struct kit k = kit_begin();
    struct str path;

    (void)state;
    put(&k, 7, "web.roster", "t", 1);
    put(&k, 8, "web.roster", "t", 1);
    struct batch *batch = next(&k, "roster", "", 3);
    assert_true(batch->reset);
    assert_int_equal(batch->n, 1);
    assert_int_equal(batch->upto, 8);
    assert_true(
        str_is(buf_str(&batch->events), "{\"op\":\"reset\",\"revision\":8}"));
    assert_int_equal(batch_path(k.reader, k.arena, STR("roster"),
                                STR("b.roster"), 8, 3, &path),
                     0);
    assert_true(str_is(path, "b.roster"));
    assert_false(next(&k, "roster", "", 6)->reset);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_holds_what_concerns_it),
        cmocka_unit_test(a_batch_has_bounds_and_the_next_goes_on_behind_it),
        cmocka_unit_test(what_stands_under_an_old_path_is_found_and_followed),
        cmocka_unit_test(a_batch_ends_where_its_own_row_becomes_another),
        cmocka_unit_test(what_is_out_of_the_history_is_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
