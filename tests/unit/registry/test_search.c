/* Search over more namespaces than a read transaction can use (the kit has 8
 * handles, so 4 a transaction). */
#include "kit.h"

enum { LEAVES = 20 };

static void create(struct kit *k, const char *parent, const char *name,
                   const char *kind)
{
    char body[128];

    (void)snprintf(body, sizeof body,
                   "{\"parent\":\"%s\",\"name\":\"%s\",\"kind\":\"%s\"}",
                   parent, name, kind);
    assert_int_equal(kit_do(k, OP_NS_CREATE, NULL, NULL, NULL, body),
                     OP_CREATED);
}

static void add(struct kit *k, const char *ns, const char *type,
                const char *body)
{
    assert_int_equal(kit_do(k, OP_LIST_ADD, ns, type, NULL, body), OP_CREATED);
}

static int set_up(void **state)
{
    struct kit *k = kit_new();

    create(k, "roster", "shop", "branch");
    for (int i = 0; i < LEAVES; i++) {
        char name[8], ns[32];
        (void)snprintf(name, sizeof name, "n%02d", i);
        (void)snprintf(ns, sizeof ns, "%s.shop.roster", name);
        create(k, "shop.roster", name, "leaf");
        add(k, ns, "service", "[{\"name\":\"a\"},{\"name\":\"b\\\"c\"}]");
        add(k, ns, "config", "{\"name\":\"x\",\"k\":\"v1\"}");
    }
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    return 0;
}

static size_t count(struct str text, const char *wanted)
{
    size_t n = 0, length = strlen(wanted);

    for (size_t i = 0; i + length <= text.n; i++) {
        n += memcmp(text.p + i, wanted, length) == 0;
    }
    return n;
}

static struct op_query *search(struct kit *k)
{
    return &kit_op(k, OP_SEARCH, NULL, NULL, NULL, NULL)->query;
}

static void everything_is_found_once_and_in_order(void **state)
{
    struct kit *k = *state;

    (void)search(k);
    assert_int_equal(kit_run(k), OP_OK);
    assert_int_equal(count(k->op.answer.body, "\"_id\""), 3 * LEAVES);
    assert_int_equal(count(k->op.answer.body, ".shop.roster\":["), LEAVES);
    const char *first =
        memmem(k->op.answer.body.p, k->op.answer.body.n, "n00.", 4);
    const char *last =
        memmem(k->op.answer.body.p, k->op.answer.body.n, "n19.", 4);
    assert_true(first < last);
    assert_int_equal(k->op.answer.revision, k->core.status.revision);
    assert_int_equal(k->op.answer.next.n, 0);
}

static void values_are_compared_as_they_were_sent(void **state)
{
    struct kit *k = *state;
    struct op_query *query = search(k);

    query->k = STR("name");
    query->v = STR("b\"c");
    assert_int_equal(kit_run(k), OP_OK);
    assert_int_equal(count(k->op.answer.body, "\"_id\""), LEAVES);

    query = search(k);
    query->v = STR("^v[0-9]$");
    query->mode = STR("regex");
    query->type = STR("config");
    assert_int_equal(kit_run(k), OP_OK);
    assert_int_equal(count(k->op.answer.body, "\"_id\""), LEAVES);

    query = search(k);
    query->k = STR("nothing");
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(str_is(k->op.answer.body, "{}"));
}

/* The text after `after=` of the next page, decoded. */
static struct str next_after(const struct kit *k, char room[256])
{
    struct str next = k->op.answer.next;
    const char *at = memmem(next.p, next.n, "after=", 6);
    size_t n = 0;

    for (at += 6; at < next.p + next.n && *at != '&'; at++) {
        if (*at == '%') {
            assert_memory_equal(at, "%2F", 3);
            room[n++] = '/';
            at += 2;
        } else {
            room[n++] = *at;
        }
    }
    return (struct str){room, n};
}

static size_t read_pages(struct kit *k, const char *delete_after_first)
{
    char after[256];
    size_t n = 0;

    struct op_query *query = search(k);
    for (int page = 0; page < 100; page++) {
        query->limit = 7;
        assert_int_equal(kit_run(k), OP_OK);
        n += count(k->op.answer.body, "\"_id\"");
        if (k->op.answer.next.n == 0) {
            return n;
        }
        struct str from = next_after(k, after);
        if (page == 0 && delete_after_first != NULL) {
            kit_op(k, OP_NS_DELETE, delete_after_first, NULL, NULL, NULL)
                ->query.recursive = true;
            assert_int_equal(kit_run(k), OP_NO_CONTENT);
        }
        query = search(k);
        query->after = from;
    }
    fail();
    return 0;
}

static void pages_give_every_row_once(void **state)
{
    assert_int_equal(read_pages(*state, NULL), 3 * LEAVES);
}

/* The first page ends inside n02: what it has given is given, what else was in
 * n02 has gone, and nothing else is missed. */
static void a_cursor_outlives_its_namespace(void **state)
{
    assert_int_equal(read_pages(*state, "n02.shop.roster"),
                     7 + 3 * (LEAVES - 3));
}

static void a_branch_shows_no_templates(void **state)
{
    struct kit *k = *state;

    add(k, "shop.roster", "alert", "{\"name\":\"t\"}");
    search(k)->type = STR("alert");
    assert_int_equal(kit_run(k), OP_OK);
    assert_true(str_is(k->op.answer.body, "{}"));
}

static void what_cannot_be_searched_names_its_field(void **state)
{
    struct kit *k = *state;

    search(k)->mode = STR("fuzzy");
    assert_int_equal(kit_run(k), OP_BAD_REQUEST);
    assert_true(str_is(k->op.answer.field, "mode"));
    struct op_query *query = search(k);
    query->mode = STR("regex");
    query->v = STR("(");
    assert_int_equal(kit_run(k), OP_BAD_REQUEST);
    assert_true(str_is(k->op.answer.field, "v"));
    search(k)->after = STR("n00");
    assert_int_equal(kit_run(k), OP_BAD_REQUEST);
    assert_true(str_is(k->op.answer.field, "after"));
    search(k)->ns = STR("no.roster");
    assert_int_equal(kit_run(k), OP_NOT_FOUND);
    assert_true(str_is(k->op.answer.field, "ns"));
}

/* Rules are checked against all rows, in leaves and in branches. */
static void rules_are_checked_over_all_chunks(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_do(k, OP_TYPE_PUT, NULL, "config", NULL,
                            "{\"key\":\"name\",\"required\":[\"k\"]}"),
                     OP_OK);
    add(k, "shop.roster", "config", "{\"name\":\"tmpl\",\"k\":\"1\"}");
    assert_int_equal(kit_do(k, OP_TYPE_PUT, NULL, "config", NULL,
                            "{\"key\":\"name\",\"checks\":{\"k\":\"int\"}}"),
                     OP_CONFLICT);
    assert_true(str_is(k->op.answer.field, "k"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_is_found_once_and_in_order),
        TEST(values_are_compared_as_they_were_sent),
        TEST(pages_give_every_row_once),
        TEST(a_cursor_outlives_its_namespace),
        TEST(a_branch_shows_no_templates),
        TEST(what_cannot_be_searched_names_its_field),
        TEST(rules_are_checked_over_all_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
