#include "registry/lists.h"

#include <stdio.h>

#include "registry/answer.h"
#include "registry/cached.h"
#include "registry/poll.h"
#include "registry/resolve.h"

/* ---- what was asked for ---- */

int lists_limit(struct op_state *s, uint64_t most)
{
    if (s->op->query.limit <= most) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("limit"),
                          "limit is 1 to %llu: ask for less and follow the "
                          "Link to the next page",
                          (unsigned long long)most);
}

int lists_fields(struct op_state *s, struct str **ret_names, size_t *ret_n)
{
    struct str rest = s->op->query.fields;

    *ret_n = 0;
    *ret_names = NULL;
    if (rest.p == NULL) {
        return 0;
    }
    struct str *names = arena_alloc(s->arena, (rest.n + 1) * sizeof *names);
    for (size_t n = 0;;) {
        const char *comma = rest.n == 0 ? NULL : memchr(rest.p, ',', rest.n);
        size_t length = comma == NULL ? rest.n : (size_t)(comma - rest.p);
        if (length == 0 || n == ROW_KEYS_MAX) {
            return answer_problem(s, OP_BAD_REQUEST, STR("fields"),
                                  "fields is up to 128 names with commas "
                                  "between, as in fields=name,port");
        }
        names[n++] = (struct str){rest.p, length};
        if (comma == NULL) {
            *ret_names = names;
            *ret_n = n;
            return 0;
        }
        rest.p += length + 1;
        rest.n -= length + 1;
    }
}

static int parse_after(struct op_state *s, struct ulid *ret_after)
{
    if (s->op->query.after.p == NULL ||
        ulid_parse(s->op->query.after, ret_after) == 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("after"),
                          "%.*s is no _id: give the one of the last resource "
                          "you have",
                          SHOW(s->op->query.after));
}

/* ---- the list in a snapshot ---- */

struct reading {
    const struct ulid *after;
    uint64_t limit; /* 0: all */
    const struct str *names;
    size_t n_names;
    bool whole; /* neither paged nor projected: good for the cache */
    /* what it came to: */
    uint64_t ns;
    bool leaf;
    uint64_t revision;
    uint64_t count;
    bool same;  /* the client has it already */
    bool known; /* and wants to be told when there is something newer */
    bool gzip;  /* compressed */
    bool more;
    struct ulid last;
    struct buf body;
};

static int look_at(struct op_state *s, struct store_txn *txn,
                   struct reading *reading)
{
    struct store_node node;
    struct store_list list;
    uint64_t path_rev = 0;

    int r = resolve_path(s, txn, s->op->ns, STR(""), &reading->ns);
    if (r == 0) {
        r = store_use(txn, reading->ns);
    }
    if (r == 0) {
        r = store_node_get(txn, reading->ns, &node);
    }
    if (r == 0) {
        r = store_path_rev(txn, reading->ns, &path_rev);
    }
    if (r == 0) {
        r = store_list_get(txn, reading->ns, s->op->type, &list);
    }
    if (r != 0) {
        return r;
    }
    reading->leaf = node.kind == STORE_LEAF;
    reading->count = list.count;
    reading->revision = list.revision > path_rev ? list.revision : path_rev;
    reading->known =
        poll_parks(s, reading->revision, store_meta(txn)->revision);
    return resolve_not_modified(s, reading->revision, &reading->same,
                                reading->whole ? &reading->gzip : NULL);
}

static int project(struct op_state *s, struct store_txn *txn,
                   struct reading *reading)
{
    const struct ulid *after = reading->after;
    struct buf *out = &reading->body;
    struct ulid id;
    struct str row;
    int r;

    for (uint64_t n = 0;; n++) {
        r = store_row_next(txn, reading->ns, s->op->type, after, &id, &row);
        if (r != 0) {
            return r == ERR_END ? 0 : r;
        }
        if ((reading->limit != 0 && n == reading->limit) ||
            (reading->limit != 0 && out->n > LISTS_PAGE_BYTES)) {
            reading->more = true;
            return 0;
        }
        buf_add_text(out, n > 0 ? "," : "");
        row_project(out, row, reading->names, reading->n_names);
        reading->last = id;
        after = &reading->last;
    }
}

/* A page in parts, so that it can end early. */
static int join_page(struct op_state *s, struct store_txn *txn,
                     struct reading *reading)
{
    const struct ulid *after = reading->after;
    uint64_t left = reading->limit;

    do {
        uint64_t n = 0;
        uint64_t part = left < 256 ? left : 256;
        buf_add_text(&reading->body, reading->body.n > 1 ? "," : "");
        int r =
            store_rows_join(txn, reading->ns, s->op->type, after, part,
                            &reading->body, &n, &reading->last, &reading->more);
        if (r != 0) {
            return r;
        }
        left -= n;
        after = &reading->last;
    } while (reading->more && left > 0 && reading->body.n < LISTS_PAGE_BYTES);
    return 0;
}

static int render(struct op_state *s, struct store_txn *txn,
                  struct reading *reading)
{
    struct buf *out = &reading->body;
    uint64_t n = 0;
    int r;

    buf_clear(out);
    buf_add_char(out, '[');
    if (reading->n_names > 0) {
        r = project(s, txn, reading);
    } else if (reading->whole) {
        r = store_rows_join(txn, reading->ns, s->op->type, NULL, 0, out, &n,
                            &reading->last, &reading->more);
    } else {
        r = join_page(s, txn, reading);
    }
    buf_add_char(out, ']');
    return r;
}

static int read_list(struct op_state *s, struct store_txn *txn, void *user)
{
    struct reading *reading = user;

    reading->more = reading->gzip = false;
    int r = look_at(s, txn, reading);
    if (r != 0 || reading->same || reading->known) {
        return r;
    }
    bool quick = reading->count <= LISTS_QUICK_ROWS ||
                 (reading->limit != 0 && reading->limit <= LISTS_QUICK_ROWS);
    if (!quick && !s->on_worker) {
        return NEEDS_WORKER;
    }
    return render(s, txn, reading);
}

/* ---- answers ---- */

static int publish(struct op_state *s, struct reading *reading)
{
    struct cache_path path = {reading->ns, reading->leaf};

    return cached_put(s, path, reading->revision, reading->count,
                      &reading->body);
}

static void add_next(struct op_state *s, const struct reading *reading)
{
    const struct op_query *query = &s->op->query;
    struct buf next = {0};
    char id[ULID_TEXT], limit[24];

    ulid_format(reading->last, id);
    (void)snprintf(limit, sizeof limit, "%llu",
                   (unsigned long long)query->limit);
    answer_add_query(&next, "limit", str_of(limit));
    answer_add_query(&next, "after", (struct str){id, sizeof id});
    answer_add_query(&next, "fields", query->fields);
    answer_add_freshness(&next, query);
    s->op->answer.next = arena_take(s->op->arena, &next);
}

static int read_and_answer(struct op_state *s, struct reading *reading)
{
    struct op_answer *answer = &s->op->answer;

    int r = snapshot_run(s, read_list, reading);
    if (r != 0) {
        buf_done(&reading->body);
        return r;
    }
    if (reading->known) {
        return poll_list(s, s->seen.revision);
    }
    answer->etag = reading->revision;
    answer->varies = reading->whole && s->op->kind == OP_LIST_GET;
    if (reading->same) {
        answer->code = OP_NOT_MODIFIED;
        answer->gzip = reading->gzip;
        return 0;
    }
    answer->code = OP_OK;
    if (reading->whole) {
        return publish(s, reading);
    }
    if (reading->more) {
        add_next(s, reading);
    }
    answer->body = arena_take(s->op->arena, &reading->body);
    return 0;
}

int lists_whole(struct op_state *s)
{
    struct reading reading = {.whole = true};

    int r = cached_answer(s);
    return r == ERR_NOT_FOUND ? read_and_answer(s, &reading) : r;
}

int list_get(struct op_state *s)
{
    const struct op_query *query = &s->op->query;
    struct reading reading = {.limit = query->limit};
    struct str *names = NULL;
    struct ulid after;

    reading.whole =
        query->limit == 0 && query->after.p == NULL && query->fields.p == NULL;
    int r = reading.whole ? cached_answer(s) : ERR_NOT_FOUND;
    if (r != ERR_NOT_FOUND) {
        return r;
    }
    r = resolve_check_path(s, s->op->ns, "");
    if (r == 0) {
        r = resolve_check_type(s, s->op->type, STR(""));
    }
    if (r == 0) {
        r = lists_limit(s, LISTS_LIMIT_MOST);
    }
    if (r == 0) {
        r = lists_fields(s, &names, &reading.n_names);
    }
    if (r == 0) {
        r = parse_after(s, &after);
    }
    if (r != 0) {
        return r;
    }
    reading.names = names;
    reading.after = query->after.p == NULL ? NULL : &after;
    return read_and_answer(s, &reading);
}
