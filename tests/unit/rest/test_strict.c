#include "kit.h"
#include "rest/strict.h"

#define MAX_BODY 1000

struct line {
    const char *name;
    const char *value;
};

/* 0, or the status of the refusal. */
static unsigned check(struct arena *arena, const char *http,
                      const struct line *lines, struct rest_head *head,
                      struct rest_refusal *refusal)
{
    *head = (struct rest_head){0};
    *refusal = (struct rest_refusal){0};
    for (; lines->name != NULL; lines++) {
        rest_head_add(head, arena, str_of(lines->name), str_of(lines->value));
    }
    int r = rest_head_check(head, str_of(http), REST_JSON, MAX_BODY, refusal);
    assert_int_equal(r, refusal->status == 0 ? 0 : ERR_INVALID);
    return refusal->status;
}

#define LINES(...)                                                             \
    (const struct line[])                                                      \
    {                                                                          \
        {"Host", "h"}, __VA_ARGS__,                                            \
        {                                                                      \
            NULL, NULL                                                         \
        }                                                                      \
    }

static void framing_in_doubt_is_refused_and_ends_the_connection(void **state)
{
    const struct line *const cases[] = {
        LINES({"Transfer-Encoding", "chunked"}, {"Content-Length", "3"}),
        LINES({"Transfer-Encoding", "gzip, chunked"}),
        LINES({"Transfer-Encoding", "xchunked"}),
        LINES({"Transfer-Encoding", "chunked"},
              {"transfer-encoding", "chunked"}),
        LINES({"Transfer-Encoding", ""}),
        LINES({"Content-Length", "3"}, {"Content-Length", "3"}),
        LINES({"Content-Length", "3, 3"}),
        LINES({"Content-Length", "+3"}),
        LINES({"Content-Length", ""}),
        LINES({"Content-Length", "99999999999999999999"}),
        LINES({"Content-Length ", "3"}),
        LINES({"X\x01", "y"}),
        LINES({"", "y"}),
        LINES({"Host", "h"}),
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rest_head head;
        struct rest_refusal refusal;
        if (check(*state, "HTTP/1.1", cases[i], &head, &refusal) != 400 ||
            !refusal.close) {
            fail_msg("case %zu is taken", i);
        }
    }
}

static void what_is_well_framed_is_taken(void **state)
{
    struct rest_head head;
    struct rest_refusal refusal;

    assert_int_equal(check(*state, "HTTP/1.1",
                           LINES({"Transfer-Encoding", " Chunked\t"}), &head,
                           &refusal),
                     0);
    assert_true(head.body);
    assert_int_equal(check(*state, "HTTP/1.1", LINES({"CONTENT-length", "0"}),
                           &head, &refusal),
                     0);
    assert_false(head.body);
    assert_int_equal(check(*state, "HTTP/1.1",
                           LINES({"content-length", "1000"}), &head, &refusal),
                     0);
    assert_int_equal(head.length, 1000);
}

static void a_host_is_needed_since_one_one(void **state)
{
    const struct line none[] = {{"X", "y"}, {NULL, NULL}};
    struct rest_head head;
    struct rest_refusal refusal;

    assert_int_equal(check(*state, "HTTP/1.1", none, &head, &refusal), 400);
    expect_str(refusal.field, "Host");
    assert_int_equal(check(*state, "HTTP/1.0", none, &head, &refusal), 0);
    assert_int_equal(check(*state, "HTTP/1.0",
                           LINES({"Transfer-Encoding", "chunked"}), &head,
                           &refusal),
                     400);
}

static void too_large_is_known_before_the_body(void **state)
{
    struct rest_head head;
    struct rest_refusal refusal;

    assert_int_equal(check(*state, "HTTP/1.1",
                           LINES({"Content-Length", "1001"}), &head, &refusal),
                     413);
    assert_false(refusal.close); /* so that the client reads the answer */
    assert_int_equal(check(*state, "HTTP/1.1",
                           LINES({"Content-Length", "99999999999"}), &head,
                           &refusal),
                     413);
    assert_true(refusal.close);
    assert_true(rest_discard_bytes(1000) == 64 << 20);
    assert_true(rest_discard_bytes(100 << 20) == 400 << 20);
}

static unsigned of_type(struct arena *arena, const char *type)
{
    struct rest_head head;
    struct rest_refusal refusal;
    return check(arena, "HTTP/1.1",
                 LINES({"Content-Length", "2"}, {"Content-Type", type}), &head,
                 &refusal);
}

static void only_foreign_bodies_are_refused(void **state)
{
    static const char *const fine[] = {"application/json",
                                       "Application/JSON; charset=utf-8",
                                       "application/merge-patch+json",
                                       "application/x-www-form-urlencoded",
                                       "text/plain;charset=UTF-8",
                                       "*/*",
                                       ""};
    static const char *const foreign[] = {
        "application/xml", "multipart/form-data; boundary=x", "image/png",
        "application/jsonx", "json"};
    struct rest_head head;
    struct rest_refusal refusal;

    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        assert_int_equal(of_type(*state, fine[i]), 0);
    }
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        assert_int_equal(of_type(*state, foreign[i]), 415);
    }
    assert_int_equal(
        check(*state, "HTTP/1.1",
              LINES({"Content-Length", "2"}, {"Content-Encoding", "gzip"}),
              &head, &refusal),
        415);
    assert_int_equal(check(*state, "HTTP/1.1",
                           LINES({"Content-Encoding", "gzip"}), &head,
                           &refusal),
                     0);
}

static void conditions_are_read(void **state)
{
    struct rest_head head;
    struct rest_refusal refusal;

    assert_int_equal(
        check(*state, "HTTP/1.1",
              LINES({"If-Match", "\"1\""}, {"If-Match", "\"2\""},
                    {"If-None-Match", " * "}, {"Idempotency-Key", "a-1"},
                    {"Roster-Min-Revision", "9007199254740991"}),
              &head, &refusal),
        0);
    expect_str(head.conditions.if_match, "\"1\", \"2\"");
    expect_str(head.conditions.if_none_match, "*");
    expect_str(head.conditions.idempotency_key, "a-1");
    assert_true(head.conditions.min_revision == 9007199254740991);
}

/* Each line more is a copy of those before it. */
static void a_list_does_not_come_in_any_number_of_lines(void **state)
{
    static const char *const names[] = {"If-Match", "If-None-Match",
                                        "Accept-Encoding"};
    struct rest_head head = {0};
    struct rest_refusal refusal = {0};

    rest_head_add(&head, *state, STR("Host"), STR("h"));
    for (int i = 0; i < 33; i++) {
        rest_head_add(&head, *state, str_of(names[i % 3]), STR("\"1\""));
    }
    assert_int_equal(
        rest_head_check(&head, STR("HTTP/1.1"), REST_JSON, MAX_BODY, &refusal),
        0);
    for (int i = 0; i < 3000; i++) {
        rest_head_add(&head, *state, str_of(names[i % 3]), STR("\"1\""));
    }
    assert_int_equal(
        rest_head_check(&head, STR("HTTP/1.1"), REST_JSON, MAX_BODY, &refusal),
        ERR_INVALID);
    assert_int_equal(refusal.status, 400);
    assert_true(head.conditions.if_match.n < 200);
}

static void wrong_conditions_are_named(void **state)
{
    char key[300] = {0};
    memset(key, 'k', 256);
    const struct line cases[] = {
        {"Roster-Min-Revision", "9007199254740992"},
        {"Roster-Min-Revision", "-1"},
        {"Roster-Min-Revision", ""},
        {"Idempotency-Key", ""},
        {"Idempotency-Key", "a b"},
        {"Idempotency-Key", "\xc3\xa9"},
        {"Idempotency-Key", key},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rest_head head;
        struct rest_refusal refusal;
        assert_int_equal(
            check(*state, "HTTP/1.1", LINES(cases[i]), &head, &refusal), 400);
        assert_false(refusal.close);
        expect_str(refusal.field, cases[i].name);
    }
}

static unsigned as_file(struct arena *arena, const struct line *lines,
                        struct rest_head *head)
{
    struct rest_refusal refusal = {0};

    *head = (struct rest_head){0};
    for (; lines->name != NULL; lines++) {
        rest_head_add(head, arena, str_of(lines->name), str_of(lines->value));
    }
    (void)!rest_head_check(head, STR("HTTP/1.1"), REST_FILE, MAX_BODY,
                           &refusal);
    return refusal.status;
}

/* How large it may be is the caller's business, how it is framed is not. */
static void a_file_may_be_of_any_size_and_kind_but_not_packed(void **state)
{
    struct rest_head head;

    assert_int_equal(as_file(*state,
                             LINES({"Content-Length", "1000000000000"},
                                   {"Content-Type", "image/png"}),
                             &head),
                     0);
    assert_int_equal(head.length, 1000000000000);
    assert_int_equal(
        as_file(*state,
                LINES({"Content-Length", "5"}, {"Content-Encoding", "gzip"}),
                &head),
        415);
    assert_int_equal(as_file(*state,
                             LINES({"Transfer-Encoding", "chunked"},
                                   {"Content-Length", "3"}),
                             &head),
                     400);
}

static void expect_token(const char *header, const char *wanted)
{
    const char *why = NULL;
    struct str token = STR("x");
    int r = rest_head_token(str_of(header), &token, &why);

    assert_int_equal(r, wanted == NULL ? ERR_INVALID : 0);
    expect_str(token, wanted == NULL ? "" : wanted);
    assert_true((why != NULL) == (wanted == NULL));
}

static void a_token_is_the_word_behind_bearer(void **state)
{
    char longest[6 + 1 + 255 + 1 + 1] = "Bearer ";

    (void)state;
    expect_token(NULL, "");
    expect_token("Bearer abc", "abc");
    expect_token("bEARER   a-b_c.~+/==", "a-b_c.~+/==");
    expect_token("Bearer\tabc", NULL);
    expect_token("", NULL);
    expect_token("Bearer", NULL);
    expect_token("Bearer ", NULL);
    expect_token("Bearerabc", NULL);
    expect_token("Basic eDp5", NULL);
    expect_token("Bearer a b", NULL);
    expect_token("Bearer a, Bearer b", NULL);
    expect_token("Bearer a\x7f", NULL);
    expect_token("Bearer \xc3\xa4", NULL);
    memset(longest + 7, 'a', 255);
    expect_token(longest, longest + 7);
    longest[7 + 255] = 'a';
    expect_token(longest, NULL);
}

static void two_credentials_are_none(void **state)
{
    struct rest_head head;
    struct rest_refusal refusal;

    assert_int_equal(check(*state, "HTTP/1.1",
                           LINES({"Authorization", "Bearer a"},
                                 {"authorization", "Bearer a"}),
                           &head, &refusal),
                     400);
    assert_true(refusal.close);
    expect_str(refusal.field, "Authorization");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(framing_in_doubt_is_refused_and_ends_the_connection),
        WITH_ARENA(what_is_well_framed_is_taken),
        WITH_ARENA(a_host_is_needed_since_one_one),
        WITH_ARENA(too_large_is_known_before_the_body),
        WITH_ARENA(only_foreign_bodies_are_refused),
        WITH_ARENA(a_file_may_be_of_any_size_and_kind_but_not_packed),
        WITH_ARENA(conditions_are_read),
        WITH_ARENA(a_list_does_not_come_in_any_number_of_lines),
        WITH_ARENA(wrong_conditions_are_named),
        cmocka_unit_test(a_token_is_the_word_behind_bearer),
        WITH_ARENA(two_credentials_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
