/* A search in one namespace: list by list, by their keys where those are what
 * is looked for, else row by row. */
#include <stdlib.h>

#include "model/json.h"
#include "model/row.h"
#include "registry/lists.h"
#include "registry/permit.h"
#include "registry/search.h"

enum { ROWS_MOST = 2000000 };

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
        if (++search->scanned > ROWS_MOST) {
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

int search_ns(struct search *search, struct store_txn *txn,
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
