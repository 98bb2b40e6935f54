#include "lease/shard.h"

#include <assert.h>

#include "base/queue.h"
#include "lease/lease.h"

enum { BUCKETS_LEAST = 16 };

void lease_shard_init(struct lease_shard *shard, struct lease_scopes *scopes)
{
    *shard = (struct lease_shard){.n_buckets = BUCKETS_LEAST, .scopes = scopes};
    (void)pthread_mutex_init(&shard->lock, NULL);
    shard->buckets = mem_zero(BUCKETS_LEAST * sizeof(struct lease *));
    lease_list_init(&shard->active);
    lease_list_init(&shard->parked);
    lease_list_init(&shard->spared);
    lease_wheel_init(&shard->wheel);
}

void lease_shard_done(struct lease_shard *shard)
{
    for (uint32_t i = 0; i < shard->n_buckets; i++) {
        while (shard->buckets[i] != NULL) {
            struct lease *lease = shard->buckets[i];
            shard->buckets[i] = lease->next;
            mem_free(lease);
        }
    }
    mem_free(shard->buckets);
    for (size_t i = 0; i < shard->n_queues; i++) {
        mem_free(shard->queues[i]);
    }
    mem_free(shard->queues);
    (void)pthread_mutex_destroy(&shard->lock);
}

void lease_shard_serve(struct lease_shard *shard,
                       const struct lease_clock *clock)
{
    assert(clock->tick_time >= shard->served_at);
    shard->clock = *clock;
    shard->served_at = clock->tick_time;
    shard->serving = true;
    shard->term++;
    shard->n_suspect = 0;
    shard->n_ending = 0;
    /* They are not overdue in this term. [SHARD-1] */
    lease_wheel_put_all(&shard->wheel, &shard->spared);
    for (size_t i = 0; i < shard->n_queues; i++) {
        if (shard->queues[i] != NULL) {
            lease_wheel_put_all(&shard->wheel, &shard->queues[i]->leases);
        }
    }
    lease_shard_unpark(shard);
}

uint64_t lease_shard_now(const struct lease_shard *shard, uint64_t mono_ms)
{
    return shard->serving ? lease_clock_now(&shard->clock, mono_ms)
                          : shard->clock.tick_time;
}

static void bring_up_to_date(const struct lease_shard *shard,
                             struct lease *lease)
{
    if (lease->term == shard->term) {
        return;
    }
    lease->term = shard->term;
    lease->since = shard->served_at;
    lease->heard = false;
    lease->suspect = false;
    lease->ending = false;
    lease->overdue = false;
}

static struct lease **bucket(const struct lease_shard *shard, uint32_t hash)
{
    return &shard->buckets[hash & (shard->n_buckets - 1)];
}

struct lease *lease_shard_find(struct lease_shard *shard, struct str hostname,
                               uint32_t hash)
{
    struct lease *lease = *bucket(shard, hash);

    while (lease != NULL) {
        struct str name = {lease->hostname, lease->hostname_n};
        if (lease->hash == hash && str_equal(name, hostname)) {
            bring_up_to_date(shard, lease);
            return lease;
        }
        lease = lease->next;
    }
    return NULL;
}

static void link_in(struct lease_shard *shard, struct lease *lease)
{
    struct lease **head = bucket(shard, lease->hash);
    lease->next = *head;
    *head = lease;
}

/* At one lease per bucket. Rehashing 16,000 leases, a shard's part of a
 * million, holds its lock for about a millisecond. */
static void grow(struct lease_shard *shard)
{
    struct lease **old = shard->buckets;
    uint32_t n_old = shard->n_buckets;

    shard->n_buckets *= 2;
    shard->buckets = mem_zero(shard->n_buckets * sizeof(struct lease *));
    for (uint32_t i = 0; i < n_old; i++) {
        while (old[i] != NULL) {
            struct lease *lease = old[i];
            old[i] = lease->next;
            link_in(shard, lease);
        }
    }
    mem_free(old);
}

struct lease_set *lease_shard_set(const struct lease_shard *shard,
                                  const struct lease *lease)
{
    return &shard->scopes->sets[lease->set];
}

static void count(_Atomic int64_t *number, int64_t by)
{
    atomic_fetch_add_explicit(number, by, memory_order_relaxed);
}

/* [SCOPE-1] With the marks it has. */
static void count_lease(const struct lease_shard *shard,
                        const struct lease *lease, int64_t by)
{
    struct lease_set *set = lease_shard_set(shard, lease);

    if (!lease->spared) {
        count(&set->n, by);
        count(&set->suspect, lease->suspect ? by : 0);
        count(&set->overdue, lease->overdue ? by : 0);
        count(&set->heard, lease->heard ? by : 0);
    }
}

struct lease *lease_shard_add(struct lease_shard *shard, struct str hostname,
                              uint32_t hash)
{
    assert(hostname.n > 0 && hostname.n <= UINT8_MAX);

    struct lease *lease = mem_alloc(sizeof *lease + hostname.n);
    *lease = (struct lease){
        .hash = hash,
        .term = shard->term,
        .hostname_n = (uint8_t)hostname.n,
    };
    memcpy(lease->hostname, hostname.p, hostname.n);
    lease_list_init(&lease->link);
    if (shard->n == shard->n_buckets) {
        grow(shard);
    }
    link_in(shard, lease);
    shard->n++;
    lease_scopes_join(lease_shard_set(shard, lease));
    count_lease(shard, lease, 1);
    return lease;
}

static void set_suspect(struct lease_shard *shard, struct lease *lease,
                        bool suspect)
{
    if (lease->suspect != suspect) {
        lease->suspect = suspect;
        suspect ? shard->n_suspect++ : shard->n_suspect--;
        if (!lease->spared) {
            count(&lease_shard_set(shard, lease)->suspect, suspect ? 1 : -1);
        }
    }
}

static void set_overdue(const struct lease_shard *shard, struct lease *lease,
                        bool overdue)
{
    if (lease->overdue != overdue) {
        lease->overdue = overdue;
        if (!lease->spared) {
            count(&lease_shard_set(shard, lease)->overdue, overdue ? 1 : -1);
        }
    }
}

static void set_heard(const struct lease_shard *shard, struct lease *lease,
                      bool heard)
{
    if (lease->heard != heard) {
        lease->heard = heard;
        if (!lease->spared) {
            count(&lease_shard_set(shard, lease)->heard, heard ? 1 : -1);
        }
    }
}

void lease_shard_remove(struct lease_shard *shard, struct lease *lease)
{
    struct lease **at = bucket(shard, lease->hash);

    while (*at != lease) {
        at = &(*at)->next;
    }
    *at = lease->next;
    shard->n--;
    count_lease(shard, lease, -1);
    lease_scopes_leave(shard->scopes, lease_shard_set(shard, lease));
    shard->n_suspect -= lease->suspect;
    shard->n_ending -= lease->ending;
    lease_list_remove(&lease->link);
    mem_free(lease);
}

void lease_shard_clear(struct lease_shard *shard)
{
    for (uint32_t i = 0; i < shard->n_buckets; i++) {
        while (shard->buckets[i] != NULL) {
            struct lease *lease = shard->buckets[i];
            bring_up_to_date(shard, lease);
            lease_shard_remove(shard, lease);
        }
    }
}

uint64_t lease_age(const struct lease *lease, uint64_t now)
{
    return now > lease->since ? now - lease->since : 0;
}

/* Two heartbeats missed: an agent sends one every third of its TTL. */
static uint64_t late_after(const struct lease *lease)
{
    return (uint64_t)lease->ttl_ms * 2 / 3;
}

bool lease_is_late(const struct lease *lease, uint64_t now)
{
    return lease_age(lease, now) > late_after(lease);
}

static uint64_t next_look(const struct lease *lease, uint64_t now)
{
    if (lease->ending) {
        /* Nothing to see in this term, but a next one may find it here. */
        return now + late_after(lease);
    }
    if (lease->suspect) {
        return lease->since + lease->ttl_ms;
    }
    uint64_t late_at = lease->since + late_after(lease) + 1;
    if (lease->heard) {
        return late_at;
    }
    /* All leases of a new leader have one deadline. Looking at each once before
     * it, at different times, finds most of them heard by then and keeps one
     * tick from looking at a million. */
    uint64_t early = late_at - lease->hash % (lease->ttl_ms / 3 + 1);
    return early > now ? early : late_at;
}

static void place(struct lease_shard *shard, struct lease *lease, uint64_t now)
{
    lease_wheel_put(&shard->wheel, &lease->link, next_look(lease, now));
}

/* A thread that read the clock earlier may come later. */
static void begin_ttl(struct lease *lease, uint64_t now)
{
    if (now > lease->since) {
        lease->since = now;
    }
}

void lease_shard_renew(struct lease_shard *shard, struct lease *lease,
                       uint64_t ttl_ms, bool heard, uint64_t now)
{
    assert(ttl_ms > 0 && ttl_ms <= LEASE_TTL_MOST_MS);
    lease->ttl_ms = (uint32_t)ttl_ms;
    begin_ttl(lease, now);
    set_heard(shard, lease, heard && shard->serving);
    set_suspect(shard, lease, false);
    set_overdue(shard, lease, false);
    place(shard, lease, now);
}

void lease_shard_hear(struct lease_shard *shard, struct lease *lease,
                      uint64_t now)
{
    assert(!lease->ending); /* [LEASE-3] */
    begin_ttl(lease, now);
    set_heard(shard, lease, true);
    shard->n_heartbeats++;
    if (lease->suspect) {
        set_suspect(shard, lease, false);
        set_overdue(shard, lease, false);
        place(shard, lease, now);
    }
}

/* Where it stands may be the queue of another set, or none's: the next look
 * finds the right one. */
void lease_shard_assign(struct lease_shard *shard, struct lease *lease,
                        struct lease_set *set, bool spared, uint64_t now)
{
    bool ends = lease->spared && !spared;

    if (lease->set == set->number && lease->spared == spared) {
        return;
    }
    count_lease(shard, lease, -1);
    lease_scopes_join(set);
    lease_scopes_leave(shard->scopes, lease_shard_set(shard, lease));
    lease->set = set->number;
    lease->spared = spared;
    count_lease(shard, lease, 1);
    if (ends) {
        lease_shard_renew(shard, lease, lease->ttl_ms, false, now);
    } else {
        set_overdue(shard, lease, lease->overdue && lease->ending);
        place(shard, lease, now);
    }
}

void lease_shard_set_ending(struct lease_shard *shard, struct lease *lease,
                            bool ending)
{
    if (lease->ending != ending) {
        lease->ending = ending;
        ending ? shard->n_ending++ : shard->n_ending--;
        place(shard, lease, shard->clock.tick_time);
    }
}

static void look(struct lease_link *link, void *user)
{
    struct lease_shard *shard = user;
    struct lease *lease = CONTAINER(link, struct lease, link);
    uint64_t now = shard->clock.tick_time;

    bring_up_to_date(shard, lease);
    if (lease_is_late(lease, now)) {
        set_suspect(shard, lease, true);
    }
    if (lease->ending || lease_age(lease, now) < lease->ttl_ms) {
        place(shard, lease, now);
    } else if (lease->spared) {
        lease_list_append(&shard->spared, link);
    } else {
        set_overdue(shard, lease, true);
        lease_shard_queue(shard, lease);
    }
}

void lease_shard_advance(struct lease_shard *shard)
{
    lease_wheel_advance(&shard->wheel, shard->clock.tick_time, look, shard);
}
