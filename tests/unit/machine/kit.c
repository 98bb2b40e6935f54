#include "kit.h"

#include <unistd.h>

#include "model/event.h"

static void lease_put(void *user, const struct machine_lease *lease)
{
    struct kit *k = user;

    k->spared = lease->spared;
    k->puts++;
    k->lease_registered = lease->registered;
    k->n_scopes = lease->n_scopes;
    for (size_t i = 0; i < lease->n_scopes && i < 8; i++) {
        k->scopes[i] = lease->scopes[i];
    }
}

static void moved(void *user)
{
    struct kit *k = user;
    k->moves++;
}

static void breaker(void *user, const struct machine_breaker *told)
{
    struct kit *k = user;
    k->tellings++;
    k->told = *told;
}

static void lease_del(void *user, struct str hostname, struct ulid id)
{
    struct kit *k = user;
    (void)hostname;
    (void)id;
    k->dels++;
}

static void changed(void *user, const struct str *events, size_t n,
                    uint64_t revision)
{
    struct kit *k = user;
    struct event event;

    (void)revision;
    k->events += (unsigned)n;
    if (n > 0) {
        event_read(events[n - 1], &event);
        (void)snprintf(k->path, sizeof k->path, "%.*s", STR_ARG(event.ns));
        (void)snprintf(k->cause, sizeof k->cause, "%.*s", STR_ARG(event.cause));
    }
}

struct kit *kit_new(void)
{
    struct kit *k = mem_zero(sizeof *k);
    struct machine_hooks hooks = {.lease_user = k,
                                  .lease_put = lease_put,
                                  .lease_del = lease_del,
                                  .changed_user = k,
                                  .changed = changed,
                                  .lease_scopes = moved,
                                  .breaker = breaker};

    (void)snprintf(k->dir, sizeof k->dir, "/tmp/roster-machine-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    struct store_config config = {k->dir, 64U << 20, 8, 8};
    assert_int_equal(store_open(&config, &k->store), 0);
    k->cache = cache_new(1 << 20);
    k->m = machine_new(k->store, k->cache, &hooks);
    k->arena = arena_new();
    assert_int_equal(store_reader_new(k->store, &k->reader), 0);
    k->now_ms = 1000000;
    struct command init = {.kind = COMMAND_INIT};
    init.init.cluster[0] = 7;
    init.init.domain = STR("roster");
    init.init.history_limit = 1000;
    assert_int_equal(kit_do(k, &init), 0);
    return k;
}

void kit_free(struct kit *k)
{
    char file[128];

    machine_result_done(&k->res);
    store_reader_free(k->reader);
    machine_free(k->m);
    store_close(k->store);
    cache_free(k->cache);
    arena_free(k->arena);
    (void)snprintf(file, sizeof file, "%s/data.mdb", k->dir);
    (void)unlink(file);
    (void)snprintf(file, sizeof file, "%s/lock.mdb", k->dir);
    (void)unlink(file);
    (void)rmdir(k->dir);
    mem_free(k);
}

int kit_do(struct kit *k, struct command *c)
{
    struct buf bytes = {0}, pack = {0};

    machine_result_done(&k->res);
    k->res = (struct machine_result){0};
    command_encode(&bytes, c);
    command_pack_begin(&pack, k->now_ms, 1);
    command_pack_add(&pack, buf_str(&bytes));
    command_pack_end(&pack);
    assert_int_equal(machine_apply(k->m, ++k->index, buf_str(&pack), &k->res),
                     0);
    assert_int_equal(machine_commit(k->m), 0);
    buf_done(&bytes);
    buf_done(&pack);
    return k->res.answer;
}

struct ulid kit_id(struct kit *k)
{
    struct ulid id = {{0}};
    return ulid_plus(id, ++k->ids);
}

struct command kit_add(struct kit *k, uint64_t ns, const char *type,
                       const char *key_field, const char *fields)
{
    struct command c = {.kind = COMMAND_ROW_PUT};

    c.row_put = (struct command_row_put){
        .mode = ROW_ADD,
        .ns = ns,
        .type = str_of(type),
        .key_field = str_of(key_field),
        .new_id = kit_id(k),
        .fields = str_of(fields),
        .secret = STR(""),
    };
    return c;
}

uint64_t kit_mkns(struct kit *k, uint64_t parent, enum store_kind kind,
                  const char *name)
{
    struct command c = {.kind = COMMAND_NS_CREATE};

    c.ns_create.parent = parent;
    c.ns_create.kind = (uint8_t)kind;
    c.ns_create.name = str_of(name);
    c.ns_create.first_id = kit_id(k);
    k->ids += 1000;
    c.ns_create.n_ids = 1000;
    assert_int_equal(kit_do(k, &c), 0);
    return k->res.ns;
}

struct store_meta kit_meta(struct kit *k)
{
    struct store_txn *txn;
    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    struct store_meta meta = *store_meta(txn);
    store_read_end(txn);
    return meta;
}

static struct store_txn *read_ns(struct kit *k, uint64_t ns)
{
    struct store_txn *txn;
    int r;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    while ((r = store_use(txn, ns)) == ERR_RESTART) {
    }
    assert_int_equal(r, 0);
    return txn;
}

uint64_t kit_count(struct kit *k, uint64_t ns, const char *type)
{
    struct store_list list;
    struct store_txn *txn = read_ns(k, ns);
    assert_int_equal(store_list_get(txn, ns, str_of(type), &list), 0);
    store_read_end(txn);
    return list.count;
}

const char *kit_list(struct kit *k, uint64_t ns, const char *type)
{
    struct store_txn *txn = read_ns(k, ns);
    struct buf out = {0};
    struct ulid last;
    uint64_t n;
    bool more;

    assert_int_equal(
        store_rows_join(txn, ns, str_of(type), NULL, 0, &out, &n, &last, &more),
        0);
    store_read_end(txn);
    buf_add_text(&out, "");
    const char *text = arena_text(k->arena, buf_str(&out));
    buf_done(&out);
    return text;
}

void kit_rise(struct kit *k, uint64_t level)
{
    struct command c = {.kind = COMMAND_FEATURE, .feature = {level}};

    assert_int_equal(kit_do(k, &c), 0);
}

int kit_enrol(struct kit *k, uint64_t ns)
{
    struct command_leaf_item leaf = {ns, kit_id(k)};
    struct command c = {.kind = COMMAND_AGENT_PUT};

    c.agent_put = (struct command_agent_put){
        .hostname = STR("web-1"),
        .ttl_ms = 30000,
        .fields = STR("\"hostname\":\"web-1\""),
        .lease = kit_id(k),
        .pool_id = kit_id(k),
        .leaves = &leaf,
        .n_leaves = ns > 0,
    };
    return kit_do(k, &c);
}

uint64_t kit_expire(struct kit *k)
{
    struct command_lease_item item = {.hostname = STR("web-1")};
    struct command c = {.kind = COMMAND_EXPIRE};
    struct store_lease lease;
    struct store_txn *txn;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    assert_int_equal(store_lease_get(txn, item.hostname, k->arena, &lease), 0);
    c.expire.epoch = store_meta(txn)->lease_epoch;
    store_read_end(txn);
    item.lease = lease.id;
    c.expire.leases = &item;
    c.expire.n_leases = 1;
    assert_int_equal(kit_do(k, &c), 0);
    return k->res.n;
}

uint64_t kit_sweep(struct kit *k, uint64_t now_ms, uint64_t limit)
{
    struct command c = {.kind = COMMAND_SWEEP, .sweep = {limit}};

    k->now_ms = now_ms;
    assert_int_equal(kit_do(k, &c), 0);
    return k->res.n;
}
