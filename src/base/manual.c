/* Manual pages cannot go stale where they are made of the table that the
 * program itself reads. */
#include "base/options.h"

enum { WIDTH = 72 };

/* Words of text as lines of mdoc: a backslash starts an escape, a dot or a
 * quote in front a request, and a hyphen of an option must stay one. */
static void print_word(FILE *out, const char *word, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (word[i] == '\\') {
            (void)fputs("\\e", out);
        } else if (word[i] == '-' && (i == 0 || word[i - 1] == '-')) {
            (void)fputs("\\-", out);
        } else {
            (void)fputc(word[i], out);
        }
    }
}

static void print_text(FILE *out, const char *text)
{
    size_t column = 0;

    while (*text != '\0') {
        size_t n = strcspn(text, " \n");
        if (column > 0) {
            bool wraps = column + 1 + n > WIDTH;
            (void)fputc(wraps ? '\n' : ' ', out);
            column = wraps ? 0 : column + 1;
        }
        if (column == 0 && (text[0] == '.' || text[0] == '\'')) {
            (void)fputs("\\&", out);
        }
        print_word(out, text, n);
        column += n;
        text += n;
        text += strspn(text, " \n");
    }
}

static const char *value_of(const struct option *option)
{
    if (option->value_name != NULL) {
        return option->value_name;
    }
    return option->kind == OPTION_MAP ? "NAME=VALUE" : "VALUE";
}

static void print_range(FILE *out, const struct option *option)
{
    struct buf text = {0};

    if (option->most > 0) {
        buf_add_text(&text, "From ");
        options_add_number(&text, option->kind, option->least);
        buf_add_text(&text, " to ");
        options_add_number(&text, option->kind, option->most);
    } else if (option->least > 0) {
        buf_add_text(&text, "At least ");
        options_add_number(&text, option->kind, option->least);
    }
    if (text.n > 0) {
        (void)fprintf(out, "%s.\n", buf_text(&text));
    }
    buf_done(&text);
}

static void print_default(FILE *out, const struct option *option)
{
    struct buf text = {0};

    if (option->kind == OPTION_TEXT) {
        const char *now = *(char **)option->target;
        buf_add_text(&text, now == NULL ? "" : now);
    } else if (option->kind != OPTION_FLAG && option->kind != OPTION_MAP) {
        options_add_number(&text, option->kind, *(uint64_t *)option->target);
    }
    if (text.n > 0) {
        (void)fprintf(out, "The default is\n.Li ");
        print_word(out, text.p, text.n);
        (void)fputs(" .\n", out);
    }
    buf_done(&text);
}

static void print_option(FILE *out, const struct option *option)
{
    (void)fprintf(out, ".It Fl -%s", option->name);
    if (option->kind != OPTION_FLAG) {
        (void)fprintf(out, " Ar %s", value_of(option));
    }
    (void)fputc('\n', out);
    print_text(out, option->help);
    (void)fputs(".\n", out);
    if (option->target != NULL) {
        print_range(out, option);
        print_default(out, option);
    }
}

static bool has(const struct option *table, const char *name)
{
    while (table->name != NULL && strcmp(table->name, name) != 0) {
        table++;
    }
    return table->name != NULL;
}

void options_manual(const struct options *options, FILE *out)
{
    (void)fputs(".Bl -tag -width Ds\n", out);
    for (const struct option *o = options->table; o->name != NULL; o++) {
        print_option(out, o);
    }
    for (const struct option *o = options_built_in; o->name != NULL; o++) {
        if (o->help != NULL && !has(options->table, o->name)) {
            print_option(out, o);
        }
    }
    (void)fputs(".El\n", out);
}
