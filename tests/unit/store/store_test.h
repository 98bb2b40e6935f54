/* A store in a directory of its own for each test, and the few steps that most
 * of them take. Include first: cmocka.h needs the four before it. */
#ifndef STORE_TEST_H
#define STORE_TEST_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/store.h"

#define MACHINE STR("machine")

struct bed {
    struct store_config config;
    struct store *store;
    char directory[64];
};

static inline int remove_one(const char *path, const struct stat *stat,
                             int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void bed_remove(struct bed *bed)
{
    bed->store = store_close(bed->store);
    (void)nftw(bed->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define BED CLEANUP(bed_remove) struct bed

static inline void bed_open(struct bed *bed)
{
    assert_int_equal(store_open(&bed->config, &bed->store), 0);
}

static inline void bed_reopen(struct bed *bed)
{
    bed->store = store_close(bed->store);
    bed_open(bed);
}

static inline void bed_make_with(struct bed *bed, unsigned max_handles,
                                 uint64_t limit_bytes)
{
    *bed = (struct bed){.directory = "/tmp/roster-store-XXXXXX"};
    assert_non_null(mkdtemp(bed->directory));
    bed->config = (struct store_config){.directory = bed->directory,
                                        .limit_bytes = limit_bytes,
                                        .max_handles = max_handles,
                                        .max_readers = 16};
    bed_open(bed);
}

static inline void bed_make(struct bed *bed)
{
    bed_make_with(bed, 64, (uint64_t)256 << 20);
}

/* A file beside the store; goes with it. Lent until the next call. */
static inline const char *bed_file(const struct bed *bed, const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", bed->directory, name);
    return path;
}

static inline struct store_txn *begin(struct bed *bed)
{
    struct store_txn *txn = NULL;

    assert_int_equal(store_write_begin(bed->store, &txn), 0);
    return txn;
}

static inline void commit(struct store_txn *txn)
{
    assert_int_equal(store_write_commit(txn), 0);
}

static inline struct ulid ulid_of(uint64_t n)
{
    struct ulid id = {{0}};

    for (int i = 15; n > 0; i--, n >>= 8) {
        id.b[i] = (uint8_t)n;
    }
    return id;
}

static inline uint64_t number_of(struct ulid id)
{
    uint64_t n = 0;

    for (int i = 8; i < 16; i++) {
        n = n << 8 | id.b[i];
    }
    return n;
}

static inline void put_node(struct store_txn *txn, uint64_t id, uint64_t parent,
                            const char *name)
{
    struct store_node node = {.id = id,
                              .parent = parent,
                              .kind = STORE_BRANCH,
                              .created_rev = id,
                              .path_rev = id,
                              .changed_rev = id,
                              .name = str_of(name)};

    assert_int_equal(store_node_put(txn, &node), 0);
}

/* The root and `n` namespaces below it, ids 2 .. n + 1, named n2, n3, ... */
static inline void put_nodes(struct store_txn *txn, uint64_t n)
{
    char name[24];

    put_node(txn, STORE_ROOT, 0, "roster");
    for (uint64_t id = 2; id < n + 2; id++) {
        (void)snprintf(name, sizeof name, "n%llu", (unsigned long long)id);
        put_node(txn, id, STORE_ROOT, name);
    }
}

static inline void put_row(struct store_txn *txn, uint64_t ns, uint64_t id,
                           const char *row, uint64_t revision)
{
    assert_int_equal(store_row_put(txn, ns, MACHINE, ulid_of(id), str_of(row),
                                   STR_NONE, STR_NONE, STR_NONE, revision),
                     0);
}

#define assert_str(got, text)                                                  \
    do {                                                                       \
        struct str got_ = (got);                                               \
        assert_int_equal(got_.n, strlen(text));                                \
        assert_memory_equal(got_.p, (text), got_.n);                           \
    } while (0)

static inline void assert_row(struct store_txn *txn, uint64_t ns, uint64_t id,
                              const char *row)
{
    struct str got;

    assert_int_equal(store_row_get(txn, ns, MACHINE, ulid_of(id), &got, NULL),
                     0);
    assert_str(got, row);
}

static inline void assert_no_row(struct store_txn *txn, uint64_t ns,
                                 uint64_t id)
{
    struct str got;

    assert_int_equal(store_row_get(txn, ns, MACHINE, ulid_of(id), &got, NULL),
                     ERR_NOT_FOUND);
}

static inline struct store_reader *reader_of(struct bed *bed)
{
    struct store_reader *reader = NULL;

    assert_int_equal(store_reader_new(bed->store, &reader), 0);
    return reader;
}

static inline struct store_txn *snapshot(struct store_reader *reader)
{
    struct store_txn *txn = NULL;

    assert_int_equal(store_read_begin(reader, &txn), 0);
    return txn;
}

/* Make usable, whether or not it takes a new snapshot. */
static inline void use(struct store_txn *txn, uint64_t ns)
{
    int r = store_use(txn, ns);

    assert_true(r == 0 || r == ERR_RESTART);
}

#endif
