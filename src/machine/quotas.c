/* Quotas: what a namespace and all below it may hold. Each row change moves the
 * figures of those above it in its own transaction, so that what is refused is
 * decided by the state alone.
 *
 * Who is above a row is told by the parents in the records of namespaces, also
 * of deleted ones: their rows count until they are reclaimed, one by one. So a
 * delete of much is one step, and the figures are true after each. A move
 * carries what nobody has counted: the quotas it leaves and comes to are
 * counted anew (count.c).
 *
 * Which namespaces have one is kept in memory, as the store has it, and so are
 * those above the namespace that changed last: without quotas a row change
 * costs one comparison. */
#include "base/err.h"
#include "machine/apply.h"

/* ---- which there are ---- */

static size_t find(const struct machine *m, uint64_t ns)
{
    size_t low = 0, high = m->n_quotas;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->quotas[middle].ns < ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool has(const struct machine *m, uint64_t ns)
{
    size_t at = find(m, ns);
    return at < m->n_quotas && m->quotas[at].ns == ns;
}

/* The store says so only when the transaction commits: until then what is here
 * may be undone, and is read again. */
static void remember(struct machine *m, uint64_t ns, bool counting)
{
    size_t at = find(m, ns);

    if (!has(m, ns)) {
        if (m->n_quotas == m->room_quotas) {
            m->room_quotas = m->room_quotas * 2 + 16;
            m->quotas = mem_grow(m->quotas, m->room_quotas * sizeof *m->quotas);
        }
        memmove(&m->quotas[at + 1], &m->quotas[at],
                (m->n_quotas - at) * sizeof *m->quotas);
        m->quotas[at] = (struct quota_known){.ns = ns};
        m->n_quotas++;
    }
    m->n_counting -= m->quotas[at].counting;
    m->quotas[at].counting = counting;
    m->n_counting += counting;
    m->chain_ns = 0;
    m->quotas_moved = true;
}

static void drop(struct machine *m, uint64_t ns)
{
    size_t at = find(m, ns);

    m->n_counting -= m->quotas[at].counting;
    m->n_quotas--;
    memmove(&m->quotas[at], &m->quotas[at + 1],
            (m->n_quotas - at) * sizeof *m->quotas);
    m->chain_ns = 0;
    m->quotas_moved = true;
}

void quota_forget(struct machine *m)
{
    m->quotas_are_known = m->quotas_are_known && !m->quotas_moved;
    m->quotas_moved = false;
    m->chain_ns = 0;
}

bool quota_counting(const struct machine *m, uint64_t *ret_ns)
{
    for (size_t i = 0; m->n_counting > 0 && i < m->n_quotas; i++) {
        if (m->quotas[i].counting) {
            *ret_ns = m->quotas[i].ns;
            return true;
        }
    }
    return false;
}

int quota_load(struct machine *m)
{
    struct str name = STR_NONE, record;
    struct access_quota quota;
    uint64_t ends_ms = 0;
    int r = ERR_END;

    if (m->quotas_are_known) {
        return 0;
    }
    bool moved = m->quotas_moved;
    m->n_quotas = m->n_counting = 0;
    if (store_meta(m->txn)->feature_level >= MACHINE_FEATURE_CHANGES) {
        while ((r = store_mark_next(m->txn, STORE_MARK_QUOTA, name, &name,
                                    &ends_ms, &record)) == 0) {
            if (access_quota_decode(record, &quota) != 0) {
                return err_raise(ERR_CORRUPT);
            }
            remember(m, access_quota_ns(name), quota.counting);
        }
    }
    m->quotas_moved = moved;
    m->quotas_are_known = r == ERR_END;
    return r == ERR_END ? 0 : r;
}

/* ---- records ---- */

int quota_read(struct apply *a, uint64_t ns, struct access_quota *ret_quota)
{
    char name[ACCESS_QUOTA_NAME];
    struct str record;
    uint64_t ends_ms = 0;

    access_quota_name(ns, name);
    int r = store_mark_get(a->txn, STORE_MARK_QUOTA,
                           (struct str){name, sizeof name}, &ends_ms, &record);
    if (r != 0) {
        return r;
    }
    return access_quota_decode(record, ret_quota) == 0 ? 0
                                                       : err_raise(ERR_CORRUPT);
}

/* As it was before the command: who changes it shows it here first. */
static void touch(struct apply *a, uint64_t ns,
                  const struct access_quota *before)
{
    for (const struct quota_touched *t = a->quotas; t != NULL; t = t->next) {
        if (t->ns == ns) {
            return;
        }
    }
    struct quota_touched *t = arena_zero(a->arena, sizeof *t);
    *t = (struct quota_touched){a->quotas, ns, *before};
    a->quotas = t;
}

int quota_write(struct apply *a, uint64_t ns, const struct access_quota *before,
                const struct access_quota *quota)
{
    struct buf record = {0};
    char name[ACCESS_QUOTA_NAME];

    touch(a, ns, before);
    access_quota_name(ns, name);
    access_quota_encode(&record, quota);
    int r =
        store_mark_put(a->txn, STORE_MARK_QUOTA,
                       (struct str){name, sizeof name}, 0, buf_str(&record));
    buf_done(&record);
    if (!has(a->m, ns) || before->counting != quota->counting) {
        remember(a->m, ns, quota->counting);
    }
    return r;
}

int quota_del(struct apply *a, uint64_t ns)
{
    char name[ACCESS_QUOTA_NAME];

    access_quota_name(ns, name);
    int r = store_mark_del(a->txn, STORE_MARK_QUOTA,
                           (struct str){name, sizeof name});
    if (r == 0) {
        drop(a->m, ns);
    }
    return r;
}

/* ---- who is above ---- */

static void add_link(struct machine *m, uint64_t ns)
{
    if (m->n_chain == m->room_chain) {
        m->room_chain = m->room_chain * 2 + 8;
        m->chain = mem_grow(m->chain, m->room_chain * sizeof *m->chain);
    }
    m->chain[m->n_chain++] = ns;
}

/* Deleted namespaces may hang deeper than any path can be, and a file that
 * somebody else wrote may have them hang below themselves. */
enum { CLIMB_MOST = 8192 };

/* 0: nothing is above it, or that has been reclaimed. */
static int parent_of(struct apply *a, uint64_t id, uint64_t *ret_parent)
{
    struct store_node node;

    int r = store_node_get(a->txn, id, &node);
    if (r < 0) {
        return r;
    }
    *ret_parent = r == 0 ? node.parent : 0;
    return 0;
}

int quota_below(struct apply *a, uint64_t id, uint64_t ancestor,
                bool *ret_below)
{
    int r = 0;

    for (int n = 0; r == 0 && n < CLIMB_MOST && id != 0 && id != ancestor;
         n++) {
        r = parent_of(a, id, &id);
    }
    *ret_below = id == ancestor;
    return r;
}

/* Those with a quota among a namespace and what is above it, in m->chain. */
static int find_chain(struct apply *a, uint64_t ns)
{
    struct machine *m = a->m;
    uint64_t id = ns;

    if (m->chain_ns == ns) {
        return 0;
    }
    m->chain_ns = 0;
    m->n_chain = 0;
    for (int n = 0; n < CLIMB_MOST && id != 0; n++) {
        if (has(m, id)) {
            add_link(m, id);
        }
        int r = parent_of(a, id, &id);
        if (r != 0) {
            return r;
        }
    }
    m->chain_ns = ns;
    return 0;
}

/* ---- rows ---- */

static bool is_counted(const struct access_quota_at *at, uint64_t ns,
                       struct str type, struct ulid id)
{
    if (ns != at->ns || at->type.n == 0) {
        return ns < at->ns;
    }
    int order = str_compare(type, at->type);
    return order != 0 ? order < 0 : ulid_compare(id, at->id) <= 0;
}

/* What is known of it may be less than there is, since something moved there:
 * until it is counted it stays at nothing. */
static void shift(uint64_t figure[ACCESS_QUOTA_WHATS],
                  const uint64_t plus[ACCESS_QUOTA_WHATS],
                  const uint64_t minus[ACCESS_QUOTA_WHATS])
{
    for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        uint64_t sum = figure[i] + plus[i];
        figure[i] = sum > minus[i] ? sum - minus[i] : 0;
    }
}

int quota_row(struct apply *a, const struct place *p, struct ulid id,
              struct str old, struct str row)
{
    struct machine *m = a->m;
    uint64_t plus[] = {row.n > 0, 0}, minus[] = {old.n > 0, 0};

    if (m->n_quotas == 0) {
        return 0;
    }
    plus[ACCESS_BYTES] = row.n == 0 ? 0 : access_quota_bytes(row);
    minus[ACCESS_BYTES] = old.n == 0 ? 0 : access_quota_bytes(old);
    int r = find_chain(a, p->ns);
    for (size_t i = 0; r == 0 && i < m->n_chain; i++) {
        struct access_quota before;
        r = quota_read(a, m->chain[i], &before);
        if (r != 0) {
            break;
        }
        struct access_quota now = before;
        if (now.known) {
            shift(now.used, plus, minus);
        }
        if (now.counting && is_counted(&now.at, p->ns, p->type, id)) {
            shift(now.so_far, plus, minus);
        }
        r = quota_write(a, m->chain[i], &before, &now);
    }
    return r == ERR_NOT_FOUND ? err_raise(ERR_CORRUPT) : r;
}

/* ---- namespaces ---- */

/* Those above one of its two places and not above both hold something else
 * now. */
int quota_moved(struct apply *a, uint64_t from, uint64_t to)
{
    struct machine *m = a->m;
    uint64_t *left = NULL;
    size_t n = 0;

    if (m->n_quotas == 0) {
        return 0;
    }
    int r = find_chain(a, from);
    if (r == 0) {
        n = m->n_chain;
        left = arena_zero(a->arena, (n + 1) * sizeof *left);
        for (size_t i = 0; i < n; i++) {
            left[i] = m->chain[i];
        }
        r = find_chain(a, to);
    }
    /* Both end in what is above both. */
    size_t n_to = r == 0 ? m->n_chain : 0;
    while (r == 0 && n > 0 && n_to > 0 && left[n - 1] == m->chain[n_to - 1]) {
        n--;
        n_to--;
    }
    for (size_t i = 0; r == 0 && i < n_to; i++) {
        r = quota_recount(a, m->chain[i]);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = quota_recount(a, left[i]);
    }
    return r;
}

/* What was deleted below it before hangs, until it goes as well, below what is
 * above: there it still counts. */
static int hang_trash(struct apply *a, const struct store_node *node,
                      uint64_t *ret_looked)
{
    struct store_node other;
    uint64_t id = 0;
    int r;

    while ((r = store_trash_next(a->txn, id, &id)) == 0) {
        (*ret_looked)++;
        r = store_node_get(a->txn, id, &other);
        if (r == 0 && other.parent == node->id) {
            r = store_trash_hang(a->txn, id, node->parent);
        }
        if (r != 0) {
            break;
        }
    }
    return r == ERR_END ? 0 : r;
}

int quota_ns_gone(struct apply *a, const struct store_node *node,
                  uint64_t *ret_looked)
{
    int r = 0;

    *ret_looked = 0;
    if (a->m->n_quotas == 0) {
        return 0;
    }
    a->m->chain_ns = 0;
    if (has(a->m, node->id)) {
        r = quota_del(a, node->id);
    }
    return r == 0 && node->kind == STORE_BRANCH
               ? hang_trash(a, node, ret_looked)
               : r;
}

/* ---- yes or no, and what is told ---- */

static int current(struct apply *a, const struct quota_touched *t,
                   struct access_quota *ret_quota)
{
    int r = quota_read(a, t->ns, ret_quota);
    return r == ERR_NOT_FOUND ? err_raise(ERR_CORRUPT) : r;
}

int quota_check(struct apply *a)
{
    for (const struct quota_touched *t = a->quotas; t != NULL; t = t->next) {
        struct access_quota now = {.rev = 0};
        int r = current(a, t, &now);
        if (r != 0) {
            return r;
        }
        for (int i = 0; now.known && i < ACCESS_QUOTA_WHATS; i++) {
            uint64_t used = t->before.used[i], most = now.limits[i].refuse;
            if (now.used[i] > used && now.used[i] > most) {
                a->over = (struct quota_over){t->ns, (enum access_quota_what)i,
                                              most, used};
                return ERR_QUOTA;
            }
        }
    }
    return 0;
}

void quota_refused(struct apply *a)
{
    struct buf *out = &a->res->detail;

    a->res->ns = a->over.ns;
    buf_clear(out);
    buf_add_le(out, a->over.what, 1);
    buf_add_le(out, a->over.limit, 8);
    buf_add_le(out, a->over.used, 8);
}

/* One that was not refused is over it after a move, or a lower limit. */
static int tell(struct apply *a, uint64_t ns, const struct access_quota *now,
                enum access_quota_what what)
{
    struct machine_quota told = {
        .what = what,
        .state = access_quota_state(now, what),
        .used = now->used[what],
        .warn = now->limits[what].warn,
        .refuse = now->limits[what].refuse,
    };

    int r = apply_path(a, ns, &told.path);
    if (r != 0 || told.path.n == 0) {
        return r; /* Deleted, and not reclaimed yet. */
    }
    apply_effect(a, &(struct effect){.kind = EFFECT_QUOTA, .quota = told});
    return event_quota(a, apply_revision(a), ns, &told);
}

/* The answer is about what was asked for: the revisions of these events are
 * behind its own. */
int quota_settle(struct apply *a)
{
    struct machine_result *res = a->res;
    uint64_t revision = res->revision, first = res->first_rev;
    bool changed = res->changed;
    const char *cause = a->cause;
    int r = 0;

    a->cause = "quota";
    for (const struct quota_touched *t = a->quotas; r == 0 && t != NULL;
         t = t->next) {
        struct access_quota now = {.rev = 0};
        r = quota_read(a, t->ns, &now);
        if (r == ERR_NOT_FOUND) {
            r = 0; /* It went with its namespace, or by this very command. */
            continue;
        }
        for (int i = 0; r == 0 && i < ACCESS_QUOTA_WHATS; i++) {
            enum access_quota_what what = (enum access_quota_what)i;
            if (access_quota_state(&t->before, what) !=
                access_quota_state(&now, what)) {
                r = tell(a, t->ns, &now, what);
            }
        }
    }
    a->cause = cause;
    res->revision = revision;
    res->first_rev = first;
    res->changed = changed;
    return r;
}
