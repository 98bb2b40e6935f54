#include "kit.h"
#include "rest/encoding.h"

static void expect(const char *const *headers, bool gzip)
{
    for (; *headers != NULL; headers++) {
        if (rest_encoding_is_gzip(str_of(*headers)) != gzip) {
            fail_msg("wrong about '%s'", *headers);
        }
    }
}

static void gzip_goes_to_those_who_take_it(void **state)
{
    static const char *const headers[] = {
        "gzip",
        "GZip",
        "x-gzip",
        "deflate, gzip",
        "br;q=1.0, gzip;q=0.8, *;q=0.1",
        "gzip, identity",
        "gzip;q=0.001",
        "gzip ; q=1.000",
        "gzip;Q=1",
        "*",
        "*;q=0.5",
        "identity;q=0, *",
        "identity;q=0.5, *",
        "gzip, identity;q=0",
        "gzip;q=1, *;q=0",
        ",, gzip ,",
        "\tgzip\t",
        NULL,
    };

    (void)state;
    expect(headers, true);
}

static void and_to_nobody_else(void **state)
{
    static const char *const headers[] = {
        "",
        "identity",
        "deflate, br, zstd",
        "gzip;q=0",
        "gzip;q=0.0",
        "gzip;q=0.000",
        "*, gzip;q=0",
        "*;q=0",
        "gzip;q=0.5, identity",
        "gzip;q=0.2, identity;q=0.3",
        "gzip;q=0.3, *;q=0.5",
        "identity;q=0",
        "gzipped",
        "gzi",
        ";q=1",
        NULL,
    };

    (void)state;
    expect(headers, false);
    assert_false(rest_encoding_is_gzip(STR_NONE));
}

static void what_makes_no_sense_is_not_sent(void **state)
{
    static const char *const headers[] = {
        "gzip;q=2",   "gzip;q=-1",    "gzip;q=",   "gzip;q=0.1234",
        "gzip;q=1.1", "gzip;level=9", "gzip;q",    "gzip;q=0,5",
        "gzip gzip",  "gzip;q=a",     "gzip;q=.5", NULL,
    };

    (void)state;
    expect(headers, false);
}

static void lines_go_to_those_who_ask_for_them(void **state)
{
    static const char *const yes[] = {
        "application/x-ndjson", "Application/X-NDJSON; q=0.5",
        "text/event-stream;q=0.1, application/x-ndjson;q=0.9"};
    static const char *const no[] = {
        "",
        "*/*",
        "text/event-stream",
        "application/json",
        "application/x-ndjson;q=0",
        "text/event-stream, application/x-ndjson;q=0.9",
        "application/x-ndjson2"};

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        assert_true(rest_encoding_is_lines(str_of(yes[i])));
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        assert_false(rest_encoding_is_lines(str_of(no[i])));
    }
    assert_false(rest_encoding_is_lines(STR_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_goes_to_those_who_take_it),
        cmocka_unit_test(and_to_nobody_else),
        cmocka_unit_test(what_makes_no_sense_is_not_sent),
        cmocka_unit_test(lines_go_to_those_who_ask_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
