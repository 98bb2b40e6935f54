#include "registry/own.h"

#include <stdio.h>

#include "access/access_token.h"
#include "base/clock.h"
#include "base/log.h"

/* LOOK ──► SCAN ──► SENT ──► LOOK
 *   │ ▲      tokens of this node that are not this one are to go
 *   └─┘ every second: it is as it should be */
enum step { LOOK, SCAN, SENT };

enum {
    LOOK_MS = 1000,
    SCAN_TOKENS = 2000, /* in a turn: the core thread has other things to do */
    OLD_MOST = 100,     /* in a command; the rest goes with the next */
};

/* All of it is the core thread's. */
struct own {
    struct core *core;
    char node[64]; /* "": no token is known */
    struct ulid id;
    uint8_t hash[SHA256_BYTES];
    struct store_reader *reader;
    enum step step;
    uint64_t not_before_ms;
    struct ulid at;     /* SCAN went so far */
    uint64_t seen_rev;  /* of what the state has under the id, 0: nothing */
    struct ulid *olds;  /* tokens that go, */
    uint64_t *old_revs; /* as they are */
    size_t n_olds;
    struct buf bytes;
    struct core_request request;
};

struct own *own_new(struct core *core)
{
    struct own *own = mem_zero(sizeof *own);

    own->core = core;
    own->olds = mem_alloc(OLD_MOST * sizeof *own->olds);
    own->old_revs = mem_alloc(OLD_MOST * sizeof *own->old_revs);
    return own;
}

struct own *own_free(struct own *own)
{
    if (own == NULL) {
        return NULL;
    }
    (void)store_reader_free(own->reader);
    own->olds = mem_free(own->olds);
    own->old_revs = mem_free(own->old_revs);
    buf_done(&own->bytes);
    return mem_free(own);
}

int own_set(struct own *own, const char *node, struct str text)
{
    struct ulid id;
    int r = access_token_parse(text, &id);

    if (r != 0) {
        return r;
    }
    own->id = id;
    access_token_hash(text, own->hash);
    (void)snprintf(own->node, sizeof own->node, "%s", node);
    own->not_before_ms = 0;
    if (own->step == SCAN) { /* what was found was found for the one before */
        own->step = LOOK;
    }
    return 0;
}

static bool is_own(const struct own *own, const struct access_token *token)
{
    return token->kind == ACCESS_OF_NODE && token->ends_ms == 0 &&
           str_is(token->name, own->node) &&
           access_token_same(token->hash, own->hash);
}

static int look(struct own *own, struct store_txn *txn, struct arena *arena,
                bool *ret_there)
{
    struct access_token token;

    *ret_there = false;
    own->seen_rev = 0;
    int r = access_token_get(txn, arena, own->id, &token);
    if (r == 0) {
        own->seen_rev = token.rev;
        *ret_there = is_own(own, &token);
    }
    return r == ERR_NOT_FOUND ? 0 : r;
}

static void note_old(struct own *own, const struct access_token *token)
{
    if (token->kind == ACCESS_OF_NODE && str_is(token->name, own->node) &&
        ulid_compare(token->id, own->id) != 0 && own->n_olds < OLD_MOST) {
        own->olds[own->n_olds] = token->id;
        own->old_revs[own->n_olds++] = token->rev;
    }
}

/* A part of all tokens. Answers: END (that was the last). */
static int scan(struct own *own, struct store_txn *txn, struct arena *arena)
{
    struct access_token token;

    for (unsigned i = 0; i < SCAN_TOKENS; i++) {
        arena_reset(arena);
        int r = access_token_next(txn, arena, &own->at, &token);
        if (r != 0) {
            return r;
        }
        own->at = token.id;
        note_old(own, &token);
    }
    return 0;
}

/* ---- the command ---- */

static void decided(struct core_request *request)
{
    struct own *own = CONTAINER(request, struct own, request);

    if (request->outcome == 0 && request->result.answer == 0) {
        log_info(LOG_CORE, "all nodes know the admin token of this one",
                 LOG_TXT("node", own->node));
    }
    machine_result_done(&request->result);
    own->step = LOOK;
    own->not_before_ms = clock_mono_ms() + LOOK_MS;
}

static struct str record_of(const struct own *own, struct arena *arena)
{
    static const struct str admin = {"admin", 5};
    struct access_token token = {
        .id = own->id,
        .kind = ACCESS_OF_NODE,
        .name = str_of(own->node),
        .roles = {&admin, 1},
        .created_ms = clock_wall_ms(),
        .created_by = arena_printf(arena, "node %s", own->node),
    };
    struct buf record = {0};

    memcpy(token.hash, own->hash, sizeof token.hash);
    access_token_encode(&record, &token);
    return arena_take(arena, &record);
}

static void propose(struct own *own, struct arena *arena)
{
    size_t n = own->n_olds + 1;
    struct command_access_item *items = arena_zero(arena, n * sizeof *items);
    struct command command = {.kind = COMMAND_ACCESS};

    for (size_t i = 0; i < own->n_olds; i++) {
        items[i].what = STORE_MARK_TOKEN;
        items[i].del = 1;
        items[i].name = (struct str){(const char *)own->olds[i].b, 16};
        items[i].seen_rev = own->old_revs[i];
    }
    items[n - 1].what = STORE_MARK_TOKEN;
    items[n - 1].name = (struct str){(const char *)own->id.b, 16};
    items[n - 1].seen_rev = own->seen_rev;
    items[n - 1].record = record_of(own, arena);
    command.access.items = items;
    command.access.n_items = n;
    buf_clear(&own->bytes);
    command_encode(&own->bytes, &command);
    own->step = SENT;
    own->request =
        (struct core_request){.command = buf_str(&own->bytes), .done = decided};
    core_submit(own->core, &own->request);
}

/* ---- the turns ---- */

/* A fault of the store is everybody's, and told by others. */
static int turn(struct own *own, struct store_txn *txn, struct arena *arena)
{
    bool there = false;
    int r = 0;

    if (own->step == LOOK) {
        own->not_before_ms = clock_mono_ms() + LOOK_MS;
        r = look(own, txn, arena, &there);
        if (r != 0 || there) {
            return r;
        }
        own->step = SCAN;
        own->n_olds = 0;
        own->at = (struct ulid){{0}};
    }
    own->not_before_ms = 0;
    return scan(own, txn, arena);
}

static void go_on(struct own *own, struct arena *arena)
{
    struct store_txn *txn = NULL;
    int r = 0;

    if (own->reader == NULL) {
        r = store_reader_new(core_store(own->core), &own->reader);
    }
    if (r != 0 || store_read_begin(own->reader, &txn) != 0) {
        return;
    }
    r = turn(own, txn, arena);
    store_read_end(txn);
    if (r == ERR_END) {
        propose(own, arena);
    } else if (r < 0) {
        own->step = LOOK;
    }
}

void own_tick(struct own *own, uint64_t mono_ms)
{
    struct core_status status = core_status(own->core);

    if (own->node[0] == '\0' || own->step == SENT ||
        mono_ms < own->not_before_ms || !status.caught_up || status.removed ||
        status.leader == 0 ||
        core_feature_level(own->core) < MACHINE_FEATURE_CHANGES) {
        return;
    }
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    go_on(own, arena);
}
