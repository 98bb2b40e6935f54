/* The texts of calls between nodes. Private to this room. */
#ifndef RAFT_CALLED_H
#define RAFT_CALLED_H

#include "raft/inside.h"
#include "raft/list.h"
#include "raft/members.h"

enum { WHO_TEXT = 2048 };

/* WHO, and its reply: who somebody is and what it was started with. */
struct who {
    char call[8];
    char state[16]; /* "empty", "forming", "member", "removed" */
    char id[64];
    uint64_t raft_id;
    char list[WHO_TEXT];  /* its --cluster, see list.h */
    char first[WHO_TEXT]; /* first members of its cluster, or "" */
    char domain[256];
    uint8_t cluster[16];
};

/* Answers: INVALID. */
int who_parse(struct str text, struct who *ret_who) MUST_USE;
void who_write(const struct who *who, struct buf *out);
/* What this node says to be let in. */
void join_write(const struct core *core, bool replaces, struct buf *out);

/* What came of it. */
struct joined {
    uint64_t code; /* 0, or an answer of err.h */
    char why[CORE_WHY];
    uint8_t cluster[16];
    struct known members[CORE_MEMBERS_MOST]; /* who is there */
    size_t n_members;
};
int joined_parse(struct str text, struct joined *ret_joined) MUST_USE;

/* ---- begin.c: the thread that forms, or the core's before it runs ---- */
/* Writes down what this directory is; takes `formed`. After a fault it is new
 * again. */
int begin_as(struct core *core, enum node_state state,
             const uint8_t cluster[16], char *formed) MUST_USE;
/* One of the first members. */
int begin_first(struct core *core, const struct list *first) MUST_USE;
/* libraft's list of the first members, all of which vote, if it was one. Core
 * thread. Answers: INVALID. */
int begin_with(struct core *core) MUST_USE;

/* form.c, any thread: what to say to WHO, and whether it belongs somewhere. */
void form_who(struct core *core, const struct who *asker, struct buf *out);
bool form_is_member(struct core *core);

#endif
