#include "cli/text.h"

#include <locale.h>
#include <wchar.h>

void text_init(void)
{
    (void)setlocale(LC_CTYPE, "C.UTF-8");
}

/* One character of UTF-8 that may be broken: its bytes. */
static size_t next(struct str text, size_t at, uint32_t *ret_code)
{
    static const uint8_t lead[] = {0, 0, 0x1f, 0x0f, 0x07};
    unsigned char first = (unsigned char)text.p[at];
    size_t n = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    *ret_code = first;
    if (first < 0x80 || n == 1 || first > 0xf4 || at + n > text.n) {
        return 1;
    }
    uint32_t code = first & lead[n];
    for (size_t i = 1; i < n; i++) {
        unsigned char c = (unsigned char)text.p[at + i];
        if ((c & 0xc0) != 0x80) {
            return 1;
        }
        code = code << 6 | (c & 0x3f);
    }
    *ret_code = code;
    return n;
}

static size_t columns(uint32_t code)
{
    int n = wcwidth((wchar_t)code);

    return n < 0 ? 1 : (size_t)n;
}

size_t text_width(struct str text)
{
    size_t width = 0;
    uint32_t code = 0;

    for (size_t at = 0; at < text.n;) {
        at += next(text, at, &code);
        width += columns(code);
    }
    return width;
}

/* Marks that turn the direction in which a line is read, and line ends that
 * are no control characters. */
static bool misleads(uint32_t code)
{
    return (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0x200e ||
           code == 0x200f || code == 0x061c || code == 0x2028 || code == 0x2029;
}

static void add_escaped(struct buf *out, uint32_t code)
{
    switch (code) {
    case '\n':
        buf_add_text(out, "\\n");
        break;
    case '\r':
        buf_add_text(out, "\\r");
        break;
    case '\t':
        buf_add_text(out, "\\t");
        break;
    default:
        buf_printf(out, code < 0x80 ? "\\x%02x" : "\\u%04x", code);
    }
}

void text_add_safe(struct buf *out, struct str text)
{
    uint32_t code = 0;

    for (size_t at = 0; at < text.n;) {
        size_t n = next(text, at, &code);
        bool broken = n == 1 && code >= 0x80;
        if (code < 0x20 || (code >= 0x7f && code < 0xa0) || broken ||
            misleads(code)) {
            add_escaped(out, code);
        } else {
            buf_add(out, text.p + at, n);
        }
        at += n;
    }
}

void text_cut(struct buf *out, size_t start, size_t most)
{
    struct str text = {out->p + start, out->n - start};
    size_t width = 0;
    size_t end = 0;
    uint32_t code = 0;

    if (most == 0 || text_width(text) <= most) {
        return;
    }
    for (size_t at = 0; at < text.n && width < most; at = end) {
        size_t n = next(text, at, &code);
        width += columns(code);
        if (width >= most) {
            break;
        }
        end = at + n;
    }
    out->n = start + end;
    buf_add_text(out, "…");
}

void text_add_bytes(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double number = (double)bytes;
    size_t unit = 0;

    while (number >= 1024 && unit < 4) {
        number /= 1024;
        unit++;
    }
    buf_printf(out, unit == 0 || number >= 100 ? "%.0f %s" : "%.1f %s", number,
               units[unit]);
}

void text_add_time(struct buf *out, uint64_t ms)
{
    unsigned long long s = ms / 1000;

    if (s < 60) {
        buf_printf(out, "%.1f s", (double)ms / 1000);
    } else if (s < 3600) {
        buf_printf(out, "%llu min %llu s", s / 60, s % 60);
    } else if (s < 86400) {
        buf_printf(out, "%llu h %llu min", s / 3600, s / 60 % 60);
    } else {
        buf_printf(out, "%llu d %llu h", s / 86400, s / 3600 % 24);
    }
}
