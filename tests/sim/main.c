/* sim: histories from seeds, and what is wrong with them.
 *
 *   sim --seeds 1..2000          many; the ones that fail say how to repeat
 * them sim --seed 17 -v             one, with all that happens sim
 * --seeds 1..50 --twice    the same seed gives the same history sim
 * --seeds 1..200 --break order a known bug is in it: 0 when it is found */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

struct options {
    uint64_t from, to;
    unsigned jobs;
    bool twice;
    struct sim_config config;
};

/* Of all jobs. */
struct total {
    _Atomic uint64_t seeds, failed, first_failed;
    _Atomic uint64_t stats[sizeof(struct sim_stats) / sizeof(uint64_t)];
};

static struct total *total;
static char replay[256];

static const char *const break_names[] = {"",
#define B(NAME, name, text) name,
                                          BREAK_LIST(B)
#undef B
};

static void usage(FILE *out)
{
    (void)fputs(
        "usage: sim [--seed N | --seeds FROM..TO] [--nodes 3|5] [--steps N]\n"
        "           [--jobs N] [--twice] [--break NAME] [-v]\n"
        "Runs whole clusters in virtual time and checks what they promise.\n"
        "Known bugs for --break, which then has to find them:\n",
        out);
#define B(NAME, name, text) (void)fprintf(out, "  %-10s %s\n", name, text);
    BREAK_LIST(B)
#undef B
}

/* ---- the command line ---- */

static bool number(const char *text, uint64_t *ret)
{
    char *end = NULL;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool range(const char *text, struct options *o)
{
    char *end = NULL;

    errno = 0;
    o->from = strtoull(text, &end, 10);
    return errno == 0 && end != text && end[0] == '.' && end[1] == '.' &&
           number(end + 2, &o->to) && o->from <= o->to;
}

static bool break_by(const char *name, enum sim_break *ret)
{
    for (size_t i = 1; i < sizeof break_names / sizeof break_names[0]; i++) {
        if (strcmp(break_names[i], name) == 0) {
            *ret = (enum sim_break)i;
            return true;
        }
    }
    return false;
}

static bool option(const char *name, const char *value, struct options *o)
{
    uint64_t n = 0;

    if (strcmp(name, "--seeds") == 0) {
        return range(value, o);
    }
    if (strcmp(name, "--break") == 0) {
        return break_by(value, &o->config.broken);
    }
    if (!number(value, &n) || n > UINT32_MAX) {
        return false;
    }
    if (strcmp(name, "--seed") == 0) {
        o->from = o->to = n;
    } else if (strcmp(name, "--nodes") == 0 && (n == 3 || n == 5)) {
        o->config.nodes = (unsigned)n;
    } else if (strcmp(name, "--steps") == 0) {
        o->config.steps = (unsigned)n;
    } else if (strcmp(name, "--jobs") == 0 && n > 0 && n <= 64) {
        o->jobs = (unsigned)n;
    } else {
        return false;
    }
    return true;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            o->config.verbose = true;
        } else if (strcmp(argv[i], "--twice") == 0) {
            o->twice = true;
        } else if (i + 1 == argc || !option(argv[i], argv[i + 1], o)) {
            (void)fprintf(stderr, "sim: what is %s?\n", argv[i]);
            return false;
        } else {
            i++;
        }
    }
    return true;
}

/* ---- one seed ---- */

static void name_replay(const struct options *o, uint64_t seed)
{
    char nodes[32] = "", broken[32] = "";

    if (o->config.nodes != 0) {
        (void)snprintf(nodes, sizeof nodes, " --nodes %u", o->config.nodes);
    }
    if (o->config.broken != BREAK_NONE) {
        (void)snprintf(broken, sizeof broken, " --break %s",
                       break_names[o->config.broken]);
    }
    (void)snprintf(replay, sizeof replay,
                   "tests/sim/sim --seed %llu --steps %u%s%s -v\n",
                   (unsigned long long)seed, o->config.steps, nodes, broken);
}

/* libraft or an assertion ended the process. */
static void died(int number)
{
    static const char text[] = "\nsim: the process died; replay with\n  ";

    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, replay, strlen(replay));
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void add_stats(const struct sim_stats *stats)
{
    uint64_t numbers[sizeof *stats / sizeof(uint64_t)];

    memcpy(numbers, stats, sizeof numbers);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        total->stats[i] += numbers[i];
    }
}

static void failed(const struct options *o, uint64_t seed, const char *why)
{
    uint64_t first = total->first_failed;

    total->failed++;
    while ((first == 0 || seed < first) &&
           !__atomic_compare_exchange_n((uint64_t *)&total->first_failed,
                                        &first, seed, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
    }
    if (o->config.broken == BREAK_NONE || o->config.verbose) {
        (void)fprintf(stderr, "seed %llu: %s\n  replay: %s",
                      (unsigned long long)seed, why, replay);
    }
}

static uint64_t play(const struct options *o, uint64_t seed)
{
    struct sim *sim = sim_new(&o->config, seed);

    sim_play(sim);
    uint64_t history = sim->history;
    if (sim->failed) {
        failed(o, seed, sim->why);
    }
    add_stats(&sim->stats);
    if (o->from == o->to) {
        (void)printf("seed %llu: history %016llx\n", (unsigned long long)seed,
                     (unsigned long long)history);
    }
    (void)sim_end(sim);
    return history;
}

static void run_seed(const struct options *o, uint64_t seed)
{
    name_replay(o, seed);
    uint64_t history = play(o, seed);
    if (o->twice && play(o, seed) != history) {
        failed(o, seed, "the same seed gave another history");
    }
    total->seeds++;
}

/* Known bugs need to be found once. */
static bool is_enough(const struct options *o)
{
    return total->failed > (o->config.broken == BREAK_NONE ? 20U : 0U);
}

static void run_job(struct options *o, unsigned job)
{
    char shm[] = "/dev/shm/roster-sim-XXXXXX", tmp[] = "/tmp/roster-sim-XXXXXX";

    o->config.dir = mkdtemp(shm);
    if (o->config.dir == NULL) {
        o->config.dir = mkdtemp(tmp);
    }
    if (o->config.dir == NULL) {
        (void)fprintf(stderr, "sim: no place for stores in /dev/shm, /tmp\n");
        exit(2);
    }
    for (uint64_t seed = o->from + job; seed <= o->to && !is_enough(o);
         seed += o->jobs) {
        run_seed(o, seed);
    }
    (void)rmdir(o->config.dir);
}

static bool run_jobs(struct options *o)
{
    bool whole = true;
    int status = 0;

    if (o->jobs == 1) {
        run_job(o, 0);
        return true;
    }
    for (unsigned job = 0; job < o->jobs; job++) {
        if (fork() == 0) {
            run_job(o, job);
            exit(0);
        }
    }
    while (wait(&status) > 0) {
        whole = whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return whole;
}

/* ---- the end ---- */

static void summary(const struct options *o, double seconds)
{
    struct sim_stats s;
    uint64_t numbers[sizeof s / sizeof(uint64_t)];

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        numbers[i] = total->stats[i];
    }
    memcpy(&s, numbers, sizeof s);
    (void)printf(
        "%llu seeds, %llu failed, %.0f s (%.1f/s): %llu events, %llu entries, "
        "ops %llu acked %llu in doubt %llu refused %llu resent %llu, "
        "leaderships %llu, crashes %llu, snapshots %llu installed %llu, "
        "changes %llu, transfers %llu, heartbeats %llu (%llu by a deposed "
        "leader), registered anew %llu, leases ended %llu, spared %llu, "
        "holds %llu, ended slowly %llu, "
        "digests %llu, changes told %llu (%llu times out of history)%s%s\n",
        (unsigned long long)total->seeds, (unsigned long long)total->failed,
        seconds, (double)total->seeds / (seconds > 0 ? seconds : 1),
        (unsigned long long)s.events, (unsigned long long)s.entries,
        (unsigned long long)s.ops, (unsigned long long)s.acked,
        (unsigned long long)s.unknown, (unsigned long long)s.refused,
        (unsigned long long)s.resent, (unsigned long long)s.elections,
        (unsigned long long)s.crashes, (unsigned long long)s.snapshots,
        (unsigned long long)s.installs, (unsigned long long)s.changes,
        (unsigned long long)s.transfers, (unsigned long long)s.heartbeats,
        (unsigned long long)s.deposed_oks, (unsigned long long)s.refreshes,
        (unsigned long long)s.expired, (unsigned long long)s.spared,
        (unsigned long long)s.trips, (unsigned long long)s.paced,
        (unsigned long long)s.digests, (unsigned long long)s.told,
        (unsigned long long)s.told_late,
        o->config.broken == BREAK_NONE ? "" : ", broken: ",
        break_names[o->config.broken]);
}

int main(int argc, char **argv)
{
    struct options o = {.from = 1, .to = 100, .jobs = 1};
    struct timespec begin, end;

    o.config.steps = 400;
    if (!parse(argc, argv, &o)) {
        usage(stderr);
        return 2;
    }
    total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (total == MAP_FAILED) {
        return 2;
    }
    (void)signal(SIGABRT, died);
    (void)signal(SIGSEGV, died);
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    bool whole = run_jobs(&o);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    summary(&o, (double)(end.tv_sec - begin.tv_sec) +
                    (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    if (o.config.broken != BREAK_NONE) {
        return whole && total->failed > 0 ? 0 : 1;
    }
    return whole && total->failed == 0 ? 0 : 1;
}
