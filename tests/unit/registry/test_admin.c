/* Work on the whole state: what is asked of the core, and what becomes of it.
 */
#include <dirent.h>
#include <unistd.h>

#include "kit.h"

#define STEP COMMAND_RESTORE_STEP

static void put_lease(struct lease_table *table, struct str hostname,
                      struct ulid id, uint64_t ttl_ms, bool registered,
                      uint64_t mono_ms)
{
    lease_table_put(table,
                    &(struct machine_lease){.hostname = hostname,
                                            .id = id,
                                            .ttl_ms = ttl_ms,
                                            .registered = registered},
                    mono_ms);
}

static int set_up(void **state)
{
    struct kit *k = kit_new();

    k->core.job = (struct core_state_job){
        .info = {.index = 9, .revision = 5, .size = 100, .state = {0xab}},
        .n_rows = 3,
        .n_ns = 4,
        .n_leases = 1,
    };
    (void)snprintf(k->core.job.info.file, sizeof k->core.job.info.file,
                   "state-9");
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    return 0;
}

static enum op_code run(struct kit *k, enum op_kind kind)
{
    return kit_do(k, kind, NULL, NULL, NULL, NULL);
}

static enum op_code restore(struct kit *k)
{
    kit_op(k, OP_RESTORE, NULL, NULL, NULL, NULL)->file = "/an/upload";
    return kit_run(k);
}

/* Files in the spool, which is the store's folder here. */
static unsigned backups(const struct kit *k)
{
    DIR *folder = opendir(k->core.dir);
    const struct dirent *file = NULL;
    unsigned n = 0;

    while ((file = readdir(folder)) != NULL) {
        n += strncmp(file->d_name, "backup-", 7) == 0;
    }
    (void)closedir(folder);
    return n;
}

static void a_backup_is_a_file_without_a_name(void **state)
{
    struct kit *k = *state;
    char text[16] = "";

    assert_int_equal(run(k, OP_BACKUP), OP_OK);
    struct op_file *file = k->op.answer.file;
    assert_non_null(file);
    assert_true(str_is(file->name, "roster-roster-5.backup"));
    assert_int_equal(file->digest.n, 64);
    assert_memory_equal(file->digest.p, "ab00", 4);
    assert_int_equal(file->size, 7);
    assert_int_equal(read(file->fd, text, sizeof text), 7);
    assert_string_equal(text, "a state");
    assert_int_equal(backups(k), 0);
    (void)registry_file_close(file);
}

static void a_backup_is_counted_until_it_is_closed(void **state)
{
    struct kit *k = *state;
    struct op_file *files[4];

    for (int i = 0; i < 4; i++) {
        assert_int_equal(run(k, OP_BACKUP), OP_OK);
        files[i] = k->op.answer.file;
    }
    assert_int_equal(run(k, OP_BACKUP), OP_UNAVAILABLE);
    (void)registry_file_close(files[0]);
    assert_int_equal(run(k, OP_BACKUP), OP_OK);
    files[0] = k->op.answer.file;
    for (int i = 0; i < 4; i++) {
        (void)registry_file_close(files[i]);
    }
}

static void a_backup_that_nobody_takes_leaves_no_file(void **state)
{
    struct kit *k = *state;

    for (int i = 0; i < 6; i++) {
        (void)kit_op(k, OP_BACKUP, NULL, NULL, NULL, NULL);
        assert_int_equal(registry_run(k->registry, &k->op, k->reader), OP_WAIT);
        /* Made, and then given up. */
        assert_int_equal(registry_run(k->registry, &k->op, k->reader), OP_WORK);
        assert_int_equal(backups(k), 1);
        registry_op_done(k->registry, &k->op);
        assert_int_equal(backups(k), 0);
    }
}

static void a_backup_that_is_made_is_sent_also_without_a_worker(void **state)
{
    struct kit *k = *state;

    (void)kit_op(k, OP_BACKUP, NULL, NULL, NULL, NULL);
    assert_int_equal(registry_run(k->registry, &k->op, k->reader), OP_WAIT);
    assert_int_equal(registry_run(k->registry, &k->op, k->reader), OP_WORK);
    k->op.no_worker = true;
    assert_int_equal(registry_run(k->registry, &k->op, k->reader), OP_DONE);
    assert_int_equal(k->op.answer.code, OP_OK);
    assert_int_equal(backups(k), 0);
    (void)registry_file_close(k->op.answer.file);
    k->op.answer.file = NULL;
}

static void the_head_of_a_backup_makes_no_copy(void **state)
{
    struct kit *k = *state;

    kit_op(k, OP_BACKUP, NULL, NULL, NULL, NULL)->head = true;
    assert_int_equal(kit_run(k), OP_OK);
    assert_int_equal(k->core.jobs, 0);
    assert_int_equal(k->op.answer.file->fd, -1);
    (void)registry_file_close(k->op.answer.file);
}

static void each_outcome_of_a_job_has_its_answer(void **state)
{
    static const struct {
        int outcome;
        enum op_code code;
    } cases[] = {
        {ERR_FULL, OP_NO_SPACE}, {ERR_INVALID, OP_BAD_REQUEST},
        {ERR_BUSY, OP_CONFLICT}, {ERR_NOT_READY, OP_UNAVAILABLE},
        {ERR_IO, OP_INTERNAL},
    };
    static const enum op_kind kinds[] = {OP_BACKUP, OP_DIGEST, OP_SNAPSHOT};
    struct kit *k = *state;

    (void)snprintf(k->core.job.why, sizeof k->core.job.why, "it is a pear");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        k->core.job.outcome = cases[i].outcome;
        for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
            assert_int_equal(run(k, kinds[j]), cases[i].code);
        }
        assert_int_equal(restore(k), cases[i].code);
        if (cases[i].outcome == ERR_INVALID) {
            assert_true(kit_says(k, "nothing was changed: it is a pear"));
        }
    }
    assert_int_equal(k->core.submits, 0);
    assert_int_equal(k->core.unstaged, 0);
    /* Nothing is held back after a failure. */
    k->core.job.outcome = 0;
    assert_int_equal(restore(k), OP_OK);
}

static void a_restore_goes_above_both_revisions(void **state)
{
    struct kit *k = *state;

    assert_int_equal(restore(k), OP_OK);
    assert_int_equal(k->core.restored_to, STEP);
    assert_true(kit_says(k, "{\"revision\":4294967296,\"resources\":3,"
                            "\"namespaces\":4,\"leases\":1}"));
    assert_int_equal(k->op.answer.revision, STEP);
    assert_int_equal(restore(k), OP_OK);
    assert_int_equal(k->core.restored_to, 2 * STEP);
    k->core.job.info.revision = 7 * STEP + 1;
    assert_int_equal(restore(k), OP_OK);
    assert_int_equal(k->core.restored_to, 8 * STEP);
}

static void a_restore_that_was_overtaken_is_repeated(void **state)
{
    struct kit *k = *state;

    k->core.moves = 2;
    assert_int_equal(restore(k), OP_OK);
    assert_int_equal(k->core.jobs, 1); /* the file is checked once */
    assert_int_equal(k->core.restored_to, 3 * STEP);
}

static void one_restore_at_a_time(void **state)
{
    struct kit *k = *state;

    k->core.holds_jobs = true;
    (void)restore(k);
    assert_true(k->waits);
    /* The second has memory of its own. */
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct op second = {.kind = OP_RESTORE,
                        .arena = arena,
                        .method = STR("POST"),
                        .path = STR("/"),
                        .file = "/another"};
    assert_int_equal(registry_run(k->registry, &second, k->reader), OP_DONE);
    assert_int_equal(second.answer.code, OP_CONFLICT);
    registry_op_done(k->registry, &second);
    kit_end_job(&k->core);
    assert_int_equal(kit_run(k), OP_OK);
    k->core.holds_jobs = false;
    assert_int_equal(restore(k), OP_OK);
}

static void a_restore_whose_command_was_refused_is_unstaged(void **state)
{
    struct kit *k = *state;

    k->core.outcome = ERR_FULL;
    assert_int_equal(restore(k), OP_NO_SPACE);
    registry_op_done(k->registry, &k->op);
    assert_int_equal(k->core.unstaged, 1);
    k->core.outcome = ERR_UNKNOWN;
    assert_int_equal(restore(k), OP_OUTCOME_UNKNOWN);
    assert_true(k->op.answer.outcome_unknown);
}

static void a_restore_takes_a_file_and_neither_key_nor_condition(void **state)
{
    struct kit *k = *state;

    assert_int_equal(run(k, OP_RESTORE), OP_BAD_REQUEST);
    assert_true(kit_says(k, "empty"));
    struct op *op = kit_op(k, OP_RESTORE, NULL, NULL, NULL, NULL);
    op->file = "/an/upload";
    op->if_.idempotency_key = STR("k");
    assert_int_equal(kit_run(k), OP_BAD_REQUEST);
    op = kit_op(k, OP_RESTORE, NULL, NULL, NULL, NULL);
    op->file = "/an/upload";
    op->if_.if_match = STR("\"1\"");
    assert_int_equal(kit_run(k), OP_BAD_REQUEST);
    kit_op(k, OP_SNAPSHOT, NULL, NULL, NULL, NULL)->if_.idempotency_key =
        STR("k");
    assert_int_equal(kit_run(k), OP_BAD_REQUEST);
    assert_int_equal(k->core.jobs, 0);
    assert_int_equal(k->core.submits, 0);
}

static void a_digest_and_a_snapshot_tell_what_they_are_of(void **state)
{
    struct kit *k = *state;

    assert_int_equal(run(k, OP_DIGEST), OP_OK);
    assert_true(kit_says(k, "{\"revision\":5,\"index\":9,\"digest\":\"ab00"));
    assert_int_equal(run(k, OP_SNAPSHOT), OP_OK);
    assert_true(kit_says(k, "{\"file\":\"state-9\",\"index\":9,"
                            "\"revision\":5,\"bytes\":"));
    assert_int_equal(run(k, OP_SNAPSHOT_LIST), OP_OK);
    assert_true(kit_says(k, "[{\"file\":\"state-1\",\"index\":7,"
                            "\"revision\":6,\"bytes\":5,\"made_ms\":4000}]"));
}

/* What was in the table and is not in the new state is unknown, what is in it
 * has a full TTL. */
static void leases_are_those_of_the_restored_state(void **state)
{
    struct kit *k = *state;

    assert_int_equal(
        kit_do(k, OP_AGENT_PUT, NULL, NULL, NULL, "{\"hostname\":\"stays\"}"),
        OP_CREATED);
    put_lease(k->leases, STR("gone"), (struct ulid){{1}}, 30000, true,
              clock_mono_ms());
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "gone", NULL),
                     OP_NO_CONTENT);
    registry_on_restored(k->registry);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "gone", NULL),
                     OP_NOT_FOUND);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "stays", NULL),
                     OP_NO_CONTENT);
    assert_int_equal(lease_stats(k->leases, clock_mono_ms()).held, 1);
}

static enum op_code register_host(struct kit *k, char first, int i)
{
    char host[32];
    char body[64];

    (void)snprintf(host, sizeof host, "%c%04d", first, i);
    (void)snprintf(body, sizeof body, "{\"hostname\":\"%s\"}", host);
    return kit_do(k, OP_AGENT_PUT, NULL, NULL, NULL, body);
}

static enum op_code beat(struct kit *k, const char *host)
{
    return kit_do(k, OP_HEARTBEAT, NULL, NULL, host, NULL);
}

enum { MANY = 2500 };

static void register_many(struct kit *k)
{
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(register_host(k, 'h', i), OP_CREATED);
    }
}

/* A million take seconds, and the core loop has more to do. */
static void many_leases_are_read_in_several_turns(void **state)
{
    struct kit *k = *state;

    register_many(k);
    registry_on_restored(k->registry);
    assert_int_equal(beat(k, "h0001"), OP_UNAVAILABLE);
    assert_true(kit_turn(k)); /* Others had their turns by now. */
    assert_in_range(lease_stats(k->leases, clock_mono_ms()).held, 1, MANY - 1);

    /* What is applied meanwhile, before and behind the place. */
    assert_int_equal(register_host(k, 'a', 0), OP_CREATED);
    assert_int_equal(register_host(k, 'z', 0), OP_CREATED);
    assert_int_equal(kit_do(k, OP_AGENT_DELETE, NULL, NULL, "h0002", NULL),
                     OP_NO_CONTENT);
    assert_int_equal(kit_do(k, OP_AGENT_DELETE, NULL, NULL, "h2499", NULL),
                     OP_NO_CONTENT);
    while (kit_turn(k)) {
        assert_false(lease_table_serves(k->leases));
    }
    assert_int_equal(lease_stats(k->leases, clock_mono_ms()).held, MANY);
    assert_int_equal(beat(k, "h0001"), OP_NO_CONTENT);
    assert_int_equal(beat(k, "a0000"), OP_NO_CONTENT);
    assert_int_equal(beat(k, "z0000"), OP_NO_CONTENT);
    assert_int_equal(beat(k, "h0002"), OP_NOT_FOUND);
    assert_int_equal(beat(k, "h2499"), OP_NOT_FOUND);
}

static void who_leads_before_all_is_read_serves_afterwards(void **state)
{
    struct kit *k = *state;

    register_many(k);
    k->core.status.leads = false;
    registry_on_lead(k->registry, false);
    registry_on_restored(k->registry);
    registry_on_lead(k->registry, true);
    k->core.status.leads = true;
    assert_false(lease_table_serves(k->leases));
    while (kit_turn(k)) {
    }
    assert_true(lease_table_serves(k->leases));
    assert_int_equal(beat(k, "h2499"), OP_NO_CONTENT);
}

/* One restore after the other; and the end, while it is under way. */
static void what_is_read_may_begin_anew(void **state)
{
    struct kit *k = *state;

    register_many(k);
    registry_on_restored(k->registry);
    (void)kit_turn(k);
    registry_on_restored(k->registry);
    while (kit_turn(k)) {
    }
    assert_int_equal(lease_stats(k->leases, clock_mono_ms()).held, MANY);
    registry_on_restored(k->registry);
    registry_on_restored(k->registry);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_backup_is_a_file_without_a_name),
        TEST(a_backup_is_counted_until_it_is_closed),
        TEST(a_backup_that_nobody_takes_leaves_no_file),
        TEST(a_backup_that_is_made_is_sent_also_without_a_worker),
        TEST(the_head_of_a_backup_makes_no_copy),
        TEST(each_outcome_of_a_job_has_its_answer),
        TEST(a_restore_goes_above_both_revisions),
        TEST(a_restore_that_was_overtaken_is_repeated),
        TEST(one_restore_at_a_time),
        TEST(a_restore_whose_command_was_refused_is_unstaged),
        TEST(a_restore_takes_a_file_and_neither_key_nor_condition),
        TEST(a_digest_and_a_snapshot_tell_what_they_are_of),
        TEST(many_leases_are_read_in_several_turns),
        TEST(who_leads_before_all_is_read_serves_afterwards),
        TEST(what_is_read_may_begin_anew),
        TEST(leases_are_those_of_the_restored_state),
    };
    return cmocka_run_group_tests_name("registry/admin", tests, NULL, NULL);
}
