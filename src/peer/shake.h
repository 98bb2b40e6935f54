/* The bytes of a handshake, and of a call's request and reply. For this room's
 * sources, its tests and the fuzzer.
 *
 * Invariants
 *   [SHAKE-1] what is decoded is written again as the same bytes: there is one
 *             way to say each thing, and nothing is skipped over. */
#ifndef PEER_SHAKE_H
#define PEER_SHAKE_H

#include "peer/peer.h"

enum {
    SHAKE_HEAD = 16,                           /* magic, version, size */
    SHAKE_ID = 384,                            /* a struct peer_id */
    SHAKE_HELLO = SHAKE_HEAD + 16 + SHAKE_ID,  /* the whole hello */
    SHAKE_VERDICT = SHAKE_HEAD + 8 + PEER_WHY, /* an answer up to its id */
    SHAKE_ANSWER = SHAKE_VERDICT + SHAKE_ID,
    SHAKE_SIZE = 4, /* in front of a request or reply */
};

struct shake_hello {
    enum peer_kind kind;
    uint64_t expects;
    struct peer_id from;
};

struct shake_answer {
    enum peer_verdict verdict;
    char why[PEER_WHY];
    struct peer_id self;
};

/* May it be told to others? See struct peer_id. */
bool shake_id_is_valid(const struct peer_id *id) MUST_USE;

/* The first SHAKE_HEAD bytes of a hello, or an answer: of which protocol, and
 * for PEER_PROTOCOL also that the size is right. Answers: INVALID. */
int shake_hello_version(const uint8_t *bytes, uint32_t *ret_version) MUST_USE;
int shake_answer_version(const uint8_t *bytes, uint32_t *ret_version) MUST_USE;

/* hello->from and answer->self are valid (asserted). */
void shake_hello_encode(const struct shake_hello *hello,
                        uint8_t ret_bytes[SHAKE_HELLO]);
void shake_answer_encode(const struct shake_answer *answer,
                         uint8_t ret_bytes[SHAKE_ANSWER]);
/* All of one of PEER_PROTOCOL, the head included. Answers: INVALID. */
int shake_hello_decode(const uint8_t bytes[SHAKE_HELLO],
                       struct shake_hello *ret_hello) MUST_USE;
int shake_answer_decode(const uint8_t bytes[SHAKE_ANSWER],
                        struct shake_answer *ret_answer) MUST_USE;
/* The part of an answer that is the same in every protocol: its verdict and its
 * sentence. Answers: INVALID. */
int shake_verdict_decode(const uint8_t bytes[SHAKE_VERDICT],
                         struct shake_answer *ret_answer) MUST_USE;

/* The number in front of a request or reply: the bytes that follow it.
 * Answers: TOO_LARGE. */
int shake_size_decode(const uint8_t bytes[SHAKE_SIZE],
                      size_t *ret_size) MUST_USE;

#endif
