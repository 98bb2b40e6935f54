#include "access/access_token.h"
#include "kit.h"

static void a_token_is_its_id_and_43_characters_of_chance(void **state)
{
    struct ulid id = ulid_next(), read;
    char text[ACCESS_TOKEN_TEXT], other[ACCESS_TOKEN_TEXT], shown[ULID_TEXT];

    (void)state;
    access_token_make(id, text);
    access_token_make(id, other);
    ulid_format(id, shown);
    assert_memory_equal(text, "rst_", 4);
    assert_memory_equal(text + 4, shown, ULID_TEXT);
    assert_memory_not_equal(text + 31, other + 31, 43);
    assert_int_equal(access_token_parse((struct str){text, sizeof text}, &read),
                     0);
    assert_int_equal(ulid_compare(id, read), 0);
}

static void what_is_no_token_is_refused(void **state)
{
    char text[ACCESS_TOKEN_TEXT + 1] = {0}, bad[ACCESS_TOKEN_TEXT + 1];
    static const size_t at[] = {0, 4, 30, 31, 73};
    struct ulid id;

    (void)state;
    access_token_make(ulid_next(), text);
    assert_int_equal(access_token_parse(STR(""), &id), ERR_INVALID);
    assert_int_equal(access_token_parse((struct str){text, 73}, &id),
                     ERR_INVALID);
    assert_int_equal(access_token_parse((struct str){text, 75}, &id),
                     ERR_INVALID);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        memcpy(bad, text, sizeof bad);
        bad[at[i]] = '~';
        assert_int_equal(access_token_parse((struct str){bad, 74}, &id),
                         ERR_INVALID);
    }
}

static void hashes_differ_where_texts_do(void **state)
{
    uint8_t a[SHA256_BYTES], b[SHA256_BYTES];

    (void)state;
    access_token_hash(STR("abc"), a);
    assert_int_equal(a[0], 0xba); /* FIPS 180-2, appendix B.1 */
    assert_int_equal(a[31], 0xad);
    memcpy(b, a, sizeof b);
    assert_true(access_token_same(a, b));
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        b[i] ^= 0x80;
        assert_false(access_token_same(a, b));
        b[i] ^= 0x80;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_its_id_and_43_characters_of_chance),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(hashes_differ_where_texts_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
