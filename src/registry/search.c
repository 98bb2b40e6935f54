/* Search: every leaf below a namespace, in the order of the tree. */
#include "registry/search.h"

#include <stdio.h>

#include "model/json.h"
#include "registry/answer.h"
#include "registry/lists.h"
#include "registry/permit.h"
#include "registry/poll.h"
#include "registry/resolve.h"

enum {
    SEARCH_LIMIT = 10000,
    SEARCH_STEPS_MOST = 50000000, /* of matching */
    SEARCH_READINGS = 3,
};

/* ---- the whole ---- */

static int scan_chunk(struct search *search, struct store_txn *txn,
                      const struct walk *walk)
{
    search->keyed = walk->keyed;
    for (size_t i = 0; i < walk->n; i++) {
        int r = search_ns(search, txn, &walk->found[i]);
        if (r != 0) {
            return r;
        }
    }
    return walk->more ? 0 : ERR_END;
}

static int scan_all(struct search *search, struct walk *walk)
{
    struct store_txn *txn = NULL;
    int r;

    do {
        r = walk_next(search->s, walk, &txn);
        if (r != 0) {
            return r;
        }
        search->last_rev = store_meta(txn)->revision;
        if (search->first_rev == 0) {
            search->first_rev = search->last_rev;
        }
        r = scan_chunk(search, txn, walk);
        store_read_end(txn);
    } while (r == 0);
    return r == ERR_END ? 0 : r;
}

static int scan_once(struct search *search)
{
    struct walk *walk = mem_alloc(sizeof *walk);

    buf_clear(&search->out);
    buf_add_char(&search->out, '{');
    search->n = search->scanned = search->first_rev = 0;
    search->full = false;
    search->scratch = pattern_scratch_free(search->scratch);
    search->scratch = pattern_scratch_new(SEARCH_STEPS_MOST);
    walk_init(walk, search->top, false, search->after.ns);
    walk->seen = !permit_sees_all(search->s, search->top);
    walk->key = search->key.type.p != NULL ? &search->key : NULL;
    walk->quick = !search->s->on_worker;
    int r = scan_all(search, walk);
    walk_done(walk);
    (void)mem_free(walk);
    buf_add_char(&search->out, '}');
    return r;
}

/* One snapshot, when the namespaces fit into one. Else the parts may be of
 * different revisions: then a resource that moved meanwhile could be there
 * twice or not at all, and we read again. On a registry that never rests the
 * last reading stands: no row in it is older than Roster-Revision says, some
 * may be newer. */
static int scan(struct search *search)
{
    int r = 0;

    for (int i = 0; r == 0 && i < SEARCH_READINGS; i++) {
        r = scan_once(search);
        if (search->first_rev == search->last_rev) {
            break;
        }
    }
    return r;
}

/* ---- the request ---- */

static int parse_value(struct search *search)
{
    const struct op_query *query = &search->s->op->query;
    struct str why = STR_NONE;

    search->mode = PATTERN_EXACT;
    if (query->mode.p != NULL &&
        pattern_mode_parse(query->mode, &search->mode) != 0) {
        return answer_problem(search->s, OP_BAD_REQUEST, STR("mode"),
                              "mode is exact, contains, prefix or regex, not "
                              "%.*s",
                              SHOW(query->mode));
    }
    if (query->v.p == NULL) {
        return 0;
    }
    if (pattern_new(search->mode, query->v, search->s->arena, &search->pattern,
                    &why) == 0) {
        return 0;
    }
    return answer_problem(search->s, OP_BAD_REQUEST, STR("v"),
                          "v is no regular expression (PCRE2): %.*s",
                          SHOW(why));
}

static int parse_after(struct search *search)
{
    struct str after = search->s->op->query.after;

    if (after.p == NULL || cursor_parse(after, &search->after) == 0) {
        return 0;
    }
    return answer_problem(search->s, OP_BAD_REQUEST, STR("after"),
                          "after is the text out of the Link of the page "
                          "before, unchanged");
}

static void escape_key(struct search *search)
{
    struct str k = search->s->op->query.k;
    struct buf out = {0};

    if (k.p == NULL) {
        return;
    }
    json_add_string(&out, k);
    struct str quoted = arena_take(search->s->arena, &out);
    search->k = (struct str){quoted.p + 1, quoted.n - 2};
}

/* Whether the field may be a primary key, and a text selects by it. */
static void note_key(struct search *search)
{
    const struct op_query *query = &search->s->op->query;
    bool plain =
        search->mode == PATTERN_EXACT || search->mode == PATTERN_PREFIX;

    if (plain && query->type.p != NULL && query->k.p != NULL &&
        query->v.n > 0 && query->v.n <= NAME_KEY_MAX) {
        search->key =
            (struct walk_key){.type = query->type,
                              .field = query->k,
                              .text = query->v,
                              .prefix = search->mode == PATTERN_PREFIX};
    }
}

static int parse(struct search *search)
{
    const struct op_query *query = &search->s->op->query;
    struct op_state *s = search->s;

    search->top = query->ns.p != NULL ? query->ns
                                      : str_of(core_domain(s->registry->core));
    search->type = query->type;
    search->limit = query->limit == 0 ? SEARCH_LIMIT : query->limit;
    int r = resolve_check_path(s, search->top, "ns");
    if (r == 0 && query->type.p != NULL) {
        r = resolve_check_type(s, query->type, STR("type"));
    }
    if (r == 0) {
        r = resolve_check_k(s, true);
    }
    if (r == 0) {
        r = lists_limit(s, LISTS_LIMIT_MOST);
    }
    if (r == 0) {
        r = parse_after(search);
    }
    if (r == 0) {
        r = parse_value(search);
    }
    escape_key(search);
    if (r == 0) {
        note_key(search);
    }
    return r;
}

static void add_next(struct search *search)
{
    const struct op_query *query = &search->s->op->query;
    struct buf next = {0}, after = {0};
    char limit[24];

    (void)snprintf(limit, sizeof limit, "%llu",
                   (unsigned long long)search->limit);
    cursor_write(&after, &search->last);
    answer_add_query(&next, "ns", query->ns);
    answer_add_query(&next, "type", query->type);
    answer_add_query(&next, "k", query->k);
    answer_add_query(&next, "v", query->v);
    answer_add_query(&next, "mode", query->mode);
    answer_add_query(&next, "limit", str_of(limit));
    answer_add_query(&next, "after", buf_str(&after));
    answer_add_freshness(&next, query);
    buf_done(&after);
    search->s->op->answer.next = arena_take(search->s->op->arena, &next);
}

static int answer(struct search *search, int r)
{
    struct op_answer *answer = &search->s->op->answer;

    if (r == ERR_TOO_COSTLY) {
        return answer_problem(
            search->s, OP_BAD_REQUEST,
            search->pattern != NULL ? STR("v") : STR("ns"),
            "the search costs more than one may: name a type, a deeper ns or a "
            "field k, or match with exact or prefix instead");
    }
    if (r != 0) {
        return r;
    }
    answer->revision = search->first_rev;
    if (search->full) {
        add_next(search);
    }
    return answer_ok(search->s, &search->out);
}

/* One by a primary key may be answered at once: nobody who looks for a machine
 * waits behind those who look at everything. */
static bool may_be_quick(const struct op_state *s)
{
    const struct op_query *query = &s->op->query;

    return !poll_waits(s) && query->type.p != NULL && query->k.p != NULL &&
           query->v.n > 0 && !str_is(query->mode, "regex");
}

static int look(struct search *search)
{
    struct op_state *s = search->s;
    int r = poll_search(s, search->top, search->mode);

    if (r == NEEDS_WORKER && !poll_waits(s) && search->key.type.p != NULL) {
        r = 0;
    }
    return r == 0 ? answer(search, scan(search)) : r;
}

int search_run(struct op_state *s)
{
    if (!s->on_worker && !poll_is_quick(s) && !may_be_quick(s)) {
        return NEEDS_WORKER;
    }
    struct search *search = mem_zero(sizeof *search);
    search->s = s;
    int r = parse(search);
    if (r == 0) {
        r = look(search);
    }
    (void)pattern_scratch_free(search->scratch);
    (void)pattern_free(search->pattern);
    buf_done(&search->out);
    buf_done(&search->value);
    (void)mem_free(search);
    return r;
}
