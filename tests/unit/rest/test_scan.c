/* What of a socket's bytes is a head that may be answered here. */
#include <stdio.h>

#include "kit.h"
#include "rest/scan.h"

#define HEAD(target) "GET " target " HTTP/1.1\r\nHost: x\r\n"

static enum rest_scan scan(void **state, const char *text,
                           struct rest_scanned *ret)
{
    return rest_scan_head(str_of(text), *state, ret);
}

static void expect_n(void **state, struct str text, enum rest_scan wanted)
{
    struct rest_scanned scanned;

    if (rest_scan_head(text, *state, &scanned) != wanted) {
        fail_msg("not %d: %.*s", (int)wanted, STR_ARG(text));
    }
}

static void expect(void **state, const char *text, enum rest_scan wanted)
{
    expect_n(state, str_of(text), wanted);
}

static void a_head_is_taken_apart(void **state)
{
    const char *text = HEAD("/v1/ns?depth=1") "If-None-Match: \"7\" \r\n"
                                              "Authorization:Bearer t\r\n"
                                              "X-Other: \r\n\r\nGET";
    struct rest_scanned scanned;

    assert_int_equal(scan(state, text, &scanned), SCAN_WHOLE);
    assert_int_equal(scanned.n, strlen(text) - 3);
    expect_str(scanned.target, "/v1/ns?depth=1");
    expect_str(scanned.head.host, "x");
    expect_str(scanned.head.conditions.if_none_match, "\"7\"");
    expect_str(scanned.head.authorization, "Bearer t");
}

static void each_beginning_of_a_head_is_a_part(void **state)
{
    const char *text =
        HEAD("/v1/ns") "Accept: */*\r\nConnection: keep-alive\r\n\r\n";
    struct rest_scanned scanned;

    for (size_t n = 0; n < strlen(text); n++) {
        assert_int_equal(
            rest_scan_head((struct str){text, n}, *state, &scanned), SCAN_PART);
    }
    expect(state, text, SCAN_WHOLE);
}

static void what_ends_behind_a_head_does_not_matter(void **state)
{
    struct rest_scanned scanned;

    assert_int_equal(scan(state, HEAD("/a") "\r\n\001\002", &scanned),
                     SCAN_WHOLE);
    assert_int_equal(scanned.n, strlen(HEAD("/a")) + 2);
}

static void other_requests_are_odd(void **state)
{
    static const char *const odd[] = {
        "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POSTS / HTTP/1.1\r\nHost: x\r\n\r\n",
        "PATCHED / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: x\r\n\r\n",
        "post / HTTP/1.1\r\nHost: x\r\n\r\n",
        "get / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.10\r\nHost: x\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\nHTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\x80 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        expect(state, odd[i], SCAN_ODD);
    }
}

static void methods_that_write_may_have_one_length(void **state)
{
    static const char *const names[] = {"POST", "PUT", "PATCH", "DELETE"};
    struct rest_scanned scanned;
    char text[200];

    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(text, sizeof text, "%s /a HTTP/1.1\r\n\r\n", names[i]);
        assert_int_equal(scan(state, text, &scanned), SCAN_WHOLE);
        assert_string_equal(rest_method_name(scanned.method), names[i]);
        assert_null(scanned.head.content_length.p);
        (void)snprintf(text, sizeof text,
                       "%s /a HTTP/1.1\r\nContent-Length: 12\r\n\r\n{",
                       names[i]);
        assert_int_equal(scan(state, text, &scanned), SCAN_WHOLE);
        assert_int_equal(scanned.n, strlen(text) - 1);
        expect_str(scanned.head.content_length, "12");
        for (size_t n = 0; n < scanned.n; n++) {
            expect_n(state, (struct str){text, n}, SCAN_PART);
        }
    }
}

static void what_else_makes_a_write_longer_is_odd(void **state)
{
    static const char *const odd[] = {
        "Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Content-Length : 3\r\n\r\n",
        "Content-Length: 3\r\nConnection: close\r\n\r\n",
        "Content-Length: 3\r\nUpgrade: h2c\r\n\r\n",
    };
    char text[200];

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        (void)snprintf(text, sizeof text, "POST /a HTTP/1.1\r\n%s", odd[i]);
        expect(state, text, SCAN_ODD);
    }
}

static void lines_that_could_mean_two_things_are_odd(void **state)
{
    static const char *const odd[] = {
        HEAD("/") "\n",
        HEAD("/") "A: b\n\r\n",
        HEAD("/") "A: b\r\r\n\r\n",
        HEAD("/") "A: b\rc\r\n\r\n",
        HEAD("/") "A : b\r\n\r\n",
        HEAD("/") "A\r\n\r\n",
        HEAD("/") ": b\r\n\r\n",
        HEAD("/") "A: b\r\n c\r\n\r\n",
        HEAD("/") "A: b\r\n\tc\r\n\r\n",
        HEAD("/") "A: \x01\r\n\r\n",
        HEAD("/") "A: \xc3\xa4\r\n\r\n",
        HEAD("/") "A(: b\r\n\r\n",
        HEAD("/") "Host: y\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        expect(state, odd[i], SCAN_ODD);
    }
}

static void what_makes_a_message_longer_is_odd(void **state)
{
    static const char *const odd[] = {
        HEAD("/") "Content-Length: 0\r\n\r\n",
        HEAD("/") "content-length: 5\r\n\r\nhello",
        HEAD("/") "Transfer-Encoding: chunked\r\n\r\n",
        HEAD("/") "Transfer-Encoding:\r\n\r\n",
        HEAD("/") "Expect: 100-continue\r\n\r\n",
        HEAD("/") "Upgrade: h2c\r\n\r\n",
        HEAD("/") "Connection: close\r\n\r\n",
        HEAD("/") "Connection: keep-alive, close\r\n\r\n",
        HEAD("/") "connection: upgrade\r\n\r\n",
        HEAD("/") "Connection:\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        expect(state, odd[i], SCAN_ODD);
    }
    expect(state, HEAD("/") "Connection: Keep-Alive\r\n\r\n", SCAN_WHOLE);
}

static void long_heads_are_odd(void **state)
{
    struct buf text = {0};
    struct rest_scanned scanned;

    buf_add_text(&text, HEAD("/") "A: ");
    while (text.n < REST_SCAN_MOST) {
        assert_int_equal(rest_scan_head(buf_str(&text), *state, &scanned),
                         SCAN_PART);
        buf_add_char(&text, 'a');
    }
    assert_int_equal(rest_scan_head(buf_str(&text), *state, &scanned),
                     SCAN_ODD);
    buf_clear(&text);
    buf_add_text(&text, HEAD("/"));
    for (int i = 0; i < 64; i++) {
        buf_add_text(&text, "A: b\r\n");
    }
    assert_int_equal(rest_scan_head(buf_str(&text), *state, &scanned),
                     SCAN_ODD);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(a_head_is_taken_apart),
        WITH_ARENA(each_beginning_of_a_head_is_a_part),
        WITH_ARENA(what_ends_behind_a_head_does_not_matter),
        WITH_ARENA(other_requests_are_odd),
        WITH_ARENA(methods_that_write_may_have_one_length),
        WITH_ARENA(what_else_makes_a_write_longer_is_odd),
        WITH_ARENA(lines_that_could_mean_two_things_are_odd),
        WITH_ARENA(what_makes_a_message_longer_is_odd),
        WITH_ARENA(long_heads_are_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
