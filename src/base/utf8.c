#include "base/utf8.h"

#include <assert.h>

/* RFC 3629 section 4: what the second byte may be depends on the first; the
 * third and fourth are always 80..BF. */
static const struct {
    uint8_t first_low, first_high, second_low, second_high;
    size_t n;
} forms[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
    {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static bool within(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

static size_t step_long(const uint8_t *p, size_t n)
{
    size_t form = 0;

    while (form < sizeof forms / sizeof forms[0] &&
           !within(p[0], forms[form].first_low, forms[form].first_high)) {
        form++;
    }
    if (form == sizeof forms / sizeof forms[0] || n < forms[form].n ||
        !within(p[1], forms[form].second_low, forms[form].second_high)) {
        return 0;
    }
    for (size_t i = 2; i < forms[form].n; i++) {
        if (!within(p[i], 0x80, 0xbf)) {
            return 0;
        }
    }
    return forms[form].n;
}

size_t utf8_step(struct str text)
{
    const uint8_t *p = (const uint8_t *)text.p;

    if (text.n == 0) {
        return 0;
    }
    return p[0] < 0x80 ? 1 : step_long(p, text.n);
}

bool utf8_is_valid(struct str text)
{
    const uint8_t *p = (const uint8_t *)text.p;

    for (size_t at = 0; at < text.n;) {
        size_t step = p[at] < 0x80 ? 1 : step_long(p + at, text.n - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

size_t utf8_put(char *ret_bytes, uint32_t character)
{
    /* The marks of the first byte by length. */
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t n = character < 0x80      ? 1
               : character < 0x800   ? 2
               : character < 0x10000 ? 3
                                     : 4;

    assert(character < 0x110000 && (character & ~0x7ffu) != 0xd800);
    for (size_t i = n - 1; i > 0; i--) {
        ret_bytes[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    ret_bytes[0] = (char)(marks[n] | character);
    return n;
}

/* ---- lines ---- */

static void add_ascii(struct buf *line, unsigned char c)
{
    if (c == '"' || c == '\\') {
        buf_add_char(line, '\\');
        buf_add_char(line, (char)c);
    } else if (c < 0x20 || c == 0x7f) {
        buf_printf(line, "\\u%04x", c);
    } else {
        buf_add_char(line, (char)c);
    }
}

/* U+0080 to U+009F, U+2028 and U+2029: some readers end a line at them, and
 * some terminals obey them. 0: another one. */
static unsigned control_of(struct str character)
{
    const unsigned char *p = (const unsigned char *)character.p;

    if (character.n == 2 && p[0] == 0xc2 && p[1] < 0xa0) {
        return p[1];
    }
    if (character.n == 3 && p[0] == 0xe2 && p[1] == 0x80 &&
        (p[2] == 0xa8 || p[2] == 0xa9)) {
        return 0x2000 + (p[2] & 0x3fU);
    }
    return 0;
}

/* How many of them stand for themselves, each a byte. */
static size_t plain_run(struct str text)
{
    size_t n = 0;

    while (n < text.n && text.p[n] >= 0x20 && text.p[n] < 0x7f &&
           text.p[n] != '"' && text.p[n] != '\\') {
        n++;
    }
    return n;
}

void utf8_add_escaped(struct buf *line, struct str text, size_t most)
{
    size_t at = 0;

    while (at < text.n && at < most) {
        struct str rest = {text.p + at, text.n - at};
        size_t plain = plain_run(
            (struct str){rest.p, rest.n < most - at ? rest.n : most - at});
        if (plain > 0) {
            buf_add(line, rest.p, plain);
            at += plain;
            continue;
        }
        size_t n = utf8_step(rest);
        rest.n = n;
        unsigned control = control_of(rest);
        if (n == 0) {
            buf_add_text(line, "\\ufffd");
        } else if (n == 1) {
            add_ascii(line, (unsigned char)*rest.p);
        } else if (control != 0) {
            buf_printf(line, "\\u%04x", control);
        } else {
            buf_add_str(line, rest);
        }
        at += n == 0 ? 1 : n;
    }
    buf_add_text(line, at < text.n ? "..." : "");
}
