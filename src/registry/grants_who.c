/* Who may give what to whom, and what he is shown of it. */
#include <stdio.h>

#include "registry/answer.h"
#include "registry/grants.h"
#include "registry/lists.h"
#include "registry/permit.h"

/* More records are looked at by a worker. */
enum { QUICK = 1000, AT_MOST = 64 };

bool grants_may(const struct op_state *s, unsigned wants)
{
    return access_may(s->who, wants, STR(ACCESS_ACCESS), STR(""));
}

int grants_permit(struct op_state *s, unsigned wants)
{
    return permit_root(s, wants, ACCESS_ACCESS);
}

int grants_permit_own(struct op_state *s)
{
    return s->who->kind == ACCESS_USER ? permit_known(s)
                                       : grants_permit(s, ACCESS_READ);
}

bool grants_is_self(const struct op_state *s, struct str user)
{
    const struct access_who *who = s->who;

    return who->kind == ACCESS_USER && user.n > 0 && str_equal(who->user, user);
}

int grants_cover(struct op_state *s, struct store_txn *txn,
                 const struct access_made *made)
{
    const struct access_who *who = s->who;
    struct access_who *other = NULL;

    if (who->kind == ACCESS_ANYONE) {
        return 0;
    }
    int r = access_make(txn, made, &other);
    if (r != 0) {
        return r;
    }
    bool covers = access_covers(who, other);
    other = access_unref(other);
    if (covers) {
        return 0;
    }
    return permit_refuse(s, str_of(core_domain(s->registry->core)),
                         "give more than that is itself allowed to do: GET "
                         "/v1/whoami shows what that is");
}

struct access_names grants_with(struct op_state *s,
                                const struct access_names *names,
                                const struct access_names *more)
{
    size_t n = names->n + more->n;
    struct str *items = arena_alloc(s->arena, (n + 1) * sizeof *items);

    for (size_t i = 0; i < n; i++) {
        items[i] = i < names->n ? names->items[i] : more->items[i - names->n];
    }
    return (struct access_names){.items = items, .n = n};
}

struct access_names grants_without(struct op_state *s,
                                   const struct access_names *names,
                                   struct str name)
{
    struct str *items = arena_alloc(s->arena, (names->n + 1) * sizeof *items);
    size_t n = 0;

    for (size_t i = 0; i < names->n; i++) {
        if (!str_equal(names->items[i], name)) {
            items[n++] = names->items[i];
        }
    }
    return (struct access_names){.items = items, .n = n};
}

static bool is_among(const struct access_names *names, struct str name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (str_equal(names->items[i], name)) {
            return true;
        }
    }
    return false;
}

/* What a manager may give he has, for who would be him by that. Of himself he
 * need not ask, unless what he shows is limited. */
int grants_of_user(struct op_state *s, struct store_txn *txn, struct str user,
                   const struct access_names *roles,
                   struct access_names *ret_grants)
{
    bool himself = grants_is_self(s, user) && !access_is_limited(s->who);
    struct str after = STR_NONE;
    struct access_group group;
    int r;

    *ret_grants = *roles;
    while ((r = access_group_next(txn, s->arena, after, &group)) == 0) {
        after = group.name;
        if (is_among(&group.members, user) ||
            (!himself && is_among(&group.managers, user))) {
            *ret_grants = grants_with(s, ret_grants, &group.roles);
        }
    }
    return r == ERR_END ? 0 : r;
}

/* ---- lists ---- */

struct page {
    grants_next_func *next;
    struct arena *arena; /* of one record */
    struct buf out;
    char at_bytes[AT_MOST];
    struct str at;
    uint64_t n;    /* shown */
    uint64_t seen; /* looked at */
    bool more;
};

static void move(struct page *page, struct str at)
{
    size_t n = at.n < AT_MOST ? at.n : AT_MOST;

    memcpy(page->at_bytes, at.p, n);
    page->at = (struct str){page->at_bytes, n};
}

/* Answers: END. */
static int add_one(struct op_state *s, struct store_txn *txn, struct page *page)
{
    size_t before = page->out.n;
    struct str at = page->at;

    arena_reset(page->arena);
    buf_add_text(&page->out, page->n > 0 ? "," : "");
    size_t begun = page->out.n;
    int r = page->next(s, txn, page->arena, &at, &page->out);
    if (r != 0 || page->out.n == begun) {
        page->out.n = before;
    }
    if (r != 0) {
        return r;
    }
    uint64_t limit = s->op->query.limit;
    bool shown = page->out.n > before;
    if (shown && limit != 0 && page->n == limit) {
        page->out.n = before;
        page->more = true;
        return ERR_END;
    }
    page->n += shown;
    move(page, at);
    return 0;
}

static int read_page(struct op_state *s, struct store_txn *txn, void *user)
{
    struct page *page = user;
    int r = 0;

    buf_clear(&page->out);
    buf_add_char(&page->out, '[');
    while (r == 0) {
        if (page->seen++ == QUICK && !s->on_worker) {
            return NEEDS_WORKER;
        }
        r = add_one(s, txn, page);
    }
    buf_add_char(&page->out, ']');
    return r == ERR_END ? 0 : r;
}

static void add_link(struct op_state *s, const struct page *page)
{
    struct buf next = {0};
    char limit[24];

    (void)snprintf(limit, sizeof limit, "%llu",
                   (unsigned long long)s->op->query.limit);
    answer_add_query(&next, "limit", str_of(limit));
    answer_add_query(&next, "after", page->at);
    answer_add_freshness(&next, &s->op->query);
    s->op->answer.next = arena_take(s->op->arena, &next);
}

int grants_list(struct op_state *s, grants_next_func *next)
{
    struct page page = {.next = next};

    int r = lists_limit(s, LISTS_LIMIT_MOST);
    if (r != 0) {
        return r;
    }
    if (s->op->query.after.p != NULL) {
        move(&page, s->op->query.after);
    }
    page.arena = arena_new();
    r = snapshot_run(s, read_page, &page);
    page.arena = arena_free(page.arena);
    if (r != 0) {
        buf_done(&page.out);
        return r;
    }
    if (page.more) {
        add_link(s, &page);
    }
    s->op->answer.passing = true; /* it is as its reader is */
    return answer_ok(s, &page.out);
}
