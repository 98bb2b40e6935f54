#include <assert.h>
#include <pthread.h>

#include "base/err.h"
#include "watch/inside.h"

/* So many revisions back the ring is filled at start: some tens of ms. */
enum { LOAD_BACK = 16384 };
/* Of a ring that was given up, in a call of watch_hub_tidy: a millisecond. */
enum { TIDY = 4096 };

struct watch_hub {
    pthread_mutex_t lock; /* all but `revision`, which is written under it */
    /* While events are taken apart: the core, which publishes, does not wait
     * for that. Never held together with `lock`. */
    pthread_mutex_t reading;
    struct watch_event **ring; /* a power of two of places */
    size_t room, begin, n;
    struct watch_event **gone; /* of a ring before, to be freed by and by */
    size_t n_gone;
    uint64_t bytes, most_bytes;
    uint64_t first; /* all behind it is in the ring */
    _Atomic uint64_t revision;
    uint64_t published;
    struct watch_listener *listeners;
};

/* ---- events ---- */

static struct watch_event *event_new(struct str text)
{
    struct watch_event *event = mem_alloc(sizeof *event + text.n);

    memcpy(event->bytes, text.p, text.n);
    atomic_init(&event->users, 1);
    event->is_read = false;
    event->revision = event_revision(text);
    event->n = text.n;
    return event;
}

/* Most are never taken: where nobody watches, a write need not pay for it. */
static void read_all(struct watch_hub *hub, struct watch_event **events,
                     size_t n)
{
    (void)pthread_mutex_lock(&hub->reading);
    for (size_t i = 0; i < n; i++) {
        struct watch_event *event = events[i];
        if (!event->is_read) {
            event_read((struct str){event->bytes, event->n}, &event->event);
            event->is_read = true;
        }
    }
    (void)pthread_mutex_unlock(&hub->reading);
}

void watch_event_ref(struct watch_event *event)
{
    atomic_fetch_add_explicit(&event->users, 1, memory_order_relaxed);
}

struct watch_event *watch_event_unref(struct watch_event *event)
{
    if (event != NULL && atomic_fetch_sub_explicit(&event->users, 1,
                                                   memory_order_acq_rel) == 1) {
        (void)mem_free(event);
    }
    return NULL;
}

/* ---- the ring ---- */

static struct watch_event *at(const struct watch_hub *hub, size_t i)
{
    return hub->ring[(hub->begin + i) & (hub->room - 1)];
}

static void drop_oldest(struct watch_hub *hub)
{
    struct watch_event *event = at(hub, 0);

    hub->first = event->revision;
    hub->bytes -= event->n;
    hub->begin++;
    hub->n--;
    (void)watch_event_unref(event);
}

static void grow(struct watch_hub *hub)
{
    size_t room = hub->room == 0 ? 256 : hub->room * 2;
    struct watch_event **ring = mem_alloc(room * sizeof(struct watch_event *));

    for (size_t i = 0; i < hub->n; i++) {
        ring[i] = at(hub, i);
    }
    (void)mem_free(hub->ring);
    hub->ring = ring;
    hub->room = room;
    hub->begin = 0;
}

/* The newest stays, however large it is: somebody is about to be told. */
static void add(struct watch_hub *hub, struct watch_event *event)
{
    if (hub->n == hub->room) {
        grow(hub);
    }
    hub->ring[(hub->begin + hub->n) & (hub->room - 1)] = event;
    hub->n++;
    hub->bytes += event->n;
    hub->published++;
    while (hub->bytes > hub->most_bytes && hub->n > 1) {
        drop_oldest(hub);
    }
}

static void empty(struct watch_hub *hub, uint64_t first)
{
    while (hub->n > 0) {
        drop_oldest(hub);
    }
    hub->first = first;
}

/* Only the core looks at what is gone. */
static void tidy(struct watch_hub *hub, size_t most)
{
    for (; hub->n_gone > 0 && most > 0; most--) {
        (void)watch_event_unref(hub->gone[--hub->n_gone]);
    }
    if (hub->n_gone == 0) {
        hub->gone = mem_free(hub->gone);
    }
}

void watch_hub_tidy(struct watch_hub *hub)
{
    tidy(hub, TIDY);
}

/* To free some ten thousand events takes as many milliseconds. */
static void give_up(struct watch_hub *hub, uint64_t first)
{
    tidy(hub, SIZE_MAX); /* Of the one before: hardly ever. */
    hub->gone = mem_alloc((hub->n + 1) * sizeof(struct watch_event *));
    for (; hub->n_gone < hub->n; hub->n_gone++) {
        hub->gone[hub->n_gone] = at(hub, hub->n_gone);
    }
    hub->n = 0;
    hub->bytes = 0;
    hub->first = first;
}

struct watch_hub *watch_hub_new(uint64_t most_bytes)
{
    struct watch_hub *hub = mem_zero(sizeof *hub);

    (void)pthread_mutex_init(&hub->lock, NULL);
    (void)pthread_mutex_init(&hub->reading, NULL);
    hub->most_bytes = most_bytes;
    return hub;
}

struct watch_hub *watch_hub_free(struct watch_hub *hub)
{
    if (hub == NULL) {
        return NULL;
    }
    assert(hub->listeners == NULL);
    empty(hub, 0);
    tidy(hub, SIZE_MAX);
    (void)mem_free(hub->ring);
    (void)pthread_mutex_destroy(&hub->lock);
    (void)pthread_mutex_destroy(&hub->reading);
    return mem_free(hub);
}

/* ---- publishing ---- */

/* Under the lock, so that a listener that leaves is not poked any more. */
static void poke_all(struct watch_hub *hub)
{
    for (struct watch_listener *l = hub->listeners; l != NULL; l = l->next) {
        if (atomic_load(&l->waits) && !atomic_exchange(&l->poked, true)) {
            l->poke(l->user);
        }
    }
}

void watch_hub_publish(struct watch_hub *hub, const struct str *events,
                       size_t n, uint64_t revision)
{
    struct watch_event *made[64];

    for (size_t i = 0; i < n;) {
        size_t part = 0;
        while (part < sizeof made / sizeof made[0] && i < n) {
            made[part++] = event_new(events[i++]);
        }
        (void)pthread_mutex_lock(&hub->lock);
        for (size_t k = 0; k < part; k++) {
            add(hub, made[k]);
        }
        (void)pthread_mutex_unlock(&hub->lock);
    }
    if (revision != atomic_load(&hub->revision)) {
        (void)pthread_mutex_lock(&hub->lock);
        atomic_store(&hub->revision, revision);
        poke_all(hub);
        (void)pthread_mutex_unlock(&hub->lock);
    }
}

void watch_hub_replaced(struct watch_hub *hub, uint64_t revision)
{
    (void)pthread_mutex_lock(&hub->lock);
    give_up(hub, revision);
    atomic_store(&hub->revision, revision);
    poke_all(hub);
    (void)pthread_mutex_unlock(&hub->lock);
}

static int load(struct watch_hub *hub, struct store_txn *txn)
{
    const struct store_meta *meta = store_meta(txn);
    uint64_t after =
        meta->revision > LOAD_BACK ? meta->revision - LOAD_BACK : 0;
    uint64_t revision = meta->revision;
    struct str event;
    int r;

    if (!watch_reaches(meta, after)) {
        after = meta->history_n == 0 ? revision : meta->history_first - 1;
    }
    empty(hub, after);
    for (;;) {
        r = store_event_next(txn, after, &after, &event);
        if (r != 0) {
            break;
        }
        add(hub, event_new(event));
    }
    atomic_store(&hub->revision, revision);
    return r == ERR_END ? 0 : r;
}

int watch_hub_load(struct watch_hub *hub, struct store *store)
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    int r = store_reader_new(store, &reader);
    if (r == 0) {
        r = store_read_begin(reader, &txn);
    }
    if (r == 0) {
        (void)pthread_mutex_lock(&hub->lock);
        r = load(hub, txn);
        hub->published = 0;
        (void)pthread_mutex_unlock(&hub->lock);
        store_read_end(txn);
    }
    reader = store_reader_free(reader);
    return r;
}

/* ---- taking ---- */

uint64_t watch_hub_revision(const struct watch_hub *hub)
{
    return atomic_load(&hub->revision);
}

/* How many of the ring are not behind `after`. */
static size_t find(const struct watch_hub *hub, uint64_t after)
{
    size_t low = 0, high = hub->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (at(hub, middle)->revision <= after) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Events of a transaction come in parts; what is behind the revision is not
 * whole yet. [WATCH-1] */
int watch_hub_take(struct watch_hub *hub, uint64_t after,
                   struct watch_event **ret_events, size_t most, size_t *ret_n,
                   uint64_t *ret_upto)
{
    int r = ERR_NOT_FOUND;

    *ret_n = 0;
    (void)pthread_mutex_lock(&hub->lock);
    uint64_t revision = atomic_load(&hub->revision);
    *ret_upto = revision;
    if (after >= hub->first) {
        r = 0;
        for (size_t i = find(hub, after); i < hub->n; i++) {
            struct watch_event *event = at(hub, i);
            if (event->revision > revision) {
                break;
            }
            if (*ret_n == most) {
                *ret_upto = ret_events[most - 1]->revision;
                break;
            }
            watch_event_ref(event);
            ret_events[(*ret_n)++] = event;
        }
    }
    (void)pthread_mutex_unlock(&hub->lock);
    read_all(hub, ret_events, *ret_n);
    return r;
}

struct watch_stats watch_stats(struct watch_hub *hub)
{
    (void)pthread_mutex_lock(&hub->lock);
    struct watch_stats stats = {.revision = atomic_load(&hub->revision),
                                .first = hub->first,
                                .events = hub->n,
                                .bytes = hub->bytes,
                                .published = hub->published};
    (void)pthread_mutex_unlock(&hub->lock);
    return stats;
}

/* ---- listeners ---- */

void watch_hub_listen(struct watch_hub *hub, struct watch_listener *listener)
{
    (void)pthread_mutex_lock(&hub->lock);
    listener->next = hub->listeners;
    hub->listeners = listener;
    (void)pthread_mutex_unlock(&hub->lock);
}

void watch_hub_unlisten(struct watch_hub *hub, struct watch_listener *listener)
{
    (void)pthread_mutex_lock(&hub->lock);
    struct watch_listener **link = &hub->listeners;
    while (*link != listener) {
        link = &(*link)->next;
    }
    *link = listener->next;
    (void)pthread_mutex_unlock(&hub->lock);
}
