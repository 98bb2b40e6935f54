/* The library against a scripted server on a real socket. */
#include "fake.h"

static enum roster_result ask(struct roster *roster, const char *method,
                              struct roster_response *ret_response)
{
    struct roster_request request = {.method = method, .path = "/v1/x"};

    if (strcmp(method, "GET") != 0) {
        request.body = "{}";
        request.body_size = 2;
    }
    return roster_send(roster, &request, ret_response);
}

static void an_answer_brings_its_headers(void **state)
{
    struct fake fake;
    struct roster_response got = {0};

    (void)state;
    fake_start(&fake,
               SCRIPT(ANSWER("200 OK",
                             "Roster-Revision: 42\r\nroster-leader: n1\r\n"
                             "ETag: \"41\"\r\nLink: </a>; rel=\"prev\", "
                             "<http://h:1/v1/x?after=9>; rel=\"next\"\r\n",
                             "[1] ")));
    struct roster *roster = client_of(fake.url);
    struct roster_request request = {
        .method = "GET",
        .path = "/v1/x",
        .query = "limit=1",
        .headers = SCRIPT("If-None-Match: \"3\""),
    };
    assert_int_equal(roster_send(roster, &request, &got), ROSTER_OK);
    assert_int_equal(got.status, 200);
    assert_string_equal(got.body, "[1] ");
    assert_int_equal(got.revision, 42);
    assert_string_equal(got.leader, "n1");
    assert_string_equal(got.etag, "\"41\"");
    assert_string_equal(got.next, "/v1/x?after=9");
    assert_string_equal(got.location, "");
    assert_non_null(strstr(fake.seen, "GET /v1/x?limit=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(fake.seen, "If-None-Match: \"3\"\r\n"));
    assert_null(strstr(fake.seen, "Idempotency-Key"));
    roster_response_done(&got);
    (void)roster_free(roster);
    fake_stop(&fake);
}

static void a_connection_is_used_again(void **state)
{
    struct fake fake;
    struct roster_response got = {0};

    (void)state;
    fake_start(&fake, SCRIPT(OK_ANSWER, OK_ANSWER, OK_ANSWER));
    struct roster *roster = client_of(fake.url);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(roster, i == 1 ? "PUT" : "GET", &got), ROSTER_OK);
        roster_response_done(&got);
    }
    assert_int_equal(fake.n_requests, 3);
    assert_int_equal(fake.n_connections, 1);
    (void)roster_free(roster);
    fake_stop(&fake);
}

static void a_problem_becomes_an_error(void **state)
{
    struct fake fake;
    struct roster_response got = {0};

    (void)state;
    fake_start(&fake,
               SCRIPT("HTTP/1.1 409 Conflict\r\nContent-Length: 82\r\n"
                      "Content-Type: application/problem+json\r\n\r\n"
                      "{\"title\":\"taken\",\"status\":409,\"detail\":"
                      "\"web-1 is\",\"field\":\"name\",\"ns\":\"a.roster\"} ",
                      ANSWER("404 Not Found", "", "gone")));
    struct roster *roster = client_of(fake.url);
    assert_int_equal(ask(roster, "POST", &got), ROSTER_REFUSED);
    const struct roster_error *error = roster_error(roster);
    assert_int_equal(error->status, 409);
    assert_string_equal(error->title, "taken");
    assert_string_equal(error->detail, "web-1 is");
    assert_string_equal(error->field, "name");
    assert_string_equal(error->ns, "a.roster");
    roster_response_done(&got);

    assert_int_equal(ask(roster, "GET", &got), ROSTER_REFUSED);
    assert_string_equal(roster_error(roster)->detail, "HTTP status 404: gone");
    roster_response_done(&got);
    (void)roster_free(roster);
    fake_stop(&fake);
}

static void a_dead_server_is_passed_over(void **state)
{
    struct fake fake;
    struct roster_response got = {0};
    char urls[128];

    (void)state;
    fake_start(&fake, SCRIPT(OK_ANSWER, OK_ANSWER, OK_ANSWER, OK_ANSWER));
    (void)snprintf(urls, sizeof urls, DEAD ",%s,http://127.0.0.1:2", fake.url);
    struct roster *roster = client_of(urls);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ask(roster, "POST", &got), ROSTER_OK);
        roster_response_done(&got);
    }
    (void)roster_free(roster);
    fake_stop(&fake);
}

static void without_any_server_the_error_names_each(void **state)
{
    struct roster_response got = {0};
    struct roster *roster = client_of(DEAD ",http://127.0.0.1:2");

    (void)state;
    assert_int_equal(ask(roster, "POST", &got), ROSTER_UNREACHABLE);
    assert_null(got.body);
    assert_non_null(strstr(roster_error(roster)->detail, DEAD));
    assert_non_null(strstr(roster_error(roster)->detail, "127.0.0.1:2"));
    (void)roster_free(roster);
}

/* [CLIENT-1] The key of the second attempt is that of the first. */
static void a_cut_write_is_sent_again_under_one_key(void **state)
{
    struct fake fake;
    struct roster_response got = {0};

    (void)state;
    fake_start(&fake, SCRIPT(CUT, ANSWER("504 Gateway Timeout", "", "...."),
                             OK_ANSWER));
    struct roster *roster = client_of(fake.url);
    roster_set_patience(roster, 5000);
    assert_int_equal(ask(roster, "POST", &got), ROSTER_OK);
    roster_response_done(&got);
    assert_int_equal(fake.n_requests, 3);
    const char *first = strstr(fake.seen, "Idempotency-Key: ");
    assert_non_null(first);
    for (int i = 0; i < 2; i++) {
        const char *next = strstr(first + 1, "Idempotency-Key: ");
        assert_non_null(next);
        assert_memory_equal(first, next, 17 + 32);
        first = next;
    }
    (void)roster_free(roster);
    fake_stop(&fake);
}

/* [CLIENT-2] */
static void what_may_have_happened_is_unknown(void **state)
{
    struct fake fake;
    struct roster_response got = {0};
    struct roster_request request = {
        .method = "POST", .path = "/", .repeat = ROSTER_REPEAT_NEVER};

    (void)state;
    fake_start(&fake, SCRIPT(CUT, CUT));
    struct roster *roster = client_of(fake.url);
    assert_int_equal(roster_send(roster, &request, &got), ROSTER_UNKNOWN);
    assert_int_equal(fake.n_requests, 1);
    assert_null(strstr(fake.seen, "Idempotency-Key"));
    assert_int_equal(ask(roster, "PATCH", &got), ROSTER_UNKNOWN);
    assert_int_equal(fake.n_requests, 2);
    (void)roster_free(roster);
    fake_stop(&fake);
}

/* [CLIENT-2] The second server's own trouble says nothing about the first. */
static void a_refusal_after_a_cut_settles_only_what_it_is_about(void **state)
{
    static const struct {
        const char *answer;
        enum roster_result result;
    } cases[] = {
        {ANSWER("409 Conflict", "", "...."), ROSTER_REFUSED},
        {ANSWER("408 Request Timeout", "", "...."), ROSTER_UNKNOWN},
        {ANSWER("429 Too Many Requests", "", "...."), ROSTER_UNKNOWN},
        {ANSWER("500 Internal Server Error", "", "...."), ROSTER_UNKNOWN},
        {ANSWER("507 Insufficient Storage", "", "...."), ROSTER_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake fake;
        struct roster_response got = {0};
        fake_start(&fake, SCRIPT(CUT, cases[i].answer));
        struct roster *roster = client_of(fake.url);
        roster_set_patience(roster, 5000);
        assert_int_equal(ask(roster, "POST", &got), cases[i].result);
        assert_int_equal(fake.n_requests, 2);
        roster_response_done(&got);
        (void)roster_free(roster);
        fake_stop(&fake);
    }
}

static void a_server_that_is_not_ready_is_asked_again(void **state)
{
    struct fake fake;
    struct roster_response got = {0};

    (void)state;
    fake_start(&fake,
               SCRIPT(ANSWER("503 Service Unavailable", "", "wait"),
                      ANSWER("503 Service Unavailable", "", "wait"), OK_ANSWER,
                      ANSWER("503 Service Unavailable", "Retry-After: 60\r\n",
                             "wait")));
    struct roster *roster = client_of(fake.url);
    roster_set_patience(roster, 5000);
    assert_int_equal(ask(roster, "GET", &got), ROSTER_OK);
    roster_response_done(&got);
    /* Not before a minute: waiting for less is of no use. */
    assert_int_equal(ask(roster, "GET", &got), ROSTER_REFUSED);
    assert_int_equal(got.status, 503);
    assert_int_equal(got.retry_after_ms, 60000);
    roster_response_done(&got);
    (void)roster_free(roster);
    fake_stop(&fake);
}

static void a_silent_server_costs_the_timeout_at_most(void **state)
{
    struct fake fake;
    struct roster_response got = {0};

    (void)state;
    fake_start(&fake, SCRIPT(SILENT, SILENT));
    struct roster *roster = client_of(fake.url);
    roster_set_timeouts(roster, 100, 200);
    uint64_t start = clock_mono_ms();
    assert_int_equal(ask(roster, "GET", &got), ROSTER_UNREACHABLE);
    assert_in_range(clock_mono_ms() - start, 190, 9000); /* Else 10 s. */
    (void)roster_free(roster);
    fake_stop(&fake);
}

static void a_wake_descriptor_ends_the_wait(void **state)
{
    struct fake fake;
    struct roster_response got = {0};
    int wake = eventfd(1, 0);

    (void)state;
    fake_start(&fake, SCRIPT(SILENT));
    struct roster *roster = client_of(fake.url);
    roster_set_wake_fd(roster, wake);
    uint64_t start = clock_mono_ms();
    assert_int_equal(ask(roster, "GET", &got), ROSTER_INTERRUPTED);
    assert_true(clock_mono_ms() - start < 9000);
    (void)roster_free(roster);
    fake_stop(&fake);
    (void)close(wake);
}

static void what_is_no_server_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "127.0.0.1:7070",
                                      "ftp://a:1",
                                      "http://a:1,",
                                      "http://a:1/v1",
                                      "http://a:1?x=1",
                                      "http://"};
    struct roster *roster = client_of("https://a:1/,http://[::1]:7070");

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(roster_set_servers(roster, bad[i]), ROSTER_INVALID);
        assert_non_null(
            strstr(roster_error(roster)->detail, "http://HOST:PORT"));
    }
    (void)roster_free(roster);
}

static void paths_and_queries_are_encoded(void **state)
{
    (void)state;
    char *path =
        roster_path("v1", "ns", "a.roster", "10.0.0.0/8 \xc3\xa9", NULL);
    assert_string_equal(path, "/v1/ns/a.roster/10.0.0.0%2F8%20%C3%A9");
    free(path);
    char *query = roster_query("k", "a&b", "v", NULL, "mode", "prefix", NULL);
    assert_string_equal(query, "k=a%26b&mode=prefix");
    free(query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_brings_its_headers),
        cmocka_unit_test(a_connection_is_used_again),
        cmocka_unit_test(a_problem_becomes_an_error),
        cmocka_unit_test(a_dead_server_is_passed_over),
        cmocka_unit_test(without_any_server_the_error_names_each),
        cmocka_unit_test(a_cut_write_is_sent_again_under_one_key),
        cmocka_unit_test(what_may_have_happened_is_unknown),
        cmocka_unit_test(a_refusal_after_a_cut_settles_only_what_it_is_about),
        cmocka_unit_test(a_server_that_is_not_ready_is_asked_again),
        cmocka_unit_test(a_silent_server_costs_the_timeout_at_most),
        cmocka_unit_test(a_wake_descriptor_ends_the_wait),
        cmocka_unit_test(what_is_no_server_is_refused),
        cmocka_unit_test(paths_and_queries_are_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
