/* What the files of this room share: one command being applied. Private. */
#ifndef MACHINE_APPLY_H
#define MACHINE_APPLY_H

#include "machine/machine.h"
#include "machine/webhook.h"
#include "model/access_quota.h"
#include "model/row.h"
#include "model/type.h"

struct effect {
    enum { EFFECT_PUT, EFFECT_DEL, EFFECT_BREAKER, EFFECT_QUOTA } kind;
    struct machine_lease lease; /* of one that is gone: hostname and id */
    struct machine_breaker breaker;
    struct machine_quota quota;
};

struct touched {
    uint64_t ns;
    struct str type;
};

struct type_touched {
    struct str type;
    uint64_t revision;
};

enum { TYPES_ASIDE = 16 };

/* What there is to be done by and by, as the store has it. */
struct noted {
    bool has_trash;
    uint64_t next_end_ms; /* of a mark, UINT64_MAX: none has one */
    bool has_counts;      /* a quota is being counted */
};

/* A namespace that has a quota. */
struct quota_known {
    uint64_t ns;
    bool counting;
};

/* A quota that a command changes, as it was before. */
struct quota_touched {
    struct quota_touched *next;
    uint64_t ns;
    struct access_quota before; /* without the place of its count */
};

struct quota_over {
    uint64_t ns;
    enum access_quota_what what;
    uint64_t limit, used;
};

struct machine {
    struct store *store;
    struct cache *cache;
    struct machine_hooks hooks;
    struct store_txn *txn; /* NULL: none open */
    struct arena *txn_arena;
    struct arena *arena; /* of one command */

    /* Until the commit: */
    struct effect *effects;
    size_t n_effects, room_effects;
    struct str *events; /* in txn_arena */
    size_t n_events, room_events;
    struct touched *touched;
    size_t n_touched, room_touched;
    struct type_touched types[TYPES_ASIDE];
    size_t n_types;
    size_t n_spread; /* see machine_is_spread */
    uint64_t spread_ns;
    bool drop_all;    /* list revisions moved */
    bool drop_paths;  /* paths mean something else now */
    bool new_scopes;  /* of leases: something moved between top levels */
    uint64_t path_ns; /* whose path is in `path`, 0: none */
    struct buf path;
    uint64_t found_ns; /* there is a namespace of this id, 0: none is known */

    /* Quotas, see quotas.c; ascending by namespace. */
    struct quota_known *quotas;
    size_t n_quotas, room_quotas, n_counting;
    bool quotas_are_known;
    bool quotas_moved; /* by this transaction, which may be undone */
    uint64_t chain_ns; /* whose chain is in `chain`, 0: none */
    uint64_t *chain;
    size_t n_chain, room_chain;

    uint64_t slice, left; /* see machine_slice; of this call */
    struct going *going;  /* a command between two slices, NULL: none */

    struct store_meta coming; /* of a state stamped and not visible yet */
    struct noted coming_noted;

    _Atomic uint64_t applied, revision, lease_epoch, log_time_ms, feature_level;
    _Atomic uint64_t next_end_ms, access_rev;
    _Atomic bool has_trash, has_counts, is_indexing, initialized;
};

/* One command being applied. */
struct apply {
    struct machine *m;
    struct store_txn *txn;
    struct store_meta *meta;
    struct arena *arena;
    struct machine_result *res;
    const char *cause;
    uint64_t gone; /* rows deleted or told of maintenance, large ones counted
                      as several */
    bool limited;  /* it may be refused for a quota */
    bool in_part;
    struct quota_touched *quotas;
    struct quota_over over; /* QUOTA */

    /* Of a command that is cut into slices, in the arena: */
    void *progress;           /* the command's own; NULL: it begins */
    struct before_part *part; /* the part it is in */
};

/* It goes on where it stopped, with all it had. */
struct going {
    struct apply apply;
    struct command command;
    struct machine_result res;
    struct command_pack pack; /* what comes behind it */
    size_t at;                /* which of the pack it is */
};

/* The list a row is in, and which field is its key (n == 0: none). */
struct place {
    uint64_t ns;
    struct str type;
    struct str key_field;
};

/* A row as stored, copied into the arena: LMDB's own memory moves with the next
 * write. */
struct held {
    struct ulid id;
    uint64_t rev;
    struct str row;
    struct row_server server;
    struct str fields;
    struct str secret;
    struct str found_by; /* its primary key, p == NULL: looked for by its id */
};

/* Whether the first command has been applied. */
static inline bool machine_is_begun(const struct store_meta *meta)
{
    static const uint8_t none[16];
    return memcmp(meta->cluster, none, sizeof none) != 0;
}

/* ---- machine.c ---- */
int machine_note(struct machine *m, struct noted *ret_noted) MUST_USE;
/* This is what the last commit made. */
void machine_show(struct machine *m, const struct store_meta *meta,
                  const struct noted *noted);

/* ---- decide.c ---- */
/* One command of a pack; its answer goes into `res`. Answers: BUSY: it is
 * `going` from then on. Faults as machine_apply. */
int apply_command(struct machine *m, struct str bytes,
                  struct machine_result *res) MUST_USE;
/* The next slice of one that answered BUSY. */
int apply_go_on(struct machine *m, struct machine_result *res) MUST_USE;

/* ---- apply.c ---- */
/* Writes the revisions put aside by apply_type_touch. */
int apply_types_write(struct machine *m) MUST_USE;
uint64_t apply_revision(struct apply *a); /* takes the next one */
void apply_touch(struct apply *a, uint64_t ns, struct str type);
/* The database of a namespace is about to be used. */
void apply_visit(struct apply *a, uint64_t ns);
int apply_type_touch(struct apply *a, struct str type) MUST_USE;
uint64_t apply_type_touched(const struct apply *a, struct str type);
/* Copies what it is given. */
void apply_effect(struct apply *a, const struct effect *effect);
/* To be told when it has committed. */
void apply_event(struct apply *a, struct str event);
/* The path of a namespace; "" when it hangs under nothing. Lent until the tree
 * changes. */
int apply_path(struct apply *a, uint64_t ns, struct str *ret_path) MUST_USE;
void apply_tree_changed(struct apply *a, bool paths);
/* A namespace a command was resolved to must be there. Answers: RETRY. */
int apply_ns(struct apply *a, uint64_t ns) MUST_USE;
/* Answers: PRECONDITION. */
int apply_cond(struct apply *a, uint8_t cond, struct str revs, bool exists,
               uint64_t current) MUST_USE;
/* Called behind each row, or what costs as much, by a command that can be cut.
 * When it says so, the command notes in `progress` how far it is, answers BUSY,
 * and is called again. */
bool apply_pauses(struct apply *a);
/* A part of the command that is undone when `body` does not answer 0; BUSY: it
 * is called again. */
typedef int apply_part_func(struct apply *a, void *user);
int apply_part(struct apply *a, apply_part_func *body, void *user) MUST_USE;

/* ---- stale.c ---- */
/* Answers: RETRY: whoever sent the command has to resolve it anew. */
int apply_stale(struct apply *a, const struct command *c) MUST_USE;

/* ---- event.c ---- */
/* `old`: the row before, NULL when there was none or this deletes it. */
int event_row(struct apply *a, uint64_t revision, const char *op,
              const struct place *p, struct ulid id, struct str row,
              const struct held *old) MUST_USE;
int event_ns(struct apply *a, uint64_t revision, const char *op,
             const struct store_node *node, struct str path,
             struct str old_path) MUST_USE;

int event_type(struct apply *a, uint64_t revision, struct str type) MUST_USE;
int event_restore(struct apply *a, uint64_t revision) MUST_USE;
int event_breaker(struct apply *a, uint64_t revision,
                  const struct machine_breaker *breaker) MUST_USE;
int event_quota(struct apply *a, uint64_t revision, uint64_t ns,
                const struct machine_quota *quota) MUST_USE;
int event_access(struct apply *a, uint64_t revision, const char *what,
                 struct str name, bool gone) MUST_USE;

/* ---- restore.c ---- */
/* In place: the state stays. Answers: RETRY (the revision is beyond it). */
int apply_restore(struct apply *a, const struct command_restore *c) MUST_USE;

/* ---- rows.c ---- */
int row_hold(struct apply *a, const struct place *p, struct ulid id,
             struct held *ret_held) MUST_USE;
/* The id of a target. Answers: NOT_FOUND. */
int row_target(struct apply *a, const struct place *p, bool by_key,
               struct ulid id, struct str key, struct held *ret_held) MUST_USE;
/* Put new content, `old` NULL when it is a new row; what the server says of the
 * old one stays. Answers: CONFLICT (res->id holds the key), TOO_LARGE, INVALID.
 */
int row_put(struct apply *a, const struct place *p, struct ulid id,
            const struct held *old, struct str fields,
            struct str secret) MUST_USE;
/* The same of a row that comes from elsewhere with what the server says of it.
 */
int row_put_as(struct apply *a, const struct place *p, struct ulid id,
               const struct held *from) MUST_USE;
/* Change what the server says about a row: a revision and an event with
 * a->cause, unless it says so already. Answers: TOO_LARGE (the row has no room
 * for it). */
int row_set_server(struct apply *a, const struct place *p,
                   const struct held *held,
                   const struct row_server *server) MUST_USE;
int row_merge_put(struct apply *a, const struct place *p,
                  const struct held *old, struct str patch,
                  struct str secret) MUST_USE;
/* Delete with event and everything that hangs on it. */
int row_del(struct apply *a, const struct place *p,
            const struct held *old) MUST_USE;
/* The same without revision and event: for what was unlinked before. */
int row_forget(struct apply *a, const struct place *p,
               const struct held *old) MUST_USE;

/* A replace that sends "***" back for a secret field means: as it was. Gives
 * the secrets the row then has. */
struct str row_keep_secrets(struct apply *a, struct str fields,
                            struct str secret, struct str old_secret);

int apply_row_put(struct apply *a, const struct command_row_put *c) MUST_USE;
int apply_row_delete(struct apply *a,
                     const struct command_row_delete *c) MUST_USE;
int apply_rows_add(struct apply *a, const struct command_rows_add *c) MUST_USE;
int apply_row_move(struct apply *a, const struct command_row_move *c) MUST_USE;

/* ---- lists.c ---- */
int apply_list_put(struct apply *a, const struct command_list_put *c) MUST_USE;
int apply_txn(struct apply *a, const struct command_txn *c) MUST_USE;

/* ---- index.c ---- */
/* When there is none, and the feature level is for one. */
int index_begin(struct apply *a) MUST_USE;
int index_build(struct apply *a, uint64_t steps) MUST_USE;
int apply_index(struct apply *a, const struct command_index *c) MUST_USE;

/* ---- tree.c ---- */
int apply_init(struct apply *a, const struct command_init *c) MUST_USE;
int apply_ns_create(struct apply *a,
                    const struct command_ns_create *c) MUST_USE;
int apply_ns_change(struct apply *a,
                    const struct command_ns_change *c) MUST_USE;
int apply_ns_delete(struct apply *a,
                    const struct command_ns_delete *c) MUST_USE;
int apply_reclaim(struct apply *a, const struct command_reclaim *c) MUST_USE;

/* ---- types.c ---- */
/* The rules in force for a type: replicated state, or built into the program at
 * this feature level, so that every node finds the same. In the arena. */
int apply_type(struct apply *a, struct str name,
               const struct type **ret_type) MUST_USE;
/* The name of its primary key, n == 0 when it has none. */
int apply_key_field(struct apply *a, struct str type,
                    struct str *ret_field) MUST_USE;
int apply_type_put(struct apply *a, const struct command_type_put *c) MUST_USE;

/* ---- templates.c ---- */
/* Copies what the branches from `parent` to the root hold into a new leaf.
 * Answers: RETRY (there are more than n_ids). */
int template_copy(struct apply *a, uint64_t leaf, uint64_t parent,
                  struct ulid first_id, uint64_t n_ids) MUST_USE;

/* ---- agents.c ---- */
int apply_agent_put(struct apply *a,
                    const struct command_agent_put *c) MUST_USE;
int apply_agent_del(struct apply *a,
                    const struct command_agent_del *c) MUST_USE;
int apply_expire(struct apply *a, const struct command_expire *c) MUST_USE;
/* The lease table is to know it as it is now; `registered` as in machine.h. */
int lease_tell(struct apply *a, const struct store_lease *lease,
               bool registered) MUST_USE;
int apply_epoch(struct apply *a) MUST_USE;
/* A bound row is gone: forget the binding; a lease whose last placement this
 * was ends. */
int lease_row_gone(struct apply *a, const struct place *p,
                   struct ulid id) MUST_USE;
/* A row moved: its binding and placement follow. */
int lease_row_moved(struct apply *a, const struct place *from, uint64_t to,
                    struct ulid id) MUST_USE;

/* ---- breaker.c ---- */
/* Answers: RETRY (another leader's), CONFLICT (nothing is held there). */
int apply_breaker(struct apply *a, const struct command_breaker *c) MUST_USE;

/* ---- maintenance.c ---- */
#define MAINTENANCE "maintenance" /* cause of events */
int apply_maint(struct apply *a, const struct command_maint *c) MUST_USE;
/* Its time is over. */
int maintenance_agent_due(struct apply *a, struct str hostname) MUST_USE;
int maintenance_row_due(struct apply *a, struct str name) MUST_USE;
/* All rows that a registration placed say so when the agent is in maintenance.
 */
int maintenance_enrolled(struct apply *a,
                         const struct store_lease *lease) MUST_USE;
/* A row stays that is no placement of the agent any more. */
int maintenance_left(struct apply *a, struct str hostname,
                     const struct store_placement *at) MUST_USE;
/* A row goes: its own mark with it. */
int maintenance_row_gone(struct apply *a, const struct place *p,
                         const struct held *held) MUST_USE;
/* When its own ends, 0: it has none. To be given to the row when it has moved.
 */
int maintenance_of_row(struct apply *a, const struct place *p,
                       const struct held *held,
                       uint64_t *ret_until_ms) MUST_USE;
/* What it says for the agent that placed it, "": nothing. */
int maintenance_inherited(struct apply *a, const struct place *p,
                          const struct held *held,
                          struct str *ret_text) MUST_USE;
int maintenance_keep(struct apply *a, const struct place *p, struct ulid id,
                     uint64_t until_ms) MUST_USE;

/* ---- flap.c ---- */
int apply_flap(struct apply *a, const struct command_flap *c) MUST_USE;
/* The lease of a hostname has expired. */
int flap_went(struct apply *a, struct str hostname) MUST_USE;
int flap_due(struct apply *a, struct str hostname) MUST_USE;

/* ---- access.c ---- */
/* Answers, with the index of the item: RETRY (it is not the one that was seen),
 * NOT_FOUND (nothing to take away), INVALID. */
int apply_access(struct apply *a, const struct command_access *c) MUST_USE;

/* ---- quotas.c ---- */
/* Learns which there are, when that is not known. Needs the transaction. */
int quota_load(struct machine *m) MUST_USE;
/* The transaction, or a part of it, is over. */
void quota_forget(struct machine *m);
/* The first that is being counted. */
bool quota_counting(const struct machine *m, uint64_t *ret_ns);
/* Lends until the next write. Answers: NOT_FOUND. */
int quota_read(struct apply *a, uint64_t ns,
               struct access_quota *ret_quota) MUST_USE;
/* `before`: as it is, all zero when there is none. */
int quota_write(struct apply *a, uint64_t ns, const struct access_quota *before,
                const struct access_quota *quota) MUST_USE;
/* Answers: NOT_FOUND. */
int quota_del(struct apply *a, uint64_t ns) MUST_USE;
/* Whether a namespace is `ancestor` or below it, deleted or not. */
int quota_below(struct apply *a, uint64_t id, uint64_t ancestor,
                bool *ret_below) MUST_USE;
/* A row was put (old.n == 0: a new one) or has gone (row.n == 0). */
int quota_row(struct apply *a, const struct place *p, struct ulid id,
              struct str old, struct str row) MUST_USE;
/* A namespace with what is in it hangs elsewhere. */
int quota_moved(struct apply *a, uint64_t from, uint64_t to) MUST_USE;
/* A namespace that was deleted has been emptied and goes; `looked`: how many
 * others it looked at. */
int quota_ns_gone(struct apply *a, const struct store_node *node,
                  uint64_t *ret_looked) MUST_USE;
/* Whether the command has grown what it may not. Answers: QUOTA. */
int quota_check(struct apply *a) MUST_USE;
/* The result says by which. */
void quota_refused(struct apply *a);
/* Tells which quotas are in another state after the command. */
int quota_settle(struct apply *a) MUST_USE;
/* ---- count.c ---- */
/* One that is new. */
int quota_begin(struct apply *a, uint64_t ns,
                struct access_quota *quota) MUST_USE;
int quota_recount(struct apply *a, uint64_t ns) MUST_USE;
int quota_recount_all(struct apply *a) MUST_USE;
int apply_tally(struct apply *a, const struct command_tally *c) MUST_USE;

/* ---- sweep.c ---- */
int apply_sweep(struct apply *a, const struct command_sweep *c) MUST_USE;
/* ---- webhooks.c ---- */
/* After a put of any row: a webhook is told what comes from here on. */
int webhook_row_put(struct apply *a, const struct place *p,
                    struct ulid id) MUST_USE;
int webhook_row_gone(struct apply *a, const struct place *p,
                     struct ulid id) MUST_USE;
/* What is known of a row that is about to move; ns 0: nothing. */
int webhook_hold(struct apply *a, const struct place *p, struct ulid id,
                 struct webhook_mark *ret_mark) MUST_USE;
/* It goes on where it was, with what happens where it is now. */
int webhook_row_moved(struct apply *a, const struct webhook_mark *mark,
                      uint64_t to) MUST_USE;
/* Rows of a state that a release without marks made have to be looked for. */
int webhook_look(struct apply *a) MUST_USE;
int apply_hooks(struct apply *a, const struct command_hooks *c) MUST_USE;

/* ---- keys.c ---- */
/* SEEN: res is the older result. OTHER: the key was used for another request.
 * NO_ROOM: too many keys are alive. */
enum key_state { KEY_NEW, KEY_SEEN, KEY_OTHER, KEY_NO_ROOM };
int key_look(struct apply *a, const struct command *c,
             enum key_state *ret_state) MUST_USE;
int key_keep(struct apply *a, const struct command *c, int answer) MUST_USE;

#endif
