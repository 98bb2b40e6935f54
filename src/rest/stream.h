/* Streams of changes (GET /v1/watch), each one's socket in our own hands.
 *
 * libmicrohttpd gives a connection some kilobytes and looks through all that
 * are suspended whenever one is woken. A stream is neither written nor read by
 * it: when the operation has said yes, the socket is taken out of the library's
 * hands (its descriptor is made to name another one, an ended one, which it
 * then closes), and what is left of the connection is a struct stream, over TLS
 * with its session.
 *
 * Streams that want the same in the same form are a group: one link in the
 * loop's table. What the table tells is made into bytes once, in rounds, and
 * sent to each member; some hundreds of sends at a time, so that reads never
 * wait for all of them.
 *
 *   begin ─► READY ─── knows all there is ──► LIVE
 *             │ ▲ ◄── takes too little ─────── │
 *      takes  │ │ takes more                   │
 *      no more▼ │                              ▼
 *            BLOCKED ─── for too long ───► end ◄─── hang-up, end of the loop
 *
 *   LIVE     told with its group.
 *   READY    behind: reads the history by itself, some 64 KiB a turn.
 *   BLOCKED  its socket is full. It has no buffer: it knows up to where it was
 *            told, and how much of the next event is on its way. (Over TLS the
 *            session has bytes that are sealed already, a STREAM_RECORD of
 *            them.)
 *
 * Who a stream is for stands in `judged`. Before it is READY, and after each
 * part that was read or told, he has to stand [JUDGE-1]; when he may see
 * something else he goes to another group and reads on from where he is.
 *
 * Invariants
 *   [STREAM-1] all up to `upto` has been sent, of what comes next the first
 *              `sent` bytes, and nothing else.
 *   [STREAM-2] memory does not grow with what a client leaves unread: what is
 * in no history (rows of the beginning) is bounded for all together.
 *
 * One thread: the loop's. Private to the room. */
#ifndef REST_STREAM_H
#define REST_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "registry/registry.h"
#include "rest/door.h"
#include "rest/frame.h"
#include "rest/judge.h"
#include "rest/side.h"
#include "watch/watch.h"

struct rest_loop;
struct rest_request;
struct tls_seal;

enum stream_state { STREAM_READY, STREAM_BLOCKED, STREAM_LIVE, STREAM_STATES };

struct stream {
    struct rest_side side;
    struct rest_judged judged;
    struct rest_seat seat;
    struct tls_seal *seal; /* of one over TLS; NULL: plain */
    struct rest_loop *loop;
    struct stream_group *group;
    struct stream *prev, *next;           /* of those in its state */
    struct stream *slot_prev, *slot_next; /* of those told progress with it */
    enum stream_state state;
    uint16_t slot;
    bool fresh;    /* is told progress as soon as it knows all */
    uint64_t upto; /* [STREAM-1] */
    size_t sent;
    char *rest; /* to be sent before all else; NULL: nothing */
    size_t rest_n, rest_at;
    struct watch_initial *initial; /* NULL: it is told all that was there */
    uint64_t since_ms;             /* BLOCKED: when it last took something */
    uint64_t looked_ms;            /* and when that was looked at */
    uint64_t acked;                /* and what had arrived by then */
};

/* By what is wanted and how. */
struct stream_group; /* stream_group.c */

/* Events behind each other, as bytes; where each ends. */
struct stream_round {
    struct buf bytes;
    struct {
        size_t end;
        uint64_t revision;
    } * ends;
    size_t n, room;
};

enum { STREAM_SLOTS = 48, STREAM_RECORD = 4 << 10 };

/* Those of a loop. */
struct rest_streams {
    struct stream_group *groups; /* hash */
    uint64_t seed;               /* keys come from strangers */
    struct stream_group *busy;   /* have something to tell; the first is being
                                    told */
    struct stream *cursor;       /* its next member to be told */
    struct stream_round round;   /* what it is told */
    struct stream *ready, *blocked; /* longest first */
    struct stream *slots[STREAM_SLOTS];
    unsigned slot;       /* the next to be told progress */
    unsigned next_slot;  /* of who comes */
    uint64_t slot_ms;    /* and when */
    uint64_t pause_ms;   /* those that are ready wait until then */
    uint64_t told;       /* the table's revision before its turn */
    bool more;           /* and it is in the middle of something */
    uint64_t rest_bytes; /* of all [STREAM-2] */
    struct stream_round reading;
    int ended; /* a socket whose other end is closed */
    size_t n;
};

/* ---- stream.c ---- */
int rest_streams_open(struct rest_loop *loop) MUST_USE;
/* Nobody is in it any more. */
void rest_streams_close(struct rest_loop *loop);
/* Sends what is due. True: there is more, and others have a turn first. */
bool rest_streams_turn(struct rest_loop *loop) MUST_USE;
/* Milliseconds until a turn is due, UINT64_MAX: when the table tells. */
uint64_t rest_streams_next(const struct rest_loop *loop, uint64_t now_ms);
/* All of them end, with a word from where to resume. */
void rest_streams_bye(struct rest_loop *loop);

/* Takes `fd`. The watchers' count has it already. */
struct stream *stream_new(struct rest_loop *loop, int fd,
                          const struct op_watch *watch, bool initial,
                          const struct rest_frame *frame,
                          struct access_who *who, uint64_t mark);
/* Sends what it can: how many bytes were taken; -1: the client is gone. All
 * that is sent goes through here. Behind it a session may owe what it has
 * taken: then the stream is to be blocked. */
ssize_t stream_send(struct stream *stream, const char *bytes, size_t n);
/* Whether something is to be sent before all else. */
bool stream_owes(const struct stream *stream);
/* Sends, behind what is kept already, and keeps what is not taken. False: it
 * has ended. */
bool stream_put(struct stream *stream, const char *bytes, size_t n);
bool stream_note(struct stream *stream, const char *op);
/* It waits until its socket takes more. False: it has ended. */
bool stream_block(struct stream *stream);
/* The end of that list. */
void stream_enter(struct stream *stream, enum stream_state state);
/* It goes; `stream` is freed. */
void stream_end(struct stream *stream);
/* The server's doing: counted and logged. */
void stream_cut(struct stream *stream, const char *why);

/* ---- stream_other.c ---- */
/* It ends, with a word from where to resume. `told`: all up to there is known
 * to those who are live. `reason`: as rest_frame_bye. */
void stream_bye(struct stream *stream, uint64_t told, const char *reason);
rest_judged_func stream_other;

/* ---- stream_group.c ---- */
/* Found or made, for those who see what `who` sees; strings are copied. It has
 * one member more. */
struct stream_group *stream_group_join(struct rest_loop *loop,
                                       const struct watch_spec *spec,
                                       const struct rest_frame *frame,
                                       const struct access_who *who);
/* Its who sees something else: it is with those now. It is not LIVE. */
void stream_group_change(struct stream *stream);
void stream_group_leave(struct stream *stream);
const struct watch_spec *stream_group_spec(const struct stream_group *group);
const struct rest_frame *stream_group_frame(const struct stream_group *group);
struct stream **stream_group_live(struct stream_group *group);
/* It knows all up to `upto`: whether that is all there is, so that it is told
 * with the others from now on. */
bool stream_group_go_live(struct stream *stream) MUST_USE;
/* Nobody of it is told any more, when that is so. */
void stream_group_settle(struct stream_group *group);
/* At most some hundred sends. True: there is more. */
bool stream_groups_tell(struct rest_loop *loop);

/* ---- stream_behind.c ---- */
/* One of those that are behind: some more of what it lacks. It may be gone. */
void stream_catch_up(struct stream *stream);
/* What was before `upto` has to be read anew. False: it has ended. */
bool stream_begin_anew(struct stream *stream);

void stream_round_clear(struct stream_round *round);
void stream_round_add(struct stream_round *round,
                      const struct rest_frame *frame, uint64_t revision,
                      struct str text);
/* As `who` may see it. */
void stream_round_add_seen(struct stream_round *round,
                           const struct rest_frame *frame,
                           const struct access_who *who,
                           const struct event *event, uint64_t revision);
void stream_round_done(struct stream_round *round);
/* How much of it he knows already. */
size_t stream_round_skip(const struct stream *stream,
                         const struct stream_round *round);
/* The round from byte `skip` on. False: the stream has ended; else it has all
 * of it, or is BLOCKED with `upto` and `sent` as they are now. */
bool stream_round_send(struct stream *stream, const struct stream_round *round,
                       size_t skip);

#endif
