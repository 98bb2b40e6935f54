/* The hub and the tables that are told from it. */
#include "kit.h"

struct told {
    struct watch_link link;
    uint64_t revisions[64];
    size_t n;
    unsigned lost;
    struct watch_table *leaves; /* is told once */
};

struct kit {
    struct arena *arena;
    struct watch_hub *hub;
    struct watch_table *table;
    unsigned pokes;
};

static void poke(void *user)
{
    struct kit *k = user;
    k->pokes++;
}

static int set_up(void **state)
{
    struct kit *k = mem_zero(sizeof *k);

    k->arena = arena_new();
    k->hub = watch_hub_new(10000);
    k->table = watch_table_new(k->hub, poke, k);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *k = *state;

    k->table = watch_table_free(k->table);
    k->hub = watch_hub_free(k->hub);
    k->arena = arena_free(k->arena);
    (void)mem_free(k);
    return 0;
}

static void tell(struct watch_link *link, struct watch_event *event)
{
    struct told *told = (struct told *)(void *)link;

    if (event == NULL) {
        told->lost++;
    } else {
        assert_true(told->n < 64);
        told->revisions[told->n++] = event->event.revision;
    }
    if (told->leaves != NULL) {
        watch_table_remove(told->leaves, link);
    }
}

static struct told *wait_for(struct kit *k, const char *ns, const char *type)
{
    struct told *told = arena_zero(k->arena, sizeof *told);

    told->link.spec.ns = str_of(ns);
    told->link.spec.type = str_of(type);
    told->link.tell = tell;
    return told;
}

static struct told *enter(struct kit *k, const char *ns, const char *type)
{
    struct told *told = wait_for(k, ns, type);

    assert_int_equal(
        watch_table_add(k->table, &told->link, watch_hub_revision(k->hub)), 0);
    return told;
}

static void publish(struct kit *k, uint64_t revision, const char *ns,
                    const char *type)
{
    struct str event =
        kit_put(k->arena, revision, ns, type, "\"a\":\"1\"", NULL);
    watch_hub_publish(k->hub, &event, 1, revision);
}

static void leave(struct kit *k, struct told *told)
{
    watch_table_remove(k->table, &told->link);
}

static void only_who_waits_for_it_is_told(void **state)
{
    struct kit *k = *state;
    struct told *all = enter(k, "r", ""), *list = enter(k, "a.r", "t");
    struct told *other = enter(k, "b.r", "t"), *type = enter(k, "r", "u");

    publish(k, 1, "a.r", "t");
    publish(k, 2, "x.b.r", "u");
    assert_int_equal(k->pokes, 1);
    assert_false(watch_table_turn(k->table));
    assert_int_equal(all->n, 2);
    assert_int_equal(list->n, 1);
    assert_int_equal(list->revisions[0], 1);
    assert_int_equal(other->n, 0);
    assert_int_equal(type->n, 1);
    assert_int_equal(watch_table_revision(k->table), 2);
    leave(k, all), leave(k, list), leave(k, other), leave(k, type);
}

static void nobody_is_poked_who_waits_for_nothing(void **state)
{
    struct kit *k = *state;

    publish(k, 1, "a.r", "t");
    assert_int_equal(k->pokes, 0);
    struct told *told = enter(k, "r", "");
    publish(k, 2, "a.r", "t");
    publish(k, 3, "a.r", "t");
    assert_int_equal(k->pokes, 1);
    assert_false(watch_table_turn(k->table));
    assert_int_equal(told->n, 2);
    publish(k, 4, "a.r", "t");
    assert_int_equal(k->pokes, 2);
    leave(k, told);
    publish(k, 5, "a.r", "t");
    assert_int_equal(k->pokes, 2);
}

/* Who comes with an older revision than the hub's must not wait for the next
 * change to learn of those that were. */
static void what_came_before_entering_is_told_soon(void **state)
{
    struct kit *k = *state;
    struct told *told = wait_for(k, "r", "");

    publish(k, 1, "a.r", "t");
    publish(k, 2, "a.r", "t");
    assert_int_equal(watch_table_add(k->table, &told->link, 1), 0);
    assert_int_equal(k->pokes, 1);
    assert_false(watch_table_turn(k->table));
    assert_int_equal(told->n, 1);
    assert_int_equal(told->revisions[0], 2);
    leave(k, told);
}

static void who_missed_something_is_not_let_in(void **state)
{
    struct kit *k = *state;
    struct told *first = enter(k, "r", ""), *late = wait_for(k, "a.r", "t");
    struct told *calm = wait_for(k, "b.r", "t");

    publish(k, 1, "a.r", "t");
    assert_false(watch_table_turn(k->table));
    assert_int_equal(watch_table_add(k->table, &late->link, 0), ERR_RETRY);
    assert_int_equal(watch_table_add(k->table, &calm->link, 0), 0);
    assert_int_equal(watch_table_add(k->table, &late->link, 1), 0);
    leave(k, first), leave(k, late), leave(k, calm);
}

static void what_one_knows_is_not_told_again(void **state)
{
    struct kit *k = *state;
    struct told *first = enter(k, "r", ""), *ahead = wait_for(k, "r", "");

    publish(k, 1, "a.r", "t");
    publish(k, 2, "a.r", "t");
    assert_int_equal(watch_table_add(k->table, &ahead->link, 1), 0);
    assert_false(watch_table_turn(k->table));
    assert_int_equal(first->n, 2);
    assert_int_equal(ahead->n, 1);
    assert_int_equal(ahead->revisions[0], 2);
    leave(k, first), leave(k, ahead);
}

/* A commit is seen in the store a moment before the hub has it. */
static void who_knows_more_than_the_hub_waits_for_what_is_newer(void **state)
{
    struct kit *k = *state;
    struct told *ahead = wait_for(k, "r", ""), *other = wait_for(k, "a.r", "");

    publish(k, 1, "a.r", "t");
    assert_int_equal(watch_table_add(k->table, &ahead->link, 2), 0);
    assert_int_equal(watch_table_add(k->table, &other->link, 1), 0);
    assert_int_equal(watch_table_revision(k->table), 1);
    publish(k, 2, "a.r", "t");
    publish(k, 3, "a.r", "t");
    assert_false(watch_table_turn(k->table));
    assert_int_equal(ahead->n, 1);
    assert_int_equal(ahead->revisions[0], 3);
    assert_int_equal(other->n, 2);
    leave(k, ahead), leave(k, other);
}

static void one_may_leave_while_it_is_told(void **state)
{
    struct kit *k = *state;
    struct told *a = enter(k, "a.r", "t"), *b = enter(k, "a.r", "t");
    struct told *c = enter(k, "a.r", "t");

    a->leaves = b->leaves = c->leaves = k->table;
    publish(k, 1, "a.r", "t");
    publish(k, 2, "a.r", "t");
    assert_false(watch_table_turn(k->table));
    assert_int_equal(a->n + b->n + c->n, 3);
    leave(k, a); /* one that is not in */
}

static void who_fell_behind_the_ring_learns_it(void **state)
{
    struct kit *k = *state;
    struct told *told = enter(k, "a.r", "t");

    for (uint64_t revision = 1; revision <= 200; revision++) {
        publish(k, revision, "b.r", "t");
    }
    assert_false(watch_table_turn(k->table));
    assert_int_equal(told->lost, 1);
    assert_int_equal(watch_table_revision(k->table), 200);
    publish(k, 201, "a.r", "t");
    assert_false(watch_table_turn(k->table));
    assert_int_equal(told->n, 1);
    leave(k, told);
}

static void another_state_is_told_to_all(void **state)
{
    struct kit *k = *state;
    struct told *told = enter(k, "a.r", "t");

    watch_hub_replaced(k->hub, 1000);
    assert_false(watch_table_turn(k->table));
    assert_int_equal(told->lost, 1);
    assert_int_equal(watch_table_revision(k->table), 1000);
    leave(k, told);
}

/* The old ring is freed behind it, also when another one is given up before
 * that; what somebody holds of it stays. */
static void a_ring_of_before_is_out_of_reach_at_once(void **state)
{
    struct kit *k = *state;
    struct watch_hub *hub = watch_hub_new(1 << 20);
    struct watch_event *events[4];
    struct str text = kit_put(k->arena, 1, "a.r", "t", "\"a\":\"1\"", NULL);
    uint64_t after = 0;
    size_t n;

    watch_hub_publish(hub, &text, 1, 1);
    assert_int_equal(watch_hub_take(hub, 0, events, 4, &n, &after), 0);
    watch_hub_replaced(hub, 1000);
    assert_int_equal(watch_stats(hub).events, 0);
    assert_int_equal(watch_stats(hub).bytes, 0);
    assert_int_equal(watch_hub_take(hub, 0, events + 1, 3, &n, &after),
                     ERR_NOT_FOUND);
    watch_hub_tidy(hub);
    assert_int_equal(events[0]->event.revision, 1);
    events[0] = watch_event_unref(events[0]);
    for (uint64_t revision = 1001; revision < 4000; revision += 1000) {
        text = kit_put(k->arena, revision, "a.r", "t", "\"a\":\"1\"", NULL);
        watch_hub_publish(hub, &text, 1, revision);
        watch_hub_replaced(hub, revision + 1);
    }
    assert_int_equal(watch_stats(hub).events, 0);
    watch_hub_free(hub);
}

/* All of a large transaction or nothing: what is taken ends where the hub's
 * revision says. */
static void many_events_come_in_parts(void **state)
{
    struct kit *k = *state;
    struct watch_hub *hub = watch_hub_new(1 << 20);
    struct watch_event *events[100];
    struct str texts[300];
    uint64_t after = 0;
    size_t n, all = 0;

    for (uint64_t i = 0; i < 300; i++) {
        texts[i] = kit_put(k->arena, i + 1, "a.r", "t", "\"a\":\"1\"", NULL);
    }
    watch_hub_publish(hub, texts, 300, 300);
    do {
        assert_int_equal(watch_hub_take(hub, after, events, 100, &n, &after),
                         0);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(events[i]->event.revision, ++all);
            events[i] = watch_event_unref(events[i]);
        }
    } while (after < 300);
    assert_int_equal(all, 300);
    (void)watch_hub_free(hub);
}

static void the_text_of_an_event_is_copied(void **state)
{
    struct kit *k = *state;
    struct watch_event *event = NULL;
    struct str text = kit_put(k->arena, 1, "a.r", "t", "\"a\":\"1\"", NULL);
    uint64_t upto;
    size_t n;

    watch_hub_publish(k->hub, &text, 1, 1);
    assert_int_equal(watch_hub_take(k->hub, 0, &event, 1, &n, &upto), 0);
    assert_int_equal(n, 1);
    assert_ptr_equal(event->event.text.p, event->bytes);
    assert_int_equal(event->event.text.n, text.n);
    assert_memory_equal(event->bytes, text.p, text.n);
    event = watch_event_unref(event);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_who_waits_for_it_is_told),
        TEST(nobody_is_poked_who_waits_for_nothing),
        TEST(what_came_before_entering_is_told_soon),
        TEST(who_missed_something_is_not_let_in),
        TEST(what_one_knows_is_not_told_again),
        TEST(who_knows_more_than_the_hub_waits_for_what_is_newer),
        TEST(one_may_leave_while_it_is_told),
        TEST(who_fell_behind_the_ring_learns_it),
        TEST(another_state_is_told_to_all),
        TEST(a_ring_of_before_is_out_of_reach_at_once),
        TEST(many_events_come_in_parts),
        TEST(the_text_of_an_event_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
