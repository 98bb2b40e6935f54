/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "access/directory.h"
#include "base/err.h"

#define DN "uid={user},ou=people,dc=example,dc=org"

static void assert_dn(struct str user, const char *expected)
{
    CLEANUP(buf_done) struct buf out = {0};

    access_directory_dn(STR("uid={user},dc=x"), user, &out);
    assert_string_equal(buf_text(&out), expected);
}

static void a_name_in_a_dn_is_only_a_name(void **state)
{
    (void)state;
    assert_dn(STR("ann"), "uid=ann,dc=x");
    assert_dn(STR("ann.b_c-d@e"), "uid=ann.b_c-d@e,dc=x");
    assert_dn(STR("ann,ou=admins"), "uid=ann\\,ou\\=admins,dc=x");
    assert_dn(STR("a+cn=b"), "uid=a\\+cn\\=b,dc=x");
    assert_dn(STR("\"<>;\\"), "uid=\\\"\\<\\>\\;\\\\,dc=x");
    assert_dn(STR("#a#"), "uid=\\#a#,dc=x");
    assert_dn(STR(" a b "), "uid=\\ a b\\ ,dc=x");
    assert_dn(STR(" "), "uid=\\ ,dc=x");
    assert_dn(STR("a\0b\nc\x7f"), "uid=a\\00b\\0ac\\7f,dc=x");
    assert_dn(STR("\xc3\xa4"), "uid=\xc3\xa4,dc=x");
    assert_dn(STR("{user}"), "uid={user},dc=x");
}

static void a_name_may_stand_twice_in_a_dn(void **state)
{
    CLEANUP(buf_done) struct buf out = {0};

    (void)state;
    access_directory_dn(STR("cn={user},ou={user}s,dc={"), STR("a,b"), &out);
    assert_string_equal(buf_text(&out), "cn=a\\,b,ou=a\\,bs,dc={");
}

static void assert_filter(struct str user, struct str dn, const char *expected)
{
    CLEANUP(buf_done) struct buf out = {0};

    access_directory_filter(STR("(|(u={user})(m={dn}))"), user, dn, &out);
    assert_string_equal(buf_text(&out), expected);
}

static void a_name_in_a_filter_is_only_a_name(void **state)
{
    (void)state;
    assert_filter(STR("ann"), STR("uid=ann,dc=x"),
                  "(|(u=ann)(m=uid=ann,dc=x))");
    assert_filter(STR("*"), STR("a\\,b"), "(|(u=\\2a)(m=a\\5c,b))");
    assert_filter(STR("a)(u=*"), STR(""), "(|(u=a\\29\\28u=\\2a)(m=))");
    assert_filter(STR("a\0b"), STR("\xc3\xa4"), "(|(u=a\\00b)(m=\\c3\\a4))");
    assert_filter(STR("{dn}"), STR("{user}"), "(|(u={dn})(m={user}))");
}

static void assert_refused(const struct access_directory_config *config,
                           const char *expected)
{
    struct access_directory *directory = NULL;
    const char *option = NULL, *why = NULL;

    assert_int_equal(access_directory_new(config, &directory, &option, &why),
                     ERR_INVALID);
    assert_string_equal(option, expected);
    assert_non_null(why);
    assert_null(directory);
}

static void settings_that_cannot_be_meant_are_refused(void **state)
{
    static const char *const urls[] = {
        "",
        " , ",
        "dir.example.org",
        "https://dir.example.org",
        "ldapi:///",
        "ldap://",
        "ldap:///dc=x",
        "ldaps://dir.example.org/dc=x",
        "ldaps://a,https://b",
        "ldap://1 ldap://2 ldap://3 ldap://4 ldap://5 ldap://6 ldap://7 l://8",
    };
    static const char *const dns[] = {NULL,
                                      "",
                                      "{user}",
                                      "uid=ann,dc=x",
                                      "uid={user},dc",
                                      "{user}@example.org"};

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_refused(
            &(struct access_directory_config){.urls = urls[i], .dn = DN},
            "url");
    }
    for (size_t i = 0; i < sizeof dns / sizeof dns[0]; i++) {
        assert_refused(
            &(struct access_directory_config){.urls = "ldap://a", .dn = dns[i]},
            "dn");
    }
    assert_refused(&(struct access_directory_config){.urls = "ldap://a",
                                                     .dn = DN,
                                                     .group_base = "groups"},
                   "group-base");
}

static struct access_directory *made(const char *urls, bool starttls)
{
    struct access_directory *directory = NULL;
    const char *option = NULL, *why = NULL;

    assert_int_equal(access_directory_new(
                         &(struct access_directory_config){
                             .urls = urls, .starttls = starttls, .dn = DN},
                         &directory, &option, &why),
                     0);
    return directory;
}

static void assert_open(const char *urls, bool starttls, bool expected)
{
    struct access_directory *directory = made(urls, starttls);

    assert_int_equal(access_directory_is_open(directory), expected);
    (void)access_directory_free(directory);
}

static void what_goes_over_a_net_as_it_is_is_told(void **state)
{
    (void)state;
    assert_open("ldaps://dir.example.org, ldaps://b:6360", false, false);
    assert_open("ldap://dir.example.org", true, false);
    assert_open("ldap://127.0.0.1:3890,ldap://localhost,ldap://[::1]:389",
                false, false);
    assert_open("ldap://127.example.org", false, true);
    assert_open("ldaps://a ldap://dir.example.org", false, true);
}

/* A bind without a password succeeds with many servers, as nobody: nobody is
 * asked. (There is no such server: asked, it could not say.) */
static void an_empty_password_is_a_no(void **state)
{
    struct access_directory *directory = made("ldap://127.0.0.1:1", false);
    CLEANUP(buf_done) struct buf groups = {0};

    (void)state;
    assert_int_equal(
        access_directory_ask(directory, STR("ann"), STR(""), &groups),
        ERR_FORBIDDEN);
    assert_int_equal(
        access_directory_ask(directory, STR(""), STR("secret"), &groups),
        ERR_FORBIDDEN);
    assert_int_equal(
        access_directory_ask(directory, STR("ann"), STR("secret"), &groups),
        ERR_NOT_READY);
    assert_int_equal(groups.n, 0);
    (void)access_directory_free(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_in_a_dn_is_only_a_name),
        cmocka_unit_test(a_name_may_stand_twice_in_a_dn),
        cmocka_unit_test(a_name_in_a_filter_is_only_a_name),
        cmocka_unit_test(settings_that_cannot_be_meant_are_refused),
        cmocka_unit_test(what_goes_over_a_net_as_it_is_is_told),
        cmocka_unit_test(an_empty_password_is_a_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
