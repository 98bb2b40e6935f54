/* The parts of the load client of scripts/bench: what counts as an answer, and
 * the figures that are made of it. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spread.h"
#include "template.h"
#include "wire.h"

static struct wire_answer whole(wire_func *wire, const char *text, size_t n)
{
    struct wire_answer a = {0};

    assert_int_equal(wire(text, n, &a), 0);
    return a;
}

static void a_length_says_where_an_answer_ends(void **state)
{
    const char *text = "HTTP/1.1 201 Created\r\nETag: \"9\"\r\n"
                       "content-length: 5\r\nX-Content-Length: 7\r\n\r\nhello";
    struct wire_answer a = whole(wire_http, text, strlen(text));

    (void)state;
    assert_int_equal(a.n, strlen(text));
    assert_true(a.good && a.told);
    /* Also when only the header has come. */
    assert_int_equal(whole(wire_http, text, strlen(text) - 5).n, strlen(text));
}

static void an_answer_that_is_cut_anywhere_asks_for_more(void **state)
{
    static const char *texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "a\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct wire_answer a = {0};
        size_t n = strlen(texts[i]);
        for (size_t cut = 0; cut < n; cut++) {
            assert_int_equal(wire_http(texts[i], cut, &a), 1);
        }
        assert_int_equal(whole(wire_http, texts[i], n).n, n);
    }
}

static void only_an_answer_that_says_yes_is_good(void **state)
{
    const char *no = "HTTP/1.1 503 Service Unavailable\r\n"
                     "Content-Length: 0\r\n\r\n";
    const char *same = "HTTP/1.1 304 Not Modified\r\n"
                       "Content-Length: 9\r\n\r\n";
    struct wire_answer a;

    (void)state;
    assert_false(whole(wire_http, no, strlen(no)).good);
    /* It says how long the body would be, and has none. */
    a = whole(wire_http, same, strlen(same));
    assert_true(a.good);
    assert_int_equal(a.n, strlen(same));
    assert_true(wire_http("-ERR this is redis\r\n", 20, &a) < 0);
}

static void redis_says_no_in_three_ways(void **state)
{
    (void)state;
    assert_true(whole(wire_resp, "+OK\r\n", 5).good);
    assert_true(whole(wire_resp, ":1\r\n", 4).good);
    assert_false(whole(wire_resp, ":0\r\n", 4).good);
    assert_false(whole(wire_resp, "$-1\r\n", 5).good);
    assert_false(whole(wire_resp, "-ERR no\r\n", 9).good);
    assert_int_equal(whole(wire_resp, "$3\r\nabc\r\n", 9).n, 9);
}

static void zookeeper_says_no_in_a_number(void **state)
{
    char reply[20] = {0, 0, 0, 16, 0, 0, 0, 1};

    (void)state;
    assert_true(whole(wire_zookeeper, reply, 20).good);
    assert_int_equal(whole(wire_zookeeper, reply, 20).n, 20);
    reply[19] = (char)-110;
    assert_false(whole(wire_zookeeper, reply, 20).good);
}

static void a_quantile_is_right_to_a_sixtieth(void **state)
{
    struct spread *s = calloc(1, sizeof *s);

    (void)state;
    assert_int_equal(spread_quantile(s, 0.99), 0);
    for (uint64_t us = 1; us <= 10000; us++) {
        spread_add(s, us * 1000);
    }
    for (int percent = 10; percent < 100; percent += 10) {
        double wanted = percent * 100000.0;
        double got = (double)spread_quantile(s, percent / 100.0);
        assert_true(got >= wanted && got < wanted * 61 / 60);
    }
    assert_int_equal(spread_quantile(s, 1), 10000000);
    spread_add(s, UINT64_MAX);
    assert_int_equal(s->most, UINT64_MAX);
    free(s);
}

static void each_place_gets_a_number_of_its_own(void **state)
{
    char file[] = "/tmp/roster-test-XXXXXX", out[64];
    static const char text[] = "$$$$$$$$$$$$ @@@@@@@@@@@@,@@@@@@@@@@@@";
    struct template t = {
        .first_item = 7, .item_modulo = 3, .request_modulo = 2};
    int fd = mkstemp(file);

    (void)state;
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    template_read(&t, file);
    unlink(file);
    assert_int_equal(t.n, sizeof text - 1);
    template_next(&t, out);
    assert_memory_equal(out, "000000000000 000000000007,000000000008", t.n);
    template_next(&t, out);
    assert_memory_equal(out, "000000000001 000000000009,000000000007", t.n);
    template_next(&t, out);
    assert_memory_equal(out, "000000000000 000000000008,000000000009", t.n);
    free(t.bytes);
    free(t.items);
    free(t.requests);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_says_where_an_answer_ends),
        cmocka_unit_test(an_answer_that_is_cut_anywhere_asks_for_more),
        cmocka_unit_test(only_an_answer_that_says_yes_is_good),
        cmocka_unit_test(redis_says_no_in_three_ways),
        cmocka_unit_test(zookeeper_says_no_in_a_number),
        cmocka_unit_test(a_quantile_is_right_to_a_sixtieth),
        cmocka_unit_test(each_place_gets_a_number_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
