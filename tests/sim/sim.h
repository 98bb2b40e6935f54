/* Whole clusters in one process, in virtual time: one seed, one history.
 *
 *   chance ─► nemesis, clients, agents ─► order ─► struct raft ─► machine
 *                    │                      │          │             │
 *                    └──────── events (virtual time) ──┘          store, leases
 *                                   ▲                                │
 *                              net, disk                           check
 *
 * Each node is real libraft, a real machine on an LMDB store of its own and a
 * real lease table; the network, the disk, the clocks and who uses it are ours.
 * Libraft's own fixture (raft/fixture.h) cannot serve: it has no duplicates,
 * writes what a crashed server had not synced, and forgets where a log begins
 * that has a snapshot. So `struct raft` runs on a raft_io of this program.
 *
 * A crash is one: the memory of the process is gone (heap.c), and of what was
 * on its way to the disk a prefix is there, or nothing.
 *
 * Nothing here may ask the system for time, chance or an address: the same seed
 * has to give the same history. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "cache/cache.h"
#include "command/command.h"
#include "lease/lease.h"
#include "machine/machine.h"
#include "store/store.h"

enum {
    SIM_SLOTS = 7,
    SIM_AGENTS = 10,
    SIM_HOLD_MS = 6000, /* of the breaker, and how many go in a second after */
    SIM_RATE = 2,
    SIM_COUNTERS = 3,
    SIM_WATCHERS = 3,
    SIM_ROWS = 512,
    SIM_TRACE = 8192,
    ELECTION_MS = 600,
    HEARTBEAT_MS = 100,
};

/* Known bugs, to see that the checks find them. */
#define BREAK_LIST(B)                                                          \
    B(ACK_EARLY, "ack-early", "acknowledged when it is sent, not applied")     \
    B(ORDER, "order", "a node applies two entries in the wrong order")         \
    B(SKIP, "skip", "a node leaves out an entry")                              \
    B(EPOCH, "epoch", "an expiry takes the epoch of when it is sent again")    \
    B(RESEND, "resend", "sent again without looking whether it is in the log") \
    B(TERM, "term", "a leader takes commands meant for an earlier term")       \
    B(INSTALL, "install", "sent again though a snapshot may hold it")          \
    B(SYNC, "sync", "a crash loses entries that were synced")                  \
    B(AHEAD, "ahead", "a snapshot is stored before the log up to it")          \
    B(MEMBERS, "members", "a snapshot may hold members of before")             \
    B(STALE, "stale", "libraft sees a snapshot of an earlier term")            \
    B(VOTE, "vote", "a crash loses the vote")                                  \
    B(DIRTY, "dirty", "a result depends on the node")                          \
    B(LEASE, "lease", "a new leader serves heartbeats before its epoch")       \
    B(REFRESH, "refresh", "an end is ordered as it was collected")             \
    B(UNTOLD, "untold", "watchers do not learn that a state was replaced")     \
    B(BREAKER, "breaker", "a leader does not know what the log says is held")  \
    B(PACE, "pace", "a leader does not know that the log says: slowly")

enum sim_break {
    BREAK_NONE,
#define B(NAME, name, text) BREAK_##NAME,
    BREAK_LIST(B)
#undef B
};

struct sim;
struct node;

/* ---- events.c: what happens when ---- */

typedef void event_func(struct node *node, void *arg);
struct happening {
    uint64_t at, seq;
    struct sim *sim;
    struct node *node; /* NULL: of nobody, never late */
    uint64_t life;     /* of the node it is meant for, 0: any */
    event_func *run;
    void *arg;
    void (*release)(void *arg); /* after it has run or came to nothing */
};

struct events {
    struct happening *heap;
    size_t n, room;
    uint64_t seq;
};

/* ---- heap.c: the memory of a process ---- */

struct heap_block {
    struct heap_block *next, *prev;
};
struct heap {
    struct heap_block all; /* a ring */
};

void heap_init(struct heap *heap);
/* All of it, whoever still points to it: the process is dead. */
void heap_done(struct heap *heap);
/* What libraft allocates from here on is of this process. */
void heap_enter(struct heap *heap);

/* ---- disk.c: what survives a crash ---- */

struct disk_entry {
    raft_term term;
    int type;
    char *bytes;
    size_t n;
};

struct disk_image {
    raft_index index;
    raft_term term;
    struct buf conf; /* encoded */
    raft_index conf_index;
    struct buf state; /* empty while there is no snapshot */
};

struct disk_op; /* on its way */

struct disk {
    raft_term term;
    raft_id vote;
    raft_index first; /* of the log */
    struct disk_entry *log;
    size_t n, room;
    struct disk_image image;
    struct disk_op *ops, **ops_end;
    uint64_t busy_until;
    uint64_t slow_until; /* it takes long until then */
};

void disk_init(struct disk *disk);
void disk_done(struct disk *disk);
raft_index disk_last(const struct disk *disk);
/* Up to where nothing that is under way changes it. */
raft_index disk_settled(const struct disk *disk);
const struct disk_entry *disk_get(const struct disk *disk, raft_index index);
/* The process died: some of what was under way is there. */
void disk_crash(struct node *node);
/* raft_io */
void disk_methods(struct raft_io *io);

/* ---- order.c: commands on their way into the log ---- */

enum op_kind {
    OP_INIT,
    OP_EPOCH,
    OP_EXPIRE,
    OP_BREAKER,
    OP_ADD,
    OP_PATCH,
    OP_DELETE,
    OP_OTHER,
    OP_ENROL,
    OP_LEAVE
};
enum op_state { OP_WAITS, OP_SENT, OP_ENDED };

/* One request of a client, or of a node itself. Lives as long as the sim. */
struct op {
    struct op *next; /* of those its node waits for */
    uint64_t number;
    enum op_kind kind;
    unsigned subject; /* which row, counter, agent */
    struct buf bytes; /* the command */
    struct node *node;
    uint64_t life;
    uint64_t ends_at; /* the client waits no longer */
    enum op_state state;
    bool ever_sent;
    uint64_t term, gen; /* it was sent in */
    uint64_t sent_at;
    int outcome; /* of ENDED: 0, UNKNOWN, NOT_READY */
    int answer;  /* of outcome 0 */
    uint64_t revision, index;
    uint64_t log_index; /* where the log has it, 0: nowhere yet */
    int log_answer;
    uint64_t epoch_term;
    uint64_t made_at;
    struct ulid lease; /* ENROL: which one it got */
    void (*done)(struct op *op);
};

struct frame; /* of a link */

/* What a leader has not put into the log yet. */
struct item {
    struct item *next;
    uint64_t op;   /* its number; 0: a fence */
    uint64_t term; /* it may be appended in */
    unsigned from; /* a fence's: slot, life, generation */
    uint64_t life, gen;
    uint64_t epoch; /* an expiry's, as it was sent */
};

struct peer_link {
    uint64_t gen, expects;
    bool broken;
};

struct order {
    struct op *ops; /* waited for, in order */
    struct item *items, **items_end;
    bool in_flight;
    struct raft_apply apply;
    /* To the leader: commands of one generation arrive in order or not. */
    uint64_t gen, seq, gen_began;
    raft_id gen_leader;
    uint64_t gen_term;
    bool fencing; /* the generation began with a fence, not answered yet */
    uint64_t fence_index;
    struct peer_link from[SIM_SLOTS];
};

struct op *op_new(struct sim *sim, enum op_kind kind, unsigned subject);
/* Encodes the command and gives it a request id. */
void op_command(struct op *op, struct command *command);
void order_submit(struct node *node, struct op *op);
/* An entry is applied here. */
void order_saw(struct node *node, uint64_t number, uint64_t index,
               const struct machine_result *result);
void order_saw_epoch(struct node *node, uint64_t term);
/* The state was replaced: what the log held is not told any more. */
void order_replaced(struct node *node);
void order_turn(struct node *node);
void order_init(struct node *node);
/* The process died. */
void order_done(struct node *node);
void order_lead(struct node *node);

/* ---- state.c: machine, store and leases of a node ---- */

struct state {
    char dir[96];
    unsigned generation;
    struct store *store;
    struct cache *cache;
    struct machine *machine;
    struct store_reader *reader;
    struct lease_table *leases;
    struct watch_hub *hub;
};

void state_open(struct node *node);
void state_close(struct node *node);
/* Process died, files are there. */
void state_restart(struct node *node);
void state_wipe(struct node *node);
/* Another state in its place. */
void state_replace(struct node *node, struct str image);
void state_image(struct node *node, struct buf *out);
void state_digest(struct node *node, uint8_t ret_digest[32]);
uint64_t state_applied(const struct node *node);
struct store_meta state_meta(struct node *node);
bool state_has_row(struct node *node, const char *type, const char *key,
                   struct buf *row);
uint64_t state_rows(struct node *node, const char *type);
/* Whether a path leads to it. */
bool state_reaches(struct node *node, uint64_t ns);
/* In maintenance, or flapping. */
bool state_is_spared(struct node *node, const char *hostname);
bool state_machine_id(struct node *node, const char *hostname,
                      struct ulid *ret_id);
bool state_has_lease(struct node *node, const char *hostname);

/* ---- node.c: one process ---- */

struct node {
    struct sim *sim;
    unsigned slot;
    raft_id id; /* 0: nobody is in this slot */
    char address[24];
    bool up;
    uint64_t life; /* unique */
    uint64_t stalled_until;
    uint64_t mono_ahead; /* its clocks, beside the true time */
    int64_t wall_ahead;
    uint64_t joined_at;

    struct heap heap;
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft_tracer tracer;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    struct raft_change change;
    struct raft_transfer transfer;
    bool changing, transferring;

    struct disk disk;
    struct state state;
    struct order order;

    uint64_t led_term; /* it has taken notice of leading in, 0: leads not */
    bool serving;      /* the epoch of this leadership is applied */
    uint64_t epoch;    /* that it serves in */
    struct op *expiry;
    uint64_t expiry_epoch; /* it was made in */
    struct op *telling;    /* what the breaker does */
    struct command_lease_item due[SIM_AGENTS * 2];
    char due_names[SIM_AGENTS * 2][16];
    size_t n_due;

    uint64_t revision;  /* newest shown */
    raft_index commit;  /* as of the last event */
    raft_index checked; /* of the log: committed and compared */
    struct buf held;    /* BREAK_ORDER: bytes kept back */
    uint64_t held_index;
};

void node_start(struct node *node, bool first);
enum crash { CRASH_KILL, CRASH_POWER };
void node_crash(struct node *node, enum crash how);
/* Gone for good: the slot is free. */
void node_forget(struct node *node);
uint64_t node_mono(const struct node *node);
uint64_t node_wall(const struct node *node);
/* After everything that happened to it. */
void node_turn(struct node *node);
bool node_leads(const struct node *node);
bool node_ready(const struct node *node); /* up and not stalled */
struct node *node_by_id(struct sim *sim, raft_id id);

/* ---- net.c ---- */

/* Fate decides whether and when `deliver` runs at the other end. Takes arg. */
void net_send(struct node *from, raft_id to, event_func *deliver, void *arg,
              void (*release)(void *), void *(*copy)(const void *));
/* raft_io */
int net_send_raft(struct raft_io *io, struct raft_io_send *req,
                  const struct raft_message *message, raft_io_send_cb cb);

/* ---- agents.c ---- */

struct agent {
    struct sim *sim;
    unsigned number;
    char hostname[16];
    uint64_t ttl_ms;
    bool running;
    bool registered; /* it believes */
    struct op *enrolling;
    uint64_t next_at;
    /* The last time somebody entitled promised a TTL, and for which lease. */
    uint64_t ok_at;
    struct ulid ok_lease;
    uint64_t ok_jumps;  /* of clocks, up to then */
    uint64_t told;      /* any ok, also of a deposed leader */
    uint64_t cut_until; /* the network is gone */
};

void agents_init(struct sim *sim);
void agents_turn(struct sim *sim);
void agents_tick(struct node *node);
/* An expiry takes its place in the log: whether anybody is left in it. */
bool agents_expire(struct node *node, struct op *op);
/* A lease ended at a node: may it? */
void agents_ended(struct node *node, struct str hostname, struct ulid id);
void agents_enrolled(struct op *op);

/* ---- watchers.c: who follows the changes ---- */

struct watcher {
    struct node *node; /* where it asks */
    uint64_t seen;
};

void watchers_init(struct sim *sim);
/* The hub of a node, over its machine's life. */
void watchers_open(struct node *node);
void watchers_close(struct node *node);
void watchers_changed(void *user, const struct str *events, size_t n,
                      uint64_t revision);
void watchers_replaced(struct node *node);
void watchers_turn(struct node *node);
void watchers_end(struct sim *sim, struct node *node);

/* ---- clients.c ---- */
void clients_step(struct sim *sim);

/* ---- nemesis.c ---- */
void nemesis_init(struct sim *sim);
void nemesis_step(struct sim *sim);
void nemesis_heal(struct sim *sim);

/* ---- check.c ---- */

struct entry_seen {
    uint64_t log;    /* hash of term, type and bytes as on a disk, 0: none */
    uint64_t bytes;  /* hash of what was applied */
    uint64_t result; /* hash of what it came to */
    bool is_change;  /* of members */
    bool has_digest;
    uint8_t digest[32];
};

struct check {
    struct entry_seen *entries; /* by index */
    size_t room;
    raft_index applied; /* by anybody */
    struct {
        raft_term term;
        raft_id leader;
    } * leaders;
    size_t n_leaders, leaders_room;
    raft_term serving_term; /* newest leadership that served */
    raft_index conf_index;  /* newest committed configuration */
    struct {
        raft_id id;
        int role;
    } members[SIM_SLOTS + 1];
    size_t n_members;
    /* The breaker, as the log has it: of the whole and of the pool. */
    struct {
        enum machine_breaker_state state;
        uint64_t since, ended, jumps; /* of this state */
    } scopes[2];
    bool rows[SIM_ROWS];
    uint64_t counts[SIM_COUNTERS];
    uint64_t digest_every;
    uint64_t digests;
    uint64_t *told; /* hashes of events, by revision */
    size_t told_room;
};

void check_done(struct check *check);
void check_applied(struct node *node, uint64_t index, struct str bytes,
                   struct machine_result *results, size_t n);
void check_digest(struct node *node, uint64_t index);
/* After each event of a node. */
void check_node(struct node *node);
void check_truncate(struct node *node, raft_index index);
/* It is about to be stored. */
void check_snapshot(struct node *node, const struct disk_image *image);
void check_random_row(struct node *node);
void check_end(struct sim *sim);
bool check_serves(const struct sim *sim, raft_id id);
bool check_is_member(const struct sim *sim, raft_id id);

/* ---- sim.c ---- */

struct trace_line {
    uint64_t at;
    int slot;
    const char *what;
    uint64_t a, b;
};

struct sim_config {
    unsigned nodes;
    unsigned steps;
    bool verbose;
    enum sim_break broken;
    const char *dir;
};

struct sim_stats {
    uint64_t events, ops, acked, unknown, refused, resent, elections, crashes,
        installs, snapshots, changes, transfers, expired, heartbeats,
        deposed_oks, entries, digests, refreshes, spared, told, told_late,
        trips, paced;
};

struct sim {
    struct sim_config config;
    uint64_t seed, random;
    uint64_t now;
    uint64_t lives, ids, gens, requests;
    struct events events;
    struct node nodes[SIM_SLOTS];
    struct op **ops;
    size_t n_ops, ops_room;
    struct agent agents[SIM_AGENTS];
    struct watcher watchers[SIM_WATCHERS];
    struct check check;
    struct sim_stats stats;

    /* The weather. */
    bool calm; /* healed: nothing fails any more */
    bool over; /* nobody begins anything any more */
    bool blocked[SIM_SLOTS][SIM_SLOTS];
    unsigned drop, duplicate, late; /* per mille */
    bool in_order;                  /* messages overtake each other or not */
    uint64_t arrives[SIM_SLOTS][SIM_SLOTS];
    unsigned pack_most;
    unsigned threshold, trailing;
    unsigned next_row;
    uint64_t jumps; /* of monotonic clocks */
    unsigned n_ns;

    uint64_t history; /* hash of all that was told */
    struct trace_line trace[SIM_TRACE];
    uint64_t n_trace;
    bool failed;
    char why[400];
};

uint64_t sim_chance(struct sim *sim, uint64_t below);
bool sim_odds(struct sim *sim, unsigned per_mille);
uint64_t sim_between(struct sim *sim, uint64_t least, uint64_t most);
/* One line of the history. */
void sim_tell(struct sim *sim, const struct node *node, const char *what,
              uint64_t a, uint64_t b);
/* Something is wrong; the first one counts. */
void sim_fail(struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct ulid sim_id(struct sim *sim);
uint64_t sim_hash(uint64_t from, const void *bytes, size_t n);
/* `arg` ends with `release` (NULL: nothing) whether it runs or not. */
void sim_after(struct sim *sim, uint64_t delay_ms, struct node *node,
               uint64_t life, event_func *run, void *arg,
               void (*release)(void *));
/* Until that time, or until something fails. */
void sim_run(struct sim *sim, uint64_t until);
void sim_free(void *p);

/* One history. False: sim->failed. */
struct sim *sim_new(const struct sim_config *config, uint64_t seed);
void sim_play(struct sim *sim);
struct sim *sim_end(struct sim *sim);

#endif
