/* What the state has to know: cursors that moved and states that changed go
 * into the log together, every few seconds. */
#include "base/err.h"
#include "hook/inside.h"

enum { LOOK_STEP = 256 }; /* namespaces */

void report_init(struct hook *hook)
{
    struct report *report = &hook->report;

    report->hook = hook;
    report->arena = arena_new();
    atomic_init(&report->back, false);
}

void report_done(struct hook *hook)
{
    arena_free(hook->report.arena);
    buf_done(&hook->report.bytes);
}

/* Core thread. */
static void on_done(struct core_request *request)
{
    struct report *report = CONTAINER(request, struct report, request);

    atomic_store(&report->back, true);
    sender_wake(report->hook->sender);
}

static void propose(struct hook *hook)
{
    struct report *report = &hook->report;
    struct command command = {.kind = COMMAND_HOOKS};

    command.hooks.hooks = report->items;
    command.hooks.n_hooks = report->n;
    buf_clear(&report->bytes);
    command_encode(&report->bytes, &command);
    report->request = (struct core_request){
        .command = buf_str(&report->bytes), .local = true, .done = on_done};
    report->out = true;
    core_submit(hook->core, &report->request);
}

static bool says_found(const struct report *report)
{
    return report->n > 0 && report->items[report->n - 1].ns == 0;
}

/* What it found may not be known. */
static void look_anew(struct hook *hook)
{
    if (hook->look.on || says_found(&hook->report)) {
        hook->look = (struct look){.on = true, .ns = 1};
    }
}

void report_take(struct hook *hook)
{
    struct report *report = &hook->report;

    if (!report->out || !atomic_exchange(&report->back, false)) {
        return;
    }
    report->out = false;
    report->failed =
        report->request.outcome != 0 || report->request.result.answer != 0;
    if (!report->failed) {
        engine_told(&hook->engine, report->items, report->n, hook_now(hook));
        /* There may be more than fits into one. */
        report->dirty = report->dirty || report->n == REPORT_MOST;
        hook->look.found = hook->look.found || says_found(report);
    } else {
        report->dirty = true;
        report->next_ms = hook_now(hook) + REPORT_MS;
        look_anew(hook);
    }
    machine_result_done(&report->request.result);
}

uint64_t report_due(const struct hook *hook)
{
    const struct report *report = &hook->report;
    uint64_t now = hook_now(hook);

    if (report->out || (!report->dirty && !hook->look.on)) {
        return UINT64_MAX;
    }
    return report->next_ms > now ? report->next_ms - now : 0;
}

/* ---- rows from before there were marks ---- */

/* The last item says that all have been found. */
static int look_on(struct hook *hook)
{
    struct report *report = &hook->report;
    struct look *look = &hook->look;
    size_t n = 0;
    int r = 0;

    report->n = 0;
    for (int i = 0; i < LOOK_STEP && report->n + 1 < REPORT_MOST; i++) {
        const struct ulid *after =
            ulid_is_zero(look->after) ? NULL : &look->after;
        size_t most = REPORT_MOST - 1 - report->n;
        r = found_in(hook->reader, look->ns, after, report->items + report->n,
                     most, &n);
        if (r != 0) {
            break;
        }
        report->n += n;
        look->after =
            n == most ? report->items[report->n - 1].id : (struct ulid){{0}};
        look->ns += n < most;
    }
    if (r == ERR_END) {
        look->on = false;
        report->items[report->n++] =
            (struct command_hook_item){.state = HOOK_FOUND, .text = STR("")};
        r = 0;
    }
    return r;
}

/* Their texts are the engine's, which goes on meanwhile. */
static void gather(struct hook *hook, bool all)
{
    struct report *report = &hook->report;

    report->n = engine_report(&hook->engine, all, hook_now(hook), report->items,
                              REPORT_MOST);
    for (size_t i = 0; i < report->n; i++) {
        report->items[i].text = arena_str(report->arena, report->items[i].text);
    }
}

int report_send(struct hook *hook, bool all)
{
    struct report *report = &hook->report;
    int r = 0;

    bool at_once = all && !report->failed;
    if (report->out || (!at_once && report_due(hook) > 0)) {
        return 0;
    }
    arena_reset(report->arena);
    if (hook->look.on) {
        r = look_on(hook);
    } else {
        report->dirty = false;
        gather(hook, all);
    }
    if (r == 0 && report->n > 0) {
        bool full = report->n == REPORT_MOST;
        report->next_ms =
            hook_now(hook) + (hook->look.on || full ? 0 : REPORT_MS);
        propose(hook);
    }
    return r;
}
