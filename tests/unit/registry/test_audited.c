/* What the audit is told of operations. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "kit.h"

struct bed {
    struct kit *k;
    struct audit *audit;
    char dir[64];
    struct buf text; /* of its file, as of the last look */
};

static void trust(struct bed *bed, bool required)
{
    registry_set_trust(bed->k->registry,
                       &(struct registry_trust){.audit = bed->audit,
                                                .audit_required = required});
}

static int set_up(void **state)
{
    struct bed *bed = mem_zero(sizeof *bed);
    char why[AUDIT_WHY];

    log_start(LOG_ERROR + 1, LOG_JSON);
    bed->k = kit_new();
    (void)snprintf(bed->dir, sizeof bed->dir, "/tmp/audited-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    const struct audit_config config = {
        .dir = bed->dir, .node = "n1", .file_bytes = 1 << 20, .files = 3};
    assert_int_equal(audit_open(&config, &bed->audit, why), 0);
    trust(bed, false);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    char command[96];

    kit_free(bed->k);
    bed->audit = audit_close(bed->audit);
    (void)snprintf(command, sizeof command, "rm -r %s", bed->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
    buf_done(&bed->text);
    (void)mem_free(bed);
    return 0;
}

/* The last line; "" when there is none. */
static const char *last(struct bed *bed)
{
    struct audit_head head;
    char path[160];
    size_t n = 1;

    audit_head(bed->audit, &head);
    (void)snprintf(path, sizeof path, "%s/%s", bed->dir, head.file);
    buf_clear(&bed->text);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return "";
    }
    while (n > 0) {
        buf_reserve(&bed->text, 4097);
        n = fread(bed->text.p + bed->text.n, 1, 4096, file);
        bed->text.n += n;
    }
    (void)fclose(file);
    if (bed->text.n == 0) {
        return "";
    }
    bed->text.p[bed->text.n - 1] = '\0';
    char *end = strrchr(bed->text.p, '\n');
    return end == NULL ? bed->text.p : end + 1;
}

static uint64_t lines(struct bed *bed)
{
    struct audit_head head;

    audit_head(bed->audit, &head);
    return head.seq;
}

static void has(struct bed *bed, const char *text)
{
    const char *line = last(bed);

    if (strstr(line, text) == NULL) {
        print_error("%s\nhas no %s\n", line, text);
        fail();
    }
}

static void make_leaf(struct bed *bed)
{
    assert_int_equal(kit_do(bed->k, OP_NS_CREATE, "", "", "",
                            "{\"parent\":\"roster\",\"name\":\"web\"}"),
                     OP_CREATED);
}

/* ---- tests ---- */

static void a_change_is_told_with_who_and_what(void **state)
{
    static struct access_who ann = {
        .kind = ACCESS_USER, .name = {"ann", 3}, .id = {"01J0", 4}};
    struct bed *bed = *state;

    make_leaf(bed);
    has(bed, "\"who\":\"anyone\"");
    has(bed, "\"about\":\"parent=roster name=web\"");
    has(bed, "\"status\":201");
    struct op *op = kit_op(bed->k, OP_ROW_PUT, "web.roster", "service", "api",
                           "{\"name\":\"api\",\"password\":\"hunter2\"}");
    op->who = &ann;
    op->from = STR("10.1.2.3");
    op->request = STR("4bf92f3577b34da6a3ce929d0e0e4736");
    assert_int_equal(kit_run(bed->k), OP_CREATED);
    has(bed, "\"who\":\"user ann\",\"token\":\"01J0\",\"from\":\"10.1.2.3\","
             "\"request\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
             "\"op\":\"row put\",\"ns\":\"web.roster\",\"type\":\"service\","
             "\"id\":\"api\",\"outcome\":\"ok\"");
    has(bed, "\"revision\":");
    assert_null(strstr(last(bed), "hunter2"));
}

static void a_new_resource_is_told_with_its_id(void **state)
{
    struct bed *bed = *state;

    make_leaf(bed);
    assert_int_equal(kit_do(bed->k, OP_LIST_ADD, "web.roster", "service", "",
                            "{\"name\":\"api\"}"),
                     OP_CREATED);
    has(bed, "\"op\":\"list add\"");
    has(bed, "\"id\":\"01");
}

static void a_transaction_is_told_with_all_it_touched(void **state)
{
    struct bed *bed = *state;

    make_leaf(bed);
    assert_int_equal(
        kit_do(bed->k, OP_TXN, "", "", "",
               "{\"do\":[{\"op\":\"put\",\"ns\":\"web.roster\",\"type\":"
               "\"service\",\"id\":\"a\",\"resource\":{\"name\":\"a\","
               "\"key\":\"hunter2\"}},{\"op\":\"put\",\"ns\":\"web.roster\","
               "\"type\":\"service\",\"id\":\"b\",\"resource\":{\"name\":"
               "\"b\"}}]}"),
        OP_OK);
    has(bed,
        "\"about\":\"put web.roster/service/a, put web.roster/service/b\"");
    assert_null(strstr(last(bed), "hunter2"));
}

static void reads_and_heartbeats_are_not_told(void **state)
{
    struct bed *bed = *state;

    make_leaf(bed);
    uint64_t n = lines(bed);
    assert_int_equal(
        kit_do(bed->k, OP_LIST_GET, "web.roster", "service", "", NULL), OP_OK);
    assert_int_equal(
        kit_do(bed->k, OP_LIST_GET, "gone.roster", "service", "", NULL),
        OP_NOT_FOUND);
    (void)kit_do(bed->k, OP_HEARTBEAT, "", "", "web-1", NULL);
    assert_int_equal(lines(bed), n);
}

static void what_was_refused_is_told(void **state)
{
    struct bed *bed = *state;

    make_leaf(bed);
    assert_int_equal(kit_do(bed->k, OP_NS_CREATE, "", "", "",
                            "{\"parent\":\"roster\",\"name\":\"web\"}"),
                     OP_CONFLICT);
    has(bed, "\"outcome\":\"refused\",\"status\":409");
    assert_null(strstr(last(bed), "\"revision\""));
    assert_int_equal(
        kit_do(bed->k, OP_ROW_DELETE, "web.roster", "service", "gone", NULL),
        OP_NOT_FOUND);
    has(bed, "\"outcome\":\"refused\",\"status\":404");
}

static void an_unknown_outcome_is_told_as_that(void **state)
{
    struct bed *bed = *state;

    make_leaf(bed);
    bed->k->core.outcome = ERR_UNKNOWN;
    assert_int_equal(kit_do(bed->k, OP_ROW_PUT, "web.roster", "service", "api",
                            "{\"name\":\"api\"}"),
                     OP_OUTCOME_UNKNOWN);
    has(bed, "\"outcome\":\"unknown\",\"status\":504");
    bed->k->core.outcome = 0;
}

static void a_change_nobody_waited_for_is_told(void **state)
{
    struct bed *bed = *state;

    make_leaf(bed);
    uint64_t n = lines(bed);
    (void)kit_op(bed->k, OP_ROW_PUT, "web.roster", "service", "api",
                 "{\"name\":\"api\"}");
    assert_int_equal(
        registry_run(bed->k->registry, &bed->k->op, bed->k->reader), OP_WAIT);
    registry_op_done(bed->k->registry, &bed->k->op);
    assert_int_equal(lines(bed), n + 1);
    has(bed, "\"outcome\":\"ok\"");
    has(bed, "who asked was gone");
}

static void a_replay_is_told_as_that(void **state)
{
    struct bed *bed = *state;

    make_leaf(bed);
    for (unsigned i = 0; i < 2; i++) {
        struct op *op = kit_op(bed->k, OP_LIST_ADD, "web.roster", "service", "",
                               "{\"name\":\"api\"}");
        op->if_.idempotency_key = STR("once");
        assert_int_equal(kit_run(bed->k), OP_CREATED);
    }
    has(bed, "with this Idempotency-Key: it was not done again");
}

static void the_secret_of_a_token_is_not_told(void **state)
{
    struct bed *bed = *state;
    static const char token[] = "rst_01J00000000000000000000000_"
                                "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGhIjKlMnOp1";

    make_leaf(bed);
    (void)kit_do(bed->k, OP_ROW_DELETE, "web.roster", "service", token, NULL);
    has(bed, "\"id\":\"rst_01J00000000000000000000000***\"");
    assert_null(strstr(last(bed), "AbCdEf"));
}

static void nothing_happens_that_could_not_be_told(void **state)
{
    struct bed *bed = *state;
    char command[160];

    make_leaf(bed);
    trust(bed, true);
    assert_int_equal(kit_do(bed->k, OP_ROW_PUT, "web.roster", "service", "api",
                            "{\"name\":\"api\"}"),
                     OP_CREATED);
    /* The directory goes, and the next file cannot be made in it. */
    const struct audit_config config = {
        .dir = bed->dir, .node = "n1", .file_bytes = 0, .files = 3};
    char why[AUDIT_WHY];
    bed->audit = audit_close(bed->audit);
    assert_int_equal(audit_open(&config, &bed->audit, why), 0);
    trust(bed, true);
    (void)snprintf(command, sizeof command, "rm -r %s", bed->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
    (void)kit_do(bed->k, OP_ROW_PUT, "web.roster", "service", "b",
                 "{\"name\":\"b\"}");
    unsigned submits = bed->k->core.submits;
    assert_int_equal(kit_do(bed->k, OP_ROW_PUT, "web.roster", "service", "c",
                            "{\"name\":\"c\"}"),
                     OP_NO_SPACE);
    assert_true(kit_says(bed->k, "--audit-required"));
    assert_int_equal(bed->k->core.submits, submits);
    assert_int_equal(
        kit_do(bed->k, OP_LIST_GET, "web.roster", "service", "", NULL), OP_OK);
    assert_int_equal(kit_do(bed->k, OP_AUDIT_GET, "", "", "", NULL), OP_OK);
    assert_true(kit_says(bed->k, "\"required\":true,\"writable\":false"));
    (void)snprintf(command, sizeof command, "mkdir %s", bed->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

static void what_a_leader_does_by_itself_is_told(void **state)
{
    struct bed *bed = *state;

    make_leaf(bed);
    registry_own_act(bed->k->registry, "expire", STR("n=1 of web-1"), 1, 42);
    for (unsigned i = 0; i < 500 && strstr(last(bed), "expire") == NULL; i++) {
        (void)usleep(10000);
    }
    has(bed, "\"who\":\"node n1\",\"op\":\"expire\",\"ns\":\"roster\","
             "\"about\":\"n=1 of web-1\",\"outcome\":\"ok\",\"revision\":42");
}

static void the_head_is_shown(void **state)
{
    struct bed *bed = *state;
    struct audit_head head;
    char text[128];

    make_leaf(bed);
    audit_head(bed->audit, &head);
    (void)snprintf(text, sizeof text, "\"seq\":%llu,\"hash\":\"%s\"",
                   (unsigned long long)head.seq, head.hash);
    assert_int_equal(kit_do(bed->k, OP_AUDIT_GET, "", "", "", NULL), OP_OK);
    assert_true(kit_says(bed->k, text));
    registry_set_trust(bed->k->registry, &(struct registry_trust){0});
    assert_int_equal(kit_do(bed->k, OP_AUDIT_GET, "", "", "", NULL), OP_OK);
    assert_true(kit_says(bed->k, "{\"enabled\":false}"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_is_told_with_who_and_what),
        TEST(a_new_resource_is_told_with_its_id),
        TEST(a_transaction_is_told_with_all_it_touched),
        TEST(reads_and_heartbeats_are_not_told),
        TEST(what_was_refused_is_told),
        TEST(an_unknown_outcome_is_told_as_that),
        TEST(a_change_nobody_waited_for_is_told),
        TEST(a_replay_is_told_as_that),
        TEST(the_secret_of_a_token_is_not_told),
        TEST(nothing_happens_that_could_not_be_told),
        TEST(what_a_leader_does_by_itself_is_told),
        TEST(the_head_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
