/* Flap damping: an agent that comes and goes all the time is kept.
 *
 * Each expiry of a hostname is noted. Which are too many is the leader's to
 * say: it proposes FLAP instead of another expiry, and the lease is spared for
 * a while (leased.c). Then the ordinary rules hold, and counting begins anew.
 *
 * A record of goings, numbers little-endian:
 *   offset size  what
 *   0      1     format (1)
 *   1      1     number of goings, at most FLAP_GOINGS_MOST
 *   2      8 ... log time of each, the oldest first */
#include "machine/flap.h"

#include "base/err.h"
#include "machine/apply.h"

enum { FORMAT = 1, HEAD = 2, GOING = 8 };

uint64_t flap_count(struct str record, uint64_t since_ms)
{
    uint64_t n = 0;

    for (size_t at = HEAD; at + GOING <= record.n; at += GOING) {
        n += le_get(record.p + at, GOING) >= since_ms;
    }
    return n;
}

/* The goings so far, without the oldest when there is no room for another. */
static int add_goings(struct apply *a, struct str hostname, struct buf *out)
{
    uint64_t ends_ms = 0;
    struct str record;

    int r =
        store_mark_get(a->txn, STORE_MARK_GOINGS, hostname, &ends_ms, &record);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    size_t most = (size_t)(FLAP_GOINGS_MOST - 1) * GOING;
    struct str old = record.n < HEAD
                         ? STR("")
                         : (struct str){record.p + HEAD, record.n - HEAD};
    size_t skip = old.n > most ? old.n - most : 0;
    buf_add_str(out, (struct str){old.p + skip, old.n - skip});
    return 0;
}

int flap_went(struct apply *a, struct str hostname)
{
    uint64_t now = a->meta->log_time_ms;
    struct buf goings = {0}, record = {0};

    if (a->meta->feature_level < MACHINE_FEATURE_CHANGES) {
        return 0;
    }
    int r = add_goings(a, hostname, &goings);
    if (r == 0) {
        buf_add_le(&goings, now, GOING);
        buf_add_le(&record, FORMAT, 1);
        buf_add_le(&record, goings.n / GOING, 1);
        buf_add_str(&record, buf_str(&goings));
        r = store_mark_put(a->txn, STORE_MARK_GOINGS, hostname,
                           now + FLAP_MEMORY_MS, buf_str(&record));
    }
    buf_done(&goings);
    buf_done(&record);
    return r;
}

static int mark_flapping(struct apply *a, const struct command_flap *c)
{
    static const char record[] = {FORMAT};

    int r = store_mark_del(a->txn, STORE_MARK_GOINGS, c->hostname);
    if (r < 0) {
        return r;
    }
    return store_mark_put(a->txn, STORE_MARK_FLAPPING, c->hostname, c->until_ms,
                          (struct str){record, sizeof record});
}

/* n == 1 in the result: it flaps from now on. Answers: RETRY, NOT_READY. */
int apply_flap(struct apply *a, const struct command_flap *c)
{
    struct store_lease lease;

    a->res->revision = a->meta->revision;
    if (a->meta->feature_level < MACHINE_FEATURE_CHANGES) {
        return ERR_NOT_READY;
    }
    if (c->epoch != a->meta->lease_epoch) {
        return ERR_RETRY; /* Proposed by a leader that is none any more. */
    }
    int r = store_lease_get(a->txn, c->hostname, a->arena, &lease);
    if (r < 0) {
        return r;
    }
    if (r != 0 || ulid_compare(lease.id, c->lease) != 0) {
        return 0;
    }
    r = mark_flapping(a, c);
    if (r == 0) {
        r = lease_tell(a, &lease, false);
    }
    a->res->n = r == 0;
    return r;
}

int flap_due(struct apply *a, struct str name)
{
    struct str hostname = arena_str(a->arena, name);
    struct store_lease lease;

    int r = store_mark_del(a->txn, STORE_MARK_FLAPPING, hostname);
    if (r == 0) {
        r = store_lease_get(a->txn, hostname, a->arena, &lease);
    }
    return r == 0 ? lease_tell(a, &lease, false) : r;
}
