#include <assert.h>

#include "base/err.h"
#include "machine/apply.h"
#include "machine/leased.h"

/* Rows one expiry deletes at most: the core loop has other work too. */
enum { EXPIRE_STEP = 500 };

/* A lease while it is changed: placements with room for what the command may
 * add. */
struct work {
    struct store_lease lease;
    struct store_placement *places;
    size_t n;
    bool changed;
};

static struct place machine_place(uint64_t ns)
{
    return (struct place){ns, STR("machine"), STR("hostname")};
}

static void work_on(struct apply *a, const struct store_lease *lease,
                    size_t more, struct work *ret_work)
{
    struct work w = {.lease = *lease, .n = lease->n_places};

    w.places = arena_zero(a->arena, (w.n + more + 1) * sizeof *w.places);
    if (w.n > 0) {
        memcpy(w.places, lease->places, w.n * sizeof *w.places);
    }
    *ret_work = w;
}

static void work_remove(struct work *w, size_t i)
{
    w->n--;
    memmove(&w->places[i], &w->places[i + 1], (w->n - i) * sizeof *w->places);
    w->changed = true;
}

static int work_keep(struct apply *a, struct work *w)
{
    w->lease.places = w->places;
    w->lease.n_places = w->n;
    return store_lease_put(a->txn, &w->lease);
}

/* ---- the end of a lease ---- */

static void tell_gone(struct apply *a, const struct store_lease *lease)
{
    apply_effect(a, &(struct effect){.kind = EFFECT_DEL,
                                     .lease = {.hostname = lease->hostname,
                                               .id = lease->id}});
}

int lease_tell(struct apply *a, const struct store_lease *lease,
               bool registered)
{
    struct effect effect = {.kind = EFFECT_PUT};

    int r = machine_lease_read(a->txn, lease, a->arena, &effect.lease);
    if (r == 0) {
        effect.lease.registered = registered;
        apply_effect(a, &effect);
    }
    return r;
}

static int end_row(struct apply *a, uint64_t ns, struct str type,
                   struct ulid id)
{
    struct place p = {ns, type, STR_NONE};
    struct held held;
    struct str path;

    int r = apply_key_field(a, type, &p.key_field);
    if (r == 0) {
        r = row_hold(a, &p, id, &held);
    }
    if (r == 0) {
        r = apply_path(a, ns, &path);
    }
    if (r != 0) {
        return r;
    }
    /* In a namespace that was deleted before, nobody sees it go. */
    return path.n == 0 ? row_forget(a, &p, &held) : row_del(a, &p, &held);
}

/* Forget the binding of a placement, if it is this lease's: a row that was
 * bound by hand to another one stays bound to that. */
static int unbind_own(struct apply *a, struct ulid lease,
                      const struct store_placement *at)
{
    struct ulid holder;

    int r = store_bound_to(a->txn, at->ns, STR("machine"), at->id, &holder);
    if (r != 0 || ulid_compare(holder, lease) != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    return store_unbind(a->txn, at->ns, STR("machine"), at->id);
}

/* The row stays, and is the agent's no more. */
static int leave_place(struct apply *a, const struct store_lease *lease,
                       const struct store_placement *at)
{
    int r = unbind_own(a, lease->id, at);

    return r == 0 ? maintenance_left(a, lease->hostname, at) : r;
}

/* Everything under the lease goes with it. The record goes first: deleting a
 * row looks for the lease it hangs on, and must not find this one again. */
static int lease_end(struct apply *a, const struct store_lease *lease)
{
    struct str type;
    uint64_t ns;
    struct ulid id;
    int r = 0;

    for (size_t i = 0; r == 0 && i < lease->n_places; i++) {
        const struct store_placement *at = &lease->places[i];
        if (!at->owned) {
            r = leave_place(a, lease, at);
        }
    }
    if (r == 0) {
        r = store_lease_del(a->txn, lease);
    }
    while (r == 0) {
        r = store_bound_first(a->txn, lease->id, &ns, &type, &id);
        if (r != 0) {
            break;
        }
        r = end_row(a, ns, arena_str(a->arena, type), id);
    }
    if (r == ERR_END) {
        tell_gone(a, lease);
        return 0;
    }
    return r;
}

/* ---- rows that go or move by other hands ---- */

/* Rows of other types, which may have the same id, are no placements. */
static size_t find_place(const struct store_lease *lease, const struct place *p,
                         struct ulid id)
{
    size_t i = 0;

    if (!str_is(p->type, "machine")) {
        return lease->n_places;
    }
    while (i < lease->n_places &&
           (lease->places[i].ns != p->ns ||
            ulid_compare(lease->places[i].id, id) != 0)) {
        i++;
    }
    return i;
}

int lease_row_gone(struct apply *a, const struct place *p, struct ulid id)
{
    struct store_lease lease;
    struct ulid lease_id;
    struct work w;

    int r = store_bound_to(a->txn, p->ns, p->type, id, &lease_id);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    r = store_unbind(a->txn, p->ns, p->type, id);
    if (r == 0) {
        r = store_lease_find(a->txn, lease_id, a->arena, &lease);
    }
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r; /* The lease itself is ending. */
    }
    size_t i = find_place(&lease, p, id);
    if (i == lease.n_places) {
        return 0;
    }
    work_on(a, &lease, 0, &w);
    work_remove(&w, i);
    if (w.n > 0) {
        r = work_keep(a, &w);
        return r != 0 ? r : lease_tell(a, &w.lease, false);
    }
    w.lease.places = w.places;
    w.lease.n_places = 0;
    return lease_end(a, &w.lease);
}

int lease_row_moved(struct apply *a, const struct place *from, uint64_t to,
                    struct ulid id)
{
    struct store_lease lease;
    struct ulid lease_id;
    struct work w;

    int r = store_bound_to(a->txn, from->ns, from->type, id, &lease_id);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    r = store_unbind(a->txn, from->ns, from->type, id);
    if (r == 0) {
        r = store_bind(a->txn, lease_id, to, from->type, id);
    }
    if (r == 0) {
        r = store_lease_find(a->txn, lease_id, a->arena, &lease);
    }
    if (r != 0) {
        return r;
    }
    size_t i = find_place(&lease, from, id);
    if (i == lease.n_places) {
        return 0;
    }
    work_on(a, &lease, 0, &w);
    w.places[i].ns = to;
    r = work_keep(a, &w);
    return r != 0 ? r : lease_tell(a, &w.lease, false);
}

/* ---- registration ---- */

/* Merge what the agent says into a placement. Answers: NOT_FOUND when it is not
 * there any more. */
static int refresh_place(struct apply *a, const struct store_placement *at,
                         struct str fields)
{
    struct place p = machine_place(at->ns);
    struct str path;
    struct held held;

    int r = apply_path(a, at->ns, &path);
    if (r != 0 || path.n == 0) {
        return r != 0 ? r : ERR_NOT_FOUND;
    }
    r = row_hold(a, &p, at->id, &held);
    return r != 0 ? r : row_merge_put(a, &p, &held, fields, STR_NONE);
}

static int refresh(struct apply *a, struct work *w, struct str fields)
{
    for (size_t i = 0; i < w->n;) {
        int r = refresh_place(a, &w->places[i], fields);
        if (r == ERR_NOT_FOUND) {
            work_remove(w, i);
            continue;
        }
        if (r != 0) {
            return r;
        }
        i++;
    }
    return 0;
}

static bool has_leaf(const struct work *w, uint64_t ns)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->places[i].origin == ns || w->places[i].ns == ns) {
            return true;
        }
    }
    return false;
}

/* A row of this hostname in the leaf that nobody leased stays nobody's: it is
 * updated, and survives the lease. */
static int place_in(struct apply *a, struct work *w, uint64_t ns,
                    struct ulid new_id, struct str fields)
{
    struct place p = machine_place(ns);
    struct store_placement at = {.origin = ns, .ns = ns, .id = new_id};
    struct held held;
    struct ulid bound;

    int r = apply_ns(a, ns);
    if (r != 0) {
        return r;
    }
    r = row_target(a, &p, true, new_id, w->lease.hostname, &held);
    if (r == ERR_NOT_FOUND) {
        at.owned = true;
        r = row_put(a, &p, new_id, NULL, fields, (struct str){"", 0});
    } else if (r == 0) {
        at.id = held.id;
        r = row_merge_put(a, &p, &held, fields, STR_NONE);
    }
    if (r != 0) {
        return r;
    }
    r = store_bound_to(a->txn, ns, STR("machine"), at.id, &bound);
    if (r == 0) {
        /* Bound by hand to some lease: that one decides when it goes. */
        at.owned = ulid_compare(bound, w->lease.id) == 0;
    } else if (r == ERR_NOT_FOUND) {
        r = store_bind(a->txn, w->lease.id, ns, STR("machine"), at.id);
    }
    w->places[w->n++] = at;
    w->changed = true;
    return r;
}

static bool places_elsewhere(const struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->places[i].origin != STORE_POOL) {
            return true;
        }
    }
    return false;
}

/* The pool holds who fits nowhere. Only the placement made for the pool that
 * still is there goes: what an operator moved is the operator's. */
static int leave_pool(struct apply *a, struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct store_placement at = w->places[i];
        struct place p = machine_place(at.ns);
        struct held held;
        if (at.origin != STORE_POOL || at.ns != STORE_POOL) {
            continue;
        }
        work_remove(w, i);
        int r = at.owned ? unbind_own(a, w->lease.id, &at)
                         : leave_place(a, &w->lease, &at);
        if (r == 0 && at.owned) {
            r = row_hold(a, &p, at.id, &held);
            if (r == 0) {
                r = row_del(a, &p, &held);
            }
        }
        return r;
    }
    return 0;
}

static int place_all(struct apply *a, struct work *w,
                     const struct command_agent_put *c)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->n_leaves; i++) {
        if (w->n >= MACHINE_BOUND_MOST) {
            return ERR_FULL;
        }
        if (!has_leaf(w, c->leaves[i].ns)) {
            r = place_in(a, w, c->leaves[i].ns, c->leaves[i].new_id, c->fields);
        }
    }
    if (r == 0 && w->n == 0) {
        r = place_in(a, w, STORE_POOL, c->pool_id, c->fields);
    } else if (r == 0 && c->n_leaves > 0 && places_elsewhere(w)) {
        r = leave_pool(a, w);
    }
    return r;
}

static void answer_lease(struct apply *a, const struct work *w)
{
    struct buf *out = &a->res->detail;

    a->res->id = w->lease.id;
    buf_clear(&a->res->row);
    for (size_t i = 0; i < w->n; i++) {
        buf_add_le(out, w->places[i].ns, 8);
        buf_add(out, w->places[i].id.b, sizeof w->places[i].id.b);
    }
}

static int enrol(struct apply *a, void *user)
{
    const struct command_agent_put *c = user;
    struct store_lease lease;
    struct work w;

    int r = store_lease_get(a->txn, c->hostname, a->arena, &lease);
    if (r < 0) {
        return r;
    }
    bool is_new = r == ERR_NOT_FOUND;
    if (is_new) {
        lease = (struct store_lease){
            .id = c->lease,
            .hostname = c->hostname,
            .created_rev = a->meta->revision + 1,
        };
    }
    work_on(a, &lease, c->n_leaves + 1, &w);
    w.changed = is_new || lease.ttl_ms != c->ttl_ms;
    w.lease.ttl_ms = c->ttl_ms;
    r = refresh(a, &w, c->fields);
    if (r == 0) {
        r = place_all(a, &w, c);
    }
    if (r == 0 && w.changed) {
        r = work_keep(a, &w);
    }
    w.lease.places = w.places;
    w.lease.n_places = w.n;
    if (r == 0) {
        r = maintenance_enrolled(a, &w.lease);
    }
    if (r == 0) {
        r = lease_tell(a, &w.lease, true);
    }
    if (r != 0) {
        return r;
    }
    answer_lease(a, &w);
    a->res->created = is_new;
    return 0;
}

int apply_agent_put(struct apply *a, const struct command_agent_put *c)
{
    a->cause = "agent";
    int r = apply_part(a, enrol, (void *)(uintptr_t)c);
    if (r == 0 && !a->res->changed) {
        a->res->revision = a->meta->revision;
    }
    return r;
}

int apply_agent_del(struct apply *a, const struct command_agent_del *c)
{
    struct store_lease lease;

    a->cause = "agent";
    int r = store_lease_get(a->txn, c->hostname, a->arena, &lease);
    if (r == 0) {
        r = lease_end(a, &lease);
    }
    if (r == 0 && !a->res->changed) {
        a->res->revision = a->meta->revision;
    }
    return r;
}

/* Whoever proposed it may not have known yet that it is spared. */
static int expire_one(struct apply *a, const struct store_lease *lease,
                      uint64_t *ended)
{
    bool spared = false;

    int r = machine_lease_spared(a->txn, lease->hostname, &spared);
    if (r != 0 || spared) {
        return r;
    }
    r = lease_end(a, lease);
    if (r == 0) {
        r = flap_went(a, lease->hostname);
    }
    *ended += r == 0;
    return r;
}

int apply_expire(struct apply *a, const struct command_expire *c)
{
    uint64_t ended = 0;

    a->cause = "expired";
    if (c->epoch != a->meta->lease_epoch) {
        return ERR_RETRY; /* Proposed by a leader that is none any more. */
    }
    /* Those behind a large step are due again: whoever proposed them hears how
     * many ended. */
    for (size_t i = 0; i < c->n_leases && a->gone < EXPIRE_STEP; i++) {
        struct store_lease lease;
        int r =
            store_lease_get(a->txn, c->leases[i].hostname, a->arena, &lease);
        if (r < 0) {
            return r;
        }
        if (r == 0 && ulid_compare(lease.id, c->leases[i].lease) == 0) {
            r = expire_one(a, &lease, &ended);
            if (r != 0) {
                return r;
            }
        }
    }
    a->res->n = ended;
    if (!a->res->changed) {
        a->res->revision = a->meta->revision;
    }
    return 0;
}

int apply_epoch(struct apply *a)
{
    a->meta->lease_epoch++;
    a->res->revision = a->meta->revision;
    return 0;
}
