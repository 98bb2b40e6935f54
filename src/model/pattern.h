/* Matching text: regular expressions (PCRE2, with limits) and the plain modes
 * of a search. A pattern is immutable after pattern_new: any number of threads
 * may match with it, each with its own pattern_match scratch. */
#ifndef MODEL_PATTERN_H
#define MODEL_PATTERN_H

#include <stdbool.h>

#include "base/mem.h"

enum pattern_mode {
    PATTERN_EXACT,
    PATTERN_CONTAINS,
    PATTERN_PREFIX,
    PATTERN_REGEX,
};

struct pattern;         /* opaque, immutable */
struct pattern_scratch; /* opaque, one thread */

/* Gives *ret_pattern. A regex is UTF-8, unanchored, case-sensitive, at most
 * 1000 bytes, without \C; JIT when there is one.
 * Answers: INVALID with *ret_why in `arena` (position and PCRE2's words). */
int pattern_new(enum pattern_mode mode, struct str text, struct arena *arena,
                struct pattern **ret_pattern, struct str *ret_why) MUST_USE;
struct pattern *pattern_free(struct pattern *pattern);
/* "exact", "contains", "prefix", "regex": 0 or INVALID. */
int pattern_mode_parse(struct str text, enum pattern_mode *ret_mode) MUST_USE;

/* A scratch also holds a budget of match steps, so that a whole search (many
 * values) is bounded, not only one value. A value costs 8 steps, each 32 of its
 * bytes one, each item of a regex that is tried one: 10 to 20 ns a step. */
struct pattern_scratch *pattern_scratch_new(uint64_t budget) MUST_USE;
struct pattern_scratch *pattern_scratch_free(struct pattern_scratch *scratch);

/* `text` should be UTF-8; other text matches no regex. Answers: 0 it matches,
 * NOT_FOUND it does not, TOO_COSTLY a limit was hit. */
int pattern_match(const struct pattern *pattern,
                  struct pattern_scratch *scratch, struct str text) MUST_USE;

/* The modes but REGEX, which cost next to nothing. */
bool pattern_plain(enum pattern_mode mode, struct str wanted,
                   struct str text) MUST_USE;

DEFINE_CLEANUP(struct pattern, pattern_free)
DEFINE_CLEANUP(struct pattern_scratch, pattern_scratch_free)

#endif
