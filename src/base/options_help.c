#include "base/options_inside.h"

static void add_default(struct buf *line, const struct option *option)
{
    if (option->target == NULL) {
        return;
    }
    if (option->kind == OPTION_TEXT) {
        const char *text = *(char **)option->target;
        if (text != NULL && text[0] != '\0') {
            buf_printf(line, " (default %s)", text);
        }
    } else if (option->kind != OPTION_FLAG && option->kind != OPTION_MAP) {
        buf_add_text(line, " (default ");
        options_add_number(line, option->kind, *(uint64_t *)option->target);
        buf_add_char(line, ')');
    }
}

enum { HELP_COLUMN = 26, HELP_WIDTH = 79 };

/* Words of `text` between `indent` and the right edge; `column` is where the
 * line stands now. */
static void print_wrapped(FILE *out, const char *text, size_t column,
                          size_t indent)
{
    bool first = true;

    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (!first && column + 1 + n > HELP_WIDTH) {
            (void)fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            (void)fputc(' ', out);
            column++;
        }
        (void)fprintf(out, "%.*s", (int)n, text);
        column += n;
        text += n;
        text += strspn(text, " ");
        first = false;
    }
    (void)fputc('\n', out);
}

static void print_option(FILE *out, const struct option *option)
{
    struct buf flag = {0};
    struct buf text = {0};

    buf_printf(&flag, "  --%s", option->name);
    if (option->kind != OPTION_FLAG) {
        const char *value = option->value_name;
        if (value == NULL) {
            value = option->kind == OPTION_MAP ? "NAME=VALUE" : "VALUE";
        }
        buf_printf(&flag, " %s", value);
    }
    (void)fputs(buf_text(&flag), out);
    if (flag.n + 2 > HELP_COLUMN) {
        (void)fprintf(out, "\n%*s", HELP_COLUMN, "");
    } else {
        (void)fprintf(out, "%*s", (int)(HELP_COLUMN - flag.n), "");
    }
    buf_add_text(&text, option->help);
    add_default(&text, option);
    print_wrapped(out, buf_text(&text), HELP_COLUMN, HELP_COLUMN);
    buf_done(&flag);
    buf_done(&text);
}

/* Paragraphs are wrapped; a line that starts with a blank is a picture. */
static void print_about(FILE *out, const char *about)
{
    struct buf line = {0};

    for (const char *at = about; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        buf_clear(&line);
        buf_add(&line, at, n);
        if (at[0] == ' ') {
            (void)fprintf(out, "%s\n", buf_text(&line));
        } else {
            print_wrapped(out, buf_text(&line), 0, 0);
        }
        at += n + (at[n] == '\n' ? 1 : 0);
    }
    buf_done(&line);
}

static void print_sources(FILE *out, const struct options *options)
{
    const char *name = options->table[0].name;
    struct buf text = {0};

    if (name == NULL) {
        return;
    }
    buf_printf(&text, "Each can also be set in the environment (--%s is ",
               name);
    options_env_name(&text, name);
    buf_printf(&text,
               ") and in the --config file (%s = ...). Flags win over "
               "the environment, that over the file.",
               name);
    (void)fputc('\n', out);
    print_wrapped(out, buf_text(&text), 0, 0);
    buf_done(&text);
}

void options_help(const struct options *options, FILE *out)
{
    (void)fprintf(out, "Usage: %s\n\n", options->usage);
    print_about(out, options->about);
    (void)fputs("\nOptions:\n", out);
    for (const struct option *o = options->table; o->name != NULL; o++) {
        print_option(out, o);
    }
    for (const struct option *o = options_built_in; o->name != NULL; o++) {
        if (o->help != NULL &&
            options_find(options->table, str_of(o->name)) == NULL) {
            print_option(out, o);
        }
    }
    print_sources(out, options);
}
