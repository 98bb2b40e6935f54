/* What only threads can break: readers that open and pin handles while the
 * writer opens, closes, undoes and drops. Most telling under the thread
 * sanitizer.
 *
 * Namespaces come in pairs whose rows are always written together with the same
 * number. A reader that ever sees two numbers, a number of another pair, or
 * what was undone, has read through a handle it should not have had. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "store_test.h"

enum { HANDLES = 8, PAIRS = 100, MOST_PAIRS = 16, READERS = 3, WRITES = 1500 };

struct world {
    struct bed bed;
    _Atomic uint64_t newest; /* pairs 1 .. newest were made, some dropped */
    _Atomic bool over;
    _Atomic uint64_t n_reads, n_restarts, n_wrong;
};

/* A different walk for each thread; the same ones in every run. */
static uint64_t next_chance(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static uint64_t left_of(uint64_t pair)
{
    return 2 * pair;
}

static void row_of(uint64_t pair, uint64_t number, char row[64])
{
    (void)snprintf(row, 64, "{%llu:%llu}", (unsigned long long)pair,
                   (unsigned long long)number);
}

/* ---- the writer ---- */

static void write_pair(struct store_txn *txn, uint64_t pair, uint64_t number)
{
    char row[64];

    row_of(pair, number, row);
    put_row(txn, left_of(pair), 1, row, number);
    put_row(txn, left_of(pair) + 1, 1, row, number);
}

static void make_pair(struct store_txn *txn, uint64_t pair, uint64_t number)
{
    char name[24];

    for (uint64_t ns = left_of(pair); ns <= left_of(pair) + 1; ns++) {
        (void)snprintf(name, sizeof name, "n%llu", (unsigned long long)ns);
        put_node(txn, ns, STORE_ROOT, name);
    }
    write_pair(txn, pair, number);
}

static void drop_pair(struct store_txn *txn, uint64_t pair)
{
    struct store_node node;

    for (uint64_t ns = left_of(pair); ns <= left_of(pair) + 1; ns++) {
        assert_int_equal(store_node_get(txn, ns, &node), 0);
        assert_int_equal(store_node_unlink(txn, &node), 0);
        assert_int_equal(
            store_row_del(txn, ns, MACHINE, ulid_of(1), STR_NONE, 1), 0);
        assert_int_equal(store_node_del(txn, ns), 0);
    }
}

static void undone_part(struct store_txn *txn, uint64_t pair)
{
    assert_int_equal(store_part_begin(txn), 0);
    put_row(txn, left_of(pair), 1, "{undone}", 1);
    put_row(txn, left_of(pair) + 1, 2, "{undone}", 1);
    store_part_abort(txn);
}

static void write_some(struct world *world, uint64_t number, uint64_t *seed)
{
    struct store_txn *txn = begin(&world->bed);
    uint64_t newest = atomic_load(&world->newest);
    uint64_t oldest = newest - PAIRS + 1;
    uint64_t n = 1 + next_chance(seed) % MOST_PAIRS;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t pair = oldest + next_chance(seed) % PAIRS;
        if (number % 4 == 1) {
            undone_part(txn, oldest + next_chance(seed) % PAIRS);
        }
        write_pair(txn, pair, number);
    }
    if (number % 16 == 7) {
        put_row(txn, left_of(newest), 1, "{undone}", 1);
        store_write_abort(txn);
        return;
    }
    if (number % 8 == 3) {
        drop_pair(txn, oldest);
        make_pair(txn, newest + 1, number);
        newest++;
    }
    commit(txn);
    atomic_store(&world->newest, newest);
}

/* ---- readers ---- */

/* The pair's rows in one snapshot; "" where there is none. */
static int read_pair(struct store_txn *txn, uint64_t pair, struct str rows[2])
{
    for (uint64_t i = 0; i < 2; i++) {
        int r = store_use(txn, left_of(pair) + i);
        if (r != 0) {
            return r;
        }
    }
    for (uint64_t i = 0; i < 2; i++) {
        int r = store_row_get(txn, left_of(pair) + i, MACHINE, ulid_of(1),
                              &rows[i], NULL);
        if (r == ERR_NOT_FOUND) {
            rows[i] = STR("");
        } else if (r != 0) {
            return r;
        }
    }
    return 0;
}

static bool right(uint64_t pair, const struct str rows[2])
{
    char prefix[32];

    int n = snprintf(prefix, sizeof prefix, "{%llu:", (unsigned long long)pair);
    return str_equal(rows[0], rows[1]) &&
           (rows[0].n == 0 || (rows[0].n > (size_t)n &&
                               memcmp(rows[0].p, prefix, (size_t)n) == 0));
}

/* Both pairs of one snapshot, so that pins outlive a use of another. */
static void read_some(struct world *world, struct store_reader *reader,
                      uint64_t *seed)
{
    uint64_t oldest = atomic_load(&world->newest) - PAIRS;
    uint64_t pairs[2];
    struct str rows[2][2];
    struct store_txn *txn = snapshot(reader);

    for (int i = 0; i < 2; i++) {
        pairs[i] = oldest + next_chance(seed) % (PAIRS + 2);
    }
    for (int i = 0; i < 2;) {
        int r = read_pair(txn, pairs[i], rows[i]);
        if (r == ERR_RESTART) {
            atomic_fetch_add(&world->n_restarts, 1);
            i = 0;
            continue;
        }
        if (r == ERR_FULL) {
            break;
        }
        if (r != 0 || !right(pairs[i], rows[i])) {
            atomic_fetch_add(&world->n_wrong, 1);
        }
        i++;
    }
    store_read_end(txn);
    atomic_fetch_add(&world->n_reads, 1);
}

struct reading {
    pthread_t thread;
    struct world *world;
    struct store_reader *reader;
    uint64_t seed;
};

static void *read_on(void *user)
{
    struct reading *reading = user;

    while (!atomic_load(&reading->world->over)) {
        read_some(reading->world, reading->reader, &reading->seed);
    }
    return NULL;
}

static void make_world(struct world *world)
{
    bed_make_with(&world->bed, HANDLES, (uint64_t)256 << 20);
    struct store_txn *txn = begin(&world->bed);
    put_node(txn, STORE_ROOT, 0, "roster");
    for (uint64_t pair = 1; pair <= PAIRS; pair++) {
        make_pair(txn, pair, 0);
    }
    commit(txn);
    atomic_store(&world->newest, PAIRS);
}

static void assert_all_there(struct world *world)
{
    struct store_reader *reader = reader_of(&world->bed);
    uint64_t newest = atomic_load(&world->newest);
    struct str rows[2] = {{NULL, 0}};

    for (uint64_t pair = newest - PAIRS + 1; pair <= newest; pair++) {
        struct store_txn *txn = snapshot(reader);
        int r = ERR_RESTART;
        while (r == ERR_RESTART) {
            r = read_pair(txn, pair, rows);
        }
        assert_int_equal(r, 0);
        assert_true(rows[0].n > 0 && right(pair, rows));
        store_read_end(txn);
    }
    (void)store_reader_free(reader);
}

static void readers_see_whole_transactions_of_the_right_place(void **state)
{
    struct world world = {.over = false};
    struct reading readings[READERS];
    uint64_t seed = 42;

    (void)state;
    make_world(&world);
    for (size_t i = 0; i < READERS; i++) {
        readings[i] = (struct reading){
            .world = &world, .reader = reader_of(&world.bed), .seed = i};
        assert_int_equal(
            pthread_create(&readings[i].thread, NULL, read_on, &readings[i]),
            0);
    }
    for (uint64_t number = 1; number <= WRITES; number++) {
        write_some(&world, number, &seed);
    }
    atomic_store(&world.over, true);
    for (size_t i = 0; i < READERS; i++) {
        (void)pthread_join(readings[i].thread, NULL);
        (void)store_reader_free(readings[i].reader);
    }
    assert_int_equal(atomic_load(&world.n_wrong), 0);
    assert_true(atomic_load(&world.n_reads) > 0);
    assert_true(atomic_load(&world.n_restarts) > 0);
    assert_all_there(&world);
    bed_reopen(&world.bed);
    assert_all_there(&world);
    bed_remove(&world.bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_transactions_of_the_right_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
