#include "machine/leased.h"

#include "base/err.h"

static bool has(const uint64_t *scopes, size_t n, uint64_t scope,
                size_t *ret_at)
{
    size_t at = 0;

    while (at < n && scopes[at] < scope) {
        at++;
    }
    *ret_at = at;
    return at < n && scopes[at] == scope;
}

static size_t add(uint64_t *scopes, size_t n, uint64_t scope)
{
    size_t at = 0;

    if (has(scopes, n, scope, &at)) {
        return n;
    }
    memmove(&scopes[at + 1], &scopes[at], (n - at) * sizeof *scopes);
    scopes[at] = scope;
    return n + 1;
}

/* What was deleted and not reclaimed yet is in no scope. */
static int read_scopes(struct store_txn *txn, const struct store_lease *lease,
                       uint64_t *scopes, size_t *ret_n)
{
    size_t n = 0;

    for (size_t i = 0; i < lease->n_places; i++) {
        uint64_t top = 0;
        if (i > 0 && lease->places[i].ns == lease->places[i - 1].ns) {
            continue;
        }
        int r = store_path_top(txn, lease->places[i].ns, &top);
        if (r < 0) {
            return r;
        }
        if (r == 0) {
            n = add(scopes, n, top);
        }
    }
    *ret_n = n;
    return 0;
}

int machine_lease_spared(struct store_txn *txn, struct str hostname,
                         bool *ret_spared)
{
    static const char kinds[] = {STORE_MARK_MAINTENANCE, STORE_MARK_FLAPPING};
    uint64_t ends_ms = 0;
    struct str record;
    int r = ERR_NOT_FOUND;

    for (size_t i = 0; r == ERR_NOT_FOUND && i < sizeof kinds; i++) {
        r = store_mark_get(txn, kinds[i], hostname, &ends_ms, &record);
    }
    *ret_spared = r == 0;
    return r == ERR_NOT_FOUND ? 0 : r;
}

int machine_lease_read(struct store_txn *txn, const struct store_lease *lease,
                       struct arena *arena, struct machine_lease *ret_lease)
{
    uint64_t *scopes =
        arena_zero(arena, (lease->n_places + 1) * sizeof *scopes);
    bool spared = false;
    size_t n = 0;

    int r = read_scopes(txn, lease, scopes, &n);
    if (r == 0) {
        r = machine_lease_spared(txn, lease->hostname, &spared);
    }
    if (r != 0) {
        return r;
    }
    *ret_lease = (struct machine_lease){
        .hostname = lease->hostname,
        .id = lease->id,
        .ttl_ms = lease->ttl_ms,
        .spared = spared,
        .scopes = scopes,
        .n_scopes = n,
    };
    return 0;
}
