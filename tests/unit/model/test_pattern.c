#include <pthread.h>

#include "kit.h"
#include "model/pattern.h"

#define PATTERN CLEANUP(pattern_freep) struct pattern *
#define SCRATCH CLEANUP(pattern_scratch_freep) struct pattern_scratch *

enum {
    PLENTY = 10000000, /* steps */
    KIB_256 = 256 * 1024,
};

static struct pattern *pattern_of(enum pattern_mode mode, const char *text)
{
    ARENA arena = arena_new();
    struct pattern *pattern = NULL;
    struct str why = STR_NONE;
    int r = pattern_new(mode, str_of(text), arena, &pattern, &why);

    if (r != 0) {
        print_error("%s: %.*s\n", text, STR_ARG(why));
    }
    assert_int_equal(r, 0);
    return pattern;
}

static int matched(enum pattern_mode mode, const char *text, struct str value)
{
    PATTERN pattern = pattern_of(mode, text);
    SCRATCH scratch = pattern_scratch_new(PLENTY);

    return pattern_match(pattern, scratch, value);
}

static void assert_match(enum pattern_mode mode, const char *text,
                         const char *value)
{
    assert_int_equal(matched(mode, text, str_of(value)), 0);
}

static void assert_no_match(enum pattern_mode mode, const char *text,
                            const char *value)
{
    assert_int_equal(matched(mode, text, str_of(value)), ERR_NOT_FOUND);
}

static void the_plain_modes_mean_what_they_say(void **state)
{
    (void)state;
    assert_match(PATTERN_EXACT, "a.b", "a.b");
    assert_no_match(PATTERN_EXACT, "a.b", "axb");
    assert_no_match(PATTERN_EXACT, "a", "ab");
    assert_match(PATTERN_EXACT, "", "");
    assert_match(PATTERN_PREFIX, "we", "web");
    assert_match(PATTERN_PREFIX, "", "");
    assert_no_match(PATTERN_PREFIX, "web", "we");
    assert_no_match(PATTERN_PREFIX, "e", "we");
    assert_match(PATTERN_CONTAINS, "e", "web");
    assert_match(PATTERN_CONTAINS, "", "");
    assert_no_match(PATTERN_CONTAINS, "E", "web");
    assert_no_match(PATTERN_CONTAINS, "x", "");
    assert_int_equal(matched(PATTERN_CONTAINS, "b", STR("a\0b")), 0);
}

static void a_regex_matches_anywhere_and_minds_the_case(void **state)
{
    (void)state;
    assert_match(PATTERN_REGEX, "web-[0-9]+", "prod-web-12.x");
    assert_no_match(PATTERN_REGEX, "web", "WEB");
    assert_match(PATTERN_REGEX, "(?i)web", "WEB");
    assert_match(PATTERN_REGEX, "^web$", "web");
    assert_no_match(PATTERN_REGEX, "^web$", "webs");
    assert_match(PATTERN_REGEX, "", "");
    assert_match(PATTERN_REGEX, "^.$", "\xf0\x9f\x98\x80");
    assert_match(PATTERN_REGEX, "\xc3\xa9{2}", "\xc3\xa9\xc3\xa9");
    assert_match(PATTERN_REGEX, "(a|b)\\1", "xbb");
    assert_int_equal(matched(PATTERN_REGEX, "^a\\x00b$", STR("a\0b")), 0);
}

static void text_that_is_no_utf8_matches_no_regex(void **state)
{
    (void)state;
    assert_no_match(PATTERN_REGEX, "", "\xff");
    assert_no_match(PATTERN_REGEX, "a", "a\xed\xa0\x80");
}

static void assert_no_pattern(struct str text, const char *words)
{
    ARENA arena = arena_new();
    struct pattern *pattern = NULL;
    struct str why = STR_NONE;

    assert_int_equal(pattern_new(PATTERN_REGEX, text, arena, &pattern, &why),
                     ERR_INVALID);
    assert_null(pattern);
    assert_non_null(memmem(why.p, why.n, words, strlen(words)));
}

static void a_wrong_regex_is_refused_with_its_place(void **state)
{
    char text[1001];

    (void)state;
    assert_no_pattern(STR("a(b"), "missing closing parenthesis at byte 3");
    assert_no_pattern(STR("*a"), "at byte");
    assert_no_pattern(STR("a\\C"), "\\C");
    assert_no_pattern(STR("\xff"), "UTF-8");
    assert_no_pattern(STR("((((a{999}){999}){999}){999})"), "too large");
    memset(text, 'a', sizeof text);
    assert_no_pattern((struct str){text, 1001}, "longer than 1000 bytes");
    text[1000] = '\0';
    PATTERN longest = pattern_of(PATTERN_REGEX, text);
    assert_non_null(longest);
}

static void modes_have_names(void **state)
{
    enum pattern_mode mode = PATTERN_EXACT;

    (void)state;
    assert_int_equal(pattern_mode_parse(STR("regex"), &mode), 0);
    assert_int_equal(mode, PATTERN_REGEX);
    assert_int_equal(pattern_mode_parse(STR("prefix"), &mode), 0);
    assert_int_equal(mode, PATTERN_PREFIX);
    assert_int_equal(pattern_mode_parse(STR("contains"), &mode), 0);
    assert_int_equal(mode, PATTERN_CONTAINS);
    assert_int_equal(pattern_mode_parse(STR("exact"), &mode), 0);
    assert_int_equal(mode, PATTERN_EXACT);
    assert_int_equal(pattern_mode_parse(STR("Regex"), &mode), ERR_INVALID);
    assert_int_equal(pattern_mode_parse(STR(""), &mode), ERR_INVALID);
}

/* Each of these would take from seconds to the age of the universe: some
 * explode at one place, some do a lot at every place, some read far in one item
 * and then fail. */
static void a_costly_regex_is_stopped_not_waited_for(void **state)
{
    static const struct {
        const char *regex;
        const char *text; /* again and again, up to 256 KiB */
    } cases[] = {
        {"(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"},
        {"(*NO_JIT)(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"},
        {"^(([a-z])+.)+[A-Z]([a-z])+$", "a"},
        {"(x+x+)+y", "x"},
        {"(?:(?=a*+c)|.)*d", "a"},
        {"[^b]*c", "ac\x01"},
        {"a*+[bc]", "a"},
        {"(?:a?){500}a{500}[bc]", "a"},
        {"a{60000}[bc]", "a"},
        {"(?<=(?:a{200}){200}b)[ac]", "a"},
        {"(?:b|a{60000}c)", "a"},
        {"(a{3000})\\1\\1[bc]", "a"},
        {"(a*)\\1{9}[bc]", "a"},
        {"\\X{7}[bc]", "a\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81"},
        {"(?:a|\\X{3}b)c", "\xcc\x81"},
        {"(?s).*?.*?.*?[\\x01]", "a"},
        {"(?=(a+))a*b\\1", "a"},
        {"(?R)?a", "a"},
        {"(\\w*\\s*)*:", "word "},
    };
    char *text = mem_alloc(KIB_256);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = strlen(cases[i].text);
        size_t whole = KIB_256 - KIB_256 % n;
        for (size_t at = 0; at < whole; at++) {
            text[at] = cases[i].text[at % n];
        }
        PATTERN pattern = pattern_of(PATTERN_REGEX, cases[i].regex);
        SCRATCH scratch = pattern_scratch_new(PLENTY);
        uint64_t start = clock_mono_ms();
        int r = pattern_match(pattern, scratch, (struct str){text, whole});
        assert_true(r >= 0);
        assert_soon(start, 5000);
    }
    (void)mem_free(text);
}

static void the_classic_explosion_is_too_costly(void **state)
{
    const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";
    uint64_t start = clock_mono_ms();

    (void)state;
    assert_int_equal(matched(PATTERN_REGEX, "(a+)+$", str_of(text)),
                     ERR_TOO_COSTLY);
    assert_int_equal(matched(PATTERN_REGEX, "(*NO_JIT)(a+)+$", str_of(text)),
                     ERR_TOO_COSTLY);
    assert_soon(start, 1000);
}

static void one_budget_is_for_all_values(void **state)
{
    PATTERN pattern = pattern_of(PATTERN_REGEX, "[0-9]$");
    SCRATCH scratch = pattern_scratch_new(1000);
    size_t n = 0;
    int r = 0;

    (void)state;
    while (r == 0) {
        r = pattern_match(pattern, scratch, STR("web-1"));
        n++;
    }
    assert_int_equal(r, ERR_TOO_COSTLY);
    assert_true(n > 50 && n < 130);
    assert_int_equal(pattern_match(pattern, scratch, STR("web-1")),
                     ERR_TOO_COSTLY);
}

static void a_plain_search_has_a_budget_too(void **state)
{
    PATTERN pattern = pattern_of(PATTERN_CONTAINS, "x");
    SCRATCH scratch = pattern_scratch_new(20);

    (void)state;
    assert_int_equal(pattern_match(pattern, scratch, STR("x")), 0);
    assert_int_equal(pattern_match(pattern, scratch, STR("y")), ERR_NOT_FOUND);
    assert_int_equal(pattern_match(pattern, scratch, STR("x")), ERR_TOO_COSTLY);
}

static void a_regex_is_compiled_soon(void **state)
{
    static const char *const big[] = {
        "(?:a|b|c|d|e|f){250}",
        "(?:[a-z]?[0-9]?){400}",
        "(?:(?:a?){30}){30}",
        "(?i)(?:\\p{L}+\\p{N}*){300}",
        "(((((((((a|b)|c)|d)|e)|f)|g)|h)|i)|j){99}",
    };
    uint64_t start = clock_mono_ms();

    (void)state;
    for (size_t i = 0; i < sizeof big / sizeof big[0]; i++) {
        ARENA arena = arena_new();
        PATTERN pattern = NULL;
        struct str why = STR_NONE;
        int r =
            pattern_new(PATTERN_REGEX, str_of(big[i]), arena, &pattern, &why);
        assert_true(r == 0 || r == ERR_INVALID);
    }
    assert_soon(start, 5000);
}

/* What people do search for in large values must not run into the limits. */
static void honest_patterns_fit_the_budget(void **state)
{
    static const char *const honest[] = {
        "needle",
        "^needle$",
        "need(le|ful)",
        "(?m)^key[0-9]+ *= *needle$",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        "(?i)NEEDLE",
        "error: .*timeout",
        "\\bneedle\\b",
        "(?:[a-z]+-)*needle",
    };
    struct buf text = {0};

    (void)state;
    while (text.n < KIB_256 - 64) {
        buf_printf(&text, "key%zu = some-value at 12345 error: none\n", text.n);
    }
    for (size_t i = 0; i < sizeof honest / sizeof honest[0]; i++) {
        assert_int_equal(matched(PATTERN_REGEX, honest[i], buf_str(&text)),
                         ERR_NOT_FOUND);
    }
    buf_add_text(&text, "needle");
    assert_int_equal(matched(PATTERN_REGEX, honest[0], buf_str(&text)), 0);
    assert_int_equal(matched(PATTERN_REGEX, "^(.|\\n){1,50}", buf_str(&text)),
                     0);
    buf_done(&text);
}

static void *match_often(void *user)
{
    const struct pattern *pattern = user;
    SCRATCH scratch = pattern_scratch_new(PLENTY);

    for (size_t i = 0; i < 5000; i++) {
        if (pattern_match(pattern, scratch, STR("a-web-7-b")) != 0 ||
            pattern_match(pattern, scratch, STR("a-web-b")) != ERR_NOT_FOUND) {
            return user;
        }
    }
    return NULL;
}

static void threads_share_a_pattern(void **state)
{
    PATTERN pattern = pattern_of(PATTERN_REGEX, "(web|db)-[0-9]");
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, match_often, pattern), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_modes_mean_what_they_say),
        cmocka_unit_test(a_regex_matches_anywhere_and_minds_the_case),
        cmocka_unit_test(text_that_is_no_utf8_matches_no_regex),
        cmocka_unit_test(a_wrong_regex_is_refused_with_its_place),
        cmocka_unit_test(modes_have_names),
        cmocka_unit_test(a_costly_regex_is_stopped_not_waited_for),
        cmocka_unit_test(the_classic_explosion_is_too_costly),
        cmocka_unit_test(one_budget_is_for_all_values),
        cmocka_unit_test(a_plain_search_has_a_budget_too),
        cmocka_unit_test(a_regex_is_compiled_soon),
        cmocka_unit_test(honest_patterns_fit_the_budget),
        cmocka_unit_test(threads_share_a_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
