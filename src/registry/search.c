/* Search: every leaf below a namespace, in the order of the tree. */
#include <stdio.h>
#include <stdlib.h>

#include "model/json.h"
#include "model/pattern.h"
#include "registry/answer.h"
#include "registry/cursor.h"
#include "registry/lists.h"
#include "registry/permit.h"
#include "registry/poll.h"
#include "registry/resolve.h"
#include "registry/walk.h"

enum {
    SEARCH_LIMIT = 10000,
    SEARCH_ROWS_MOST = 2000000,
    SEARCH_STEPS_MOST = 50000000, /* of matching */
    SEARCH_READINGS = 3,
    SEARCH_KEYS_MOST = 1024, /* in one list; more are found by a scan */
};

struct search {
    struct op_state *s;
    struct str top;
    struct str type; /* p NULL: all */
    struct str k;    /* as stored, escaped; p NULL: any */
    enum pattern_mode mode;
    struct pattern *pattern; /* NULL: whatever value */
    struct pattern_scratch *scratch;
    struct cursor after;
    uint64_t limit;
    struct walk_key key; /* type.p NULL: it is not by a primary key */
    /* so far: */
    uint64_t scanned;
    uint64_t n;
    struct buf out;
    struct buf value; /* unescaped */
    bool keyed;       /* what is in a namespace is known by its keys */
    bool in_ns;       /* its array is open */
    bool full;        /* the page is; there is more */
    bool too_costly;
    uint64_t first_rev, last_rev;
    char last_ns[256], last_type[64];
    struct cursor last;                /* row put out last, in the two above */
    struct ulid ids[SEARCH_KEYS_MOST]; /* of one list */
};

/* ---- one row ---- */

/* 0, NOT_FOUND, TOO_COSTLY. */
static int match_value(struct search *search, struct str raw)
{
    if (search->pattern == NULL) {
        return 0;
    }
    if (raw.n == 0 || memchr(raw.p, '\\', raw.n) == NULL) {
        return pattern_match(search->pattern, search->scratch, raw);
    }
    buf_clear(&search->value);
    row_unescape(&search->value, raw);
    return pattern_match(search->pattern, search->scratch,
                         buf_str(&search->value));
}

static int match_row(struct search *search, struct str row)
{
    struct ulid id;
    uint64_t revision;
    struct str fields, key, value;
    struct row_server server;

    if (search->k.p == NULL && search->pattern == NULL) {
        return 0;
    }
    row_split(row, &id, &revision, &server, &fields);
    if (search->k.p != NULL && search->k.n > 0 && search->k.p[0] == '_') {
        value = row_server_get(&server, search->k);
        return value.n == 0 ? ERR_NOT_FOUND : match_value(search, value);
    }
    for (size_t at = 0; row_next(fields, &at, &key, &value);) {
        if (search->k.p != NULL && !str_equal(key, search->k)) {
            continue;
        }
        int r = match_value(search, value);
        if (r != ERR_NOT_FOUND) {
            return r;
        }
    }
    return ERR_NOT_FOUND;
}

static void remember(struct search *search, struct str ns, struct str type,
                     struct ulid id)
{
    memcpy(search->last_ns, ns.p, ns.n);
    memcpy(search->last_type, type.p, type.n);
    search->last = (struct cursor){
        {search->last_ns, ns.n}, {search->last_type, type.n}, id};
}

static void put_out(struct search *search, struct str ns, struct str row)
{
    struct buf *out = &search->out;

    if (!search->in_ns) {
        buf_add_text(out, search->n > 0 ? "," : "");
        json_add_string(out, ns);
        buf_add_text(out, ":[");
    } else {
        buf_add_char(out, ',');
    }
    search->in_ns = true;
    buf_add_str(out, row);
    search->n++;
}

/* ---- one list, one namespace ---- */

/* A row that matches. Answers: END (the page is full). */
static int take_row(struct search *search, const struct walk_ns *ns,
                    struct str type, struct ulid id, struct str row)
{
    if (search->n == search->limit || search->out.n > LISTS_PAGE_BYTES) {
        search->full = true;
        return ERR_END;
    }
    put_out(search, ns->path, row);
    remember(search, ns->path, type, id);
    return 0;
}

/* Answers: END (the page is full), TOO_COSTLY. */
static int scan_list(struct search *search, struct store_txn *txn,
                     const struct walk_ns *ns, struct str type,
                     const struct ulid *after)
{
    struct ulid id, last;
    struct str row;
    int r;

    while ((r = store_row_next(txn, ns->id, type, after, &id, &row)) == 0) {
        if (++search->scanned > SEARCH_ROWS_MOST) {
            return ERR_TOO_COSTLY;
        }
        r = match_row(search, row);
        if (r == 0) {
            r = take_row(search, ns, type, id, row);
        }
        if (r != 0 && r != ERR_NOT_FOUND) {
            return r;
        }
        last = id;
        after = &last;
    }
    return r == ERR_END ? 0 : r;
}

static int compare_ids(const void *left, const void *right)
{
    const struct ulid *l = left, *r = right;
    return ulid_compare(*l, *r);
}

/* Answers: FULL (too many: they are scanned). */
static int find_keys(struct search *search, struct store_txn *txn,
                     const struct walk_ns *ns, size_t *ret_n)
{
    const struct walk_key *key = &search->key;

    if (!key->prefix) {
        int r = store_row_find(txn, ns->id, key->type, key->text, search->ids);
        *ret_n = r == 0;
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    int r = store_keys_find(txn, ns->id, key->type, key->text, SEARCH_KEYS_MOST,
                            search->ids, ret_n);
    qsort(search->ids, *ret_n, sizeof *search->ids, compare_ids);
    return r;
}

/* The same as scan_list finds, without looking at the others. */
static int look_up_list(struct search *search, struct store_txn *txn,
                        const struct walk_ns *ns, struct str type,
                        const struct ulid *after)
{
    struct str row;
    size_t n = 0;

    int r = find_keys(search, txn, ns, &n);
    if (r == ERR_FULL) {
        return scan_list(search, txn, ns, type, after);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (after != NULL && ulid_compare(search->ids[i], *after) <= 0) {
            continue;
        }
        r = store_row_get(txn, ns->id, type, search->ids[i], &row, NULL);
        if (r == 0) {
            r = take_row(search, ns, type, search->ids[i], row);
        }
    }
    return r == ERR_NOT_FOUND ? err_raise(ERR_CORRUPT) : r;
}

/* Where the page before ended: in this namespace, types before that one are
 * done, and of it the rows up to the `_id`. */
static int scan_type(struct search *search, struct store_txn *txn,
                     const struct walk_ns *ns, struct str type)
{
    const struct cursor *after = &search->after;
    const struct ulid *from = NULL;

    if (!permit_sees(search->s, type, ns->path)) {
        return 0;
    }
    if (after->ns.p != NULL && str_equal(after->ns, ns->path)) {
        int order = str_compare(type, after->type);
        if (order < 0) {
            return 0;
        }
        from = order == 0 ? &after->id : NULL;
    }
    return search->keyed ? look_up_list(search, txn, ns, type, from)
                         : scan_list(search, txn, ns, type, from);
}

static int scan_ns(struct search *search, struct store_txn *txn,
                   const struct walk_ns *ns)
{
    struct str after = STR_NONE, type;
    struct store_list list;
    int r = 0;

    search->in_ns = false;
    if (search->type.p != NULL) {
        r = scan_type(search, txn, ns, search->type);
    } else {
        while (r == 0 &&
               (r = store_list_next(txn, ns->id, after, &type, &list)) == 0) {
            after = type;
            r = list.count > 0 ? scan_type(search, txn, ns, type) : 0;
        }
        r = r == ERR_END && !search->full ? 0 : r;
    }
    if (search->in_ns) {
        buf_add_char(&search->out, ']');
    }
    return r;
}

/* ---- the whole ---- */

static int scan_chunk(struct search *search, struct store_txn *txn,
                      const struct walk *walk)
{
    search->keyed = walk->keyed;
    for (size_t i = 0; i < walk->n; i++) {
        int r = scan_ns(search, txn, &walk->found[i]);
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
