/* Who watches: programs outside that follow the changes at one node and go on
 * at another with the last revision they saw. What they are told has to be,
 * event by event, what the store of that node says happened, and the same from
 * every node for ever. They read the real hub, and the history when its ring
 * does not reach back. */
#include <stdio.h>

#include "base/err.h"
#include "sim.h"
#include "watch/watch.h"

/* A ring of a few events: it is left behind often. */
enum { RING_BYTES = 3000, TAKEN_MOST = 5 };

void watchers_open(struct node *node)
{
    struct state *s = &node->state;

    s->hub = watch_hub_new(RING_BYTES);
    if (watch_hub_load(s->hub, s->store) != 0) {
        sim_fail(node->sim, "node %u: the hub cannot be loaded", node->slot);
    }
}

void watchers_close(struct node *node)
{
    node->state.hub = watch_hub_free(node->state.hub);
}

void watchers_changed(void *user, const struct str *events, size_t n,
                      uint64_t revision)
{
    struct node *node = user;

    watch_hub_publish(node->state.hub, events, n, revision);
}

void watchers_replaced(struct node *node)
{
    if (node->sim->config.broken != BREAK_UNTOLD) {
        watch_hub_replaced(node->state.hub,
                           machine_view(node->state.machine).revision);
    }
}

/* ---- what one is told ---- */

static uint64_t *told_at(struct check *check, uint64_t revision)
{
    if (revision >= check->told_room) {
        size_t room = revision + 1024;
        check->told = mem_grow(check->told, room * sizeof *check->told);
        memset(check->told + check->told_room, 0,
               (room - check->told_room) * sizeof *check->told);
        check->told_room = room;
    }
    return &check->told[revision];
}

/* The next event of the store has to be this one. */
static void compare(struct watcher *w, struct store_txn *txn,
                    const struct event *event)
{
    struct node *node = w->node;
    uint64_t revision = 0, hash = sim_hash(1, event->text.p, event->text.n);
    uint64_t *first = told_at(&node->sim->check, event->revision);
    struct str text = {0};

    int r = store_event_next(txn, w->seen, &revision, &text);
    if (r != 0 || revision != event->revision ||
        !str_equal(text, event->text)) {
        sim_fail(
            node->sim, "behind %llu node %u tells %llu, and %llu came next",
            (unsigned long long)w->seen, node->slot,
            (unsigned long long)event->revision, (unsigned long long)revision);
    }
    if (*first != 0 && *first != hash) {
        sim_fail(node->sim, "P2: node %u tells another change at %llu",
                 node->slot, (unsigned long long)event->revision);
    }
    *first = hash;
    w->seen = event->revision;
    node->sim->stats.told++;
}

/* Nothing happened from where it is up to there. */
static void caught_up(struct watcher *w, struct store_txn *txn, uint64_t upto)
{
    uint64_t revision = 0;
    struct str text;

    int r = store_event_next(txn, w->seen, &revision, &text);
    if (r == 0 && revision <= upto) {
        sim_fail(w->node->sim, "node %u tells nothing of %llu, up to %llu",
                 w->node->slot, (unsigned long long)revision,
                 (unsigned long long)upto);
    }
    w->seen = upto > w->seen ? upto : w->seen;
}

static int from_ring(struct watcher *w, struct store_txn *txn)
{
    struct watch_event *events[TAKEN_MOST];
    size_t n = 0;
    uint64_t upto = 0;

    int r = watch_hub_take(w->node->state.hub, w->seen, events,
                           1 + sim_chance(w->node->sim, TAKEN_MOST), &n, &upto);
    for (size_t i = 0; i < n; i++) {
        compare(w, txn, &events[i]->event);
        (void)watch_event_unref(events[i]);
    }
    if (r == 0) {
        caught_up(w, txn, upto);
    }
    return r;
}

struct reading {
    struct watcher *watcher;
    struct store_txn *txn;
};

static void read_one(void *user, const struct event *event)
{
    struct reading *reading = user;

    compare(reading->watcher, reading->txn, event);
}

static void from_history(struct watcher *w, struct store_txn *txn,
                         struct store_reader *reader)
{
    struct sim *sim = w->node->sim;
    struct watch_spec all = {.ns = STR("roster")};
    struct reading reading = {w, txn};
    struct watch_reading found = {0};

    int r = watch_read(reader, &all, w->seen, sim_between(sim, 1, 4000),
                       read_one, &reading, &found);
    sim->stats.told_late++;
    if (r == ERR_NOT_FOUND && store_meta(txn)->history_first > w->seen + 1) {
        w->seen = found.upto; /* It was gone for longer than is remembered. */
        return;
    }
    if (r != 0) {
        sim_fail(sim, "node %u cannot tell what came behind %llu: %s",
                 w->node->slot, (unsigned long long)w->seen, err_text(r));
        return;
    }
    caught_up(w, txn, found.upto);
}

/* One turn: what it can have now, or part of it. */
static void follow(struct watcher *w)
{
    struct node *node = w->node;
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    /* It has seen more than this node has: the node has to come there. */
    if (watch_hub_revision(node->state.hub) <= w->seen) {
        return;
    }
    if (store_reader_new(node->state.store, &reader) != 0 ||
        store_read_begin(reader, &txn) != 0) {
        sim_fail(node->sim, "node %u: no snapshot", node->slot);
        return;
    }
    if (from_ring(w, txn) == ERR_NOT_FOUND) {
        from_history(w, txn, node->state.reader);
    }
    store_read_end(txn);
    reader = store_reader_free(reader);
}

/* ---- all of them ---- */

void watchers_init(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_WATCHERS; i++) {
        sim->watchers[i] = (struct watcher){.node = &sim->nodes[i % 3]};
    }
}

void watchers_turn(struct node *node)
{
    struct sim *sim = node->sim;

    for (unsigned i = 0; i < SIM_WATCHERS; i++) {
        struct watcher *w = &sim->watchers[i];
        if (w->node == node && sim_odds(sim, 300)) {
            follow(w);
        }
        if (w->node == node && sim_odds(sim, 5)) {
            w->node = &sim->nodes[sim_chance(sim, SIM_SLOTS)];
        }
        if (w->node->id == 0 || !w->node->up) {
            w->node = node;
        }
    }
}

/* All is whole and nothing changes any more: each comes to the end. */
void watchers_end(struct sim *sim, struct node *node)
{
    for (unsigned i = 0; i < SIM_WATCHERS && !sim->failed; i++) {
        struct watcher *w = &sim->watchers[i];
        uint64_t end = machine_view(node->state.machine).revision;
        w->node = node;
        for (uint64_t before = UINT64_MAX; w->seen != before && !sim->failed;) {
            before = w->seen;
            follow(w);
        }
        if (w->seen != end) {
            sim_fail(sim, "watcher %u is at %llu of %llu on node %u", i,
                     (unsigned long long)w->seen, (unsigned long long)end,
                     node->slot);
        }
    }
}
