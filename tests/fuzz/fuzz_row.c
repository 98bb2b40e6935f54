/* Takes a row and, behind a newline, a patch; without, one is both. What
 * row_read takes is taken again and equal; merging twice is merging once; a row
 * taken apart is what was put together. */
#include "base/err.h"
#include "model/row.h"
#include "replay.h"

static bool read_fields(struct arena *arena, struct str text, bool patch,
                        struct row_input *ret_input)
{
    struct json *root = NULL;
    struct json_error json_error = {0};
    struct row_error error = {0};

    if (json_parse(arena, text, &root, &json_error) != 0) {
        return false;
    }
    int r = row_read(arena, root, patch, ret_input, &error);
    REQUIRE(r == 0 || (r == ERR_INVALID && error.what.n > 0));
    return r == 0;
}

static struct str in_braces(struct arena *arena, struct str fields)
{
    struct buf text = {0};

    buf_add_char(&text, '{');
    buf_add_str(&text, fields);
    buf_add_char(&text, '}');
    return arena_take(arena, &text);
}

/* The form is canonical: reading it changes nothing. */
static void require_canonical(struct arena *arena, struct str fields,
                              bool patch)
{
    struct row_input again = {0};

    REQUIRE(fields.n <= ROW_FIELDS_MAX && row_count(fields) <= ROW_KEYS_MAX);
    REQUIRE(read_fields(arena, in_braces(arena, fields), patch, &again));
    REQUIRE(str_equal(again.fields, fields));
}

static void check_walk(struct arena *arena, struct str fields)
{
    struct str before = STR_NONE;
    struct str key = STR_NONE;
    struct str value = STR_NONE;
    size_t at = 0;

    while (row_next(fields, &at, &key, &value)) {
        struct buf name = {0};
        row_unescape(&name, key);
        struct str plain = arena_take(arena, &name);
        struct str found = row_get(fields, plain);
        REQUIRE(found.p == value.p && found.n == value.n);
        REQUIRE(before.p == NULL || str_compare(before, key) < 0);
        before = key;
        if (value.p == NULL) {
            continue;
        }
        json_add_string(&name, row_get_text(arena, fields, plain));
        REQUIRE(str_equal((struct str){name.p + 1, name.n - 2}, value));
        buf_done(&name);
    }
}

static void check_merge(struct arena *arena, struct str fields,
                        struct str patch)
{
    struct buf buf = {0};

    row_merge(&buf, fields, patch);
    struct str once = arena_take(arena, &buf);
    row_merge(&buf, once, patch);
    struct str twice = arena_take(arena, &buf);
    REQUIRE(str_equal(once, twice));
    row_merge(&buf, fields, fields);
    REQUIRE(str_equal(arena_take(arena, &buf), fields));
    check_walk(arena, once);
}

static void check_whole(struct arena *arena, struct str fields)
{
    CLEANUP(buf_done) struct buf row = {0};
    CLEANUP(buf_done) struct buf cut = {0};
    struct ulid id = {.b = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
    struct ulid got_id;
    uint64_t revision = 0;
    struct str got = STR_NONE;
    /* Any value is a text that the server may say. */
    struct row_server server = {row_get(fields, STR("a")),
                                row_get(fields, STR("b"))};
    struct row_server said;

    row_write(&row, id, 4711, &server, fields);
    row_split(buf_str(&row), &got_id, &revision, &said, &got);
    REQUIRE(row_server_equal(&server, &said));
    REQUIRE(ulid_compare(id, got_id) == 0 && revision == 4711);
    REQUIRE(str_equal(fields, got));
    struct row_input again = {0};
    REQUIRE(read_fields(arena, buf_str(&row), false, &again));
    REQUIRE(ulid_compare(id, again.id) == 0);
    REQUIRE(str_equal(fields, again.fields));

    struct str name = STR("a");
    row_project(&cut, buf_str(&row), &name, 1);
    row_split(buf_str(&cut), &got_id, &revision, &said, &got);
    REQUIRE(row_server_equal(&server, &said));
    REQUIRE(str_equal(row_get(got, name), row_get(fields, name)));
    REQUIRE(row_count(got) <= 1);
}

/* Laying the secrets over the open part brings the row back. */
static void check_mask(struct arena *arena, struct str fields)
{
    const struct str names[] = {STR("s"), STR("a\"")};
    struct str open = STR_NONE;
    struct str secret = STR_NONE;
    struct buf buf = {0};

    row_mask(arena, fields, false, names, 2, &open, &secret);
    row_merge(&buf, open, secret);
    REQUIRE(str_equal(arena_take(arena, &buf), fields));
    REQUIRE(row_count(secret) <= 2 && row_count(open) == row_count(fields));
}

static void check_pair(struct arena *arena, struct str row_text,
                       struct str patch_text)
{
    struct row_input row = {0};
    struct row_input patch = {0};
    bool is_patch = read_fields(arena, patch_text, true, &patch);

    if (is_patch) {
        require_canonical(arena, patch.fields, true);
        check_walk(arena, patch.fields);
    }
    if (!read_fields(arena, row_text, false, &row)) {
        return;
    }
    REQUIRE(row.n == row_count(row.fields));
    require_canonical(arena, row.fields, false);
    check_walk(arena, row.fields);
    check_whole(arena, row.fields);
    check_mask(arena, row.fields);
    if (is_patch) {
        check_merge(arena, row.fields, patch.fields);
    }
}

/* A newline parts row and patch: JSON needs none inside. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct str text = {(const char *)bytes, n};
    const char *line = n == 0 ? NULL : memchr(text.p, '\n', n);

    if (line == NULL) {
        check_pair(arena, text, text);
        return 0;
    }
    size_t first = (size_t)(line - text.p);
    check_pair(arena, (struct str){text.p, first},
               (struct str){line + 1, n - first - 1});
    return 0;
}
