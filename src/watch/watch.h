/* Tells who asked what has changed.
 *
 *   machine ─► hub ──────────► table of each loop ──► its links: streams, polls
 *   (core)     ring of the      who waits for what
 *              last events
 *   history (store) ──────────► watch_read: whoever is further behind
 *
 * Nobody has a buffer of his own: a watcher is a revision, and what came behind
 * it is in the ring or in the history. An event is parsed once and matched once
 * for each different wish, however many have it.
 *
 * Invariants
 *   [WATCH-1] the hub gives an event only after its transaction has committed,
 *             in order of revision, and only whole transactions: what it calls
 *             its revision is the end of a range.
 *   [WATCH-2] who has been told all up to revision R, and takes what comes
 *             behind R from ring or history, misses nothing and gets nothing
 *             twice; when that cannot be had any more, he is told so.
 *
 * Threads: hub: publishing is the core thread's, taking any. A table is one
 * thread's. */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "model/event.h"
#include "model/pattern.h"
#include "store/store.h"

/* ---- what somebody wants to know ---- */

/* Strings lent. */
struct watch_spec {
    struct str ns;          /* a path: it and all below */
    struct str type;        /* n == 0: any */
    struct str k;           /* field, unescaped; n == 0: any */
    struct str v;           /* p == NULL: fields are not looked at */
    enum pattern_mode mode; /* EXACT, CONTAINS or PREFIX */
};
/* Whether it concerns him (a put whose row was, or is, among what he wants; a
 * namespace around what he wants that moved or went). */
bool watch_wants(const struct watch_spec *spec, const struct event *event);

/* ---- hub ---- */

struct watch_hub; /* opaque */

#define WATCH_RING_BYTES (UINT64_C(16) << 20)

/* One of the ring's. Immutable, but that it is taken apart when somebody takes
 * it for the first time; counted. */
struct watch_event {
    _Atomic unsigned users;
    bool is_read;       /* as `event`: under the hub's second lock */
    uint64_t revision;  /* as in the event, before it is read, too */
    size_t n;           /* bytes of its text */
    struct event event; /* of one that was taken */
    char bytes[];
};
void watch_event_ref(struct watch_event *event);
/* Always NULL. */
struct watch_event *watch_event_unref(struct watch_event *event);

/* `most_bytes` bounds the ring. */
struct watch_hub *watch_hub_new(uint64_t most_bytes) MUST_USE;
struct watch_hub *watch_hub_free(struct watch_hub *hub);
/* Core. Fill the ring with the end of the history, as the store is now. */
int watch_hub_load(struct watch_hub *hub, struct store *store) MUST_USE;
/* Core. A transaction has committed: its events, in order, whose texts are
 * copied, and the revision the registry is at. */
void watch_hub_publish(struct watch_hub *hub, const struct str *events,
                       size_t n, uint64_t revision);
/* Core. The state is another one, at `revision`: the ring begins behind it, and
 * what happened between is in its history or nowhere. */
void watch_hub_replaced(struct watch_hub *hub, uint64_t revision);
/* Core, now and then: some of what was in a ring before is freed. */
void watch_hub_tidy(struct watch_hub *hub);
/* The end of the last range published. Any thread. */
uint64_t watch_hub_revision(const struct watch_hub *hub);

/* Events behind `after`, at most `most`, each counted for the caller;
 * *ret_upto: nothing else has happened up to there. Any thread. Answers:
 * NOT_FOUND (the ring begins later). */
int watch_hub_take(struct watch_hub *hub, uint64_t after,
                   struct watch_event **ret_events, size_t most, size_t *ret_n,
                   uint64_t *ret_upto) MUST_USE;

struct watch_stats {
    uint64_t revision, first; /* of the ring: all behind `first` is in it */
    uint64_t events, bytes;   /* held */
    uint64_t published;       /* events, ever */
};
struct watch_stats watch_stats(struct watch_hub *hub);

/* ---- table: who waits for what, of one loop ---- */

struct watch_table; /* opaque */
struct watch_link;

/* Called from watch_table_turn, in order of revision. `event` is lent. NULL:
 * the ring did not reach back, so what happened up to watch_table_revision has
 * to be found elsewhere (watch_read), from where it was told last; what comes
 * behind is told again. It may remove this link, not others. */
typedef void watch_tell_func(struct watch_link *link,
                             struct watch_event *event);

/* Member of whoever waits; the spec's strings live as long as it is in. */
struct watch_link {
    struct watch_spec spec;
    watch_tell_func *tell;
    /* The table's own: */
    uint64_t from;
    struct watch_link *prev, *next;
    struct watch_subject *subject;
};

/* `poke` is called from the core thread when there is something to tell, once
 * until the next turn; never while nobody waits. */
struct watch_table *watch_table_new(struct watch_hub *hub,
                                    void (*poke)(void *user),
                                    void *user) MUST_USE;
/* Nobody is in it any more. */
struct watch_table *watch_table_free(struct watch_table *table);
/* It is told what comes behind `from`; a snapshot may have shown that a moment
 * before the hub has it. Answers: RETRY (something that it wants came behind
 * `from` and was told to the others before, or that cannot be known: it is not
 * in the table). */
int watch_table_add(struct watch_table *table, struct watch_link *link,
                    uint64_t from) MUST_USE;
/* Also one that is not in. */
void watch_table_remove(struct watch_table *table, struct watch_link *link);
/* Tell what has come, at most some hundreds of events. True: there is more. */
bool watch_table_turn(struct watch_table *table) MUST_USE;
/* All up to there was told. The end of a range, unless a turn said that there
 * is more. */
uint64_t watch_table_revision(const struct watch_table *table);

/* ---- history ---- */

/* Each event behind `after` that the spec wants, in order, lent for the call.
 */
typedef void watch_read_func(void *user, const struct event *event);

struct watch_reading {
    uint64_t upto;  /* all up to there was looked at */
    bool end;       /* and that is all there was: the end of a range */
    uint64_t first; /* NOT_FOUND: the history begins here */
};
/* Looks at some `most_bytes` of events in one snapshot. Any thread, a reader
 * each. Answers: NOT_FOUND (what came behind `after` is not all there any more,
 * or a restore lies between: ret->upto is the revision to list from). Faults of
 * the store. */
int watch_read(struct store_reader *reader, const struct watch_spec *spec,
               uint64_t after, uint64_t most_bytes, watch_read_func *func,
               void *user, struct watch_reading *ret) MUST_USE;

/* ---- what is there, and then what changes ---- */

/* How far somebody is told what is there: namespace by namespace, each list in
 * order, every part in a snapshot of its own. Between two parts comes what has
 * changed of what was told before; changes of the rest are in what is still to
 * come. So nothing is missing and nothing told twice at the end, and nobody
 * holds a snapshot. {0} begins. */
struct watch_initial {
    bool begun;
    bool in_ns;               /* `type` and `id` are the last row told of it */
    uint64_t next_ns, end_ns; /* ids still to come */
    uint64_t revision;        /* all that was told is as of there */
    struct ulid id;
    uint8_t type_n;
    char type[64];
};
/* Tells some `most_bytes` more: changes as they are, rows as puts whose cause
 * is "initial" and whose revision is their own. *ret_end: that was all; what
 * comes behind io->revision, which is the end of a range, is next. Any thread,
 * a reader each. Answers: NOT_FOUND (the history does not reach back to what
 * was told: begin anew), FULL (too many namespaces are being read: later
 * again). Faults of the store. */
int watch_initial_read(struct store_reader *reader,
                       const struct watch_spec *spec,
                       struct watch_initial *io_initial, uint64_t most_bytes,
                       watch_read_func *func, void *user,
                       bool *ret_end) MUST_USE;

#endif
