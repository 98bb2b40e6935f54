#include "rest/judge.h"

#include <assert.h>

#include "base/err.h"
#include "base/log.h"
#include "rest/state.h"

/* A clock that was set is noticed after that long. */
enum { TURN_LOOKS = 256, LOOK_MS = 60000 };

void rest_judge_init(struct rest_judge *judge, uint64_t mark)
{
    *judge = (struct rest_judge){.mark = mark};
    rest_ring_init(&judge->all);
}

void rest_judge_done(struct rest_judge *judge)
{
    rest_ring_remove(&judge->end);
    rest_dues_done(&judge->dues);
}

static void set_due(struct rest_loop *loop, struct rest_judged *judged)
{
    uint64_t ends_ms = judged->who->expires_ms;
    uint64_t left_ms = ends_ms > loop->wall_ms ? ends_ms - loop->wall_ms : 0;

    rest_dues_remove(&loop->judge.dues, &judged->due);
    if (ends_ms != 0) {
        rest_dues_add(&loop->judge.dues, &judged->due,
                      loop->now_ms + (left_ms < LOOK_MS ? left_ms : LOOK_MS));
    }
}

void rest_judge_add(struct rest_loop *loop, struct rest_judged *judged,
                    struct access_who *who, uint64_t mark)
{
    struct rest_judge *judge = &loop->judge;

    judged->mark = mark;
    judged->who = access_ref(who);
    if (!loop->guarded) {
        return;
    }
    rest_ring_add(&judge->all, &judged->ring);
    set_due(loop, judged);
    if (mark != registry_access_mark(loop->rest->registry)) {
        rest_ring_remove(&judge->end); /* a round that is without him */
        judge->mark = REST_NO_MARK;
    }
}

void rest_judge_remove(struct rest_loop *loop, struct rest_judged *judged)
{
    rest_ring_remove(&judged->ring);
    rest_dues_remove(&loop->judge.dues, &judged->due);
    judged->who = access_unref(judged->who);
}

/* ---- looking ---- */

/* Who cannot be looked up is nobody. */
static struct access_who *look_up(struct rest_loop *loop,
                                  const struct rest_judged *judged)
{
    struct access_who *who = NULL;
    int r = rest_who_again(loop, judged->who, &who);

    if (r != 0) {
        log_error(LOG_HTTP, "who waits could not be looked up",
                  LOG_TXT("why", err_text(r)), LOG_TXT("at", err_origin()));
        return access_anonymous();
    }
    return who;
}

static bool is_later(const struct rest_loop *loop, const struct access_who *who)
{
    return !registry_who_is_newest(loop->rest->registry, who);
}

bool rest_judge_stands(const struct rest_loop *loop,
                       const struct rest_judged *judged)
{
    uint64_t ends_ms = judged->who->expires_ms;

    return !loop->guarded ||
           (judged->mark == registry_access_mark(loop->rest->registry) &&
            (ends_ms == 0 || loop->wall_ms < ends_ms));
}

enum rest_verdict rest_judge_one(struct rest_loop *loop,
                                 struct rest_judged *judged)
{
    if (rest_judge_stands(loop, judged)) {
        return REST_STANDS;
    }
    uint64_t mark = registry_access_mark(loop->rest->registry);
    struct access_who *who = look_up(loop, judged);
    if (is_later(loop, who)) {
        (void)access_unref(who);
        return REST_LATER;
    }
    bool same = memcmp(who->view, judged->who->view, sizeof who->view) == 0;
    (void)access_unref(judged->who);
    judged->who = who;
    judged->mark = rest_who_mark(loop, who, mark);
    set_due(loop, judged);
    if (same) {
        return REST_STANDS;
    }
    judged->func(judged);
    return REST_OTHER;
}

/* ---- turns ---- */

static void look_at_due(struct rest_loop *loop)
{
    struct rest_dues *dues = &loop->judge.dues;
    struct rest_due *due = NULL;

    while ((due = rest_dues_first(dues)) != NULL &&
           due->at_ms <= loop->now_ms) {
        struct rest_judged *judged = CONTAINER(due, struct rest_judged, due);
        enum rest_verdict verdict = rest_judge_one(loop, judged);
        if (verdict == REST_LATER) {
            return;
        }
        if (verdict == REST_STANDS && due->at_ms <= loop->now_ms) {
            set_due(loop, judged);
        }
    }
}

/* Those who come meanwhile were looked up when they came, or will be before
 * they are told anything. */
static void begin_round(struct rest_judge *judge, uint64_t mark)
{
    judge->round = mark;
    rest_ring_remove(&judge->end);
    rest_ring_add(&judge->all, &judge->end);
}

static bool go_on(struct rest_loop *loop)
{
    struct rest_judge *judge = &loop->judge;

    for (int i = 0; i < TURN_LOOKS && judge->all.next != &judge->end; i++) {
        struct rest_ring *ring = judge->all.next;
        rest_ring_remove(ring);
        rest_ring_add(&judge->all, ring);
        if (rest_judge_one(loop, CONTAINER(ring, struct rest_judged, ring)) ==
            REST_LATER) {
            rest_ring_remove(&judge->end); /* from the first on again */
            return false;
        }
    }
    return judge->all.next == &judge->end;
}

bool rest_judge_turn(struct rest_loop *loop)
{
    struct rest_judge *judge = &loop->judge;

    if (!loop->guarded) {
        return true;
    }
    look_at_due(loop);
    uint64_t mark = registry_access_mark(loop->rest->registry);
    if (judge->mark == mark) {
        return true;
    }
    if (judge->end.next == NULL || judge->round != mark) {
        begin_round(judge, mark);
    }
    if (!go_on(loop)) {
        return false;
    }
    rest_ring_remove(&judge->end);
    judge->mark = judge->round;
    return rest_judge_is_done(loop);
}

bool rest_judge_is_done(const struct rest_loop *loop)
{
    return !loop->guarded ||
           loop->judge.mark == registry_access_mark(loop->rest->registry);
}

uint64_t rest_judge_next(const struct rest_loop *loop, uint64_t now_ms)
{
    const struct rest_due *due = rest_dues_first(&loop->judge.dues);

    if (due == NULL) {
        return UINT64_MAX;
    }
    return due->at_ms > now_ms ? due->at_ms - now_ms : 0;
}
