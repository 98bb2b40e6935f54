/* How many connections each client has, by its address. IPv6 counts by /64:
 * that is what one gets.
 *
 * Any thread. */
#ifndef REST_ORIGIN_H
#define REST_ORIGIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/own.h"

struct rest_origin; /* origin.c */

struct rest_origins {
    pthread_mutex_t lock;
    struct rest_origin *all; /* hash */
    uint64_t seed;           /* addresses are chosen by strangers */
    uint64_t most;           /* of each; 0: nobody counts */
};

void rest_origins_init(struct rest_origins *origins, uint64_t most);
/* Nobody has any more. */
void rest_origins_done(struct rest_origins *origins);
/* False: there are as many as there may be, and this is no one more. */
bool rest_origins_take(struct rest_origins *origins,
                       const uint8_t address[16]) MUST_USE;
/* One that was taken. */
void rest_origins_give(struct rest_origins *origins, const uint8_t address[16]);

/* IPv4 as ::ffff:a.b.c.d; all zero when it is neither. */
void rest_origin_address(const struct sockaddr *from, uint8_t ret_address[16]);

#endif
