/* A handshake is bytes that a stranger may have written [SHAKE-1]. */
#include <stdio.h>

#include "base/err.h"
#include "kit.h"

enum { NAME_AT = 64 }; /* in a hello */

static int decode(const uint8_t bytes[SHAKE_HELLO])
{
    struct shake_hello hello;

    return shake_hello_decode(bytes, &hello);
}

static void a_hello_is_read_as_it_was_written(void **state)
{
    const struct shake_hello hello = {
        .kind = PEER_FILE, .expects = UINT64_MAX - 1, .from = kit_id(7, "n")};
    struct shake_hello found = {0};
    uint8_t bytes[SHAKE_HELLO];
    uint32_t version = 0;

    (void)state;
    shake_hello_encode(&hello, bytes);
    assert_int_equal(shake_hello_version(bytes, &version), 0);
    assert_int_equal(version, PEER_PROTOCOL);
    assert_int_equal(shake_hello_decode(bytes, &found), 0);
    assert_int_equal(found.kind, PEER_FILE);
    assert_true(found.expects == UINT64_MAX - 1);
    assert_memory_equal(&found.from, &hello.from, sizeof hello.from);
}

static void an_answer_is_read_as_it_was_written(void **state)
{
    const struct shake_answer answer = {
        .verdict = PEER_REMOVED, .why = "gone", .self = kit_id(9, "n\xc3\xbc")};
    struct shake_answer found = {0};
    uint8_t bytes[SHAKE_ANSWER];

    (void)state;
    shake_answer_encode(&answer, bytes);
    assert_int_equal(shake_answer_decode(bytes, &found), 0);
    assert_int_equal(found.verdict, PEER_REMOVED);
    assert_string_equal(found.why, "gone");
    assert_memory_equal(&found.self, &answer.self, sizeof answer.self);
}

static void the_bytes_of_a_hello_are_those_of_the_table(void **state)
{
    uint8_t bytes[SHAKE_HELLO];

    (void)state;
    kit_hello(PEER_LINK, bytes);
    assert_memory_equal(bytes, "ROSTERPH\1\0\0\0\x90\1\0\0\2\0\0\0\0\0\0\0",
                        24);
    assert_memory_equal(bytes + 24, "\1\0\0\0\0\0\0\0\xc1\xc1", 10);
    assert_memory_equal(bytes + 48, "\2\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0two", 20);
    assert_memory_equal(bytes + 128, "127.0.0.1:7002", 15);
    assert_memory_equal(bytes + 256, "127.0.0.1:8002", 15);
    assert_memory_equal(bytes + 384, "0.1.0", 6);
}

/* The name's field is overwritten by `n` bytes of `text`. */
static int named(const char *text, size_t n)
{
    uint8_t bytes[SHAKE_HELLO];

    kit_hello(PEER_LINK, bytes);
    memcpy(bytes + NAME_AT, text, n);
    return decode(bytes);
}

static void a_text_that_no_line_of_a_log_should_hold_is_refused(void **state)
{
    char long_one[64];

    (void)state;
    memset(long_one, 'x', sizeof long_one);
    assert_int_equal(named("abc", 4), 0);
    assert_int_equal(named("\xc3\xa9", 3), 0);
    assert_int_equal(named("a\nb", 4), ERR_INVALID);
    assert_int_equal(named("a\x1b[2J", 6), ERR_INVALID);
    assert_int_equal(named("a\x7f", 3), ERR_INVALID);
    assert_int_equal(named("\xc3(", 3), ERR_INVALID);
    assert_int_equal(named("a\0b", 4), ERR_INVALID);
    assert_int_equal(named(long_one, sizeof long_one), ERR_INVALID);
    assert_int_equal(named(long_one, sizeof long_one - 1), 0);
}

/* A good hello with one number of 4 bytes changed. */
static int with(enum peer_kind kind, size_t at, uint32_t number)
{
    uint8_t bytes[SHAKE_HELLO];

    kit_hello(kind, bytes);
    le_put(bytes + at, number, 4);
    return decode(bytes);
}

static void what_no_hello_can_hold_is_refused(void **state)
{
    (void)state;
    assert_int_equal(with(PEER_LINK, 0, 0), ERR_INVALID);
    assert_int_equal(with(PEER_LINK, 8, 2), ERR_INVALID);
    assert_int_equal(with(PEER_LINK, 12, 401), ERR_INVALID);
    assert_int_equal(with(PEER_LINK, 16, 0), ERR_INVALID);
    assert_int_equal(with(PEER_LINK, 16, 5), ERR_INVALID);
    assert_int_equal(with(PEER_LINK, 20, 1), ERR_INVALID);
    /* The least feature level above the greatest. */
    assert_int_equal(with(PEER_LINK, 56, 3), ERR_INVALID);
}

static void who_has_no_cluster_yet_may_only_call(void **state)
{
    static const uint8_t none[16] = {0};
    uint8_t bytes[SHAKE_HELLO];

    (void)state;
    for (unsigned kind = PEER_RAFT; kind <= PEER_CALL; kind++) {
        int expected = kind == PEER_CALL ? 0 : ERR_INVALID;
        kit_hello((enum peer_kind)kind, bytes);
        memcpy(bytes + 32, none, sizeof none);
        assert_int_equal(decode(bytes), expected);
        assert_int_equal(with((enum peer_kind)kind, 48, 0), expected);
    }
}

static void another_protocol_is_told_and_may_have_any_size(void **state)
{
    uint8_t bytes[SHAKE_HELLO];
    uint32_t version = 0;

    (void)state;
    kit_hello(PEER_LINK, bytes);
    le_put(bytes + 8, 77, 4);
    le_put(bytes + 12, 5, 4);
    assert_int_equal(shake_hello_version(bytes, &version), 0);
    assert_int_equal(version, 77);
    assert_int_equal(shake_answer_version(bytes, &version), ERR_INVALID);
}

/* snprintf cuts where the room ends, not where a character does. */
static void a_sentence_cut_within_a_character_is_told_without_it(void **state)
{
    struct shake_answer answer = {.verdict = PEER_BUSY,
                                  .self = kit_id(1, "one")};
    struct shake_answer found = {0};
    uint8_t bytes[SHAKE_ANSWER];

    (void)state;
    memset(answer.why, 'x', PEER_WHY - 2);
    answer.why[PEER_WHY - 2] = '\xc3';
    shake_answer_encode(&answer, bytes);
    assert_int_equal(shake_answer_decode(bytes, &found), 0);
    assert_int_equal(strlen(found.why), PEER_WHY - 2);
}

static void an_answer_with_an_unknown_verdict_is_refused(void **state)
{
    const struct shake_answer answer = {.self = kit_id(1, "one")};
    struct shake_answer found;
    uint8_t bytes[SHAKE_ANSWER];

    (void)state;
    shake_answer_encode(&answer, bytes);
    bytes[16] = PEER_STRANGER + 1;
    assert_int_equal(shake_answer_decode(bytes, &found), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_is_read_as_it_was_written),
        cmocka_unit_test(an_answer_is_read_as_it_was_written),
        cmocka_unit_test(the_bytes_of_a_hello_are_those_of_the_table),
        cmocka_unit_test(a_text_that_no_line_of_a_log_should_hold_is_refused),
        cmocka_unit_test(what_no_hello_can_hold_is_refused),
        cmocka_unit_test(who_has_no_cluster_yet_may_only_call),
        cmocka_unit_test(another_protocol_is_told_and_may_have_any_size),
        cmocka_unit_test(a_sentence_cut_within_a_character_is_told_without_it),
        cmocka_unit_test(an_answer_with_an_unknown_verdict_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
