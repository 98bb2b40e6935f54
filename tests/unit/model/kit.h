/* What the tests of this room share. */
#ifndef MODEL_TEST_KIT_H
#define MODEL_TEST_KIT_H

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/json.h"

#define ARENA CLEANUP(arena_freep) struct arena *
#define BUF CLEANUP(buf_done) struct buf

#define assert_str(got, wanted)                                                \
    do {                                                                       \
        struct str got_ = (got);                                               \
        struct str wanted_ = str_of(wanted);                                   \
        assert_non_null(got_.p);                                               \
        if (!str_equal(got_, wanted_)) {                                       \
            print_error("got    %.*s\nwanted %s\n", STR_ARG(got_), wanted_.p); \
        }                                                                      \
        assert_true(str_equal(got_, wanted_));                                 \
    } while (0)

static inline struct json *parsed(struct arena *arena, struct str text)
{
    struct json *root = NULL;
    struct json_error error = {0};
    int r = json_parse(arena, text, &root, &error);

    if (r != 0) {
        print_error("%.*s %.*s\n", STR_ARG(error.path), STR_ARG(error.what));
    }
    assert_int_equal(r, 0);
    assert_non_null(root);
    return root;
}

/* Times vary; this is only to tell linear from quadratic, or a limit from a
 * stall. */
#define assert_soon(start_ms, most_ms)                                         \
    assert_true(clock_mono_ms() - (start_ms) < (most_ms))

#endif
