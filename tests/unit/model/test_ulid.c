#include <pthread.h>
#include <stdlib.h>

#include "kit.h"
#include "model/ulid.h"

enum { N_THREADS = 4, N_IDS = 20000 };

static struct ulid id_of(const char *text)
{
    struct ulid id = {0};

    assert_int_equal(ulid_parse(str_of(text), &id), 0);
    return id;
}

static void assert_text(struct ulid id, const char *wanted)
{
    char text[ULID_TEXT];

    ulid_format(id, text);
    assert_str(((struct str){text, ULID_TEXT}), wanted);
}

static void an_id_is_26_characters_and_back(void **state)
{
    struct ulid id = id_of("01ARZ3NDEKTSV4RRFFQ69G5FAV");

    (void)state;
    assert_text(id, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_text(id_of("01arz3ndektsv4rrffq69g5fav"),
                "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_text(id_of("00000000000000000000000000"),
                "00000000000000000000000000");
    assert_text(id_of("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
                "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_int_equal(id.b[0], 0x01);
    assert_int_equal(id.b[1], 0x56);
}

static void what_is_no_id_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "0",
        "01ARZ3NDEKTSV4RRFFQ69G5FA",
        "01ARZ3NDEKTSV4RRFFQ69G5FAVV",
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", /* more than 128 bits */
        "01ARZ3NDEKTSV4RRFFQ69G5FAI",
        "01ARZ3NDEKTSV4RRFFQ69G5FAl",
        "01ARZ3NDEKTSV4RRFFQ69G5FAO",
        "01ARZ3NDEKTSV4RRFFQ69G5FAu",
        "01ARZ3NDEKTSV4RRFFQ69G5FA-",
        "01ARZ3NDEKTSV4RRFFQ69G5F\xc3\xa9",
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ulid id = {0};
        assert_int_equal(ulid_parse(str_of(wrong[i]), &id), ERR_INVALID);
        assert_true(ulid_is_zero(id)); /* Untouched. */
        assert_false(ulid_shaped(str_of(wrong[i])));
    }
    assert_false(ulid_shaped(STR("01ARZ3NDEKTSV4RRFFQ69G5FA\0")));
}

static void byte_order_is_text_order(void **state)
{
    struct ulid low = id_of("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    struct ulid high = id_of("01ARZ3NDEKTSV4RRFFQ69G5FAW");

    (void)state;
    assert_true(ulid_compare(low, high) < 0);
    assert_true(ulid_compare(high, low) > 0);
    assert_int_equal(ulid_compare(low, low), 0);
    assert_int_equal(ulid_compare(ulid_plus(low, 1), high), 0);
}

static void adding_carries_through_all_bytes(void **state)
{
    struct ulid id = {
        .b = {0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255}};
    struct ulid sum = ulid_plus(id, 2);

    (void)state;
    assert_int_equal(sum.b[7], 2);
    assert_int_equal(sum.b[8], 0);
    assert_int_equal(sum.b[15], 1);
    assert_true(ulid_compare(id, sum) < 0);
}

static void an_id_begins_with_its_birth(void **state)
{
    uint64_t before = clock_wall_ms();
    struct ulid id = ulid_next();
    uint64_t after = clock_wall_ms();
    uint64_t born = 0;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        born = born << 8 | id.b[i];
    }
    assert_true(born >= before && born <= after);
}

static void a_run_lies_between_its_neighbours(void **state)
{
    struct ulid before = ulid_next();
    struct ulid first = ulid_next_run(1000);
    struct ulid after = ulid_next();

    (void)state;
    assert_true(ulid_compare(before, first) < 0);
    assert_true(ulid_compare(ulid_plus(first, 999), after) < 0);
}

struct maker {
    pthread_t thread;
    struct ulid ids[N_IDS];
};

static void *make_ids(void *user)
{
    struct maker *maker = user;

    for (size_t i = 0; i < N_IDS; i++) {
        maker->ids[i] = i % 16 == 0 ? ulid_next_run(3) : ulid_next();
    }
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    const struct ulid *left = a;
    const struct ulid *right = b;

    return ulid_compare(*left, *right);
}

static void ids_grow_in_each_thread_and_none_is_made_twice(void **state)
{
    struct maker *makers = mem_zero(N_THREADS * sizeof *makers);
    struct ulid *all = mem_alloc(N_THREADS * sizeof makers->ids);
    const size_t n_all = (size_t)N_THREADS * N_IDS;

    (void)state;
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(
            pthread_create(&makers[i].thread, NULL, make_ids, &makers[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(makers[i].thread, NULL), 0);
        for (size_t k = 1; k < N_IDS; k++) {
            assert_true(ulid_compare(makers[i].ids[k - 1], makers[i].ids[k]) <
                        0);
        }
        memcpy(all + i * N_IDS, makers[i].ids, sizeof makers->ids);
    }
    qsort(all, n_all, sizeof *all, compare_ids);
    for (size_t k = 1; k < n_all; k++) {
        assert_true(ulid_compare(all[k - 1], all[k]) < 0);
    }
    (void)mem_free(all);
    (void)mem_free(makers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_26_characters_and_back),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(byte_order_is_text_order),
        cmocka_unit_test(adding_carries_through_all_bytes),
        cmocka_unit_test(an_id_begins_with_its_birth),
        cmocka_unit_test(a_run_lies_between_its_neighbours),
        cmocka_unit_test(ids_grow_in_each_thread_and_none_is_made_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
