/* A machine on a store of its own, fed with single commands. */
#ifndef TEST_MACHINE_KIT_H
#define TEST_MACHINE_KIT_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include "base/err.h"
#include "machine/machine.h"
#include "model/row.h"

struct kit {
    char dir[64];
    struct store *store;
    struct cache *cache;
    struct machine *m;
    struct arena *arena;
    struct store_reader *reader;
    uint64_t index;
    uint64_t now_ms;
    uint64_t ids;
    struct machine_result res; /* of the last command */
    unsigned puts, dels;       /* hooks that were called */
    bool spared;               /* what the last of them told */
    char path[64], cause[32];  /* of the last event */
    unsigned events;
    unsigned moves, tellings;
    bool lease_registered; /* what the last one said */
    uint64_t scopes[8];
    size_t n_scopes;
    struct machine_breaker told;
};

struct kit *kit_new(void);
void kit_free(struct kit *k);
/* To a feature level. */
void kit_rise(struct kit *k, uint64_t level);
/* Register web-1 in the pool, or in a leaf (ns > 0). */
int kit_enrol(struct kit *k, uint64_t ns);
/* Expire the lease of web-1: how many ended. */
uint64_t kit_expire(struct kit *k);
/* SWEEP of at most so much at this time. */
uint64_t kit_sweep(struct kit *k, uint64_t now_ms, uint64_t limit);
/* Apply one command as one entry and commit; returns its answer. */
int kit_do(struct kit *k, struct command *c);
struct ulid kit_id(struct kit *k); /* 1, 2, 3, … */
struct command kit_add(struct kit *k, uint64_t ns, const char *type,
                       const char *key_field, const char *fields);
uint64_t kit_mkns(struct kit *k, uint64_t parent, enum store_kind kind,
                  const char *name);
struct store_meta kit_meta(struct kit *k);
uint64_t kit_count(struct kit *k, uint64_t ns, const char *type);
/* The whole list as text, in the kit's arena. */
const char *kit_list(struct kit *k, uint64_t ns, const char *type);

#endif
