/* Who is asked whether this node still leads, and what counts for an answer.
 * Without libraft and the network: links are what would be written to them. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include "base/err.h"
#include "kit.h"
#include "raft/link.h"

enum { TERM = 3, OTHERS = 4, FRAME = 4 + 1 + 16 };

struct world {
    struct core core;
    char dir[64];
    struct cache *cache;
    struct link links[OTHERS]; /* to 2, 3, … */
    struct raft_server servers[1 + OTHERS];
};

struct fence {
    struct core_request request;
    unsigned told;
};

static void on_done(struct core_request *request)
{
    CONTAINER(request, struct fence, request)->told++;
}

/* Of so many voters this node, 1, leads; the others are linked. */
static void be_of(struct world *w, unsigned n)
{
    struct core *core = &w->core;

    core->links->first = NULL;
    for (unsigned i = 0; i < n; i++) {
        w->servers[i] = (struct raft_server){.id = i + 1, .role = RAFT_VOTER};
    }
    for (unsigned i = n - 1; i > 0; i--) {
        struct link *link = &w->links[i - 1];
        link->core = core;
        link->other.raft_id = i + 1;
        link->next = core->links->first;
        core->links->first = link;
    }
    core->raft.configuration.servers = w->servers;
    core->raft.configuration.n = n;
}

static int world_new(void **state)
{
    struct world *w = mem_zero(sizeof *w);
    struct core *core = &w->core;

    (void)snprintf(w->dir, sizeof w->dir, "/tmp/roster-confirm-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->cache = cache_new(1 << 20);
    core->config = kit_config(w->dir, w->cache);
    core->store_dir = dir_join(w->dir, "store");
    links_init(core);
    kit_open_store(core, w->cache);
    assert_int_equal(uv_loop_init(&core->loop), 0);
    confirm_init(core);
    core->pending_end = &core->pending;
    core->raft_id = 1;
    core->raft_inited = core->leading = true;
    core->raft.current_term = TERM;
    be_of(w, 3);
    *state = w;
    return 0;
}

static int world_free(void **state)
{
    struct world *w = *state;
    struct core *core = &w->core;
    char command[128];

    uv_close((uv_handle_t *)&core->confirm.late, NULL);
    (void)uv_run(&core->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&core->loop), 0);
    core->machine = machine_free(core->machine);
    core->store = store_close(core->store);
    core->links = mem_free(core->links);
    mem_free(core->store_dir);
    for (size_t i = 0; i < OTHERS; i++) {
        buf_done(&w->links[i].out);
    }
    cache_free(w->cache);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    assert_int_equal(system(command), 0);
    mem_free(w);
    return 0;
}

static void ask(struct world *w, struct fence *fence)
{
    *fence = (struct fence){.request.done = on_done};
    confirm_add(&w->core, &fence->request);
    confirm_turn(&w->core);
}

/* How often that node was asked since this was looked at last. */
static size_t n_asked(struct world *w, uint64_t raft_id)
{
    struct buf *out = &w->links[raft_id - 2].out;
    size_t n = out->n / FRAME;

    assert_int_equal(out->n % FRAME, 0);
    buf_clear(out);
    return n;
}

static void hear(struct world *w, uint64_t raft_id)
{
    confirm_heard(&w->core, raft_id, TERM, w->core.confirm.seq);
}

/* A first round of three, of which that node made the majority. */
static void know_as_quick(struct world *w, uint64_t raft_id)
{
    struct fence fence;

    ask(w, &fence);
    assert_int_equal(n_asked(w, 2), 1);
    assert_int_equal(n_asked(w, 3), 1);
    hear(w, raft_id);
    assert_int_equal(fence.told, 1);
}

static void who_made_the_last_majority_is_asked_alone(void **state)
{
    struct world *w = *state;
    struct fence fence;

    know_as_quick(w, 3);
    for (int i = 0; i < 3; i++) {
        ask(w, &fence);
        assert_int_equal(n_asked(w, 2), 0);
        assert_int_equal(n_asked(w, 3), 1);
        assert_int_equal(fence.told, 0);
        hear(w, 3);
        assert_int_equal(fence.told, 1);
    }
}

static void all_are_asked_when_an_answer_is_late(void **state)
{
    struct world *w = *state;
    struct fence fence;

    know_as_quick(w, 3);
    ask(w, &fence);
    assert_int_equal(n_asked(w, 3), 1);
    (void)uv_run(&w->core.loop, UV_RUN_ONCE);
    assert_int_equal(n_asked(w, 2), 1);
    assert_int_equal(n_asked(w, 3), 1);
    hear(w, 2);
    assert_int_equal(fence.told, 1);
    ask(w, &fence);
    assert_int_equal(n_asked(w, 2), 1);
    assert_int_equal(n_asked(w, 3), 0); /* The other is quicker now. */
    hear(w, 2);
}

static void nobody_is_late_when_all_is_answered(void **state)
{
    struct world *w = *state;
    struct fence fence;

    know_as_quick(w, 2);
    ask(w, &fence);
    hear(w, 2);
    assert_int_equal(uv_loop_alive(&w->core.loop), 0);
    ask(w, &fence);
    confirm_lose(&w->core); /* It waits for the next leader. */
    assert_int_equal(uv_loop_alive(&w->core.loop), 0);
}

static void all_are_asked_when_the_last_cannot_make_a_majority(void **state)
{
    struct world *w = *state;
    struct fence fence;

    know_as_quick(w, 3);
    w->links[0].next = NULL; /* That to 3 is gone. */
    ask(w, &fence);
    assert_int_equal(n_asked(w, 2), 1);
    assert_int_equal(n_asked(w, 3), 0);
    hear(w, 2);
    assert_int_equal(fence.told, 1);
    be_of(w, 5);
    ask(w, &fence);
    for (uint64_t raft_id = 2; raft_id <= 5; raft_id++) {
        assert_int_equal(n_asked(w, raft_id), 1);
    }
    hear(w, 2);
    hear(w, 2);
    assert_int_equal(fence.told, 0);
    hear(w, 4);
    assert_int_equal(fence.told, 1);
    ask(w, &fence);
    assert_int_equal(n_asked(w, 2) + n_asked(w, 4), 2);
    assert_int_equal(n_asked(w, 3) + n_asked(w, 5), 0);
    w->servers[3].role = RAFT_STANDBY;
    hear(w, 2);
    hear(w, 4);
    assert_int_equal(fence.told, 0); /* Of four voters, two. */
    hear(w, 5);
    assert_int_equal(fence.told, 1);
}

static void now_and_then_all_are_asked(void **state)
{
    struct world *w = *state;
    struct fence fence;

    know_as_quick(w, 3);
    confirm_tick(&w->core);
    know_as_quick(w, 2);
    ask(w, &fence);
    assert_int_equal(n_asked(w, 2), 1);
    confirm_tick(&w->core); /* Also in the middle of a round. */
    assert_int_equal(n_asked(w, 2), 1);
    assert_int_equal(n_asked(w, 3), 1);
    hear(w, 3);
    assert_int_equal(fence.told, 1);
}

static void what_is_said_of_another_round_or_term_does_not_count(void **state)
{
    struct world *w = *state;
    uint64_t seq = 0;
    struct fence fence;

    know_as_quick(w, 3);
    ask(w, &fence);
    seq = w->core.confirm.seq;
    confirm_heard(&w->core, 3, TERM, seq - 1);
    confirm_heard(&w->core, 3, TERM - 1, seq);
    confirm_heard(&w->core, 9, TERM, seq);
    assert_int_equal(fence.told, 0);
    hear(w, 2); /* Whoever it is. */
    assert_int_equal(fence.told, 1);
}

static bool brings(struct world *w, uint64_t raft_id, bool guest)
{
    const struct core_request fence = {.guest = guest, .raft_id = raft_id};

    return confirm_is_made(&w->core, &fence);
}

/* Two of three are a majority, and who asks has said his term. */
static void a_voters_own_fence_brings_what_it_says(void **state)
{
    struct world *w = *state;

    assert_true(brings(w, 2, true));
    assert_true(brings(w, 3, true));
    assert_false(brings(w, 0, false));
    assert_false(brings(w, 9, true));
    w->servers[1].role = RAFT_STANDBY;
    assert_false(brings(w, 2, true));
    assert_true(brings(w, 3, true)); /* Of two, both. */
    w->servers[0].role = RAFT_SPARE; /* This node: it leaves. */
    assert_false(brings(w, 3, true));
    be_of(w, 4);
    assert_false(brings(w, 2, true));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_made_the_last_majority_is_asked_alone),
        TEST(all_are_asked_when_an_answer_is_late),
        TEST(nobody_is_late_when_all_is_answered),
        TEST(all_are_asked_when_the_last_cannot_make_a_majority),
        TEST(now_and_then_all_are_asked),
        TEST(what_is_said_of_another_round_or_term_does_not_count),
        TEST(a_voters_own_fence_brings_what_it_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
