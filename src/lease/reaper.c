#include "lease/reaper.h"

#include "base/clock.h"
#include "base/log.h"

enum { BATCH = 500 }; /* some ten milliseconds of applying */

struct reaper {
    struct lease_table *leases;
    struct core *core;
    struct core_request request;
    struct arena *arena;
    struct buf bytes;
    struct command_lease_item items[BATCH];
    size_t n;
    uint64_t epoch;
    uint64_t ticked_ms;
    bool busy;                  /* `request` is out */
    struct core_request change; /* of the breaker */
    struct buf change_bytes;
    struct lease_breaker_change told; /* what `change` says */
    bool changing;                    /* `change` is out */
    bool sure; /* no tick was missed since a quorum was heard */
    reaper_instead_func *instead; /* NULL: nobody is asked */
    void *instead_user;
    lease_act_func *act; /* NULL: nobody is told */
    void *act_user;
};

static void due(struct str hostname, struct ulid id, void *user)
{
    struct reaper *reaper = user;

    if (reaper->instead != NULL &&
        reaper->instead(reaper->instead_user, hostname, id)) {
        return;
    }
    reaper->items[reaper->n++] = (struct command_lease_item){
        .hostname = arena_str(reaper->arena, hostname), .lease = id};
}

static void send(struct reaper *reaper, struct core_request request)
{
    reaper->request = request;
    reaper->request.shrinks = true;
    reaper->request.local = true;
    reaper->busy = true;
    core_submit(reaper->core, &reaper->request);
}

static void confirmed(struct core_request *request)
{
    struct reaper *reaper = CONTAINER(request, struct reaper, request);

    reaper->busy = false;
    reaper->sure = request->outcome == 0;
}

/* All that were proposed: those that lived on had registered meanwhile. */
static void tell_expired(struct reaper *reaper,
                         const struct machine_result *result)
{
    struct buf about = {0};

    if (reaper->act == NULL) {
        return;
    }
    buf_printf(&about, "n=%llu of", (unsigned long long)result->n);
    for (size_t i = 0; i < reaper->n; i++) {
        buf_add_char(&about, ' ');
        buf_add_str(&about, reaper->items[i].hostname);
    }
    reaper->act(reaper->act_user, "expire", buf_str(&about), 0,
                result->revision);
    buf_done(&about);
}

/* Those that are gone are not in the table any more; the others live on. */
static void decided(struct core_request *request)
{
    struct reaper *reaper = CONTAINER(request, struct reaper, request);
    bool full = reaper->n == BATCH;

    for (size_t i = 0; i < reaper->n; i++) {
        lease_spare(reaper->leases, reaper->items[i].hostname,
                    reaper->items[i].lease);
    }
    if (request->outcome == 0 && request->result.n > 0) {
        log_info(LOG_LEASE, "leases expired",
                 LOG_U64("count", request->result.n),
                 LOG_STR("first", reaper->items[0].hostname));
        tell_expired(reaper, &request->result);
    }
    bool more = full && request->outcome == 0 && request->result.answer == 0;
    machine_result_done(&request->result);
    reaper->busy = false;
    if (more) {
        reaper_tick(reaper);
    }
}

static struct str write_command(struct reaper *reaper)
{
    struct command command = {.kind = COMMAND_EXPIRE};

    /* Not the core's of this moment: that may be another leader's already. */
    command.expire.epoch = reaper->epoch;
    command.expire.leases = reaper->items;
    command.expire.n_leases = reaper->n;
    buf_clear(&reaper->bytes);
    command_encode(&reaper->bytes, &command);
    return buf_str(&reaper->bytes);
}

/* Who registered while it waited is not ended. [LEASE-4] */
static bool prepare(struct core_request *request)
{
    struct reaper *reaper = CONTAINER(request, struct reaper, request);
    size_t n = 0;

    for (size_t i = 0; i < reaper->n; i++) {
        struct command_lease_item item = reaper->items[i];
        if (lease_still_due(reaper->leases, item.hostname, item.lease)) {
            reaper->items[n++] = item;
        }
    }
    if (n < reaper->n) {
        reaper->n = n;
        request->command = write_command(reaper);
    }
    return n > 0;
}

static void propose(struct reaper *reaper)
{
    send(reaper, (struct core_request){.command = write_command(reaper),
                                       .prepare = prepare,
                                       .done = decided});
}

struct reaper *reaper_new(struct lease_table *leases, struct core *core)
{
    struct reaper *reaper = mem_zero(sizeof *reaper);

    reaper->leases = leases;
    reaper->core = core;
    reaper->arena = arena_new();
    return reaper;
}

struct reaper *reaper_free(struct reaper *reaper)
{
    if (reaper == NULL) {
        return NULL;
    }
    arena_free(reaper->arena);
    buf_done(&reaper->bytes);
    buf_done(&reaper->change_bytes);
    return mem_free(reaper);
}

void reaper_ask_first(struct reaper *reaper, reaper_instead_func *instead,
                      void *user)
{
    reaper->instead = instead;
    reaper->instead_user = user;
}

void reaper_tell(struct reaper *reaper, lease_act_func *act, void *user)
{
    reaper->act = act;
    reaper->act_user = user;
}

void reaper_begin(struct reaper *reaper)
{
    reaper->epoch = core_status(reaper->core).lease_epoch;
    reaper->ticked_ms = clock_mono_ms();
    reaper->sure = true;
}

static void tell_breaker(struct reaper *reaper);

static void tell_changed(struct reaper *reaper, uint64_t revision)
{
    static const char *const acts[] = {
        [BREAKER_TRIP] = "breaker trip",
        [BREAKER_RELEASE] = "breaker release",
        [BREAKER_EXTEND] = "breaker extend",
        [BREAKER_END_HOLD] = "breaker end hold",
        [BREAKER_CLOSE] = "breaker close",
    };
    const struct lease_breaker_change *told = &reaper->told;
    struct buf about = {0};

    if (reaper->act == NULL) {
        return;
    }
    buf_printf(&about, "%sn=%llu silent=%llu",
               told->scope == 0 ? "the whole registry " : "",
               (unsigned long long)told->n, (unsigned long long)told->bad);
    reaper->act(reaper->act_user, acts[told->what], buf_str(&about),
                told->scope, revision);
    buf_done(&about);
}

/* What came to nothing is told again at the next tick. */
static void changed(struct core_request *request)
{
    struct reaper *reaper = CONTAINER(request, struct reaper, change);

    bool more = request->outcome == 0 && request->result.answer == 0;
    if (more) {
        tell_changed(reaper, request->result.revision);
    }
    machine_result_done(&request->result);
    reaper->changing = false;
    if (more) {
        tell_breaker(reaper);
    }
}

/* What the breaker does is in force already: this is for whoever leads next,
 * and for those who look. */
static void tell_breaker(struct reaper *reaper)
{
    struct command command = {.kind = COMMAND_BREAKER};
    struct lease_breaker_change change = {.scope = 0};

    if (reaper->changing ||
        core_feature_level(reaper->core) < MACHINE_FEATURE_CHANGES ||
        lease_table_change(reaper->leases, &change) != 0) {
        return;
    }
    command.breaker = (struct command_breaker){.epoch = reaper->epoch,
                                               .scope = change.scope,
                                               .what = (uint8_t)change.what,
                                               .hold_ms = change.hold_ms,
                                               .n = change.n,
                                               .bad = change.bad};
    reaper->told = change;
    buf_clear(&reaper->change_bytes);
    command_encode(&reaper->change_bytes, &command);
    reaper->change =
        (struct core_request){.command = buf_str(&reaper->change_bytes),
                              .shrinks = true,
                              .local = true,
                              .done = changed};
    reaper->changing = true;
    core_submit(reaper->core, &reaper->change);
}

/* Who stood still for so long may have been replaced meanwhile. */
static void note_tick(struct reaper *reaper)
{
    uint64_t now = clock_mono_ms();

    reaper->sure = reaper->sure && now - reaper->ticked_ms <= LEASE_STALL_MS;
    reaper->ticked_ms = now;
    if (!reaper->sure && !reaper->busy) {
        send(reaper, (struct core_request){.done = confirmed});
    }
}

void reaper_tick(struct reaper *reaper)
{
    note_tick(reaper);
    /* The clock has to move also while nobody may be ended. */
    size_t limit = reaper->busy || !reaper->sure ? 0 : BATCH;

    if (!reaper->busy) {
        arena_reset(reaper->arena);
        reaper->n = 0;
    }
    (void)lease_tick(reaper->leases, clock_mono_ms(), limit, due, reaper);
    if (!reaper->busy && reaper->n > 0) {
        propose(reaper);
    }
    tell_breaker(reaper);
}
