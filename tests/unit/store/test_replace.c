/* Another state takes the place of this one [STORE-5]: who reads sees one or
 * the other, whole, and never goes back; nothing of what is gone stays open.
 * Most telling under the thread sanitizer. */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store_test.h"

enum { NAMESPACES = 6, READERS = 3, ROUNDS = 40, STEP = 1000 };

/* Every row of a state holds its number. */
static void put_state(struct store_txn *txn, uint64_t number)
{
    char row[32];

    (void)snprintf(row, sizeof row, "{%llu}", (unsigned long long)number);
    for (uint64_t ns = 2; ns < NAMESPACES + 2; ns++) {
        put_row(txn, ns, 1, row, number);
    }
    store_meta(txn)->revision = number;
}

/* A directory with a state of its own; lent until the next call. */
static const char *make_other(struct bed *bed, uint64_t number)
{
    static char directory[160];
    struct store_config config = bed->config;
    struct store *store = NULL;
    struct store_txn *txn = NULL;

    (void)snprintf(directory, sizeof directory, "%.60s/next-%llu",
                   bed->directory, (unsigned long long)number);
    config.directory = directory;
    assert_int_equal(store_open(&config, &store), 0);
    assert_int_equal(store_write_begin(store, &txn), 0);
    put_nodes(txn, NAMESPACES);
    put_state(txn, number);
    commit(txn);
    store_close(store);
    return directory;
}

/* As a restore does: opened, stamped, shown; the files are gone at once. */
static struct store_next *replace(struct bed *bed, uint64_t number)
{
    const char *directory = make_other(bed, number);
    struct store_next *next = NULL;
    struct store_txn *txn = NULL;

    assert_int_equal(store_next_open(bed->store, directory, &next), 0);
    assert_int_equal(store_next_begin(next, &txn), 0);
    put_state(txn, number + 1);
    commit(txn);
    struct store_next *old = store_replace(next);
    (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return old;
}

static void make_first(struct bed *bed, unsigned handles)
{
    bed_make_with(bed, handles, (uint64_t)64 << 20);
    struct store_txn *txn = begin(bed);
    put_nodes(txn, NAMESPACES);
    put_state(txn, 1);
    commit(txn);
}

/* The number that all rows of a snapshot agree on; 0 when they do not. */
static uint64_t read_state(struct store_reader *reader)
{
    struct store_txn *txn = snapshot(reader);
    uint64_t number = 0;
    char row[32];

    for (uint64_t ns = 2; ns < NAMESPACES + 2; ns++) {
        struct str got;
        int r = store_use(txn, ns);
        if (r == ERR_RESTART) {
            ns = 1;
            continue;
        }
        number = store_meta(txn)->revision;
        (void)snprintf(row, sizeof row, "{%llu}", (unsigned long long)number);
        if (r != 0 ||
            store_row_get(txn, ns, MACHINE, ulid_of(1), &got, NULL) != 0 ||
            !str_is(got, row)) {
            number = 0;
            break;
        }
    }
    store_read_end(txn);
    return number;
}

static unsigned count_lines(const char *path, const char *with)
{
    char line[512];
    unsigned n = 0;
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        n += strstr(line, with) != NULL;
    }
    (void)fclose(file);
    return n;
}

static unsigned open_files(void)
{
    unsigned n = 0;
    DIR *directory = opendir("/proc/self/fd");

    assert_non_null(directory);
    while (readdir(directory) != NULL) {
        n++;
    }
    (void)closedir(directory);
    return n;
}

/* ---- one thread ---- */

static void a_reader_goes_on_with_what_it_sees(void **state)
{
    BED bed;

    (void)state;
    make_first(&bed, 32);
    struct store_reader *reader = reader_of(&bed);
    struct store_txn *txn = snapshot(reader);
    use(txn, 2);
    (void)store_next_close(replace(&bed, STEP));
    assert_row(txn, 2, 1, "{1}");
    use(txn, 7); /* a handle of the old one is opened */
    assert_row(txn, 7, 1, "{1}");
    assert_true(store_meta(txn)->revision == 1);
    store_read_end(txn);
    assert_true(read_state(reader) == STEP + 1);
    (void)store_reader_free(reader);
}

static void who_begins_after_it_sees_the_new_one(void **state)
{
    BED bed;

    (void)state;
    make_first(&bed, 32);
    struct store_reader *before = reader_of(&bed);
    assert_true(read_state(before) == 1);
    (void)store_next_close(replace(&bed, STEP));
    struct store_reader *after = reader_of(&bed);
    assert_true(read_state(before) == STEP + 1);
    assert_true(read_state(after) == STEP + 1);
    /* And it is written to like any other. */
    struct store_txn *txn = begin(&bed);
    put_state(txn, STEP + 2);
    commit(txn);
    assert_true(read_state(before) == STEP + 2);
    assert_true(read_state(after) == STEP + 2);
    (void)store_reader_free(before);
    (void)store_reader_free(after);
}

static void one_that_is_not_taken_leaves_no_trace(void **state)
{
    BED bed;
    struct store_next *next = NULL;
    struct store_txn *txn = NULL;

    (void)state;
    make_first(&bed, 32);
    unsigned fds = open_files();
    const char *directory = make_other(&bed, STEP);
    assert_int_equal(store_next_open(bed.store, directory, &next), 0);
    assert_int_equal(store_next_begin(next, &txn), 0);
    put_state(txn, 77);
    store_write_abort(txn);
    next = store_next_close(next);
    assert_null(next);
    assert_int_equal(open_files(), fds);
    struct store_reader *reader = reader_of(&bed);
    assert_true(read_state(reader) == 1);
    (void)store_reader_free(reader);
}

static void nobody_that_reads_nothing_keeps_the_old_one(void **state)
{
    BED bed;

    (void)state;
    make_first(&bed, 32);
    struct store_reader *idle = reader_of(&bed);
    struct store_reader *busy = reader_of(&bed);
    unsigned fds = open_files();
    for (uint64_t i = 1; i <= 20; i++) {
        struct store_txn *txn = snapshot(busy);
        use(txn, 3);
        (void)store_next_close(replace(&bed, i * STEP));
        assert_int_equal(count_lines("/proc/self/maps", "data.mdb"), 2);
        store_read_end(txn);
        assert_int_equal(count_lines("/proc/self/maps", "data.mdb"), 1);
    }
    assert_int_equal(open_files(), fds);
    assert_int_equal(store_usage(bed.store).readers, 2);
    assert_true(read_state(idle) == 20 * STEP + 1);
    (void)store_reader_free(idle);
    (void)store_reader_free(busy);
}

/* ---- beside readers and copies ---- */

struct world {
    struct bed bed;
    _Atomic bool over;
    _Atomic uint64_t n_reads, n_wrong, n_copies;
};

static void *read_on(void *user)
{
    struct world *world = user;
    struct store_reader *reader = reader_of(&world->bed);
    uint64_t last = 0;

    while (!atomic_load(&world->over)) {
        uint64_t number = read_state(reader);
        if (number == 0 || number < last) {
            (void)atomic_fetch_add(&world->n_wrong, 1);
        }
        last = number;
        (void)atomic_fetch_add(&world->n_reads, 1);
        if (number % 7 == 0) {
            (void)store_reader_free(reader);
            reader = reader_of(&world->bed);
        }
    }
    (void)store_reader_free(reader);
    return NULL;
}

static void *copy_on(void *user)
{
    struct world *world = user;
    char file[128];
    uint8_t digest[32];
    struct store_meta meta;

    (void)snprintf(file, sizeof file, "%.60s/copy", world->bed.directory);
    while (!atomic_load(&world->over)) {
        if (store_copy(world->bed.store, file) != 0 ||
            store_digest_file(file, digest, &meta) != 0 || meta.revision == 0) {
            (void)atomic_fetch_add(&world->n_wrong, 1);
        }
        (void)store_usage(world->bed.store);
        (void)atomic_fetch_add(&world->n_copies, 1);
    }
    return NULL;
}

static void *close_old(void *user)
{
    (void)store_next_close(user);
    return NULL;
}

static void readers_and_copies_see_whole_states_in_order(void **state)
{
    static struct world world;
    pthread_t readers[READERS], copier, closer;

    (void)state;
    make_first(&world.bed, 12);
    unsigned fds = open_files();
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &world), 0);
    }
    assert_int_equal(pthread_create(&copier, NULL, copy_on, &world), 0);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        struct store_next *old = replace(&world.bed, i * STEP);
        assert_int_equal(pthread_create(&closer, NULL, close_old, old), 0);
        for (uint64_t n = 2; n < 12; n++) {
            struct store_txn *txn = begin(&world.bed);
            put_state(txn, i * STEP + n);
            commit(txn);
        }
        (void)pthread_join(closer, NULL);
    }
    atomic_store(&world.over, true);
    for (int i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i], NULL);
    }
    (void)pthread_join(copier, NULL);
    assert_int_equal(atomic_load(&world.n_wrong), 0);
    assert_true(atomic_load(&world.n_reads) > ROUNDS);
    assert_true(atomic_load(&world.n_copies) > 0);
    assert_int_equal(open_files(), fds);
    assert_int_equal(count_lines("/proc/self/maps", "data.mdb"), 1);
    bed_remove(&world.bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_goes_on_with_what_it_sees),
        cmocka_unit_test(who_begins_after_it_sees_the_new_one),
        cmocka_unit_test(one_that_is_not_taken_leaves_no_trace),
        cmocka_unit_test(nobody_that_reads_nothing_keeps_the_old_one),
        cmocka_unit_test(readers_and_copies_see_whole_states_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
