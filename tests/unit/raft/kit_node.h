/* A node of the tests: a whole core loop in a thread, on a directory of its own
 * below /tmp. What differs from kit_config is set before it starts. */
#ifndef TEST_RAFT_KIT_NODE_H
#define TEST_RAFT_KIT_NODE_H

#include <pthread.h>

#include "kit.h"

struct node {
    char dir[64], id[8];
    struct core_config config;
    struct core *core; /* NULL: it is not open */
    struct cache *cache;
    pthread_t thread;
    sem_t led;
    bool running;
    _Atomic unsigned restored, ticks; /* since it was opened */
};

/* Not open. The directory's name has `what` in it. */
struct node *kit_new(const char *id, const char *what) MUST_USE;
/* With its directory. */
void kit_free(struct node *node);
/* As core_open. */
int kit_open(struct node *node) MUST_USE;
/* An open one. */
void kit_run(struct node *node);
/* Opens and runs it; waits until it leads. */
void kit_start(struct node *node);
/* Its loop ends; it stays open. */
void kit_halt(struct node *node);
/* Whatever it does. */
void kit_stop(struct node *node);
/* A command of the shell, in its directory. */
void kit_shell(struct node *node, const char *shell);

/* Adds one row (kit_row) and waits for it; the outcome. */
int kit_add(struct node *node, uint64_t row, size_t pad) MUST_USE;
/* From `from` up to `to`, all of them taken. */
void kit_add_rows(struct node *node, uint64_t from, uint64_t to, size_t pad);
/* How many rows are stored; 0 before there is a registry. */
uint64_t kit_count(struct node *node);

/* Files in one of its folders whose names begin so; hidden ones do not count.
 */
unsigned kit_files(struct node *node, const char *folder, const char *prefix);
/* Puts a staged file in the place of the state; the outcome. */
int kit_restore(struct node *node, const struct core_state_job *staged,
                uint64_t revision) MUST_USE;

/* A job of state files. */
struct kit_job {
    struct core_state_job job;
    sem_t done;
};
/* `path` has to live as long. */
void kit_job_send(struct node *node, struct kit_job *job,
                  enum core_state_kind kind, const char *path);
/* Waits for it; its outcome. */
int kit_job_hear(struct kit_job *job) MUST_USE;
/* Both. */
int kit_job(struct node *node, struct kit_job *job, enum core_state_kind kind,
            const char *path) MUST_USE;

#endif
