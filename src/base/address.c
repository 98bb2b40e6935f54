#include "base/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

int address_split(const char *text, char ret_host[ADDRESS_HOST],
                  char ret_port[16])
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return ERR_INVALID;
    }
    struct str name = {text, (size_t)(colon - text)};
    if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']') {
        name = (struct str){name.p + 1, name.n - 2};
    } else if (memchr(name.p, ':', name.n) != NULL) {
        return ERR_INVALID;
    }
    uint64_t number = 0;
    if (name.n >= ADDRESS_HOST ||
        str_number(str_of(colon + 1), 65535, &number) != 0) {
        return ERR_INVALID;
    }
    (void)snprintf(ret_host, ADDRESS_HOST, "%.*s", STR_ARG(name));
    (void)snprintf(ret_port, 16, "%u", (unsigned)number);
    return 0;
}

static int find(const char *host, const char *port, int flags,
                struct address *ret_addresses, size_t most, size_t *ret_n,
                const char **ret_why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    size_t n = 0;

    int r = getaddrinfo(host, port, &hints, &found);
    if (r != 0) {
        *ret_why = gai_strerror(r);
        return ERR_INVALID;
    }
    for (const struct addrinfo *a = found; a != NULL && n < most;
         a = a->ai_next, n++) {
        memcpy(&ret_addresses[n].sa, a->ai_addr, a->ai_addrlen);
        ret_addresses[n].n = a->ai_addrlen;
    }
    freeaddrinfo(found);
    *ret_n = n;
    return 0;
}

int address_to_listen(const char *text, struct address *ret_address,
                      const char **ret_why)
{
    char host[ADDRESS_HOST];
    char port[16];
    size_t n = 0;

    if (address_split(text, host, port) != 0) {
        *ret_why = "is no HOST:PORT";
        return ERR_INVALID;
    }
    return find(host[0] == '\0' ? NULL : host, port, AI_PASSIVE, ret_address, 1,
                &n, ret_why);
}

int address_to_dial(const char *text, struct address *ret_addresses,
                    size_t most, size_t *ret_n, const char **ret_why)
{
    char host[ADDRESS_HOST];
    char port[16];

    if (address_split(text, host, port) != 0 || host[0] == '\0' ||
        str_is(str_of(port), "0")) {
        *ret_why = "is no HOST:PORT";
        return ERR_INVALID;
    }
    return find(host, port, 0, ret_addresses, most, ret_n, ret_why);
}

char *address_text(const struct address *address)
{
    char host[64];
    char port[16];
    struct buf text = {0};

    if (getnameinfo((const struct sockaddr *)&address->sa, address->n, host,
                    sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return mem_text("?");
    }
    buf_printf(&text, address->sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
               host, port);
    return buf_text(&text);
}
