/* When each webhook is called.
 *
 *              wants                next                sent
 *     ┌─ IDLE ───────► READY ──────────────► BUSY ──────────────► FLYING
 *     │    ▲             ▲                    │ │                   │
 *     │    └─────────────┼───── passed ───────┘ └── refused ─┐      │
 *     │    ▲             ├──────────────────────── answered ─┼──────┤
 *     │    └─────────────┼─────────────────────── (all told) ┼──────┤
 *     │                  │ time, or it was changed           ▼      │
 *     └── changed ──►    └──────────────────────────────── WAITING ◄┘ failed
 *
 * Each webhook has a state of its own, so a dead one delays nobody: it is one
 * of at most so many requests at a time, of fewer to its host, and those that
 * have failed or been slow before get half of them at most.
 *
 * Invariants
 *   [HOOK-1] a cursor grows, and only over what was answered with yes or does
 *            not concern the webhook: everything is sent at least once.
 *   [HOOK-2] one request at a time for a webhook, from its cursor on: what it
 *            gets is in order by first appearance.
 *
 * Pure: time and chance are arguments. `now` is Unix time in ms that never goes
 * back. Cost: O(1) per call, where nothing else is said. One thread. */
#ifndef HOOK_ENGINE_H
#define HOOK_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/mem.h"
#include "command/command.h"
#include "model/ulid.h"

enum {
    ENGINE_FLYING_MOST = 64,
    ENGINE_HOST_MOST = 4,
    ENGINE_RETRY_MOST = ENGINE_FLYING_MOST / 2,
    ENGINE_SLOW_MS = 2000,
    ENGINE_TEXT = 256,
    /* Cursors that moved over what concerns nobody are told when they have come
     * so far, or after so long. */
    ENGINE_FAR = 1000,
    ENGINE_FAR_MS = 60000,
};
#define ENGINE_PAUSE_LEAST_MS 1000U
#define ENGINE_PAUSE_MOST_MS 86400000U
#define ENGINE_DEAD_MS 86400000U

enum engine_place {
    ENGINE_IDLE,
    ENGINE_READY,
    ENGINE_WAITING,
    ENGINE_BUSY,
    ENGINE_FLYING,
};

struct engine_key {
    uint64_t ns;
    struct ulid id;
};

/* A webhook. Read by this room, changed by the engine alone, but for what is
 * said to be the caller's. */
struct engine_target {
    struct engine_key key;
    uint64_t cursor;  /* all up to there is done; IDLE: see engine_cursor */
    uint64_t acked;   /* the last it said yes to */
    uint64_t told;    /* what the state knows */
    uint64_t told_ms; /* since then it has been known */
    enum hook_state state;
    uint64_t since_ms;      /* it has been failing; 0: it is not */
    uint64_t next_ms;       /* WAITING: tried again */
    uint64_t sent_ms;       /* FLYING: since then */
    char text[ENGINE_TEXT]; /* what the state has to show */
    bool tell;              /* and it does not yet */
    char *host;             /* it is reached at; NULL: not known yet */
    enum engine_place place;
    bool again;      /* something came while it was BUSY or FLYING */
    bool changed;    /* or it became another one */
    bool fresh;      /* it has not been tried since it became another one */
    bool gone;       /* removed while it was FLYING */
    bool slow;       /* its last yes took long */
    struct str path; /* the caller's, see watched.h */
    struct str types;
    struct engine_target *prev, *next; /* those in the same place */
    struct engine_target *path_next;   /* see watched.h */
    UT_hash_handle hh;
};

struct engine {
    struct engine_target *all; /* by key */
    struct engine_target *in[ENGINE_FLYING + 1];
    size_t n[ENGINE_FLYING + 1];
    size_t n_retries; /* BUSY and FLYING, that had failed or were slow */
    uint64_t seen;    /* nobody IDLE wants anything up to there */
    uint64_t due_ms;  /* nobody WAITING is tried earlier */
};

void engine_init(struct engine *engine, uint64_t seen);
void engine_done(struct engine *engine);

/* What the state knows of one. */
struct engine_past {
    uint64_t cursor;
    enum hook_state state;
    uint64_t since_ms;
};
/* One that is not there yet. It is READY: what is behind its cursor has to be
 * looked at. */
struct engine_target *engine_add(struct engine *engine, struct engine_key key,
                                 const struct engine_past *past, uint64_t now);
/* It has been looked at as far as all others: IDLE. */
void engine_rest(struct engine *engine, struct engine_target *target);
/* It is there again, though it was removed while it was FLYING, or still. */
void engine_back(struct engine_target *target, const struct engine_past *past);
struct engine_target *engine_find(const struct engine *engine,
                                  struct engine_key key);
/* True: it is gone; false: it is FLYING and goes with the outcome. */
bool engine_remove(struct engine *engine, struct engine_target *target);

/* Something at this revision concerns it. */
void engine_wants(struct engine *engine, struct engine_target *target,
                  uint64_t revision);
/* Everything up to there was looked at, and engine_wants told. */
void engine_seen(struct engine *engine, uint64_t revision);
/* It is another one now (its address, its secret): tried at once, and should it
 * fail then its pauses begin anew. */
void engine_changed(struct engine *engine, struct engine_target *target);
/* Where it is reached; copied. */
void engine_reach(struct engine_target *target, const char *host);

/* The next whose turn it is: BUSY now. NULL: nobody. O(those that wait for
 * their host). */
struct engine_target *engine_next(struct engine *engine, uint64_t now);
/* What to do with it: */
/* Nothing concerns it up to there; `end`: and that is all there is. */
void engine_passed(struct engine *engine, struct engine_target *target,
                   uint64_t upto, bool end);
/* Its host has as many as it gets: later. */
void engine_hold(struct engine *engine, struct engine_target *target);
bool engine_host_is_full(const struct engine *engine, const char *host);
/* A request is on its way. */
void engine_sent(struct engine *engine, struct engine_target *target,
                 uint64_t now);
bool engine_has_all_out(const struct engine *engine);
/* It failed or was slow before: it may keep its request for as long as it
 * likes, but so may few at a time. */
bool engine_is_doubtful(const struct engine_target *target);
/* All requests are out, somebody waits who has not been in the way of others
 * yet, and this one is: it is to be cut, and has failed. NULL: nobody. */
struct engine_target *engine_stuck(const struct engine *engine, uint64_t now);
/* Whether somebody waits for one that is out to end. */
bool engine_is_full(const struct engine *engine);
/* It said yes to what was behind its cursor up to there. `reset`: that it has
 * to list again from there. False: it was removed meanwhile, and is gone now.
 */
bool engine_answered(struct engine *engine, struct engine_target *target,
                     uint64_t upto, bool reset) MUST_USE;
/* And it took so long to say so. */
void engine_took(struct engine_target *target, uint64_t ms);
/* It did not, or could not be sent. `chance` is any number. False as above. */
bool engine_failed(struct engine *engine, struct engine_target *target,
                   const char *why, uint64_t now, uint64_t chance) MUST_USE;

/* In how many ms somebody WAITING is tried again; UINT64_MAX: nobody is. */
uint64_t engine_due(const struct engine *engine, uint64_t now);

/* All up to there is done for it. */
uint64_t engine_cursor(const struct engine *engine,
                       const struct engine_target *target);
/* What the state does not know yet, at most `most`; their texts are lent until
 * the engine is next used. `all`: however little. O(targets). */
size_t engine_report(struct engine *engine, bool all, uint64_t now,
                     struct command_hook_item *ret_items, size_t most) MUST_USE;
/* The state knows it now. */
void engine_told(struct engine *engine, const struct command_hook_item *items,
                 size_t n, uint64_t now);

struct engine_counts {
    uint64_t targets, failing, dead;
    uint64_t behind; /* revisions that the last of them has to go */
};
/* O(targets). */
struct engine_counts engine_counts(const struct engine *engine,
                                   uint64_t revision);

#endif
