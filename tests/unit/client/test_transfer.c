/* Bodies that are not in memory: whole, or told to be not. */
#include "fake.h"

struct taken {
    char bytes[64];
    size_t n;
    size_t most; /* more than that is refused */
    uint64_t told_done, told_total;
};

static int take(const void *bytes, size_t n, void *user)
{
    struct taken *taken = user;

    if (taken->n + n > taken->most) {
        return -1;
    }
    memcpy(taken->bytes + taken->n, bytes, n);
    taken->n += n;
    return 0;
}

static void told(uint64_t done, uint64_t total, void *user)
{
    struct taken *taken = user;

    taken->told_done = done;
    taken->told_total = total;
}

static enum roster_result get(const char *url, struct taken *taken,
                              struct roster_response *response,
                              struct roster **ret_roster)
{
    struct roster *roster = client_of(url);
    struct roster_request request = {.method = "GET", .path = "/v1/x"};
    struct roster_stream stream = {
        .take = take, .progress = told, .user = taken};

    taken->most = taken->most == 0 ? sizeof taken->bytes : taken->most;
    /* Of an attempt: the silence of some, more than a busy machine needs. */
    roster_set_timeouts(roster, 1500, 1500);
    enum roster_result result =
        roster_transfer(roster, &request, &stream, response);
    *ret_roster = roster;
    return result;
}

/* One answer of one server; what the transfer came to. */
static enum roster_result get_one(const char *answer, struct taken *taken)
{
    struct fake fake;
    struct roster *roster = NULL;
    struct roster_response response = {0};

    fake_start(&fake, SCRIPT(answer));
    enum roster_result result = get(fake.url, taken, &response, &roster);
    roster_response_done(&response);
    roster = roster_free(roster);
    fake_stop(&fake);
    return result;
}

static void a_download_goes_to_the_caller(void **state)
{
    struct taken taken = {0};

    (void)state;
    assert_int_equal(get_one(OK_ANSWER, &taken), ROSTER_OK);
    assert_int_equal(taken.n, 4);
    assert_memory_equal(taken.bytes, "[ ] ", 4);
    assert_int_equal(taken.told_done, 4);
    assert_int_equal(taken.told_total, 4);
}

static void chunks_that_end_are_whole(void **state)
{
    struct taken taken = {0};

    (void)state;
    assert_int_equal(get_one("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
                             "\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                             &taken),
                     ROSTER_OK);
    assert_int_equal(taken.n, 5);
}

/* The server says no more: the silence ends it, and what came is not whole. */
static void a_download_that_stops_is_cut(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct taken taken = {0};
        assert_int_equal(get_one(answers[i], &taken), ROSTER_CUT);
        assert_true(taken.n > 0);
    }
}

static void an_error_is_kept_and_not_taken(void **state)
{
    struct taken taken = {0};
    struct fake fake;
    struct roster *roster = NULL;
    struct roster_response response = {0};

    (void)state;
    fake_start(&fake, SCRIPT(ANSWER("404 Not Found", "", "gone")));
    assert_int_equal(get(fake.url, &taken, &response, &roster), ROSTER_REFUSED);
    assert_int_equal(taken.n, 0);
    assert_string_equal(response.body, "gone");
    assert_int_equal(roster_error(roster)->status, 404);
    roster_response_done(&response);
    roster = roster_free(roster);
    fake_stop(&fake);
}

static void the_caller_can_stop_it(void **state)
{
    struct taken taken = {.most = 2};

    (void)state;
    assert_int_equal(get_one(OK_ANSWER, &taken), ROSTER_STOPPED);
}

/* Dead, hanging, not ready: as long as nothing was handed over, another server
 * may still give the whole. */
static void another_server_is_asked_before_the_first_byte(void **state)
{
    static const char *const bad[] = {
        CUT, SILENT,
        ANSWER("503 Service Unavailable", "Retry-After: 1\r\n", "wait")};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fake first;
        struct fake second;
        struct taken taken = {0};
        struct roster *roster = NULL;
        struct roster_response response = {0};
        char urls[200];

        fake_start(&first, SCRIPT(bad[i], bad[i]));
        fake_start(&second, SCRIPT(OK_ANSWER));
        (void)snprintf(urls, sizeof urls, "%s,%s,%s", DEAD, first.url,
                       second.url);
        assert_int_equal(get(urls, &taken, &response, &roster), ROSTER_OK);
        assert_memory_equal(taken.bytes, "[ ] ", 4);
        assert_int_equal(taken.n, 4);
        roster_response_done(&response);
        roster = roster_free(roster);
        fake_stop(&first);
        fake_stop(&second);
    }
}

static int file_of(const char *text)
{
    char name[] = "/tmp/roster-test-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd > 0);
    (void)unlink(name);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

static void a_file_is_sent_whole_each_time(void **state)
{
    struct fake fake;
    struct taken taken = {0};
    struct roster_response response = {0};
    struct roster_stream stream = {
        .body_fd = file_of("the file"), .progress = told, .user = &taken};
    struct roster_request request = {.method = "POST", .path = "/v1/x"};

    (void)state;
    fake_start(&fake, SCRIPT(CUT, OK_ANSWER));
    struct roster *roster = client_of(fake.url);
    roster_set_patience(roster, 5000);
    assert_int_equal(roster_transfer(roster, &request, &stream, &response),
                     ROSTER_OK);
    assert_string_equal(response.body, "[ ] ");
    assert_int_equal(taken.told_done, 8);
    assert_int_equal(taken.told_total, 8);
    const char *first = strstr(fake.seen, "the file");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "the file"));
    assert_non_null(strstr(fake.seen, "application/octet-stream"));
    roster_response_done(&response);
    (void)roster_free(roster);
    fake_stop(&fake);
    (void)close(stream.body_fd);
}

static void an_upload_that_may_be_done_is_unknown(void **state)
{
    struct fake fake;
    struct roster_response response = {0};
    struct roster_stream stream = {.body_fd = file_of("the file")};
    struct roster_request request = {
        .method = "POST", .path = "/v1/x", .repeat = ROSTER_REPEAT_NEVER};

    (void)state;
    fake_start(&fake, SCRIPT(CUT));
    struct roster *roster = client_of(fake.url);
    assert_int_equal(roster_transfer(roster, &request, &stream, &response),
                     ROSTER_UNKNOWN);
    assert_int_equal(fake.n_requests, 1);
    (void)roster_free(roster);
    fake_stop(&fake);
    (void)close(stream.body_fd);
}

static void a_file_that_cannot_be_read_stops_it(void **state)
{
    struct fake fake;
    struct roster_response response = {0};
    struct roster_stream stream = {.body_fd = 9999};
    struct roster_request request = {.method = "POST", .path = "/v1/x"};

    (void)state;
    fake_start(&fake, SCRIPT(CUT));
    struct roster *roster = client_of(fake.url);
    assert_int_equal(roster_transfer(roster, &request, &stream, &response),
                     ROSTER_STOPPED);
    (void)roster_free(roster);
    fake_stop(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_download_goes_to_the_caller),
        cmocka_unit_test(chunks_that_end_are_whole),
        cmocka_unit_test(a_download_that_stops_is_cut),
        cmocka_unit_test(an_error_is_kept_and_not_taken),
        cmocka_unit_test(the_caller_can_stop_it),
        cmocka_unit_test(another_server_is_asked_before_the_first_byte),
        cmocka_unit_test(a_file_is_sent_whole_each_time),
        cmocka_unit_test(an_upload_that_may_be_done_is_unknown),
        cmocka_unit_test(a_file_that_cannot_be_read_stops_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
