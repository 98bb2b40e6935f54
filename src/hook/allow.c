#include "hook/allow.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

enum { V4_BITS = 96, V6_BYTES = 16, TEXT_MOST = 64 };

static const uint8_t MAPPED[V4_BITS / 8] = {[10] = 0xff, [11] = 0xff};

/* The first that fits tells what an address is. */
static const struct range {
    const char *net;
    unsigned bits;
    const char *what;
} ranges[] = {
    {"0.0.0.0", 8, "an unspecified address"},
    {"127.0.0.0", 8, "a loopback address"},
    {"169.254.169.254", 32, "the address of a metadata service"},
    {"169.254.0.0", 16, "a link-local address"},
    {"100.100.100.200", 32, "the address of a metadata service"},
    {"168.63.129.16", 32, "the address of a metadata service"},
    {"192.0.0.192", 32, "the address of a metadata service"},
    {"224.0.0.0", 4, "a multicast address"},
    {"240.0.0.0", 4, "a reserved or broadcast address"},
    {"::", 128, "an unspecified address"},
    {"::1", 128, "a loopback address"},
    {"fe80::", 10, "a link-local address"},
    {"fec0::", 10, "a site-local address"},
    {"ff00::", 8, "a multicast address"},
    {"fd00:ec2::254", 128, "the address of a metadata service"},
    {"fd20:ce::254", 128, "the address of a metadata service"},
};

/* IPv6 addresses whose packets may end at an IPv4 one inside them. */
static const struct carrier {
    const char *net;
    unsigned bits;
    size_t at;      /* its offset */
    uint8_t hidden; /* each byte is xor-ed with it */
} carriers[] = {
    {"::", 96, 12, 0},            /* IPv4-compatible (RFC 4291 2.5.5.1) */
    {"::ffff:0:0:0", 96, 12, 0},  /* SIIT (RFC 2765) */
    {"64:ff9b::", 96, 12, 0},     /* NAT64 (RFC 6052) */
    {"64:ff9b:1::", 48, 12, 0},   /* NAT64 of a site (RFC 8215) */
    {"2002::", 16, 2, 0},         /* 6to4 (RFC 3056) */
    {"2001::", 32, 12, UINT8_MAX} /* Teredo (RFC 4380) */
};

static bool read_net(const char *text, unsigned bits, struct allow_net *ret_net)
{
    struct allow_net net = {.bits = bits};

    if (inet_pton(AF_INET, text, net.b + V4_BITS / 8) == 1) {
        memcpy(net.b, MAPPED, sizeof MAPPED);
        net.bits += V4_BITS;
    } else if (inet_pton(AF_INET6, text, net.b) != 1) {
        return false;
    }
    *ret_net = net;
    return true;
}

static bool is_in(const uint8_t address[V6_BYTES], const struct allow_net *net)
{
    size_t whole = net->bits / 8;
    unsigned rest = net->bits % 8;

    if (memcmp(address, net->b, whole) != 0) {
        return false;
    }
    return rest == 0 ||
           (address[whole] >> (8 - rest)) == (net->b[whole] >> (8 - rest));
}

static bool is_in_text(const uint8_t address[V6_BYTES], const char *text,
                       unsigned bits)
{
    struct allow_net net;
    return read_net(text, bits, &net) && is_in(address, &net);
}

static const char *refused_as(const uint8_t address[V6_BYTES])
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (is_in_text(address, ranges[i].net, ranges[i].bits)) {
            return ranges[i].what;
        }
    }
    return NULL;
}

static const char *refused_inside(const uint8_t address[V6_BYTES])
{
    for (size_t i = 0; i < sizeof carriers / sizeof *carriers; i++) {
        const struct carrier *c = &carriers[i];
        uint8_t inside[V6_BYTES];
        if (!is_in_text(address, c->net, c->bits)) {
            continue;
        }
        memcpy(inside, MAPPED, sizeof MAPPED);
        for (size_t n = 0; n < 4; n++) {
            inside[V4_BITS / 8 + n] = address[c->at + n] ^ c->hidden;
        }
        const char *what = refused_as(inside);
        if (what != NULL) {
            return what;
        }
    }
    return NULL;
}

static bool is_allowed(const struct allow *allow,
                       const uint8_t address[V6_BYTES])
{
    for (size_t i = 0; i < allow->n; i++) {
        if (is_in(address, &allow->nets[i])) {
            return true;
        }
    }
    return false;
}

const char *allow_refuses(const struct allow *allow,
                          const struct sockaddr *address)
{
    uint8_t b[V6_BYTES];

    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        memcpy(b, MAPPED, sizeof MAPPED);
        memcpy(b + V4_BITS / 8, &in.sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        memcpy(b, &in6.sin6_addr, sizeof b);
    } else {
        return "no address of the internet";
    }
    if (is_allowed(allow, b)) {
        return NULL;
    }
    const char *what = refused_as(b);
    return what != NULL ? what : refused_inside(b);
}

/* ---- the setting ---- */

static int read_one(struct str text, struct allow_net *ret_net,
                    const char **ret_why)
{
    char address[TEXT_MOST];
    const char *slash = memchr(text.p, '/', text.n);
    size_t n = slash == NULL ? text.n : (size_t)(slash - text.p);
    uint64_t bits = 0;

    *ret_why = "holds what is no network, as 10.1.0.0/16 or fd00::/8";
    if (n == 0 || n >= sizeof address) {
        return ERR_INVALID;
    }
    memcpy(address, text.p, n);
    address[n] = '\0';
    unsigned most = memchr(address, ':', n) != NULL ? 128 : 32;
    struct str number = {text.p + n + 1, text.n - n - 1};
    if (slash == NULL) {
        bits = most;
    } else if (number.n == 0 || str_number(number, most, &bits) != 0) {
        return ERR_INVALID;
    }
    return read_net(address, (unsigned)bits, ret_net) ? 0 : ERR_INVALID;
}

int allow_read(const char *text, struct allow *ret_allow, const char **ret_why)
{
    struct allow allow = {.n = 0};
    struct str rest = str_of(text);

    while (rest.n > 0) {
        const char *comma = memchr(rest.p, ',', rest.n);
        size_t n = comma == NULL ? rest.n : (size_t)(comma - rest.p);
        struct str one = str_trim((struct str){rest.p, n});
        size_t used = comma == NULL ? rest.n : n + 1;
        rest = (struct str){rest.p + used, rest.n - used};
        allow.nets = mem_grow(allow.nets, (allow.n + 1) * sizeof *allow.nets);
        int r = read_one(one, &allow.nets[allow.n], ret_why);
        if (r != 0) {
            allow_done(&allow);
            return r;
        }
        allow.n++;
    }
    *ret_allow = allow;
    return 0;
}

void allow_done(struct allow *allow)
{
    allow->nets = mem_free(allow->nets);
    allow->n = 0;
}
