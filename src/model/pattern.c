#include "model/pattern.h"

#include <assert.h>

#include "base/err.h"
#include "base/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Why a search cannot stall. PCRE2's own match limit starts anew at every
 * position of the text and does not count how far one item reads, so alone it
 * allows text length x limit x text length. We compile a callout in front of
 * every item of the pattern; it takes from the search's budget one step, plus
 * what the items before it read. What an item may read without reaching the
 * next callout is bounded by the text: linear, except for items that read far
 * and then fail. Those are known (see reach_of) and pay in advance. The match
 * limit still ends explosions in one short text early. */
enum {
    REGEX_BYTES_MAX = 1000,
    MATCH_LIMIT = 100000,
    DEPTH_LIMIT = 50000,    /* for the interpreter; JIT has none, */
    HEAP_LIMIT_KIB = 16384, /* nor this one, */
    JIT_STACK_FIRST = 32 * 1024,
    JIT_STACK_MAX = 1 << 20, /* but this one. */
    VALUE_STEPS = 8,         /* to start a match at all */
    BYTES_PER_STEP = 32,     /* a byte read is cheaper than an item tried */
};

struct pattern {
    enum pattern_mode mode;
    struct str text;
    pcre2_code *code; /* REGEX only. */
    size_t reach;     /* Bytes one item may read and then fail. */
};

struct pattern_scratch {
    uint64_t budget;
    uint64_t item_steps; /* What one item costs in the text at hand. */
    size_t at;           /* Where the last callout stood in it. */
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack; /* NULL when PCRE2 has no JIT. */
};

static bool spend(struct pattern_scratch *scratch, uint64_t steps)
{
    bool enough = steps <= scratch->budget;

    scratch->budget = enough ? scratch->budget - steps : 0;
    return enough;
}

/* Before each item. Only going forward costs: going back is one step, however
 * far, and the way it undoes was paid. */
static int on_item(pcre2_callout_block *block, void *user)
{
    struct pattern_scratch *scratch = user;
    uint64_t steps = scratch->item_steps;

    if (block->current_position > scratch->at) {
        steps += (block->current_position - scratch->at) / BYTES_PER_STEP;
    }
    scratch->at = block->current_position;
    return spend(scratch, steps) ? 0 : PCRE2_ERROR_CALLOUT;
}

static size_t number_at(struct str text, size_t at)
{
    size_t n = 0;

    while (at < text.n && text.p[at] == ' ') {
        at++;
    }
    while (at < text.n && text.p[at] >= '0' && text.p[at] <= '9') {
        n = n * 10 + (size_t)(text.p[at++] - '0');
    }
    return n;
}

/* Items that read far and then fail: x{n} reads n characters, a lookbehind goes
 * back as many as it is long, a back reference reads whatever its group held,
 * \X as many marks as there are. A number that only looks like a repeat makes a
 * pattern dearer, never wrong. */
static size_t reach_of(struct str text, const pcre2_code *code)
{
    uint32_t references = 0;
    uint32_t behind = 0;

    (void)pcre2_pattern_info(code, PCRE2_INFO_BACKREFMAX, &references);
    (void)pcre2_pattern_info(code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
    if (references > 0 || memmem(text.p, text.n, "\\X", 2) != NULL) {
        return SIZE_MAX;
    }
    size_t characters = behind;
    for (size_t i = 0; i < text.n; i++) {
        size_t n = text.p[i] == '{' ? number_at(text, i + 1) : 0;
        if (n > characters) {
            characters = n;
        }
    }
    return characters * UTF8_MAX;
}

static struct str why(struct arena *arena, int code, size_t at)
{
    PCRE2_UCHAR words[256];

    if (pcre2_get_error_message(code, words, sizeof words) < 0) {
        return arena_printf(arena, "not valid at byte %zu", at);
    }
    return arena_printf(arena, "%s at byte %zu", (const char *)words, at);
}

static int compile(struct pattern *pattern, struct arena *arena,
                   struct str *ret_why)
{
    struct str text = pattern->text;
    int code = 0;
    PCRE2_SIZE at = 0;

    if (text.n > REGEX_BYTES_MAX) {
        *ret_why = STR("longer than 1000 bytes");
        return ERR_INVALID;
    }
    pattern->code =
        pcre2_compile((PCRE2_SPTR)text.p, text.n,
                      PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT,
                      &code, &at, NULL);
    if (pattern->code == NULL) {
        *ret_why = why(arena, code, at);
        return ERR_INVALID;
    }
    /* What JIT cannot do is interpreted: same answers, same budget. */
    (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    pattern->reach = reach_of(text, pattern->code);
    return 0;
}

int pattern_new(enum pattern_mode mode, struct str text, struct arena *arena,
                struct pattern **ret_pattern, struct str *ret_why)
{
    CLEANUP(pattern_freep) struct pattern *pattern = mem_zero(sizeof *pattern);

    pattern->mode = mode;
    pattern->text = (struct str){mem_dup(text.p, text.n), text.n};
    if (mode == PATTERN_REGEX) {
        int r = compile(pattern, arena, ret_why);
        if (r != 0) {
            return r;
        }
    }
    *ret_pattern = TAKE(pattern);
    return 0;
}

struct pattern *pattern_free(struct pattern *pattern)
{
    if (pattern != NULL) {
        pcre2_code_free(pattern->code);
        (void)mem_free((void *)(uintptr_t)pattern->text.p);
        (void)mem_free(pattern);
    }
    return NULL;
}

int pattern_mode_parse(struct str text, enum pattern_mode *ret_mode)
{
    static const char *const names[] = {
        [PATTERN_EXACT] = "exact",
        [PATTERN_CONTAINS] = "contains",
        [PATTERN_PREFIX] = "prefix",
        [PATTERN_REGEX] = "regex",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (str_is(text, names[i])) {
            *ret_mode = (enum pattern_mode)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

struct pattern_scratch *pattern_scratch_new(uint64_t budget)
{
    struct pattern_scratch *scratch = mem_zero(sizeof *scratch);

    scratch->budget = budget;
    scratch->context = pcre2_match_context_create(NULL);
    /* Only whether it matches is asked, never what a group held. */
    scratch->data = pcre2_match_data_create(1, NULL);
    scratch->stack =
        pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
    assert(scratch->context != NULL && scratch->data != NULL);
    (void)pcre2_set_match_limit(scratch->context, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(scratch->context, DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(scratch->context, HEAP_LIMIT_KIB);
    (void)pcre2_set_callout(scratch->context, on_item, scratch);
    pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
    return scratch;
}

struct pattern_scratch *pattern_scratch_free(struct pattern_scratch *scratch)
{
    if (scratch != NULL) {
        pcre2_jit_stack_free(scratch->stack);
        pcre2_match_data_free(scratch->data);
        pcre2_match_context_free(scratch->context);
        (void)mem_free(scratch);
    }
    return NULL;
}

/* PCRE2 checks the text's UTF-8 first: matching what is not would be undefined.
 * The other faults it has come from limits, or from our own callout. */
static int match_regex(const struct pattern *pattern,
                       struct pattern_scratch *scratch, struct str text)
{
    size_t reach = pattern->reach < text.n ? pattern->reach : text.n;

    scratch->at = 0;
    scratch->item_steps = 1 + reach / BYTES_PER_STEP;
    int n = pcre2_match(pattern->code, (PCRE2_SPTR)text.p, text.n, 0, 0,
                        scratch->data, scratch->context);
    if (n >= 0) {
        return 0;
    }
    bool no_text = n <= PCRE2_ERROR_UTF8_ERR1 && n >= PCRE2_ERROR_UTF8_ERR21;
    return n == PCRE2_ERROR_NOMATCH || no_text ? ERR_NOT_FOUND : ERR_TOO_COSTLY;
}

bool pattern_plain(enum pattern_mode mode, struct str wanted, struct str text)
{
    assert(mode != PATTERN_REGEX);
    if (mode == PATTERN_EXACT) {
        return str_equal(text, wanted);
    }
    if (mode == PATTERN_PREFIX) {
        return text.n >= wanted.n &&
               str_equal((struct str){text.p, wanted.n}, wanted);
    }
    return wanted.n == 0 ||
           (text.n > 0 && memmem(text.p, text.n, wanted.p, wanted.n) != NULL);
}

int pattern_match(const struct pattern *pattern,
                  struct pattern_scratch *scratch, struct str text)
{
    if (!spend(scratch, VALUE_STEPS + text.n / BYTES_PER_STEP)) {
        return ERR_TOO_COSTLY;
    }
    if (pattern->mode == PATTERN_REGEX) {
        return match_regex(pattern, scratch, text);
    }
    return pattern_plain(pattern->mode, pattern->text, text) ? 0
                                                             : ERR_NOT_FOUND;
}
