#include "rest/scan.h"

#include <strings.h>

enum { LINES_MOST = 64, METHOD_MOST = 6 };

static void skip(struct str *io_bytes, size_t n)
{
    io_bytes->p += n;
    io_bytes->n -= n;
}

/* As far as there are bytes to compare: PART when they are the beginning. */
static enum rest_scan take_text(struct str *io_bytes, struct str text)
{
    size_t n = io_bytes->n < text.n ? io_bytes->n : text.n;

    if (memcmp(io_bytes->p, text.p, n) != 0) {
        return SCAN_ODD;
    }
    skip(io_bytes, n);
    return n == text.n ? SCAN_WHOLE : SCAN_PART;
}

/* One look at each, without a branch: compilers make wide steps of it. */
static bool is_between(struct str text, unsigned char least, unsigned char most)
{
    bool odd = false;

    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        odd |= (unsigned char)(c - least) > (unsigned char)(most - least);
    }
    return !odd;
}

/* All up to that character, which stays; nothing of it below `least`. */
static enum rest_scan take_until(struct str *io_bytes, char end, char least,
                                 struct str *ret_text)
{
    const char *at =
        io_bytes->n == 0 ? NULL : memchr(io_bytes->p, end, io_bytes->n);
    size_t n = at == NULL ? io_bytes->n : (size_t)(at - io_bytes->p);

    *ret_text = (struct str){io_bytes->p, n};
    if (!is_between(*ret_text, (unsigned char)least, '~')) {
        return SCAN_ODD;
    }
    skip(io_bytes, n);
    return at == NULL ? SCAN_PART : SCAN_WHOLE;
}

/* By the letter: HEAD would be a GET to others here. */
static enum rest_method method_of(struct str name)
{
    for (int i = 0; i < REST_METHODS; i++) {
        if (str_is(name, rest_method_name((enum rest_method)i))) {
            return (enum rest_method)i;
        }
    }
    return REST_METHODS;
}

static enum rest_scan take_method(struct str *io_bytes,
                                  enum rest_method *ret_method)
{
    struct str name;
    enum rest_scan r = take_until(io_bytes, ' ', 'A', &name);

    *ret_method = r == SCAN_WHOLE ? method_of(name) : REST_METHODS;
    if (name.n > METHOD_MOST ||
        (r == SCAN_WHOLE && *ret_method == REST_METHODS)) {
        return SCAN_ODD;
    }
    skip(io_bytes, r == SCAN_WHOLE ? 1 : 0);
    return r;
}

static enum rest_scan take_target(struct str *io_bytes,
                                  struct rest_scanned *scanned)
{
    struct str *ret_target = &scanned->target;
    enum rest_scan r = take_method(io_bytes, &scanned->method);

    if (r == SCAN_WHOLE) {
        r = take_until(io_bytes, ' ', '!', ret_target);
    }
    if (r == SCAN_WHOLE) {
        r = ret_target->n > 0 && *ret_target->p == '/' ? r : SCAN_ODD;
    }
    return r != SCAN_WHOLE ? r : take_text(io_bytes, STR(" HTTP/1.1\r\n"));
}

static bool is_named(struct str name, struct str wanted)
{
    return name.n == wanted.n && strncasecmp(name.p, wanted.p, name.n) == 0;
}

/* What makes of the connection something else than it was. */
static bool is_of_connection(struct str name, struct str value)
{
    return (is_named(name, STR("Connection")) &&
            !is_named(str_trim(value), STR("keep-alive"))) ||
           is_named(name, STR("Upgrade"));
}

static enum rest_scan take_line(struct str *io_bytes, struct arena *arena,
                                struct rest_head *head)
{
    struct str name, value;

    enum rest_scan r = take_until(io_bytes, ':', '!', &name);
    if (r != SCAN_WHOLE) {
        return r;
    }
    skip(io_bytes, 1);
    r = take_until(io_bytes, '\r', ' ', &value);
    if (r == SCAN_WHOLE) {
        r = take_text(io_bytes, STR("\r\n"));
    }
    if (r == SCAN_WHOLE && is_of_connection(name, value)) {
        return SCAN_ODD;
    }
    if (r == SCAN_WHOLE) {
        rest_head_add(head, arena, name, value);
    }
    return r;
}

static bool is_odd(const struct rest_scanned *scanned)
{
    const struct rest_head *head = &scanned->head;
    bool longer = scanned->method == REST_GET && head->content_length.p != NULL;

    return head->wrong != NULL || longer || head->transfer_encoding.p != NULL ||
           head->expect.p != NULL;
}

static enum rest_scan take_head(struct str *io_bytes, struct arena *arena,
                                struct rest_scanned *scanned)
{
    enum rest_scan r = take_target(io_bytes, scanned);

    for (size_t i = 0; r == SCAN_WHOLE; i++) {
        if (io_bytes->n == 0) {
            return SCAN_PART;
        }
        if (*io_bytes->p == '\r') {
            return take_text(io_bytes, STR("\r\n"));
        }
        r = i < LINES_MOST ? take_line(io_bytes, arena, &scanned->head)
                           : SCAN_ODD;
    }
    return r;
}

enum rest_scan rest_scan_head(struct str bytes, struct arena *arena,
                              struct rest_scanned *ret_scanned)
{
    struct str rest = {bytes.p,
                       bytes.n < REST_SCAN_MOST ? bytes.n : REST_SCAN_MOST};

    *ret_scanned = (struct rest_scanned){.n = 0};
    enum rest_scan r = take_head(&rest, arena, ret_scanned);
    ret_scanned->n = (size_t)(rest.p - bytes.p);
    if (r == SCAN_PART && ret_scanned->n == REST_SCAN_MOST) {
        return SCAN_ODD;
    }
    return r == SCAN_WHOLE && is_odd(ret_scanned) ? SCAN_ODD : r;
}
