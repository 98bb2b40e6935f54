#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include "agent/facts.h"

static bool is_useful(const struct ifaddrs *entry, sa_family_t family)
{
    if (entry->ifa_addr == NULL || entry->ifa_addr->sa_family != family ||
        (entry->ifa_flags & IFF_UP) == 0 ||
        (entry->ifa_flags & IFF_LOOPBACK) != 0) {
        return false;
    }
    if (family == AF_INET) {
        const struct sockaddr_in *in = (const void *)entry->ifa_addr;
        uint32_t address = ntohl(in->sin_addr.s_addr);
        return address >> 24 != 127 && address >> 16 != 0xa9fe;
    }
    const struct sockaddr_in6 *in6 = (const void *)entry->ifa_addr;
    return !IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) &&
           !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

static void add_family(const struct ifaddrs *list, sa_family_t family,
                       struct buf *out)
{
    char text[INET6_ADDRSTRLEN];

    for (const struct ifaddrs *entry = list; entry != NULL;
         entry = entry->ifa_next) {
        if (!is_useful(entry, family)) {
            continue;
        }
        const struct sockaddr_in *in = (const void *)entry->ifa_addr;
        const struct sockaddr_in6 *in6 = (const void *)entry->ifa_addr;
        const void *address = family == AF_INET ? (const void *)&in->sin_addr
                                                : (const void *)&in6->sin6_addr;
        if (inet_ntop(family, address, text, sizeof text) != NULL) {
            if (out->n > 0) {
                buf_add_char(out, ',');
            }
            buf_add_text(out, text);
        }
    }
}

void fact_addresses(const struct ifaddrs *list, struct buf *ret_text)
{
    add_family(list, AF_INET, ret_text);
    add_family(list, AF_INET6, ret_text);
}
