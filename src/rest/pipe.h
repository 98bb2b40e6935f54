/* Between a session of TLS and the library: a pair of sockets.
 *
 * The library reads and writes plain bytes at one end; here they are carried
 * between the other end and the session (tls/tls.h), on the loop's thread.
 *
 *   client ══ socket ══ session ── carried ── pair ══ the library
 *
 * Nothing is read on one side that the other does not take: what waits is in
 * the kernel, and a call's worth with the session. Each direction ends when all
 * in front of its end was carried: a client that says no more may still read,
 * and who closes behind an answer is not closed before the answer has gone out.
 *
 *   PIPED ─ the library closes ─► LEFT ─ all of it has gone out ─► end
 *     ├─ is taken (taken.h, stream_begin.c), or has nothing to ask for a while
 *     │  and others need a pipe: the pair goes, the session stays
 *     └─ the socket breaks ─► DEAD ─ the library closes ─► end
 *
 * A pipe has two descriptors besides the socket, so there are fewer of them
 * than there may be connections; who finds none waits for one (guest.h).
 *
 * One thread: the loop's. */
#ifndef REST_PIPE_H
#define REST_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "rest/ring.h"

struct rest_loop;
struct rest_peer;
struct rest_pipe;

/* One of a loop. */
struct rest_pipes {
    struct rest_ring all;
    unsigned n, most;
    char *bytes; /* on their way */
};

void rest_pipes_init(struct rest_pipes *pipes, bool any, unsigned most);
void rest_pipes_done(struct rest_pipes *pipes);
/* Whether one more may begin; who is silent may have to go for it. */
bool rest_pipes_have_room(struct rest_loop *loop);
/* Whether something is on its way to a client. */
bool rest_pipes_carry(const struct rest_loop *loop);
/* Those who have nothing on its way are cut, the others when it has gone out:
 * true for them. */
bool rest_pipe_part(struct rest_pipe *pipe);
/* The very end, after the library's. */
void rest_pipes_abandon(struct rest_loop *loop);

/* For a peer with a session: its `library_fd` is the library's end. Faults:
 * SYSTEM. */
int rest_pipe_begin(struct rest_loop *loop, struct rest_peer *peer) MUST_USE;
/* The library has its end: carries what there is from now on. It may be gone.
 */
void rest_pipe_go(struct rest_pipe *pipe);
/* Whether the library has read only what is known: its peer's `read`. */
bool rest_pipe_is_all_read(const struct rest_pipe *pipe);
/* Whether something is on its way to the client. */
bool rest_pipe_is_carrying(const struct rest_pipe *pipe);
/* The pair goes; the session stays. All that the library has written goes out,
 * as far as the client takes it: what is behind that is added to `rest`. What
 * the library has not read is unread. */
void rest_pipe_end(struct rest_pipe *pipe, struct buf *rest);
/* As far as the client takes it. True: nothing is on its way any more. */
bool rest_pipe_flush(struct rest_pipe *pipe);
/* The library has closed its connection, or is about to. */
void rest_pipe_leave(struct rest_pipe *pipe);

#endif
