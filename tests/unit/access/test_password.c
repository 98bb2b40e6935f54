/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "access/password.h"
#include "base/err.h"

#define GOOD "correct horse \xc3\xa4"

static void a_password_is_known_by_its_hash(void **state)
{
    CLEANUP(buf_done) struct buf hash = {0};

    (void)state;
    assert_int_equal(access_password_hash(STR(GOOD), &hash), 0);
    assert_true(access_password_is(STR(GOOD), buf_str(&hash)));
    assert_false(access_password_is(STR("correct horse a"), buf_str(&hash)));
    assert_false(access_password_is(STR(""), buf_str(&hash)));
    assert_null(strstr(buf_text(&hash), "horse"));
}

static void the_hash_says_how_it_was_made(void **state)
{
    CLEANUP(buf_done) struct buf hash = {0};
    const char *head = "$argon2id$v=19$m=19456,t=2,p=1$";

    (void)state;
    assert_int_equal(access_password_hash(STR(GOOD), &hash), 0);
    assert_memory_equal(buf_text(&hash), head, strlen(head));
    assert_true(hash.n <= ACCESS_PASSWORD_HASH_MOST);
}

static void equal_passwords_have_different_hashes(void **state)
{
    CLEANUP(buf_done) struct buf one = {0}, other = {0};

    (void)state;
    assert_int_equal(access_password_hash(STR(GOOD), &one), 0);
    assert_int_equal(access_password_hash(STR(GOOD), &other), 0);
    assert_string_not_equal(buf_text(&one), buf_text(&other));
}

/* As the argon2 program makes it with -id -t 3 -k 256 -p 2. */
static void a_hash_that_another_program_made_is_good(void **state)
{
    (void)state;
    struct str hash = STR("$argon2id$v=19$m=256,t=3,p=2$c29tZXNhbHQ$"
                          "NsUmqzMJJa8K3WLkbv+su2fIt0yzVxwzwOGCyrzGreo");
    assert_true(access_password_is(STR("password8"), hash));
    assert_false(access_password_is(STR("password9"), hash));
}

static void what_is_no_hash_is_of_no_password(void **state)
{
    static const char *const none[] = {
        "",
        "x",
        "$argon2id$v=19$m=19456,t=2,p=1$",
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$",
        "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        /* would take a tebibyte, or an hour */
        "$argon2id$v=19$m=999999999,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=4294967297,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=99999999,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=2,p=9999$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
    };

    (void)state;
    assert_false(access_password_is(STR(""), STR_NONE));
    assert_false(access_password_is(STR(GOOD), STR_NONE));
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_false(access_password_is(STR(GOOD), str_of(none[i])));
        assert_false(access_password_is(STR(""), str_of(none[i])));
    }
}

static void a_hash_ends_where_it_ends(void **state)
{
    CLEANUP(buf_done) struct buf hash = {0};

    (void)state;
    assert_int_equal(access_password_hash(STR(GOOD), &hash), 0);
    buf_add_char(&hash, '\0');
    assert_false(access_password_is(STR(GOOD), buf_str(&hash)));
}

static void a_password_has_a_length(void **state)
{
    CLEANUP(buf_done) struct buf hash = {0};
    char longest[ACCESS_PASSWORD_LONGEST + 1];

    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_true(access_password_fits(STR("12345678")));
    assert_false(access_password_fits(STR("1234567")));
    assert_true(access_password_fits((struct str){longest, 1024}));
    assert_false(access_password_fits((struct str){longest, 1025}));
    assert_false(access_password_fits(STR("12345678\xff")));
    assert_int_equal(access_password_hash(STR("short"), &hash), ERR_INVALID);
    assert_int_equal(hash.n, 0);
    assert_false(access_password_is((struct str){longest, 1025}, STR_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_is_known_by_its_hash),
        cmocka_unit_test(the_hash_says_how_it_was_made),
        cmocka_unit_test(equal_passwords_have_different_hashes),
        cmocka_unit_test(a_hash_that_another_program_made_is_good),
        cmocka_unit_test(what_is_no_hash_is_of_no_password),
        cmocka_unit_test(a_hash_ends_where_it_ends),
        cmocka_unit_test(a_password_has_a_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
