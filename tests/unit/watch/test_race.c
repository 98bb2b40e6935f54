/* One thread publishes, others are told: each learns all of it, in order. */
#include <pthread.h>
#include <sched.h>

#include "kit.h"

enum { LOOPS = 3, EVENTS = 3000 };

struct loop {
    struct watch_link link;
    struct watch_hub *hub;
    struct watch_table *table;
    pthread_t thread;
    atomic_uint pokes;
    uint64_t last;
    unsigned lost;
};

static void poke(void *user)
{
    struct loop *loop = user;
    atomic_fetch_add(&loop->pokes, 1);
}

static void tell(struct watch_link *link, struct watch_event *event)
{
    struct loop *loop = (struct loop *)(void *)link;

    if (event == NULL) {
        loop->lost++;
        loop->last = watch_table_revision(loop->table);
        return;
    }
    assert_int_equal(event->event.revision, loop->last + 1);
    loop->last = event->event.revision;
}

static void *run(void *user)
{
    struct loop *loop = user;

    loop->link.spec.ns = STR("r");
    loop->link.tell = tell;
    while (watch_table_add(loop->table, &loop->link, 0) != 0) {
    }
    while (loop->last < EVENTS) {
        while (atomic_exchange(&loop->pokes, 0) == 0) {
            (void)sched_yield();
        }
        while (watch_table_turn(loop->table)) {
        }
    }
    watch_table_remove(loop->table, &loop->link);
    return NULL;
}

static void all_are_told_all(void **state)
{
    struct watch_hub *hub = watch_hub_new(100000);
    struct arena *arena = arena_new();
    struct loop *loops = mem_zero(LOOPS * sizeof *loops);

    (void)state;
    for (int i = 0; i < LOOPS; i++) {
        loops[i].table = watch_table_new(hub, poke, &loops[i]);
        assert_int_equal(pthread_create(&loops[i].thread, NULL, run, &loops[i]),
                         0);
    }
    for (uint64_t revision = 1; revision <= EVENTS; revision++) {
        struct str event =
            kit_put(arena, revision, "a.r", "t", "\"a\":\"1\"", NULL);
        watch_hub_publish(hub, &event, 1, revision);
    }
    for (int i = 0; i < LOOPS; i++) {
        (void)pthread_join(loops[i].thread, NULL);
        loops[i].table = watch_table_free(loops[i].table);
    }
    (void)mem_free(loops);
    (void)arena_free(arena);
    (void)watch_hub_free(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_told_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
