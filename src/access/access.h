/* Who somebody is, and what he may.
 *
 * A caller is resolved once, from what he shows (a token, a certificate's
 * name) and the records in the state, to a `who`: immutable, counted, good
 * until meta.access_rev has moved or his time is over. Asking a who costs no
 * look at the state.
 *
 * A permission is a verb on a target in a namespace. Nothing denies: what no
 * rule allows is denied. A rule holds for its namespace and all below, by whole
 * labels.
 *
 * Invariants
 *   [ACCESS-1] no text of a token or password is kept, logged or told: tokens
 *              are stored as SHA-256, passwords as argon2id.
 *   [ACCESS-2] equal views may see equal things.
 *   [ACCESS-3] what cannot be resolved (a user that has gone, a role that is
 *              not defined) gives nothing. */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "store/store.h"

enum access_verb {
    ACCESS_READ = 1,
    ACCESS_CREATE = 2,
    ACCESS_UPDATE = 4,
    ACCESS_DELETE = 8,
    ACCESS_WRITE = ACCESS_CREATE | ACCESS_UPDATE | ACCESS_DELETE,
    ACCESS_ALL = ACCESS_READ | ACCESS_WRITE,
};

/* Targets that are no type of resource. */
#define ACCESS_NS "@ns"
#define ACCESS_AGENTS "@agents"
#define ACCESS_TYPES "@types"
#define ACCESS_ACCESS "@access"
#define ACCESS_CLUSTER "@cluster"
#define ACCESS_ADMIN "@admin"
#define ACCESS_EACH_TYPE "*"
#define ACCESS_EACH_OWN "@*"

enum access_kind {
    ACCESS_ANYONE,    /* access control is off */
    ACCESS_ANONYMOUS, /* nobody that is known */
    ACCESS_TOKEN,     /* a bare one */
    ACCESS_USER,      /* a user's token, session or certificate */
    ACCESS_AGENT,     /* bound to a hostname */
    ACCESS_JOIN,      /* a join token that is bound to none yet */
    ACCESS_NODE,      /* another node's certificate, or a node's admin token */
};

#define ACCESS_VIEW_BYTES 16

/* Texts are its own, "" when there is none. */
struct access_who {
    _Atomic unsigned users;
    enum access_kind kind;
    struct str name; /* "ann", "01J…(ci)", "n1": for people and the audit */
    struct str id;   /* of the token, as in its text; "": no token */
    struct str user;
    struct str hostname; /* bound to it */
    struct str hosts;    /* of a join token: the pattern of hostnames */
    bool reusable;       /* of a join token */
    uint64_t expires_ms; /* 0: never */
    uint64_t access_rev; /* it was resolved at */
    uint8_t view[ACCESS_VIEW_BYTES];
    struct access_rules *rules; /* the room's own */
};

/* All may do all: access control is off. Static; counting it does nothing. */
struct access_who *access_anyone(void);
struct access_who *access_anonymous(void);
struct access_who *access_ref(struct access_who *who);
/* Always NULL; takes NULL. Any thread. */
struct access_who *access_unref(struct access_who *who);

/* Whether it may do all of `verbs` on the target in the namespace (a path). */
bool access_may(const struct access_who *who, unsigned verbs, struct str target,
                struct str ns) MUST_USE;
/* Whether there may be anything at or below the namespace on which it may,
 * whatever the target. */
bool access_may_below(const struct access_who *who, unsigned verbs,
                      struct str ns) MUST_USE;
/* Whether it may on each type of resource and @ns at the namespace and
 * everywhere below: then nothing has to be filtered. */
bool access_may_all(const struct access_who *who, unsigned verbs,
                    struct str ns) MUST_USE;
/* Whether `who` may do itself all that `other` may. */
bool access_covers(const struct access_who *who,
                   const struct access_who *other) MUST_USE;
/* "read", "update" …, of one bit. Static. */
const char *access_verb_name(enum access_verb verb);

/* ---- resolving ---- */

struct access_shown {
    struct str token; /* as in the header; p == NULL: none */
    struct str user;  /* name in a verified client certificate; n == 0: none */
    struct str node;  /* or it is a node's */
};
/* `now_ms`: Unix time. Gives *ret_who, which the caller unrefs. Answers:
 * NOT_FOUND (nobody is known by that; unknown, expired, disabled and malformed
 * are not told apart). Faults of the store. */
int access_resolve(struct store_txn *txn, const struct access_shown *shown,
                   uint64_t now_ms, struct access_who **ret_who) MUST_USE;
/* The same caller as he is in this snapshot. As above. */
int access_again(struct store_txn *txn, const struct access_who *who,
                 uint64_t now_ms, struct access_who **ret_who) MUST_USE;

#endif
