/* A connection between the core loops of two nodes: frames both ways. Private
 * to the room, core thread. api/peer-protocol.md has the bytes.
 *
 * Each node keeps one to the leader, which it dials; a leader has those that
 * the others dialled. A newer one of a node takes the older one's place.
 *
 *   offset size what
 *   0      4    length of what follows
 *   4      1    type: enum frame_type
 *   5      …    its fields, numbers little-endian */
#ifndef RAFT_LINK_H
#define RAFT_LINK_H

#include "peer/peer.h"
#include "raft/inside.h"

enum frame_type {
    FRAME_COMMANDS = 1, /* u64 term, n × {u64 seq, u8 shrinks, u32 n, bytes} */
    FRAME_REFUSED,      /* u64 seq, u32 code: surely not done */
    FRAME_FENCE,        /* u64 term, u64 seq: says the sender's term, too */
    FRAME_INDEX,        /* u64 seq, u32 code, u64 index */
    FRAME_CONFIRM,      /* u64 term, u64 seq */
    FRAME_CONFIRMED,    /* u64 term, u64 seq */
    FRAME_ASK,          /* u64 seq, u32 kind, bytes */
    FRAME_REPLY,        /* u64 seq, u32 code, bytes */
    FRAME_STATUS,       /* members.c: this node's, for the leader */
    FRAME_MEMBERS,      /* members.c: the leader's list */
    FRAME_LEADS,        /* u64 term: commands are taken */
};

enum {
    FRAME_MOST = ENTRY_MOST + 4096,
    /* What a node may have waiting at the leader: beyond it the link is not
     * read. */
    GUESTS_MOST = 32 * 1024 * 1024,
    GUESTS_LEAST = 16 * 1024 * 1024,
    /* What may wait to be written; a peer that reads slower is cut. */
    WRITE_MOST = 64 * 1024 * 1024,
    FORWARD_MOST = 4 * 1024 * 1024,
};

struct link {
    uv_tcp_t tcp;
    struct core *core;
    struct link *next;
    struct peer_id other;
    uint64_t id;  /* newer ones have greater ones */
    bool dialled; /* by us, to the leader */
    bool closing;
    bool paused;
    uint64_t leads_term; /* the leader said that it takes commands in it */
    uint64_t flush_seq;  /* the FENCE that goes behind what older links brought;
                            0: none */
    uint64_t flush_term; /* and in which term */
    uint64_t fence_seq;  /* the newest, 0: none is out */
    uint64_t told_table; /* version of the members' list it has */
    size_t guest_bytes;
    struct buf in;
    struct buf out; /* written at the end of the turn */
};

struct links {
    struct link *first;
    struct link *leader; /* the one we dialled */
    uint64_t next_id;
    uint64_t next_seq;
    uint64_t dial_at_ms;
    uint64_t status_at_ms;
    uint64_t suspected_ms; /* a leader, last; 0: never */
    bool dialling;
    /* Of the link that a flush asked about. */
    uint64_t flush_index, flush_term, flush_link;
};

/* A frame in the making, at the end of what will be written. */
size_t link_begin(struct link *link, enum frame_type type);
void link_end(struct link *link, size_t at);
void link_close(struct link *link);
/* That this node leads, and takes commands. */
void link_say_leads(struct link *link);
/* One is fewer guest of it. */
struct link *link_find(struct core *core, uint64_t id);
void link_guest_left(struct core *core, uint64_t id, size_t bytes);

#endif
