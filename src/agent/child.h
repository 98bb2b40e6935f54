/* One inventory being collected by a process of its own, which may hang: it is
 * killed at its deadline, and one that even that does not end (a dead disk) is
 * waited for in the background. Nothing here waits. One thread. */
#ifndef AGENT_CHILD_H
#define AGENT_CHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"

enum {
    CHILD_LIFE_MS = 20000,
    CHILD_TEXT_MAX = 512 << 10, /* of what it may print */
    CHILD_LOOK_MS = 50,         /* how soon to look again at one that ends */
};

/* {.out = -1} is one that does not run. */
struct child {
    pid_t pid; /* 0: there is no process */
    int out;   /* what it prints; -1: it has ended that */
    uint64_t deadline_ms;
    bool killed;
    struct buf text;
};

enum child_state {
    CHILD_NONE,   /* there is nothing to wait for */
    CHILD_RUNS,   /* or is being killed */
    CHILD_DONE,   /* ended well: `text` holds what it printed */
    CHILD_FAILED, /* `text` holds why, a line for people */
};

/* Only when there is none. Faults: SYSTEM. */
int child_start(struct child *child, const char *inventory,
                uint64_t now_ms) MUST_USE;
/* Reads what is there. DONE and FAILED are said once. */
enum child_state child_look(struct child *child, uint64_t now_ms) MUST_USE;
/* When to look again at the latest; `out` becoming readable is sooner. */
uint64_t child_at(const struct child *child, uint64_t now_ms) MUST_USE;
/* Kills what runs and frees. */
void child_done(struct child *child);

#endif
