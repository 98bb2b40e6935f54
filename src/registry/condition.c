#include "registry/condition.h"

#include "base/err.h"

/* The revision a tag names, 0 when it is none of ours. "0123" is another tag
 * than "123", and no revision is 0. */
static uint64_t revision_of(struct str tag, bool *ret_gzip)
{
    uint64_t revision = 0;

    *ret_gzip = tag.n > 3 && memcmp(tag.p + tag.n - 3, "-gz", 3) == 0;
    if (*ret_gzip) {
        tag.n -= 3;
    }
    if (tag.n == 0 || tag.p[0] == '0' ||
        str_number(tag, UINT64_C(1) << 53, &revision) != 0) {
        return 0;
    }
    return revision;
}

/* One entity tag from the front of `rest`. Answers: INVALID. */
static int take_tag(struct str *rest, bool *ret_weak, struct str *ret_tag)
{
    struct str at = *rest;

    *ret_weak = at.n >= 2 && at.p[0] == 'W' && at.p[1] == '/';
    if (*ret_weak) {
        at.p += 2;
        at.n -= 2;
    }
    if (at.n < 2 || at.p[0] != '"') {
        return ERR_INVALID;
    }
    const char *end = memchr(at.p + 1, '"', at.n - 1);
    if (end == NULL) {
        return ERR_INVALID;
    }
    *ret_tag = (struct str){at.p + 1, (size_t)(end - at.p) - 1};
    *rest = str_trim((struct str){end + 1, at.n - ret_tag->n - 2});
    return 0;
}

static int parse_list(struct str rest, bool weak_counts,
                      struct condition *condition)
{
    while (rest.n > 0) {
        struct str tag;
        bool weak;
        if (rest.p[0] == ',') { /* Empty elements are allowed. */
            rest = str_trim((struct str){rest.p + 1, rest.n - 1});
            continue;
        }
        if (take_tag(&rest, &weak, &tag) != 0 ||
            (rest.n > 0 && rest.p[0] != ',')) {
            return ERR_INVALID;
        }
        bool gzip = false;
        uint64_t revision = revision_of(tag, &gzip);
        if (revision != 0 && (weak_counts || !weak)) {
            condition->gzips[condition->n] = gzip;
            condition->revs[condition->n++] = revision;
        }
    }
    return 0;
}

int condition_parse(struct arena *arena, struct str header, bool weak_counts,
                    struct condition *ret_condition)
{
    struct condition condition = {0};
    struct str text = str_trim(header);

    if (text.n == 0) {
        return ERR_INVALID;
    }
    if (str_is(text, "*")) {
        condition.any = true;
        *ret_condition = condition;
        return 0;
    }
    /* A tag has two quotes and one character of ours at least. */
    condition.revs = arena_alloc(arena, (text.n / 3 + 1) * sizeof(uint64_t));
    condition.gzips = arena_alloc(arena, (text.n / 3 + 1) * sizeof(bool));
    int r = parse_list(text, weak_counts, &condition);
    if (r == 0) {
        *ret_condition = condition;
    }
    return r;
}

bool condition_has(const struct condition *condition, uint64_t revision,
                   bool gzip)
{
    for (size_t i = 0; i < condition->n; i++) {
        if (condition->revs[i] == revision && condition->gzips[i] == gzip) {
            return true;
        }
    }
    return false;
}
