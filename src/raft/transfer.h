/* State files on a connection between two nodes: what is asked, what is
 * answered, and both ends of it. Knows nothing of the core. Private.
 *
 *     connected, hands shaken (PEER_FILE)
 *        ─► request: this file, from this byte | which is your newest
 *        ◄─ answer: how large it is, its sums; then its bytes
 *        ─► the next request …
 *
 * A transfer that broke goes on where it broke, but only of the same file: its
 * name says which, the sum of its content that it is that one.
 *
 * What holds memory is one block of TRANSFER_BLOCK, on one side. Any thread;
 * each call lasts as long as the connection and the disk need, and ends when
 * the other side is silent for as long as the descriptor's timeouts say. */
#ifndef RAFT_TRANSFER_H
#define RAFT_TRANSFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "state/state.h"

enum {
    TRANSFER_NAME = 64, /* of a file, with its NUL */
    TRANSFER_REQUEST = 128,
    TRANSFER_ANSWER = 152,
    TRANSFER_BLOCK = 64 * 1024,
    /* So much is on its way to the disk at most, and behind it nothing stays
     * in the page cache: who writes the log beside it hardly waits. */
    TRANSFER_BEHIND = 1024 * 1024,
    TRANSFER_REST_MOST_US = 50 * 1000,
};

/* Numbers cross the wire. */
enum transfer_kind {
    TRANSFER_FILE = 1, /* the bytes of a file */
    TRANSFER_NEWEST,   /* which is the newest state file */
};

/* Bytes, little-endian:
 *   0 u32 kind | 4 u32 0 | 8 u64 offset | 16 u64 index | 24 image:32
 *   56 file:64, filled up with NULs | 120 u64 0 */
struct transfer_request {
    enum transfer_kind kind;
    uint64_t offset;   /* FILE: of the first byte that is wanted, else 0 */
    uint64_t index;    /* NEWEST: it must reach it, else 0 */
    uint8_t image[32]; /* FILE: what it must be, all zero: whatever it is */
    char file[TRANSFER_NAME]; /* FILE, else "" */
};

/* Bytes, little-endian:
 *   0 u32 code | 4 u32 0 | 8 u64 bytes | 16 u64 index | 24 image:32
 *   56 state:32 | 88 file:64, filled up with NULs
 * With a code all else is zero. */
struct transfer_answer {
    int code;       /* 0; NOT_FOUND, BUSY, or another answer of err.h */
    uint64_t bytes; /* of the whole file */
    uint64_t index; /* of the state in it */
    uint8_t image[32], state[32];
    char file[TRANSFER_NAME];
};

void transfer_request_encode(const struct transfer_request *request,
                             uint8_t ret_bytes[TRANSFER_REQUEST]);
/* Answers: INVALID. */
int transfer_request_decode(const uint8_t bytes[TRANSFER_REQUEST],
                            struct transfer_request *ret_request) MUST_USE;
void transfer_answer_encode(const struct transfer_answer *answer,
                            uint8_t ret_bytes[TRANSFER_ANSWER]);
/* Answers: INVALID. */
int transfer_answer_decode(const uint8_t bytes[TRANSFER_ANSWER],
                           struct transfer_answer *ret_answer) MUST_USE;

/* A name that a state file has, or one that was staged: never a path. */
bool transfer_is_name(const char *name);

/* ---- the side that has files ---- */

struct transfer_source {
    const char *directory;
    void *user;
    /* Answers: NOT_FOUND. */
    int (*newest)(void *user, char ret_file[TRANSFER_NAME]);
    /* This one is being sent, so large as a whole. */
    void (*begins)(void *user, const char *file, uint64_t bytes);
    void (*sent)(void *user, uint64_t bytes);
};

/* Serves one connection until the other side ends it. Faults: IO (it broke, or
 * asked for what nobody may ask). */
int transfer_serve(int fd, const struct transfer_source *source) MUST_USE;

/* ---- the side that wants one ---- */

/* Answers: those of the other side, INVALID when it makes no sense. Faults: IO.
 */
int transfer_ask(int fd, const struct transfer_request *request,
                 struct transfer_answer *ret_answer) MUST_USE;
/* `n` bytes from the connection behind what `to` has; *moved counts them as
 * they come. Faults: IO (the connection), DISK_FULL, SYSTEM (the file). */
int transfer_receive(int fd, int to, uint64_t n,
                     _Atomic uint64_t *moved) MUST_USE;
/* Sleeps about as long as it worked since *since_us, and notes when it woke:
 * who moves the whole state leaves half of the disk to others. */
void transfer_rest(uint64_t *since_us);

#endif
