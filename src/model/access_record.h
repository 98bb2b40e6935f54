/* What is kept of tokens, roles, users and groups: their fields, what may be in
 * them, and their bytes. Who reads the state of somebody else (store), who
 * applies (machine) and who decides (access) use the same.
 *
 *   offset size  a record
 *   0      1     format (1)
 *   1      8     revision that last changed it
 *   9      …     the fields of its kind
 *
 * name: u8 length, bytes; text: u16 length, bytes; names: u16 count, names;
 * grants: u8 count, texts; numbers little-endian (api/store-format.md has the
 * order). One content has one form: what decodes encodes to the same bytes
 * again. The name of the thing (of a token: its id) is not in it.
 *
 * Why no more than 4096 bytes: a record is read whole for each caller that is
 * looked up. A group has room for some 400 members with names of 9 bytes;
 * larger ones are split, a user may be in any number of groups. */
#ifndef MODEL_ACCESS_RECORD_H
#define MODEL_ACCESS_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "model/ulid.h"

#define ACCESS_RECORD_MOST 4096U /* bytes */
#define ACCESS_RECORD_HEAD 9U
#define ACCESS_NAME_MOST 63U
#define ACCESS_COMMENT_MOST 256U
#define ACCESS_PASSWORD_MOST 255U /* of the hash, as argon2 writes it */
#define ACCESS_HOSTS_MOST 1000U
#define ACCESS_RULES_MOST 32U
#define ACCESS_TARGETS_MOST 32U /* of one rule */
#define ACCESS_ROLES_MOST 32U
#define ACCESS_MEMBERS_MOST 1000U /* and so managers */
#define ACCESS_SESSION_GROUPS 40U

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

/* Numbers are stored. */
enum access_token_kind {
    ACCESS_BEARER = 1,
    ACCESS_SESSION = 2,
    ACCESS_JOINING = 3,
    ACCESS_OF_AGENT = 4,
    ACCESS_OF_NODE = 5,
};
enum access_source { ACCESS_LOCAL = 1, ACCESS_LDAP = 2 };

struct access_names {
    const struct str *items;
    size_t n;
};

struct access_rule {
    uint8_t verbs; /* enum access_verb, or-ed; not 0 */
    struct str ns; /* path; "": the root */
    struct access_names targets;
};

struct access_token {
    struct ulid id;   /* not in the record: the mark's name */
    uint64_t ends_ms; /* not in the record: the mark's end, 0: never */
    uint64_t rev;
    enum access_token_kind kind;
    uint8_t hash[32];
    struct str name;           /* for people; may be "" */
    struct str user;           /* "": bare */
    struct access_names roles; /* grants. With a user: it may no more than
                                  these give; none: all that the user may */
    struct str hostname;       /* bound to it, "": to none */
    struct str hosts;          /* JOINING: pattern of hostnames, "": any */
    bool reusable;             /* JOINING */
    uint64_t created_ms;
    struct str created_by;
    struct access_names groups; /* SESSION: of the directory, in which the user
                                   is as long as it lasts */
};

struct access_role {
    struct str name; /* not in the record, as in the next two */
    uint64_t rev;
    struct str comment;
    const struct access_rule *rules;
    size_t n_rules;
};

struct access_user {
    struct str name;
    uint64_t rev;
    struct str comment;
    enum access_source source;
    bool disabled;
    struct str password; /* "$argon2id$…", "": he cannot sign in with one */
    struct access_names roles;
};

struct access_group {
    struct str name;
    uint64_t rev;
    struct str comment;
    struct access_names roles;
    struct access_names members;
    struct access_names managers;
};

/* The name is a hostname. It stands also when the token has gone. */
struct access_host {
    uint64_t rev;
    struct ulid token; /* that was given to it last */
};

/* Which of them: a letter, as in commands and in the state. */
enum access_what {
    ACCESS_IS_TOKEN = 'T',
    ACCESS_IS_ROLE = 'R',
    ACCESS_IS_USER = 'U',
    ACCESS_IS_GROUP = 'G',
    ACCESS_IS_HOST = 'H',  /* by which token a machine is known */
    ACCESS_IS_QUOTA = 'Q', /* its name: the id of a namespace; access_quota.h */
};
/* "token", "role" …; NULL: there is no such letter. Static. */
const char *access_what_name(char what);
/* Whether it can be the name of one: of a token the bytes of its id. */
bool access_what_named(char what, struct str name) MUST_USE;
/* Whether name and record are sound, by anybody's hand. */
bool access_is_sound(struct arena *arena, char what, struct str name,
                     struct str record) MUST_USE;

/* ---- words ---- */

/* [a-z0-9][a-z0-9._-]{0,62} */
bool access_is_role(struct str text);
/* Of users and groups: [A-Za-z0-9][A-Za-z0-9._@+-]{0,62} */
bool access_is_name(struct str text);
/* A type's name, "*", or one of the registry's own. */
bool access_is_target(struct str text);
/* "read", "write", "*" … as bits: 0 or INVALID. */
int access_verbs_parse(struct str text, uint8_t *ret_verbs) MUST_USE;
/* "read", "update" …, of one bit. Static. */
const char *access_verb_name(enum access_verb verb);
/* "ROLE" (*ret_ns "") or "ROLE@NS". Lends: 0 or INVALID. */
int access_grant_parse(struct str text, struct str *ret_role,
                       struct str *ret_ns) MUST_USE;
/* "bearer", "session", "join", "agent", "node". Static. */
const char *access_kind_name(enum access_token_kind kind);

/* ---- whether it may be kept: INVALID with *ret_why, a clause for a person, in
 * `arena`. All limits are in it but the bytes of the whole. ---- */
int access_token_check(struct arena *arena, const struct access_token *token,
                       struct str *ret_why) MUST_USE;
int access_role_check(struct arena *arena, const struct access_role *role,
                      struct str *ret_why) MUST_USE;
int access_user_check(struct arena *arena, const struct access_user *user,
                      struct str *ret_why) MUST_USE;
int access_group_check(struct arena *arena, const struct access_group *group,
                       struct str *ret_why) MUST_USE;

/* ---- bytes. What is encoded has been checked; more than ACCESS_RECORD_MOST:
 * the caller's to refuse ---- */
void access_token_encode(struct buf *out, const struct access_token *token);
void access_role_encode(struct buf *out, const struct access_role *role);
void access_user_encode(struct buf *out, const struct access_user *user);
void access_group_encode(struct buf *out, const struct access_group *group);
void access_host_encode(struct buf *out, const struct access_host *host);

/* Of bytes that anybody wrote: what is given is sound. Texts are lent from
 * `record`, lists are in `arena`; `name` is put beside. Answers: INVALID. */
int access_token_decode(struct arena *arena, struct ulid id, struct str record,
                        struct access_token *ret_token) MUST_USE;
/* Whether a token was only bound to a hostname, and lives on at least as long:
 * nobody who was known by it may do anything else. Of sound records. */
bool access_token_was_bound(struct arena *arena, struct str old,
                            uint64_t old_ends_ms, struct str record,
                            uint64_t ends_ms) MUST_USE;
int access_role_decode(struct arena *arena, struct str name, struct str record,
                       struct access_role *ret_role) MUST_USE;
int access_user_decode(struct arena *arena, struct str name, struct str record,
                       struct access_user *ret_user) MUST_USE;
int access_group_decode(struct arena *arena, struct str name, struct str record,
                        struct access_group *ret_group) MUST_USE;
int access_host_decode(struct str record,
                       struct access_host *ret_host) MUST_USE;

#endif
