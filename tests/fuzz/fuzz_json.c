/* What json_parse takes can be written and read again, and is the same then;
 * what it refuses it explains. */
#include "base/err.h"
#include "base/utf8.h"
#include "model/json.h"
#include "replay.h"

static void write_value(struct buf *buf, const struct json *value)
{
    static const char *const words[] = {"null", "false", "true"};
    bool object = value->kind == JSON_OBJECT;
    size_t n = 0;

    if (value->kind <= JSON_TRUE) {
        buf_add_text(buf, words[value->kind]);
        return;
    }
    if (value->kind == JSON_NUMBER) {
        buf_add_str(buf, value->text);
        return;
    }
    if (value->kind == JSON_STRING) {
        json_add_string(buf, value->text);
        return;
    }
    buf_add_char(buf, object ? '{' : '[');
    for (const struct json *m = value->first; m != NULL; m = m->next) {
        buf_add_text(buf, n++ > 0 ? "," : "");
        if (object) {
            json_add_string(buf, m->key);
            buf_add_char(buf, ':');
        }
        write_value(buf, m);
    }
    buf_add_char(buf, object ? '}' : ']');
    REQUIRE(n == value->n);
}

static void require_equal(const struct json *a, const struct json *b)
{
    REQUIRE(a->kind == b->kind && a->n == b->n);
    REQUIRE(str_equal(a->key, b->key) && str_equal(a->text, b->text));
    REQUIRE(utf8_is_valid(a->key) && utf8_is_valid(a->text));
    b = b->first;
    for (a = a->first; a != NULL; a = a->next) {
        REQUIRE(b != NULL);
        require_equal(a, b);
        b = b->next;
    }
    REQUIRE(b == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    CLEANUP(buf_done) struct buf text = {0};
    struct json *root = NULL;
    struct json *again = NULL;
    struct json_error error = {0};

    int r =
        json_parse(arena, (struct str){(const char *)bytes, n}, &root, &error);
    if (r != 0) {
        REQUIRE(r == ERR_INVALID && error.offset <= n);
        REQUIRE(error.path.p != NULL && error.what.n > 0);
        REQUIRE(utf8_is_valid(error.path) && utf8_is_valid(error.what));
        return 0;
    }
    write_value(&text, root);
    REQUIRE(json_parse(arena, buf_str(&text), &again, &error) == 0);
    require_equal(root, again);
    return 0;
}
