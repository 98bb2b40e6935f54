/* A registry on a store and a machine of its own. The core is a stand-in: it
 * carries a command out at once, unless the test wants something else of it. */
#ifndef TEST_REGISTRY_KIT_H
#define TEST_REGISTRY_KIT_H

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include "base/clock.h"
#include "base/err.h"
#include "registry/registry.h"

struct core {
    char dir[64];
    struct store *store;
    struct machine *machine;
    uint64_t index;
    struct core_status status;
    int outcome;      /* of what is submitted; 0: carry it out */
    int refuses;      /* the same, of commands: fences go through */
    unsigned submits; /* commands */
    unsigned fences;
    /* Called before a command is carried out: what others do meanwhile. */
    void (*before)(void *user);
    void (*at_fence)(void *user);
    void *user;
    /* Work on the whole state: what the next job comes to, who waits for one
     * that is held back, and what became of staged files. */
    struct core_state_job job;
    bool holds_jobs;
    struct core_state_job *held;
    unsigned jobs;
    unsigned unstaged;
    unsigned moves; /* so many RESTOREs find the revision moved: RETRY */
    uint64_t restored_to;
    /* Questions to the leader: who that is (NULL: nobody), what it says instead
     * when `code` or `says` is set, and those that are held back. */
    struct registry *leader;
    uint32_t code;
    const char *says;
    bool holds_asks;
    struct core_ask *asks[8];
    unsigned n_held, n_asks;
    struct buf asked;         /* the last one's request */
    struct queue_link *calls; /* for kit_turn, the last one first */
    bool holds_fences;
    struct core_request *fence;
    struct core_member members[4];
    size_t n_members;
};

/* A question as the core would hand it on. */
struct kit_asked {
    struct core_asked asked;
    struct core_ask *ask;
};

struct kit {
    struct core core;
    struct cache *cache;
    struct lease_table *leases;
    struct registry *registry;
    struct store_reader *reader;
    struct arena *arena;
    struct access_who *who; /* asks from now on. Lent */
    struct op op;           /* the last one */
    unsigned wakes;         /* of it */
    bool waits;             /* and its waiting was not ended */
};

struct kit *kit_new(void);
void kit_free(struct kit *k);
/* What was given to core_call. Whether there is more for the next turn. */
bool kit_turn(struct kit *k);

/* A fresh op. */
struct op *kit_op(struct kit *k, enum op_kind kind, const char *ns,
                  const char *type, const char *id, const char *body);
/* Run kit->op until it is done, or waits for something that did not come. */
enum op_code kit_run(struct kit *k);
/* Both. */
enum op_code kit_do(struct kit *k, enum op_kind kind, const char *ns,
                    const char *type, const char *id, const char *body);
/* Carry a command out behind the registry's back; its answer. */
int kit_apply(struct core *core, struct command *command);
/* The job that was held back ends. */
void kit_end_job(struct core *core);
/* The first question that was held back is answered. */
void kit_end_ask(struct core *core);
/* The fence that was held back ends. */
void kit_end_fence(struct core *core, int outcome);
/* Renames web.roster, the first namespace made, and back: what was resolved on
 * it before is old. */
void kit_shake_tree(struct core *core);
/* Whether the last answer's body, or its detail, holds a text. */
bool kit_says(const struct kit *k, const char *text);

#endif
