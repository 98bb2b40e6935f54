/* One history from one seed. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

/* ---- chance ---- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next(struct sim *sim)
{
    uint64_t z = (sim->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t sim_chance(struct sim *sim, uint64_t below)
{
    return below == 0 ? 0 : next(sim) % below;
}

bool sim_odds(struct sim *sim, unsigned per_mille)
{
    return per_mille != 0 && next(sim) % 1000 < per_mille;
}

uint64_t sim_between(struct sim *sim, uint64_t least, uint64_t most)
{
    return least + next(sim) % (most - least + 1);
}

/* A lease table draws a seed of its own: who is paced first depends on it. */
uint64_t __wrap_chance_u64(void);
uint64_t __wrap_chance_u64(void)
{
    return 7;
}

struct ulid sim_id(struct sim *sim)
{
    struct ulid id = {{0}};
    return ulid_plus(id, ++sim->ids);
}

/* ---- what is told ---- */

/* FNV-1a, eight bytes at a time. */
uint64_t sim_hash(uint64_t from, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint64_t hash = from ^ UINT64_C(0xcbf29ce484222325);

    for (; n >= 8; at += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29;
    }
    for (; n > 0; at++, n--) {
        hash = (hash ^ *at) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void print_line(const struct trace_line *line)
{
    (void)fprintf(stderr, "%8llu n%d   %s %llu %llu\n",
                  (unsigned long long)line->at, line->slot, line->what,
                  (unsigned long long)line->a, (unsigned long long)line->b);
}

void sim_tell(struct sim *sim, const struct node *node, const char *what,
              uint64_t a, uint64_t b)
{
    struct trace_line line = {sim->now, node == NULL ? -1 : (int)node->slot,
                              what, a, b};
    uint64_t numbers[] = {line.at, (uint64_t)line.slot, a, b};

    sim->history = sim_hash(sim->history, numbers, sizeof numbers);
    sim->history = sim_hash(sim->history, what, strlen(what));
    sim->trace[sim->n_trace++ % SIM_TRACE] = line;
    if (sim->config.verbose) {
        print_line(&line);
    }
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (sim->failed) {
        return;
    }
    sim->failed = true;
    va_start(args, format);
    (void)vsnprintf(sim->why, sizeof sim->why, format, args);
    va_end(args);
    sim_tell(sim, NULL, "FAILED", 0, 0);
}

/* ---- a history ---- */

static void roll(struct sim *sim)
{
    static const unsigned thresholds[] = {8, 20, 50, 100000};

    sim->in_order = sim_odds(sim, 500);
    sim->pack_most = (unsigned)sim_between(sim, 1, 12);
    sim->threshold = thresholds[sim_chance(sim, 4)];
    sim->trailing = (unsigned)sim_between(sim, 1, 12);
    sim->check.digest_every = sim_between(sim, 10, 60);
}

struct sim *sim_new(const struct sim_config *config, uint64_t seed)
{
    struct sim *sim = mem_zero(sizeof *sim);

    sim->config = *config;
    sim->seed = sim->random = seed;
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        sim->nodes[i].sim = sim;
        sim->nodes[i].slot = i;
        heap_init(&sim->nodes[i].heap);
        disk_init(&sim->nodes[i].disk);
        order_init(&sim->nodes[i]);
    }
    if (sim->config.nodes == 0) {
        sim->config.nodes = sim_odds(sim, 700) ? 3 : 5;
    }
    roll(sim);
    agents_init(sim);
    watchers_init(sim);
    return sim;
}

static void turn(struct sim *sim)
{
    sim_run(sim, sim->now + sim_chance(sim, 80));
    agents_turn(sim);
}

static bool is_done(struct sim *sim)
{
    for (size_t i = 0; i < sim->n_ops; i++) {
        if (sim->ops[i]->state != OP_ENDED && sim->ops[i]->node != NULL) {
            return false;
        }
    }
    return true;
}

/* Everything works again: in time all agree, and the dead are gone. */
static void heal(struct sim *sim)
{
    nemesis_heal(sim);
    uint64_t until = sim->now + 35000;
    while (!sim->failed && sim->now < until) {
        turn(sim);
    }
    sim->over = true;
    sim_run(sim, sim->now + 6000);
    if (!sim->failed && !is_done(sim)) {
        sim_fail(sim, "an op has no outcome long after all was healed");
    }
}

void sim_play(struct sim *sim)
{
    nemesis_init(sim);
    sim_run(sim, 3000);
    for (unsigned i = 0; i < sim->config.steps && !sim->failed; i++) {
        nemesis_step(sim);
        clients_step(sim);
        turn(sim);
        check_random_row(&sim->nodes[sim_chance(sim, SIM_SLOTS)]);
    }
    if (!sim->failed) {
        heal(sim);
    }
    if (!sim->failed) {
        check_end(sim);
    }
}

struct sim *sim_end(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        node_forget(&sim->nodes[i]);
        heap_done(&sim->nodes[i].heap);
    }
    while (sim->events.n > 0) {
        struct happening *event = &sim->events.heap[--sim->events.n];
        if (event->release != NULL) {
            event->release(event->arg);
        }
    }
    mem_free(sim->events.heap);
    for (size_t i = 0; i < sim->n_ops; i++) {
        buf_done(&sim->ops[i]->bytes);
        mem_free(sim->ops[i]);
    }
    mem_free(sim->ops);
    check_done(&sim->check);
    return mem_free(sim);
}
