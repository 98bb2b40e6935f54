#include "cli/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/text.h"

enum { CELL_MOST = 48 };

size_t print_width(void)
{
    struct winsize size = {0};

    if (isatty(STDOUT_FILENO) == 0) {
        return 0;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return 80;
    }
    return size.ws_col;
}

static struct str string_of(const json_t *value)
{
    return (struct str){json_string_value(value), json_string_length(value)};
}

/* jansson leaves DEL and the second set of control characters (C2 80 to C2 9F)
 * as they are. They can stand in strings only. */
void print_add_safe_json(struct buf *out, const char *json)
{
    for (const char *c = json; c != NULL && *c != '\0'; c++) {
        unsigned char second = (unsigned char)c[1];
        if (*c == 0x7f) {
            buf_add_text(out, "\\u007f");
        } else if ((unsigned char)*c == 0xc2 && second < 0xa0) {
            buf_printf(out, "\\u%04x", second);
            c++;
        } else {
            buf_add_char(out, *c);
        }
    }
}

void print_add_json(struct buf *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    print_add_safe_json(out, text);
    free(text);
}

/* Any value as one line of text. */
static void add_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        text_add_safe(out, string_of(value));
    } else if (value != NULL && !json_is_null(value)) {
        struct buf text = {0};
        print_add_json(&text, value);
        text_add_safe(out, buf_str(&text));
        buf_done(&text);
    }
}

static void make_cell(struct buf *out, const json_t *value, size_t most)
{
    buf_clear(out);
    add_value(out, value);
    if (out->n == 0) {
        buf_add_char(out, '-');
    }
    text_cut(out, 0, most);
}

struct column {
    const char *name; /* lent from a row */
    size_t width;
};

struct table {
    struct column *columns;
    size_t n;
    size_t cell_most; /* 0: as long as they are */
    size_t line_most;
};

static struct column *find_column(struct table *table, json_t *seen,
                                  const char *name)
{
    const json_t *place = json_object_get(seen, name);

    if (place != NULL) {
        return &table->columns[json_integer_value(place)];
    }
    (void)json_object_set_new(seen, name, json_integer((json_int_t)table->n));
    table->columns =
        mem_grow(table->columns, (table->n + 1) * sizeof *table->columns);
    struct column *column = &table->columns[table->n++];
    struct buf safe = {0};
    text_add_safe(&safe, str_of(name));
    *column = (struct column){name, text_width(buf_str(&safe))};
    buf_done(&safe);
    return column;
}

static void find_columns(struct table *table, const json_t *rows)
{
    json_t *seen = json_object(); /* name -> its place, as found */
    struct buf cell = {0};
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
            struct column *column = find_column(table, seen, name);
            make_cell(&cell, value, table->cell_most);
            size_t w = text_width(buf_str(&cell));
            column->width = w > column->width ? w : column->width;
        }
    }
    json_decref(seen);
    buf_done(&cell);
}

static void add_cell(struct buf *line, struct str text, size_t room, bool last)
{
    buf_add_str(line, text);
    for (size_t w = text_width(text); !last && w < room + 2; w++) {
        buf_add_char(line, ' ');
    }
}

static void end_line(const struct table *table, struct buf *line)
{
    text_cut(line, 0, table->line_most);
    buf_add_char(line, '\n');
    (void)fwrite(line->p, 1, line->n, stdout);
    buf_clear(line);
}

static void print_head(const struct table *table, struct buf *line)
{
    struct buf cell = {0};

    for (size_t c = 0; c < table->n; c++) {
        buf_clear(&cell);
        text_add_safe(&cell, str_of(table->columns[c].name));
        for (size_t i = 0; i < cell.n; i++) {
            int shift = cell.p[i] >= 'a' && cell.p[i] <= 'z' ? 'A' - 'a' : 0;
            cell.p[i] = (char)(cell.p[i] + shift);
        }
        add_cell(line, buf_str(&cell), table->columns[c].width,
                 c + 1 == table->n);
    }
    end_line(table, line);
    buf_done(&cell);
}

void print_table(const json_t *rows)
{
    struct table table = {.line_most = print_width()};
    struct buf cell = {0};
    struct buf line = {0};
    size_t i = 0;
    const json_t *row = NULL;

    table.cell_most = table.line_most == 0 ? 0 : CELL_MOST;
    find_columns(&table, rows);
    print_head(&table, &line);
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < table.n; c++) {
            make_cell(&cell, json_object_get(row, table.columns[c].name),
                      table.cell_most);
            add_cell(&line, buf_str(&cell), table.columns[c].width,
                     c + 1 == table.n);
        }
        end_line(&table, &line);
    }
    buf_done(&cell);
    buf_done(&line);
    (void)mem_free(table.columns);
}

void print_fields(const json_t *object)
{
    json_t *fields = (json_t *)(uintptr_t)object; /* iterating is not const */
    struct buf line = {0};
    const char *name = NULL;
    json_t *value = NULL;
    size_t room = 0;

    json_object_foreach(fields, name, value)
    {
        buf_clear(&line);
        text_add_safe(&line, str_of(name));
        size_t w = text_width(buf_str(&line));
        room = w > room ? w : room;
    }
    json_object_foreach(fields, name, value)
    {
        buf_clear(&line);
        text_add_safe(&line, str_of(name));
        for (size_t w = text_width(buf_str(&line)); w < room + 2; w++) {
            buf_add_char(&line, ' ');
        }
        add_value(&line, value);
        buf_add_char(&line, '\n');
        (void)fwrite(line.p, 1, line.n, stdout);
    }
    buf_done(&line);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
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
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    struct buf out = {0};

    print_add_safe_json(&out, text);
    buf_add_char(&out, '\n');
    (void)fwrite(out.p, 1, out.n, stdout);
    buf_done(&out);
    free(text);
}
