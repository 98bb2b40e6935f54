/* What state_file_check accepts is whole, and can be served [STATE-1]. Each
 * file here differs from a good one in one thing. */
#include <assert.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha256.h"
#include "kit.h"
#include "model/access_record.h"
#include "state/state.h"

enum { PAGE = 4096 };

struct bench {
    struct kit *kit;
    char dir[64];
    char file[128];  /* the good one */
    char other[128]; /* the one that is not */
    struct buf bytes;
    struct state_info info;
};

/* ---- a registry with something of everything ---- */

static void add_rows(struct kit *k, uint64_t ns, unsigned n)
{
    char fields[128];

    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(fields, sizeof fields,
                       "\"name\":\"r%u\",\"v\":\"\\\"\\\\\\n\\u0001\xc3\xa9\"",
                       i);
        struct command c = kit_add(k, ns, "service", "name", fields);
        c.has_key = i % 3 == 0;
        c.key_hash[0] = (uint8_t)i;
        c.key_hash[1] = (uint8_t)ns;
        assert_int_equal(kit_do(k, &c), 0);
    }
}

static void add_long_and_secret(struct kit *k)
{
    struct buf fields = {0};

    buf_add_text(&fields, "\"name\":\"long\",\"v\":\"");
    for (unsigned i = 0; i < 20000; i++) {
        buf_add_char(&fields, 'x');
    }
    buf_add_text(&fields, "\"");
    buf_add_char(&fields, '\0');
    struct command c = kit_add(k, STORE_POOL, "blob", "name", fields.p);
    assert_int_equal(kit_do(k, &c), 0);
    c = kit_add(k, STORE_POOL, "webhook", "name",
                "\"name\":\"hook\",\"secret\":\"***\"");
    c.row_put.secret = STR("\"secret\":\"hush\"");
    assert_int_equal(kit_do(k, &c), 0);
    buf_done(&fields);
}

static void add_agent(struct kit *k, uint64_t leaf)
{
    struct command_leaf_item leaves[] = {{leaf, kit_id(k)}};
    struct command c = {.kind = COMMAND_AGENT_PUT};

    c.agent_put.hostname = STR("web-1");
    c.agent_put.ttl_ms = 30000;
    c.agent_put.fields = STR("\"hostname\":\"web-1\"");
    c.agent_put.lease = kit_id(k);
    c.agent_put.pool_id = kit_id(k);
    c.agent_put.leaves = leaves;
    c.agent_put.n_leaves = 1;
    struct ulid lease = c.agent_put.lease;
    assert_int_equal(kit_do(k, &c), 0);
    c = kit_add(k, leaf, "service", "name", "\"name\":\"bound\"");
    c.row_put.has_lease = 1;
    c.row_put.lease = lease;
    assert_int_equal(kit_do(k, &c), 0);
}

static void add_type(struct kit *k)
{
    struct command c = {.kind = COMMAND_TYPE_PUT};

    c.type_put.type = STR("thing");
    c.type_put.definition =
        STR("{\"checks\":{},\"key\":\"name\",\"required\":[\"name\"],"
            "\"secret\":[],\"template\":true}");
    assert_int_equal(kit_do(k, &c), 0);
}

/* One of each, and a token that ends. */
static void add_access(struct kit *k)
{
    const struct str names[] = {STR("ann")};
    const struct access_names ann = {names, 1};
    const struct access_rule rule = {ACCESS_READ, STR("shop.roster"), ann};
    struct command_access_item items[4] = {
        {.what = ACCESS_IS_TOKEN, .name = STR("0123456789abcdef")},
        {.what = ACCESS_IS_ROLE, .name = STR("ops")},
        {.what = ACCESS_IS_USER, .name = STR("ann")},
        {.what = ACCESS_IS_GROUP, .name = STR("ops")}};
    struct command c = {.kind = COMMAND_ACCESS,
                        .access = {.items = items, .n_items = 4}};
    struct buf bytes[4] = {{0}};

    kit_rise(k, MACHINE_FEATURE_LEVEL);
    items[0].ends_ms = k->now_ms + 60000;
    access_token_encode(
        &bytes[0], &(struct access_token){.kind = ACCESS_BEARER, .roles = ann});
    access_role_encode(&bytes[1],
                       &(struct access_role){.rules = &rule, .n_rules = 1});
    access_user_encode(&bytes[2],
                       &(struct access_user){.source = ACCESS_LOCAL});
    access_group_encode(&bytes[3], &(struct access_group){.members = ann});
    for (size_t i = 0; i < 4; i++) {
        items[i].record = buf_str(&bytes[i]);
    }
    assert_int_equal(kit_do(k, &c), 0);
    for (size_t i = 0; i < 4; i++) {
        buf_done(&bytes[i]);
    }
}

/* One that is deleted and half freed. */
static void delete_some(struct kit *k, uint64_t branch)
{
    struct command c = {.kind = COMMAND_NS_DELETE};

    c.ns_delete.id = branch;
    c.ns_delete.recursive = 1;
    assert_int_equal(kit_do(k, &c), 0);
    c = (struct command){.kind = COMMAND_RECLAIM};
    c.reclaim.limit = 15;
    assert_int_equal(kit_do(k, &c), 0);
}

static void fill(struct kit *k)
{
    uint64_t shop = kit_mkns(k, STORE_ROOT, STORE_BRANCH, "shop");
    uint64_t old = kit_mkns(k, shop, STORE_BRANCH, "old");
    struct command c = {.kind = COMMAND_NS_CREATE};

    c.ns_create.parent = shop;
    c.ns_create.kind = STORE_LEAF;
    c.ns_create.name = STR("web");
    c.ns_create.has_match = 1;
    c.ns_create.match = STR("^web-[0-9]+$");
    c.ns_create.comment = STR("the \"front\" \xe2\x82\xac");
    assert_int_equal(kit_do(k, &c), 0);
    uint64_t web = k->res.ns;
    add_rows(k, web, 30);
    add_rows(k, STORE_POOL, 200);
    add_long_and_secret(k);
    add_agent(k, web);
    add_type(k);
    add_access(k);
    add_rows(k, kit_mkns(k, old, STORE_LEAF, "a"), 10);
    add_rows(k, kit_mkns(k, old, STORE_LEAF, "b"), 10);
    delete_some(k, old);
    for (unsigned i = 0; i < 40; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "leaf-%u", i);
        add_rows(k, kit_mkns(k, shop, STORE_LEAF, name), 1);
    }
}

/* ---- files ---- */

static struct buf slurp(const char *path)
{
    struct buf bytes = {0};
    struct stat file = {.st_size = 0};
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0 && fstat(fd, &file) == 0);
    buf_reserve(&bytes, (size_t)file.st_size);
    bytes.n = (size_t)file.st_size;
    assert_int_equal(read(fd, bytes.p, bytes.n), bytes.n);
    (void)close(fd);
    return bytes;
}

static void spill(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    (void)close(fd);
}

static int setup(void **state)
{
    static struct bench bench;
    struct bench *b = &bench;

    b->kit = kit_new();
    fill(b->kit);
    (void)snprintf(b->dir, sizeof b->dir, "/tmp/roster-state-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    (void)snprintf(b->file, sizeof b->file, "%.60s/good", b->dir);
    (void)snprintf(b->other, sizeof b->other, "%.60s/other", b->dir);
    assert_int_equal(
        state_file_write(b->kit->store, "n1", b->dir, "good", &b->info), 0);
    b->bytes = slurp(b->file);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    char command[128];

    kit_free(b->kit);
    buf_done(&b->bytes);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", b->dir);
    return system(command);
}

/* The other file, from these bytes; what a check says. */
static int check(struct bench *b, const void *bytes, size_t n, char why[])
{
    struct state_info info;

    spill(b->other, bytes, n);
    (void)snprintf(why, STATE_WHY, "nothing");
    int r = state_file_check(b->other, NULL, &info, why);
    assert_true(r == 0 || r == ERR_INVALID);
    assert_true(r == 0 || (strlen(why) > 10 && strcmp(why, "nothing") != 0));
    return r;
}

static void assert_refused(struct bench *b, const void *bytes, size_t n)
{
    char why[STATE_WHY];
    assert_int_equal(check(b, bytes, n, why), ERR_INVALID);
}

/* ---- whole ---- */

struct progress {
    uint64_t done, total;
    unsigned calls;
};

static void note(uint64_t done, uint64_t total, void *user)
{
    struct progress *progress = user;

    assert_true(done >= progress->done && done <= total);
    *progress = (struct progress){done, total, progress->calls + 1};
}

static void a_whole_file_is_accepted_and_tells_what_is_in_it(void **state)
{
    struct bench *b = *state;
    struct store_meta meta = kit_meta(b->kit);
    struct progress progress = {0};
    struct state_watch watch = {note, &progress};
    struct state_info info;
    char why[STATE_WHY] = "";

    int r = state_file_check(b->file, &watch, &info, why);
    assert_string_equal(why, "");
    assert_int_equal(r, 0);
    assert_true(progress.calls > 0 && progress.done == b->info.size);
    assert_true(info.index == meta.applied && info.revision == meta.revision);
    assert_memory_equal(info.cluster, meta.cluster, 16);
    assert_string_equal(info.node, "n1");
    assert_string_equal(info.domain, "roster");
    assert_true(info.n_rows == meta.n_rows && info.n_ns == meta.n_ns);
    assert_int_equal(info.n_leases, 1);
    assert_memory_equal(info.state, b->info.state, 32);
    assert_true(b->bytes.n == state_file_bytes(&info));
    assert_true(b->bytes.n % PAGE == 0);
}

static void a_head_is_read_alone(void **state)
{
    struct bench *b = *state;
    struct state_info info;
    char why[STATE_WHY], nowhere[160];

    assert_int_equal(state_file_head(b->file, &info, why), 0);
    assert_true(info.revision == b->info.revision);
    (void)snprintf(nowhere, sizeof nowhere, "%s/nowhere", b->dir);
    assert_int_equal(state_file_head(nowhere, &info, why), ERR_NOT_FOUND);
    assert_int_equal(state_file_check(nowhere, NULL, &info, why), ERR_INVALID);
}

static void a_descriptor_survives_its_bytes(void **state)
{
    struct bench *b = *state;
    struct state_info in = b->info, out;
    uint8_t bytes[STATE_DESCRIPTOR_BYTES];

    (void)snprintf(in.file, sizeof in.file, "state-1-2");
    state_describe(&in, bytes);
    assert_int_equal(state_read_descriptor(bytes, sizeof bytes, &out), 0);
    assert_string_equal(out.file, in.file);
    assert_true(out.index == in.index && out.size == in.size);
    for (size_t i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(state_read_descriptor(bytes, sizeof bytes, &out),
                         ERR_INVALID);
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_int_equal(state_read_descriptor(bytes, sizeof bytes - 1, &out),
                     ERR_INVALID);
    /* A file's header is no descriptor. */
    assert_int_equal(
        state_read_descriptor(b->bytes.p, STATE_DESCRIPTOR_BYTES, &out),
        ERR_INVALID);
}

/* ---- damaged ---- */

static void a_file_cut_anywhere_is_refused(void **state)
{
    struct bench *b = *state;
    static const size_t odd[] = {0, 1, 8, 255, 256, 287, 288, 4095, 4097};

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_refused(b, b->bytes.p, odd[i]);
    }
    for (size_t n = PAGE; n < b->bytes.n; n += PAGE) {
        assert_refused(b, b->bytes.p, n);
    }
    assert_refused(b, b->bytes.p, b->bytes.n - 1);
}

static void a_byte_behind_the_end_is_refused(void **state)
{
    struct bench *b = *state;
    char why[STATE_WHY];
    char *longer = mem_zero(b->bytes.n + PAGE);

    memcpy(longer, b->bytes.p, b->bytes.n);
    assert_int_equal(check(b, longer, b->bytes.n + 1, why), ERR_INVALID);
    assert_non_null(strstr(why, "behind its end"));
    assert_refused(b, longer, b->bytes.n + PAGE);
    mem_free(longer);
}

static void a_flipped_bit_of_the_header_is_refused(void **state)
{
    struct bench *b = *state;
    char why[STATE_WHY];
    struct state_info info;
    uint8_t head[STATE_HEADER_BYTES];

    memcpy(head, b->bytes.p, sizeof head);
    for (size_t i = 0; i < 8 * sizeof head; i++) {
        head[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(state_head_decode(head, &info, why), ERR_INVALID);
        head[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_int_equal(state_head_decode(head, &info, why), 0);
}

static void a_flipped_page_is_refused(void **state)
{
    struct bench *b = *state;

    for (size_t at = PAGE; at < b->bytes.n; at += PAGE) {
        b->bytes.p[at + at / PAGE % PAGE] ^= 1;
        assert_refused(b, b->bytes.p, b->bytes.n);
        b->bytes.p[at + at / PAGE % PAGE] ^= 1;
    }
}

/* ---- right sums, wrong inside ---- */

/* The sums and, when it can be told, the digest of what is there now. */
static void seal(struct bench *b, struct buf *bytes, const uint8_t *digest)
{
    struct state_info info = b->info;
    struct sha256 *hash = sha256_new();

    info.size = bytes->n - STATE_HEADER_BYTES;
    if (digest != NULL) {
        memcpy(info.state, digest, sizeof info.state);
    }
    sha256_add(hash, bytes->p + STATE_HEADER_BYTES, (size_t)info.size);
    (void)sha256_end(hash, info.image);
    state_head_encode(&info, (uint8_t *)bytes->p);
}

/* Opened and read from end to end: what was accepted must hold. */
static void serve(struct bench *b)
{
    char dir[160], image[200], command[256], why[STATE_WHY];
    struct store_config config = {dir, 64U << 20, 8, 8};
    struct store *store = NULL;
    struct store_txn *txn = NULL;
    struct state_info info;

    (void)snprintf(dir, sizeof dir, "%s/served", b->dir);
    (void)snprintf(image, sizeof image, "%s/data.mdb", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(state_file_unpack(b->other, image, NULL, &info, why), 0);
    assert_int_equal(store_open(&config, &store), 0);
    assert_int_equal(store_write_begin(store, &txn), 0);
    assert_int_equal(store_history_clear(txn), 0);
    assert_int_equal(store_write_commit(txn), 0);
    store_close(store);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* Any byte of any page: LMDB and the machine would believe it. Most telling
 * under the address sanitizer. */
static void a_file_with_right_sums_and_wrong_pages_is_no_crash(void **state)
{
    struct bench *b = *state;
    struct buf bytes = {0};
    uint64_t seed = 1;
    unsigned refused = 0, accepted = 0;
    char why[STATE_WHY];

    buf_add_str(&bytes, buf_str(&b->bytes));
    for (size_t page = PAGE; page < bytes.n; page += PAGE) {
        for (unsigned i = 0; i < 12; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* The head of a page and its table more often. */
            size_t at =
                page + (i < 8 ? (seed >> 33) % 64 : (seed >> 33) % PAGE);
            char was = bytes.p[at];
            bytes.p[at] = (char)(i % 2 == 0 ? was ^ (1 << (seed >> 60) % 8)
                                            : (int)(seed >> 50));
            seal(b, &bytes, NULL);
            if (check(b, bytes.p, bytes.n, why) == 0) {
                accepted++; /* Bytes that nobody reads. */
                serve(b);
            } else {
                refused++;
            }
            bytes.p[at] = was;
        }
    }
    assert_true(refused > 100 && accepted > 0);
    buf_done(&bytes);
}

/* LMDB itself would believe these, and write where it should not: the page
 * numbers and offsets are told in src/store/pages.c. */
enum { PAGE_0 = STATE_HEADER_BYTES, PAGE_1 = PAGE_0 + PAGE, META_TXN = 144 };

static void assert_refused_for(struct bench *b, struct buf *bytes,
                               const char *part)
{
    char why[STATE_WHY];

    seal(b, bytes, NULL);
    int r = check(b, bytes->p, bytes->n, why);
    if (r != ERR_INVALID || strstr(why, part) == NULL) {
        fail_msg("%s: %d, %s", part, r, why);
    }
}

/* Which of the first two pages counts depends on who looks, unless the number
 * fits the page. */
static void a_file_with_its_first_pages_swapped_is_refused(void **state)
{
    struct bench *b = *state;
    struct buf bytes = {0};

    buf_add_str(&bytes, buf_str(&b->bytes));
    assert(bytes.p != NULL);
    memcpy(bytes.p + PAGE_0 + 16, bytes.p + PAGE_1 + 16, META_TXN - 16);
    le_put((uint8_t *)bytes.p + PAGE_0 + META_TXN, 3, 8);
    assert_refused_for(b, &bytes, "its first pages");
    le_put((uint8_t *)bytes.p + PAGE_0 + META_TXN, 0, 8);
    le_put((uint8_t *)bytes.p + PAGE_1 + META_TXN, UINT64_MAX, 8);
    assert_refused_for(b, &bytes, "its first pages");
    buf_done(&bytes);
}

/* The first leaf with two entries of which one ends where the other begins. */
static uint8_t *entry_with_neighbour(struct buf *bytes)
{
    for (size_t at = PAGE_1 + PAGE; at < bytes->n; at += PAGE) {
        uint8_t *page = (uint8_t *)bytes->p + at;
        size_t n = (le_get(page + 12, 2) - 16) / 2;
        for (size_t i = 0; le_get(page + 10, 2) == 2 && i < n * n; i++) {
            size_t low = le_get(page + 16 + 2 * (i / n), 2);
            uint8_t *node = page + low;
            size_t size = 8 + le_get(node + 6, 2) + le_get(node, 4);
            if (le_get(node + 4, 2) == 0 &&
                low + size == le_get(page + 16 + 2 * (i % n), 2)) {
                return node;
            }
        }
    }
    fail_msg("no such page");
    return NULL;
}

static void a_file_with_entries_that_share_bytes_is_refused(void **state)
{
    struct bench *b = *state;
    struct buf bytes = {0};

    buf_add_str(&bytes, buf_str(&b->bytes));
    uint8_t *node = entry_with_neighbour(&bytes);
    le_put(node, le_get(node, 4) + 2, 4);
    assert_refused_for(b, &bytes, "two entries lie in one place");
    buf_done(&bytes);
}

/* A copy page by page, after a few transactions: with a list of free pages. */
static struct buf image_with_free_pages(struct bench *b)
{
    char image[160], why[STATE_WHY];
    struct state_info info;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    (void)snprintf(image, sizeof image, "%s/image", b->dir);
    assert_int_equal(state_file_unpack(b->file, image, NULL, &info, why), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 1), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 64U << 20), 0);
    assert_int_equal(mdb_env_open(env, image, MDB_NOSUBDIR | MDB_NOLOCK, 0600),
                     0);
    for (int i = 0; i < 2; i++) {
        MDB_val k = {1, (void *)"z"}, v = {0, NULL};
        assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_dbi_open(txn, "tree", 0, &dbi), 0);
        assert_int_equal(i == 0 ? mdb_put(txn, dbi, &k, &v, 0)
                                : mdb_del(txn, dbi, &k, NULL),
                         0);
        assert_int_equal(mdb_txn_commit(txn), 0);
    }
    mdb_env_close(env);
    struct buf bytes = {0};
    buf_add(&bytes, b->bytes.p, STATE_HEADER_BYTES);
    struct buf content = slurp(image);
    buf_add_str(&bytes, buf_str(&content));
    buf_done(&content);
    (void)unlink(image);
    return bytes;
}

static void a_file_with_free_pages_in_disorder_is_refused(void **state)
{
    struct bench *b = *state;
    struct buf bytes = image_with_free_pages(b);
    char why[STATE_WHY];
    uint8_t *newest = (uint8_t *)bytes.p + PAGE_1;

    seal(b, &bytes, NULL);
    assert_int_equal(check(b, bytes.p, bytes.n, why), 0);
    if (le_get(newest + META_TXN, 8) < le_get(newest - PAGE + META_TXN, 8)) {
        newest -= PAGE;
    }
    uint8_t *page =
        (uint8_t *)bytes.p + PAGE_0 + PAGE * le_get(newest + 40 + 40, 8);
    uint8_t *node = page + le_get(page + 16, 2);
    uint8_t *list = node + 8 + le_get(node + 6, 2);
    assert_true(le_get(list, 8) >= 2);
    uint64_t first = le_get(list + 8, 8), second = le_get(list + 16, 8);
    le_put(list + 8, second, 8);
    le_put(list + 16, first, 8);
    assert_refused_for(b, &bytes, "the list of free pages");
    le_put(list + 8, first, 8);
    le_put(list + 16, second, 8);
    le_put(node + 8, 0, 8); /* its transaction */
    assert_refused_for(b, &bytes, "the list of free pages");
    buf_done(&bytes);
}

/* OVER: the first key that begins so gets the value. POKE: its value gets these
 * bytes, which the offset stands before. BLANK: its value gets a blank before
 * its last byte. REBIND: the first binding is of another row. UNTYPE: the first
 * way back has no type in its key, as older releases wrote it. */
enum what { PUT, DELETE, OVER, POKE, BLANK, REBIND, UNTYPE };

struct damage {
    const char *base;
    enum what what;
    struct str key, value;
    const char *why; /* a part of it */
};

/* Bytes of a binding's key: lease 1 to 16, namespace 17, row 25 to 40, type. */
static void rebind(MDB_txn *txn, MDB_dbi dbi, const MDB_val *binding)
{
    char key[511], back[511] = "r";
    MDB_val k = {binding->mv_size, key}, r = {binding->mv_size - 16, back};
    MDB_val nothing = {0, NULL}, lease = {16, key + 1};

    memcpy(key, binding->mv_data, binding->mv_size);
    memcpy(back + 1, key + 17, binding->mv_size - 17);
    assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
    assert_int_equal(mdb_del(txn, dbi, &r, NULL), 0);
    key[40] ^= 1;
    back[24] ^= 1;
    assert_int_equal(mdb_put(txn, dbi, &k, &nothing, 0), 0);
    assert_int_equal(mdb_put(txn, dbi, &r, &lease, 0), 0);
}

static void untype(MDB_txn *txn, MDB_dbi dbi, const MDB_val *back)
{
    char key[25], lease[16];
    MDB_val k = {sizeof key, key}, v;

    assert_int_equal(mdb_get(txn, dbi, (MDB_val *)back, &v), 0);
    assert_int_equal(v.mv_size, sizeof lease);
    memcpy(lease, v.mv_data, sizeof lease);
    memcpy(key, back->mv_data, sizeof key);
    assert_int_equal(mdb_del(txn, dbi, (MDB_val *)back, NULL), 0);
    v = (MDB_val){sizeof lease, lease};
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
}

static void change(MDB_txn *txn, MDB_dbi dbi, const struct damage *d)
{
    MDB_val k = {d->key.n, (void *)d->key.p};
    MDB_val v = {d->value.n, (void *)d->value.p}, old;
    MDB_cursor *cursor;
    char key[511], value[1024];

    if (d->what >= OVER) {
        assert_int_equal(mdb_cursor_open(txn, dbi, &cursor), 0);
        assert_int_equal(mdb_cursor_get(cursor, &k, &old, MDB_SET_RANGE), 0);
        assert_memory_equal(k.mv_data, d->key.p, d->key.n);
        memcpy(key, k.mv_data, k.mv_size);
        k.mv_data = key;
        if (d->what == BLANK) {
            assert_true(old.mv_size < sizeof value);
            memcpy(value, old.mv_data, old.mv_size);
            value[old.mv_size] = value[old.mv_size - 1];
            value[old.mv_size - 1] = ' ';
            v = (MDB_val){old.mv_size + 1, value};
        }
        if (d->what == POKE) {
            assert_true(old.mv_size < sizeof value);
            memcpy(value, old.mv_data, old.mv_size);
            memcpy(value + (uint8_t)d->value.p[0], d->value.p + 1,
                   d->value.n - 1);
            v = (MDB_val){old.mv_size, value};
        }
        mdb_cursor_close(cursor);
    }
    if (d->what == REBIND) {
        rebind(txn, dbi, &k);
        return;
    }
    if (d->what == UNTYPE) {
        untype(txn, dbi, &k);
        return;
    }
    assert_int_equal(d->what == DELETE ? mdb_del(txn, dbi, &k, NULL)
                                       : mdb_put(txn, dbi, &k, &v, 0),
                     0);
}

/* Changes one record of the image as LMDB would, and makes a file of it that is
 * right but for that. */
static int check_changed(struct bench *b, const struct damage *d,
                         char why[STATE_WHY])
{
    char image[160];
    struct state_info info;
    struct store_meta meta;
    uint8_t digest[32];
    struct buf bytes = {0};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    (void)snprintf(image, sizeof image, "%s/image", b->dir);
    assert_int_equal(state_file_unpack(b->file, image, NULL, &info, why), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 64U << 20), 0);
    assert_int_equal(mdb_env_open(env, image, MDB_NOSUBDIR | MDB_NOLOCK, 0600),
                     0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, d->base, MDB_CREATE, &dbi), 0);
    change(txn, dbi, d);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    /* One that cannot be read has no digest: refused before it counts. */
    memcpy(digest, b->info.state, sizeof digest);
    (void)!store_digest_file(image, digest, &meta);
    buf_reserve(&bytes, STATE_HEADER_BYTES);
    bytes.n = STATE_HEADER_BYTES;
    struct buf content = slurp(image);
    buf_add_str(&bytes, buf_str(&content));
    seal(b, &bytes, digest);
    int r = check(b, bytes.p, bytes.n, why);
    buf_done(&content);
    buf_done(&bytes);
    (void)unlink(image);
    return r;
}

static void damage(struct bench *b, const struct damage *d)
{
    char why[STATE_WHY];

    int r = check_changed(b, d, why);
    if (r != ERR_INVALID || strstr(why, d->why) == NULL) {
        fail_msg("%s: %d, %s", d->why, r, why);
    }
}

#define POOL_DB "n0000000000000002"
#define ID_1 "\0\0\0\0\0\0\0\x01"
#define ID_2 "\0\0\0\0\0\0\0\x02"
#define ID_5 "\0\0\0\0\0\0\0\x05"
#define ID_9 "\0\0\0\0\0\0\0\x99"
#define ULID_NEW                                                               \
    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
#define ULIDS_8                                                                \
    ULID_NEW ULID_NEW ULID_NEW ULID_NEW ULID_NEW ULID_NEW ULID_NEW ULID_NEW
#define ULIDS_3 ULID_NEW ULID_NEW ULID_NEW
#define LONGER_THAN_A_KEY ULIDS_8 ULIDS_8 ULIDS_8 ULIDS_8 ULIDS_8
#define LOG_TIME_AT "\x28"
#define EPOCH_AT "\x30"
#define NEXT_NS_AT "\x38"
#define INDEX_AT "\x01"
#define ZERO_8 "\0\0\0\0\0\0\0\0"
#define HUGE_8 "\0\0\0\0\0\0\0\x7f"
/* The record of a user, local, with nothing else. */
#define BO(rev) "\1" rev "\1\0\0\0\0\0"
#define BYTES(literal)                                                         \
    {                                                                          \
        (literal), sizeof(literal) - 1                                         \
    }

static void a_file_with_right_sums_and_wrong_records_is_refused(void **state)
{
    static const struct damage damages[] = {
        {"meta", PUT, BYTES("state"), BYTES("\x01"), "it holds none"},
        {"meta", DELETE, BYTES("state"), BYTES(""), "no registry has been"},
        {"tree", DELETE, BYTES("n" ID_2), BYTES(""), "another's name"},
        {"tree", PUT, BYTES("n" ID_9), BYTES("\x01"), "record of a namespace"},
        {"tree", PUT, BYTES("n\x01"), BYTES("\x01"), "has no number"},
        {"tree", DELETE, BYTES("c" ID_1 "pool"), BYTES(""),
         "not the children it says"},
        {"tree", PUT, BYTES("c" ID_1 "extra"), BYTES(ID_2), "another's name"},
        {"tree", PUT,
         BYTES("d"
               "thing"),
         BYTES("{\"key\":1}"), "definition of a type"},
        {"tree", PUT, BYTES("z"), BYTES(""), "unknown entry in the tree"},
        {"tree", PUT, BYTES("x" ID_9), BYTES(""), "unknown entry in the tree"},
        {"leases", PUT, BYTES("lweb-1"), BYTES("\x01"), "a lease is damaged"},
        {"leases", PUT, BYTES("lweb-9"), BYTES("\x01"), "a lease is damaged"},
        {"leases", PUT, BYTES("z"), BYTES(""), "among the leases"},
        {"leases", PUT, BYTES("i" ULID_NEW), BYTES(LONGER_THAN_A_KEY),
         "a lease is damaged"},
        {"leases", OVER, BYTES("i"), BYTES(LONGER_THAN_A_KEY),
         "a lease is damaged"},
        {"leases", PUT, BYTES("i" ULID_NEW), BYTES("web-1"),
         "not as much in it"},
        {"leases", PUT, BYTES("b" ULID_NEW ID_2 ULID_NEW "service"), BYTES(""),
         "bound to a lease"},
        {"leases", PUT, BYTES("r" ID_2 ULID_NEW "service"), BYTES("\x01"),
         "way back"},
        {"leases", PUT, BYTES("r" ID_2 ULID_NEW), BYTES(ULID_NEW), "way back"},
        {"leases", PUT, BYTES("r" ID_2 ULID_NEW "service"), BYTES(ULID_NEW),
         "not as much in it"},
        {"keys", PUT, BYTES("k"), BYTES(""), "idempotency key"},
        {"keys", PUT, BYTES("mmweb-1"), BYTES(""), "a mark is damaged"},
        {"keys", PUT, BYTES("mm"), BYTES(ID_1 "\1"), "a mark is damaged"},
        {"keys", PUT, BYTES("mmweb-1"), BYTES(ID_1 "\2why"),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mmweb-1"), BYTES(ID_1 "\1\xff"),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mz" ID_1), BYTES(ID_1 "\1"), "a mark is damaged"},
        {"keys", PUT, BYTES("mgweb-1"), BYTES(ID_1 "\1\1"),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mr" ID_1 ULID_NEW), BYTES(ID_1 "\1"),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mfweb-1"), BYTES(ID_1 "\1"), "not as much in it"},
        {"keys", PUT, BYTES("mfweb-1"), BYTES(ZERO_8 "\1"),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mb" ID_1), BYTES(ZERO_8 "\1"),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mb" ID_1),
         BYTES(ZERO_8 "\1\4" ZERO_8 ZERO_8 ZERO_8 ZERO_8), "a mark is damaged"},
        {"keys", PUT, BYTES("mb" ID_1),
         BYTES(ID_1 "\1\1" ZERO_8 ZERO_8 ZERO_8 ZERO_8), "a mark is damaged"},
        {"keys", PUT, BYTES("mh" ID_1 ULID_NEW),
         BYTES(ZERO_8 "\1" HUGE_8 "\1" ZERO_8), "a mark is damaged"},
        {"keys", PUT, BYTES("mUbo"), BYTES(ZERO_8 "\1"), "a mark is damaged"},
        {"keys", PUT, BYTES("mUbo"), BYTES(ZERO_8 BO(ZERO_8) "x"),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mU-o"), BYTES(ZERO_8 BO(ZERO_8)),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mUbo"), BYTES(ID_1 BO(ZERO_8)),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mUbo"), BYTES(ZERO_8 BO(HUGE_8)),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mRbo"), BYTES(ZERO_8 BO(ZERO_8)),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mTbo"), BYTES(ZERO_8 BO(ZERO_8)),
         "a mark is damaged"},
        {"keys", PUT, BYTES("mQbo"), BYTES(ZERO_8 BO(ZERO_8)),
         "a mark is damaged"},
        {"keys", PUT, BYTES("t" ID_1 "mweb-1"), BYTES(""), "a mark ends"},
        {"keys", PUT, BYTES("t" ID_1 "m" ULIDS_8 ULIDS_8 ULIDS_8 ULIDS_3),
         BYTES(""), "a mark ends"},
        {"history", PUT, BYTES("\0\0\0\0\0\0\0"), BYTES("{}"), "an event"},
        {"history", DELETE, BYTES(ID_2), BYTES(""), "not as much in it"},
        {POOL_DB, OVER, BYTES("rwebhook"), BYTES("{}"),
         "a resource is damaged"},
        {POOL_DB, OVER, BYTES("rwebhook"),
         BYTES("{\"_id\":\"00000000000000000000000000\",\"_rev\":1,"
               "\"name\":\"x\"}"),
         "a resource is damaged"},
        {POOL_DB, BLANK, BYTES("rwebhook"), BYTES(""), "a resource is damaged"},
        {POOL_DB, OVER, BYTES("swebhook"), BYTES("\"secret\""),
         "secret fields"},
        {POOL_DB, PUT, BYTES("rservice\0" ULID_NEW),
         BYTES("{\"_id\":\"7ZZZZZZZZZZZZZZZZZZZZZZZZZ\",\"_rev\":1,"
               "\"name\":\"x\"}"),
         "not the rows it says"},
        {POOL_DB, PUT, BYTES("sservice\0" ULID_NEW), BYTES("\"a\":\"b\""),
         "secret fields"},
        {POOL_DB, PUT, BYTES("kservice\0nobody"), BYTES(ULID_NEW),
         "a primary key is nobody's"},
        {POOL_DB, PUT, BYTES("kservice\0nobody"), BYTES(LONGER_THAN_A_KEY),
         "a primary key is nobody's"},
        {POOL_DB, PUT, BYTES("lservice"), BYTES("\x01"), "a list has not"},
        {POOL_DB, PUT, BYTES("lother"), BYTES("\x01"), "a list has not"},
        {POOL_DB, PUT, BYTES("z"), BYTES(""), "among the rows"},
        {"meta", POKE, BYTES("state"), BYTES(EPOCH_AT HUGE_8),
         "numbers are none"},
        {"meta", POKE, BYTES("state"), BYTES(NEXT_NS_AT HUGE_8),
         "numbers are none"},
        {"meta", POKE, BYTES("state"), BYTES(LOG_TIME_AT HUGE_8),
         "numbers are none"},
        {"tree", PUT, BYTES("x" ID_1), BYTES(""), "is deleted and is not"},
        {"tree", PUT, BYTES("x" ID_2), BYTES(""), "is deleted and is not"},
        {"meta", POKE, BYTES("state"), BYTES(INDEX_AT "\x03"),
         "numbers are none"},
        {"meta", POKE, BYTES("state"), BYTES(INDEX_AT "\x01"),
         "the index is not of"},
        {"index", PUT, BYTES("service\0zz\0" ID_5), BYTES(""),
         "the index is not of"},
        {"index", PUT, BYTES("service\0r1\0" ID_9), BYTES(""),
         "the index is not of"},
        {"index", PUT, BYTES("service"), BYTES(""), "the index is not of"},
        {"index", PUT, BYTES("service\0r1\0" ID_5), BYTES("x"),
         "the index is damaged"},
        {"index", DELETE, BYTES("service\0r1\0" ID_5), BYTES(""),
         "missing in the index"},
        {"index", PUT, BYTES("\0"), BYTES("\1" ID_1 ID_1), "the index is"},
        {"index", PUT, BYTES("\0"), BYTES("\1"), "the index is damaged"},
        {"leases", POKE, BYTES("lweb-1"), BYTES("\x18\xff\xff\xff\x7f"),
         "time to live"},
        {"leases", REBIND, BYTES("b"), BYTES(""), "not as much in it"},
        {"keys", POKE, BYTES("k"), BYTES("\x14\xff\xff\xff\xff"),
         "idempotency key"},
        {"keys", POKE, BYTES("k"), BYTES("\x14\x04"), "idempotency key"},
        {"keys", POKE, BYTES("k"), BYTES("\x08\x01"), "idempotency key"},
        {"n00000000000000ff", PUT, BYTES("z"), BYTES(""),
         "rows of no namespace"},
        {"unheard", PUT, BYTES("z"), BYTES(""), "an unknown database"},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        damage(b, &damages[i]);
    }
}

/* And its digest is the one that it had. */
static void a_way_back_without_a_type_is_accepted(void **state)
{
    static const struct damage older = {"leases", UNTYPE, BYTES("r"), BYTES(""),
                                        ""};
    struct bench *b = *state;
    char why[STATE_WHY];

    assert_int_equal(check_changed(b, &older, why), 0);
}

static void a_header_that_tells_of_another_state_is_refused(void **state)
{
    struct bench *b = *state;
    struct state_info was = b->info;
    char why[STATE_WHY];
    struct buf bytes = {0};

    buf_add_str(&bytes, buf_str(&b->bytes));
    for (unsigned i = 0; i < 4; i++) {
        b->info.revision += i == 0;
        b->info.index += i == 1;
        b->info.cluster[3] ^= i == 2;
        b->info.state[31] ^= i == 3;
        seal(b, &bytes, NULL);
        b->info = was;
        assert_int_equal(check(b, bytes.p, bytes.n, why), ERR_INVALID);
        assert_non_null(strstr(why, "another state"));
    }
    buf_done(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_accepted_and_tells_what_is_in_it),
        cmocka_unit_test(a_head_is_read_alone),
        cmocka_unit_test(a_descriptor_survives_its_bytes),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_byte_behind_the_end_is_refused),
        cmocka_unit_test(a_flipped_bit_of_the_header_is_refused),
        cmocka_unit_test(a_flipped_page_is_refused),
        cmocka_unit_test(a_file_with_right_sums_and_wrong_pages_is_no_crash),
        cmocka_unit_test(a_file_with_its_first_pages_swapped_is_refused),
        cmocka_unit_test(a_file_with_entries_that_share_bytes_is_refused),
        cmocka_unit_test(a_file_with_free_pages_in_disorder_is_refused),
        cmocka_unit_test(a_file_with_right_sums_and_wrong_records_is_refused),
        cmocka_unit_test(a_way_back_without_a_type_is_accepted),
        cmocka_unit_test(a_header_that_tells_of_another_state_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
