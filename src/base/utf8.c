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
    while (text.n > 0) {
        size_t step = utf8_step(text);
        if (step == 0) {
            return false;
        }
        text.p += step;
        text.n -= step;
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
