/* Takes a mode (first byte), a pattern, a newline, a text. Any pattern answers
 * within its budget; the same question gets the same answer. */
#include "base/err.h"
#include "base/utf8.h"
#include "model/pattern.h"
#include "replay.h"

enum { BUDGET = 200000 };

static int match(const struct pattern *pattern, struct str text)
{
    CLEANUP(pattern_scratch_freep)
    struct pattern_scratch *scratch = pattern_scratch_new(BUDGET);

    return pattern_match(pattern, scratch, text);
}

static void check_plain(enum pattern_mode mode, struct str wanted,
                        struct str text, int r)
{
    bool longer = text.n >= wanted.n;
    bool begins = longer && str_equal((struct str){text.p, wanted.n}, wanted);

    if (mode == PATTERN_EXACT) {
        REQUIRE((r == 0) == str_equal(wanted, text));
    } else if (mode == PATTERN_PREFIX) {
        REQUIRE((r == 0) == begins);
    } else {
        REQUIRE(r == 0 || !begins);
    }
}

static void check(enum pattern_mode mode, struct str wanted, struct str text)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    CLEANUP(pattern_freep) struct pattern *pattern = NULL;
    struct str why = STR_NONE;
    int r = pattern_new(mode, wanted, arena, &pattern, &why);

    if (r != 0) {
        REQUIRE(r == ERR_INVALID && mode == PATTERN_REGEX);
        REQUIRE(pattern == NULL && why.n > 0);
        return;
    }
    r = match(pattern, text);
    REQUIRE(r == 0 || r == ERR_NOT_FOUND || r == ERR_TOO_COSTLY);
    REQUIRE(match(pattern, text) == r);
    if (mode == PATTERN_REGEX) {
        REQUIRE(r != 0 || utf8_is_valid(text));
        return;
    }
    check_plain(mode, wanted, text, r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *line = n == 0 ? NULL : memchr(bytes, '\n', n);

    if (line == NULL || line == bytes) {
        return 0;
    }
    struct str wanted = {(const char *)bytes + 1, (size_t)(line - bytes) - 1};
    struct str text = {(const char *)line + 1, n - wanted.n - 2};
    /* Digits stand for the plain modes; most of the time is for the regex. */
    enum pattern_mode mode = bytes[0] == '0'   ? PATTERN_EXACT
                             : bytes[0] == '1' ? PATTERN_CONTAINS
                             : bytes[0] == '2' ? PATTERN_PREFIX
                                               : PATTERN_REGEX;
    check(mode, wanted, text);
    return 0;
}
