#include "registry/types_set.h"

#include <stdatomic.h>

struct types {
    atomic_uint refs;
    uint64_t types_rev;
    struct arena *arena;
    struct type *sorted; /* by name */
    size_t n;
};

struct types *types_unref(struct types *types)
{
    if (types != NULL && atomic_fetch_sub(&types->refs, 1) == 1) {
        (void)arena_free(types->arena);
        (void)mem_free(types);
    }
    return NULL;
}

void types_release(struct op_state *s)
{
    s->types = types_unref(s->types);
}

static int parse(struct types *types, struct str name, struct str text)
{
    struct json *body = NULL;
    struct json_error error;
    struct row_error why;
    struct type *type = NULL;

    name = arena_str(types->arena, name);
    text = arena_str(types->arena, text);
    if (json_parse(types->arena, text, &body, &error) != 0 ||
        type_read(types->arena, name, body, &type, &why) != 0) {
        return err_raise(ERR_CORRUPT);
    }
    types->sorted =
        mem_grow(types->sorted, (types->n + 1) * sizeof *types->sorted);
    types->sorted[types->n++] = *type;
    return 0;
}

static int load(struct store_txn *txn, struct types *types)
{
    struct str after = STR_NONE, name, text;
    int r;

    while ((r = store_type_next(txn, after, &name, &text)) == 0) {
        r = parse(types, name, text);
        if (r != 0) {
            return r;
        }
        after = types->sorted[types->n - 1].name;
    }
    return r == ERR_END ? 0 : r;
}

/* The sorted array is of the heap while it grows, of the arena after. */
static void settle(struct types *types)
{
    size_t size = types->n * sizeof *types->sorted;
    struct type *kept = arena_alloc(types->arena, size + 1);

    if (size > 0) {
        memcpy(kept, types->sorted, size);
    }
    (void)mem_free(types->sorted);
    types->sorted = kept;
}

static int build(struct store_txn *txn, struct types **ret_types)
{
    struct types *types = mem_zero(sizeof *types);

    types->arena = arena_new();
    types->types_rev = store_meta(txn)->types_rev;
    atomic_init(&types->refs, 1);
    int r = load(txn, types);
    settle(types);
    if (r != 0) {
        (void)types_unref(types);
        return r;
    }
    *ret_types = types;
    return 0;
}

static struct types *shared(struct registry *registry, uint64_t types_rev)
{
    struct types *found = NULL;

    (void)pthread_mutex_lock(&registry->shared_lock);
    if (registry->types != NULL && registry->types->types_rev == types_rev) {
        found = registry->types;
        atomic_fetch_add(&found->refs, 1);
    }
    (void)pthread_mutex_unlock(&registry->shared_lock);
    return found;
}

/* A snapshot may be older than what is shared: then its set is the op's own. */
static void share(struct registry *registry, struct types *types)
{
    struct types *old = NULL;

    (void)pthread_mutex_lock(&registry->shared_lock);
    if (registry->types == NULL ||
        registry->types->types_rev < types->types_rev) {
        old = registry->types;
        registry->types = types;
        atomic_fetch_add(&types->refs, 1);
    }
    (void)pthread_mutex_unlock(&registry->shared_lock);
    (void)types_unref(old);
}

static int hold(struct op_state *s, struct store_txn *txn)
{
    uint64_t types_rev = store_meta(txn)->types_rev;

    if (s->types != NULL && s->types->types_rev == types_rev) {
        return 0;
    }
    types_release(s);
    s->types = shared(s->registry, types_rev);
    if (s->types != NULL) {
        return 0;
    }
    int r = build(txn, &s->types);
    if (r == 0) {
        share(s->registry, s->types);
    }
    return r;
}

int types_find(struct op_state *s, struct store_txn *txn, struct str name,
               const struct type **ret_type)
{
    int r = hold(s, txn);

    if (r != 0) {
        return r;
    }
    size_t low = 0, high = s->types->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = str_compare(s->types->sorted[mid].name, name);
        if (order == 0) {
            *ret_type = &s->types->sorted[mid];
            return 0;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *ret_type = type_default(s->arena, name);
    return 0;
}

int types_stored(struct op_state *s, struct store_txn *txn,
                 const struct type **ret_types, size_t *ret_n)
{
    int r = hold(s, txn);

    if (r == 0) {
        *ret_types = s->types->sorted;
        *ret_n = s->types->n;
    }
    return r;
}
