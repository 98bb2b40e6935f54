/* What the log keeps of the breaker: one mark for each scope that is not
 * closed. Who decides is the leader's lease table, or an operator; here it is
 * decided only whether that may be as things are.
 *
 *   a mark 'b'     name: scope:8 (big-endian; 0: the whole registry)
 *   0      1       format (1)
 *   1      1       1 held, 2 pacing, 3 held by an operator's word
 *   2      8       since, log time
 *   10     8       until, log time: when the hold ends or ended
 *   18     8       leases when it last changed
 *   26     8       how many of them were silent */
#include "base/err.h"
#include "machine/apply.h"
#include "machine/leased.h"

enum { FORMAT = 1, RECORD_BYTES = 34, NAME_BYTES = 8, EXTENDED = 3 };

static void add_name(struct buf *out, uint64_t scope)
{
    for (int i = 7; i >= 0; i--) {
        buf_add_char(out, (char)(scope >> (8 * i)));
    }
}

static uint64_t name_scope(struct str name)
{
    uint64_t scope = 0;

    for (size_t i = 0; i < name.n; i++) {
        scope = scope << 8 | (uint8_t)name.p[i];
    }
    return scope;
}

static int read_record(struct str record, struct machine_breaker *ret)
{
    if (record.n != RECORD_BYTES || record.p[0] != FORMAT ||
        record.p[1] < MACHINE_BREAKER_HELD || record.p[1] > EXTENDED) {
        return err_raise(ERR_CORRUPT);
    }
    ret->extended = record.p[1] == EXTENDED;
    ret->state = ret->extended ? MACHINE_BREAKER_HELD
                               : (enum machine_breaker_state)record.p[1];
    ret->since_ms = le_get(record.p + 2, 8);
    ret->until_ms = le_get(record.p + 10, 8);
    ret->n = le_get(record.p + 18, 8);
    ret->bad = le_get(record.p + 26, 8);
    return 0;
}

int machine_breaker_next(struct store_txn *txn, const uint64_t *after,
                         struct machine_breaker *ret_breaker)
{
    struct machine_breaker breaker = {.path = STR("")};
    struct buf from = {0};
    struct str name, record;
    uint64_t ends_ms = 0;

    if (after != NULL) {
        add_name(&from, *after);
    }
    int r = store_mark_next(txn, 'b', after != NULL ? buf_str(&from) : STR_NONE,
                            &name, &ends_ms, &record);
    buf_done(&from);
    if (r == 0) {
        r = read_record(record, &breaker);
    }
    if (r == 0) {
        breaker.scope = name_scope(name);
        *ret_breaker = breaker;
    }
    return r;
}

int machine_breaker_get(struct store_txn *txn, uint64_t scope,
                        struct machine_breaker *ret_breaker)
{
    struct machine_breaker breaker = {.scope = scope, .path = STR("")};
    struct buf name = {0};
    struct str record;
    uint64_t ends_ms = 0;

    add_name(&name, scope);
    int r = store_mark_get(txn, 'b', buf_str(&name), &ends_ms, &record);
    buf_done(&name);
    if (r == 0) {
        r = read_record(record, &breaker);
    }
    if (r < 0) {
        return r;
    }
    *ret_breaker = breaker; /* of none: closed */
    return 0;
}

static int write_mark(struct apply *a, const struct machine_breaker *breaker)
{
    struct buf name = {0}, record = {0};
    int r = 0;

    add_name(&name, breaker->scope);
    if (breaker->state == MACHINE_BREAKER_CLOSED) {
        r = store_mark_del(a->txn, 'b', buf_str(&name));
    } else {
        buf_add_char(&record, FORMAT);
        buf_add_char(&record,
                     (char)(breaker->extended ? EXTENDED : breaker->state));
        buf_add_le(&record, breaker->since_ms, 8);
        buf_add_le(&record, breaker->until_ms, 8);
        buf_add_le(&record, breaker->n, 8);
        buf_add_le(&record, breaker->bad, 8);
        r = store_mark_put(a->txn, 'b', buf_str(&name), 0, buf_str(&record));
    }
    buf_done(&name);
    buf_done(&record);
    return r;
}

/* ---- what a command makes of it ---- */

static void hold(struct machine_breaker *b, uint64_t now_ms, uint64_t hold_ms)
{
    uint64_t most = UINT64_MAX - now_ms;
    uint64_t until_ms = now_ms + (hold_ms < most ? hold_ms : most);

    if (b->state != MACHINE_BREAKER_HELD) {
        b->state = MACHINE_BREAKER_HELD;
        b->since_ms = now_ms;
        b->until_ms = until_ms;
    } else if (until_ms > b->until_ms) {
        b->until_ms = until_ms;
    }
}

static void end_hold(struct machine_breaker *b, uint64_t now_ms)
{
    b->state = MACHINE_BREAKER_PACING;
    b->extended = false;
    b->until_ms = now_ms;
}

/* It was decided before an operator's word came. */
static bool is_late(const struct machine_breaker *b,
                    const struct command_breaker *c)
{
    return b->extended && c->hold_ms != b->until_ms;
}

/* Answers: CONFLICT (an operator's, where there is nothing to do), RETRY. What
 * a leader wants and is so already changes nothing. */
static int change(struct machine_breaker *b, const struct command_breaker *c,
                  uint64_t now_ms)
{
    switch (c->what) {
    case BREAKER_TRIP:
        if (b->state == MACHINE_BREAKER_CLOSED) {
            hold(b, now_ms, c->hold_ms);
        }
        return 0;
    case BREAKER_END_HOLD:
        if (is_late(b, c)) {
            return ERR_RETRY;
        }
        if (b->state == MACHINE_BREAKER_HELD) {
            end_hold(b, now_ms);
        }
        return 0;
    case BREAKER_CLOSE:
        if (is_late(b, c)) {
            return ERR_RETRY;
        }
        b->state = MACHINE_BREAKER_CLOSED;
        b->extended = false;
        return 0;
    case BREAKER_RELEASE:
        if (b->state != MACHINE_BREAKER_HELD) {
            return ERR_CONFLICT;
        }
        end_hold(b, now_ms);
        return 0;
    case BREAKER_EXTEND:
        if (b->state == MACHINE_BREAKER_CLOSED) {
            return ERR_CONFLICT;
        }
        hold(b, now_ms, c->hold_ms);
        b->extended = b->extended || c->epoch == 0;
        return 0;
    default:
        return ERR_INVALID;
    }
}

static uint64_t ns_of(const struct machine_breaker *breaker)
{
    return breaker->scope == 0 ? STORE_ROOT : breaker->scope;
}

static bool is_operators(uint8_t what)
{
    return what == BREAKER_RELEASE || what == BREAKER_EXTEND;
}

static bool is_same(const struct machine_breaker *left,
                    const struct machine_breaker *right)
{
    return left->state == right->state && left->since_ms == right->since_ms &&
           left->until_ms == right->until_ms &&
           left->extended == right->extended;
}

/* The lease table hears of it also when nothing changed: it may have thought
 * otherwise. */
static int tell(struct apply *a, const struct machine_breaker *breaker)
{
    struct effect effect = {.kind = EFFECT_BREAKER, .breaker = *breaker};
    uint64_t now_ms = a->meta->log_time_ms;

    effect.breaker.left_ms =
        breaker->state == MACHINE_BREAKER_HELD && breaker->until_ms > now_ms
            ? breaker->until_ms - now_ms
            : 0;
    int r = apply_path(a, ns_of(breaker), &effect.breaker.path);
    if (r == 0) {
        apply_effect(a, &effect);
    }
    return r;
}

/* A namespace that has gone is nobody's any more: no revision, no event. */
static int keep(struct apply *a, const struct machine_breaker *breaker)
{
    struct str path;

    int r = write_mark(a, breaker);
    if (r == 0) {
        r = apply_path(a, ns_of(breaker), &path);
    }
    if (r != 0 || path.n == 0) {
        return r;
    }
    return event_breaker(a, apply_revision(a), breaker);
}

static int change_one(struct apply *a, const struct command_breaker *c,
                      const struct machine_breaker *now)
{
    struct machine_breaker then = *now;

    int r = change(&then, c, a->meta->log_time_ms);
    if (r != 0) {
        return r;
    }
    if (!is_operators(c->what)) {
        then.n = c->n;
        then.bad = c->bad;
    }
    r = is_same(now, &then) ? 0 : keep(a, &then);
    if (r == 0 && !a->res->changed) {
        a->res->revision = a->meta->revision;
    }
    return r != 0 ? r : tell(a, &then);
}

/* Answers: CONFLICT (nothing is held). */
static int release_all(struct apply *a, const struct command_breaker *c)
{
    struct machine_breaker now;
    const uint64_t *after = NULL;
    uint64_t scope = 0;
    bool some = false;
    int r = 0;

    while ((r = machine_breaker_next(a->txn, after, &now)) == 0) {
        scope = now.scope;
        after = &scope;
        r = change_one(a, c, &now);
        some = some || r == 0;
        if (r != 0 && r != ERR_CONFLICT) {
            return r;
        }
    }
    return r != ERR_END ? r : some ? 0 : ERR_CONFLICT;
}

int apply_breaker(struct apply *a, const struct command_breaker *c)
{
    struct machine_breaker now;

    if (a->meta->feature_level < MACHINE_FEATURE_CHANGES) {
        return ERR_INVALID;
    }
    if (!is_operators(c->what) && c->epoch != a->meta->lease_epoch) {
        return ERR_RETRY; /* Decided by a leader that is none any more. */
    }
    a->cause = "breaker";
    if (c->scope == COMMAND_BREAKER_ALL) {
        return c->what == BREAKER_RELEASE ? release_all(a, c) : ERR_INVALID;
    }
    int r = machine_breaker_get(a->txn, c->scope, &now);
    return r != 0 ? r : change_one(a, c, &now);
}
