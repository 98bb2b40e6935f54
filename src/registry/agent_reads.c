/* Agents as they are read: leases of the store, with what the leader knows. */
#include <stdio.h>

#include "base/clock.h"
#include "base/date.h"
#include "model/json.h"
#include "registry/agents.h"
#include "registry/answer.h"
#include "registry/lists.h"
#include "registry/permit.h"

static int add_maintenance(struct store_txn *txn, struct str hostname,
                           struct buf *out)
{
    struct str record;
    uint64_t until_ms = 0;

    int r = store_mark_get(txn, STORE_MARK_MAINTENANCE, hostname, &until_ms,
                           &record);
    if (r != 0) {
        buf_add_text(out, ",\"maintenance\":false");
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    buf_add_text(out, ",\"maintenance\":true,\"maintenance_reason\":");
    json_add_string(out, (struct str){record.p + 1, record.n - 1});
    buf_add_text(out, ",\"maintenance_until\":\"");
    date_add(out, until_ms);
    buf_add_char(out, '"');
    return 0;
}

/* What is known of it besides its lease. */
static int add_marks(struct store_txn *txn, struct str hostname,
                     struct buf *out)
{
    struct str record;
    uint64_t until_ms = 0;

    int r =
        store_mark_get(txn, STORE_MARK_FLAPPING, hostname, &until_ms, &record);
    if (r < 0) {
        return r;
    }
    buf_printf(out, ",\"flapping\":%s", r == 0 ? "true" : "false");
    return add_maintenance(txn, hostname, out);
}

static int add_agent(struct store_txn *txn, const struct store_lease *lease,
                     struct live *live, struct buf *out)
{
    bool first = true;
    int r = 0;

    buf_add_text(out, "{\"hostname\":");
    json_add_string(out, lease->hostname);
    live_mark(live, out, lease->hostname);
    buf_printf(
        out, ",\"ttl_ms\":%llu,\"lease\":", (unsigned long long)lease->ttl_ms);
    answer_add_ulid(out, lease->id);
    buf_add_text(out, ",\"placements\":{");
    for (size_t i = 0; r == 0 && i < lease->n_places; i++) {
        r = agents_add_placement(txn, lease->places[i].ns, lease->places[i].id,
                                 &first, out);
    }
    buf_add_char(out, '}');
    if (r == 0) {
        r = add_marks(txn, lease->hostname, out);
    }
    buf_add_char(out, '}');
    return r;
}

struct agents_page {
    struct live *live;
    struct buf out;
    uint64_t n;
    bool more;
    struct agents_at at;
    struct arena *arena; /* of one lease */
};

static int read_agent(struct op_state *s, struct store_txn *txn, void *user)
{
    struct agents_page *page = user;
    struct store_lease lease;

    int r = store_lease_get(txn, s->op->id, s->arena, &lease);
    if (r == ERR_NOT_FOUND) {
        return answer_problem(s, OP_NOT_FOUND, STR(""),
                              "no agent %.*s is registered", SHOW(s->op->id));
    }
    return r != 0 ? r : add_agent(txn, &lease, page->live, &page->out);
}

static struct live *begin(struct op_state *s)
{
    s->memory = arena_zero(s->op->arena, sizeof(struct live));
    return s->memory;
}

/* Called again when the leader has answered. */
static int answer_agent(struct op_state *s)
{
    struct agents_page page = {.live = s->memory};

    if (page.live != NULL) {
        return live_answer(s, page.live);
    }
    page.live = begin(s);
    int r = snapshot_run(s, read_agent, &page);
    struct str text = arena_take(s->op->arena, &page.out);
    if (r != 0) {
        return r;
    }
    page.live->text = text;
    return live_answer(s, page.live);
}

int agent_get(struct op_state *s)
{
    int r = agents_check_host(s, s->op->id, "");

    return r != 0 ? r : answer_agent(s);
}

int agent_finish_maintain(struct op_state *s, struct machine_result *result)
{
    (void)result;
    return answer_agent(s);
}

void agents_at_set(struct agents_at *at, struct str hostname)
{
    at->n = hostname.n < sizeof at->bytes ? hostname.n : sizeof at->bytes;
    memcpy(at->bytes, hostname.p, at->n);
    at->begun = true;
}

struct str agents_at_str(const struct agents_at *at)
{
    return at->begun ? (struct str){at->bytes, at->n} : STR_NONE;
}

static int fill_page(struct op_state *s, struct store_txn *txn,
                     struct agents_page *page)
{
    uint64_t limit = s->op->query.limit;
    struct store_lease lease;
    int r;

    for (;;) {
        arena_reset(page->arena);
        r = store_lease_next(txn, agents_at_str(&page->at), page->arena,
                             &lease);
        if (r != 0) {
            return r == ERR_END ? 0 : r;
        }
        if (limit != 0 &&
            (page->n == limit || page->out.n > LISTS_PAGE_BYTES)) {
            page->more = true;
            return 0;
        }
        buf_add_text(&page->out, page->n++ > 0 ? "," : "");
        r = add_agent(txn, &lease, page->live, &page->out);
        if (r != 0) {
            return r;
        }
        agents_at_set(&page->at, lease.hostname);
    }
}

/* Of an agent's own list: itself, when the page is not behind it. */
static int read_own(struct op_state *s, struct store_txn *txn,
                    struct agents_page *page)
{
    struct str bound = permit_bound(s), after = s->op->query.after;
    struct store_lease lease;

    if (after.p != NULL && str_compare(after, bound) >= 0) {
        return 0;
    }
    int r = store_lease_get(txn, bound, s->arena, &lease);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    return add_agent(txn, &lease, page->live, &page->out);
}

static int read_page(struct op_state *s, struct store_txn *txn, void *user)
{
    uint64_t limit = s->op->query.limit;
    struct agents_page *page = user;
    uint64_t n = store_meta(txn)->n_leases;

    bool own = permit_bound(s).n > 0;
    if (!own && (limit != 0 && limit < n ? limit : n) > AGENTS_QUICK &&
        !s->on_worker) {
        return NEEDS_WORKER;
    }
    if (s->op->query.after.p != NULL) {
        agents_at_set(&page->at, s->op->query.after);
    }
    buf_add_char(&page->out, '[');
    int r = own ? read_own(s, txn, page) : fill_page(s, txn, page);
    buf_add_char(&page->out, ']');
    return r;
}

static void add_next(struct op_state *s, const struct agents_page *page)
{
    struct buf next = {0};
    char limit[24];

    (void)snprintf(limit, sizeof limit, "%llu",
                   (unsigned long long)s->op->query.limit);
    answer_add_query(&next, "limit", str_of(limit));
    answer_add_query(&next, "after", agents_at_str(&page->at));
    answer_add_freshness(&next, &s->op->query);
    s->op->answer.next = arena_take(s->op->arena, &next);
}

static int list_page(struct op_state *s)
{
    struct agents_page page = {.live = begin(s), .arena = arena_new()};

    int r = snapshot_run(s, read_page, &page);
    page.arena = arena_free(page.arena);
    page.live->text = arena_take(s->op->arena, &page.out);
    if (r != 0) {
        live_end(s);
        s->memory = NULL; /* A worker begins again. */
        return r;
    }
    if (page.more) {
        add_next(s, &page);
    }
    return live_answer(s, page.live);
}

int agent_list(struct op_state *s)
{
    if (s->memory != NULL) {
        return live_answer(s, s->memory);
    }
    struct str bound = permit_bound(s);
    int r = permit_agent(s, ACCESS_READ, bound, true);
    if (r == 0) {
        r = lists_limit(s, LISTS_LIMIT_MOST);
    }
    if (r == 0 && s->op->query.after.p != NULL) {
        r = agents_check_host(s, s->op->query.after, "after");
    }
    return r != 0 ? r : list_page(s);
}
