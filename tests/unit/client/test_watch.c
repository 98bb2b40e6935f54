/* A watch over real sockets: which server is asked, and when that is all. */
#include "fake.h"

#define STREAM "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define PUT_7 "1b\r\n{\"revision\":7,\"op\":\"put\"}\n\n\r\n"
#define PUT_8 "1b\r\n{\"revision\":8,\"op\":\"put\"}\n\n\r\n"
#define BYE_7 "1a\r\n{\"revision\":7,\"op\":\"bye\"}\n\r\n"
#define ENDS "0\r\n\r\n"
#define BEHIND ANSWER("503 Service Unavailable", "", "busy")
#define NO_SUCH                                                                \
    ANSWER("404 Not Found", "Content-Type: application/problem+json\r\n",      \
           "gone")

struct told {
    size_t n_connected, n_lost, n_changes, n_byes;
    uint64_t revision;
    size_t most; /* changes; then it ends; 0: no end */
    int wake;    /* > 0: to write to with the first change */
    char why[256];
};

static int tell(const struct roster_watch_event *event, void *user)
{
    struct told *told = user;

    told->n_connected += event->kind == ROSTER_WATCH_CONNECTED;
    told->n_byes += event->kind == ROSTER_WATCH_BYE;
    if (event->kind == ROSTER_WATCH_LOST) {
        told->n_lost++;
        (void)snprintf(told->why, sizeof told->why, "%s", event->why);
    }
    if (event->kind != ROSTER_WATCH_CHANGE) {
        return 0;
    }
    told->revision = event->revision;
    if (told->wake > 0) {
        (void)eventfd_write(told->wake, 1);
    }
    return ++told->n_changes == told->most ? -1 : 0;
}

/* `watch` at these servers, with the first one asked first. */
static enum roster_result watch_at(struct roster *roster, struct told *told,
                                   struct roster_watch watch)
{
    watch.tell = tell;
    watch.user = told;
    watch.silence_ms = watch.silence_ms == 0 ? 5000 : watch.silence_ms;
    roster_set_timeouts(roster, 2000, 3000);
    return roster_watch(roster, &watch);
}

static const struct roster_watch since_6 = {.start = ROSTER_FROM_SINCE,
                                            .since = 6};

static void a_broken_stream_is_taken_up_behind_what_was_told(void **state)
{
    static const char *const ends[] = {STREAM PUT_7 ENDS, STREAM PUT_7 BYE_7};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fake fake;
        struct told told = {.most = 2};
        fake_start(&fake, SCRIPT(ends[i], STREAM PUT_7 PUT_8));
        struct roster *roster = client_of(fake.url);
        assert_int_equal(watch_at(roster, &told, since_6), ROSTER_STOPPED);
        (void)roster_free(roster);
        fake_stop(&fake);
        assert_int_equal(told.revision, 8);
        assert_int_equal(told.n_connected, 2);
        assert_int_equal(told.n_byes, i);
        assert_non_null(strstr(fake.seen, "GET /v1/watch?since=6 "));
        assert_non_null(strstr(fake.seen, "GET /v1/watch?since=7 "));
        assert_non_null(strstr(fake.seen, "Accept: application/x-ndjson"));
    }
}

static void a_silent_server_is_lost(void **state)
{
    struct fake fake;
    struct told told = {.most = 2};
    struct roster_watch watch = since_6;

    (void)state;
    watch.silence_ms = 1000;
    fake_start(&fake, SCRIPT(STREAM PUT_7, SILENT, STREAM PUT_8));
    struct roster *roster = client_of(fake.url);
    assert_int_equal(watch_at(roster, &told, watch), ROSTER_STOPPED);
    (void)roster_free(roster);
    fake_stop(&fake);
    assert_int_equal(told.revision, 8);
    assert_int_equal(told.n_lost, 2);
    assert_non_null(strstr(told.why, "nothing moved"));
}

static void
a_server_that_is_behind_dead_or_cut_off_is_left_for_another(void **state)
{
    struct fake fake;
    struct told told = {.most = 1};
    char urls[128];

    (void)state;
    fake_start(&fake, SCRIPT(STREAM ENDS, BEHIND, CUT, BEHIND, STREAM PUT_7));
    (void)snprintf(urls, sizeof urls, "%s,%s", DEAD, fake.url);
    struct roster *roster = client_of(urls);
    roster_set_patience(roster, 10000);
    assert_int_equal(watch_at(roster, &told, since_6), ROSTER_STOPPED);
    (void)roster_free(roster);
    fake_stop(&fake);
    assert_int_equal(told.revision, 7);
    assert_int_equal(told.n_connected, 1);
    /* curl itself asks again where a kept connection was closed. */
    assert_true(told.n_lost >= 6);
}

static void what_can_never_be_ends_it_with_the_reason(void **state)
{
    static const struct {
        const char *answer;
        enum roster_result result;
        const char *says;
    } cases[] = {
        {NO_SUCH, ROSTER_REFUSED, "gone"},
        {ANSWER("400 Bad Request", "", "oops"), ROSTER_REFUSED, "oops"},
        {OK_ANSWER, ROSTER_FOREIGN, "'[ ] '"},
        {ANSWER("200 OK", "", "<ht>"), ROSTER_FOREIGN, "roster server?"},
        {ANSWER("301 Moved", "Location: /x\r\n", "away"), ROSTER_FOREIGN,
         "no stream"},
        {STREAM "4\r\n{\"a\n\r\n", ROSTER_FOREIGN, "'{\"a'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake fake;
        struct told told = {0};
        fake_start(&fake, SCRIPT(cases[i].answer));
        struct roster *roster = client_of(fake.url);
        assert_int_equal(watch_at(roster, &told, since_6), cases[i].result);
        const struct roster_error *error = roster_error(roster);
        assert_int_equal(error->result, cases[i].result);
        assert_non_null(strstr(error->detail, cases[i].says));
        (void)roster_free(roster);
        fake_stop(&fake);
        assert_int_equal(fake.n_requests, 1);
    }
}

static void without_patience_each_server_is_asked_once(void **state)
{
    struct told told = {0};
    struct fake fake;
    struct roster *roster = client_of(DEAD "," DEAD);

    (void)state;
    assert_int_equal(watch_at(roster, &told, since_6), ROSTER_UNREACHABLE);
    assert_int_equal(told.n_lost, 2);
    assert_non_null(strstr(roster_error(roster)->detail, DEAD));
    (void)roster_free(roster);
    fake_start(&fake, SCRIPT(BEHIND));
    roster = client_of(fake.url);
    assert_int_equal(watch_at(roster, &told, since_6), ROSTER_REFUSED);
    assert_int_equal(roster_error(roster)->status, 503);
    (void)roster_free(roster);
    fake_stop(&fake);
    roster = roster_new();
    assert_int_equal(watch_at(roster, &told, since_6), ROSTER_INVALID);
    (void)roster_free(roster);
}

static void no_resume_ends_with_the_first_stream(void **state)
{
    struct fake fake;
    struct told told = {0};
    struct roster_watch watch = since_6;

    (void)state;
    watch.no_resume = 1;
    fake_start(&fake, SCRIPT(STREAM PUT_7 ENDS));
    struct roster *roster = client_of(fake.url);
    assert_int_equal(watch_at(roster, &told, watch), ROSTER_CUT);
    assert_non_null(strstr(roster_error(roster)->detail, "ended the stream"));
    (void)roster_free(roster);
    fake_stop(&fake);
    assert_int_equal(told.n_changes, 1);
}

static void the_wake_descriptor_ends_it(void **state)
{
    struct fake fake;
    struct told told = {.wake = eventfd(0, 0)};

    (void)state;
    fake_start(&fake, SCRIPT(STREAM PUT_7));
    struct roster *roster = client_of(fake.url);
    roster_set_wake_fd(roster, told.wake);
    assert_int_equal(watch_at(roster, &told, since_6), ROSTER_INTERRUPTED);
    (void)roster_free(roster);
    fake_stop(&fake);
    roster = client_of(DEAD); /* while it waits for the next round */
    roster_set_wake_fd(roster, told.wake);
    roster_set_patience(roster, 60000);
    assert_int_equal(watch_at(roster, &told, since_6), ROSTER_INTERRUPTED);
    (void)roster_free(roster);
    (void)close(told.wake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_stream_is_taken_up_behind_what_was_told),
        cmocka_unit_test(a_silent_server_is_lost),
        cmocka_unit_test(
            a_server_that_is_behind_dead_or_cut_off_is_left_for_another),
        cmocka_unit_test(what_can_never_be_ends_it_with_the_reason),
        cmocka_unit_test(without_patience_each_server_is_asked_once),
        cmocka_unit_test(no_resume_ends_with_the_first_stream),
        cmocka_unit_test(the_wake_descriptor_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
