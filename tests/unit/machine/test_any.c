/* Any commands in any order: whatever comes of them, the state is one that a
 * node would believe of another, each revision has one event, texts in rows are
 * those of their marks, and the log makes the same again. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit.h"
#include "machine/leased.h"
#include "model/access_quota.h"
#include "model/access_record.h"

enum { ROOM = 64, LOOK = 25 };

static uint64_t seed, first_seed, n_seeds;
static unsigned n_exact; /* figures of quotas that were looked at */

static uint64_t chance(uint64_t below)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return below == 0 ? 0 : (seed >> 33) % below;
}

struct any {
    struct kit *k;
    uint64_t all[ROOM], leaves[ROOM]; /* namespaces that hang on the root */
    size_t n_all, n_leaves;
    struct ulid leases[ROOM];
    struct str hosts[ROOM];
    size_t n_leases;
    struct store_meta meta;
    uint64_t marks_since; /* revision at which the feature level rose */
    bool no_room;         /* some machine was too large to say anything of it */
    struct buf *log;
    size_t n_log;
};

/* ---- what there is ---- */

static void find_namespaces(struct any *w, struct store_txn *txn)
{
    struct store_node node;
    struct buf path = {0};

    w->n_all = w->n_leaves = 0;
    for (uint64_t id = 1; id < w->meta.next_ns; id++) {
        buf_clear(&path);
        if (store_path_of(txn, id, &path) != 0 || w->n_all == ROOM) {
            continue;
        }
        assert_int_equal(store_node_get(txn, id, &node), 0);
        w->all[w->n_all++] = id;
        if (node.kind == STORE_LEAF) {
            w->leaves[w->n_leaves++] = id;
        }
    }
    buf_done(&path);
}

static void find_leases(struct any *w, struct store_txn *txn)
{
    struct str after = STR_NONE;
    struct store_lease lease;

    w->n_leases = 0;
    while (store_lease_next(txn, after, w->k->arena, &lease) == 0) {
        after = arena_str(w->k->arena, lease.hostname);
        w->hosts[w->n_leases] = after;
        w->leases[w->n_leases++] = lease.id;
    }
}

static void find_all(struct any *w)
{
    struct store_txn *txn;

    assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
    w->meta = *store_meta(txn);
    find_namespaces(w, txn);
    find_leases(w, txn);
    store_read_end(txn);
}

static uint64_t any_ns(const struct any *w)
{
    return w->all[chance(w->n_all)];
}

static struct str any_host(void)
{
    static const char *const hosts[] = {"web-1", "web-2", "db-1", "db-2"};
    return str_of(hosts[chance(4)]);
}

static struct ulid any_lease(const struct any *w)
{
    struct ulid none = {{9}};
    return w->n_leases == 0 ? none : w->leases[chance(w->n_leases)];
}

static const char *const types[][2] = {{"service", "name"},
                                       {"machine", "hostname"},
                                       {"webhook", "name"},
                                       {"config", "name"}};

/* A type, its key, a key, and a row with it. */
struct thing {
    struct str type, key_field, key, fields, secret;
};

/* So large that what the server says has no room, or hardly any. */
static void add_much(struct buf *out, size_t n)
{
    buf_add_text(out, ",\"zz\":\"");
    while (out->n + 1 < n) {
        buf_add_char(out, 'x');
    }
    buf_add_char(out, '"');
}

/* As many keys as there may be, of one of two sets. */
static void add_many(struct buf *out)
{
    char letter = chance(2) ? 'x' : 'y';

    for (unsigned i = 0; i < ROW_KEYS_MAX - 3; i++) {
        buf_printf(out, ",\"%c%03u\":\"%u\"", letter, i, (unsigned)chance(2));
    }
}

static struct thing any_thing(struct any *w)
{
    size_t t = chance(4);
    struct buf fields = {0};
    struct thing thing = {.type = str_of(types[t][0]),
                          .key_field = str_of(types[t][1]),
                          .secret = STR("")};

    thing.key = t == 1 ? any_host()
                       : arena_printf(w->k->arena, "k%u", (unsigned)chance(3));
    buf_printf(&fields, "\"%.*s\":\"%.*s\"", STR_ARG(thing.key_field),
               STR_ARG(thing.key));
    if (t == 2) {
        buf_add_text(&fields, ",\"secret\":\"***\",\"url\":\"http://h/\"");
        thing.secret =
            chance(2) ? STR("\"secret\":\"s\"") : STR("\"secret\":\"t\"");
    } else {
        buf_printf(&fields, ",\"v\":\"%u\"", (unsigned)chance(4));
    }
    if (chance(40) == 0) {
        w->no_room |= t == 1;
        add_much(&fields, chance(2) ? ROW_FIELDS_MAX - chance(90) : 9000);
    } else if (chance(30) == 0) {
        add_many(&fields);
    }
    thing.fields = arena_take(w->k->arena, &fields);
    return thing;
}

/* ---- commands ---- */

static void any_put(struct any *w, struct command *c)
{
    static const uint8_t modes[] = {ROW_ADD, ROW_REPLACE, ROW_PATCH};
    struct thing thing = any_thing(w);

    c->kind = COMMAND_ROW_PUT;
    c->row_put = (struct command_row_put){
        .mode = modes[chance(3)],
        .ns = any_ns(w),
        .type = thing.type,
        .key_field = thing.key_field,
        .by_key = 1,
        .key = thing.key,
        .new_id = kit_id(w->k),
        .fields = thing.fields,
        .secret = thing.secret,
        .has_lease = chance(6) == 0,
        .lease = any_lease(w),
    };
    if (c->row_put.mode == ROW_ADD) {
        c->row_put.by_key = 0;
    }
}

static void any_delete(struct any *w, struct command *c)
{
    struct thing thing = any_thing(w);

    c->kind = COMMAND_ROW_DELETE;
    c->row_delete = (struct command_row_delete){.ns = any_ns(w),
                                                .type = thing.type,
                                                .key_field = thing.key_field,
                                                .by_key = 1,
                                                .key = thing.key};
}

static void any_move(struct any *w, struct command *c)
{
    struct thing thing = any_thing(w);

    c->kind = COMMAND_ROW_MOVE;
    c->row_move = (struct command_row_move){.ns = any_ns(w),
                                            .type = thing.type,
                                            .key_field = thing.key_field,
                                            .by_key = 1,
                                            .key = thing.key,
                                            .to = any_ns(w),
                                            .copy = chance(3) == 0,
                                            .new_id = kit_id(w->k)};
}

static void any_list(struct any *w, struct command *c)
{
    enum { MOST = 3 };
    struct thing thing = any_thing(w);
    struct command_row_item *rows =
        arena_zero(w->k->arena, MOST * sizeof *rows);

    c->kind = COMMAND_LIST_PUT;
    c->list_put = (struct command_list_put){.ns = any_ns(w),
                                            .type = thing.type,
                                            .key_field = thing.key_field,
                                            .first_id = kit_id(w->k),
                                            .rows = rows,
                                            .n_rows = chance(MOST + 1)};
    w->k->ids += MOST;
    for (size_t i = 0; i < c->list_put.n_rows; i++) {
        do {
            thing = any_thing(w);
        } while (!str_equal(thing.type, c->list_put.type));
        rows[i] = (struct command_row_item){.fields = thing.fields,
                                            .secret = thing.secret};
    }
}

static void any_txn(struct any *w, struct command *c)
{
    enum { OPS = 3 };
    static const uint8_t kinds[] = {ROW_ADD, ROW_REPLACE, ROW_PATCH,
                                    TXN_DELETE};
    struct command_txn_op *ops = arena_zero(w->k->arena, OPS * sizeof *ops);

    c->kind = COMMAND_TXN;
    c->txn = (struct command_txn){.ops = ops, .n_ops = OPS};
    for (size_t i = 0; i < OPS; i++) {
        struct thing thing = any_thing(w);
        ops[i] = (struct command_txn_op){.op = kinds[chance(4)],
                                         .ns = any_ns(w),
                                         .type = thing.type,
                                         .key_field = thing.key_field,
                                         .by_key = 1,
                                         .key = thing.key,
                                         .new_id = kit_id(w->k),
                                         .fields = thing.fields,
                                         .secret = thing.secret};
        ops[i].by_key = ops[i].op != ROW_ADD;
    }
}

static void any_tree(struct any *w, struct command *c)
{
    static const char *const names[] = {"a", "b", "c", "d"};

    switch (w->n_all > 12 ? 2 : chance(4)) {
    case 0:
        c->kind = COMMAND_NS_CHANGE;
        c->ns_change = (struct command_ns_change){
            .id = any_ns(w),
            .what = chance(2) ? NS_NAME : NS_NAME | NS_PARENT,
            .name = str_of(names[chance(4)]),
            .parent = any_ns(w)};
        return;
    case 2:
        c->kind = COMMAND_NS_DELETE;
        c->ns_delete =
            (struct command_ns_delete){.id = any_ns(w), .recursive = 1};
        return;
    default:
        c->kind = COMMAND_NS_CREATE;
        c->ns_create = (struct command_ns_create){
            .parent = chance(2) ? STORE_ROOT : any_ns(w),
            .kind = (uint8_t)(STORE_LEAF + chance(2)),
            .name = str_of(names[chance(4)]),
            .first_id = kit_id(w->k),
            .n_ids = 100};
        w->k->ids += 100;
    }
}

static void any_agent(struct any *w, struct command *c)
{
    enum { MOST = 3 };
    struct str hostname = any_host();
    struct command_leaf_item *leaves =
        arena_zero(w->k->arena, MOST * sizeof *leaves);

    c->kind = COMMAND_AGENT_PUT;
    c->agent_put = (struct command_agent_put){
        .hostname = hostname,
        .ttl_ms = 30000,
        .fields =
            arena_printf(w->k->arena, "\"hostname\":\"%.*s\",\"v\":\"%u\"",
                         STR_ARG(hostname), (unsigned)chance(3)),
        .lease = kit_id(w->k),
        .pool_id = kit_id(w->k),
        .leaves = leaves,
        .n_leaves = chance(MOST + 1)};
    for (size_t i = 0; i < c->agent_put.n_leaves; i++) {
        leaves[i] = (struct command_leaf_item){w->leaves[chance(w->n_leaves)],
                                               kit_id(w->k)};
    }
}

static void any_end(struct any *w, struct command *c)
{
    struct command_lease_item *item = arena_zero(w->k->arena, sizeof *item);
    size_t at = w->n_leases == 0 ? 0 : chance(w->n_leases);

    if (w->n_leases == 0 || chance(4) == 0) {
        c->kind = COMMAND_AGENT_DEL;
        c->agent_del.hostname = any_host();
        return;
    }
    if (chance(3) == 0) {
        c->kind = COMMAND_FLAP;
        c->flap =
            (struct command_flap){.epoch = w->meta.lease_epoch,
                                  .hostname = w->hosts[at],
                                  .lease = w->leases[at],
                                  .until_ms = w->k->now_ms + chance(60000)};
        return;
    }
    *item = (struct command_lease_item){w->hosts[at], w->leases[at]};
    c->kind = COMMAND_EXPIRE;
    c->expire = (struct command_expire){
        .epoch = w->meta.lease_epoch, .leases = item, .n_leases = 1};
}

static void any_maintenance(struct any *w, struct command *c)
{
    static const char *const reasons[] = {"", "disk", "\"quoted\" \n\x01"};
    struct thing thing = any_thing(w);

    c->kind = COMMAND_MAINT;
    c->maint =
        (struct command_maint){.what = (uint8_t)(MAINT_AGENT + chance(2)),
                               .set = chance(3) > 0,
                               .hostname = any_host(),
                               .ns = any_ns(w),
                               .type = thing.type,
                               .key_field = thing.key_field,
                               .by_key = 1,
                               .key = thing.key,
                               .duration_ms = 1000 + chance(90000),
                               .reason = str_of(reasons[chance(3)])};
}

static void any_hooks(struct any *w, struct command *c)
{
    struct command_hook_item *item = arena_zero(w->k->arena, sizeof *item);
    struct str name, record;
    struct store_txn *txn;
    uint64_t ends_ms = 0;
    size_t skip = chance(4);

    *item = (struct command_hook_item){.cursor = chance(w->meta.revision + 2),
                                       .state = (uint8_t)chance(5),
                                       .since_ms = chance(2),
                                       .text = chance(2) ? STR("ok")
                                                         : STR("failing")};
    assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
    name = STR_NONE;
    while (store_mark_next(txn, STORE_MARK_WEBHOOK, name, &name, &ends_ms,
                           &record) == 0 &&
           skip-- > 0) {
        for (size_t i = 0; i < 8; i++) {
            item->ns = item->ns << 8 | (uint8_t)name.p[i];
        }
        memcpy(item->id.b, name.p + 8, sizeof item->id.b);
    }
    store_read_end(txn);
    c->kind = COMMAND_HOOKS;
    c->hooks = (struct command_hooks){.hooks = item, .n_hooks = 1};
}

static struct str any_record(struct any *w, uint8_t what)
{
    const struct access_token token = {
        .kind = ACCESS_JOINING, .hostname = chance(2) ? STR("") : any_host()};
    const struct access_user user = {.source = ACCESS_LOCAL,
                                     .disabled = chance(2)};
    struct buf out = {0};

    if (what == ACCESS_IS_TOKEN) {
        access_token_encode(&out, &token);
    } else {
        access_user_encode(&out, &user);
    }
    return arena_take(w->k->arena, &out);
}

/* Now and then so small that hardly anything is let in. */
static uint64_t any_limit(uint64_t most)
{
    return chance(3) == 0 ? ACCESS_QUOTA_NONE : chance(most);
}

static void any_quota(struct any *w, struct command *c)
{
    struct command_access_item *item = arena_zero(w->k->arena, sizeof *item);
    struct access_quota quota = {.known = true};
    char name[ACCESS_QUOTA_NAME];
    struct buf record = {0};

    access_quota_name(chance(2) ? STORE_ROOT : any_ns(w), name);
    do {
        quota.limits[0] = (struct access_limit){any_limit(9), any_limit(60)};
        quota.limits[1] =
            (struct access_limit){any_limit(900), any_limit(20000)};
    } while (!access_quota_is_sound(&quota));
    access_quota_encode(&record, &quota);
    *item = (struct command_access_item){
        .what = ACCESS_IS_QUOTA,
        .del = chance(6) == 0,
        .name = arena_str(w->k->arena, (struct str){name, sizeof name}),
        .seen_rev = COMMAND_ACCESS_ANY};
    if (item->del == 0) {
        item->record = arena_take(w->k->arena, &record);
    }
    buf_done(&record);
    c->kind = COMMAND_ACCESS;
    c->access = (struct command_access){item, 1};
}

static void any_access(struct any *w, struct command *c)
{
    static const char *const tokens[] = {"0123456789abcdef",
                                         "0123456789abcdeg"};
    static const char *const users[] = {"ann", "a b"};
    static const uint64_t seen[] = {0, 1, COMMAND_ACCESS_ANY};
    enum { MOST = 3 };
    struct command_access_item *items =
        arena_zero(w->k->arena, MOST * sizeof *items);

    c->kind = COMMAND_ACCESS;
    c->access = (struct command_access){items, 1 + chance(MOST)};
    for (size_t i = 0; i < c->access.n_items; i++) {
        bool token = chance(2);
        items[i] = (struct command_access_item){
            .what = token ? ACCESS_IS_TOKEN : ACCESS_IS_USER,
            .del = chance(4) == 0,
            .name = str_of(token ? tokens[chance(2)] : users[chance(8) == 0]),
            .ends_ms =
                token && chance(2) ? w->k->now_ms + chance(60000) + 1 : 0,
            .seen_rev = seen[chance(8) == 0 ? chance(2) : 2]};
        if (items[i].del == 0) {
            items[i].record = any_record(w, items[i].what);
        }
    }
}

static void any_other(struct any *w, struct command *c)
{
    static const uint64_t bytes[] = {0, 10000, 200000};

    switch (chance(8)) {
    case 5:
        c->kind = COMMAND_RESTORE;
        c->restore = (struct command_restore){
            .file = STR(""),
            .revision = (w->meta.revision / COMMAND_RESTORE_STEP + 1) *
                        COMMAND_RESTORE_STEP};
        return;
    case 6:
    case 7:
        any_access(w, c);
        return;
    case 0:
        c->kind = COMMAND_HISTORY;
        c->history = (struct command_history){5 + chance(30), bytes[chance(3)]};
        return;
    case 1:
        c->kind = COMMAND_EPOCH;
        return;
    case 2:
        c->kind = COMMAND_TYPE_PUT;
        c->type_put = (struct command_type_put){
            .type = STR("thing"),
            .definition =
                chance(2) ? STR("{\"key\":\"name\"}") : STR("{\"key\":null}"),
            .seen_rev = w->meta.revision};
        return;
    default:
        c->kind = COMMAND_BREAKER;
        c->breaker =
            (struct command_breaker){.epoch = w->meta.lease_epoch,
                                     .scope = chance(2) ? 0 : any_ns(w),
                                     .what = (uint8_t)(1 + chance(5)),
                                     .hold_ms = chance(9999),
                                     .n = chance(99),
                                     .bad = chance(99)};
    }
}

static void any_command(struct any *w, struct command *c)
{
    switch (chance(17)) {
    case 0:
    case 1:
    case 2:
        any_put(w, c);
        break;
    case 3:
        any_delete(w, c);
        break;
    case 4:
        any_move(w, c);
        break;
    case 5:
        any_list(w, c);
        break;
    case 6:
        any_txn(w, c);
        break;
    case 7:
        any_tree(w, c);
        break;
    case 8:
        c->kind = COMMAND_RECLAIM;
        c->reclaim.limit = 1 + chance(6);
        break;
    case 9:
    case 10:
        any_agent(w, c);
        break;
    case 11:
        any_end(w, c);
        break;
    case 12:
    case 13:
        any_maintenance(w, c);
        break;
    case 14:
        c->kind = COMMAND_SWEEP;
        c->sweep.limit = 1 + chance(8);
        break;
    case 15:
        if (chance(5) == 0) {
            any_quota(w, c);
        } else if (chance(2)) {
            c->kind = COMMAND_INDEX;
            c->index.limit = chance(20);
        } else {
            c->kind = COMMAND_TALLY;
            c->tally.limit = 1 + chance(30);
        }
        break;
    default:
        if (chance(2)) {
            any_hooks(w, c);
        } else {
            any_other(w, c);
        }
    }
    c->tree_rev = w->meta.tree_rev;
    c->has_access = chance(4) == 0;
    c->access_rev = chance(4) == 0 ? 0 : w->meta.access_rev;
    if (chance(8) == 0) {
        c->has_key = true;
        c->key_hash[0] = (uint8_t)chance(9);
        c->request_hash[0] = (uint8_t)chance(2);
    }
}

/* ---- what holds ---- */

static bool is_placed(struct any *w, struct store_txn *txn, uint64_t ns,
                      struct ulid id)
{
    struct store_lease lease;
    struct str record;
    uint64_t ends_ms = 0;

    for (size_t i = 0; i < w->n_leases; i++) {
        assert_int_equal(store_lease_get(txn, w->hosts[i], w->k->arena, &lease),
                         0);
        for (size_t j = 0; j < lease.n_places; j++) {
            if (lease.places[j].ns == ns &&
                ulid_compare(lease.places[j].id, id) == 0 &&
                store_mark_get(txn, STORE_MARK_MAINTENANCE, w->hosts[i],
                               &ends_ms, &record) == 0) {
                return true;
            }
        }
    }
    return false;
}

static struct str name_of(struct any *w, uint64_t ns, struct ulid id,
                          struct str type)
{
    struct buf name = {0};

    for (int shift = 56; shift >= 0; shift -= 8) {
        buf_add_char(&name, (char)(ns >> shift));
    }
    buf_add(&name, id.b, sizeof id.b);
    buf_add_str(&name, type);
    return arena_take(w->k->arena, &name);
}

/* A row says that it is in maintenance when it has a mark, or one that an agent
 * placed; a webhook has a mark. */
static void check_row(struct any *w, struct store_txn *txn, uint64_t ns,
                      struct str type, struct ulid id, struct str row)
{
    struct row_server server;
    struct str fields, record;
    uint64_t revision = 0, ends_ms = 0;
    struct ulid same;

    row_split(row, &same, &revision, &server, &fields);
    bool own = store_mark_get(txn, STORE_MARK_ROW, name_of(w, ns, id, type),
                              &ends_ms, &record) == 0;
    bool placed = str_is(type, "machine") && is_placed(w, txn, ns, id);
    if (own || server.maintenance.n > 0) {
        assert_true(server.maintenance.n > 0);
        assert_true(own || placed);
    }
    if (placed && !w->no_room) {
        assert_true(server.maintenance.n > 0);
    }
    if (str_is(type, "webhook") && revision > w->marks_since) {
        assert_int_equal(store_mark_get(txn, STORE_MARK_WEBHOOK,
                                        name_of(w, ns, id, STR("")), &ends_ms,
                                        &record),
                         0);
    }
}

static void check_rows(struct any *w, struct store_txn *txn, uint64_t ns)
{
    struct store_list list;
    struct str type = STR_NONE, row;
    struct ulid id, after;

    while (store_list_next(txn, ns, type, &type, &list) == 0) {
        type = arena_str(w->k->arena, type);
        for (bool first = true;
             store_row_next(txn, ns, type, first ? NULL : &after, &id, &row) ==
             0;
             first = false) {
            after = id;
            check_row(w, txn, ns, type, id, row);
        }
    }
}

static void check_all_rows(struct any *w)
{
    struct store_txn *txn;
    int r = 0;

    for (size_t i = 0; i < w->n_all; i++) {
        assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
        while ((r = store_use(txn, w->all[i])) == ERR_RESTART) {
        }
        assert_int_equal(r, 0);
        check_rows(w, txn, w->all[i]);
        store_read_end(txn);
    }
}

/* Marks of rows are of rows that there are. */
static void check_marks(struct any *w, char kind)
{
    struct str name = STR_NONE, record, row, secret;
    struct store_txn *txn;
    uint64_t ends_ms = 0;
    int r = 0;

    assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
    while (store_mark_next(txn, kind, name, &name, &ends_ms, &record) == 0) {
        struct str type = kind == STORE_MARK_ROW
                              ? (struct str){name.p + 24, name.n - 24}
                              : STR("webhook");
        struct ulid id;
        uint64_t ns = 0;
        for (size_t i = 0; i < 8; i++) {
            ns = ns << 8 | (uint8_t)name.p[i];
        }
        memcpy(id.b, name.p + 8, sizeof id.b);
        if (ns == 0) {
            continue;
        }
        name = arena_str(w->k->arena, name);
        type = arena_str(w->k->arena, type);
        while ((r = store_use(txn, ns)) == ERR_RESTART) {
        }
        assert_int_equal(r, 0);
        assert_int_equal(store_row_get(txn, ns, type, id, &row, &secret), 0);
        store_read_end(txn);
        assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
    }
    store_read_end(txn);
}

/* ---- quotas: counted the long way ---- */

struct figure {
    uint64_t of[ACCESS_QUOTA_WHATS];
};

static void add_rows(struct any *w, uint64_t ns, struct figure *figure)
{
    struct str type = STR_NONE, row;
    struct store_list list;
    struct store_txn *txn;
    struct ulid id;
    int r = 0;

    assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
    while ((r = store_use(txn, ns)) == ERR_RESTART) {
    }
    assert_int_equal(r, 0);
    while (store_list_next(txn, ns, type, &type, &list) == 0) {
        for (bool first = true;
             store_row_next(txn, ns, type, first ? NULL : &id, &id, &row) == 0;
             first = false) {
            figure->of[ACCESS_RESOURCES]++;
            figure->of[ACCESS_BYTES] += access_quota_bytes(row);
        }
    }
    store_read_end(txn);
}

/* As the records hang, deleted or not. */
static bool hangs_below(struct any *w, uint64_t id, uint64_t above)
{
    struct store_node node = {.parent = 0};
    struct store_txn *txn;

    assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
    while (id != above && id != 0 && store_node_get(txn, id, &node) == 0) {
        id = node.parent;
    }
    store_read_end(txn);
    return id == above;
}

static bool is_there(struct any *w, uint64_t id)
{
    struct store_node node;
    struct store_txn *txn;

    assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
    int r = store_node_get(txn, id, &node);
    store_read_end(txn);
    return r == 0;
}

static void check_quota(struct any *w, uint64_t ns,
                        const struct access_quota *quota)
{
    struct figure figure = {{0, 0}};

    assert_true(is_there(w, ns));
    for (uint64_t id = 1; id < w->meta.next_ns; id++) {
        if (is_there(w, id) && hangs_below(w, id, ns)) {
            add_rows(w, id, &figure);
        }
    }
    for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        if (quota->used[i] != figure.of[i]) {
            fail_msg("quota of %u: %s %u, and there are %u", (unsigned)ns,
                     access_quota_what_name((enum access_quota_what)i),
                     (unsigned)quota->used[i], (unsigned)figure.of[i]);
        }
    }
    n_exact++;
}

static void check_quotas(struct any *w)
{
    struct str name = STR_NONE, record;
    struct access_quota quota;
    struct store_txn *txn;
    uint64_t ends_ms = 0;

    for (;;) {
        assert_int_equal(store_read_begin(w->k->reader, &txn), 0);
        int r = store_mark_next(txn, STORE_MARK_QUOTA, name, &name, &ends_ms,
                                &record);
        if (r == 0) {
            name = arena_str(w->k->arena, name);
            assert_int_equal(access_quota_decode(record, &quota), 0);
        }
        store_read_end(txn);
        if (r != 0) {
            return;
        }
        if (!quota.counting) {
            check_quota(w, access_quota_ns(name), &quota);
        }
    }
}

static void check_file(struct kit *k, uint8_t ret[32])
{
    struct store_found found;
    struct store_meta meta;
    char file[128];

    (void)snprintf(file, sizeof file, "%s/copy", k->dir);
    assert_int_equal(store_copy(k->store, file), 0);
    int r = store_check_file(file, &found);
    if (r != 0) {
        fail_msg("%s", found.why);
    }
    assert_int_equal(store_digest_file(file, ret, &meta), 0);
    assert_memory_equal(ret, found.digest, 32);
    (void)unlink(file);
}

static void look(struct any *w)
{
    uint8_t sum[32];

    find_all(w);
    check_all_rows(w);
    check_marks(w, STORE_MARK_ROW);
    check_marks(w, STORE_MARK_WEBHOOK);
    check_quotas(w);
    check_file(w->k, sum);
}

/* ---- running ---- */

/* In one go or in slices: no figure below tells which. */
static int apply_slices(struct kit *k, struct str pack)
{
    int r = ERR_BUSY;

    machine_slice(k->m, ++k->index % 3);
    while (r == ERR_BUSY) {
        r = machine_apply(k->m, k->index, pack, &k->res);
    }
    return r;
}

static void run_one(struct any *w, struct command *c)
{
    struct kit *k = w->k;
    struct buf bytes = {0}, *pack = &w->log[w->n_log++];
    uint64_t before = w->meta.revision;
    unsigned events = k->events;

    command_encode(&bytes, c);
    command_pack_begin(pack, k->now_ms, w->n_log);
    command_pack_add(pack, buf_str(&bytes));
    command_pack_end(pack);
    buf_done(&bytes);
    machine_result_done(&k->res);
    k->res = (struct machine_result){0};
    assert_int_equal(apply_slices(k, buf_str(pack)), 0);
    assert_int_equal(machine_commit(k->m), 0);
    uint64_t after = kit_meta(k).revision;
    if (c->kind == COMMAND_RESTORE && k->res.changed && !k->res.replayed) {
        before = after - 1;
    }
    if (after - before != k->events - events) {
        fail_msg("kind %d: %u events, %u revisions", (int)c->kind,
                 k->events - events, (unsigned)(after - before));
    }
    if (k->res.answer != 0) {
        assert_true(after == before);
    }
    if (k->res.changed && !k->res.replayed) {
        assert_true(k->res.first_rev == before + 1 && k->res.revision <= after);
    }
}

static void replay(const struct any *w, size_t per_commit,
                   const uint8_t digest[32])
{
    struct kit *k = kit_new();
    uint8_t sum[32];

    for (size_t from = 0; from < w->n_log; from += per_commit) {
        size_t to = from + per_commit < w->n_log ? from + per_commit : w->n_log;
        for (int round = 0; round < 2; round++) {
            for (size_t i = from; i < to; i++) {
                assert_int_equal(
                    machine_apply(k->m, 2 + i, buf_str(&w->log[i]), NULL), 0);
            }
            if (round == 0) {
                machine_abort(k->m);
            }
        }
        assert_int_equal(machine_commit(k->m), 0);
    }
    check_file(k, sum);
    assert_memory_equal(sum, digest, sizeof sum);
    kit_free(k);
}

/* The state of another in the place of its own: then all goes on. */
static void take_over(struct any *w, struct kit *other)
{
    struct kit *k = w->k;
    struct command c = {.kind = COMMAND_RESTORE};
    struct buf bytes = {0}, pack = {0};
    struct store_next *next = NULL;
    char directory[80], file[96];

    (void)snprintf(directory, sizeof directory, "%s/next", k->dir);
    (void)snprintf(file, sizeof file, "%s/data.mdb", directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(store_copy(other->store, file), 0);
    c.restore.file = STR("staged-1");
    c.restore.revision = (kit_meta(k).revision / COMMAND_RESTORE_STEP + 99) *
                         COMMAND_RESTORE_STEP;
    command_encode(&bytes, &c);
    command_pack_begin(&pack, k->now_ms, 1);
    command_pack_add(&pack, buf_str(&bytes));
    command_pack_end(&pack);
    assert_int_equal(store_next_open(k->store, directory, &next), 0);
    assert_int_equal(
        machine_restore(k->m, ++k->index, buf_str(&pack), next, NULL), 0);
    (void)store_next_close(machine_restored(k->m, next));
    (void)unlink(file);
    (void)snprintf(file, sizeof file, "%s/lock.mdb", directory);
    (void)unlink(file);
    (void)rmdir(directory);
    buf_done(&bytes);
    buf_done(&pack);
}

static void go_on(struct any *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct command c = {.kind = COMMAND_SWEEP};
        arena_reset(w->k->arena);
        find_all(w);
        w->k->now_ms += chance(4000);
        any_command(w, &c);
        run_one(w, &c);
        if (i % LOOK == 0) {
            look(w);
        }
    }
}

/* When all is counted and nothing waits to be reclaimed, each is exact. */
static void settle(struct any *w)
{
    struct command c = {.kind = COMMAND_TALLY, .tally = {7}};
    struct command index = {.kind = COMMAND_INDEX, .index = {3}};

    while (machine_view(w->k->m).is_indexing) {
        assert_int_equal(kit_do(w->k, &index), 0);
    }
    while (machine_view(w->k->m).has_trash ||
           machine_view(w->k->m).has_counts) {
        assert_int_equal(kit_do(w->k, &c), 0);
        c = c.kind == COMMAND_TALLY
                ? (struct command){.kind = COMMAND_RECLAIM, .reclaim = {5}}
                : (struct command){.kind = COMMAND_TALLY, .tally = {7}};
    }
    arena_reset(w->k->arena);
    look(w);
}

static void run_restored(const struct any *of)
{
    enum { BEFORE = 40, AFTER = 150 };
    struct any w = {.k = kit_new(),
                    .marks_since = UINT64_MAX,
                    .no_room = true,
                    .log = mem_zero((BEFORE + AFTER + 1) * sizeof *w.log)};

    w.k->ids = of->k->ids;
    find_all(&w);
    go_on(&w, BEFORE);
    kit_rise(w.k, 3);
    take_over(&w, of->k);
    go_on(&w, AFTER);
    look(&w);
    settle(&w);
    for (size_t i = 0; i < w.n_log; i++) {
        buf_done(&w.log[i]);
    }
    mem_free(w.log);
    kit_free(w.k);
}

static void run(uint64_t from, size_t n)
{
    struct any w = {.k = kit_new(),
                    .marks_since = UINT64_MAX,
                    .log = mem_zero((n + 3) * sizeof(struct buf))};
    struct command keep = {.kind = COMMAND_HISTORY, .history = {20, 0}};
    struct command rise = {.kind = COMMAND_FEATURE, .feature = {2}};
    uint8_t sum[32];

    seed = from;
    find_all(&w);
    run_one(&w, &keep);
    go_on(&w, n / 8);
    find_all(&w);
    w.marks_since = w.meta.revision;
    run_one(&w, &rise);
    go_on(&w, n / 2);
    if (from % 2 == 0) {
        /* Else the state that is restored is one without an index. */
        rise.feature.level = 3;
        find_all(&w);
        run_one(&w, &rise);
    }
    go_on(&w, n - n / 2 - n / 8);
    look(&w);
    check_file(w.k, sum);
    replay(&w, 1 + from % 17, sum);
    run_restored(&w);
    settle(&w);
    for (size_t i = 0; i < w.n_log; i++) {
        buf_done(&w.log[i]);
    }
    mem_free(w.log);
    kit_free(w.k);
}

/* Two writes of one transaction: the pages of the first hold the second. */
static void a_row_that_shrinks_at_once_leaves_a_sound_file(void **state)
{
    struct kit *k = kit_new();
    struct command_txn_op ops[2];
    struct command c = {.kind = COMMAND_TXN, .txn = {.ops = ops, .n_ops = 2}};
    uint8_t sum[32];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct buf fields = {0};
        buf_add_text(&fields, "\"name\":\"a\"");
        add_much(&fields, i == 0 ? 50000 : 5000);
        ops[i] =
            (struct command_txn_op){.op = i == 0 ? ROW_ADD : ROW_REPLACE,
                                    .ns = STORE_POOL,
                                    .type = STR("service"),
                                    .key_field = STR("name"),
                                    .by_key = i > 0,
                                    .key = STR("a"),
                                    .new_id = kit_id(k),
                                    .fields = arena_take(k->arena, &fields),
                                    .secret = STR("")};
    }
    assert_int_equal(kit_do(k, &c), 0);
    check_file(k, sum);
    kit_free(k);
}

static void whatever_happens_makes_a_sound_state(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < n_seeds; i++) {
        printf("# seed %u\n", (unsigned)(first_seed + i));
        (void)fflush(stdout);
        run(first_seed + i, 600);
    }
    assert_true(n_exact > 0);
}

/* first seed, how many: for who looks for more. */
int main(int argc, char **argv)
{
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    n_seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : 4;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_shrinks_at_once_leaves_a_sound_file),
        cmocka_unit_test(whatever_happens_makes_a_sound_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
