/* Rules as a flat list, and what follows from one. No look at the state. */
#include <stdlib.h>

#include "access/inside.h"
#include "model/name.h"

bool access_is_at(struct str ns, struct str above)
{
    if (above.n == 0 || str_equal(ns, above)) {
        return true;
    }
    /* "b.roster" is no suffix of "ab.roster": a dot has to stand before. */
    return ns.n > above.n && ns.p[ns.n - above.n - 1] == '.' &&
           memcmp(ns.p + ns.n - above.n, above.p, above.n) == 0;
}

static bool is_own(struct str target)
{
    return target.n > 0 && target.p[0] == '@';
}

/* Whether a rule for `given` is one for `target` too. */
static bool is_for(struct str given, struct str target)
{
    return str_equal(given, target) ||
           str_is(given, is_own(target) ? ACCESS_EACH_OWN : ACCESS_EACH_TYPE);
}

/* ---- making ---- */

static void add(struct arena *arena, struct mays *mays, struct may may)
{
    if (mays->n == mays->room) {
        size_t room = mays->room * 2 + 16;
        struct may *items = arena_alloc(arena, room * sizeof *items);
        for (size_t i = 0; i < mays->n; i++) {
            items[i] = mays->items[i];
        }
        mays->items = items;
        mays->room = room;
    }
    mays->items[mays->n++] = may;
}

/* The root has two names: its own, and "". */
static struct str rooted(struct str ns, struct str domain)
{
    return str_equal(ns, domain) ? STR("") : ns;
}

void access_gather(struct arena *arena, struct mays *mays,
                   const struct access_rule *rules, size_t n, struct str ns,
                   struct str domain)
{
    ns = rooted(ns, domain);
    for (size_t i = 0; i < n; i++) {
        struct str own = rooted(rules[i].ns, domain);
        if (!access_is_at(own, ns) && !access_is_at(ns, own)) {
            continue;
        }
        struct may may = {.ns = own.n > ns.n ? own : ns,
                          .verbs = rules[i].verbs};
        for (size_t j = 0; j < rules[i].targets.n; j++) {
            may.target = rules[i].targets.items[j];
            add(arena, mays, may);
        }
    }
}

static int compare(const void *a, const void *b)
{
    const struct may *one = a;
    const struct may *other = b;
    int order = str_compare(one->ns, other->ns);

    return order != 0 ? order : str_compare(one->target, other->target);
}

void access_settle(struct mays *mays)
{
    size_t n = 0;

    if (mays->n == 0) {
        return;
    }
    qsort(mays->items, mays->n, sizeof *mays->items, compare);
    for (size_t i = 1; i < mays->n; i++) {
        if (compare(&mays->items[n], &mays->items[i]) == 0) {
            mays->items[n].verbs |= mays->items[i].verbs;
        } else {
            mays->items[++n] = mays->items[i];
        }
    }
    mays->n = n + 1;
}

/* ---- asking: of one list ---- */

/* What may be done in the namespace on the target. */
static unsigned verbs_at(const struct mays *mays, struct str target,
                         struct str ns)
{
    unsigned verbs = 0;

    for (size_t i = 0; i < mays->n; i++) {
        const struct may *may = &mays->items[i];
        if (is_for(may->target, target) && access_is_at(ns, may->ns)) {
            verbs |= may->verbs;
        }
    }
    return verbs;
}

static unsigned verbs_below(const struct mays *mays, struct str ns)
{
    unsigned verbs = 0;

    for (size_t i = 0; i < mays->n; i++) {
        const struct may *may = &mays->items[i];
        if ((!is_own(may->target) || is_for(may->target, STR(ACCESS_NS))) &&
            (access_is_at(ns, may->ns) || access_is_at(may->ns, ns))) {
            verbs |= may->verbs;
        }
    }
    return verbs;
}

static bool has(unsigned verbs, unsigned wanted)
{
    return (wanted & ~verbs) == 0;
}

static unsigned verbs_on(const struct mays *mays, struct str target,
                         struct str ns)
{
    static const char *const own[] = {ACCESS_NS,      ACCESS_AGENTS,
                                      ACCESS_TYPES,   ACCESS_ACCESS,
                                      ACCESS_CLUSTER, ACCESS_ADMIN};
    unsigned verbs = verbs_at(mays, target, ns);

    if (str_is(target, ACCESS_EACH_OWN)) {
        unsigned each = ACCESS_ALL;
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
            each &= verbs_at(mays, str_of(own[i]), ns);
        }
        verbs |= each;
    }
    return verbs;
}

/* `bound`: to a hostname that `inner` is not bound to: what it may with agents
 * is less than the list says. */
static bool contains(const struct mays *outer, const struct mays *inner,
                     bool bound)
{
    for (size_t i = 0; i < inner->n; i++) {
        const struct may *may = &inner->items[i];
        unsigned verbs = verbs_on(outer, may->target, may->ns);
        if (str_is(may->target, ACCESS_TYPES)) {
            verbs |= ACCESS_READ;
        }
        if (!has(verbs, may->verbs) ||
            (bound && is_for(may->target, STR(ACCESS_AGENTS)))) {
            return false;
        }
    }
    return true;
}

/* ---- asking: of somebody ---- */

bool access_may(const struct access_who *who, unsigned verbs, struct str target,
                struct str ns)
{
    if (who->kind == ACCESS_ANYONE) {
        return true;
    }
    if (who->rules == NULL) {
        return false;
    }
    if (verbs == ACCESS_READ && str_is(target, ACCESS_TYPES)) {
        return true;
    }
    return has(verbs_at(&who->rules->own, target, ns), verbs) &&
           (!who->rules->limited ||
            has(verbs_at(&who->rules->limit, target, ns), verbs));
}

bool access_may_below(const struct access_who *who, unsigned verbs,
                      struct str ns)
{
    if (who->kind == ACCESS_ANYONE || who->rules == NULL) {
        return who->kind == ACCESS_ANYONE;
    }
    return has(verbs_below(&who->rules->own, ns), verbs) &&
           (!who->rules->limited ||
            has(verbs_below(&who->rules->limit, ns), verbs));
}

bool access_may_all(const struct access_who *who, unsigned verbs, struct str ns)
{
    return access_may(who, verbs, STR(ACCESS_EACH_TYPE), ns) &&
           access_may(who, verbs, STR(ACCESS_NS), ns);
}

/* What is in no namespace goes nowhere. */
static bool is_placed(struct str target)
{
    return !is_own(target) || str_is(target, ACCESS_NS) ||
           str_is(target, ACCESS_AGENTS) || str_is(target, ACCESS_EACH_OWN);
}

/* To create namespaces where it goes is what it takes to go there. */
static bool gains_on(const struct access_who *who, const struct may *may,
                     struct str target, struct str old, struct str now)
{
    unsigned need = str_is(target, ACCESS_NS) ? ACCESS_CREATE : 0;
    unsigned verbs = may->verbs & ~need;

    for (unsigned verb = ACCESS_READ; verb <= ACCESS_DELETE; verb *= 2) {
        if ((verbs & verb) != 0 && access_may(who, verb, target, now) &&
            !access_may(who, verb, target, old)) {
            return true;
        }
    }
    return false;
}

/* At the place itself, or where the rule begins below it. */
static bool gains_by(const struct access_who *who, const struct may *may,
                     struct str from, struct str to)
{
    char old[NAME_PATH_MAX];
    bool below = !access_is_at(to, may->ns);

    if (!is_placed(may->target) || (below && !access_is_at(may->ns, to))) {
        return false;
    }
    size_t n = below ? may->ns.n - to.n : 0;
    if (n + from.n > sizeof old) {
        return true;
    }
    memcpy(old, may->ns.p, n);
    memcpy(old + n, from.p, from.n);
    struct str was = {old, n + from.n};
    struct str now = below ? may->ns : to;
    if (str_is(may->target, ACCESS_EACH_OWN)) {
        return gains_on(who, may, STR(ACCESS_NS), was, now) ||
               gains_on(who, may, STR(ACCESS_AGENTS), was, now);
    }
    return gains_on(who, may, may->target, was, now);
}

static bool gains_of(const struct access_who *who, const struct mays *mays,
                     struct str from, struct str to)
{
    for (size_t i = 0; i < mays->n; i++) {
        if (gains_by(who, &mays->items[i], from, to)) {
            return true;
        }
    }
    return false;
}

/* Of two lists the places are those of both: a rule of the one may begin where
 * the other's holds already. */
bool access_gains(const struct access_who *who, struct str from, struct str to)
{
    if (who->kind == ACCESS_ANYONE || who->rules == NULL) {
        return false;
    }
    return gains_of(who, &who->rules->own, from, to) ||
           (who->rules->limited && gains_of(who, &who->rules->limit, from, to));
}

/* Each list alone: what both of `other`'s give is in each of them. */
static bool is_within(const struct access_who *other, const struct mays *outer,
                      bool bound)
{
    const struct access_rules *rules = other->rules;

    return contains(outer, &rules->own, bound) ||
           (rules->limited && contains(outer, &rules->limit, bound));
}

bool access_covers(const struct access_who *who, const struct access_who *other)
{
    if (who->kind == ACCESS_ANYONE || other->kind == ACCESS_ANONYMOUS) {
        return true;
    }
    if (who->rules == NULL || other->rules == NULL) {
        return false;
    }
    bool bound =
        who->hostname.n > 0 && !str_equal(who->hostname, other->hostname);
    return is_within(other, &who->rules->own, bound) &&
           (!who->rules->limited ||
            is_within(other, &who->rules->limit, bound));
}

bool access_is_limited(const struct access_who *who)
{
    return who->rules != NULL && who->rules->limited;
}

/* ---- showing ---- */

bool access_rule_at(const struct access_who *who, bool limit, size_t at,
                    struct access_rule *ret_rule)
{
    if (who->rules == NULL) {
        return false;
    }
    const struct mays *mays = limit ? &who->rules->limit : &who->rules->own;
    if (at >= mays->n) {
        return false;
    }
    const struct may *may = &mays->items[at];
    *ret_rule = (struct access_rule){
        .verbs = may->verbs, .ns = may->ns, .targets = {&may->target, 1}};
    return true;
}

bool access_rule_gives(const struct access_rule *rule, unsigned verbs,
                       struct str target, struct str ns)
{
    for (size_t i = 0; i < rule->targets.n; i++) {
        if (is_for(rule->targets.items[i], target) &&
            access_is_at(ns, rule->ns) && has(rule->verbs, verbs)) {
            return true;
        }
    }
    return false;
}
