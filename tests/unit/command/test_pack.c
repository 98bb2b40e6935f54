#include "samples.h"

#define ARENA CLEANUP(arena_freep) struct arena *

static const uint64_t TIME_MS = 1732147200000U;
static const uint64_t NONCE = 0x1122334455667788U;

/* A pack of the given commands. */
static struct str pack_of(struct arena *arena, const struct str *commands,
                          size_t n)
{
    struct buf out = {0};

    command_pack_begin(&out, TIME_MS, NONCE);
    for (size_t i = 0; i < n; i++) {
        command_pack_add(&out, commands[i]);
    }
    command_pack_end(&out);
    return arena_take(arena, &out);
}

/* How a walk through a pack ends; *ret_n is how many commands it gave. */
static int walk(struct str bytes, size_t *ret_n)
{
    struct command_pack pack;
    struct str command;

    *ret_n = 0;
    int r = command_pack_open(bytes, &pack);
    while (r == 0) {
        r = command_pack_next(&pack, &command);
        *ret_n += r == 0 ? 1 : 0;
    }
    return r;
}

static void a_pack_gives_its_commands_in_order(void **state)
{
    ARENA arena = arena_new();
    struct str in[N_KINDS];
    struct command_pack pack;
    struct str out;

    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        in[i] = sample_bytes(arena, sample_kinds[i], i % 2 == 0);
    }
    struct str bytes = pack_of(arena, in, N_KINDS);
    assert_int_equal(command_pack_open(bytes, &pack), 0);
    assert_int_equal(pack.n, N_KINDS);
    assert_true(pack.time_ms == TIME_MS);
    assert_true(pack.nonce == NONCE);
    for (size_t i = 0; i < N_KINDS; i++) {
        assert_int_equal(command_pack_next(&pack, &out), 0);
        assert_true(str_equal(out, in[i]));
    }
    assert_int_equal(command_pack_next(&pack, &out), ERR_END);
    assert_int_equal(command_pack_next(&pack, &out), ERR_END);
}

/* libraft refuses, or loses, what is no multiple of 8. */
static void a_pack_is_padded_with_zeros_to_a_multiple_of_8(void **state)
{
    static const char text[20] = "commands of any size";
    size_t n;

    (void)state;
    for (size_t size = 0; size <= 16; size++) {
        ARENA arena = arena_new();
        struct str command = {text, size};
        struct str bytes = pack_of(arena, &command, 1);
        size_t used = COMMAND_PACK_HEADER + 4 + size;

        assert_int_equal(bytes.n % 8, 0);
        assert_in_range(bytes.n - used, 0, 7);
        for (size_t i = used; i < bytes.n; i++) {
            assert_int_equal(bytes.p[i], 0);
        }
        assert_int_equal(walk(bytes, &n), ERR_END);
        assert_int_equal(n, 1);
    }
}

static void an_empty_pack_is_only_its_header(void **state)
{
    ARENA arena = arena_new();
    struct str bytes = pack_of(arena, NULL, 0);
    size_t n;

    (void)state;
    assert_int_equal(bytes.n, COMMAND_PACK_HEADER);
    assert_int_equal(walk(bytes, &n), ERR_END);
    assert_int_equal(n, 0);
}

static void a_pack_cut_short_anywhere_is_invalid(void **state)
{
    ARENA arena = arena_new();
    struct str in[] = {sample_bytes(arena, COMMAND_EXPIRE, false),
                       sample_bytes(arena, COMMAND_TXN, true)};
    struct str bytes = pack_of(arena, in, 2);
    size_t used = COMMAND_PACK_HEADER + 4 + in[0].n + 4 + in[1].n;
    size_t n;

    (void)state;
    for (size_t size = 0; size < used; size++) {
        char *cut = mem_dup(bytes.p, size);
        assert_int_equal(walk((struct str){cut, size}, &n), ERR_INVALID);
        assert_in_range(n, 0, 1);
        mem_free(cut);
    }
}

/* Fewer commands than there are would drop acknowledged writes in silence. */
static void a_count_that_lies_is_invalid(void **state)
{
    ARENA arena = arena_new();
    struct str in[] = {sample_bytes(arena, COMMAND_EPOCH, false),
                       sample_bytes(arena, COMMAND_EPOCH, false),
                       sample_bytes(arena, COMMAND_EPOCH, false)};
    struct str bytes = pack_of(arena, in, 3);
    static const uint8_t lies[] = {0, 1, 2, 4, 255};
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof lies; i++) {
        char *changed = mem_dup(bytes.p, bytes.n);
        changed[4] = (char)lies[i];
        assert_int_equal(walk((struct str){changed, bytes.n}, &n), ERR_INVALID);
        mem_free(changed);
    }
}

static void a_length_that_lies_is_invalid(void **state)
{
    ARENA arena = arena_new();
    struct str in = sample_bytes(arena, COMMAND_EPOCH, false);
    struct str bytes = pack_of(arena, &in, 1);
    char *changed = mem_dup(bytes.p, bytes.n);
    size_t n;

    (void)state;
    memset(changed + COMMAND_PACK_HEADER, 0xff, 4);
    assert_int_equal(walk((struct str){changed, bytes.n}, &n), ERR_INVALID);
    assert_int_equal(n, 0);
    mem_free(changed);
}

static void another_format_is_invalid(void **state)
{
    ARENA arena = arena_new();
    struct str bytes = pack_of(arena, NULL, 0);
    struct command_pack pack;

    (void)state;
    for (size_t at = 0; at < 4; at++) {
        char *changed = mem_dup(bytes.p, bytes.n);
        changed[at] = (char)(changed[at] + 1);
        assert_int_equal(
            command_pack_open((struct str){changed, bytes.n}, &pack),
            ERR_INVALID);
        mem_free(changed);
    }
}

/* api/log-commands.md, the example. When this fails, bytes changed that older
 * versions have written: that needs a new format number, not a new test. */
static void the_documents_example_holds(void **state)
{
    static const uint8_t shown[] = {
        0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x04, 0x4c,
        0x93, 0x01, 0x00, 0x00, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        0xab, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab,
        0xac, 0xad, 0xae, 0xaf, 0x02, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x07, 0x00, 0x00, 0x00, 0x73, 0x65, 0x72, 0x76, 0x69, 0x63, 0x65,
        0x04, 0x00, 0x00, 0x00, 0x6e, 0x61, 0x6d, 0x65, 0x01, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x05, 0x00, 0x00, 0x00, 0x66, 0x72, 0x6f, 0x6e, 0x74, 0x01, 0x93,
        0x47, 0x7b, 0x12, 0x88, 0x98, 0xa4, 0x68, 0x82, 0x09, 0x79, 0xdc, 0x56,
        0x8d, 0x8b, 0x1b, 0x00, 0x00, 0x00, 0x22, 0x6e, 0x61, 0x6d, 0x65, 0x22,
        0x3a, 0x22, 0x66, 0x72, 0x6f, 0x6e, 0x74, 0x22, 0x2c, 0x22, 0x70, 0x6f,
        0x72, 0x74, 0x22, 0x3a, 0x22, 0x34, 0x34, 0x33, 0x22, 0x00, 0x00, 0x00,
        0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    };
    ARENA arena = arena_new();
    struct command c = {
        .kind = COMMAND_ROW_PUT,
        .tree_rev = 4,
        .types_rev = 2,
        .row_put = {.mode = ROW_REPLACE,
                    .ns = 3,
                    .type = STR("service"),
                    .key_field = STR("name"),
                    .by_key = 1,
                    .key = STR("front"),
                    .fields = STR("\"name\":\"front\",\"port\":\"443\""),
                    .cond = COND_MATCH,
                    .cond_revs = {"\x0d\0\0\0\0\0\0", 8}},
    };
    struct buf one = {0};

    (void)state;
    for (size_t i = 0; i < sizeof c.request; i++) {
        c.request[i] = (uint8_t)(0xa0 + i);
    }
    assert_int_equal(
        ulid_parse(STR("01JD3QP4M8K2J6H0G9F7E5D3CB"), &c.row_put.new_id), 0);
    command_encode(&one, &c);
    struct str bytes = pack_of(arena, &(struct str){one.p, one.n}, 1);
    assert_int_equal(bytes.n, sizeof shown);
    assert_memory_equal(bytes.p, shown, sizeof shown);
    buf_done(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pack_gives_its_commands_in_order),
        cmocka_unit_test(a_pack_is_padded_with_zeros_to_a_multiple_of_8),
        cmocka_unit_test(an_empty_pack_is_only_its_header),
        cmocka_unit_test(a_pack_cut_short_anywhere_is_invalid),
        cmocka_unit_test(a_count_that_lies_is_invalid),
        cmocka_unit_test(a_length_that_lies_is_invalid),
        cmocka_unit_test(another_format_is_invalid),
        cmocka_unit_test(the_documents_example_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
