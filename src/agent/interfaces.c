/* A field per interface: "up mac=52:54:00:12:34:56 mtu=1500
 * addrs=192.0.2.7/24,2001:db8::7/64". What comes and goes by itself is left
 * out: link-local and temporary (privacy) addresses, and the host's ends of
 * containers and virtual machines, which have no address of their own. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/collect.h"
#include "agent/lines.h"
#include "agent/read.h"
#include "base/err.h"

enum { TEMPORARY = 0x01, TENTATIVE = 0x40, IPV6_DIGITS = 32 };

/* Under /sys/class/net/NAME; "" when it is not there. */
static void add_attribute(const char *root, const char *name,
                          const char *attribute, struct buf *out)
{
    struct buf path = {0};
    struct buf text = {0};

    buf_printf(&path, "/sys/class/net/%s/%s", name, attribute);
    if (read_small(root, buf_text(&path), &text) == 0) {
        buf_add_str(out, read_trim(buf_str(&text)));
    }
    buf_done(&path);
    buf_done(&text);
}

static bool has(const char *root, const char *name, const char *part)
{
    struct buf path = {0};

    buf_printf(&path, "/sys/class/net/%s/%s", name, part);
    bool exists = read_exists(root, buf_text(&path));
    buf_done(&path);
    return exists;
}

/* ---- addresses ---- */

struct passing {
    char digits[IPV6_DIGITS + 1]; /* the address looked for */
    bool found;
};

/* if_inet6: address, index, prefix, scope, flags, name. */
static void look_at_ipv6(void *user, struct str line)
{
    struct passing *passing = user;
    struct str address = line_word(&line);

    line_skip(&line, 3);
    struct str flags = line_word(&line);
    if (!str_is(address, passing->digits) || flags.p == NULL) {
        return;
    }
    char *end = NULL;
    unsigned long bits = strtoul(flags.p, &end, 16);
    passing->found |= (bits & (TEMPORARY | TENTATIVE)) != 0;
}

static bool passes_by(const char *root, const struct in6_addr *address)
{
    struct passing passing = {.found = false};

    for (size_t i = 0; i < sizeof *address; i++) {
        (void)snprintf(passing.digits + 2 * i, 3, "%02x", address->s6_addr[i]);
    }
    return lines_of_file(root, "/proc/net/if_inet6", look_at_ipv6, &passing) ==
               0 &&
           passing.found;
}

static unsigned count_bits(const uint8_t *mask, size_t n)
{
    unsigned bits = 0;

    for (size_t i = 0; i < n; i++) {
        bits += (unsigned)__builtin_popcount(mask[i]);
    }
    return bits;
}

static bool is_lasting(const char *root, const struct sockaddr *address)
{
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;

    if (address->sa_family == AF_INET) {
        return ntohl(in->sin_addr.s_addr) >> 16 != 0xa9fe;
    }
    return !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) &&
           !passes_by(root, &in6->sin6_addr);
}

static void add_address(const struct ifaddrs *entry, struct buf *out)
{
    bool four = entry->ifa_addr->sa_family == AF_INET;
    const struct sockaddr_in *in = (const void *)entry->ifa_addr;
    const struct sockaddr_in6 *in6 = (const void *)entry->ifa_addr;
    char text[INET6_ADDRSTRLEN];

    (void)inet_ntop(entry->ifa_addr->sa_family,
                    four ? (const void *)&in->sin_addr
                         : (const void *)&in6->sin6_addr,
                    text, sizeof text);
    buf_printf(out, "%s%s", out->n == 0 ? "" : ",", text);
    if (entry->ifa_netmask != NULL) {
        in = (const void *)entry->ifa_netmask;
        in6 = (const void *)entry->ifa_netmask;
        buf_printf(out, "/%u",
                   four ? count_bits((const void *)&in->sin_addr, 4)
                        : count_bits((const void *)&in6->sin6_addr, 16));
    }
}

/* The kernel's order is that of configuration: it lasts as long as that. */
static void add_addresses(const char *root, const struct ifaddrs *list,
                          const char *name, struct buf *out)
{
    for (const struct ifaddrs *e = list; e != NULL; e = e->ifa_next) {
        if (e->ifa_addr != NULL && strcmp(e->ifa_name, name) == 0 &&
            (e->ifa_addr->sa_family == AF_INET ||
             e->ifa_addr->sa_family == AF_INET6) &&
            is_lasting(root, e->ifa_addr)) {
            add_address(e, out);
        }
    }
}

/* ---- an interface ---- */

/* The host's end of something else: its other end is another interface (veth,
 * macvlan) or a program (tun, tap). VLANs, bonds and bridges are the
 * machine's. */
static bool is_other_end(const char *root, const char *name)
{
    struct buf own = {0};
    struct buf link = {0};
    struct buf kind = {0};

    add_attribute(root, name, "ifindex", &own);
    add_attribute(root, name, "iflink", &link);
    add_attribute(root, name, "uevent", &kind);
    bool linked = !str_equal(buf_str(&own), buf_str(&link)) &&
                  read_value(buf_str(&kind), "DEVTYPE").p == NULL;
    buf_done(&own);
    buf_done(&link);
    buf_done(&kind);
    return linked || has(root, name, "tun_flags");
}

static void add_known(const char *root, const char *name, const char *attribute,
                      const char *label, struct buf *out)
{
    struct buf value = {0};

    add_attribute(root, name, attribute, &value);
    if (value.n > 0 && value.p[0] != '-') {
        buf_printf(out, " %s=%s", label, buf_text(&value));
    }
    buf_done(&value);
}

/* The bond or bridge that it is part of. */
static void add_master(const char *root, const char *name, struct buf *out)
{
    struct buf text = {0};

    add_attribute(root, name, "master/uevent", &text);
    struct str master = read_value(buf_str(&text), "INTERFACE");
    if (master.n > 0) {
        buf_printf(out, " master=%.*s", STR_ARG(master));
    }
    buf_done(&text);
}

static void add_state(const char *root, const struct ifaddrs *entry,
                      struct buf *out)
{
    struct buf state = {0};

    add_attribute(root, entry->ifa_name, "operstate", &state);
    /* Loopback and tunnels do not know theirs. */
    if (state.n == 0 || str_is(buf_str(&state), "unknown")) {
        buf_add_text(out, (entry->ifa_flags & IFF_UP) != 0 ? "up" : "down");
    } else {
        buf_add_str(out, buf_str(&state));
    }
    buf_done(&state);
}

static void add_interface(const char *root, const struct ifaddrs *list,
                          const struct ifaddrs *entry, struct sheet *sheet)
{
    const char *name = entry->ifa_name;
    struct buf addresses = {0};
    struct buf text = {0};

    add_addresses(root, list, name, &addresses);
    if (addresses.n > 0 || has(root, name, "device") ||
        !is_other_end(root, name)) {
        add_state(root, entry, &text);
        add_known(root, name, "address", "mac", &text);
        add_known(root, name, "mtu", "mtu", &text);
        add_known(root, name, "speed", "speed", &text);
        add_master(root, name, &text);
        if (addresses.n > 0) {
            buf_printf(&text, " addrs=%s", buf_text(&addresses));
        }
        sheet_add(sheet, 0, str_of(name), buf_str(&text));
    }
    buf_done(&addresses);
    buf_done(&text);
}

static bool is_first(const struct ifaddrs *list, const struct ifaddrs *entry)
{
    while (strcmp(list->ifa_name, entry->ifa_name) != 0) {
        list = list->ifa_next;
    }
    return list == entry;
}

void interfaces_add(const char *root, const struct ifaddrs *list,
                    struct sheet *sheet)
{
    for (const struct ifaddrs *e = list; e != NULL; e = e->ifa_next) {
        if (is_first(list, e)) {
            add_interface(root, list, e, sheet);
        }
    }
}

int collect_interfaces(const char *root, struct sheet *sheet)
{
    struct ifaddrs *list = NULL;

    if (getifaddrs(&list) != 0) {
        return err_raise(ERR_SYSTEM);
    }
    interfaces_add(root, list, sheet);
    freeifaddrs(list);
    return 0;
}
