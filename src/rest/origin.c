#include "rest/origin.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>
#include <uthash.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/mem.h"

enum { KEY = 16, NET_V6 = 8 };

struct rest_origin {
    UT_hash_handle hh;
    uint64_t n;
    uint8_t key[KEY];
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

void rest_origin_address(const struct sockaddr *from, uint8_t ret_address[16])
{
    memset(ret_address, 0, KEY);
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)from;
        memcpy(ret_address, mapped, sizeof mapped);
        memcpy(ret_address + sizeof mapped, &v4->sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)from;
        memcpy(ret_address, &v6->sin6_addr, KEY);
    }
}

static void set_key(uint8_t key[KEY], const uint8_t address[16])
{
    bool v4 = memcmp(address, mapped, sizeof mapped) == 0;

    memset(key, 0, KEY);
    memcpy(key, address, v4 ? KEY : NET_V6);
}

void rest_origins_init(struct rest_origins *origins, uint64_t most)
{
    *origins = (struct rest_origins){.seed = chance_u64(), .most = most};
    (void)pthread_mutex_init(&origins->lock, NULL);
}

void rest_origins_done(struct rest_origins *origins)
{
    assert(origins->all == NULL);
    (void)pthread_mutex_destroy(&origins->lock);
}

static unsigned hash_of(const struct rest_origins *origins,
                        const uint8_t key[KEY])
{
    return (unsigned)XXH3_64bits_withSeed(key, KEY, origins->seed);
}

static struct rest_origin *find(struct rest_origins *origins,
                                const uint8_t key[KEY])
{
    struct rest_origin *origin = NULL;

    HASH_FIND_BYHASHVALUE(hh, origins->all, key, KEY, hash_of(origins, key),
                          origin);
    return origin;
}

static struct rest_origin *add(struct rest_origins *origins,
                               const uint8_t key[KEY])
{
    struct rest_origin *origin = mem_zero(sizeof *origin);

    memcpy(origin->key, key, KEY);
    HASH_ADD_BYHASHVALUE(hh, origins->all, key, KEY, hash_of(origins, key),
                         origin);
    return origin;
}

bool rest_origins_take(struct rest_origins *origins, const uint8_t address[16])
{
    uint8_t key[KEY];

    if (origins->most == 0) {
        return true;
    }
    set_key(key, address);
    (void)pthread_mutex_lock(&origins->lock);
    struct rest_origin *origin = find(origins, key);
    bool fits = origin == NULL || origin->n < origins->most;
    if (fits) {
        origin = origin == NULL ? add(origins, key) : origin;
        origin->n++;
    }
    (void)pthread_mutex_unlock(&origins->lock);
    return fits;
}

void rest_origins_give(struct rest_origins *origins, const uint8_t address[16])
{
    uint8_t key[KEY];

    if (origins->most == 0) {
        return;
    }
    set_key(key, address);
    (void)pthread_mutex_lock(&origins->lock);
    struct rest_origin *origin = find(origins, key);
    assert(origin != NULL && origin->n > 0);
    if (--origin->n == 0) {
        HASH_DEL(origins->all, origin);
        (void)mem_free(origin);
    }
    (void)pthread_mutex_unlock(&origins->lock);
}
