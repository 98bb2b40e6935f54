/* What the core loop's time goes to: a turn is cut into steps, and the longest
 * of each kind is known, so that a long turn can be traced to its cause.
 *
 * A turn is what lies between two sleeps; the sleep itself is no part of it. At
 * each moment one step is on: who enters another one goes back to the one
 * before when it is done.
 *
 * Wall time says how long everybody waited, processor time whose fault it was:
 * a long turn that needed little was held up by the disk or by other programs.
 * To ask for the processor's clock costs a call of the kernel, so it is asked
 * once a millisecond: a turn's figures may be too large by that.
 *
 * Thread: core; what is told (steps_read) any. */
#ifndef RAFT_STEPS_H
#define RAFT_STEPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "raft/core.h"

/* What keeps everybody waiting. */
enum { LONG_TURN_US = 20000 };

struct steps {
    enum core_step now;
    uint64_t since_us;         /* `now` is on */
    uint64_t slept_us;         /* all in all, up to the begin of this turn */
    uint64_t turn[CORE_STEPS]; /* time of this turn */
    struct clock_spent spent;  /* up to when that was asked last */
    uint64_t asked_us;
    uint64_t logged_us;
    const char *about; /* the longest entry applied in this turn */
    uint64_t about_us, about_n;
    struct {
        _Atomic uint64_t sum_us, max_us, n_long;
    } told[CORE_STEPS];
    _Atomic uint64_t cpu_max_us, n_cpu_long;
};

/* A turn that is over. */
struct turn {
    uint64_t us;
    struct clock_spent spent; /* in it, and up to a millisecond before it */
    enum core_step most;      /* the step that took most of it */
    uint64_t most_us;
};

/* Whatever was noted before, at the start, is no turn. */
void steps_init(struct steps *steps, uint64_t now_us,
                const struct clock_spent *spent);
/* Gives the step before, for steps_enter when this one is done. */
enum core_step steps_enter(struct steps *steps, enum core_step step,
                           uint64_t now_us);
/* An entry was applied: the longest of a turn is told with it, until there is a
 * next one. */
void steps_about(struct steps *steps, const char *what, uint64_t n,
                 uint64_t us);
void steps_about_none(struct steps *steps);
/* Whether steps_end wants to know what the thread has spent. */
bool steps_want_spent(const struct steps *steps, uint64_t now_us);
/* How long that step was on in this turn, up to when it was last left. */
uint64_t steps_of_turn(const struct steps *steps, enum core_step step);
/* The end of a turn; `slept_us`: of all turns. `spent`: by this thread, NULL:
 * was not asked. */
struct turn steps_end(struct steps *steps, uint64_t now_us, uint64_t slept_us,
                      const struct clock_spent *spent);
void steps_read(const struct steps *steps, struct core_stats *io_stats);

#endif
