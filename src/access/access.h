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
 *   [ACCESS-2] equal views may see equal things: rows, namespaces, types,
 *              agents. What is told of oneself (whoami, tokens and sessions of
 *              one's own) goes by the name, and is never kept for another.
 *   [ACCESS-3] what cannot be resolved (a user that has gone, a role that is
 *              not defined) gives nothing. */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "model/access_record.h"
#include "store/store.h"

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

/* Whether it may do all of `verbs` on the target in the namespace (a path; ""
 * or the root's own: the root, as for what is in no namespace). Who is known at
 * all may read @types. That `who` is bound to a hostname is not looked at here.
 */
bool access_may(const struct access_who *who, unsigned verbs, struct str target,
                struct str ns) MUST_USE;
/* Whether there may be anything at or below the namespace on which it may: a
 * resource of any type, or a namespace. False is certain. */
bool access_may_below(const struct access_who *who, unsigned verbs,
                      struct str ns) MUST_USE;
/* Whether it may on each type of resource and @ns at the namespace and
 * everywhere below: then nothing has to be filtered. True is certain. */
bool access_may_all(const struct access_who *who, unsigned verbs,
                    struct str ns) MUST_USE;
/* Whether what is at and below `from` would be open to it for more when it were
 * at `to`: on resources, namespaces and agents. False is certain. */
bool access_gains(const struct access_who *who, struct str from,
                  struct str to) MUST_USE;
/* Whether `who` may do itself all that `other` may. True is certain. */
bool access_covers(const struct access_who *who,
                   const struct access_who *other) MUST_USE;

/* Whether it may not all that is its user's. */
bool access_is_limited(const struct access_who *who) MUST_USE;

/* What it may, rule by rule: its own, or (`limit`) those it may not go beyond.
 * Lends from `who`. False: there is none such. */
bool access_rule_at(const struct access_who *who, bool limit, size_t at,
                    struct access_rule *ret_rule) MUST_USE;
/* Whether the rule alone gives all of `verbs`; as access_may. */
bool access_rule_gives(const struct access_rule *rule, unsigned verbs,
                       struct str target, struct str ns) MUST_USE;

/* ---- making ---- */

/* A who that nobody has shown: one with what is about to be given to somebody
 * (for access_covers), or a node's own. */
struct access_made {
    enum access_kind kind;
    struct str name, id, user, hostname, hosts;
    bool reusable;
    uint64_t expires_ms;
    struct access_names grants;
    const struct access_rule *rules; /* besides */
    size_t n_rules;
    const struct access_names *limits; /* grants it may not go beyond; NULL:
                                          none */
};
/* Gives *ret_who. Texts are copied. A role that there is not gives nothing.
 * Without `txn` only built-in roles are known. Faults of the store. */
int access_make(struct store_txn *txn, const struct access_made *made,
                struct access_who **ret_who) MUST_USE;

/* ---- records in the state ---- */

/* Built-in roles have rev 0 and cannot be changed. Static; NULL: none. */
const struct access_role *access_builtin(struct str name);

/* Everything given is in `arena`. Answers: NOT_FOUND. Faults of the store. */
int access_token_get(struct store_txn *txn, struct arena *arena, struct ulid id,
                     struct access_token *ret_token) MUST_USE;
int access_role_get(struct store_txn *txn, struct arena *arena, struct str name,
                    struct access_role *ret_role) MUST_USE;
int access_user_get(struct store_txn *txn, struct arena *arena, struct str name,
                    struct access_user *ret_user) MUST_USE;
int access_group_get(struct store_txn *txn, struct arena *arena,
                     struct str name, struct access_group *ret_group) MUST_USE;
int access_host_get(struct store_txn *txn, struct str hostname,
                    struct access_host *ret_host) MUST_USE;
/* By id or name, from `after` (exclusive; NULL, or p == NULL: the first), roles
 * with the built-in ones. As above; answers: END. */
int access_token_next(struct store_txn *txn, struct arena *arena,
                      const struct ulid *after,
                      struct access_token *ret_token) MUST_USE;
int access_role_next(struct store_txn *txn, struct arena *arena,
                     struct str after, struct access_role *ret_role) MUST_USE;
int access_user_next(struct store_txn *txn, struct arena *arena,
                     struct str after, struct access_user *ret_user) MUST_USE;
int access_group_next(struct store_txn *txn, struct arena *arena,
                      struct str after,
                      struct access_group *ret_group) MUST_USE;
/* Names of the groups a user is a member of. O(groups). */
int access_groups_of(struct store_txn *txn, struct arena *arena,
                     struct str user, struct access_names *ret_groups) MUST_USE;

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
