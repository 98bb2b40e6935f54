#include "cli/print.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { CELL_MOST = 48 };

/* Any value as one line of text. */
static void add_value(struct buf *out, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t start = out->n;

    if (text != NULL) {
        buf_add_text(out, text);
    } else if (value != NULL && !json_is_null(value)) {
        char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        buf_add_text(out, dump == NULL ? "?" : dump);
        free(dump);
    }
    for (size_t i = start; i < out->n; i++) {
        unsigned char c = (unsigned char)out->p[i];
        /* C2 80 to C2 9F is the second set of control characters. */
        bool high =
            c == 0xc2 && i + 1 < out->n && (unsigned char)out->p[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || high) {
            out->p[i] = '?';
        }
        if (high) {
            out->p[i + 1] = '?';
        }
    }
}

static bool starts_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t width(struct str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        n += starts_character(text.p[i]) ? 1 : 0;
    }
    return n;
}

static void make_cell(struct buf *out, const json_t *value)
{
    buf_clear(out);
    add_value(out, value);
    if (out->n == 0) {
        buf_add_char(out, '-');
    }
    if (width(buf_str(out)) <= CELL_MOST) {
        return;
    }
    size_t seen = 0;
    size_t at = 0;
    for (; at < out->n; at++) {
        seen += starts_character(out->p[at]) ? 1 : 0;
        if (seen == CELL_MOST) {
            break;
        }
    }
    out->n = at;
    buf_add_text(out, "…");
}

struct column {
    const char *name; /* lent from a row */
    size_t width;
};

static struct column *find_columns(const json_t *rows, size_t *ret_n)
{
    json_t *seen = json_object(); /* name -> its place, as found */
    struct column *columns = NULL;
    struct buf cell = {0};
    size_t n = 0;
    size_t i = 0;
    const json_t *row = NULL;

    json_array_foreach(rows, i, row)
    {
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach((json_t *)(uintptr_t)row, name, value)
        {
            if (strcmp(name, "_rev") == 0) {
                continue;
            }
            json_t *place = json_object_get(seen, name);
            size_t at = place == NULL ? n : (size_t)json_integer_value(place);
            if (place == NULL) {
                (void)json_object_set_new(seen, name,
                                          json_integer((json_int_t)n));
                columns = mem_grow(columns, (n + 1) * sizeof *columns);
                columns[n++] = (struct column){name, width(str_of(name))};
            }
            assert(columns != NULL && at < n);
            make_cell(&cell, value);
            size_t w = width(buf_str(&cell));
            columns[at].width = w > columns[at].width ? w : columns[at].width;
        }
    }
    json_decref(seen);
    buf_done(&cell);
    *ret_n = n;
    return columns;
}

static void print_cell(struct str text, size_t room, bool last)
{
    (void)printf("%.*s", STR_ARG(text));
    if (last) {
        (void)putchar('\n');
    } else {
        (void)printf("%*s", (int)(room - width(text) + 2), "");
    }
}

void print_table(const json_t *rows)
{
    size_t n = 0;
    struct column *columns = find_columns(rows, &n);
    struct buf cell = {0};
    size_t i = 0;
    const json_t *row = NULL;

    for (size_t c = 0; c < n; c++) {
        buf_clear(&cell);
        for (const char *p = columns[c].name; *p != '\0'; p++) {
            int shift = *p >= 'a' && *p <= 'z' ? 'A' - 'a' : 0;
            buf_add_char(&cell, (char)(*p + shift));
        }
        print_cell(buf_str(&cell), columns[c].width, c + 1 == n);
    }
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < n; c++) {
            make_cell(&cell, json_object_get(row, columns[c].name));
            print_cell(buf_str(&cell), columns[c].width, c + 1 == n);
        }
    }
    buf_done(&cell);
    (void)mem_free(columns);
}

void print_fields(const json_t *object)
{
    json_t *fields = (json_t *)(uintptr_t)object; /* iterating is not const */
    struct buf text = {0};
    const char *name = NULL;
    json_t *value = NULL;
    size_t room = 0;

    json_object_foreach(fields, name, value)
    {
        size_t w = width(str_of(name));
        room = w > room ? w : room;
    }
    json_object_foreach(fields, name, value)
    {
        buf_clear(&text);
        add_value(&text, value);
        (void)printf("%s%*s  %s\n", name, (int)(room - width(str_of(name))), "",
                     buf_text(&text));
    }
    buf_done(&text);
}

static const char *text_of(const json_t *node, const char *name)
{
    const char *text = json_string_value(json_object_get(node, name));
    return text == NULL ? "" : text;
}

/* `prefix` holds the lines of the levels above. */
static void print_node(const json_t *node, struct buf *prefix, const char *twig,
                       const char *below)
{
    const json_t *children = json_object_get(node, "children");
    struct buf line = {0};
    size_t kept = prefix->n;
    size_t i = 0;
    const json_t *child = NULL;

    add_value(&line, json_object_get(node, "name"));
    if (strcmp(text_of(node, "kind"), "branch") == 0) {
        buf_add_text(&line, "/");
    }
    if (text_of(node, "match")[0] != '\0') {
        buf_add_text(&line, "  ");
        add_value(&line, json_object_get(node, "match"));
    }
    if (text_of(node, "comment")[0] != '\0') {
        buf_add_text(&line, "  # ");
        add_value(&line, json_object_get(node, "comment"));
    }
    (void)printf("%s%s%s\n", buf_text(prefix), twig, buf_text(&line));
    buf_done(&line);
    buf_add_text(prefix, below);
    json_array_foreach(children, i, child)
    {
        bool last = i + 1 == json_array_size(children);
        print_node(child, prefix, last ? "└── " : "├── ",
                   last ? "    " : "│   ");
    }
    prefix->n = kept;
}

void print_tree(const json_t *node)
{
    struct buf prefix = {0};

    print_node(node, &prefix, "", "");
    buf_done(&prefix);
}

void print_json(const json_t *value)
{
    (void)json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    (void)putchar('\n');
}
