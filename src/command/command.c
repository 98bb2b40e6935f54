#include "command/command.h"

#include <assert.h>

#include "base/err.h"

enum { COMMAND_HAS_KEY = 1, COMMAND_HAS_ACCESS = 2 };

/* ---- writing ---- */

static void put_u8(struct buf *out, uint8_t v)
{
    buf_add(out, &v, 1);
}

static void put_u32(struct buf *out, uint32_t v)
{
    buf_add_le(out, v, 4);
}

static void put_u64(struct buf *out, uint64_t v)
{
    buf_add_le(out, v, 8);
}

static void put_str(struct buf *out, struct str v)
{
    assert(v.n <= UINT32_MAX);
    put_u32(out, (uint32_t)v.n);
    buf_add_str(out, v);
}

static void put_ulid(struct buf *out, struct ulid v)
{
    buf_add(out, v.b, sizeof v.b);
}

static void put_cluster(struct buf *out, const uint8_t v[16])
{
    buf_add(out, v, 16);
}

static void put_hash(struct buf *out, const uint8_t v[32])
{
    buf_add(out, v, 32);
}

/* ---- reading: a cursor that stays bad once it ran short ---- */

struct cursor {
    struct arena *arena;
    struct str rest;
    bool bad;
};

static const uint8_t *take(struct cursor *in, size_t n)
{
    if (in->bad || in->rest.n < n) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *p = (const uint8_t *)in->rest.p;
    in->rest.p += n;
    in->rest.n -= n;
    return p;
}

static uint64_t get_number(struct cursor *in, size_t n)
{
    const uint8_t *p = take(in, n);

    return p == NULL ? 0 : le_get(p, n);
}

static void get_u8(struct cursor *in, uint8_t *v)
{
    *v = (uint8_t)get_number(in, 1);
}

static void get_u64(struct cursor *in, uint64_t *v)
{
    *v = get_number(in, 8);
}

static void get_str(struct cursor *in, struct str *v)
{
    size_t n = (size_t)get_number(in, 4);
    const uint8_t *p = take(in, n);

    *v = p == NULL ? STR_NONE : (struct str){(const char *)p, n};
}

static void get_ulid(struct cursor *in, struct ulid *v)
{
    const uint8_t *p = take(in, sizeof v->b);

    *v = (struct ulid){{0}};
    if (p != NULL) {
        memcpy(v->b, p, sizeof v->b);
    }
}

static void get_cluster(struct cursor *in, uint8_t v[16])
{
    const uint8_t *p = take(in, 16);

    if (p != NULL) {
        memcpy(v, p, 16);
    }
}

static void get_hash(struct cursor *in, uint8_t v[32])
{
    const uint8_t *p = take(in, 32);

    if (p != NULL) {
        memcpy(v, p, 32);
    }
}

/* How many items follow. A count that the rest cannot hold is a lie, and must
 * not size an allocation. */
enum { ITEM_LEAST = 20 }; /* the shortest item: a lease without a name */

static size_t get_count(struct cursor *in)
{
    size_t n = (size_t)get_number(in, 4);

    if (n > in->rest.n / ITEM_LEAST) {
        in->bad = true;
        return 0;
    }
    return n;
}

/* ---- codecs made from the field lists ---- */

#define PUT_u8(name) put_u8(out, v->name);
#define PUT_u64(name) put_u64(out, v->name);
#define PUT_str(name) put_str(out, v->name);
#define PUT_ulid(name) put_ulid(out, v->name);
#define PUT_cluster(name) put_cluster(out, v->name);
#define PUT_hash(name) put_hash(out, v->name);
#define PUT_LIST(item, name)                                                   \
    put_u32(out, (uint32_t)v->n_##name);                                       \
    for (size_t i = 0; i < v->n_##name; i++) {                                 \
        put_##item(out, &v->name[i]);                                          \
    }
#define PUT_list_row_item(name) PUT_LIST(row_item, name)
#define PUT_list_txn_if(name) PUT_LIST(txn_if, name)
#define PUT_list_txn_op(name) PUT_LIST(txn_op, name)
#define PUT_list_lease_item(name) PUT_LIST(lease_item, name)
#define PUT_list_leaf_item(name) PUT_LIST(leaf_item, name)
#define PUT_list_hook_item(name) PUT_LIST(hook_item, name)
#define PUT_list_access_item(name) PUT_LIST(access_item, name)
#define PUT(kind, name) PUT_##kind(name)

#define GET_u8(name) get_u8(in, &v->name);
#define GET_u64(name) get_u64(in, &v->name);
#define GET_str(name) get_str(in, &v->name);
#define GET_ulid(name) get_ulid(in, &v->name);
#define GET_cluster(name) get_cluster(in, v->name);
#define GET_hash(name) get_hash(in, v->name);
#define GET_LIST(item, name)                                                   \
    v->n_##name = get_count(in);                                               \
    v->name = arena_zero(in->arena, (v->n_##name + 1) * sizeof *v->name);      \
    for (size_t i = 0; i < v->n_##name && !in->bad; i++) {                     \
        get_##item(in, &v->name[i]);                                           \
    }
#define GET_list_row_item(name) GET_LIST(row_item, name)
#define GET_list_txn_if(name) GET_LIST(txn_if, name)
#define GET_list_txn_op(name) GET_LIST(txn_op, name)
#define GET_list_lease_item(name) GET_LIST(lease_item, name)
#define GET_list_leaf_item(name) GET_LIST(leaf_item, name)
#define GET_list_hook_item(name) GET_LIST(hook_item, name)
#define GET_list_access_item(name) GET_LIST(access_item, name)
#define GET(kind, name) GET_##kind(name)

#define CODEC(name, FIELDS)                                                    \
    static void put_##name(struct buf *out, const struct command_##name *v)    \
    {                                                                          \
        FIELDS(PUT)                                                            \
    }                                                                          \
    static void get_##name(struct cursor *in, struct command_##name *v)        \
    {                                                                          \
        FIELDS(GET)                                                            \
    }

CODEC(row_item, ROW_ITEM_FIELDS)
CODEC(txn_if, TXN_IF_FIELDS)
CODEC(txn_op, TXN_OP_FIELDS)
CODEC(lease_item, LEASE_ITEM_FIELDS)
CODEC(leaf_item, LEAF_ITEM_FIELDS)
CODEC(hook_item, HOOK_ITEM_FIELDS)
CODEC(access_item, ACCESS_ITEM_FIELDS)
#define C(NAME, name, number, shrinks) CODEC(name, NAME##_FIELDS)
COMMAND_LIST(C)
#undef C

static void put_head(struct buf *out, const struct command *command)
{
    put_u8(out, (uint8_t)command->kind);
    put_u8(out, (uint8_t)((command->has_key ? COMMAND_HAS_KEY : 0) |
                          (command->has_access ? COMMAND_HAS_ACCESS : 0)));
    put_u8(out, 0);
    put_u8(out, 0);
    put_u64(out, command->tree_rev);
    put_u64(out, command->types_rev);
    buf_add(out, command->request, sizeof command->request);
    if (command->has_key) {
        buf_add(out, command->key_hash, sizeof command->key_hash);
        buf_add(out, command->request_hash, sizeof command->request_hash);
    }
    if (command->has_access) {
        put_u64(out, command->access_rev);
    }
}

void command_encode(struct buf *out, const struct command *command)
{
    put_head(out, command);
    switch (command->kind) {
#define C(NAME, name, number, shrinks)                                         \
    case COMMAND_##NAME:                                                       \
        put_##name(out, &command->name);                                       \
        return;
        COMMAND_LIST(C)
#undef C
    }
    assert(!"a kind of the list");
}

static void get_bytes(struct cursor *in, uint8_t *v, size_t n)
{
    const uint8_t *p = take(in, n);
    if (p != NULL) {
        memcpy(v, p, n);
    }
}

/* What this release does not know is not passed over. */
static void get_head(struct cursor *in, struct command *command)
{
    uint8_t kind, flags;

    get_u8(in, &kind);
    get_u8(in, &flags);
    in->bad = get_number(in, 2) != 0 || in->bad ||
              (flags & ~(COMMAND_HAS_KEY | COMMAND_HAS_ACCESS)) != 0;
    get_u64(in, &command->tree_rev);
    get_u64(in, &command->types_rev);
    get_bytes(in, command->request, sizeof command->request);
    command->kind = (enum command_kind)kind;
    command->has_key = (flags & COMMAND_HAS_KEY) != 0;
    if (command->has_key) {
        get_bytes(in, command->key_hash, sizeof command->key_hash);
        get_bytes(in, command->request_hash, sizeof command->request_hash);
    }
    command->has_access = (flags & COMMAND_HAS_ACCESS) != 0;
    if (command->has_access) {
        get_u64(in, &command->access_rev);
    }
}

int command_decode(struct arena *arena, struct str bytes,
                   struct command *ret_command)
{
    struct cursor cursor = {.arena = arena, .rest = bytes};
    struct cursor *in = &cursor;
    struct command command = {0};

    get_head(in, &command);
    if (in->bad) {
        return ERR_INVALID;
    }
    switch (command.kind) {
#define C(NAME, name, number, shrinks)                                         \
    case COMMAND_##NAME:                                                       \
        get_##name(in, &command.name);                                         \
        break;
        COMMAND_LIST(C)
#undef C
    default:
        return ERR_INVALID;
    }
    if (in->bad || in->rest.n != 0) {
        return ERR_INVALID;
    }
    *ret_command = command;
    return 0;
}

bool command_is(struct str bytes, enum command_kind kind)
{
    return bytes.n > 0 && (uint8_t)bytes.p[0] == kind;
}

bool command_shrinks(enum command_kind kind)
{
    switch (kind) {
#define C(NAME, name, number, shrinks)                                         \
    case COMMAND_##NAME:                                                       \
        return shrinks;
        COMMAND_LIST(C)
#undef C
    }
    return false;
}

const char *command_name(enum command_kind kind)
{
    switch (kind) {
#define C(NAME, name, number, shrinks)                                         \
    case COMMAND_##NAME:                                                       \
        return #name;
        COMMAND_LIST(C)
#undef C
    }
    return "unknown";
}

enum {
    WEIGHT_OF_ANY = 512, /* a namespace is looked up, its database opened */
    WEIGHT_OF_STEP = COMMAND_PACK_WEIGHT / 2,
    WEIGHT_OF_PLACES = 8, /* a row each, for a few bytes */
    WEIGHT_OF_ROWS = 1,   /* many rows, of which each is work */
};

size_t command_weight(struct str bytes)
{
    size_t weight = WEIGHT_OF_ANY + bytes.n;

    if (bytes.n == 0) {
        return 0;
    }
    switch ((enum command_kind)(uint8_t)bytes.p[0]) {
    case COMMAND_RECLAIM:
    case COMMAND_TALLY:
    case COMMAND_INDEX:
    case COMMAND_SWEEP:
    case COMMAND_EXPIRE:
        return weight + WEIGHT_OF_STEP; /* Some hundred rows. */
    case COMMAND_AGENT_PUT:
        return weight + WEIGHT_OF_PLACES * bytes.n;
    case COMMAND_ROWS_ADD:
    case COMMAND_TXN:
        return weight + WEIGHT_OF_ROWS * bytes.n;
    default:
        return weight;
    }
}

/* ---- packs ---- */

void command_pack_begin(struct buf *out, uint64_t time_ms, uint64_t nonce)
{
    assert(out->n == 0);
    put_u32(out, COMMAND_PACK_FORMAT);
    put_u32(out, 0);
    put_u64(out, time_ms);
    put_u64(out, nonce);
    assert(out->n == COMMAND_PACK_HEADER);
}

void command_pack_add(struct buf *out, struct str command)
{
    le_put(out->p + 4, le_get(out->p + 4, 4) + 1, 4);
    put_str(out, command);
}

void command_pack_end(struct buf *out)
{
    while (out->n % 8 != 0) {
        buf_add_char(out, 0);
    }
}

int command_pack_open(struct str bytes, struct command_pack *ret_pack)
{
    struct cursor cursor = {.rest = bytes};
    struct cursor *in = &cursor;
    struct command_pack pack;

    uint64_t format = get_number(in, 4);
    pack.n = (uint32_t)get_number(in, 4);
    get_u64(in, &pack.time_ms);
    get_u64(in, &pack.nonce);
    if (in->bad || format != COMMAND_PACK_FORMAT) {
        return ERR_INVALID;
    }
    pack.rest = in->rest;
    *ret_pack = pack;
    return 0;
}

static bool is_padding(struct str rest)
{
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] != 0) {
            return false;
        }
    }
    return rest.n < 8;
}

int command_pack_next(struct command_pack *pack, struct str *ret_command)
{
    struct cursor cursor = {.rest = pack->rest};

    if (pack->n == 0) {
        return is_padding(pack->rest) ? ERR_END : ERR_INVALID;
    }
    get_str(&cursor, ret_command);
    if (cursor.bad) {
        return ERR_INVALID;
    }
    pack->n--;
    pack->rest = cursor.rest;
    return 0;
}

bool command_pack_restoring(struct str bytes, struct command *ret_command)
{
    struct command_pack pack;
    struct str first;

    return command_pack_open(bytes, &pack) == 0 && pack.n == 1 &&
           command_pack_next(&pack, &first) == 0 &&
           command_is(first, COMMAND_RESTORE) &&
           /* Its kind has no list: nothing goes into an arena. */
           command_decode(NULL, first, ret_command) == 0;
}

bool command_pack_restores(struct str bytes,
                           struct command_restore *ret_restore)
{
    struct command command;

    if (!command_pack_restoring(bytes, &command)) {
        return false;
    }
    *ret_restore = command.restore;
    return true;
}
