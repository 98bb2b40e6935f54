/* One command of every kind with every field filled, for the tests of this
 * room. The values are made from a counter, so that two fields never hold the
 * same and a swap shows. A new field or kind is filled without a change here:
 * the fillers are made from the same lists as the codecs. */
#ifndef TESTS_UNIT_COMMAND_SAMPLES_H
#define TESTS_UNIT_COMMAND_SAMPLES_H

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include "base/err.h"
#include "command/command.h"

enum { N_ITEMS = 3 }; /* in each list of a sample */

struct filler {
    struct arena *arena;
    uint8_t next;
};

static inline void fill_bytes(struct filler *f, uint8_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = f->next++;
    }
}

static inline uint8_t fill_one(struct filler *f)
{
    return f->next++;
}

static inline uint64_t fill_eight(struct filler *f)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++) {
        v = v << 8 | f->next++;
    }
    return v;
}

/* Lengths differ, one of four is empty, and there are NUL bytes inside. */
static inline struct str fill_text(struct filler *f)
{
    uint8_t bytes[8];
    size_t n = (size_t)(f->next++ % 4U) * 2;

    fill_bytes(f, bytes, sizeof bytes);
    bytes[1] = 0;
    return arena_str(f->arena, (struct str){(const char *)bytes, n});
}

#define FILL_u8(name) v->name = fill_one(f);
#define FILL_u64(name) v->name = fill_eight(f);
#define FILL_str(name) v->name = fill_text(f);
#define FILL_ulid(name) fill_bytes(f, v->name.b, sizeof v->name.b);
#define FILL_hash(name) fill_bytes(f, v->name, sizeof v->name);
#define FILL_cluster(name) fill_bytes(f, v->name, sizeof v->name);
#define FILL_LIST(item, name)                                                  \
    v->n_##name = N_ITEMS;                                                     \
    v->name = arena_zero(f->arena, N_ITEMS * sizeof *v->name);                 \
    for (size_t i = 0; i < N_ITEMS; i++) {                                     \
        fill_##item(f, &v->name[i]);                                           \
    }
#define FILL_list_row_item(name) FILL_LIST(row_item, name)
#define FILL_list_txn_if(name) FILL_LIST(txn_if, name)
#define FILL_list_txn_op(name) FILL_LIST(txn_op, name)
#define FILL_list_lease_item(name) FILL_LIST(lease_item, name)
#define FILL_list_leaf_item(name) FILL_LIST(leaf_item, name)
#define FILL_list_hook_item(name) FILL_LIST(hook_item, name)
#define FILL_list_access_item(name) FILL_LIST(access_item, name)
#define FILL(kind, name) FILL_##kind(name)
#define FILLER(name, FIELDS)                                                   \
    static inline void fill_##name(struct filler *f, struct command_##name *v) \
    {                                                                          \
        FIELDS(FILL)                                                           \
    }

FILLER(row_item, ROW_ITEM_FIELDS)
FILLER(txn_if, TXN_IF_FIELDS)
FILLER(txn_op, TXN_OP_FIELDS)
FILLER(lease_item, LEASE_ITEM_FIELDS)
FILLER(leaf_item, LEAF_ITEM_FIELDS)
FILLER(hook_item, HOOK_ITEM_FIELDS)
FILLER(access_item, ACCESS_ITEM_FIELDS)
#define C(NAME, name, number, shrinks) FILLER(name, NAME##_FIELDS)
COMMAND_LIST(C)
#undef C

static const enum command_kind sample_kinds[] = {
#define C(NAME, name, number, shrinks) COMMAND_##NAME,
    COMMAND_LIST(C)
#undef C
};
enum { N_KINDS = sizeof sample_kinds / sizeof sample_kinds[0] };

static inline struct command sample_of(struct arena *arena,
                                       enum command_kind kind, bool has_key)
{
    struct filler filler = {arena, 1};
    struct filler *f = &filler;
    struct command c = {.kind = kind, .has_key = has_key};

    c.tree_rev = fill_eight(f);
    c.types_rev = fill_eight(f);
    fill_bytes(f, c.request, sizeof c.request);
    if (has_key) {
        fill_bytes(f, c.key_hash, sizeof c.key_hash);
        fill_bytes(f, c.request_hash, sizeof c.request_hash);
    }
    /* With a key and without; of every other kind. */
    c.has_access = kind % 2 == 1;
    c.access_rev = c.has_access ? fill_eight(f) : 0;
    switch (kind) {
#define C(NAME, name, number, shrinks)                                         \
    case COMMAND_##NAME:                                                       \
        fill_##name(f, &c.name);                                               \
        break;
        COMMAND_LIST(C)
#undef C
    }
    return c;
}

/* Its bytes, in the arena. */
static inline struct str sample_bytes(struct arena *arena,
                                      enum command_kind kind, bool has_key)
{
    struct command c = sample_of(arena, kind, has_key);
    struct buf out = {0};

    command_encode(&out, &c);
    return arena_take(arena, &out);
}

#endif
