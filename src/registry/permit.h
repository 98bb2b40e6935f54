/* May he? Each operation is asked here, about what it is really on, behind the
 * parsing: no mouth decides anything.
 *
 * What an operation needs stands in one table (needs.c). It is asked before the
 * verb runs, and again before each further try; what has several targets asks
 * for each of them itself (NEED_ITSELF), and is refused when it forgot to. What
 * stands nowhere is refused.
 *
 * A refusal names the namespace as it was asked for and comes before anything
 * that depends on whether it exists. Private to the room. */
#ifndef REGISTRY_PERMIT_H
#define REGISTRY_PERMIT_H

#include "registry/room.h"

enum need_how {
    NEED_UNSAID, /* nobody has said: refused */
    NEED_OPEN,   /* nothing, of nobody */
    NEED_KNOWN,  /* to be somebody */
    NEED_ROOT,   /* `verbs` on `target` in the root */
    NEED_NS,     /* `verbs` on `target` (NULL: @ns) in op->ns */
    NEED_ROWS,   /* `verbs` on op->type in op->ns */
    NEED_AGENT,  /* `verbs` on @agents in the root, or to be op->id itself */
    NEED_SOME,   /* to read anything at or below op->ns, or the query's ns: the
                    verb leaves out the rest */
    NEED_ITSELF, /* the verb asks */
};

struct need {
    enum need_how how;
    unsigned verbs;
    const char *target; /* NEED_ROOT, NEED_NS */
    bool own;           /* NEED_AGENT: who is op->id needs nothing else */
};
extern const struct need needs[OP_KINDS];

/* ---- the op's, each 0 or ANSWERED with 401 or 403 (or 503, when this node
 * cannot know who that is) ---- */

/* Sets s->who: who asks, as he is now. Faults of the store. */
int permit_caller(struct op_state *s) MUST_USE;
/* What the table says. */
int permit_op(struct op_state *s) MUST_USE;
/* Both, before another try. */
int permit_again(struct op_state *s) MUST_USE;
/* Whether what the table leaves to the verb was asked. */
bool permit_was_asked(const struct op_state *s);
/* The revision the command was decided at, for whom that counts. */
void permit_stamp(struct op_state *s);
void permit_end(struct op_state *s);
/* Whether a refusal may rest on an old state of this node: it stands only
 * behind a fence. */
bool permit_may_be_old(const struct op_state *s);

/* ---- for verbs: each 0, or ANSWERED with 401 or 403 ---- */

/* To be somebody: then the verb shows him what is his. */
int permit_known(struct op_state *s) MUST_USE;
/* All that he `wants`: access_verb, or-ed. */
int permit(struct op_state *s, unsigned wants, struct str target,
           struct str ns) MUST_USE;
int permit_root(struct op_state *s, unsigned wants,
                const char *target) MUST_USE;
/* On every type of resource and @ns, there and below. */
int permit_all(struct op_state *s, unsigned wants, struct str ns) MUST_USE;
/* On what is about one agent: who is bound to a hostname is no other. `own`: he
 * needs nothing else. */
int permit_agent(struct op_state *s, unsigned wants, struct str hostname,
                 bool own) MUST_USE;
/* 403 with a clause of its own: "user ann may not %s". */
int permit_refuse(struct op_state *s, struct str ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- what is shown: no answer is set ---- */

/* Nothing is hidden from him there and below. */
bool permit_sees_all(const struct op_state *s, struct str ns);
bool permit_sees(const struct op_state *s, struct str target, struct str ns);
/* That the namespace is there: he may read something in it or below. */
bool permit_sees_path(const struct op_state *s, struct str ns);
/* Only what concerns this hostname; n == 0: he is bound to none. */
struct str permit_bound(const struct op_state *s);

/* ---- bound.c: rows bound to the lease of the agent that asks ---- */

/* Whether the operation is on such a row, and so needs nothing else: 0, or
 * NOT_FOUND (it is not). Also ANSWERED. */
int bound_permit(struct op_state *s) MUST_USE;
/* Makes the command depend on the row being what was looked at. */
void bound_guard(struct op_state *s);

#endif
