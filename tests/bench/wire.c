#include "wire.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- HTTP ---- */

/* The value of a header line, or NULL. Lines end with CR LF. */
static const char *header(const char *p, const char *end, const char *name)
{
    size_t length = strlen(name);

    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        if ((size_t)(end - p) > length && p[length] == ':' &&
            strncasecmp(p, name, length) == 0) {
            return p + length + 1 + (p[length + 1] == ' ');
        }
        if (line_end == NULL) {
            break;
        }
        p = line_end + 1;
    }
    return NULL;
}

/* Length of a chunked body, or 0 when it has not come whole. */
static size_t chunked_length(const char *p, size_t n)
{
    size_t at = 0;

    for (;;) {
        const char *line_end = memchr(p + at, '\n', n - at);
        if (line_end == NULL) {
            return 0;
        }
        size_t size = strtoul(p + at, NULL, 16);
        at = (size_t)(line_end - p) + 1 + size + 2;
        if (at > n) {
            return 0;
        }
        if (size == 0) {
            return at;
        }
    }
}

int wire_http(const char *p, size_t n, struct wire_answer *ret)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);

    if (n >= 5 && memcmp(p, "HTTP/", 5) != 0) {
        return -1;
    }
    if (end == NULL) {
        return 1;
    }
    size_t head = (size_t)(end - p) + 4;
    long status = strtol(p + 9, NULL, 10);
    const char *length = header(p, end, "content-length");
    ret->good = (status >= 200 && status < 300) || status == 304;
    ret->n = head;
    if (status == 204 || status == 304) {
        return 0;
    }
    if (length != NULL) {
        ret->n += strtoul(length, NULL, 10);
        ret->told = true;
        return 0;
    }
    if (header(p, end, "transfer-encoding") == NULL) {
        return -1;
    }
    size_t body = chunked_length(end + 4, n - head);
    ret->n += body;
    return body == 0;
}

/* ---- the Redis protocol ---- */

int wire_resp(const char *p, size_t n, struct wire_answer *ret)
{
    const char *end = memchr(p, '\n', n);

    if (end == NULL) {
        return 1;
    }
    ret->n = (size_t)(end - p) + 1;
    ret->good = true;
    switch (*p) {
    case '+':
        return 0;
    case ':':
        /* 0: there was nothing to renew. */
        ret->good = p[1] != '0';
        return 0;
    case '-':
        ret->good = false;
        return 0;
    case '$':
        if (p[1] == '-') {
            ret->good = false;
        } else {
            ret->n += strtoul(p + 1, NULL, 10) + 2;
            ret->told = true;
        }
        return 0;
    default:
        return -1;
    }
}

/* ---- ZooKeeper: length, then xid, zxid, error, all big-endian ---- */

static uint32_t be32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 |
           (uint32_t)u[3];
}

int wire_zookeeper(const char *p, size_t n, struct wire_answer *ret)
{
    if (n < 20) {
        return 1;
    }
    ret->n = 4 + (size_t)be32(p);
    ret->good = be32(p + 16) == 0;
    return ret->n >= 20 && ret->n < 1 << 24 ? 0 : -1;
}

int wire_zookeeper_first(const char *p, size_t n, struct wire_answer *ret)
{
    if (n < 4) {
        return 1;
    }
    ret->n = 4 + (size_t)be32(p);
    ret->good = true;
    return ret->n < 1 << 10 ? 0 : -1;
}
