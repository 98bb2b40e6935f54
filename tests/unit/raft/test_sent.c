/* What becomes of a request that may be in a log: told once, sent again only
 * when it is surely in none. Everything but libraft and the network is real:
 * entries are applied to a store, frames are read as from a link. */

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

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "kit.h"
#include "raft/link.h"

enum { TERM = 3, LINK = 7 };

struct world {
    struct core core;
    char dir[64];
    struct cache *cache;
    uint64_t index; /* of the newest entry */
    struct link link;
};

struct asked {
    struct core_request request;
    struct buf bytes;
    unsigned told;
};

static void on_done(struct core_request *request)
{
    CONTAINER(request, struct asked, request)->told++;
}

/* ---- a core without a loop ---- */

static void apply(struct world *w, struct str command)
{
    struct buf pack = {0};

    command_pack_begin(&pack, 1, ++w->index);
    command_pack_add(&pack, command);
    command_pack_end(&pack);
    assert_int_equal(applied_add(&w->core, w->index, buf_str(&pack)), 0);
    buf_done(&pack);
}

static void apply_command(struct world *w, const struct command *command)
{
    struct buf bytes = {0};

    command_encode(&bytes, command);
    apply(w, buf_str(&bytes));
    buf_done(&bytes);
}

static void apply_epoch(struct world *w, uint64_t term)
{
    struct command command = {.kind = COMMAND_EPOCH, .epoch.term = term};
    apply_command(w, &command);
}

static void commit_and_tell(struct world *w)
{
    assert_int_equal(applied_commit(&w->core), 0);
    sent_tell(&w->core);
}

static void begin_registry(struct world *w)
{
    struct command command = {.kind = COMMAND_INIT};

    memset(command.init.cluster, 1, sizeof command.init.cluster);
    command.init.domain = STR("roster");
    command.init.history_limit = 1000;
    apply_command(w, &command);
    commit_and_tell(w);
}

static int world_new(void **state)
{
    struct world *w = mem_zero(sizeof *w);
    struct core *core = &w->core;

    log_start(LOG_ERROR, LOG_TEXT);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/roster-sent-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->cache = cache_new(1 << 20);
    core->config = kit_config(w->dir, w->cache);
    core->store_dir = dir_join(w->dir, "store");
    staged_init(core);
    order_init(core);
    applied_init(core);
    questions_init(core);
    links_init(core);
    members_init(core);
    core->scratch = arena_new();
    kit_open_store(core, w->cache);
    begin_registry(w);
    core->raft.current_term = TERM;
    w->link.core = core;
    w->link.id = LINK;
    w->link.dialled = true;
    w->link.leads_term = TERM;
    core->links->first = core->links->leader = &w->link;
    *state = w;
    return 0;
}

static int world_free(void **state)
{
    struct world *w = *state;
    struct core *core = &w->core;
    char command[128];

    applied_done(core);
    staged_done(core);
    core->machine = machine_free(core->machine);
    core->store = store_close(core->store);
    members_done(core);
    core->links = mem_free(core->links);
    core->scratch = arena_free(core->scratch);
    mem_free(core->store_dir);
    buf_done(&w->link.out);
    cache_free(w->cache);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    assert_int_equal(system(command), 0);
    mem_free(w);
    return 0;
}

/* ---- requests ---- */

static void ask(struct asked *asked, uint64_t row)
{
    *asked = (struct asked){.told = 0};
    kit_row(&asked->bytes, row, 10);
    asked->request.command = buf_str(&asked->bytes);
    asked->request.done = on_done;
    asked->request.since_us = clock_mono_us();
}

static void asked_done(struct asked *asked)
{
    machine_result_done(&asked->request.result);
    buf_done(&asked->bytes);
}

/* It goes out; what is sent is in its bytes. */
static void send_over(struct world *w, struct asked *asked, uint64_t term,
                      uint64_t link)
{
    sent_add(&w->core, &asked->request, term, link);
    sent_write_id(&w->core, &asked->request, asked->bytes.p);
}

static bool waits(const struct world *w, const struct asked *asked)
{
    for (const struct queue_link *at = w->core.pending; at != NULL;
         at = at->next) {
        if (at == &asked->request.link) {
            return true;
        }
    }
    return false;
}

static void stop_waiting(struct world *w)
{
    w->core.pending = NULL;
    w->core.pending_end = &w->core.pending;
}

static void hear(struct world *w, enum frame_type type, struct buf *fields)
{
    assert_int_equal(
        frame_read(&w->core, &w->link, (uint8_t)type, buf_str(fields)), 0);
    buf_done(fields);
}

static void hear_refused(struct world *w, uint64_t seq, int code)
{
    struct buf fields = {0};

    buf_add_le(&fields, seq, 8);
    buf_add_le(&fields, (uint64_t)code, 4);
    hear(w, FRAME_REFUSED, &fields);
}

static void hear_index(struct world *w, uint64_t seq, int code, uint64_t index)
{
    struct buf fields = {0};

    buf_add_le(&fields, seq, 8);
    buf_add_le(&fields, (uint64_t)code, 4);
    buf_add_le(&fields, index, 8);
    hear(w, FRAME_INDEX, &fields);
}

/* ---- a later term ---- */

static void what_was_not_seen_before_a_later_epoch_is_sent_again(void **state)
{
    struct world *w = *state;
    struct asked one;

    ask(&one, 1);
    send_over(w, &one, TERM, LINK);
    apply_epoch(w, TERM);
    commit_and_tell(w);
    assert_false(waits(w, &one)); /* Its own term. */
    apply_epoch(w, TERM + 1);
    assert_false(waits(w, &one)); /* Not committed. */
    commit_and_tell(w);
    assert_true(waits(w, &one));
    assert_int_equal(w->core.n_sent, 0);
    assert_int_equal(one.told, 0);
    stop_waiting(w);
    asked_done(&one);
}

static void what_was_seen_is_told_and_not_sent_again(void **state)
{
    struct world *w = *state;
    struct asked one;

    ask(&one, 1);
    send_over(w, &one, TERM, LINK);
    apply(w, buf_str(&one.bytes));
    apply_epoch(w, TERM + 1);
    assert_int_equal(one.told, 0);
    commit_and_tell(w);
    assert_int_equal(one.told, 1);
    assert_int_equal(one.request.outcome, 0);
    assert_true(one.request.result.revision > 0);
    assert_null(w->core.pending);
    apply_epoch(w, TERM + 2);
    commit_and_tell(w);
    assert_int_equal(one.told, 1);
    asked_done(&one);
}

static void what_waits_for_its_commit_is_left_alone(void **state)
{
    struct world *w = *state;
    struct asked one;

    ask(&one, 1);
    send_over(w, &one, TERM, LINK);
    apply(w, buf_str(&one.bytes));
    sent_lost(&w->core, TERM, LINK + 1);
    sent_refused(&w->core, TERM, ERR_NOT_READY);
    hear_refused(w, one.request.seq, ERR_NOT_READY);
    sent_tick(&w->core, UINT64_MAX);
    assert_int_equal(one.told, 0);
    assert_false(waits(w, &one));
    commit_and_tell(w);
    assert_int_equal(one.told, 1);
    asked_done(&one);
}

/* ---- a refusal ---- */

static void a_refusal_of_an_earlier_attempt_says_nothing(void **state)
{
    struct world *w = *state;
    struct asked one;

    ask(&one, 1);
    send_over(w, &one, TERM, LINK);
    uint64_t first = one.request.seq;
    apply_epoch(w, TERM + 1);
    commit_and_tell(w);
    assert_true(waits(w, &one));
    stop_waiting(w);
    w->link.leads_term = w->core.raft.current_term = TERM + 1;
    send_over(w, &one, TERM + 1, LINK);
    hear_refused(w, first, ERR_NOT_READY);
    assert_false(waits(w, &one));
    assert_int_equal(w->link.leads_term, TERM + 1);
    apply(w, buf_str(&one.bytes));
    commit_and_tell(w);
    assert_int_equal(one.told, 1);
    assert_int_equal(one.request.outcome, 0);
    asked_done(&one);
}

static void who_was_not_asked_cannot_refuse(void **state)
{
    struct world *w = *state;
    struct asked one, other;

    ask(&one, 1);
    ask(&other, 2);
    send_over(w, &one, TERM, LINK - 1);
    send_over(w, &other, TERM, 0);
    hear_refused(w, one.request.seq, ERR_FULL);
    hear_refused(w, other.request.seq, ERR_FULL);
    hear_refused(w, other.request.seq + 1, ERR_FULL);
    assert_int_equal(one.told + other.told, 0);
    assert_int_equal(w->core.n_sent, 2);
    sent_forget(&w->core);
    asked_done(&one);
    asked_done(&other);
}

static void what_a_leader_does_not_take_waits_or_ends(void **state)
{
    struct world *w = *state;
    struct asked one, two, three;

    ask(&one, 1);
    ask(&two, 2);
    ask(&three, 3);
    send_over(w, &one, TERM, LINK);
    send_over(w, &two, TERM, LINK);
    send_over(w, &three, TERM, LINK);
    hear_refused(w, one.request.seq, ERR_FULL);
    assert_int_equal(one.told, 1);
    assert_int_equal(one.request.outcome, ERR_FULL);
    hear_refused(w, two.request.seq, ERR_UNKNOWN); /* No such word. */
    assert_int_equal(two.request.outcome, ERR_NOT_READY);
    hear_refused(w, three.request.seq, ERR_NOT_READY);
    assert_true(waits(w, &three));
    assert_false(links_usable(&w->core));
    stop_waiting(w);
    asked_done(&one);
    asked_done(&two);
    asked_done(&three);
}

static void a_pack_that_was_refused_waits_again(void **state)
{
    struct world *w = *state;
    struct asked one, duty, guest;

    ask(&one, 1);
    ask(&duty, 2);
    ask(&guest, 3);
    duty.request.local = true;
    send_over(w, &one, TERM, 0);
    send_over(w, &duty, TERM, 0);
    send_over(w, &guest, TERM, LINK);
    sent_refused(&w->core, TERM, ERR_NOT_READY);
    assert_true(waits(w, &one));
    assert_int_equal(duty.request.outcome, ERR_NOT_READY);
    assert_int_equal(guest.told, 0);
    stop_waiting(w);
    sent_forget(&w->core);
    asked_done(&one);
    asked_done(&duty);
    asked_done(&guest);
}

/* ---- a link that broke ---- */

static void behind_a_fence_what_older_links_lost_is_known(void **state)
{
    struct world *w = *state;
    struct asked lost, seen, own, newer;

    ask(&lost, 1);
    ask(&seen, 2);
    ask(&own, 3);
    ask(&newer, 4);
    send_over(w, &lost, TERM, LINK - 1);
    send_over(w, &seen, TERM, LINK - 1);
    send_over(w, &own, TERM, 0);
    send_over(w, &newer, TERM, LINK);
    w->link.flush_seq = 40;
    w->link.flush_term = TERM;
    hear_index(w, 40, 0, w->index + 1);
    links_forward(&w->core); /* Its entry is not here yet. */
    assert_false(waits(w, &lost));
    apply(w, buf_str(&seen.bytes));
    commit_and_tell(w);
    links_forward(&w->core);
    assert_true(waits(w, &lost));
    assert_int_equal(seen.told, 1);
    assert_int_equal(w->core.n_sent, 2);
    stop_waiting(w);
    sent_forget(&w->core);
    assert_int_equal(own.request.outcome, ERR_UNKNOWN);
    assert_int_equal(newer.request.outcome, ERR_UNKNOWN);
    asked_done(&lost);
    asked_done(&seen);
    asked_done(&own);
    asked_done(&newer);
}

static void a_flush_that_was_refused_is_asked_again(void **state)
{
    struct world *w = *state;

    w->link.flush_seq = 40;
    w->link.flush_term = TERM;
    hear_index(w, 40, ERR_NOT_READY, 0);
    assert_false(links_usable(&w->core));
    assert_int_equal(w->link.flush_seq, 0);
    assert_int_equal(w->core.links->flush_link, 0);
}

/* ---- fences ---- */

static void only_the_leader_says_what_is_to_be_awaited(void **state)
{
    struct world *w = *state;
    struct asked fence;
    struct link other = {.core = &w->core, .id = LINK + 1};
    struct buf fields = {0};

    ask(&fence, 1);
    fence.request.command.n = 0;
    w->core.asked = &fence.request.link;
    w->link.fence_seq = 50;
    buf_add_le(&fields, 0, 8); /* It has no fence out: 0 is none. */
    buf_add_le(&fields, 0, 4);
    buf_add_le(&fields, 0, 8);
    assert_int_equal(
        frame_read(&w->core, &other, FRAME_INDEX, buf_str(&fields)), 0);
    buf_done(&fields);
    hear_index(w, 49, 0, 1);
    assert_ptr_equal(w->core.asked, &fence.request.link);
    hear_index(w, 50, 0, w->index + 5);
    assert_null(w->core.asked);
    assert_ptr_equal(w->core.awaited, &fence.request.link);
    assert_int_equal(fence.request.index, w->index + 5);
    asked_done(&fence);
}

static void a_leader_repeats_that_it_leads(void **state)
{
    struct world *w = *state;
    struct buf status = {0};

    members_status_write(&w->core, &status);
    assert_int_equal(
        frame_read(&w->core, &w->link, FRAME_STATUS, buf_str(&status)), 0);
    assert_int_equal(w->link.out.n, 0); /* It does not. */
    w->core.leading = true;
    hear(w, FRAME_STATUS, &status);
    assert_int_equal(w->link.out.n, 4 + 1 + 8);
    assert_int_equal((uint8_t)w->link.out.p[4], FRAME_LEADS);
    assert_int_equal(le_get(w->link.out.p + 5, 8), TERM);
}

/* ---- on the leader ---- */

static int bring(struct world *w, const struct command *command)
{
    struct buf fields = {0}, bytes = {0};

    command_encode(&bytes, command);
    buf_add_le(&fields, TERM, 8);
    buf_add_le(&fields, 1, 8);
    buf_add_le(&fields, 1, 1);
    buf_add_le(&fields, bytes.n, 4);
    buf_add_str(&fields, buf_str(&bytes));
    int r = frame_read(&w->core, &w->link, FRAME_COMMANDS, buf_str(&fields));
    buf_done(&fields);
    buf_done(&bytes);
    return r;
}

static void nobody_else_begins_a_leadership(void **state)
{
    struct world *w = *state;
    struct command command = {.kind = COMMAND_EPOCH, .epoch.term = TERM + 1};

    w->core.leading = true;
    assert_int_equal(bring(w, &command), ERR_INVALID);
    assert_null(w->core.pending);
    command = (struct command){.kind = COMMAND_RECLAIM};
    assert_int_equal(bring(w, &command), 0);
    assert_non_null(w->core.pending);
    order_refuse_all(&w->core);
}

/* Else the loss of the node that has it would stop all others. */
static void a_restore_waits_until_its_file_is_here(void **state)
{
    struct world *w = *state;
    struct core *core = &w->core;
    struct command command = {.kind = COMMAND_RESTORE};

    command.restore.file = STR("staged-0000000000000001-00000001");
    core->leading = core->raft_inited = true;
    core->raft.state = RAFT_LEADER;
    assert_int_equal(bring(w, &command), 0);
    order_turn(core, 0);
    assert_non_null(core->fetching);
    assert_false(core->pack.in_flight);
    assert_false(order_idle(core));
    order_turn(core, 0); /* Nobody is there who could have it. */
    assert_null(core->fetching);
    assert_int_equal((uint8_t)w->link.out.p[4], FRAME_REFUSED);
    assert_int_not_equal(le_get(w->link.out.p + 13, 4), ERR_NOT_READY);
    buf_clear(&w->link.out);
    assert_int_equal(bring(w, &command), 0);
    order_turn(core, 0);
    core->links->first = NULL; /* Its node sends it again, if at all. */
    order_turn(core, 0);
    assert_null(core->fetching);
    assert_null(core->pending);
    core->raft_inited = false;
}

/* ---- what cannot be known ---- */

static void a_state_of_another_node_leaves_them_unknown(void **state)
{
    struct world *w = *state;
    struct asked one, open;

    ask(&one, 1);
    ask(&open, 2);
    send_over(w, &one, TERM, LINK);
    send_over(w, &open, TERM, LINK);
    apply(w, buf_str(&open.bytes));
    sent_forget(&w->core);
    assert_int_equal(one.request.outcome, ERR_UNKNOWN);
    assert_int_equal(open.request.outcome, ERR_UNKNOWN);
    assert_int_equal(w->core.n_sent, 0);
    commit_and_tell(w);
    assert_int_equal(one.told, 1);
    assert_int_equal(open.told, 1);
    asked_done(&one);
    asked_done(&open);
}

static void what_is_passed_by_is_unknown_and_the_rest_is_told(void **state)
{
    struct world *w = *state;
    struct asked one, open;

    ask(&one, 1);
    ask(&open, 2);
    send_over(w, &one, TERM, LINK);
    send_over(w, &open, TERM, LINK);
    apply(w, buf_str(&open.bytes));
    sent_passed(&w->core);
    assert_int_equal(one.request.outcome, ERR_UNKNOWN);
    assert_int_equal(open.told, 0);
    commit_and_tell(w);
    assert_int_equal(open.told, 1);
    assert_int_equal(open.request.outcome, 0);
    asked_done(&one);
    asked_done(&open);
}

static void without_a_leader_they_are_unknown_in_the_end(void **state)
{
    struct world *w = *state;
    struct asked one;
    uint64_t now = clock_mono_ms();

    ask(&one, 1);
    send_over(w, &one, TERM, LINK);
    w->core.usable_ms = now;
    sent_tick(&w->core, now + CORE_HOLD_MS - 1);
    assert_int_equal(one.told, 0);
    sent_tick(&w->core, now + CORE_HOLD_MS + 1);
    assert_int_equal(one.told, 1);
    assert_int_equal(one.request.outcome, ERR_UNKNOWN);
    asked_done(&one);
}

static void a_new_leadership_does_not_wait_for_its_last_one(void **state)
{
    struct world *w = *state;
    struct asked epoch, other;

    ask(&epoch, 1);
    ask(&other, 2);
    epoch.request.local = true;
    epoch.request.since_us -= 2000ULL * ELECTION_MS;
    other.request.since_us -= 2000ULL * ELECTION_MS;
    send_over(w, &epoch, TERM, 0);
    send_over(w, &other, TERM, 0);
    sent_tick(&w->core, w->core.usable_ms);
    assert_int_equal(epoch.told, 0); /* It is of this one. */
    w->core.raft.current_term = TERM + 1;
    sent_tick(&w->core, w->core.usable_ms);
    assert_int_equal(epoch.request.outcome, ERR_UNKNOWN);
    assert_int_equal(other.told, 0);
    sent_forget(&w->core);
    asked_done(&epoch);
    asked_done(&other);
}

/* ---- applied again ---- */

/* What stalls keeps all entries since it began, and the first of them may have
 * been committed: they are passed by, and what they said stands. */
static void what_is_committed_keeps_what_it_said(void **state)
{
    struct world *w = *state;
    struct asked one;
    struct buf bytes = {0};

    ask(&one, 1);
    send_over(w, &one, TERM, LINK);
    command_pack_begin(&bytes, 1, 1);
    command_pack_add(&bytes, buf_str(&one.bytes));
    command_pack_end(&bytes);
    struct machine_result *results =
        sent_expect(&w->core, ++w->index, buf_str(&bytes));
    assert_non_null(results);
    assert_int_equal(
        machine_apply(w->core.machine, w->index, buf_str(&bytes), results), 0);
    /* Again before its commit: into the same places, which are empty. */
    machine_abort(w->core.machine);
    assert_ptr_equal(sent_expect(&w->core, w->index, buf_str(&bytes)), results);
    assert_int_equal(results->revision, 0);
    assert_int_equal(
        machine_apply(w->core.machine, w->index, buf_str(&bytes), results), 0);
    assert_int_equal(machine_commit(w->core.machine), 0);
    assert_null(sent_expect(&w->core, w->index, buf_str(&bytes)));
    sent_tell(&w->core);
    assert_int_equal(one.told, 1);
    assert_true(one.request.result.revision > 0);
    buf_done(&bytes);
    asked_done(&one);
}

/* ---- a state file that a RESTORE names ---- */

static void a_file_is_kept_while_its_restore_may_be_in_a_log(void **state)
{
    struct world *w = *state;
    static const char file[] = "staged-0000000000000001-00000001";
    struct command command = {.kind = COMMAND_RESTORE};
    struct asked one = {.request.done = on_done};
    struct staged *staged = staged_add(&w->core, str_of(file));

    command.restore.file = str_of(file);
    command_encode(&one.bytes, &command);
    one.request.command = buf_str(&one.bytes);
    send_over(w, &one, TERM, LINK);
    assert_true(staged->sent);
    hear_refused(w, one.request.seq, ERR_NOT_READY);
    assert_false(staged->sent); /* Surely in none. */
    stop_waiting(w);
    send_over(w, &one, TERM, LINK);
    sent_forget(&w->core);
    assert_int_equal(one.request.outcome, ERR_UNKNOWN);
    core_state_unstage(&w->core, file);
    assert_false(staged->unwanted);
    asked_done(&one);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_not_seen_before_a_later_epoch_is_sent_again),
        TEST(what_was_seen_is_told_and_not_sent_again),
        TEST(what_waits_for_its_commit_is_left_alone),
        TEST(a_refusal_of_an_earlier_attempt_says_nothing),
        TEST(who_was_not_asked_cannot_refuse),
        TEST(what_a_leader_does_not_take_waits_or_ends),
        TEST(a_pack_that_was_refused_waits_again),
        TEST(behind_a_fence_what_older_links_lost_is_known),
        TEST(a_flush_that_was_refused_is_asked_again),
        TEST(only_the_leader_says_what_is_to_be_awaited),
        TEST(a_leader_repeats_that_it_leads),
        TEST(nobody_else_begins_a_leadership),
        TEST(a_restore_waits_until_its_file_is_here),
        TEST(a_state_of_another_node_leaves_them_unknown),
        TEST(what_is_passed_by_is_unknown_and_the_rest_is_told),
        TEST(without_a_leader_they_are_unknown_in_the_end),
        TEST(a_new_leadership_does_not_wait_for_its_last_one),
        TEST(what_is_committed_keeps_what_it_said),
        TEST(a_file_is_kept_while_its_restore_may_be_in_a_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
