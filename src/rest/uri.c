#include "rest/uri.h"

#include <strings.h>

#include "base/err.h"
#include "base/utf8.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool needs_decoding(struct str raw, bool form)
{
    return raw.n > 0 && (memchr(raw.p, '%', raw.n) != NULL ||
                         (form && memchr(raw.p, '+', raw.n) != NULL));
}

static int unescape(struct arena *arena, struct str raw, bool form,
                    struct str *ret_text, const char **ret_why)
{
    char *out = arena_alloc(arena, raw.n);
    size_t n = 0;

    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '%') {
            int high = i + 2 < raw.n ? hex_digit(raw.p[i + 1]) : -1;
            int low = i + 2 < raw.n ? hex_digit(raw.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                *ret_why = "a percent sign without two hex digits";
                return ERR_INVALID;
            }
            c = (char)(high * 16 + low);
            i += 2;
            if (c == '\0') {
                *ret_why = "%00";
                return ERR_INVALID;
            }
        } else if (form && c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    *ret_text = (struct str){out, n};
    return 0;
}

static int decode(struct arena *arena, struct str raw, bool form,
                  struct str *ret_text, const char **ret_why)
{
    *ret_text = raw;
    if (needs_decoding(raw, form)) {
        int r = unescape(arena, raw, form, ret_text, ret_why);
        if (r != 0) {
            return r;
        }
    }
    if (!utf8_is_valid(*ret_text)) {
        *ret_why = "bytes that are not UTF-8";
        return ERR_INVALID;
    }
    return 0;
}

/* Takes what stands before the first `sep` off the front of *rest; *ret_last
 * when there was none. */
static struct str cut(struct str *rest, char sep, bool *ret_last)
{
    const char *at = rest->n == 0 ? NULL : memchr(rest->p, sep, rest->n);
    struct str piece = *rest;

    *ret_last = at == NULL;
    if (at == NULL) {
        rest->p += rest->n;
        rest->n = 0;
        return piece;
    }
    piece.n = (size_t)(at - rest->p);
    rest->p += piece.n + 1;
    rest->n -= piece.n + 1;
    return piece;
}

static int parse_path(struct arena *arena, struct rest_uri *uri,
                      const char **ret_why)
{
    struct str rest = uri->path;
    bool last = false;

    if (rest.n == 0 || rest.p[0] != '/') {
        *ret_why = "no '/' at its start";
        return ERR_INVALID;
    }
    rest.p++;
    rest.n--;
    if (rest.n == 0) {
        return 0;
    }
    while (!last) {
        struct str text = STR_NONE;
        int r = decode(arena, cut(&rest, '/', &last), false, &text, ret_why);
        if (r != 0) {
            return r;
        }
        /* Proxies and clients take these out of a path, some before decoding
         * and some after: what they mean depends on who is in between. */
        if (str_is(text, ".") || str_is(text, "..")) {
            *ret_why = "a '.' or '..' segment: name the resource by its _id";
            return ERR_INVALID;
        }
        if (uri->n_segments == REST_SEGMENTS_MAX) {
            uri->n_segments++;
            return 0;
        }
        uri->segments[uri->n_segments++] = text;
    }
    return 0;
}

static int parse_param(struct arena *arena, struct str piece,
                       struct rest_param *ret_param, const char **ret_why)
{
    struct rest_param param = {0};
    bool bare = false;
    struct str name = cut(&piece, '=', &bare);

    param.bare = bare;
    int r = decode(arena, name, true, &param.name, ret_why);
    if (r != 0) {
        return r;
    }
    r = decode(arena, piece, true, &param.value, ret_why);
    if (r != 0) {
        return r;
    }
    *ret_param = param;
    return 0;
}

static int parse_query(struct arena *arena, struct str query,
                       struct rest_uri *uri, const char **ret_why)
{
    bool last = false;

    while (!last) {
        struct str piece = cut(&query, '&', &last);
        if (piece.n == 0) {
            continue;
        }
        if (uri->n_params == REST_PARAMS_MAX) {
            *ret_why = "more than 16 query parameters";
            return ERR_INVALID;
        }
        int r = parse_param(arena, piece, &uri->params[uri->n_params], ret_why);
        if (r != 0) {
            return r;
        }
        uri->n_params++;
    }
    return 0;
}

/* RFC 9112 3.2.2: a server has to take the absolute form too. */
static struct str without_authority(struct str target)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i]);
        if (target.n >= n && strncasecmp(target.p, schemes[i], n) == 0) {
            size_t host = n;
            while (host < target.n && target.p[host] != '/' &&
                   target.p[host] != '?') {
                host++;
            }
            return host == target.n
                       ? STR("/")
                       : (struct str){target.p + host, target.n - host};
        }
    }
    return target;
}

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c == 0x7f) {
            return true;
        }
    }
    return false;
}

int rest_uri_parse(struct arena *arena, struct str target,
                   struct rest_uri *ret_uri, const char **ret_why)
{
    struct rest_uri *uri = ret_uri;
    bool no_query = false;

    uri->n_segments = 0;
    uri->n_params = 0;
    if (has_control(target)) {
        *ret_why = "a blank or a control character";
        return ERR_INVALID;
    }
    uri->target = without_authority(target);
    struct str query = uri->target;
    uri->path = cut(&query, '?', &no_query);
    int r = parse_path(arena, uri, ret_why);
    return r != 0 ? r : parse_query(arena, query, uri, ret_why);
}

void rest_uri_add_quoted(struct buf *out, struct str target)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        if (c > ' ' && c < 0x7f && c != '<' && c != '>' && c != '"') {
            buf_add_char(out, (char)c);
            continue;
        }
        char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        buf_add(out, escape, sizeof escape);
    }
}
