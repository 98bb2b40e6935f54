#include "kit.h"

#include <stdlib.h>
#include <string.h>

/* ---- the core's place ---- */

static int carry_out(struct core *core, struct str bytes,
                     struct machine_result *result)
{
    struct buf pack = {0};

    command_pack_begin(&pack, 1000000 + core->index, core->index);
    command_pack_add(&pack, bytes);
    command_pack_end(&pack);
    int r = machine_apply(core->machine, ++core->index, buf_str(&pack), result);
    assert_int_equal(r, 0);
    assert_int_equal(machine_commit(core->machine), 0);
    buf_done(&pack);
    core->status.revision = machine_view(core->machine).revision;
    core->status.applied = core->index;
    return result->answer;
}

/* The machine's part of it is the raft room's to test. */
static void restore(struct core *core, struct str bytes,
                    struct machine_result *result)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    struct command command;

    assert_int_equal(command_decode(arena, bytes, &command), 0);
    if (core->moves > 0) {
        core->moves--;
        core->status.revision = command.restore.revision;
        result->answer = ERR_RETRY;
        return;
    }
    assert_true(command.restore.revision > core->status.revision);
    core->restored_to = command.restore.revision;
    core->status.revision = command.restore.revision;
    *result = (struct machine_result){.changed = true,
                                      .revision = command.restore.revision};
}

void core_submit(struct core *core, struct core_request *request)
{
    bool fence = request->command.n == 0;

    core->fences += fence;
    core->submits += !fence;
    if (fence && core->at_fence != NULL) {
        core->at_fence(core->user);
    }
    if (fence && core->holds_fences) {
        assert_null(core->fence);
        core->fence = request;
        return;
    }
    request->outcome =
        !fence && core->refuses != 0 ? core->refuses : core->outcome;
    if (!fence && request->outcome == 0) {
        if (core->before != NULL) {
            core->before(core->user);
        }
        if (command_is(request->command, COMMAND_RESTORE)) {
            restore(core, request->command, &request->result);
        } else {
            (void)carry_out(core, request->command, &request->result);
        }
    }
    request->done(request);
}

void kit_end_fence(struct core *core, int outcome)
{
    struct core_request *fence = core->fence;

    core->fence = NULL;
    fence->outcome = outcome;
    fence->done(fence);
}

/* ---- questions ---- */

void core_answer(struct core *core, struct core_asked *asked, uint32_t code,
                 struct str reply)
{
    struct core_ask *ask = CONTAINER(asked, struct kit_asked, asked)->ask;

    (void)core;
    ask->code = code;
    buf_add_str(&ask->reply, reply);
}

static void end_ask(struct core *core, struct core_ask *ask)
{
    struct kit_asked asked = {
        .asked = {.kind = ask->kind, .request = ask->request}, .ask = ask};

    if (core->code != 0 || core->says != NULL) {
        ask->code = core->code;
        buf_add_str(&ask->reply, str_of(core->says));
    } else if (core->leader != NULL) {
        registry_on_ask(core->leader, &asked.asked);
    } else {
        ask->outcome = ERR_NOT_READY;
    }
    ask->done(ask);
}

void core_ask(struct core *core, struct core_ask *ask)
{
    core->n_asks++;
    buf_clear(&core->asked);
    buf_add_str(&core->asked, ask->request);
    if (core->holds_asks) {
        core->asks[core->n_held++] = ask;
    } else {
        end_ask(core, ask);
    }
}

void kit_end_ask(struct core *core)
{
    struct core_ask *ask = core->asks[0];

    assert_true(core->n_held > 0);
    core->n_held--;
    memmove(core->asks, core->asks + 1,
            core->n_held * sizeof(struct core_ask *));
    end_ask(core, ask);
}

size_t core_members(const struct core *core,
                    struct core_member ret[CORE_MEMBERS_MOST])
{
    memcpy(ret, core->members, core->n_members * sizeof *ret);
    return core->n_members;
}

void core_cluster_id(const struct core *core, uint8_t ret[16])
{
    (void)core;
    memset(ret, 0xab, 16);
}

int core_leader(const struct core *core, struct core_member *ret_leader)
{
    for (size_t i = 0; i < core->n_members; i++) {
        if (core->members[i].raft_id == core->status.leader) {
            *ret_leader = core->members[i];
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

/* ---- work on the whole state ---- */

static void make_file(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs("a state", file) < 0, 0);
    assert_int_equal(fclose(file), 0);
}

static void end_job(struct core *core, struct core_state_job *job)
{
    job->outcome = core->job.outcome;
    job->info = core->job.info;
    job->n_rows = core->job.n_rows;
    job->n_ns = core->job.n_ns;
    job->n_leases = core->job.n_leases;
    memcpy(job->why, core->job.why, sizeof job->why);
    if (job->outcome == 0 && job->kind == CORE_STATE_EXPORT) {
        make_file(job->path);
    }
    job->done(job);
}

void core_state_job(struct core *core, struct core_state_job *job)
{
    core->jobs++;
    if (core->holds_jobs) {
        assert_null(core->held);
        core->held = job;
    } else {
        end_job(core, job);
    }
}

void kit_end_job(struct core *core)
{
    struct core_state_job *job = core->held;

    core->held = NULL;
    end_job(core, job);
}

void core_state_unstage(struct core *core, const char *file)
{
    assert_string_equal(file, core->job.info.file);
    core->unstaged++;
}

size_t core_snapshots(const struct core *core, struct core_snapshot *ret,
                      size_t most)
{
    (void)core;
    (void)most;
    *ret = (struct core_snapshot){"state-1", 7, 6, 5, 4000};
    return 1;
}

struct core_disk core_disk(const struct core *core)
{
    (void)core;
    return (struct core_disk){.free_bytes = 1000};
}

const char *core_spool_dir(const struct core *core)
{
    return core->dir;
}

void core_call(struct core *core, struct core_call *call)
{
    call->link.next = core->calls;
    core->calls = &call->link;
}

bool kit_turn(struct kit *k)
{
    struct queue_link *link = k->core.calls;

    k->core.calls = NULL;
    for (struct queue_link *next = NULL; link != NULL; link = next) {
        struct core_call *call = CONTAINER(link, struct core_call, link);
        next = link->next;
        call->func(call);
    }
    return k->core.calls != NULL;
}

struct core_status core_status(const struct core *core)
{
    return core->status;
}

uint64_t core_feature_level(const struct core *core)
{
    (void)core;
    return MACHINE_FEATURE_LEVEL;
}

uint64_t core_revision(const struct core *core)
{
    return core->status.revision;
}

uint64_t core_access_rev(const struct core *core)
{
    return machine_access_rev(core->machine);
}

struct core_stats core_stats(const struct core *core)
{
    (void)core;
    return (struct core_stats){.packs = 1, .commands = 2};
}

struct store *core_store(const struct core *core)
{
    return core->store;
}

const char *core_domain(const struct core *core)
{
    (void)core;
    return "roster";
}

/* ---- the kit ---- */

int kit_apply(struct core *core, struct command *command)
{
    struct machine_result result = {0};
    struct buf bytes = {0};

    command_encode(&bytes, command);
    int answer = carry_out(core, buf_str(&bytes), &result);
    machine_result_done(&result);
    buf_done(&bytes);
    return answer;
}

static void rename_web(struct core *core, struct str name)
{
    struct command command = {
        .kind = COMMAND_NS_CHANGE,
        .ns_change = {.id = STORE_POOL + 1, .what = NS_NAME, .name = name},
    };
    assert_int_equal(kit_apply(core, &command), 0);
}

void kit_shake_tree(struct core *core)
{
    rename_web(core, STR("elsewhere"));
    rename_web(core, STR("web"));
}

static void open_core(struct kit *k)
{
    struct core *core = &k->core;
    struct machine_hooks hooks = registry_machine_hooks(k->leases);
    struct command init = {
        .kind = COMMAND_INIT,
        .init = {.cluster = {1}, .domain = STR("roster"), .history_limit = 100},
    };

    (void)snprintf(core->dir, sizeof core->dir, "/tmp/roster-registry-XXXXXX");
    assert_non_null(mkdtemp(core->dir));
    struct store_config config = {.directory = core->dir,
                                  .limit_bytes = 64 << 20,
                                  .max_handles = 8,
                                  .max_readers = 16};
    assert_int_equal(store_open(&config, &core->store), 0);
    core->machine = machine_new(core->store, k->cache, &hooks);
    assert_int_equal(kit_apply(core, &init), 0);
    core->status.leads = core->status.caught_up = true;
    core->status.leader = 1;
    core->status.term = 3;
    core->members[0] = (struct core_member){.id = "n1",
                                            .raft_id = 1,
                                            .role = CORE_VOTER,
                                            .leads = true,
                                            .self = true,
                                            .http = "127.0.0.1:7070",
                                            .live = true,
                                            .state = "self"};
    core->n_members = 1;
}

struct kit *kit_new(void)
{
    struct kit *k = mem_zero(sizeof *k);

    k->cache = cache_new(1 << 20);
    k->leases = lease_table_new();
    k->arena = arena_new();
    open_core(k);
    k->registry = registry_new(&k->core, k->cache, k->leases);
    assert_int_equal(store_reader_new(k->core.store, &k->reader), 0);
    assert_int_equal(registry_load(k->registry), 0);
    registry_on_lead(k->registry, true);
    return k;
}

static void end_op(struct kit *k)
{
    registry_op_done(k->registry, &k->op);
    (void)cache_unref(k->op.answer.list);
    arena_reset(k->arena);
    k->op = (struct op){0};
}

void kit_free(struct kit *k)
{
    char command[128];

    end_op(k);
    (void)registry_free(k->registry);
    (void)kit_turn(k); /* As core_close does. */
    (void)machine_free(k->core.machine);
    (void)store_reader_free(k->reader);
    (void)store_close(k->core.store);
    (void)cache_free(k->cache);
    (void)lease_table_free(k->leases);
    (void)arena_free(k->arena);
    buf_done(&k->core.asked);
    (void)snprintf(command, sizeof command, "rm -r %s", k->core.dir);
    assert_int_equal(system(command), 0);
    (void)mem_free(k);
}

static void on_wake(struct op *op)
{
    struct kit *k = op->user;

    k->wakes++;
    k->waits = false;
}

struct op *kit_op(struct kit *k, enum op_kind kind, const char *ns,
                  const char *type, const char *id, const char *body)
{
    end_op(k);
    k->op = (struct op){
        .kind = kind,
        .arena = k->arena,
        .who = k->who,
        .method = STR("TEST"),
        .path = str_of(ns == NULL ? "/" : ns),
        .ns = str_of(ns),
        .type = str_of(type),
        .id = str_of(id),
        .body = str_of(body),
        .query = {.depth = UINT64_MAX, .max_stale_ms = UINT64_MAX},
        .wake = on_wake,
        .user = k,
    };
    return &k->op;
}

enum op_code kit_run(struct kit *k)
{
    enum op_step step;

    do {
        k->waits = true;
        step = registry_run(k->registry, &k->op, k->reader);
    } while (step == OP_WORK || (step == OP_WAIT && !k->waits));
    k->waits = step == OP_WAIT;
    return k->op.answer.code;
}

enum op_code kit_do(struct kit *k, enum op_kind kind, const char *ns,
                    const char *type, const char *id, const char *body)
{
    (void)kit_op(k, kind, ns, type, id, body);
    return kit_run(k);
}

bool kit_says(const struct kit *k, const char *text)
{
    struct str wanted = str_of(text);
    struct str places[] = {k->op.answer.body, k->op.answer.detail,
                           k->op.answer.extra};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i].n > 0 &&
            memmem(places[i].p, places[i].n, wanted.p, wanted.n) != NULL) {
            return true;
        }
    }
    print_message("not in: %.*s%.*s\n", STR_ARG(k->op.answer.body),
                  STR_ARG(k->op.answer.detail));
    return false;
}
