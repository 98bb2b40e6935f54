#include "raft/steps.h"

#include <string.h>

enum { ASK_US = 1000 };

static const char *const names[CORE_STEPS] = {
    [CORE_STEP_LOG] = "log",       [CORE_STEP_APPLY] = "apply",
    [CORE_STEP_COMMIT] = "commit", [CORE_STEP_ORDER] = "order",
    [CORE_STEP_TICK] = "tick",     [CORE_STEP_LEASES] = "leases",
    [CORE_STEP_STATE] = "state",   [CORE_STEP_PEERS] = "peers",
    [CORE_STEP_CALLS] = "calls",
};

const char *core_step_name(enum core_step step)
{
    return names[step];
}

static uint64_t get(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* There is one writer. */
static void set(_Atomic uint64_t *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_relaxed);
}

static void grow_to(_Atomic uint64_t *number, uint64_t value)
{
    if (value > get(number)) {
        set(number, value);
    }
}

void steps_init(struct steps *steps, uint64_t now_us,
                const struct clock_spent *spent)
{
    memset(steps->turn, 0, sizeof steps->turn);
    steps->now = CORE_STEP_LOG;
    steps->since_us = steps->asked_us = now_us;
    steps->spent = *spent;
}

enum core_step steps_enter(struct steps *steps, enum core_step step,
                           uint64_t now_us)
{
    enum core_step before = steps->now;

    steps->turn[before] += now_us - steps->since_us;
    steps->since_us = now_us;
    steps->now = step;
    return before;
}

void steps_about(struct steps *steps, const char *what, uint64_t n, uint64_t us)
{
    if (us >= steps->about_us) {
        steps->about = what;
        steps->about_n = n;
        steps->about_us = us;
    }
}

void steps_about_none(struct steps *steps)
{
    steps->about = NULL;
    steps->about_us = steps->about_n = 0;
}

uint64_t steps_of_turn(const struct steps *steps, enum core_step step)
{
    return steps->turn[step];
}

bool steps_want_spent(const struct steps *steps, uint64_t now_us)
{
    return now_us - steps->asked_us >= ASK_US;
}

/* What each step took goes into what is told. */
static struct turn close_turn(struct steps *steps)
{
    struct turn turn = {.most = CORE_STEP_LOG};

    for (unsigned i = 0; i < CORE_STEPS; i++) {
        uint64_t us = steps->turn[i];
        turn.us += us;
        if (us > turn.most_us) {
            turn.most = (enum core_step)i;
            turn.most_us = us;
        }
        if (us > 0) {
            set(&steps->told[i].sum_us, get(&steps->told[i].sum_us) + us);
            grow_to(&steps->told[i].max_us, us);
        }
        steps->turn[i] = 0;
    }
    return turn;
}

static struct clock_spent less(struct clock_spent now,
                               const struct clock_spent *before)
{
    now.cpu_us -= before->cpu_us;
    now.faults -= before->faults;
    now.reads -= before->reads;
    now.blocked -= before->blocked;
    now.preempted -= before->preempted;
    return now;
}

struct turn steps_end(struct steps *steps, uint64_t now_us, uint64_t slept_us,
                      const struct clock_spent *spent)
{
    (void)steps_enter(steps, CORE_STEP_LOG, now_us);
    /* It sleeps while libuv has the word. Its clock is another one: a sleep may
     * seem longer than it was. */
    uint64_t slept = slept_us - steps->slept_us;
    uint64_t *log = &steps->turn[CORE_STEP_LOG];
    *log -= slept < *log ? slept : *log;
    steps->slept_us = slept_us;

    struct turn turn = close_turn(steps);
    uint64_t *cpu = &turn.spent.cpu_us;
    if (spent != NULL) {
        turn.spent = less(*spent, &steps->spent);
        steps->spent = *spent;
        steps->asked_us = now_us;
        *cpu = *cpu < turn.us ? *cpu : turn.us;
        grow_to(&steps->cpu_max_us, *cpu);
    }
    if (turn.us > LONG_TURN_US) {
        set(&steps->told[turn.most].n_long,
            get(&steps->told[turn.most].n_long) + 1);
    }
    if (*cpu > LONG_TURN_US) {
        set(&steps->n_cpu_long, get(&steps->n_cpu_long) + 1);
    }
    return turn;
}

void steps_read(const struct steps *steps, struct core_stats *io_stats)
{
    for (unsigned i = 0; i < CORE_STEPS; i++) {
        io_stats->steps[i].sum_us = get(&steps->told[i].sum_us);
        io_stats->steps[i].max_us = get(&steps->told[i].max_us);
        io_stats->steps[i].n_long = get(&steps->told[i].n_long);
    }
    io_stats->turn_cpu_max_us = get(&steps->cpu_max_us);
    io_stats->turns_cpu_long = get(&steps->n_cpu_long);
}
