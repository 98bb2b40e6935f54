#include <assert.h>
#include <xxhash.h>

#include "base/clock.h"
#include "rest/state.h"

/* Of the workers' queue, for all loops together: others have long requests too.
 */
enum { WORKING_MOST = 16 };

/* ---- groups ---- */

void rest_park_init(struct rest_park *park)
{
    *park = (struct rest_park){.seed = chance_u64()};
    rest_ring_init(&park->answered);
    rest_ring_init(&park->ready);
    rest_ring_init(&park->workless);
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
        !rest_ring_is_empty(&group->due) || group->runner != NULL) {
        return;
    }
    unlink_it(group);
    rest_ring_remove(&group->line);
    HASH_DEL(group->loop->park.groups, group);
    (void)mem_free(group->text);
    (void)mem_free(group);
}

void rest_group_line_up(struct rest_group *group)
{
    if (group->line.next == NULL && group->runner == NULL) {
        rest_ring_add(&group->loop->park.ready, &group->line);
    }
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

static struct rest_judged *first_of(const struct rest_ring *ring)
{
    return &CONTAINER(ring->next, struct rest_waiter, ring)->judged;
}

/* What they may not see is no news: all of them see the same. Whose access has
 * changed meanwhile is answered for that. */
static bool is_seen(const struct rest_group *group, const struct event *event)
{
    return !group->loop->guarded || rest_ring_is_empty(&group->waiting) ||
           registry_sees(first_of(&group->waiting)->who, event) != SIGHT_NONE;
}

static void tell(struct watch_link *link, struct watch_event *event)
{
    struct rest_group *group = CONTAINER(link, struct rest_group, link);

    if (event == NULL ||
        (concerns(group, &event->event) && is_seen(group, &event->event))) {
        rest_group_note(group, event == NULL ? REST_MAYBE : REST_NEWS);
    }
}

/* ---- answers ---- */

/* Those who are taken get it, each when it is his turn. */
static void give(struct rest_group *group, struct rest_shared *shared)
{
    struct rest_park *park = &group->loop->park;

    for (struct rest_ring *at = group->taken.next; at != &group->taken;
         at = at->next) {
        struct rest_waiter *waiter = CONTAINER(at, struct rest_waiter, ring);
        rest_dues_remove(&park->dues, &waiter->due);
        rest_judge_remove(group->loop, &waiter->judged);
        waiter->group = NULL;
        waiter->answer = rest_shared_ref(shared);
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

/* Somebody's access has changed, perhaps before what was read here: they are
 * looked up first. */
static void begin_again(struct rest_group *group)
{
    if (group->ends) {
        rest_ring_move(&group->due, &group->taken);
    } else {
        rest_ring_move(&group->waiting, &group->taken);
        group->news = REST_MAYBE;
    }
    rest_request_release(group->runner);
    settle(group);
}

static bool is_overtaken(const struct rest_group *group)
{
    const struct rest_loop *loop = group->loop;

    return loop->guarded &&
           group->runner->mark != registry_access_mark(loop->rest->registry);
}

static void answer(struct rest_group *group)
{
    if (is_overtaken(group)) { /* [PARK-3] */
        begin_again(group);
        return;
    }
    struct rest_shared *shared = rest_shared_pending();

    shared->no_body = group->runner->head;
    group->runner->made = shared;
    (void)rest_answer_op(group->runner);
    rest_count(&group->loop->counts.renderings, 1);
    give(group, shared);
    rest_shared_unref(shared);
    rest_request_release(group->runner);
    settle(group);
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

static void park(struct rest_group *group)
{
    struct rest_loop *loop = group->loop;
    uint64_t from = group->runner->op.answer.watch->from;

    keep_spec(group, group->runner->op.answer.watch);
    rest_request_release(group->runner);
    rest_ring_move(loop->closing ? &group->due : &group->waiting,
                   &group->taken);
    group->linked = !rest_ring_is_empty(&group->waiting) &&
                    watch_table_add(loop->watching, &group->link, from) == 0;
    settle(group);
}

static enum op_step run_here(struct rest_request *runner)
{
    runner->opened = true;
    return registry_run(runner->loop->rest->registry, &runner->op,
                        runner->loop->reader);
}

static void suspend(struct rest_group *group)
{
    group->runner->stage = REST_SUSPENDED;
    group->runner->woken_stage = REST_RUNNING;
    rest_count(&group->loop->counts.suspended, 1);
}

/* As much as is to be done now. */
static void step_on(struct rest_group *group, enum op_step step)
{
    switch (step) {
    case OP_WAIT:
        suspend(group);
        return;
    case OP_WORK:
        rest_ring_add(&group->loop->park.workless, &group->line);
        return;
    case OP_PARK:
        park(group);
        return;
    case OP_DONE:
        answer(group);
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
    struct rest_group *group = runner->group;

    group->loop->park.n_working -= group->works;
    group->works = false;
    step_on(group, runner->parks      ? OP_PARK
                   : runner->finished ? OP_DONE
                                      : run_here(runner));
}

/* Nobody waits for it any more. */
static void give_up(struct rest_group *group)
{
    rest_request_release(group->runner);
    settle(group);
}

static bool may_hire(const struct rest_loop *loop)
{
    unsigned n_loops = loop->rest->n_loops;
    unsigned share = n_loops < WORKING_MOST ? WORKING_MOST / n_loops : 1;

    return loop->park.n_working < share;
}

void rest_group_hire(struct rest_park *park)
{
    while (!rest_ring_is_empty(&park->workless)) {
        struct rest_group *group =
            CONTAINER(park->workless.next, struct rest_group, line);
        bool wanted = !rest_ring_is_empty(&group->taken);
        if (wanted && (!may_hire(group->loop) ||
                       !rest_workers_push(group->loop->rest, group->runner))) {
            return;
        }
        rest_ring_remove(&group->line);
        if (!wanted) {
            give_up(group);
            continue;
        }
        group->works = true;
        park->n_working++;
        suspend(group);
    }
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
    group->runner = rest_asked_again(group->loop, group->key);
    group->runner->group = group;
    rest_asked_as(group->runner,
                  CONTAINER(group->taken.next, struct rest_waiter, ring));
    group->runner->op.expired = group->ends;
    group->runner->op.woken = woken;
    rest_count(&group->loop->counts.looks, 1);
    step_on(group, run_here(group->runner));
}

void rest_group_run(struct rest_park *park)
{
    struct rest_group *group =
        CONTAINER(park->ready.next, struct rest_group, line);

    rest_ring_remove(&group->line);
    run(group);
}
