#include <assert.h>
#include <xxhash.h>

#include "base/clock.h"
#include "rest/state.h"

/* ---- what they asked ---- */

enum { KEY_HEAD = 1, KEY_GZIP = 2, NOT_GIVEN = UINT32_MAX };

static void add_part(struct buf *key, struct str part)
{
    buf_add_le(key, part.p == NULL ? NOT_GIVEN : part.n, 4);
    buf_add_str(key, part.p == NULL ? STR("") : part);
}

static struct str take_part(const char **at)
{
    size_t n = le_get(*at, 4);
    struct str part = {*at + 4, n};

    *at += 4;
    if (n == NOT_GIVEN) {
        return STR_NONE;
    }
    *at += n;
    return part;
}

struct str rest_group_key(struct rest_request *request)
{
    const struct op *op = &request->op;
    struct buf key = {0};

    buf_add_le(&key,
               (request->head ? KEY_HEAD : 0U) | (op->gzip ? KEY_GZIP : 0U), 1);
    buf_add_le(&key, op->if_.min_revision, 8);
    add_part(&key, request->target);
    add_part(&key, op->if_.if_match);
    add_part(&key, op->if_.if_none_match);
    add_part(&key, op->if_.idempotency_key);
    return arena_take(request->arena, &key);
}

/* The request that was asked, again. Lends out of the key. */
static struct rest_request *ask_again(struct rest_group *group)
{
    struct rest_request *request = rest_request_new(group->loop);
    const char *at = group->key;

    request->loop = group->loop;
    request->group = group;
    request->stage = REST_RUNNING;
    request->method = REST_GET;
    request->op.method = STR("GET");
    request->head = ((unsigned char)*at & KEY_HEAD) != 0;
    bool gzip = ((unsigned char)*at & KEY_GZIP) != 0;
    uint64_t min_revision = le_get(at + 1, 8);
    at += 9;
    request->target = take_part(&at);
    rest_request_read_target(request);
    request->op.gzip = gzip;
    request->op.if_.min_revision = min_revision;
    request->op.if_.if_match = take_part(&at);
    request->op.if_.if_none_match = take_part(&at);
    request->op.if_.idempotency_key = take_part(&at);
    assert(request->problem.status == 0); /* it was none the first time */
    return request;
}

/* ---- groups ---- */

void rest_park_init(struct rest_park *park)
{
    *park = (struct rest_park){.seed = chance_u64()};
    rest_ring_init(&park->answered);
}

void rest_park_done(struct rest_park *park)
{
    assert(park->groups == NULL && park->n == 0);
    rest_dues_done(&park->dues);
}

static unsigned hash_of(const struct rest_park *park, struct str key)
{
    return (unsigned)XXH3_64bits_withSeed(key.p, key.n, park->seed);
}

struct rest_group *rest_group_find(struct rest_park *park, struct str key)
{
    struct rest_group *group = NULL;

    HASH_FIND_BYHASHVALUE(hh, park->groups, key.p, key.n, hash_of(park, key),
                          group);
    return group;
}

static void tell(struct watch_link *link, struct watch_event *event);

struct rest_group *rest_group_new(struct rest_loop *loop, struct str key)
{
    struct rest_group *group = mem_zero(sizeof *group + key.n);

    group->loop = loop;
    group->link.tell = tell;
    rest_ring_init(&group->waiting);
    rest_ring_init(&group->due);
    rest_ring_init(&group->taken);
    group->n = key.n;
    memcpy(group->key, key.p, key.n);
    HASH_ADD_BYHASHVALUE(hh, loop->park.groups, key, group->n,
                         hash_of(&loop->park, key), group);
    return group;
}

static void unlink_it(struct rest_group *group)
{
    if (group->linked) {
        watch_table_remove(group->loop->watching, &group->link);
        group->linked = false;
    }
}

void rest_group_leave(struct rest_group *group)
{
    if (!rest_ring_is_empty(&group->waiting) ||
        !rest_ring_is_empty(&group->due) || group->runner != NULL ||
        group->ready) {
        return;
    }
    unlink_it(group);
    HASH_DEL(group->loop->park.groups, group);
    (void)mem_free(group->text);
    (void)mem_free(group);
}

void rest_group_line_up(struct rest_group *group)
{
    struct rest_park *park = &group->loop->park;

    if (group->ready || group->runner != NULL) {
        return;
    }
    group->ready = true;
    group->next_ready = NULL;
    if (park->first_ready == NULL) {
        park->first_ready = group;
    } else {
        park->last_ready->next_ready = group;
    }
    park->last_ready = group;
}

void rest_group_note(struct rest_group *group, enum rest_news news)
{
    if (group->news != REST_MAYBE) {
        group->news = news;
    }
    rest_group_line_up(group);
}

/* What concerns the list is what is in its namespace, or happens to one around
 * it. */
static bool concerns(const struct rest_group *group, const struct event *event)
{
    size_t n = group->link.spec.ns.n;

    return !group->exact || event->ns.n <= n ||
           (event->old.n > 0 && event->old.n <= n);
}

static void tell(struct watch_link *link, struct watch_event *event)
{
    struct rest_group *group = CONTAINER(link, struct rest_group, link);

    if (event == NULL || concerns(group, &event->event)) {
        rest_group_note(group, event == NULL ? REST_MAYBE : REST_NEWS);
    }
}

/* ---- answers ---- */

void rest_shared_unref(struct rest_shared *shared)
{
    if (--shared->users == 0) {
        if (shared->reply.response != NULL) {
            MHD_destroy_response(shared->reply.response);
        }
        (void)mem_free(shared);
    }
}

void rest_group_answer(struct rest_request *runner, unsigned status,
                       struct MHD_Response *response)
{
    runner->group->made->reply = (struct rest_reply){
        response, runner->route, status, runner->answer_bytes};
}

/* Those who are taken get it, each when it is his turn. */
static void give(struct rest_group *group, struct rest_shared *shared)
{
    struct rest_park *park = &group->loop->park;

    for (struct rest_ring *at = group->taken.next; at != &group->taken;
         at = at->next) {
        struct rest_waiter *waiter = CONTAINER(at, struct rest_waiter, ring);
        rest_dues_remove(&park->dues, &waiter->due);
        waiter->group = NULL;
        waiter->answer = shared;
        shared->users++;
    }
    rest_ring_move(&park->answered, &group->taken);
}

/* ---- running ---- */

/* What is to be done next is done when it is its turn again. */
static void settle(struct rest_group *group)
{
    group->runner = NULL;
    if (!rest_ring_is_empty(&group->waiting) && !group->linked) {
        group->news = REST_MAYBE; /* [PARK-2] */
    }
    if (group->news != REST_NO_NEWS || !rest_ring_is_empty(&group->due)) {
        rest_group_line_up(group);
    }
    rest_group_leave(group);
}

static void answer(struct rest_group *group,
                   enum MHD_Result (*render)(struct rest_request *runner))
{
    struct rest_shared *shared = mem_zero(sizeof *shared);

    shared->users = 1;
    shared->head = group->runner->head;
    group->made = shared;
    (void)render(group->runner);
    group->made = NULL;
    rest_count(&group->loop->counts.renderings, 1);
    give(group, shared);
    rest_shared_unref(shared);
    rest_request_release(group->runner);
    settle(group);
}

static enum MHD_Result render_busy(struct rest_request *runner)
{
    rest_request_busy(runner);
    return rest_answer_problem(runner, &runner->problem);
}

/* A copy: the op's memory goes. All that ask the same wait for the same. */
static void keep_spec(struct rest_group *group, const struct op_watch *watch)
{
    struct watch_spec *spec = &group->link.spec;
    struct str *parts[] = {&spec->ns, &spec->type, &spec->k, &spec->v};
    size_t n = 1;

    if (group->text != NULL) {
        return;
    }
    *spec = watch->spec;
    group->exact = watch->exact;
    for (size_t i = 0; i < 4; i++) {
        n += parts[i]->n;
    }
    char *at = group->text = mem_alloc(n);
    for (size_t i = 0; i < 4; i++) {
        if (parts[i]->p != NULL) {
            memcpy(at, parts[i]->p, parts[i]->n);
            parts[i]->p = at;
            at += parts[i]->n;
        }
    }
}

/* A snapshot sees a commit a moment before it is published: what comes behind
 * that is told, and looked at once more. */
static uint64_t known_upto(const struct rest_group *group)
{
    uint64_t from = group->runner->op.answer.watch->from;
    uint64_t published = watch_hub_revision(group->loop->rest->hub);

    return from < published ? from : published;
}

static void park(struct rest_group *group)
{
    struct rest_loop *loop = group->loop;
    uint64_t from = known_upto(group);

    keep_spec(group, group->runner->op.answer.watch);
    rest_request_release(group->runner);
    rest_ring_move(loop->closing ? &group->due : &group->waiting,
                   &group->taken);
    group->linked = !rest_ring_is_empty(&group->waiting) &&
                    watch_table_add(loop->watching, &group->link, from) == 0;
    settle(group);
}

static enum op_step run_here(struct rest_request *runner, bool no_worker)
{
    runner->opened = true;
    runner->op.no_worker = no_worker;
    return registry_run(runner->loop->rest->registry, &runner->op,
                        runner->loop->reader);
}

/* As much as is to be done now. */
static void step_on(struct rest_group *group, enum op_step step)
{
    struct rest_request *runner = group->runner;

    if (step == OP_WORK) {
        step = rest_workers_push(group->loop->rest, runner)
                   ? OP_WAIT
                   : run_here(runner, true);
    }
    switch (step) {
    case OP_WAIT:
        runner->stage = REST_SUSPENDED;
        runner->woken_stage = REST_RUNNING;
        rest_count(&group->loop->counts.suspended, 1);
        return;
    case OP_PARK:
        park(group);
        return;
    case OP_DONE:
        answer(group, rest_answer_op);
        return;
    case OP_WORK:
        answer(group, render_busy);
        return;
    }
}

void rest_group_go_on(struct rest_group *group, struct rest_request *runner,
                      enum op_step step)
{
    group->runner = runner;
    runner->group = group;
    step_on(group, step);
}

void rest_group_woken(struct rest_request *runner)
{
    enum op_step step = runner->parks      ? OP_PARK
                        : runner->finished ? OP_DONE
                                           : run_here(runner, false);
    step_on(runner->group, step);
}

/* [PARK-1] Who waits now is taken. Whether there is news comes first: it is an
 * answer for all. */
static bool take(struct rest_group *group, bool *ret_woken)
{
    bool looks =
        group->news != REST_NO_NEWS && !rest_ring_is_empty(&group->waiting);

    *ret_woken = looks && group->news == REST_NEWS;
    if (looks) {
        group->news = REST_NO_NEWS;
        unlink_it(group);
        rest_ring_move(&group->taken, &group->waiting);
    } else {
        rest_ring_move(&group->taken, &group->due);
    }
    group->ends = !looks;
    return !rest_ring_is_empty(&group->taken);
}

static void run(struct rest_group *group)
{
    bool woken = false;

    if (!take(group, &woken)) {
        rest_group_leave(group);
        return;
    }
    group->runner = ask_again(group);
    group->runner->op.expired = group->ends;
    group->runner->op.woken = woken;
    rest_count(&group->loop->counts.looks, 1);
    step_on(group, run_here(group->runner, false));
}

void rest_group_run(struct rest_park *park)
{
    struct rest_group *group = park->first_ready;

    park->first_ready = group->next_ready;
    group->ready = false;
    run(group);
}
