/* What the tests of this room share. */
#ifndef TESTS_UNIT_WATCH_KIT_H
#define TESTS_UNIT_WATCH_KIT_H

/* cmocka.h needs the four before it. */
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
#include "watch/watch.h"

/* A put of one row with these fields, `was` NULL: it is new. In `arena`. */
struct str kit_put(struct arena *arena, uint64_t revision, const char *ns,
                   const char *type, const char *fields, const char *was);
struct str kit_ns(struct arena *arena, uint64_t revision, const char *op,
                  const char *ns, const char *old);

/* A store of its own. */
struct kit_store {
    char dir[64];
    struct arena *arena;
    struct store *store;
    struct store_reader *reader;
};
void kit_store_open(struct kit_store *bed);
void kit_store_close(struct kit_store *bed);

#endif
