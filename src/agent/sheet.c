#include "agent/sheet.h"

#include <stdlib.h>

#include "base/utf8.h"

enum { NOTES_MAX = 4, FIRST_ROOM = 64 };

struct item {
    unsigned rank;
    struct str key;
    struct str text;
};

struct sheet {
    struct arena *arena;
    const char *noun;
    struct item *items;
    size_t n;
    size_t room;
    size_t beyond; /* came when there was no room for more */
    struct {
        const char *name;
        const char *text;
    } notes[NOTES_MAX];
    size_t n_notes;
};

struct sheet *sheet_new(const char *noun)
{
    struct sheet *sheet = mem_zero(sizeof *sheet);

    sheet->arena = arena_new();
    sheet->noun = noun;
    return sheet;
}

struct sheet *sheet_free(struct sheet *sheet)
{
    if (sheet != NULL) {
        sheet->arena = arena_free(sheet->arena);
        (void)mem_free(sheet->items);
        (void)mem_free(sheet);
    }
    return NULL;
}

/* ---- text ---- */

/* C0, DEL and C1: what makes a terminal do things. */
static bool is_control(const char *at, size_t step)
{
    unsigned char first = (unsigned char)at[0];

    return (step == 1 && (first < ' ' || first == 0x7f)) ||
           (step == 2 && first == 0xc2 && (unsigned char)at[1] < 0xa0);
}

static void add_escaped(struct buf *out, struct str text)
{
    while (text.n > 0 && out->n < SHEET_ITEM_BYTES_MAX) {
        size_t step = utf8_step(text);
        if (step > 0 && !is_control(text.p, step)) {
            buf_add(out, text.p, step);
        } else {
            step = step == 0 ? 1 : step;
            for (size_t i = 0; i < step; i++) {
                buf_printf(out, "\\x%02x", (unsigned char)text.p[i]);
            }
        }
        text = (struct str){text.p + step, text.n - step};
    }
    buf_add_text(out, text.n > 0 ? "..." : "");
}

static bool is_own(struct str key)
{
    static const char *const own[] = {"name", "truncated", "hidden",
                                      "unavailable", NULL};

    for (const char *const *name = own; *name != NULL; name++) {
        if (str_is(key, *name)) {
            return true;
        }
    }
    return key.p[0] == '_';
}

void sheet_add(struct sheet *sheet, unsigned rank, struct str key,
               struct str text)
{
    struct buf name = {0};
    struct buf value = {0};

    if (key.n == 0) {
        return;
    }
    if (sheet->n == SHEET_ITEMS_MAX) {
        sheet->beyond++;
        return;
    }
    if (sheet->n == sheet->room) {
        sheet->room = sheet->room == 0 ? FIRST_ROOM : sheet->room * 2;
        sheet->items =
            mem_grow(sheet->items, sheet->room * sizeof *sheet->items);
    }
    if (is_own(key)) {
        buf_printf(&name, "%s ", sheet->noun);
    }
    add_escaped(&name, key);
    add_escaped(&value, text);
    sheet->items[sheet->n++] =
        (struct item){rank, arena_take(sheet->arena, &name),
                      arena_take(sheet->arena, &value)};
}

void sheet_note(struct sheet *sheet, const char *name, const char *text)
{
    if (sheet->n_notes < NOTES_MAX) {
        sheet->notes[sheet->n_notes].name = name;
        sheet->notes[sheet->n_notes++].text = text;
    }
}

size_t sheet_count(const struct sheet *sheet)
{
    return sheet->n;
}

/* ---- the object ---- */

static int compare_items(const void *a, const void *b)
{
    const struct item *left = a;
    const struct item *right = b;

    if (left->rank != right->rank) {
        return left->rank < right->rank ? -1 : 1;
    }
    int r = str_compare(left->key, right->key);
    return r != 0 ? r : str_compare(left->text, right->text);
}

/* Bytes in JSON, where a quote and a backslash take two; there are no control
 * characters any more. */
static size_t size_sent(struct str text)
{
    size_t n = text.n;

    for (size_t i = 0; i < text.n; i++) {
        n += text.p[i] == '"' || text.p[i] == '\\' ? 1 : 0;
    }
    return n;
}

static void put(json_t *fields, struct str key, struct str value)
{
    struct buf name = {0};

    buf_add_str(&name, key);
    if (json_object_set_new(
            fields, buf_text(&name),
            json_stringn(value.p == NULL ? "" : value.p, value.n)) != 0) {
        abort(); /* out of memory: all of it is UTF-8 */
    }
    buf_done(&name);
}

struct page {
    json_t *fields;
    struct str key; /* of the field that is being written */
    struct buf value;
    size_t n_fields;
    size_t bytes;
    size_t left_out;
};

static void end_field(struct page *page)
{
    if (page->key.n > 0) {
        put(page->fields, page->key, buf_str(&page->value));
        buf_clear(&page->value);
    }
}

/* With the quotes, the colon and the comma of a new field, or a blank. */
static bool has_room(struct page *page, const struct item *item, bool starts)
{
    size_t bytes = size_sent(item->text) + 1;

    bytes += starts ? size_sent(item->key) + 5 : 0;
    if ((starts && page->n_fields == SHEET_FIELDS_MAX) ||
        page->bytes + bytes > SHEET_BYTES_MAX) {
        page->left_out++;
        return false;
    }
    page->bytes += bytes;
    return true;
}

static void add_item(struct page *page, const struct item *item)
{
    bool starts = !str_equal(page->key, item->key);

    if (!has_room(page, item, starts)) {
        return;
    }
    if (starts) {
        end_field(page);
        page->key = item->key;
        page->n_fields++;
    } else {
        buf_add_char(&page->value, ' ');
    }
    buf_add_str(&page->value, item->text);
}

static void add_notes(const struct sheet *sheet, struct page *page)
{
    struct buf text = {0};
    size_t left_out = page->left_out + sheet->beyond;

    for (size_t i = 0; i < sheet->n_notes; i++) {
        put(page->fields, str_of(sheet->notes[i].name),
            str_of(sheet->notes[i].text));
    }
    if (left_out > 0) {
        buf_printf(&text, "%zu of %zu %ss are left out", left_out,
                   sheet->n + sheet->beyond, sheet->noun);
        put(page->fields, STR("truncated"), buf_str(&text));
    }
    buf_done(&text);
}

json_t *sheet_json(struct sheet *sheet)
{
    struct page page = {.fields = json_object()};
    const struct item *last = NULL;

    if (page.fields == NULL) {
        abort(); /* out of memory */
    }
    if (sheet->n > 0) {
        qsort(sheet->items, sheet->n, sizeof *sheet->items, compare_items);
    }
    for (size_t i = 0; i < sheet->n; i++) {
        const struct item *item = &sheet->items[i];
        if (last == NULL || compare_items(last, item) != 0) {
            add_item(&page, item);
        }
        last = item;
    }
    end_field(&page);
    add_notes(sheet, &page);
    buf_done(&page.value);
    return page.fields;
}
