/* The chain of lines: what makes the next one, and whether bytes are one.
 *
 *   line    {"seq":N, TEXT ,"prev":"<64 hex>" ,"hash":"<64 hex>"} LF
 *   hashed  |---------------------------------|
 *
 * A line fits when its hash is its own, its prev is the hash of the last that
 * fitted, and its number the next. What is no line, or one whose hash is not
 * its own, is torn, if the next that fits is an `audit resume` that says so:
 * its detail is "torn BYTES HASH". Private to the room. Pure. */
#ifndef AUDIT_CHAIN_H
#define AUDIT_CHAIN_H

#include "audit/audit.h"
#include "base/sha256.h"

/* Ten values of 1 KiB and one of 16, each byte of which is six at most. */
enum { CHAIN_LINE_MOST = 192 << 10 };

#define CHAIN_RESUME "audit resume"
#define CHAIN_GAP "audit gap"

struct chain_head {
    uint64_t seq; /* 0: there is no line yet */
    char hash[AUDIT_HASH];
};

/* The head of a chain without lines. */
struct chain_head audit_chain_none(void);
/* Appends the next line, made of what stands between its number and prev; the
 * head is then its. */
void audit_chain_add(struct chain_head *head, struct str text, struct buf *out);

void audit_chain_hex(const uint8_t digest[SHA256_BYTES],
                     char ret_hex[AUDIT_HASH]);

/* ---- reading ---- */

struct chain {
    struct chain_head head; /* of the last line that fitted */
    struct audit_verdict verdict;
    const struct audit_noted *noted; /* NULL: none */
    uint64_t place;                  /* lines of this file, for complaints */
    uint64_t offset;                 /* bytes of this file so far */
    uint64_t good;                   /* of these: up to the end of a line that
                                        fitted */
    struct sha256 *torn;             /* NULL: nothing is torn here */
    uint64_t torn_bytes;
    struct buf part; /* of a line whose end has not come */
};

void audit_chain_begin(struct chain *chain, const struct audit_noted *noted);
/* The next bytes of a file. Answers: INVALID. */
int audit_chain_feed(struct chain *chain, const void *bytes, size_t n,
                     char why[AUDIT_WHY]) MUST_USE;
/* A file is over. Answers: INVALID. */
int audit_chain_end_file(struct chain *chain, bool last,
                         char why[AUDIT_WHY]) MUST_USE;
/* All are: the verdict, in chain->verdict. Answers: INVALID. */
int audit_chain_end(struct chain *chain, char why[AUDIT_WHY]) MUST_USE;
void audit_chain_done(struct chain *chain);

#endif
