/* Values in names and filters: what in them would mean something is escaped. */
#include "access/directory.h"

static void add_hex(struct buf *out, char c)
{
    buf_printf(out, "\\%02x", (unsigned char)c);
}

/* RFC 4514, 2.4. A '#' or blank in front, and a blank at the end, would be
 * taken for something else too. */
static void add_dn_value(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        bool edge = i == 0 || i == value.n - 1;
        if (c == '\0' || (unsigned char)c < 0x20 || c == 0x7f) {
            add_hex(out, c);
            continue;
        }
        if (strchr("\"+,;<=>\\", c) != NULL || (c == ' ' && edge) ||
            (c == '#' && i == 0)) {
            buf_add_char(out, '\\');
        }
        buf_add_char(out, c);
    }
}

/* RFC 4515, 3. */
static void add_filter_value(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\0' || strchr("*()\\", c) != NULL || (unsigned char)c > 127) {
            add_hex(out, c);
        } else {
            buf_add_char(out, c);
        }
    }
}

typedef void add_func(struct buf *out, struct str value);

struct word {
    const char *name;
    struct str value;
};

/* What stands in a value is not looked at again. */
static void fill(struct str template, const struct word *words, size_t n,
                 add_func *add, struct buf *out)
{
    for (size_t at = 0; at < template.n;) {
        struct str rest = {template.p + at, template.n - at};
        size_t taken = 0;
        for (size_t i = 0; i < n && taken == 0; i++) {
            size_t length = strlen(words[i].name);
            if (rest.n >= length &&
                memcmp(rest.p, words[i].name, length) == 0) {
                add(out, words[i].value);
                taken = length;
            }
        }
        if (taken == 0) {
            buf_add_char(out, rest.p[0]);
            taken = 1;
        }
        at += taken;
    }
}

void access_directory_dn(struct str template, struct str user, struct buf *out)
{
    const struct word words[] = {{"{user}", user}};

    fill(template, words, 1, add_dn_value, out);
}

void access_directory_filter(struct str template, struct str user,
                             struct str dn, struct buf *out)
{
    const struct word words[] = {{"{user}", user}, {"{dn}", dn}};

    fill(template, words, 2, add_filter_value, out);
}
