/* Which webhook an event concerns. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "hook/watched.h"

static struct event put(const char *ns, const char *type, const char *cause)
{
    return (struct event){.revision = 101,
                          .op = EVENT_PUT,
                          .ns = str_of(ns),
                          .type = str_of(type),
                          .cause = str_of(cause)};
}

static struct event move(const char *old, const char *ns)
{
    return (struct event){.revision = 101,
                          .op = EVENT_NS_PUT,
                          .ns = str_of(ns),
                          .old = str_of(old),
                          .cause = STR("api")};
}

static bool wants(const char *path, const char *types, struct event event)
{
    return watched_wants(str_of(path), str_of(types), &event);
}

static void rows_below_it_of_its_types_concern_it(void **state)
{
    (void)state;
    assert_true(wants("roster", "", put("web.roster", "t", "api")));
    assert_true(wants("web.roster", "", put("web.roster", "t", "agent")));
    assert_false(wants("web.roster", "", put("eb.roster", "t", "api")));
    assert_false(wants("eb.roster", "", put("web.roster", "t", "api")));
    assert_false(wants("web.roster", "", put("roster", "t", "api")));
    assert_true(wants("roster", " a ,t", put("web.roster", "t", "api")));
    assert_false(wants("roster", "a,tt", put("web.roster", "t", "api")));
    assert_false(wants("roster", ",", put("web.roster", "t", "api")));
}

static void what_this_room_wrote_concerns_nobody(void **state)
{
    (void)state;
    assert_false(wants("roster", "", put("web.roster", "webhook", "webhook")));
    assert_true(wants("roster", "", put("web.roster", "webhook", "api")));
}

static void moves_around_it_concern_it_whatever_its_types(void **state)
{
    (void)state;
    struct event birth = move("", "web.roster");

    assert_true(wants("roster", "t", move("a.roster", "b.roster")));
    assert_true(wants("x.a.roster", "t", move("a.roster", "b.roster")));
    assert_false(wants("c.roster", "t", move("a.roster", "b.roster")));
    assert_true(wants("roster", "", birth));
    assert_false(wants("roster", "t", birth));
    const struct event rights = {
        .op = EVENT_OTHER, .name = STR("access"), .ns = STR("roster")};
    assert_false(wants("roster", "", rights));
}

static void a_path_follows_moves_both_ways(void **state)
{
    struct arena *arena = arena_new();
    struct event event = move("a.roster", "b.c.roster");
    struct str to;

    (void)state;
    assert_true(watched_moves(arena, STR("x.a.roster"), &event, &to));
    assert_true(str_is(to, "x.b.c.roster"));
    assert_true(watched_came(arena, to, &event, &to));
    assert_true(str_is(to, "x.a.roster"));
    assert_false(watched_moves(arena, STR("aa.roster"), &event, &to));
    assert_false(watched_moves(arena, STR("roster"), &event, &to));
    arena_free(arena);
}

static struct engine_target *add(struct engine *engine, struct watched *watched,
                                 uint64_t ns, const char *path)
{
    const struct engine_past past = {.cursor = 100};
    const struct engine_key key = {.ns = ns};
    struct engine_target *target = engine_add(engine, key, &past, 1);

    watched_set(watched, target, str_of(path));
    engine_rest(engine, target);
    return target;
}

static void those_it_concerns_are_woken(void **state)
{
    struct watched watched = {.paths = NULL};
    struct engine engine;
    struct event event = put("web.shop.roster", "t", "api");

    (void)state;
    engine_init(&engine, 100);
    struct engine_target *root = add(&engine, &watched, 1, "roster");
    struct engine_target *shop = add(&engine, &watched, 2, "shop.roster");
    struct engine_target *also = add(&engine, &watched, 3, "shop.roster");
    struct engine_target *other = add(&engine, &watched, 4, "op.roster");
    watched_types(also, STR("no"));
    watched_tell(&watched, &engine, &event);
    assert_int_equal(root->place, ENGINE_READY);
    assert_int_equal(shop->place, ENGINE_READY);
    assert_int_equal(also->place, ENGINE_IDLE);
    assert_int_equal(other->place, ENGINE_IDLE);
    event = move("op.roster", "new.roster");
    watched_tell(&watched, &engine, &event);
    assert_int_equal(other->place, ENGINE_READY);
    assert_int_equal(also->place, ENGINE_IDLE);
    watched_remove(&watched, shop);
    watched_remove(&watched, shop);
    assert_int_equal(HASH_COUNT(watched.paths), 3);
    watched_set(&watched, also, STR("roster"));
    assert_int_equal(HASH_COUNT(watched.paths), 2);
    engine_done(&engine);
    watched_done(&watched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_below_it_of_its_types_concern_it),
        cmocka_unit_test(what_this_room_wrote_concerns_nobody),
        cmocka_unit_test(moves_around_it_concern_it_whatever_its_types),
        cmocka_unit_test(a_path_follows_moves_both_ways),
        cmocka_unit_test(those_it_concerns_are_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
