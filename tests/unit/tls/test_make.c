/* Certificates that were made, and what a server says to files that are not as
 * they should be. */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "kit.h"

static int begin(void **state)
{
    *state = kit_begin();
    kit_sign(*state, "n1", "n1");
    return 0;
}

static int end(void **state)
{
    kit_end(*state);
    return 0;
}

static mode_t mode_of(const char *path)
{
    struct stat about;

    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 0777;
}

static void keys_are_their_owners_only(void **state)
{
    assert_int_equal(mode_of(kit_path(*state, "ca-key.pem")), 0600);
    assert_int_equal(mode_of(kit_path(*state, "n1-key.pem")), 0600);
}

static void nothing_is_overwritten(void **state)
{
    const struct tls_make make = {
        .dir = *state, .name = "n1", .node = "n1", .days = 1};
    char why[TLS_WHY];

    assert_int_equal(tls_make_ca(*state, 1, why), ERR_CONFLICT);
    assert_int_equal(tls_make_cert(&make, why), ERR_CONFLICT);
    assert_non_null(strstr(why, "n1"));
    assert_int_equal(unlink(kit_path(*state, "n1.pem")), 0);
    assert_int_equal(tls_make_cert(&make, why), ERR_CONFLICT);
    assert_int_equal(access(kit_path(*state, "n1.pem"), F_OK), -1);
}

static void assert_refused(const struct tls_make *make, const char *words)
{
    char why[TLS_WHY] = "";

    assert_int_equal(tls_make_cert(make, why), ERR_INVALID);
    if (strstr(why, words) == NULL) {
        fail_msg("'%s' says nothing of '%s'", why, words);
    }
}

static void names_that_are_none_are_refused(void **state)
{
    static const char *const names[] = {"",    "a/b", "ca",      ".x",
                                        "a b", "a\n", "\xc3\xbc"};
    static const char *const hosts[] = {"a/b", NULL};
    struct tls_make make = {.dir = *state, .days = 1};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        make.name = names[i];
        assert_refused(&make, "is no name for a certificate");
    }
    make.name = "ok";
    make.node = "a/b";
    assert_refused(&make, "is no name of a node");
    make.node = NULL;
    make.hosts = hosts;
    assert_refused(&make, "is no DNS name and no address");
    make.hosts = NULL;
    make.days = 0;
    assert_refused(&make, "days");
    make.days = TLS_DAYS_MOST + 1;
    assert_refused(&make, "days");
}

static void a_certificate_ends_no_later_than_its_ca(void **state)
{
    const struct tls_make make = {
        .dir = *state, .name = "long", .node = "long", .days = TLS_DAYS_MOST};
    char why[TLS_WHY];

    assert_int_equal(tls_make_cert(&make, why), 0);
    struct tls *tls = kit_tls(*state, "long", *state);
    assert_true(tls_expires_s(tls) <= (uint64_t)time(NULL) + 3650UL * 86400);
    assert_true(tls_expires_s(tls) > (uint64_t)time(NULL) + 3649UL * 86400);
    (void)tls_free(tls);
}

/* ---- what tls_new says ---- */

static void assert_says(const struct tls_config *config, const char *words)
{
    struct tls *tls = NULL;
    char why[TLS_WHY] = "";

    assert_int_equal(tls_new(config, &tls, why), ERR_INVALID);
    if (strstr(why, words) == NULL) {
        fail_msg("'%s' says nothing of '%s'", why, words);
    }
}

static struct tls_config good(const char *dir)
{
    return (struct tls_config){.cert = kit_path(dir, "n1.pem"),
                               .key = kit_path(dir, "n1-key.pem"),
                               .ca = kit_path(dir, "ca.pem")};
}

static void a_file_that_is_missing_is_named(void **state)
{
    struct tls_config config = good(*state);

    config.cert = kit_path(*state, "gone.pem");
    assert_says(&config, "gone.pem: No such file");
    config = good(*state);
    config.key = kit_path(*state, "gone.pem");
    assert_says(&config, "gone.pem: No such file");
    config = good(*state);
    config.ca = *state;
    assert_says(&config, "is no file");
}

static void what_is_no_certificate_is_said(void **state)
{
    struct tls_config config = good(*state);

    kit_write(kit_path(*state, "text"), "-----BEGIN CERTIFICATE-----\nxx\n");
    config.cert = kit_path(*state, "text");
    assert_says(&config, "holds no certificate");
    config = good(*state);
    config.key = kit_path(*state, "text");
    assert_says(&config, "holds no private key");
    config = good(*state);
    config.ca = kit_path(*state, "text");
    assert_says(&config, "holds no certificate");
}

static void a_key_of_another_certificate_is_said(void **state)
{
    struct tls_config config = good(*state);

    config.key = kit_path(*state, "ca-key.pem");
    assert_says(&config, "does not belong to the certificate");
}

static void a_certificate_that_is_no_ca_is_said(void **state)
{
    struct tls_config config = good(*state);

    config.ca = kit_path(*state, "n1.pem");
    assert_says(&config, "is no CA");
}

static void an_expired_certificate_is_said(void **state)
{
    struct tls_config config = good(*state);

    kit_sign_dated(*state, "old", -86400, -3600);
    config.cert = kit_path(*state, "old.pem");
    config.key = kit_path(*state, "old-key.pem");
    assert_says(&config, "old.pem: has expired at");
    config = good(*state);
    kit_sign_dated(*state, "new", 3600, 86400);
    config.cert = kit_path(*state, "new.pem");
    config.key = kit_path(*state, "new-key.pem");
    assert_says(&config, "is not valid before");
}

static void a_path_that_is_long_keeps_the_sentence(void **state)
{
    struct tls_config config = good(*state);
    char path[400];

    (void)memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    config.cert = path;
    assert_says(&config, "xxx: File name too long");
}

static void ours_has_to_be_the_one_of_the_node(void **state)
{
    struct tls_config config = good(*state);
    struct tls *tls = NULL;
    char why[TLS_WHY];

    config.node = "n2";
    assert_says(&config, "is no certificate of node n2");
    config.node = "n1";
    assert_int_equal(tls_new(&config, &tls, why), 0);
    assert_int_equal(tls_is_node(tls, "n1", why), 0);
    assert_int_equal(tls_is_node(tls, "n10", why), ERR_INVALID);
    (void)tls_free(tls);
    char *foreign = kit_begin();
    config.ca = kit_path(foreign, "ca.pem");
    assert_says(&config, "is not from the CA");
    kit_end(foreign);
    kit_sign(*state, "ann", NULL);
    config = good(*state);
    config.node = "ann";
    config.cert = kit_path(*state, "ann.pem");
    config.key = kit_path(*state, "ann-key.pem");
    assert_says(&config, "has no URI roster://node/ann");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_are_their_owners_only),
        TEST(nothing_is_overwritten),
        TEST(names_that_are_none_are_refused),
        TEST(a_certificate_ends_no_later_than_its_ca),
        TEST(a_file_that_is_missing_is_named),
        TEST(what_is_no_certificate_is_said),
        TEST(a_key_of_another_certificate_is_said),
        TEST(a_certificate_that_is_no_ca_is_said),
        TEST(an_expired_certificate_is_said),
        TEST(a_path_that_is_long_keeps_the_sentence),
        TEST(ours_has_to_be_the_one_of_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
