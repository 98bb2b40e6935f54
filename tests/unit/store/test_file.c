/* The file: full, copied, damaged, measured. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_test.h"

/* ---- full ---- */

enum { SMALL = 1 << 20, ROW_BYTES = 1000 };

static char big_row[ROW_BYTES + 1];

static int add_rows(struct bed *bed, uint64_t first, uint64_t n)
{
    struct store_txn *txn = begin(bed);
    int r = 0;

    memset(big_row, 'r', ROW_BYTES);
    for (uint64_t id = first; r == 0 && id < first + n; id++) {
        r = store_row_put(txn, 2, MACHINE, ulid_of(id), str_of(big_row),
                          STR_NONE, STR_NONE, STR_NONE, id);
    }
    /* The commit needs pages too, for the list of free ones. */
    int committed = store_write_commit(txn);
    assert_true(r == 0 || r == committed);
    return committed;
}

/* Rows until it says no more. */
static uint64_t fill(struct bed *bed)
{
    uint64_t n = 0;

    while (add_rows(bed, n, 4) == 0) {
        n += 4;
    }
    assert_int_equal(add_rows(bed, n, 4), ERR_DISK_FULL);
    return n;
}

static void make_small(struct bed *bed)
{
    bed_make_with(bed, 8, SMALL);
    struct store_txn *txn = begin(bed);
    put_nodes(txn, 1);
    commit(txn);
}

static void a_full_map_loses_nothing_it_had(void **state)
{
    BED bed;

    (void)state;
    make_small(&bed);
    uint64_t n = fill(&bed);
    assert_in_range(n, SMALL / ROW_BYTES / 3, SMALL / ROW_BYTES);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_meta(txn)->n_rows, n);
    assert_row(txn, 2, n - 1, big_row);
    assert_no_row(txn, 2, n);
    store_write_abort(txn);
    assert_in_range(store_usage(bed.store).file_bytes, 1, SMALL);
}

static void a_full_map_opened_larger_takes_more(void **state)
{
    BED bed;

    (void)state;
    make_small(&bed);
    uint64_t n = fill(&bed);
    bed.config.limit_bytes = 2 * (uint64_t)SMALL;
    bed_reopen(&bed);
    assert_int_equal(add_rows(&bed, n, 4), 0);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_row_del(txn, 2, MACHINE, ulid_of(1), STR_NONE, 9),
                     0);
    commit(txn);
}

/* A part that hit the wall cannot be undone alone: what a replica does must not
 * depend on its disk. */
static void a_full_map_ends_the_transaction_of_a_part(void **state)
{
    BED bed;

    (void)state;
    make_small(&bed);
    uint64_t n = fill(&bed);
    struct store_txn *txn = begin(&bed);
    assert_int_equal(store_part_begin(txn), 0);
    int r = 0;
    for (uint64_t id = n; r == 0; id++) {
        r = store_row_put(txn, 2, MACHINE, ulid_of(id), str_of(big_row),
                          STR_NONE, STR_NONE, STR_NONE, id);
    }
    assert_int_equal(r, ERR_DISK_FULL);
    assert_int_equal(store_part_commit(txn), ERR_DISK_FULL);
    assert_int_equal(store_part_begin(txn), ERR_DISK_FULL);
    assert_int_equal(store_write_commit(txn), ERR_DISK_FULL);
    txn = begin(&bed);
    assert_int_equal(store_meta(txn)->n_rows, n);
    store_write_abort(txn);
}

/* What admission does: refuse growth while the reserve is still there. */
static void rows_are_deleted_out_of_the_reserve(void **state)
{
    BED bed;
    uint64_t n = 0;

    (void)state;
    make_small(&bed);
    struct store_usage usage = store_usage(bed.store);
    while (usage.limit_bytes - usage.used_bytes > SMALL / 8) {
        assert_int_equal(add_rows(&bed, n, 4), 0);
        n += 4;
        usage = store_usage(bed.store);
    }
    for (uint64_t id = 0; id < n; id++) {
        struct store_txn *txn = begin(&bed);
        assert_int_equal(
            store_row_del(txn, 2, MACHINE, ulid_of(id), STR_NONE, n + id), 0);
        commit(txn);
    }
    assert_in_range(store_usage(bed.store).used_bytes, 1, SMALL / 4);
    assert_int_equal(add_rows(&bed, 5000, 200), 0);
}

/* ---- copies ---- */

#define MUCH                                                                   \
    "{\"name\":\"one of many rows, so that it is more than a few pages\"}"

static void make_content(struct bed *bed, const char *last)
{
    struct store_txn *txn = begin(bed);

    put_nodes(txn, 40);
    store_meta(txn)->history_limit = 10;
    for (uint64_t ns = 2; ns < 42; ns++) {
        put_row(txn, ns, 1, "{one}", 10);
        put_row(txn, ns, 2, "{two}", 11);
    }
    for (uint64_t id = 10; id < 1000; id++) {
        put_row(txn, 40, id, MUCH, 12);
    }
    put_row(txn, 41, 3, last, 12);
    assert_int_equal(store_event_put(txn, 12, STR("{event}")), 0);
    store_meta(txn)->revision = 12;
    commit(txn);
}

static void digest(struct bed *bed, uint8_t ret_digest[32],
                   struct store_meta *ret_meta)
{
    const char *copy = bed_file(bed, "copy");

    assert_int_equal(store_copy(bed->store, copy), 0);
    assert_int_equal(store_digest_file(copy, ret_digest, ret_meta), 0);
}

static void equal_state_has_an_equal_digest(void **state)
{
    BED straight;
    BED winding;
    uint8_t a[32];
    uint8_t b[32];
    struct store_meta meta;

    (void)state;
    bed_make(&straight);
    make_content(&straight, "{x}");
    digest(&straight, a, &meta);
    assert_int_equal(meta.n_rows, 81 + 990);
    assert_int_equal(meta.revision, 12);

    /* Other pages: handles few, rows put and taken away again, empty databases
     * left behind, another index. */
    bed_make_with(&winding, 4, (uint64_t)64 << 20);
    make_content(&winding, "{y}");
    struct store_txn *txn = begin(&winding);
    for (uint64_t id = 100; id < 900; id++) {
        put_row(txn, 7, id, "{gone soon}", 11);
    }
    commit(txn);
    txn = begin(&winding);
    for (uint64_t id = 100; id < 900; id++) {
        assert_int_equal(
            store_row_del(txn, 7, MACHINE, ulid_of(id), STR_NONE, 11), 0);
    }
    put_row(txn, 41, 3, "{x}", 12);
    store_meta(txn)->applied = 77;
    commit(txn);
    digest(&winding, b, &meta);
    assert_int_equal(meta.applied, 77);
    assert_memory_equal(a, b, sizeof a);
}

static void a_byte_makes_another_digest(void **state)
{
    BED one;
    BED other;
    uint8_t a[32];
    uint8_t b[32];
    struct store_meta meta;

    (void)state;
    bed_make(&one);
    bed_make(&other);
    make_content(&one, "{x}");
    make_content(&other, "{y}");
    digest(&one, a, &meta);
    digest(&other, b, &meta);
    assert_memory_not_equal(a, b, sizeof a);
}

static void a_file_that_is_no_store_has_no_digest(void **state)
{
    BED bed;
    uint8_t sum[32];
    struct store_meta meta;
    char noise[8192];

    (void)state;
    bed_make(&bed);
    memset(noise, 'x', sizeof noise);
    const char *path = bed_file(&bed, "noise");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(write(fd, noise, sizeof noise) == (ssize_t)sizeof noise);
    (void)close(fd);
    assert_int_equal(store_digest_file(path, sum, &meta), ERR_CORRUPT);
    assert_true(store_digest_file(bed_file(&bed, "none"), sum, &meta) < 0);
}

/* A directory of its own is where a copy becomes a store. */
static void a_copy_opens_as_a_store(void **state)
{
    BED bed;
    BED second;

    (void)state;
    bed_make(&bed);
    make_content(&bed, "{x}");
    bed_make(&second);
    second.store = store_close(second.store);
    assert_int_equal(store_copy(bed.store, bed_file(&second, "data.mdb")), 0);
    bed_open(&second);
    struct store_txn *txn = begin(&second);
    assert_row(txn, 41, 3, "{x}");
    put_row(txn, 41, 4, "{more}", 13);
    commit(txn);
}

/* Make a page that is neither used nor free, as old versions of LMDB could: the
 * number of the last page, in both of its meta pages, goes up by one. */
static void lose_a_page(const char *path)
{
    enum { PAGE = 4096, LAST_PAGE = 136 };
    int fd = open(path, O_RDWR);
    struct stat file;
    uint64_t last = 0;

    assert_int_equal(fstat(fd, &file), 0);
    for (off_t at = LAST_PAGE; at < LAST_PAGE + 2 * (off_t)PAGE; at += PAGE) {
        assert_int_equal(pread(fd, &last, sizeof last, at), sizeof last);
        last++;
        assert_int_equal(pwrite(fd, &last, sizeof last, at), sizeof last);
    }
    assert_int_equal(ftruncate(fd, file.st_size + PAGE), 0);
    (void)close(fd);
}

static void a_file_with_lost_pages_is_copied_whole(void **state)
{
    BED bed;
    uint8_t before[32];
    uint8_t after[32];
    struct store_meta meta;

    (void)state;
    bed_make(&bed);
    make_content(&bed, "{x}");
    digest(&bed, before, &meta);
    bed.store = store_close(bed.store);
    lose_a_page(bed_file(&bed, "data.mdb"));
    bed_open(&bed);
    digest(&bed, after, &meta);
    assert_memory_equal(before, after, sizeof before);
}

static void a_copy_to_nowhere_is_a_fault(void **state)
{
    BED bed;

    (void)state;
    bed_make(&bed);
    assert_true(store_copy(bed.store, bed_file(&bed, "none/copy")) < 0);
}

struct writing {
    struct bed *bed;
    _Atomic bool over;
    _Atomic uint64_t n;
};

/* Rows 1 and 2 of a namespace always carry the same number. */
static void *write_on(void *user)
{
    struct writing *writing = user;
    char row[24];

    while (!atomic_load(&writing->over)) {
        uint64_t n = atomic_fetch_add(&writing->n, 1);
        struct store_txn *txn = begin(writing->bed);
        (void)snprintf(row, sizeof row, "{%llu}", (unsigned long long)n);
        put_row(txn, 2 + n % 40, 1, row, 20 + n);
        put_row(txn, 41 - n % 40, 2, row, 20 + n);
        store_meta(txn)->applied = n;
        commit(txn);
    }
    return NULL;
}

static void assert_copy_is_whole(struct bed *copy)
{
    bed_open(copy);
    struct store_txn *txn = begin(copy);
    uint64_t n = store_meta(txn)->applied;
    char row[24];

    (void)snprintf(row, sizeof row, "{%llu}", (unsigned long long)n);
    assert_row(txn, 2 + n % 40, 1, row);
    assert_row(txn, 41 - n % 40, 2, row);
    store_write_abort(txn);
    copy->store = store_close(copy->store);
}

static void a_copy_under_writing_is_one_commit(void **state)
{
    BED bed;
    BED copy;
    struct writing writing = {.bed = &bed};
    pthread_t thread;

    (void)state;
    bed_make(&bed);
    make_content(&bed, "{x}");
    bed_make(&copy);
    copy.store = store_close(copy.store);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writing), 0);
    while (atomic_load(&writing.n) < 2) {
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(store_copy(bed.store, bed_file(&copy, "data.mdb")), 0);
        assert_copy_is_whole(&copy);
    }
    atomic_store(&writing.over, true);
    (void)pthread_join(thread, NULL);
}

/* ---- opening ---- */

static void a_reopened_store_has_everything(void **state)
{
    BED bed;
    uint8_t before[32];
    uint8_t after[32];
    struct store_meta meta;

    (void)state;
    bed_make(&bed);
    make_content(&bed, "{x}");
    digest(&bed, before, &meta);
    assert_int_equal(store_sync(bed.store), 0);
    bed_reopen(&bed);
    digest(&bed, after, &meta);
    assert_memory_equal(before, after, sizeof before);
}

static void a_damaged_file_is_not_opened(void **state)
{
    BED bed;
    char noise[8192];

    (void)state;
    bed_make(&bed);
    bed.store = store_close(bed.store);
    memset(noise, 'x', sizeof noise);
    int fd = open(bed_file(&bed, "data.mdb"), O_WRONLY | O_TRUNC);
    assert_true(write(fd, noise, sizeof noise) == (ssize_t)sizeof noise);
    (void)close(fd);
    assert_int_equal(store_open(&bed.config, &bed.store), ERR_CORRUPT);
}

/* Address space for a thousand times what there is: it makes do with less. */
static void a_map_too_large_is_made_smaller(void **state)
{
    BED bed;

    (void)state;
    bed_make_with(&bed, 8, (uint64_t)1 << 57);
    struct store_usage usage = store_usage(bed.store);
    assert_in_range(usage.limit_bytes, (uint64_t)1 << 30, (uint64_t)1 << 56);
    struct store_txn *txn = begin(&bed);
    put_nodes(txn, 1);
    commit(txn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_map_loses_nothing_it_had),
        cmocka_unit_test(a_full_map_opened_larger_takes_more),
        cmocka_unit_test(a_full_map_ends_the_transaction_of_a_part),
        cmocka_unit_test(rows_are_deleted_out_of_the_reserve),
        cmocka_unit_test(equal_state_has_an_equal_digest),
        cmocka_unit_test(a_byte_makes_another_digest),
        cmocka_unit_test(a_file_that_is_no_store_has_no_digest),
        cmocka_unit_test(a_copy_opens_as_a_store),
        cmocka_unit_test(a_file_with_lost_pages_is_copied_whole),
        cmocka_unit_test(a_copy_to_nowhere_is_a_fault),
        cmocka_unit_test(a_copy_under_writing_is_one_commit),
        cmocka_unit_test(a_reopened_store_has_everything),
        cmocka_unit_test(a_damaged_file_is_not_opened),
        cmocka_unit_test(a_map_too_large_is_made_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
