/* What the files of the thread share. Private. */
#ifndef HOOK_INSIDE_H
#define HOOK_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "hook/batch.h"
#include "hook/engine.h"
#include "hook/found.h"
#include "hook/hook.h"
#include "hook/sender.h"
#include "hook/watched.h"

enum {
    REPORT_MS = 2000,     /* between two HOOKS */
    REPORT_MOST = 500,    /* webhooks in one: a status is a row that is put */
    SCAN_PAUSE_MS = 20,   /* what comes in it goes out together */
    SCAN_NOBODY_MS = 200, /* while there is no webhook */
    TROUBLE_PAUSE_MS = 1000,
    CONNECT_MS = 5000,
    WHOLE_MS = 30000,
    COUNT_MS = 100,
    TURNS_MS = 100,
    STUCK_MS = 200, /* how often it is looked who is in the way */
};

/* HOOKS on its way into the log; one at a time. */
struct report {
    struct core_request request;
    struct hook *hook;
    struct arena *arena; /* the items' texts */
    struct buf bytes;
    struct command_hook_item items[REPORT_MOST];
    size_t n;
    bool out;
    atomic_bool back; /* the core is done with it */
    bool dirty;       /* there may be something to tell */
    bool failed;      /* the last one came into no log */
    uint64_t next_ms;
};

/* Rows from before there were marks are looked for. */
struct look {
    bool on;
    bool found; /* they have marks now, of which no event tells */
    uint64_t ns;
    struct ulid after;
};

/* A request that is out. */
struct flight {
    struct engine_target *target;
    uint64_t upto;
    uint64_t n; /* events */
    size_t bytes;
    bool reset;
    struct str path;
    struct flight *prev, *next;
};

/* A put or delete of a webhook that the scan has met. */
struct met {
    struct engine_key key;
    struct met *next;
};

struct hook {
    struct core *core;
    struct store_reader *reader;
    struct sender *sender;
    struct arena *arena; /* of one turn */
    pthread_t thread;
    bool started;
    uint64_t wall_ms, mono_ms; /* when it began: the wall may jump later */

    /* Told by the core thread. */
    atomic_bool leads, drains, restored, ends, poked;

    /* The thread's own. */
    struct engine engine;
    struct watched watched;
    struct flight *flights;
    size_t flying_bytes;
    struct met *met; /* in met_arena */
    struct arena *met_arena;
    bool loaded;
    bool left;        /* leadership has been handed over, or was not had */
    uint64_t put;     /* the last put of a webhook that is known */
    uint64_t scan_ms; /* the next, not earlier */
    uint64_t count_ms;
    struct report report;
    struct look look;

    _Atomic uint64_t n_targets, n_failing, n_dead, n_behind;
    _Atomic uint64_t deliveries, failures, events;
};

/* ---- hook.c ---- */
/* Unix time that never goes back. */
uint64_t hook_now(const struct hook *hook);

/* ---- scan.c: who has to be told something ---- */
/* What the state knows becomes what the engine knows. Faults of the store. */
int scan_load(struct hook *hook) MUST_USE;
/* The same for those it does not know yet. */
int scan_load_more(struct hook *hook) MUST_USE;
void scan_forget(struct hook *hook);
/* Look at what has happened. *ret_more: there is more of it. Faults of the
 * store. */
int scan(struct hook *hook, bool *ret_more) MUST_USE;
void scan_remove(struct hook *hook, struct engine_target *target);

/* ---- tell.c: telling it ---- */
/* Everybody whose turn it is, for TURNS_MS at most: there are answers to read,
 * and leadership to lose. *ret_more: there may be others. Faults of the store.
 */
int tell_all(struct hook *hook, bool *ret_more) MUST_USE;
void tell_done(void *user, void *request, const char *why);
/* All requests that are out are cut. */
void tell_cut(struct hook *hook);

/* ---- report.c: what the state has to know ---- */
void report_init(struct hook *hook);
void report_done(struct hook *hook);
/* The last one that was out is in the log, or nowhere. */
void report_take(struct hook *hook);
/* When it is time; `all`: also what could wait, at once. Faults of the store.
 */
int report_send(struct hook *hook, bool all) MUST_USE;
/* In how many ms; UINT64_MAX: nothing is to be told. */
uint64_t report_due(const struct hook *hook);

#endif
