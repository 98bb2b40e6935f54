/* Searches by a primary key: what the index and the keys say is, byte by byte,
 * what a scan finds. A regular expression always scans, so each question is
 * asked both ways, page by page, while the tree and the rows change. */
#include <stdlib.h>

#include "access/access.h"
#include "kit.h"

static uint64_t seed = 7;

static uint64_t chance(uint64_t below)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (seed >> 33) % below;
}

enum { BRANCHES = 4, LEAVES = 18, PLACES = 64 };

static const char *const types[][2] = {{"service", "name"},
                                       {"machine", "hostname"},
                                       {"disk", "serial"},
                                       {"note", NULL}};

static void create(struct kit *k, const char *parent, const char *name,
                   const char *kind)
{
    char body[160];

    (void)snprintf(body, sizeof body,
                   "{\"parent\":\"%s\",\"name\":\"%s\",\"kind\":\"%s\"}",
                   parent, name, kind);
    assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL, body),
                     OP_CREATED);
}

static void make_tree(struct kit *k)
{
    char name[16], parent[32];

    assert_int_equal(kit_do(k, OP_TYPE_PUT, NULL, "disk", NULL,
                            "{\"key\":\"serial\",\"key_required\":false}"),
                     OP_CREATED);
    assert_int_equal(
        kit_do(k, OP_TYPE_PUT, NULL, "note", NULL, "{\"key\":null}"),
        OP_CREATED);
    for (int i = 0; i < BRANCHES; i++) {
        (void)snprintf(name, sizeof name, "b%d", i);
        create(k, i < 2 ? "roster" : "b0.roster", name, "branch");
    }
    for (int i = 0; i < LEAVES; i++) {
        static const char *const places[] = {"roster", "b0.roster", "b1.roster",
                                             "b2.b0.roster", "b3.b0.roster"};
        (void)snprintf(name, sizeof name, "l%d", i);
        (void)snprintf(parent, sizeof parent, "%s", places[chance(5)]);
        create(k, parent, name, "leaf");
    }
}

/* ---- what there is, by ids: names change ---- */

struct place {
    char path[256];
    enum store_kind kind;
};

static bool find_place(struct kit *k, enum store_kind kind, struct place *ret)
{
    struct store_txn *txn = NULL;
    struct store_node node;
    struct buf path = {0};
    struct place found[PLACES] = {0};
    size_t n = 0;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    for (uint64_t id = STORE_POOL + 1; id < store_meta(txn)->next_ns; id++) {
        buf_clear(&path);
        if (store_path_of(txn, id, &path) == 0 &&
            store_node_get(txn, id, &node) == 0 &&
            (kind == 0 || node.kind == kind) && n < PLACES) {
            (void)snprintf(found[n].path, sizeof found[n].path, "%s",
                           buf_text(&path));
            found[n++].kind = node.kind;
        }
    }
    store_read_end(txn);
    buf_done(&path);
    if (n > 0) {
        *ret = found[chance(n)];
    }
    return n > 0;
}

/* Few texts, of which some begin others; one has to be escaped. */
static const char *any_key(void)
{
    static const char *const keys[] = {"a",   "ab",     "abc",       "abd",
                                       "b",   "b\\\\q", "w\\u0001x", "web-1",
                                       "web", "web-10"};
    return keys[chance(sizeof keys / sizeof keys[0])];
}

static void put_row(struct kit *k)
{
    const char *const *type = types[chance(4)];
    struct place place;
    char body[200];

    if (!find_place(k, chance(8) == 0 ? STORE_BRANCH : STORE_LEAF, &place)) {
        return;
    }
    (void)snprintf(body, sizeof body, "{\"%s\":\"%s\",\"v\":\"%u\"}",
                   type[1] == NULL || (type[0][0] == 'd' && chance(4) == 0)
                       ? "name"
                       : type[1],
                   any_key(), (unsigned)chance(1000));
    (void)kit_do(k, OP_LIST_ADD, place.path, type[0], NULL, body);
}

static void change_row(struct kit *k, enum op_kind kind, const char *body)
{
    const char *const *type = types[chance(3)];
    struct place place;

    if (find_place(k, STORE_LEAF, &place)) {
        (void)kit_do(k, kind, place.path, type[0], any_key(), body);
    }
}

static void replace_list(struct kit *k)
{
    const char *const *type = types[chance(3)];
    struct place place;
    char body[300];

    if (find_place(k, STORE_LEAF, &place)) {
        (void)snprintf(body, sizeof body,
                       "[{\"%s\":\"%s\"},{\"%s\":\"%s\"},{\"%s\":\"z\"}]",
                       type[1], any_key(), type[1], any_key(), type[1]);
        (void)kit_do(k, OP_LIST_PUT, place.path, type[0], NULL, body);
    }
}

static void change_tree(struct kit *k)
{
    struct place place, to;
    char body[300];

    if (!find_place(k, 0, &place) || !find_place(k, STORE_BRANCH, &to)) {
        return;
    }
    switch (chance(8)) {
    case 0:
        kit_op(k, OP_NS_DELETE, place.path, NULL, NULL, NULL)->query.recursive =
            place.kind == STORE_LEAF;
        (void)kit_run(k);
        break;
    case 1:
    case 2:
        (void)snprintf(body, sizeof body, "{\"parent\":\"%s\"}", to.path);
        (void)kit_do(k, OP_NS_CHANGE, place.path, NULL, NULL, body);
        break;
    case 3:
    case 4:
        (void)snprintf(body, sizeof body, "{\"name\":\"n%u\"}",
                       (unsigned)chance(30));
        (void)kit_do(k, OP_NS_CHANGE, place.path, NULL, NULL, body);
        break;
    default:
        (void)snprintf(body, sizeof body,
                       "{\"parent\":\"%s\",\"name\":\"c%u\",\"kind\":\"leaf\"}",
                       to.path, (unsigned)chance(10));
        (void)kit_do(k, OP_NS_CREATE, NULL, NULL, NULL, body);
    }
}

static void move_row(struct kit *k)
{
    struct place to;
    char body[300];

    if (find_place(k, STORE_LEAF, &to)) {
        (void)snprintf(body, sizeof body, "{\"to\":\"%s\"}", to.path);
        change_row(k, OP_ROW_MOVE, body);
    }
}

static void change(struct kit *k)
{
    char body[100];

    switch (chance(12)) {
    case 0:
        change_row(k, OP_ROW_DELETE, NULL);
        break;
    case 1:
        move_row(k);
        break;
    case 2:
        (void)snprintf(body, sizeof body,
                       "{\"name\":\"%s\",\"hostname\":\"%s\"}", any_key(),
                       any_key());
        change_row(k, OP_ROW_PATCH, body);
        break;
    case 3:
        replace_list(k);
        break;
    case 4:
        change_tree(k);
        break;
    case 5: {
        struct command c = {.kind = COMMAND_RECLAIM,
                            .reclaim = {1 + chance(9)}};
        (void)kit_apply(&k->core, &c);
        break;
    }
    default:
        put_row(k);
    }
}

/* ---- asking both ways ---- */

struct asked {
    char top[256], after[400];
    struct str type, field, text;
    bool prefix;
    uint64_t limit;
};

/* The text after `after=` of the next page, decoded. */
static void read_after(const struct kit *k, char room[400])
{
    struct str next = k->op.answer.next;
    size_t n = 0;

    room[0] = '\0';
    if (next.n == 0) {
        return;
    }
    const char *at = memmem(next.p, next.n, "after=", 6);
    assert_non_null(at);
    for (at += 6; at < next.p + next.n && *at != '&'; at++) {
        if (*at == '%') {
            assert_memory_equal(at, "%2F", 3);
            room[n++] = '/';
            at += 2;
        } else {
            room[n++] = *at;
        }
    }
    room[n] = '\0';
}

static struct str ask(struct kit *k, const struct asked *asked, bool scans)
{
    struct buf pattern = {0};

    buf_add_text(&pattern, "^\\Q");
    buf_add_str(&pattern, asked->text);
    buf_add_text(&pattern, asked->prefix ? "\\E" : "\\E\\z");
    struct op_query *query =
        &kit_op(k, OP_SEARCH, NULL, NULL, NULL, NULL)->query;
    query->ns = str_of(asked->top);
    query->type = asked->type;
    query->k = asked->field;
    query->limit = asked->limit;
    query->v = scans ? buf_str(&pattern) : asked->text;
    query->mode = scans           ? STR("regex")
                  : asked->prefix ? STR("prefix")
                                  : STR("exact");
    if (asked->after[0] != '\0') {
        query->after = str_of(asked->after);
    }
    assert_int_equal(kit_run(k), OP_OK);
    struct str body = {mem_dup(k->op.answer.body.p, k->op.answer.body.n),
                       k->op.answer.body.n};
    buf_done(&pattern);
    return body;
}

static unsigned n_pages, n_full;

static void compare_page(struct kit *k, struct asked *asked)
{
    char by_key[400], by_scan[400];

    struct str one = ask(k, asked, false);
    uint64_t revision = k->op.answer.revision;
    read_after(k, by_key);
    struct str two = ask(k, asked, true);
    read_after(k, by_scan);
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.p, two.p, one.n);
    assert_string_equal(by_key, by_scan);
    assert_int_equal(revision, k->op.answer.revision);
    n_pages++;
    n_full += one.n > 2;
    memcpy(asked->after, by_key, sizeof by_key);
    (void)mem_free((void *)(uintptr_t)one.p);
    (void)mem_free((void *)(uintptr_t)two.p);
}

/* Somebody who may read what is below one namespace. */
static struct access_who *reader_of(const char *path)
{
    char grant[300];

    (void)snprintf(grant, sizeof grant, "reader@%s", path);
    struct str grants[] = {str_of(grant)};
    const struct access_made made = {.kind = ACCESS_USER,
                                     .name = STR("ann"),
                                     .user = STR("ann"),
                                     .grants = {grants, 1}};
    struct access_who *who = NULL;

    assert_int_equal(access_make(NULL, &made, &who), 0);
    return who;
}

static void compare_as(struct kit *k, struct asked *asked, const char *reader)
{
    struct access_who *all = k->who, *who = reader_of(reader);

    k->who = who;
    compare_page(k, asked);
    (void)kit_op(k, OP_LEADER, NULL, NULL, NULL, NULL); /* lets go of him */
    k->op.who = NULL;
    k->who = all;
    (void)access_unref(who);
}

/* Things change between pages as well. */
static void compare(struct kit *k, bool changes)
{
    static const char *const texts[] = {"a",   "ab",    "b", "b\\q", "w\x01x",
                                        "web", "web-1", "z", "none"};
    size_t t = chance(4);
    struct asked asked = {
        .top = "roster",
        .type = str_of(types[t][0]),
        .field = str_of(types[t][1] == NULL ? "name" : types[t][1]),
        .text = str_of(texts[chance(sizeof texts / sizeof texts[0])]),
        .prefix = chance(2),
        .limit = chance(3) == 0 ? 0 : 1 + chance(5)};
    struct place top, seen;

    bool some = chance(3) == 0 && find_place(k, 0, &seen);
    if (!some && chance(2) == 0 && find_place(k, 0, &top)) {
        (void)snprintf(asked.top, sizeof asked.top, "%s", top.path);
        changes = false;
    }
    do {
        if (some) {
            compare_as(k, &asked, seen.path);
        } else {
            compare_page(k, &asked);
        }
        if (changes) {
            change(k);
        }
    } while (asked.after[0] != '\0');
}

static void run(struct kit *k, int n)
{
    for (int i = 0; i < n; i++) {
        change(k);
        if (i % 4 == 0) {
            compare(k, chance(2));
        }
    }
}

static void rise(struct kit *k)
{
    struct command c = {.kind = COMMAND_FEATURE,
                        .feature = {MACHINE_FEATURE_INDEX}};
    assert_int_equal(kit_apply(&k->core, &c), 0);
}

static uint64_t index_of(struct kit *k)
{
    struct store_txn *txn = NULL;

    assert_int_equal(store_read_begin(k->reader, &txn), 0);
    uint64_t index = store_meta(txn)->index;
    store_read_end(txn);
    return index;
}

/* It begins again, with all that is in it, and one step at a time. */
static void begin_anew(struct kit *k)
{
    struct store_txn *txn = NULL;

    assert_int_equal(store_write_begin(k->core.store, &txn), 0);
    assert_int_equal(store_index_begin(txn), 0);
    assert_int_equal(store_write_commit(txn), 0);
}

static void check_file(struct kit *k)
{
    struct store_found found;
    char file[96];

    (void)snprintf(file, sizeof file, "%s/copy", k->core.dir);
    assert_int_equal(store_copy(k->core.store, file), 0);
    if (store_check_file(file, &found) != 0) {
        fail_msg("%s", found.why);
    }
    (void)remove(file);
}

static void what_the_index_finds_is_what_a_scan_finds(void **state)
{
    struct kit *k = kit_new();
    struct command step = {.kind = COMMAND_INDEX, .index = {20}};

    (void)state;
    make_tree(k);
    assert_int_equal(index_of(k), STORE_INDEX_NONE);
    run(k, 300);
    rise(k);
    assert_int_equal(index_of(k), STORE_INDEX_COMPLETE);
    run(k, 700);
    check_file(k);
    begin_anew(k);
    while (index_of(k) == STORE_INDEX_BUILDING) {
        run(k, 3);
        check_file(k);
        assert_int_equal(kit_apply(&k->core, &step), 0);
    }
    run(k, 300);
    check_file(k);
    assert_true(n_pages > 250 && n_full > n_pages / 5);
    kit_free(k);
}

/* Else the test above would compare a scan with a scan. */
static void it_is_the_index_that_answers(void **state)
{
    struct kit *k = kit_new();
    struct asked asked = {.top = "roster",
                          .type = STR("service"),
                          .field = STR("name"),
                          .text = STR("a")};
    struct store_txn *txn = NULL;

    (void)state;
    create(k, "roster", "l", "leaf");
    assert_int_equal(
        kit_do(k, OP_LIST_ADD, "l.roster", "service", NULL, "{\"name\":\"a\"}"),
        OP_CREATED);
    struct str before = ask(k, &asked, false);
    assert_true(before.n > 2);
    assert_int_equal(store_write_begin(k->core.store, &txn), 0);
    store_meta(txn)->index = STORE_INDEX_COMPLETE; /* It is empty. */
    assert_int_equal(store_write_commit(txn), 0);
    struct str after = ask(k, &asked, false);
    assert_true(str_is(after, "{}"));
    /* Not by another field, and not by all there are. */
    asked.field = STR("port");
    asked.prefix = true;
    struct str other = ask(k, &asked, false);
    assert_true(str_is(other, "{}"));
    asked.field = STR("name");
    asked.text = STR("");
    struct str all = ask(k, &asked, false);
    assert_int_equal(all.n, before.n);
    (void)mem_free((void *)(uintptr_t)before.p);
    (void)mem_free((void *)(uintptr_t)after.p);
    (void)mem_free((void *)(uintptr_t)other.p);
    (void)mem_free((void *)(uintptr_t)all.p);
    kit_free(k);
}

static enum op_step first_step(struct kit *k, const char *mode, const char *v)
{
    struct op_query *query =
        &kit_op(k, OP_SEARCH, NULL, NULL, NULL, NULL)->query;

    query->type = STR("service");
    query->k = STR("name");
    query->v = str_of(v);
    query->mode = str_of(mode);
    return registry_run(k->registry, &k->op, k->reader);
}

/* A few are found without a worker, behind whom others may wait. */
static void what_few_have_is_answered_at_once(void **state)
{
    struct kit *k = kit_new();
    char name[16], path[32];

    (void)state;
    for (int i = 0; i < 12; i++) {
        (void)snprintf(name, sizeof name, "l%d", i);
        (void)snprintf(path, sizeof path, "%s.roster", name);
        create(k, "roster", name, "leaf");
        assert_int_equal(kit_do(k, OP_LIST_ADD, path, "service", NULL,
                                i < 3 ? "[{\"name\":\"few\"},{\"name\":\"m\"}]"
                                      : "{\"name\":\"m\"}"),
                         OP_CREATED);
    }
    assert_int_equal(first_step(k, "exact", "few"), OP_WORK);
    rise(k);
    assert_int_equal(first_step(k, "exact", "few"), OP_DONE);
    assert_int_equal(k->op.answer.code, OP_OK);
    assert_true(kit_says(k, "l0.roster") && kit_says(k, "l2.roster"));
    assert_int_equal(first_step(k, "prefix", "f"), OP_DONE);
    assert_int_equal(first_step(k, "exact", "none"), OP_DONE);
    assert_true(str_is(k->op.answer.body, "{}"));
    assert_int_equal(first_step(k, "exact", "m"), OP_WORK);
    assert_int_equal(first_step(k, "contains", "few"), OP_WORK);
    assert_int_equal(first_step(k, "regex", "few"), OP_WORK);
    kit_free(k);
}

/* More than can be sorted: the tree is walked. */
static void what_is_everywhere_is_found_too(void **state)
{
    struct kit *k = kit_new();
    struct asked asked = {.top = "roster",
                          .type = STR("service"),
                          .field = STR("name"),
                          .text = STR("n1"),
                          .prefix = true};
    char name[16], path[32];

    (void)state;
    rise(k);
    for (int i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof name, "l%d", i);
        (void)snprintf(path, sizeof path, "%s.roster", name);
        create(k, "roster", name, "leaf");
        for (int j = 0; j < (i < 2 ? 1100 : 3); j++) {
            char body[40];
            (void)snprintf(body, sizeof body, "{\"name\":\"n%d\"}",
                           i < 2 ? 10000 + j : j);
            assert_int_equal(
                kit_do(k, OP_LIST_ADD, path, "service", NULL, body),
                OP_CREATED);
        }
    }
    asked.limit = 700;
    do {
        compare_page(k, &asked);
    } while (asked.after[0] != '\0');
    asked.prefix = false;
    asked.text = STR("n1");
    compare_page(k, &asked);
    assert_true(kit_says(k, "l5.roster"));
    kit_free(k);
}

/* While a type has no rows its key may become another one. */
static void a_type_gets_another_key(void **state)
{
    struct kit *k = kit_new();
    struct asked asked = {.top = "roster",
                          .type = STR("disk"),
                          .field = STR("name"),
                          .text = STR("a")};

    (void)state;
    rise(k);
    create(k, "roster", "l", "leaf");
    for (int i = 0; i < 4; i++) {
        static const char *const keys[] = {"name", "serial"};
        char body[80];
        (void)snprintf(body, sizeof body,
                       "{\"key\":\"%s\",\"key_required\":false}", keys[i % 2]);
        assert_true(kit_do(k, OP_TYPE_PUT, NULL, "disk", NULL, body) <=
                    OP_CREATED);
        assert_int_equal(kit_do(k, OP_LIST_ADD, "l.roster", "disk", NULL,
                                "[{\"name\":\"a\",\"serial\":\"x\"},"
                                "{\"name\":\"b\",\"serial\":\"a\"}]"),
                         OP_CREATED);
        for (int j = 0; j < 2; j++) {
            asked.field = str_of(keys[j]);
            asked.after[0] = '\0';
            compare_page(k, &asked);
            assert_true(kit_says(k, "\"_id\""));
        }
        check_file(k);
        assert_int_equal(kit_do(k, OP_LIST_PUT, "l.roster", "disk", NULL, "[]"),
                         OP_OK);
    }
    kit_free(k);
}

/* A key may have zero bytes in it, and they stand between the parts of an
 * entry, too. */
static void zero_bytes_are_bytes_of_a_key(void **state)
{
    static const struct str texts[] = {{"a", 1},     {"a\0", 2},
                                       {"a\0\0", 3}, {"a\0\0\0\0", 5},
                                       {"a\0b", 3},  {"a\0\0\0\0\0\0\0\0", 9},
                                       {"\0", 1},    {"a\0\0\0\0\0\0", 7}};
    struct kit *k = kit_new();
    struct asked asked = {
        .top = "roster", .type = STR("service"), .field = STR("name")};

    (void)state;
    rise(k);
    create(k, "roster", "l", "leaf");
    assert_int_equal(kit_do(k, OP_LIST_ADD, "l.roster", "service", NULL,
                            "[{\"name\":\"a\"},{\"name\":\"a\\u0000b\"},"
                            "{\"name\":\"a\\u0000\\u0000\"}]"),
                     OP_CREATED);
    for (size_t i = 0; i < 2 * sizeof texts / sizeof texts[0]; i++) {
        asked.text = texts[i / 2];
        asked.prefix = i % 2 == 0;
        asked.after[0] = '\0';
        compare_page(k, &asked);
    }
    kit_free(k);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_index_finds_is_what_a_scan_finds),
        cmocka_unit_test(it_is_the_index_that_answers),
        cmocka_unit_test(what_few_have_is_answered_at_once),
        cmocka_unit_test(what_is_everywhere_is_found_too),
        cmocka_unit_test(a_type_gets_another_key),
        cmocka_unit_test(zero_bytes_are_bytes_of_a_key),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : seed;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
