/* Operations on their way: gates, waits, retries, outcomes, replays. */
#include "kit.h"

#define NS "web.roster"

static int set_up(void **state)
{
    struct kit *k = kit_new();

    assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL,
                            "{\"parent\":\"roster\",\"name\":\"web\","
                            "\"match\":\"^web-\"}"),
                     OP_CREATED);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    return 0;
}

static enum op_code add(struct kit *k, const char *body)
{
    return kit_do(k, OP_LIST_ADD, NS, "service", NULL, body);
}

/* ---- gates ---- */

static void a_node_that_has_not_caught_up_reads_nothing(void **state)
{
    struct kit *k = *state;

    k->core.status.caught_up = false;
    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "service", NULL, NULL),
                     OP_UNAVAILABLE);
    assert_int_equal(k->op.answer.retry_after_s, 1);
}

static void without_a_leader_reads_go_on_and_writes_are_not_done(void **state)
{
    struct kit *k = *state;

    k->core.status.leads = false;
    k->core.status.leader = 0;
    k->core.outcome = ERR_NOT_READY;
    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "service", NULL, NULL), OP_OK);
    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_UNAVAILABLE);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-1", NULL),
                     OP_UNAVAILABLE);
}

static void heartbeats_wait_for_a_lease_table_that_serves(void **state)
{
    struct kit *k = *state;

    registry_on_lead(k->registry, false);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-1", NULL),
                     OP_UNAVAILABLE);
    registry_on_lead(k->registry, true);
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-1", NULL),
                     OP_NOT_FOUND);
}

/* ---- waits ---- */

static void a_read_waits_for_its_revision(void **state)
{
    struct kit *k = *state;
    struct op *op = kit_op(k, OP_LIST_GET, NS, "service", NULL, NULL);

    op->if_.min_revision = k->core.status.revision + 1;
    (void)kit_run(k);
    assert_true(k->waits);
    registry_on_revision(k->registry, op->if_.min_revision - 1);
    assert_true(k->waits);
    k->core.status.revision++;
    registry_on_revision(k->registry, op->if_.min_revision);
    assert_false(k->waits);
    assert_int_equal(kit_run(k), OP_OK);
}

/* What another leader has committed comes to this node too. */
static void who_waits_for_a_revision_does_not_need_a_leader(void **state)
{
    struct kit *k = *state;
    struct op *op = kit_op(k, OP_LIST_GET, NS, "service", NULL, NULL);

    k->core.status.leads = false;
    op->if_.min_revision = k->core.status.revision + 1;
    (void)kit_run(k);
    assert_true(k->waits);
    registry_on_lead(k->registry, false);
    assert_true(k->waits);
    k->core.status.revision++;
    registry_on_revision(k->registry, op->if_.min_revision);
    assert_false(k->waits);
    assert_int_equal(kit_run(k), OP_OK);
}

static void a_linearizable_read_asks_behind_a_fence(void **state)
{
    struct kit *k = *state;

    kit_op(k, OP_LIST_GET, NS, "service", NULL, NULL)->query.linearizable =
        true;
    assert_int_equal(kit_run(k), OP_OK);
    assert_int_equal(k->core.fences, 1);

    k->core.outcome = ERR_UNKNOWN;
    kit_op(k, OP_LIST_GET, NS, "service", NULL, NULL)->query.linearizable =
        true;
    assert_int_equal(kit_run(k), OP_UNAVAILABLE);
}

/* ---- retries and outcomes ---- */

static void shake_once(void *user)
{
    struct core *core = user;

    core->before = NULL;
    kit_shake_tree(core);
}

static void shake(void *user)
{
    kit_shake_tree(user);
}

static void a_write_resolved_on_an_old_tree_is_resolved_anew(void **state)
{
    struct kit *k = *state;
    unsigned before = k->core.submits;

    k->core.before = shake_once;
    k->core.user = &k->core;
    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_CREATED);
    assert_int_equal(k->core.submits - before, 2);
    assert_true(kit_says(k, "\"name\":\"a\""));
}

static void a_tree_that_never_rests_ends_in_503(void **state)
{
    struct kit *k = *state;

    k->core.before = shake;
    k->core.user = &k->core;
    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_UNAVAILABLE);
    k->core.before = NULL;
    assert_int_equal(kit_do(k, OP_ROW_GET, NS, "service", "a", NULL),
                     OP_NOT_FOUND);
}

static void each_outcome_has_its_answer(void **state)
{
    static const struct {
        int outcome;
        enum op_code code;
    } cases[] = {
        {ERR_NOT_READY, OP_UNAVAILABLE},
        {ERR_FULL, OP_NO_SPACE},
        {ERR_TOO_LARGE, OP_TOO_LARGE},
        {ERR_UNKNOWN, OP_OUTCOME_UNKNOWN},
    };
    struct kit *k = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        k->core.outcome = cases[i].outcome;
        assert_int_equal(add(k, "{\"name\":\"a\"}"), cases[i].code);
        assert_true(k->op.answer.detail.n > 0);
    }
    assert_true(k->op.answer.outcome_unknown);
}

/* ---- replays ---- */

static enum op_code rename_with_key(struct kit *k)
{
    kit_op(k, OP_NS_CHANGE, NS, NULL, NULL, "{\"name\":\"www\"}")
        ->if_.idempotency_key = STR("k1");
    return kit_run(k);
}

/* The path names nothing any more, because the first request was carried
 * out. */
static void a_repeated_rename_gives_the_first_answer(void **state)
{
    struct kit *k = *state;

    assert_int_equal(rename_with_key(k), OP_OK);
    uint64_t revision = k->op.answer.revision;
    assert_int_equal(rename_with_key(k), OP_OK);
    assert_true(k->op.answer.replayed);
    assert_int_equal(k->op.answer.revision, revision);
    assert_true(kit_says(k, "\"ns\":\"www.roster\""));
}

static void a_key_that_stands_for_nothing_leaves_the_problem(void **state)
{
    struct kit *k = *state;

    kit_op(k, OP_NS_DELETE, "no.roster", NULL, NULL, NULL)
        ->if_.idempotency_key = STR("k2");
    assert_int_equal(kit_run(k), OP_NOT_FOUND);
    assert_true(kit_says(k, "no.roster"));
    assert_false(k->op.answer.replayed);
}

static enum op_code add_with_key(struct kit *k, const char *body)
{
    kit_op(k, OP_LIST_ADD, NS, "service", NULL, body)->if_.idempotency_key =
        STR("k3");
    return kit_run(k);
}

static void a_repeated_bulk_gives_the_same_rows(void **state)
{
    struct kit *k = *state;
    const char *body = "[{\"name\":\"a\"},{\"name\":\"b\"}]";
    char first[512];

    assert_int_equal(add_with_key(k, body), OP_CREATED);
    struct str text = k->op.answer.body;
    assert_true(text.n < sizeof first);
    memcpy(first, text.p, text.n);
    first[text.n] = '\0';
    assert_int_equal(add_with_key(k, body), OP_CREATED);
    assert_true(k->op.answer.replayed);
    assert_true(str_is(k->op.answer.body, first));
    assert_int_equal(add_with_key(k, "[{\"name\":\"c\"}]"), OP_UNPROCESSABLE);
}

static void a_replay_of_a_row_that_has_gone_tells_its_id(void **state)
{
    struct kit *k = *state;

    assert_int_equal(add_with_key(k, "{\"name\":\"a\"}"), OP_CREATED);
    assert_int_equal(kit_do(k, OP_ROW_DELETE, NS, "service", "a", NULL),
                     OP_NO_CONTENT);
    assert_int_equal(add_with_key(k, "{\"name\":\"a\"}"), OP_CREATED);
    assert_true(kit_says(k, "{\"_id\":\""));
    assert_int_equal(kit_do(k, OP_ROW_GET, NS, "service", "a", NULL),
                     OP_NOT_FOUND);
}

/* ---- problems ---- */

static void a_taken_key_names_its_holder(void **state)
{
    struct kit *k = *state;

    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_CREATED);
    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_CONFLICT);
    assert_true(kit_says(k, "\"holder\":{\"_id\":\""));
    assert_true(kit_says(k, "primary key a "));
}

static void two_rows_of_one_request_cannot_share_a_key(void **state)
{
    struct kit *k = *state;

    assert_int_equal(add(k, "[{\"name\":\"a\"},{\"name\":\"a\"}]"),
                     OP_CONFLICT);
    assert_true(kit_says(k, "[1] is the second"));
    assert_true(kit_says(k, ",\"index\":1"));
}

static void a_detail_is_utf8_whatever_was_asked_for(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_do(k, OP_ROW_GET, NS, "service", "\xff\xfe", NULL),
                     OP_BAD_REQUEST);
    assert_true(kit_says(k, "??"));
}

static void a_patch_cannot_remove_what_its_type_requires(void **state)
{
    struct kit *k = *state;

    assert_int_equal(add(k, "{\"name\":\"a\",\"port\":\"80\"}"), OP_CREATED);
    assert_int_equal(
        kit_do(k, OP_ROW_PATCH, NS, "service", "a", "{\"name\":null}"),
        OP_BAD_REQUEST);
    assert_int_equal(
        kit_do(k, OP_ROW_PATCH, NS, "service", "a", "{\"port\":\"http\"}"),
        OP_BAD_REQUEST);
    assert_int_equal(
        kit_do(k, OP_ROW_PATCH, NS, "service", "a", "{\"port\":null}"), OP_OK);
}

/* ---- reads ---- */

static void a_second_read_comes_out_of_the_cache(void **state)
{
    struct kit *k = *state;

    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_CREATED);
    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "service", NULL, NULL), OP_OK);
    uint64_t etag = k->op.answer.etag;
    uint64_t hits = cache_stats(k->cache).hits;
    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "service", NULL, NULL), OP_OK);
    assert_int_equal(cache_stats(k->cache).hits, hits + 1);
    assert_int_equal(k->op.answer.etag, etag);

    assert_int_equal(add(k, "{\"name\":\"b\"}"), OP_CREATED);
    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "service", NULL, NULL), OP_OK);
    assert_true(kit_says(k, "\"name\":\"b\""));
}

/* A commit is seen by snapshots a moment before it is published. A client that
 * had an answer at its revision was then shown an older one. */
static void what_a_snapshot_has_shown_is_not_taken_back(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "other", NULL, NULL), OP_OK);
    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_CREATED);
    uint64_t committed = k->core.status.revision--;
    assert_int_equal(kit_do(k, OP_ROW_GET, NS, "service", "a", NULL), OP_OK);
    assert_int_equal(k->op.answer.revision, committed);
    uint64_t hits = cache_stats(k->cache).hits;
    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "other", NULL, NULL), OP_OK);
    assert_int_equal(cache_stats(k->cache).hits, hits + 1);
    assert_int_equal(k->op.answer.revision, committed);
    assert_int_equal(kit_do(k, OP_ROW_GET, NS, "Bad", "a", NULL),
                     OP_BAD_REQUEST);
    assert_int_equal(k->op.answer.revision, committed);
}

/* Filled by another since this reader looked at the clock: the path, which it
 * resolved before, may have become another namespace's. */
static void a_cached_list_from_the_future_is_read_anew(void **state)
{
    struct kit *k = *state;
    struct buf body = {0};

    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_CREATED);
    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "service", NULL, NULL), OP_OK);
    uint64_t later = k->core.status.revision + 100;
    buf_add_text(&body, "[]");
    (void)cache_unref(cache_put(k->cache, STORE_POOL + 1, STR("service"), later,
                                later, 0, &body));
    assert_int_equal(kit_do(k, OP_LIST_GET, NS, "service", NULL, NULL), OP_OK);
    assert_true(kit_says(k, "\"name\":\"a\""));
    assert_true(k->op.answer.etag <= k->op.answer.revision);
}

static void a_page_says_where_the_next_begins(void **state)
{
    struct kit *k = *state;

    assert_int_equal(
        add(k, "[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]"),
        OP_CREATED);
    kit_op(k, OP_LIST_GET, NS, "service", NULL, NULL)->query.limit = 2;
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(k->op.answer.next.n > 0);
    assert_true(kit_says(k, "\"name\":\"b\""));
    kit_op(k, OP_LIST_GET, NS, "service", NULL, NULL)->query.limit = 3;
    assert_int_equal(kit_run(k), OP_OK);
    assert_int_equal(k->op.answer.next.n, 0);
}

/* A namespace's counts move without its ETag: the tag alone proves nothing. */
static void a_node_whose_counts_moved_is_sent_again(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_do(k, OP_NS_GET, NS, NULL, NULL, NULL), OP_OK);
    char tag[32];
    (void)snprintf(tag, sizeof tag, "\"%llu\"",
                   (unsigned long long)k->op.answer.etag);
    kit_op(k, OP_NS_GET, NS, NULL, NULL, NULL)->if_.if_none_match = str_of(tag);
    assert_int_equal(kit_run(k), OP_NOT_MODIFIED);
    assert_int_equal(add(k, "{\"name\":\"a\"}"), OP_CREATED);
    kit_op(k, OP_NS_GET, NS, NULL, NULL, NULL)->if_.if_none_match = str_of(tag);
    assert_int_equal(kit_run(k), OP_OK);
}

/* ---- types ---- */

static void add_bad_row(void *user)
{
    struct core *core = user;
    struct command command = {
        .kind = COMMAND_ROW_PUT,
        .row_put = {.mode = ROW_ADD,
                    .ns = STORE_POOL,
                    .type = STR("thing"),
                    .key_field = STR("name"),
                    .new_id = {{9}},
                    .fields = STR("\"name\":\"late\"")},
    };

    core->before = NULL;
    assert_int_equal(kit_apply(core, &command), 0);
}

/* The check of the rows and the putting of the rules are two steps; a row that
 * came between them is found by another check. */
static void a_row_that_came_during_the_check_is_checked(void **state)
{
    struct kit *k = *state;

    k->core.before = add_bad_row;
    k->core.user = &k->core;
    assert_int_equal(kit_do(k, OP_TYPE_PUT, NULL, "thing", NULL,
                            "{\"key\":\"name\",\"required\":[\"size\"]}"),
                     OP_CONFLICT);
    assert_true(kit_says(k, "size is required"));
    assert_true(str_is(k->op.answer.ns, "pool.roster"));
}

static void a_field_changes_sides_only_while_no_row_has_it(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_do(k, OP_LIST_ADD, NS, "thing", NULL,
                            "{\"name\":\"a\",\"pin\":\"1\"}"),
                     OP_CREATED);
    assert_int_equal(
        kit_do(k, OP_TYPE_PUT, NULL, "thing", NULL, "{\"secret\":[\"pin\"]}"),
        OP_CONFLICT);
    assert_int_equal(
        kit_do(k, OP_TYPE_PUT, NULL, "thing", NULL, "{\"secret\":[\"pass\"]}"),
        OP_CREATED);
    assert_int_equal(kit_do(k, OP_LIST_ADD, NS, "thing", NULL,
                            "{\"name\":\"b\",\"pass\":\"***\"}"),
                     OP_BAD_REQUEST);
    assert_int_equal(kit_do(k, OP_LIST_ADD, NS, "thing", NULL,
                            "{\"name\":\"b\",\"pass\":\"hush\"}"),
                     OP_CREATED);
    assert_true(kit_says(k, "\"pass\":\"***\""));
}

/* ---- agents ---- */

static enum op_code register_host(struct kit *k, const char *body)
{
    return kit_do(k, OP_AGENT_PUT, NULL, NULL, NULL, body);
}

static void a_registration_is_a_heartbeat(void **state)
{
    struct kit *k = *state;

    assert_int_equal(register_host(k, "{\"hostname\":\"web-1\"}"), OP_CREATED);
    assert_true(kit_says(k, "\"placements\":{\"web.roster\":\""));
    assert_int_equal(kit_do(k, OP_AGENT_GET, NULL, NULL, "web-1", NULL), OP_OK);
    assert_true(kit_says(k, "\"state\":\"alive\",\"last_heartbeat_ms\":"));
    assert_int_equal(register_host(k, "{\"hostname\":\"db-1\"}"), OP_CREATED);
    assert_true(kit_says(k, "\"placements\":{\"pool.roster\":\""));
    assert_int_equal(register_host(k, "{\"hostname\":\"db-1\"}"), OP_OK);
}

static void a_new_match_is_seen_by_the_next_registration(void **state)
{
    struct kit *k = *state;

    assert_int_equal(register_host(k, "{\"hostname\":\"db-1\"}"), OP_CREATED);
    assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL,
                            "{\"parent\":\"roster\",\"name\":\"db\","
                            "\"match\":\"^db-\"}"),
                     OP_CREATED);
    assert_int_equal(register_host(k, "{\"hostname\":\"db-1\"}"), OP_OK);
    assert_true(kit_says(k, "\"placements\":{\"db.roster\":\""));
}

static enum op_step first_step_of_a_registration(struct kit *k)
{
    struct op *op =
        kit_op(k, OP_AGENT_PUT, NULL, NULL, NULL, "{\"hostname\":\"db-1\"}");
    enum op_step step = registry_run(k->registry, op, k->reader);

    (void)kit_run(k);
    return step;
}

/* A fleet that comes at once would fill the workers' queue. */
static void few_patterns_need_no_worker(void **state)
{
    struct kit *k = *state;
    char body[128];

    assert_int_not_equal(first_step_of_a_registration(k), OP_WORK);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(body, sizeof body,
                       "{\"parent\":\"roster\",\"name\":\"n%d\","
                       "\"match\":\"^n%d-\"}",
                       i, i);
        assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL, body),
                         OP_CREATED);
    }
    assert_int_equal(first_step_of_a_registration(k), OP_WORK);
    assert_int_not_equal(first_step_of_a_registration(k), OP_WORK);
}

static void note_due(struct str hostname, struct ulid id, void *user)
{
    (void)hostname;
    *(struct ulid *)user = id;
}

static void spare(void *user)
{
    struct kit *k = user;
    struct lease_info info;

    assert_int_equal(lease_get(k->leases, STR("web-1"), clock_mono_ms(), &info),
                     0);
    lease_spare(k->leases, STR("web-1"), info.id);
    k->core.at_fence = NULL;
}

/* An end was proposed: whether it comes is known behind a fence. */
static void a_heartbeat_of_an_ending_lease_waits_for_the_outcome(void **state)
{
    struct kit *k = *state;
    struct ulid id = {{0}};
    uint64_t now = clock_mono_ms();

    assert_int_equal(
        register_host(k, "{\"hostname\":\"web-1\",\"ttl\":\"2s\"}"),
        OP_CREATED);
    for (uint64_t at = now; at < now + 3000; at += LEASE_TICK_MS) {
        (void)lease_tick(k->leases, at, 10, note_due, &id);
    }
    assert_false(ulid_is_zero(id));
    k->core.at_fence = spare;
    k->core.user = k;
    unsigned fences = k->core.fences;
    assert_int_equal(kit_do(k, OP_HEARTBEAT, NULL, NULL, "web-1", NULL),
                     OP_NO_CONTENT);
    assert_int_equal(k->core.fences - fences, 1);
}

static void heartbeats_name_the_unknown(void **state)
{
    struct kit *k = *state;

    assert_int_equal(register_host(k, "{\"hostname\":\"web-1\"}"), OP_CREATED);
    assert_int_equal(kit_do(k, OP_HEARTBEATS, NULL, NULL, NULL,
                            "{\"hostnames\":[\"a\",\"web-1\",\"b\"]}"),
                     OP_OK);
    assert_true(kit_says(k, "{\"unknown\":[\"a\",\"b\"]}"));
}

/* ---- what is told ---- */

static void a_node_is_ready_when_it_leads_and_keeps_leases(void **state)
{
    struct kit *k = *state;
    struct registry_check checks[REGISTRY_CHECKS];

    assert_true(registry_ready(k->registry, false, checks));
    k->core.status.draining = true;
    assert_false(registry_ready(k->registry, false, checks));
    assert_true(registry_ready(k->registry, true, checks));
}

static void metrics_have_a_help_line_each(void **state)
{
    struct kit *k = *state;
    struct buf out = {0};

    registry_metrics(k->registry, &out);
    const char *text = buf_text(&out);
    assert_non_null(strstr(text, "# TYPE roster_revision gauge\n"));
    assert_non_null(strstr(text, "roster_commands_total 2\n"));
    assert_non_null(strstr(text, "roster_namespaces 3\n"));
    buf_done(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_node_that_has_not_caught_up_reads_nothing),
        TEST(without_a_leader_reads_go_on_and_writes_are_not_done),
        TEST(heartbeats_wait_for_a_lease_table_that_serves),
        TEST(a_read_waits_for_its_revision),
        TEST(who_waits_for_a_revision_does_not_need_a_leader),
        TEST(a_linearizable_read_asks_behind_a_fence),
        TEST(a_write_resolved_on_an_old_tree_is_resolved_anew),
        TEST(a_tree_that_never_rests_ends_in_503),
        TEST(each_outcome_has_its_answer),
        TEST(a_repeated_rename_gives_the_first_answer),
        TEST(a_key_that_stands_for_nothing_leaves_the_problem),
        TEST(a_repeated_bulk_gives_the_same_rows),
        TEST(a_replay_of_a_row_that_has_gone_tells_its_id),
        TEST(a_taken_key_names_its_holder),
        TEST(two_rows_of_one_request_cannot_share_a_key),
        TEST(a_detail_is_utf8_whatever_was_asked_for),
        TEST(a_patch_cannot_remove_what_its_type_requires),
        TEST(a_second_read_comes_out_of_the_cache),
        TEST(what_a_snapshot_has_shown_is_not_taken_back),
        TEST(a_cached_list_from_the_future_is_read_anew),
        TEST(a_page_says_where_the_next_begins),
        TEST(a_node_whose_counts_moved_is_sent_again),
        TEST(a_row_that_came_during_the_check_is_checked),
        TEST(a_field_changes_sides_only_while_no_row_has_it),
        TEST(a_registration_is_a_heartbeat),
        TEST(a_new_match_is_seen_by_the_next_registration),
        TEST(few_patterns_need_no_worker),
        TEST(a_heartbeat_of_an_ending_lease_waits_for_the_outcome),
        TEST(heartbeats_name_the_unknown),
        TEST(a_node_is_ready_when_it_leads_and_keeps_leases),
        TEST(metrics_have_a_help_line_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
