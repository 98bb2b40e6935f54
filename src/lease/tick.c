/* What the core loop does with the table: it collects who is due, and lets the
 * breaker decide before. */
#include "base/err.h"
#include "lease/table.h"

/* Due leases are copied out of the shard, so that `due` runs without its lock
 * and may use the table:  id (16)  length of hostname (1)  hostname */
static void note_due(struct buf *found, const struct lease *lease)
{
    buf_add(found, &lease->id, sizeof lease->id);
    buf_add(found, &lease->hostname_n, 1);
    buf_add(found, lease->hostname, lease->hostname_n);
}

static void tell_due(const struct buf *found, lease_due_func *due, void *user)
{
    size_t at = 0;

    while (at < found->n) {
        struct ulid id;
        memcpy(&id, found->p + at, sizeof id);
        at += sizeof id;
        size_t n = (uint8_t)found->p[at++];
        due((struct str){found->p + at, n}, id, user);
        at += n;
    }
}

static void advance(struct lease_table *table)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        shard->clock = table->clock;
        lease_shard_advance(shard);
        unlock(shard);
    }
}

static void unpark(struct lease_table *table)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct lease_shard *shard = &table->shards[i];
        lock(shard);
        lease_shard_unpark(shard);
        unlock(shard);
    }
}

static size_t collect_shard(struct lease_table *table,
                            struct lease_shard *shard, size_t limit,
                            struct buf *found)
{
    size_t n = 0;

    lock(shard);
    while (n < limit) {
        struct lease *lease = lease_shard_next_due(shard, &table->breaker);
        if (lease == NULL) {
            break;
        }
        note_due(found, lease);
        n++;
    }
    unlock(shard);
    return n;
}

static size_t collect(struct lease_table *table, size_t limit,
                      struct buf *found)
{
    size_t first = table->turn;
    size_t n = 0;

    for (size_t i = 0; i < SHARDS && n < limit; i++) {
        size_t at = (first + i) % SHARDS;
        n += collect_shard(table, &table->shards[at], limit - n, found);
        if (n == limit) {
            /* Next time begin behind the last one served, so that leases that
             * are spared again and again cannot starve the others. */
            table->turn = (at + 1) % SHARDS;
        }
    }
    return n;
}

/* Before anybody is collected. Heartbeats may lie unread while a process stood
 * still: nothing is concluded from silence in the tick that finds out. */
static void decide(struct lease_table *table, bool stood_still)
{
    lock_scopes(table);
    bool freed = lease_breaker_tick(&table->breaker, table->clock.tick_time,
                                    !stood_still);
    unlock_scopes(table);
    if (freed) {
        unpark(table);
    }
}

size_t lease_tick(struct lease_table *table, uint64_t mono_ms, size_t limit,
                  lease_due_func *due, void *user)
{
    struct buf found = {0};

    if (!table->serving) {
        return 0;
    }
    bool stood_still = lease_clock_overrun(&table->clock, mono_ms) > 0;
    lease_clock_tick(&table->clock, mono_ms);
    advance(table);
    decide(table, stood_still);
    size_t n = collect(table, limit, &found);
    tell_due(&found, due, user);
    buf_done(&found);
    return n;
}

bool lease_still_due(struct lease_table *table, struct str hostname,
                     struct ulid id)
{
    struct lease *lease = NULL;
    struct lease_shard *shard = table_lock_lease(table, hostname, &lease);
    bool due = false;

    if (lease != NULL && ulid_compare(lease->id, id) == 0) {
        due = shard->serving && lease->ending && !lease->spared &&
              !atomic_load(&lease_shard_set(shard, lease)->held) &&
              lease_age(lease, shard->clock.tick_time) >= lease->ttl_ms;
        lease_shard_set_ending(shard, lease, due);
    }
    unlock(shard);
    return due;
}

void lease_spare(struct lease_table *table, struct str hostname, struct ulid id)
{
    struct lease *lease = NULL;
    struct lease_shard *shard = table_lock_lease(table, hostname, &lease);

    if (lease != NULL && ulid_compare(lease->id, id) == 0) {
        lease_shard_set_ending(shard, lease, false);
    }
    unlock(shard);
}

/* ---- the breaker ---- */

void lease_table_configure(struct lease_table *table,
                           const struct lease_breaker_config *config)
{
    table->breaker.config = *config;
}

void lease_table_config(const struct lease_table *table,
                        struct lease_breaker_config *ret_config)
{
    *ret_config = table->breaker.config;
}

void lease_table_breaker(struct lease_table *table,
                         const struct machine_breaker *told, uint64_t mono_ms)
{
    uint64_t now = lease_clock_now(&table->clock, mono_ms);

    lock_scopes(table);
    bool freed =
        lease_breaker_adopt(&table->breaker, told, table->serving, now);
    unlock_scopes(table);
    if (freed) {
        unpark(table);
    }
}

int lease_table_change(struct lease_table *table,
                       struct lease_breaker_change *ret_change)
{
    return !table->serving
               ? ERR_END
               : lease_breaker_change(&table->breaker, table->clock.tick_time,
                                      ret_change);
}

void lease_table_scopes(struct lease_table *table, struct buf *out)
{
    struct lease_scope *scope = NULL;

    lock_scopes(table);
    while ((scope = lease_scopes_next(&table->scopes, scope)) != NULL) {
        const struct lease_scope_info info = {
            .scope = scope->id,
            .state = scope->state,
            .told = scope->told,
            .since_ms = scope->since_ms,
            .until_ms = scope->until_ms,
            .n = scope->counts.n,
            .suspect = scope->counts.suspect,
        };
        buf_add(out, &info, sizeof info);
    }
    unlock_scopes(table);
}

uint64_t lease_table_trips(struct lease_table *table)
{
    return atomic_load(&table->breaker.trips);
}

void lease_table_moved(struct lease_table *table)
{
    table->moved = true;
}

bool lease_table_take_moved(struct lease_table *table)
{
    bool moved = table->moved;

    table->moved = false;
    return moved;
}
