/* What every test of this room starts with. cmocka.h needs the four before it.
 */
#ifndef TEST_REST_KIT_H
#define TEST_REST_KIT_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "base/err.h"
#include "base/mem.h"

static inline int setup_arena(void **state)
{
    *state = arena_new();
    return 0;
}

static inline int teardown_arena(void **state)
{
    *state = arena_free(*state);
    return 0;
}

static inline void expect_str(struct str got, const char *wanted)
{
    if (!str_is(got, wanted)) {
        fail_msg("'%.*s' is not '%s'", STR_ARG(got), wanted);
    }
}

#define WITH_ARENA(test)                                                       \
    cmocka_unit_test_setup_teardown(test, setup_arena, teardown_arena)

#endif
