#include "kit.h"
#include "rest/uri.h"

static struct rest_uri good(struct arena *arena, const char *target)
{
    const char *why = NULL;
    struct rest_uri uri;

    if (rest_uri_parse(arena, str_of(target), &uri, &why) != 0) {
        fail_msg("%s: %s", target, why);
    }
    return uri;
}

static void bad(struct arena *arena, const char *target, const char *says)
{
    const char *why = NULL;
    struct rest_uri uri;

    assert_int_equal(rest_uri_parse(arena, str_of(target), &uri, &why),
                     ERR_INVALID);
    assert_non_null(why);
    if (strstr(why, says) == NULL) {
        fail_msg("%s: '%s' does not say '%s'", target, why, says);
    }
}

static void segments_are_split_before_they_are_decoded(void **state)
{
    struct rest_uri uri = good(*state, "/v1/ns/a.b/machine/x%2Fy%3fz?a=1");

    assert_int_equal(uri.n_segments, 5);
    expect_str(uri.segments[0], "v1");
    expect_str(uri.segments[2], "a.b");
    expect_str(uri.segments[4], "x/y?z");
    expect_str(uri.path, "/v1/ns/a.b/machine/x%2Fy%3fz");
    expect_str(uri.target, "/v1/ns/a.b/machine/x%2Fy%3fz?a=1");
}

static void a_plus_is_a_blank_in_a_query_only(void **state)
{
    struct rest_uri uri = good(*state, "/a+b?k+1=c+d%2B&e&f=&=g&&h=i=j");

    expect_str(uri.segments[0], "a+b");
    assert_int_equal(uri.n_params, 5);
    expect_str(uri.params[0].name, "k 1");
    expect_str(uri.params[0].value, "c d+");
    assert_true(uri.params[1].bare);
    assert_false(uri.params[2].bare);
    expect_str(uri.params[2].value, "");
    expect_str(uri.params[3].name, "");
    expect_str(uri.params[4].value, "i=j");
    for (size_t i = 0; i < uri.n_params; i++) {
        assert_non_null(uri.params[i].value.p);
    }
}

static void empty_segments_stay(void **state)
{
    assert_int_equal(good(*state, "/").n_segments, 0);
    assert_int_equal(good(*state, "/?a=b").n_segments, 0);
    assert_int_equal(good(*state, "/v1/").n_segments, 2);
    assert_int_equal(good(*state, "//v1").n_segments, 2);
    assert_int_equal(good(*state, "/v1").n_segments, 1);
}

static void the_absolute_form_loses_its_authority(void **state)
{
    expect_str(good(*state, "http://h:7070/v1?a=b").target, "/v1?a=b");
    expect_str(good(*state, "HTTPS://h/v1").path, "/v1");
    expect_str(good(*state, "http://h").path, "/");
    bad(*state, "http://h?a=b", "no '/'");
    bad(*state, "ftp://h/v1", "no '/'");
}

static void what_two_readers_may_understand_differently_is_refused(void **state)
{
    bad(*state, "/a%00b", "%00");
    bad(*state, "/a?b=%00", "%00");
    bad(*state, "/a%", "hex");
    bad(*state, "/a%2", "hex");
    bad(*state, "/a%2/b", "hex");
    bad(*state, "/a%g0", "hex");
    bad(*state, "/%c0%ae%c0%ae/b", "UTF-8");
    bad(*state, "/%ed%a0%80", "UTF-8");
    bad(*state, "/\xff", "UTF-8");
    bad(*state, "/a?b=%ff", "UTF-8");
    bad(*state, "/a/../b", "'..'");
    bad(*state, "/a/%2e%2E/b", "'..'");
    bad(*state, "/a/.", "'.'");
    bad(*state, "/a b", "blank");
    bad(*state, "/a\tb", "blank");
    bad(*state, "/a?b=\x7f", "control");
    bad(*state, "a/b", "no '/'");
    bad(*state, "", "no '/'");
}

static void names_that_only_look_like_dots_are_names(void **state)
{
    struct rest_uri uri = good(*state, "/.../a..b/%2e%2e%2e?x=..");

    expect_str(uri.segments[0], "...");
    expect_str(uri.segments[2], "...");
    expect_str(uri.params[0].value, "..");
}

static void more_than_fits_is_told(void **state)
{
    assert_int_equal(good(*state, "/1/2/3/4/5/6/7/8").n_segments, 8);
    assert_int_equal(good(*state, "/1/2/3/4/5/6/7/8/9/10").n_segments, 9);
    assert_int_equal(
        good(*state, "/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16").n_params, 16);
    bad(*state, "/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17", "more than 16");
}

static void a_target_in_a_header_cannot_leave_its_brackets(void **state)
{
    struct buf out = {0};

    (void)state;
    rest_uri_add_quoted(&out, STR("/a>b<\"\r\n\xc3\xa9%2F?x=1&y"));
    assert_string_equal(buf_text(&out), "/a%3Eb%3C%22%0D%0A%C3%A9%2F?x=1&y");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(segments_are_split_before_they_are_decoded),
        WITH_ARENA(a_plus_is_a_blank_in_a_query_only),
        WITH_ARENA(empty_segments_stay),
        WITH_ARENA(the_absolute_form_loses_its_authority),
        WITH_ARENA(what_two_readers_may_understand_differently_is_refused),
        WITH_ARENA(names_that_only_look_like_dots_are_names),
        WITH_ARENA(more_than_fits_is_told),
        WITH_ARENA(a_target_in_a_header_cannot_leave_its_brackets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
