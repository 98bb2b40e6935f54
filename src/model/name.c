#include "model/name.h"

#include "base/utf8.h"
#include "model/ulid.h"

/* Not isalpha and friends: those ask the locale. */
static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool name_is_label(struct str text)
{
    if (text.n == 0 || text.n > NAME_LABEL_MAX || text.p[0] == '-' ||
        text.p[text.n - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!is_lower(c) && !is_digit(c) && c != '-') {
            return false;
        }
    }
    return true;
}

bool name_is_path(struct str text)
{
    if (text.n == 0 || text.n > NAME_PATH_MAX) {
        return false;
    }
    for (;;) {
        const char *dot = memchr(text.p, '.', text.n);
        struct str label = {text.p, dot ? (size_t)(dot - text.p) : text.n};
        if (!name_is_label(label)) {
            return false;
        }
        if (dot == NULL) {
            return true;
        }
        text.p += label.n + 1;
        text.n -= label.n + 1;
    }
}

bool name_is_type(struct str text)
{
    if (text.n == 0 || text.n > NAME_LABEL_MAX || !is_lower(text.p[0])) {
        return false;
    }
    for (size_t i = 1; i < text.n; i++) {
        char c = text.p[i];
        if (!is_lower(c) && !is_digit(c) && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

bool name_is_host(struct str text)
{
    /* "." and ".." cannot stand in a URL's path. */
    if (text.n == 0 || text.n > NAME_PATH_MAX || ulid_shaped(text) ||
        str_is(text, ".") || str_is(text, "..")) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!is_lower(c) && !is_upper(c) && !is_digit(c) && c != '.' &&
            c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

bool name_is_key(struct str text)
{
    return text.n > 0 && text.n <= NAME_KEY_MAX && !ulid_shaped(text) &&
           utf8_is_valid(text);
}
