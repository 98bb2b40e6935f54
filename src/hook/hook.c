#include "hook/hook.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metric.h"
#include "hook/inside.h"

uint64_t hook_now(const struct hook *hook)
{
    return hook->wall_ms + (clock_mono_ms() - hook->mono_ms);
}

/* ---- told by the core thread ---- */

void hook_on_lead(struct hook *hook, bool leads)
{
    atomic_store(&hook->leads, leads);
    sender_wake(hook->sender);
}

/* Once until the next scan: that one has its time. */
void hook_on_revision(struct hook *hook)
{
    if (atomic_load(&hook->leads) && !atomic_exchange(&hook->poked, true)) {
        sender_wake(hook->sender);
    }
}

void hook_on_restored(struct hook *hook)
{
    atomic_store(&hook->restored, true);
    sender_wake(hook->sender);
}

void hook_drain(struct hook *hook)
{
    atomic_store(&hook->drains, true);
    sender_wake(hook->sender);
}

/* ---- the thread ---- */

/* In how many ms it has to be called again; it looks at all. */
static uint64_t count(struct hook *hook)
{
    uint64_t now = hook_now(hook);

    if (hook->count_ms > now) {
        return hook->count_ms - now;
    }
    struct engine_counts counts =
        engine_counts(&hook->engine, core_revision(hook->core));
    hook->count_ms = now + COUNT_MS;
    atomic_store(&hook->n_targets, counts.targets);
    atomic_store(&hook->n_failing, counts.failing);
    atomic_store(&hook->n_dead, counts.dead);
    atomic_store(&hook->n_behind, counts.behind);
    return UINT64_MAX;
}

static bool may_lead(const struct hook *hook)
{
    return atomic_load(&hook->leads) &&
           core_feature_level(hook->core) >= WEBHOOK_LEVEL;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What happened in the meantime is looked at together. */
static int scan_in_time(struct hook *hook, uint64_t *io_wait_ms)
{
    uint64_t now = hook_now(hook);
    bool more = false;

    if (hook->scan_ms <= now) {
        (void)atomic_exchange(&hook->poked, false);
        int r = scan(hook, &more);
        bool nobody = hook->engine.all == NULL;
        hook->scan_ms = now + (more     ? 0
                               : nobody ? SCAN_NOBODY_MS
                                        : SCAN_PAUSE_MS);
        if (r != 0) {
            return r;
        }
    }
    if (more || atomic_load(&hook->poked)) {
        uint64_t left = hook->scan_ms > now ? hook->scan_ms - now : 0;
        *io_wait_ms = least(*io_wait_ms, left);
    }
    return 0;
}

static int lead_on(struct hook *hook, uint64_t *io_wait_ms)
{
    bool more = false;
    int r = 0;

    if (!hook->loaded) {
        r = scan_load(hook);
    }
    if (r == 0 && hook->look.found) {
        hook->look.found = false;
        r = scan_load_more(hook);
    }
    if (r == 0) {
        r = scan_in_time(hook, io_wait_ms);
    }
    if (r == 0 && !atomic_load(&hook->drains)) {
        r = tell_all(hook, &more);
    }
    if (r == 0) {
        r = report_send(hook, atomic_load(&hook->drains));
    }
    *io_wait_ms = least(*io_wait_ms, report_due(hook));
    *io_wait_ms = least(*io_wait_ms, engine_due(&hook->engine, hook_now(hook)));
    *io_wait_ms = least(*io_wait_ms, count(hook));
    if (engine_is_full(&hook->engine)) {
        *io_wait_ms = least(*io_wait_ms, STUCK_MS);
    }
    *io_wait_ms = more ? 0 : *io_wait_ms;
    return r;
}

static void follow(struct hook *hook)
{
    if (hook->loaded) {
        tell_cut(hook);
        scan_forget(hook);
        hook->count_ms = 0;
        (void)count(hook);
    }
}

/* Whoever leads next goes on where this one has stopped. */
static void leave(struct hook *hook)
{
    if (atomic_load(&hook->drains) && !hook->left) {
        hook->left = true;
        core_hand_over(hook->core);
    }
}

/* One that still leads and is told of another state forgets all it knows. */
static uint64_t step(struct hook *hook)
{
    uint64_t wait_ms = UINT64_MAX;

    if (atomic_exchange(&hook->restored, false)) {
        follow(hook);
    }
    report_take(hook);
    if (!may_lead(hook)) {
        follow(hook);
        leave(hook);
        return atomic_load(&hook->leads) ? TROUBLE_PAUSE_MS : UINT64_MAX;
    }
    int r = lead_on(hook, &wait_ms);
    if (r != 0 || !hook->report.out) {
        leave(hook);
    }
    if (r != 0) {
        log_error(LOG_HOOK, "webhooks are not told: the store cannot be read",
                  LOG_TXT("at", err_origin()));
        return TROUBLE_PAUSE_MS;
    }
    return wait_ms;
}

static void *run(void *user)
{
    struct hook *hook = user;

    while (!atomic_load(&hook->ends)) {
        sender_run(hook->sender, step(hook), tell_done, hook);
    }
    tell_cut(hook);
    scan_forget(hook);
    return NULL;
}

/* ---- life ---- */

static int start(struct hook *hook)
{
    int r = store_reader_new(core_store(hook->core), &hook->reader);

    if (r != 0) {
        return r;
    }
    hook->started = pthread_create(&hook->thread, NULL, run, hook) == 0;
    return hook->started ? 0 : err_raise(ERR_SYSTEM);
}

int hook_new(struct core *core, const struct allow *allow,
             struct hook **ret_hook)
{
    struct hook *hook = mem_zero(sizeof *hook);
    const struct sender_config config = {
        .allow = allow, .connect_ms = CONNECT_MS, .whole_ms = WHOLE_MS};

    hook->core = core;
    hook->wall_ms = clock_wall_ms();
    hook->mono_ms = clock_mono_ms();
    hook->sender = sender_new(&config);
    hook->arena = arena_new();
    hook->met_arena = arena_new();
    engine_init(&hook->engine, 0);
    report_init(hook);
    int r = start(hook);
    if (r != 0) {
        hook_free(hook);
        return r;
    }
    *ret_hook = hook;
    return 0;
}

struct hook *hook_free(struct hook *hook)
{
    if (hook == NULL) {
        return NULL;
    }
    if (hook->started) {
        atomic_store(&hook->ends, true);
        sender_wake(hook->sender);
        (void)pthread_join(hook->thread, NULL);
    }
    report_take(hook);
    report_done(hook);
    arena_free(hook->arena);
    arena_free(hook->met_arena);
    hook->sender = sender_free(hook->sender);
    hook->reader = store_reader_free(hook->reader);
    return mem_free(hook);
}

/* ---- metrics ---- */

void hook_metrics(struct hook *hook, struct buf *out)
{
    metric_gauge(out, "roster_webhook_targets",
                 "Webhooks, on the leader; elsewhere 0, like all of these.",
                 atomic_load(&hook->n_targets));
    metric_gauge(out, "roster_webhook_failing",
                 "Webhooks whose last request failed, within a day.",
                 atomic_load(&hook->n_failing));
    metric_gauge(out, "roster_webhook_dead",
                 "Webhooks that have been failing for more than a day.",
                 atomic_load(&hook->n_dead));
    metric_gauge(out, "roster_webhook_behind",
                 "Revisions the last of the webhooks has to go.",
                 atomic_load(&hook->n_behind));
    metric_counter(out, "roster_webhook_deliveries_total",
                   "Requests to webhooks that were answered with 2xx.",
                   atomic_load(&hook->deliveries));
    metric_counter(out, "roster_webhook_failures_total",
                   "Requests to webhooks that were not.",
                   atomic_load(&hook->failures));
    metric_counter(out, "roster_webhook_events_total",
                   "Events in the requests that were answered with 2xx.",
                   atomic_load(&hook->events));
}
