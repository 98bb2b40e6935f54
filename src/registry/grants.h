/* What operations on tokens, roles, users and groups share: they are small
 * records, each is read whole, decided on by what this node has, and written
 * against the revision it was read at. When that has moved it is decided anew.
 * Private to the room. */
#ifndef REGISTRY_GRANTS_H
#define REGISTRY_GRANTS_H

#include "access/access.h"
#include "access/access_token.h"
#include "model/json.h"
#include "registry/room.h"

/* ---- who may ---- */

/* 0, or ANSWERED with 403 (401): of @access, in the root. */
int grants_permit(struct op_state *s, unsigned wants) MUST_USE;
/* For a list: who may not read all is shown what is his own, when he is
 * somebody who can have any. */
int grants_permit_own(struct op_state *s) MUST_USE;
bool grants_may(const struct op_state *s, unsigned wants) MUST_USE;
/* Whether the caller is that user: not an agent or a node of the name. */
bool grants_is_self(const struct op_state *s, struct str user) MUST_USE;

/* 403 unless the caller may do himself all that who is about to get it could:
 * what has these grants and rules. */
int grants_cover(struct op_state *s, struct store_txn *txn,
                 const struct access_made *made) MUST_USE;
/* What a user has who is given `roles`: theirs and those of his groups; for who
 * is not himself, or not in all, also of those that he manages. */
int grants_of_user(struct op_state *s, struct store_txn *txn, struct str user,
                   const struct access_names *roles,
                   struct access_names *ret_grants) MUST_USE;

/* Names besides, names but one; in s->arena. */
struct access_names grants_with(struct op_state *s,
                                const struct access_names *names,
                                const struct access_names *more);
struct access_names grants_without(struct op_state *s,
                                   const struct access_names *names,
                                   struct str name);

/* ---- bodies: each is 0, or ANSWERED with 400 ---- */

/* An object with no other members than `names`. What answers have besides, and
 * a client may send back, is ignored; its name has to agree. */
int grants_body(struct op_state *s, const char *const *names,
                struct json **ret_body) MUST_USE;
/* "" when it is absent. */
int grants_text(struct op_state *s, const struct json *body, const char *name,
                struct str *ret_text) MUST_USE;
int grants_flag(struct op_state *s, const struct json *body, const char *name,
                bool *ret_flag) MUST_USE;
/* An array of texts; none when it is absent. */
int grants_names(struct op_state *s, const struct json *object,
                 struct str prefix, const char *name,
                 struct access_names *ret_names) MUST_USE;
/* Whether each role exists, and each namespace could be one of this registry:
 * who would define the role later would give what he does not know. */
int grants_check_roles(struct op_state *s, struct store_txn *txn,
                       const struct access_names *roles) MUST_USE;
int grants_check_ns(struct op_state *s, struct str ns,
                    struct str field) MUST_USE;
/* Whether the name in the path can be one. */
int grants_check_name(struct op_state *s, struct str name,
                      const char *what) MUST_USE;
/* The verdict of one of the access_*_check as 400. */
int grants_refuse(struct op_state *s, struct str why);
/* As tokens name who made them: a node is no user of that name. */
struct str grants_maker(struct op_state *s);

/* ---- writing ---- */

/* Whether all nodes know these records; and who may not wait for another
 * release is told. */
int grants_check_level(struct op_state *s) MUST_USE;
/* If-Match and If-None-Match against what is there, 0: nothing. 412 */
int grants_check_conditions(struct op_state *s, uint64_t rev) MUST_USE;

/* What an op keeps between its tries: what is slow, or made by chance. */
struct grants_kept {
    struct str answer; /* p == NULL: none yet */
    struct ulid id;    /* of the token that is made; zero: none yet */
    char token[ACCESS_TOKEN_TEXT];
    uint64_t now_ms;
};
struct grants_kept *grants_kept(struct op_state *s);

struct grants_write {
    struct command_access_item *items; /* in s->arena */
    size_t n, room;
};
/* A record that is put; 400 when it is larger than one may be. */
int grants_put(struct op_state *s, struct grants_write *write, char what,
               struct str name, uint64_t seen_rev, uint64_t ends_ms,
               struct buf *record) MUST_USE;
void grants_del(struct op_state *s, struct grants_write *write, char what,
                struct str name, uint64_t seen_rev);
/* What is said of it afterwards: the answer, but for `rev` at its end. */
void grants_keep_answer(struct op_state *s, struct buf *text);
/* Makes the command. */
int grants_submit(struct op_state *s, const struct grants_write *write);

/* ---- answers ---- */

void grants_add_text(struct buf *out, const char *name, struct str value);
void grants_add_names(struct buf *out, const char *name,
                      const struct access_names *names);
/* 200 with `rev` put behind, and ETag. */
int grants_answer(struct op_state *s, struct buf *text, uint64_t rev);

/* {"allow":[…],"types":[…],"ns":"…"} */
void roles_add_rule(struct buf *out, const struct access_rule *rule);

/* The revision of what was put. */
uint64_t grants_rev_of(const struct machine_result *result);

/* A list: `next` gives what is shown of the one behind `*at` (p == NULL: the
 * first) and moves it; n == 0: that one is not shown. Answers: END. */
typedef int grants_next_func(struct op_state *s, struct store_txn *txn,
                             struct arena *arena, struct str *at,
                             struct buf *out);
int grants_list(struct op_state *s, grants_next_func *next);

#endif
