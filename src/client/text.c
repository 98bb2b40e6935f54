/* Paths and queries of the public header. */
#include <stdarg.h>

#include "base/mem.h"
#include "roster.h"

/* Not isalnum: what is encoded must not depend on the caller's locale. */
static bool stays(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

static void add_encoded(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (stays((unsigned char)*text)) {
            buf_add_char(out, *text);
        } else {
            buf_printf(out, "%%%02X", (unsigned char)*text);
        }
    }
}

char *roster_encode(const char *text)
{
    struct buf out = {0};

    add_encoded(&out, text);
    return buf_text(&out);
}

char *roster_path(const char *segment, ...)
{
    struct buf out = {0};
    va_list args;

    va_start(args, segment);
    for (; segment != NULL; segment = va_arg(args, const char *)) {
        buf_add_char(&out, '/');
        add_encoded(&out, segment);
    }
    va_end(args);
    return buf_text(&out);
}

char *roster_query(const char *name, ...)
{
    struct buf out = {0};
    va_list args;

    va_start(args, name);
    for (; name != NULL; name = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);
        if (value == NULL) {
            continue;
        }
        if (out.n > 0) {
            buf_add_char(&out, '&');
        }
        add_encoded(&out, name);
        buf_add_char(&out, '=');
        add_encoded(&out, value);
    }
    va_end(args);
    return buf_text(&out);
}
