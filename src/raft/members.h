/* What the files about the members share: known.c, members.c, table.c,
 * membership.c, feature.c, form.c, called.c. Private to them.
 *
 * libraft's configuration is the list of members. A member's address there is
 * the text NAME RAFT [HTTP], as it was when it came in (a registry of the first
 * releases: RAFT alone). Where it is now, and what it runs, is learned: from
 * handshakes, from its STATUS frames when this node leads, and from the
 * leader's MEMBERS frames. What is learned is kept in data-dir/peers.
 *
 * A raft id is never used again. So one that was in a committed configuration
 * and is not in a later one was removed for good: whoever saw that can prove it
 * to the removed node, however old its own log is [MEMBERS-1]. */
#ifndef RAFT_MEMBERS_H
#define RAFT_MEMBERS_H

#include "raft/inside.h"
#include "raft/list.h"

enum {
    KNOWN_MOST = 2 * CORE_MEMBERS_MOST,
    REMOVED_MOST = 256, /* the newest are remembered */
    WISHES_MOST = 64,
    MEMBERS_TURN_MS = 500,
    /* Longer than this nothing is heard of who lives. */
    ALIVE_MS = 2 * ELECTION_MS,
    /* What a node that came back with another directory must have been silent
     * before it takes its own place. */
    GONE_MS = 10 * 1000,
    /* A learner this close to the end of the log has caught up. */
    CAUGHT_UP = 64,
};

/* What is known of one node. Texts may be empty. */
struct known {
    uint64_t raft_id;
    char id[64];
    char raft[CORE_ADDRESS], http[CORE_ADDRESS], version[32];
    uint32_t level_least, level_most;
    bool recent; /* since this start, by itself or by who heard it itself */
    bool moved;  /* since this start it tells another address than before */
};

/* What this process heard of one node. Core thread. */
struct heard {
    uint64_t raft_id;
    uint64_t ms;                   /* 0: nothing */
    uint64_t since_term, since_ms; /* it could be heard, as this node leads */
    uint64_t applied;
};

/* One change of libraft's configuration, or a transfer, that is under way. */
struct change {
    union {
        struct raft_change change;
        struct raft_transfer transfer;
    };
    struct core *core;
    bool busy;
    bool transfers;
    uint64_t raft_id;
    uint64_t not_before_ms; /* after one that failed */
};

/* Somebody asks for a change; waits for its turn. */
struct wish {
    struct wish *next;
    struct core_asked *asked;
    uint32_t kind;
    struct known who;  /* JOIN: as it told; REMOVE, TRANSFER: its id */
    uint64_t leaves;   /* TRANSFER: the leader that is to go, or 0 */
    bool replaces;     /* JOIN: may take the place of one that is gone */
    bool begun;        /* something was done for it */
    uint64_t since_ms; /* its turn came */
    unsigned attempts; /* to hand leadership over */
    char domain[256];  /* JOIN */
};

/* Of one that hears no leader. */
struct announce {
    uint64_t silent_ms, dialled_ms, said_ms;
    size_t next;
    bool dialling;
    char said[PEER_WHY];
};

struct members {
    pthread_mutex_t lock; /* of all up to the next comment */
    struct known known[KNOWN_MOST];
    size_t n_known;
    uint64_t removed[REMOVED_MOST];
    size_t n_removed;
    uint64_t version; /* of the above */
    struct core_member shown[CORE_MEMBERS_MOST];
    size_t n_shown;
    char http[CORE_ADDRESS], raft[CORE_ADDRESS]; /* of this node */
    uint64_t table_version; /* of what members_table_write writes */

    /* As it was given to this start. */
    struct list list;

    /* Core thread. */
    struct heard heard[KNOWN_MOST];
    size_t n_heard;
    uint64_t committed[CORE_MEMBERS_MOST]; /* raft ids, as noted last */
    size_t n_committed;
    uint64_t seen_committed, seen_uncommitted, seen_leader, seen_version;
    int seen_state;
    uint64_t shown_ms, ruled_ms;
    uint64_t saved_version;
    struct save *saving;
    struct change change;
    struct announce announce;
    struct wish *wishes, **wishes_end;
    size_t n_wishes;
    unsigned leaving; /* attempts to hand leadership over; 0: not wanted */
    struct duty feature;
};

/* ---- known.c: under the lock, but known_load and known_save ---- */

/* The text of a configuration; what is not in it is "". */
void known_read(const char *text, struct known *ret_known);
/* Appends it. */
void known_write(const struct known *known, struct buf *out);
/* Fills what `from` knows, and gives whether that changed anything. */
bool known_learn(struct members *members, const struct known *from);
const struct known *known_find(const struct members *members, uint64_t raft_id);
bool known_is_removed(const struct members *members, uint64_t raft_id);
void known_remove(struct members *members, uint64_t raft_id);
/* At start. */
void known_load(struct core *core);
/* Core thread, each turn: writes what changed, by the thread of the jobs. */
void known_save(struct core *core);
/* Any thread, before the core has members to save. */
int known_write_file(struct core *core) MUST_USE;
void known_encode(const struct members *members, struct buf *out);

/* ---- node.c ---- */
void node_set_state(struct core *core, enum node_state state);

/* ---- members.c, core thread ---- */
const struct raft_server *members_server(const struct core *core,
                                         uint64_t raft_id);
/* What is known of a member of the configuration. */
struct known members_known(const struct core *core,
                           const struct raft_server *server);
/* This node's own line. Under the lock. */
struct known members_own(const struct core *core);
struct heard *members_heard_of(struct members *members, uint64_t raft_id);
bool members_is_alive(const struct core *core, uint64_t raft_id,
                      uint64_t now_ms);
bool members_is_caught_up(const struct core *core, uint64_t raft_id);
/* Appends {"cluster":…,"members":[…]}. */
void members_json(const struct core *core, struct buf *out);

/* ---- change.c: one change of libraft's list, or a transfer ---- */
/* Nothing is under way, and this node leads. The others ask before. */
bool change_may(const struct core *core, uint64_t now_ms);
void change_add(struct core *core, const struct known *who);
void change_assign(struct core *core, uint64_t raft_id, int role);
void change_remove(struct core *core, uint64_t raft_id);
/* False while it waits for what is in flight: ask again. */
bool change_leader(struct core *core, uint64_t raft_id);
/* The voter that is alive and has most of the log; 0: there is none. */
uint64_t change_best_voter(const struct core *core, uint64_t now_ms);
/* Each turn of a leader. */
void change_look(struct core *core, uint64_t now_ms);
void change_leave(struct core *core, uint64_t now_ms);

/* ---- announce.c: each turn of a member ---- */
void announce_turn(struct core *core, uint64_t now_ms);

/* ---- wishes.c ---- */
void wishes_turn(struct core *core, uint64_t now_ms);
/* This node leads no more: who asked it is sent to the next. */
void wishes_give_up(struct core *core);

/* ---- membership.c ---- */
void membership_init(struct core *core);
void membership_turn(struct core *core, uint64_t now_ms);
void membership_done(struct core *core);
/* How long a member has been silent since this node leads. */
uint64_t membership_silence(const struct core *core, uint64_t raft_id,
                            uint64_t now_ms);
/* Why a member may not be removed, or NULL; who was not heard since then counts
 * as dead. */
const char *membership_keep(const struct core *core, uint64_t raft_id,
                            uint64_t since_ms, uint64_t now_ms);

/* ---- feature.c: the levels that this program understands ---- */
uint32_t feature_least(const struct core *core);
uint32_t feature_most(const struct core *core);

/* ---- texts.c: the texts of calls and questions ---- */
/* What {"id":…,"raft_id":…} and so on say. Answers: INVALID (why). */
int wish_parse(struct str text, struct wish *wish, char why[CORE_WHY]);

#endif
