#include "samples.h"

#define ARENA CLEANUP(arena_freep) struct arena *

enum { HEAD = 36, KEYED_HEAD = 100 };

/* ---- two commands compared field by field, from the lists again ---- */

#define SAME_u8(name) assert_int_equal(a->name, b->name);
#define SAME_u64(name) assert_true(a->name == b->name);
#define SAME_str(name) assert_true(str_equal(a->name, b->name));
#define SAME_ulid(name) assert_int_equal(ulid_compare(a->name, b->name), 0);
#define SAME_hash(name) assert_memory_equal(a->name, b->name, 32);
#define SAME_cluster(name) assert_memory_equal(a->name, b->name, 16);
#define SAME_LIST(item, name)                                                  \
    assert_int_equal(a->n_##name, b->n_##name);                                \
    for (size_t i = 0; i < a->n_##name; i++) {                                 \
        same_##item(&a->name[i], &b->name[i]);                                 \
    }
#define SAME_list_row_item(name) SAME_LIST(row_item, name)
#define SAME_list_txn_if(name) SAME_LIST(txn_if, name)
#define SAME_list_txn_op(name) SAME_LIST(txn_op, name)
#define SAME_list_lease_item(name) SAME_LIST(lease_item, name)
#define SAME_list_leaf_item(name) SAME_LIST(leaf_item, name)
#define SAME_list_hook_item(name) SAME_LIST(hook_item, name)
#define SAME_list_access_item(name) SAME_LIST(access_item, name)
#define SAME(kind, name) SAME_##kind(name)
#define SAMER(name, FIELDS)                                                    \
    static void same_##name(const struct command_##name *a,                    \
                            const struct command_##name *b)                    \
    {                                                                          \
        FIELDS(SAME)                                                           \
    }

SAMER(row_item, ROW_ITEM_FIELDS)
SAMER(txn_if, TXN_IF_FIELDS)
SAMER(txn_op, TXN_OP_FIELDS)
SAMER(lease_item, LEASE_ITEM_FIELDS)
SAMER(leaf_item, LEAF_ITEM_FIELDS)
SAMER(hook_item, HOOK_ITEM_FIELDS)
SAMER(access_item, ACCESS_ITEM_FIELDS)
#define C(NAME, name, number, shrinks) SAMER(name, NAME##_FIELDS)
COMMAND_LIST(C)
#undef C

static void same_command(const struct command *a, const struct command *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->has_key, b->has_key);
    assert_int_equal(a->has_access, b->has_access);
    assert_true(a->access_rev == b->access_rev);
    assert_true(a->tree_rev == b->tree_rev);
    assert_true(a->types_rev == b->types_rev);
    assert_memory_equal(a->request, b->request, sizeof a->request);
    assert_memory_equal(a->key_hash, b->key_hash, sizeof a->key_hash);
    assert_memory_equal(a->request_hash, b->request_hash,
                        sizeof a->request_hash);
    switch (a->kind) {
#define C(NAME, name, number, shrinks)                                         \
    case COMMAND_##NAME:                                                       \
        same_##name(&a->name, &b->name);                                       \
        break;
        COMMAND_LIST(C)
#undef C
    }
}

/* ---- the tests ---- */

static void every_kind_survives_its_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * (size_t)N_KINDS; i++) {
        ARENA arena = arena_new();
        enum command_kind kind = sample_kinds[i / 2];
        bool has_key = i % 2 != 0;
        struct command in = sample_of(arena, kind, has_key);
        struct str bytes = sample_bytes(arena, kind, has_key);
        struct buf again = {0};
        struct command out;

        assert_int_equal(command_decode(arena, bytes, &out), 0);
        same_command(&in, &out);
        command_encode(&again, &out);
        assert_true(str_equal(buf_str(&again), bytes));
        buf_done(&again);
    }
}

static void a_command_of_zeros_survives_its_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        ARENA arena = arena_new();
        struct command in = {.kind = sample_kinds[i]};
        struct command out;
        struct buf bytes = {0};

        command_encode(&bytes, &in);
        assert_int_equal(command_decode(arena, buf_str(&bytes), &out), 0);
        same_command(&in, &out);
        buf_done(&bytes);
    }
}

static void a_command_cut_short_anywhere_is_invalid(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * (size_t)N_KINDS; i++) {
        ARENA arena = arena_new();
        struct str bytes = sample_bytes(arena, sample_kinds[i / 2], i % 2 != 0);
        struct command out;

        for (size_t n = 0; n < bytes.n; n++) {
            /* On its own heap block, so that the address sanitizer sees a read
             * beyond the cut. */
            char *cut = mem_dup(bytes.p, n);
            assert_int_equal(command_decode(arena, (struct str){cut, n}, &out),
                             ERR_INVALID);
            mem_free(cut);
        }
    }
}

static void a_byte_too_many_is_invalid(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        ARENA arena = arena_new();
        struct str bytes = sample_bytes(arena, sample_kinds[i], false);
        struct buf longer = {0};
        struct command out;

        buf_add_str(&longer, bytes);
        buf_add_char(&longer, 0);
        assert_int_equal(command_decode(arena, buf_str(&longer), &out),
                         ERR_INVALID);
        buf_done(&longer);
    }
}

static void assert_byte_is_invalid(enum command_kind kind, size_t at,
                                   uint8_t value)
{
    ARENA arena = arena_new();
    struct str bytes = sample_bytes(arena, kind, false);
    char *changed = mem_dup(bytes.p, bytes.n);
    struct command out;

    changed[at] = (char)value;
    assert_int_equal(
        command_decode(arena, (struct str){changed, bytes.n}, &out),
        ERR_INVALID);
    mem_free(changed);
}

static void what_a_newer_version_may_write_is_invalid(void **state)
{
    (void)state;
    assert_byte_is_invalid(COMMAND_EPOCH, 0, 0);  /* kind */
    assert_byte_is_invalid(COMMAND_EPOCH, 0, 28); /* the first free number */
    assert_byte_is_invalid(COMMAND_EPOCH, 0, 255);
    assert_byte_is_invalid(COMMAND_EPOCH, 1, 4); /* flags */
    assert_byte_is_invalid(COMMAND_EPOCH, 1, 128);
    assert_byte_is_invalid(COMMAND_EPOCH, 2, 1); /* zero */
    assert_byte_is_invalid(COMMAND_EPOCH, 3, 1);
}

static void a_flag_without_what_it_stands_for_is_invalid(void **state)
{
    (void)state;
    assert_byte_is_invalid(COMMAND_EPOCH, 1, 1);
    assert_byte_is_invalid(COMMAND_EPOCH, 1, 2);
}

/* A count decides how much is allocated: one that the bytes behind it cannot
 * hold must be refused before. */
static void a_count_that_lies_is_invalid(void **state)
{
    static const uint32_t lies[] = {N_ITEMS - 1, N_ITEMS + 1, 1000,
                                    UINT32_MAX / 20, UINT32_MAX};
    /* Where the first count of each kind that has a list stands. */
    static const struct {
        enum command_kind kind;
        size_t fixed; /* bytes of its fields before, strings empty */
        size_t strings;
    } lists[] = {
        {COMMAND_ROWS_ADD, 8 + 1 + 16, 2},
        {COMMAND_LIST_PUT, 8 + 1 + 16, 3},
        {COMMAND_TXN, 0, 0},
        {COMMAND_AGENT_PUT, 8 + 16 + 16, 2},
        {COMMAND_EXPIRE, 8, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (size_t j = 0; j < sizeof lies / sizeof lies[0]; j++) {
            ARENA arena = arena_new();
            struct command in = sample_of(arena, lists[i].kind, false);
            struct command out;
            struct buf bytes = {0};
            size_t at = HEAD + lists[i].fixed + 4 * lists[i].strings;

            in.has_access = false;

            switch (in.kind) {
            case COMMAND_ROWS_ADD:
                in.rows_add.type = in.rows_add.key_field = STR_NONE;
                break;
            case COMMAND_LIST_PUT:
                in.list_put.type = in.list_put.key_field = STR_NONE;
                in.list_put.cond_revs = STR_NONE;
                break;
            case COMMAND_AGENT_PUT:
                in.agent_put.hostname = in.agent_put.fields = STR_NONE;
                break;
            default:
                break;
            }
            command_encode(&bytes, &in);
            assert_int_equal(bytes.p[at], N_ITEMS);
            for (int b = 0; b < 4; b++) {
                bytes.p[at + (size_t)b] = (char)(uint8_t)(lies[j] >> (8 * b));
            }
            assert_int_equal(command_decode(arena, buf_str(&bytes), &out),
                             ERR_INVALID);
            buf_done(&bytes);
        }
    }
}

static void a_length_that_lies_is_invalid(void **state)
{
    ARENA arena = arena_new();
    struct command in = {.kind = COMMAND_AGENT_DEL,
                         .agent_del = {.hostname = STR("web-1")}};
    static const uint32_t lies[] = {4, 6, 1 << 20, UINT32_MAX};

    (void)state;
    for (size_t j = 0; j < sizeof lies / sizeof lies[0]; j++) {
        struct buf bytes = {0};
        struct command out;
        command_encode(&bytes, &in);
        for (int b = 0; b < 4; b++) {
            bytes.p[HEAD + b] = (char)(uint8_t)(lies[j] >> (8 * b));
        }
        assert_int_equal(command_decode(arena, buf_str(&bytes), &out),
                         ERR_INVALID);
        buf_done(&bytes);
    }
}

static void a_refused_command_leaves_the_callers_alone(void **state)
{
    ARENA arena = arena_new();
    struct str bytes = sample_bytes(arena, COMMAND_ROW_PUT, true);
    struct command out = {.kind = COMMAND_EXPIRE, .tree_rev = 42};

    (void)state;
    bytes.n--;
    assert_int_equal(command_decode(arena, bytes, &out), ERR_INVALID);
    assert_int_equal(out.kind, COMMAND_EXPIRE);
    assert_true(out.tree_rev == 42);
}

static void strings_are_lent_from_the_bytes(void **state)
{
    ARENA arena = arena_new();
    struct command in = {.kind = COMMAND_AGENT_DEL,
                         .agent_del = {.hostname = STR("web-1")}};
    struct buf bytes = {0};
    struct command out;

    (void)state;
    command_encode(&bytes, &in);
    assert_int_equal(command_decode(arena, buf_str(&bytes), &out), 0);
    assert_ptr_equal(out.agent_del.hostname.p, bytes.p + HEAD + 4);
    buf_done(&bytes);
}

/* The log is read by every later version: what is written here never changes.
 * A kind that is taken out leaves its number unused. */
static void numbers_in_the_log_stay(void **state)
{
    (void)state;
    assert_int_equal(N_KINDS, 27);
    assert_int_equal(COMMAND_INIT, 1);
    assert_int_equal(COMMAND_EPOCH, 2);
    assert_int_equal(COMMAND_NS_CREATE, 3);
    assert_int_equal(COMMAND_NS_CHANGE, 4);
    assert_int_equal(COMMAND_NS_DELETE, 5);
    assert_int_equal(COMMAND_RECLAIM, 6);
    assert_int_equal(COMMAND_TYPE_PUT, 7);
    assert_int_equal(COMMAND_ROW_PUT, 8);
    assert_int_equal(COMMAND_ROW_DELETE, 9);
    assert_int_equal(COMMAND_ROWS_ADD, 10);
    assert_int_equal(COMMAND_LIST_PUT, 11);
    assert_int_equal(COMMAND_ROW_MOVE, 12);
    assert_int_equal(COMMAND_TXN, 13);
    assert_int_equal(COMMAND_AGENT_PUT, 14);
    assert_int_equal(COMMAND_AGENT_DEL, 15);
    assert_int_equal(COMMAND_EXPIRE, 16);
    assert_int_equal(COMMAND_RESTORE, 17);
    assert_int_equal(COMMAND_FEATURE, 18);
    assert_int_equal(COMMAND_HISTORY, 19);
    assert_int_equal(COMMAND_HOOKS, 20);
    assert_int_equal(COMMAND_BREAKER, 21);
    assert_int_equal(BREAKER_TRIP, 1);
    assert_int_equal(BREAKER_RELEASE, 2);
    assert_int_equal(BREAKER_EXTEND, 3);
    assert_int_equal(BREAKER_END_HOLD, 4);
    assert_int_equal(BREAKER_CLOSE, 5);
    assert_int_equal(COMMAND_MAINT, 22);
    assert_int_equal(COMMAND_SWEEP, 23);
    assert_int_equal(COMMAND_FLAP, 24);
    assert_int_equal(COMMAND_ACCESS, 25);
    assert_int_equal(COMMAND_TALLY, 26);
    assert_int_equal(COMMAND_INDEX, 27);
    assert_int_equal(MAINT_AGENT | MAINT_ROW << 4, 0x21);
    assert_int_equal(COND_MATCH | COND_MATCH_ANY << 4 | COND_NONE_ANY << 8,
                     0x421);
    assert_int_equal(ROW_ADD | ROW_REPLACE << 4 | ROW_PATCH << 8, 0x321);
    assert_int_equal(NS_NAME | NS_PARENT | NS_MATCH | NS_COMMENT, 15);
    assert_int_equal(TXN_DELETE, 9);
    assert_int_equal(HOOK_SAME | HOOK_OK << 4 | HOOK_FAILING << 8, 0x210);
    assert_int_equal(HOOK_DEAD | HOOK_RESET << 4 | HOOK_FOUND << 8, 0x943);
}

static void only_what_takes_away_shrinks(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        enum command_kind kind = sample_kinds[i];
        bool shrinks = kind == COMMAND_EPOCH || kind == COMMAND_FEATURE ||
                       kind == COMMAND_NS_DELETE || kind == COMMAND_RECLAIM ||
                       kind == COMMAND_ROW_DELETE ||
                       kind == COMMAND_AGENT_DEL || kind == COMMAND_EXPIRE ||
                       kind == COMMAND_BREAKER || kind == COMMAND_SWEEP ||
                       kind == COMMAND_FLAP || kind == COMMAND_HISTORY ||
                       kind == COMMAND_TALLY;
        assert_int_equal(command_shrinks(kind), shrinks);
        assert_string_not_equal(command_name(kind), "unknown");
    }
    assert_false(command_shrinks((enum command_kind)0));
    assert_string_equal(command_name((enum command_kind)200), "unknown");
}

static void a_key_adds_its_two_hashes(void **state)
{
    ARENA arena = arena_new();

    (void)state;
    assert_int_equal(sample_bytes(arena, COMMAND_EPOCH, false).n, HEAD + 8);
    assert_int_equal(sample_bytes(arena, COMMAND_EPOCH, true).n,
                     KEYED_HEAD + 8);
}

static size_t weight_as(struct command c)
{
    struct buf bytes = {0};

    command_encode(&bytes, &c);
    size_t weight = command_weight(buf_str(&bytes));
    buf_done(&bytes);
    return weight;
}

static size_t weight_of(enum command_kind kind)
{
    return weight_as((struct command){.kind = kind});
}

/* A fence has no bytes, and is in packs. */
static void what_takes_long_to_apply_weighs_more(void **state)
{
    (void)state;
    assert_int_equal(command_weight((struct str){NULL, 0}), 0);
    assert_in_range(weight_of(COMMAND_ROW_DELETE), 512, 1024);
    assert_true(weight_of(COMMAND_RECLAIM) * 2 > COMMAND_PACK_WEIGHT);
    assert_true(weight_of(COMMAND_TALLY) < COMMAND_PACK_WEIGHT);
    assert_true(weight_of(COMMAND_AGENT_PUT) > weight_of(COMMAND_ROW_PUT));

    static char text[20000];
    memset(text, 'x', sizeof text);
    struct str fields = {text, sizeof text};
    struct command one = {.kind = COMMAND_ROW_PUT, .row_put.fields = fields};
    struct command_row_item item = {.fields = fields};
    struct command many = {.kind = COMMAND_ROWS_ADD};
    many.rows_add.rows = &item;
    many.rows_add.n_rows = 1;
    assert_true(weight_as(many) > weight_as(one) + sizeof text / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_survives_its_bytes),
        cmocka_unit_test(a_command_of_zeros_survives_its_bytes),
        cmocka_unit_test(a_command_cut_short_anywhere_is_invalid),
        cmocka_unit_test(a_byte_too_many_is_invalid),
        cmocka_unit_test(what_a_newer_version_may_write_is_invalid),
        cmocka_unit_test(a_flag_without_what_it_stands_for_is_invalid),
        cmocka_unit_test(a_count_that_lies_is_invalid),
        cmocka_unit_test(a_length_that_lies_is_invalid),
        cmocka_unit_test(a_refused_command_leaves_the_callers_alone),
        cmocka_unit_test(strings_are_lent_from_the_bytes),
        cmocka_unit_test(numbers_in_the_log_stay),
        cmocka_unit_test(only_what_takes_away_shrinks),
        cmocka_unit_test(a_key_adds_its_two_hashes),
        cmocka_unit_test(what_takes_long_to_apply_weighs_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
