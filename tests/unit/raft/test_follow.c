/* Three nodes in one process over real connections: one that was away for so
 * long that the log does not lead to it any more gets the state, whatever
 * happens on the way. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit_node.h"

enum { NODES = 3, PAD = 60 * 1000 };

struct cluster {
    char text[128], listen[NODES][32];
    struct node *nodes[NODES];
};

/* ---- nodes ---- */

/* Who leads is decided by all. */
static void begin(struct node *node)
{
    assert_int_equal(kit_open(node), 0);
    kit_run(node);
}

static struct cluster *cluster_new(void)
{
    struct cluster *c = mem_zero(sizeof *c);
    size_t at = 0;

    for (unsigned i = 0; i < NODES; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "n%u", i + 1);
        kit_address(c->listen[i], sizeof c->listen[i]);
        struct node *node = c->nodes[i] = kit_new(id, "follow");
        node->config.raft_listen = node->config.raft_address = c->listen[i];
        node->config.cluster = c->text;
        at += (size_t)snprintf(c->text + at, sizeof c->text - at, "%s%s=%s",
                               i == 0 ? "" : ",", id, c->listen[i]);
    }
    for (unsigned i = 0; i < NODES; i++) {
        begin(c->nodes[i]);
    }
    return c;
}

static void cluster_free(struct cluster *c)
{
    for (unsigned i = 0; i < NODES; i++) {
        kit_stop(c->nodes[i]);
        kit_free(c->nodes[i]);
    }
    mem_free(c);
}

static struct node *leader_of(struct cluster *c)
{
    for (;;) {
        for (unsigned i = 0; i < NODES; i++) {
            struct node *node = c->nodes[i];
            if (node->core != NULL && core_status(node->core).leads) {
                return node;
            }
        }
        (void)usleep(5000);
    }
}

static struct node *follower_of(struct cluster *c)
{
    struct node *leader = leader_of(c);
    return leader == c->nodes[0] ? c->nodes[1] : c->nodes[0];
}

/* ---- rows ---- */

static void wait_for(struct node *node, uint64_t rows)
{
    while (kit_count(node) != rows) {
        (void)usleep(5000);
    }
}

/* ---- jobs ---- */

static struct core_state_job do_job(struct node *node,
                                    enum core_state_kind kind, const char *path)
{
    struct kit_job job;

    assert_int_equal(kit_job(node, &job, kind, path), 0);
    return job.job;
}

/* Digests are of some index: those of the same one are held against each other.
 */
static void are_equal(struct cluster *c)
{
    struct state_info first, other;
    unsigned equal = 1;

    while (equal < NODES) {
        first = do_job(c->nodes[0], CORE_STATE_DIGEST, NULL).info;
        for (equal = 1; equal < NODES; equal++) {
            other = do_job(c->nodes[equal], CORE_STATE_DIGEST, NULL).info;
            if (other.index != first.index) {
                break;
            }
            assert_memory_equal(first.state, other.state, sizeof first.state);
        }
    }
}

/* Until it has to be given the state: what the leader had sent before it was
 * gone may still lead it to where the log begins. *ret_rows: how many there are
 * then. */
static void leave_behind(struct cluster *c, struct node *away,
                         uint64_t *ret_rows)
{
    uint64_t rows = *ret_rows;

    do {
        struct node *leader = NULL;
        kit_stop(away);
        leader = leader_of(c);
        kit_add_rows(leader, rows, rows + 200, PAD);
        rows += 200;
        (void)do_job(leader, CORE_STATE_SNAPSHOT, NULL);
        (void)usleep(500000);
        begin(away);
        while (kit_count(away) < rows && core_stats(away->core).installs == 0) {
            (void)usleep(1000);
        }
    } while (core_stats(away->core).installs == 0);
    *ret_rows = rows;
}

static void a_node_behind_the_log_gets_the_state(void **state)
{
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    uint64_t rows = 10;

    (void)state;
    kit_add_rows(leader_of(c), 0, rows, 20);
    wait_for(away, rows);
    leave_behind(c, away, &rows);
    wait_for(away, rows);
    struct core_stats stats = core_stats(away->core);
    assert_int_equal(stats.installs, 1);
    assert_true(stats.fetches >= 1 && stats.fetches_failed == 0);
    assert_int_equal(atomic_load(&away->restored), 1);
    assert_false(core_status(away->core).installing);
    kit_add_rows(away, rows, rows + 20, 20);
    are_equal(c);
    /* It is a node like any other, after a start too. */
    kit_stop(away);
    kit_add_rows(leader_of(c), rows + 20, rows + 30, 20);
    begin(away);
    wait_for(away, rows + 30);
    assert_int_equal(core_stats(away->core).installs, 0);
    are_equal(c);
    cluster_free(c);
}

/* Its leader, and its own clients, have their turns in between. */
static void who_catches_up_applies_in_turns(void **state)
{
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    uint64_t rows = 10;

    (void)state;
    kit_add_rows(leader_of(c), 0, rows, 20);
    wait_for(away, rows);
    kit_stop(away);
    for (unsigned i = 0; i < 60; i++) {
        kit_add_rows(leader_of(c), rows, rows + 5, 20);
        rows += 5;
    }
    away->config.apply_us = 1; /* one entry a turn */
    begin(away);
    kit_add_rows(away, rows, rows + 10, 20);
    assert_int_equal(kit_count(away), rows + 10);
    assert_true(core_stats(away->core).put_off > 20);
    assert_int_equal(core_stats(away->core).installs, 0);
    (void)do_job(away, CORE_STATE_SNAPSHOT, NULL);
    are_equal(c);
    kit_stop(away);
    begin(away);
    are_equal(c);
    cluster_free(c);
}

/* A list of so many rows in the pool. */
static void write_list(struct buf *bytes, size_t n)
{
    struct command c = {.kind = COMMAND_LIST_PUT};
    struct command_row_item *rows = mem_zero(n * sizeof *rows);

    for (size_t i = 0; i < n; i++) {
        rows[i].fields = STR("\"x\":\"1\"");
        rows[i].secret = STR("");
    }
    c.list_put = (struct command_list_put){.ns = STORE_POOL,
                                           .type = STR("list"),
                                           .key_field = STR(""),
                                           .rows = rows,
                                           .n_rows = n};
    c.list_put.first_id.b[0] = 1;
    command_encode(bytes, &c);
    mem_free(rows);
}

/* What is handed in behind it waits and comes behind it, on each node. */
static void a_long_list_is_put_in_turns(void **state)
{
    enum { LISTED = 600, BESIDE = 20 };
    struct cluster *c = cluster_new();
    struct kit_call put, calls[BESIDE];
    struct buf list = {0}, rows[BESIDE] = {{0}};

    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        kit_stop(c->nodes[i]);
        c->nodes[i]->config.apply_us = 1;
        c->nodes[i]->config.apply_rows = 10;
    }
    for (unsigned i = 0; i < NODES; i++) {
        begin(c->nodes[i]);
    }
    struct node *leader = leader_of(c);
    write_list(&list, LISTED);
    kit_send(leader->core, &put, buf_str(&list));
    for (size_t i = 0; i < BESIDE; i++) {
        kit_row(&rows[i], i, 20);
        kit_send(c->nodes[i % NODES]->core, &calls[i], buf_str(&rows[i]));
    }
    assert_int_equal(kit_hear(&put), 0);
    for (size_t i = 0; i < BESIDE; i++) {
        assert_int_equal(kit_hear(&calls[i]), 0);
        buf_done(&rows[i]);
    }
    are_equal(c);
    for (unsigned i = 0; i < NODES; i++) {
        wait_for(c->nodes[i], BESIDE);
        assert_true(core_stats(c->nodes[i]->core).put_off > LISTED / 10);
    }
    buf_done(&list);
    cluster_free(c);
}

/* It never has all that is committed, and its clients hear of what it has. */
static void who_is_always_behind_serves(void **state)
{
    enum { LISTED = 8000, AHEAD = 2, MOST = 200 };
    struct cluster *c = cluster_new();
    struct node *behind = follower_of(c);
    struct buf list = {0}, row = {0};
    struct kit_call put, call;
    bool heard = false;

    (void)state;
    kit_stop(behind);
    behind->config.apply_us = 1;
    behind->config.apply_rows = 1;
    begin(behind);
    struct node *leader = leader_of(c);
    write_list(&list, LISTED);
    for (unsigned n = 0; n < MOST && !heard; n++) {
        kit_send(leader->core, &put, buf_str(&list));
        assert_int_equal(kit_hear(&put), 0);
        if (n == AHEAD) {
            kit_row(&row, 0, 20);
            kit_send(behind->core, &call, buf_str(&row));
        }
        heard = n >= AHEAD && sem_trywait(&call.done) == 0;
    }
    assert_true(heard);
    (void)sem_post(&call.done);
    assert_int_equal(kit_hear(&call), 0);
    buf_done(&list);
    buf_done(&row);
    cluster_free(c);
}

/* In the middle of it, most of the time. */
static void who_stops_within_a_long_list_has_all_of_it_or_nothing(void **state)
{
    enum { LISTED = 2000 };
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    struct buf list = {0};
    struct kit_call put;

    (void)state;
    kit_stop(away);
    away->config.apply_us = 1;
    away->config.apply_rows = 1;
    write_list(&list, LISTED);
    begin(away);
    kit_send(leader_of(c)->core, &put, buf_str(&list));
    assert_int_equal(kit_hear(&put), 0);
    kit_stop(away);
    begin(away);
    kit_add_rows(leader_of(c), 0, 5, 20);
    wait_for(away, 5);
    are_equal(c);
    buf_done(&list);
    cluster_free(c);
}

static void rows_go_on_while_a_state_is_installed(void **state)
{
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    uint64_t rows = 10;

    (void)state;
    kit_add_rows(leader_of(c), 0, rows, 20);
    leave_behind(c, away, &rows);
    for (unsigned i = 0; i < 100; i++) {
        kit_add_rows(leader_of(c), rows, rows + 10, 1000);
        rows += 10;
    }
    kit_add_rows(away, rows, rows + 10, 20);
    are_equal(c);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(kit_count(c->nodes[i]), rows + 10);
    }
    assert_int_equal(core_stats(away->core).installs, 1);
    cluster_free(c);
}

/* Several megabytes are out at the same time: a socket takes them in parts. */
static void more_than_a_socket_takes_comes_through_a_follower(void **state)
{
    enum { LARGE = 64, LARGE_PAD = 150 << 10 };
    struct cluster *c = cluster_new();
    struct node *away = follower_of(c);
    struct kit_call calls[LARGE];
    struct buf bytes[LARGE] = {{0}};

    (void)state;
    for (uint64_t i = 0; i < LARGE; i++) {
        kit_row(&bytes[i], i, LARGE_PAD);
    }
    for (size_t i = 0; i < LARGE; i++) {
        kit_send(away->core, &calls[i], buf_str(&bytes[i]));
    }
    for (size_t i = 0; i < LARGE; i++) {
        assert_int_equal(kit_hear(&calls[i]), 0);
        buf_done(&bytes[i]);
    }
    assert_int_equal(core_stats(away->core).resent, 0);
    are_equal(c);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(kit_count(c->nodes[i]), LARGE);
    }
    cluster_free(c);
}

static void a_restore_at_any_node_is_one_everywhere(void **state)
{
    struct cluster *c = cluster_new();
    struct node *node = follower_of(c);
    char path[512];

    (void)state;
    kit_add_rows(node, 0, 25, 20);
    (void)snprintf(path, sizeof path, "%s/spool/up", node->dir);
    (void)do_job(node, CORE_STATE_EXPORT, path);
    struct core_state_job job = do_job(node, CORE_STATE_STAGE, path);
    kit_add_rows(leader_of(c), 25, 50, 20);
    assert_int_equal(kit_restore(node, &job, COMMAND_RESTORE_STEP), 0);
    assert_int_equal(kit_count(node), 25);
    kit_add_rows(node, 25, 30, 20);
    for (unsigned i = 0; i < NODES; i++) {
        wait_for(c->nodes[i], 30);
        assert_int_equal(c->nodes[i]->restored, 1);
    }
    are_equal(c);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_behind_the_log_gets_the_state),
        cmocka_unit_test(who_catches_up_applies_in_turns),
        cmocka_unit_test(a_long_list_is_put_in_turns),
        cmocka_unit_test(who_is_always_behind_serves),
        cmocka_unit_test(who_stops_within_a_long_list_has_all_of_it_or_nothing),
        cmocka_unit_test(rows_go_on_while_a_state_is_installed),
        cmocka_unit_test(a_restore_at_any_node_is_one_everywhere),
        cmocka_unit_test(more_than_a_socket_takes_comes_through_a_follower),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
