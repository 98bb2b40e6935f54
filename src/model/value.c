#include "model/value.h"

#include <arpa/inet.h>
#include <strings.h>

#include "base/err.h"
#include "model/json.h"
#include "model/name.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Within 64 bits with a sign: what every reader can hold. */
static bool is_int(struct str text)
{
    bool minus = text.n > 0 && text.p[0] == '-';
    struct str digits = {text.p + minus, text.n - minus};
    uint64_t number = 0;

    return str_number(digits, (uint64_t)INT64_MAX + minus, &number) == 0;
}

static bool is_bool(struct str text)
{
    return str_is(text, "true") || str_is(text, "false");
}

static bool is_port(struct str text)
{
    uint64_t port = 0;

    return str_number(text, UINT16_MAX, &port) == 0 && port > 0;
}

static bool is_address(int family, struct str text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (text.n >= sizeof copy || memchr(text.p, '\0', text.n) != NULL) {
        return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return inet_pton(family, copy, &address) == 1;
}

static bool is_ipv4(struct str text)
{
    return is_address(AF_INET, text);
}

static bool is_ipv6(struct str text)
{
    return is_address(AF_INET6, text);
}

static bool is_ip(struct str text)
{
    return is_ipv4(text) || is_ipv6(text);
}

static bool is_cidr(struct str text)
{
    const char *slash = memchr(text.p, '/', text.n);
    uint64_t bits = 0;

    if (slash == NULL) {
        return false;
    }
    struct str address = {text.p, (size_t)(slash - text.p)};
    struct str length = {slash + 1, text.n - address.n - 1};
    return (is_ipv4(address) && str_number(length, 32, &bits) == 0) ||
           (is_ipv6(address) && str_number(length, 128, &bits) == 0);
}

/* scheme://something, without spaces or control characters (RFC 3986). */
static bool is_url(struct str text)
{
    static const char between[] = "://";
    const char *end = memmem(text.p, text.n, between, sizeof between - 1);
    size_t scheme = end == NULL ? 0 : (size_t)(end - text.p);
    size_t host = scheme + sizeof between - 1;

    if (scheme == 0 || host >= text.n || text.p[host] == '/') {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool later = is_digit(c) || c == '+' || c == '-' || c == '.';
        if (i < scheme ? !letter && (i == 0 || !later)
                       : (unsigned char)c <= ' ' || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_weburl(struct str text)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i]);
        if (text.n > n && strncasecmp(text.p, schemes[i], n) == 0) {
            return is_url(text);
        }
    }
    return false;
}

/* None is all. */
static bool is_types(struct str text)
{
    while (text.n > 0) {
        const char *comma = memchr(text.p, ',', text.n);
        size_t n = comma == NULL ? text.n : (size_t)(comma - text.p);
        if (!name_is_type(str_trim((struct str){text.p, n})) ||
            n + 1 == text.n) {
            return false;
        }
        n += comma != NULL;
        text = (struct str){text.p + n, text.n - n};
    }
    return true;
}

static bool is_duration(struct str text)
{
    uint64_t ms = 0;

    return str_duration(text, &ms) == 0;
}

/* ---- time: RFC 3339 section 5.6 ---- */

/* Two digits, least..most. */
static bool is_pair(const char *p, unsigned least, unsigned most,
                    unsigned *ret_number)
{
    if (!is_digit(p[0]) || !is_digit(p[1])) {
        return false;
    }
    *ret_number = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
    return *ret_number >= least && *ret_number <= most;
}

static bool is_date(const char *p)
{
    static const unsigned days[] = {31, 29, 31, 30, 31, 30,
                                    31, 31, 30, 31, 30, 31};
    unsigned century = 0;
    unsigned year = 0;
    unsigned month = 0;
    unsigned day = 0;

    if (!is_pair(p, 0, 99, &century) || !is_pair(p + 2, 0, 99, &year) ||
        p[4] != '-' || !is_pair(p + 5, 1, 12, &month) || p[7] != '-' ||
        !is_pair(p + 8, 1, days[month - 1], &day)) {
        return false;
    }
    bool leap = year % 4 == 0 && (year != 0 || century % 4 == 0);
    return leap || month != 2 || day < 29;
}

static bool is_clock(const char *p)
{
    unsigned number = 0;

    /* Second 60 is a leap second. */
    return is_pair(p, 0, 23, &number) && p[2] == ':' &&
           is_pair(p + 3, 0, 59, &number) && p[5] == ':' &&
           is_pair(p + 6, 0, 60, &number);
}

static bool is_zone(struct str text)
{
    unsigned number = 0;

    if (text.n == 1) {
        return text.p[0] == 'Z' || text.p[0] == 'z';
    }
    return text.n == 6 && (text.p[0] == '+' || text.p[0] == '-') &&
           is_pair(text.p + 1, 0, 23, &number) && text.p[3] == ':' &&
           is_pair(text.p + 4, 0, 59, &number);
}

static bool is_time(struct str text)
{
    size_t at = sizeof "2006-01-02T15:04:05" - 1;

    if (text.n <= at || !is_date(text.p) ||
        (text.p[10] != 'T' && text.p[10] != 't') || !is_clock(text.p + 11)) {
        return false;
    }
    if (text.p[at] == '.') {
        size_t first = ++at;
        while (at < text.n && is_digit(text.p[at])) {
            at++;
        }
        if (at == first) {
            return false;
        }
    }
    return is_zone((struct str){text.p + at, text.n - at});
}

/* ---- the table ---- */

/* clang-format off */
#define KINDS(X)                                                               \
    X(int, is_int, "must be a whole number of 64 bits")                        \
    X(number, json_is_number, "must be a number")                              \
    X(bool, is_bool, "must be true or false")                                  \
    X(port, is_port, "must be a port, 1 to 65535")                             \
    X(ip, is_ip, "must be an IP address")                                      \
    X(ipv4, is_ipv4, "must be an IPv4 address")                                \
    X(ipv6, is_ipv6, "must be an IPv6 address")                                \
    X(cidr, is_cidr, "must be an address, '/' and a prefix length")            \
    X(hostname, name_is_host,                                                  \
      "must be 1 to 253 letters, digits, '.', '-' or '_' and not look like "   \
      "an id")                                                                 \
    X(url, is_url, "must be a URL with scheme and host")                       \
    X(weburl, is_weburl, "must be a URL with http:// or https:// and a host")  \
    X(types, is_types, "must be names of types, with commas between")          \
    X(duration, is_duration, "must be a duration such as 500ms, 10s, 5m, 24h") \
    X(time, is_time, "must be a time such as 2006-01-02T15:04:05Z")
/* clang-format on */

static const struct {
    const char *name;
    bool (*fits)(struct str text);
    const char *what;
} kinds[] = {
#define X(name, fits, what) {#name, fits, what},
    KINDS(X)
#undef X
};

const char *const *value_kinds(void)
{
    static const char *const names[] = {
#define X(name, fits, what) #name,
        KINDS(X)
#undef X
            NULL,
    };

    return names;
}

bool value_is_kind(struct str name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (str_is(name, kinds[i].name)) {
            return true;
        }
    }
    return false;
}

const char *value_check(struct str kind, struct str value)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (str_is(kind, kinds[i].name)) {
            return kinds[i].fits(value) ? NULL : kinds[i].what;
        }
    }
    return NULL;
}
