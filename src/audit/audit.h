/* Who did what: one JSON line for each change and each denial, in files that
 * are rotated and whose lines are chained by hashes.
 *
 *   {"seq":7,"time":"2030-01-02T03:04:05.678Z","node":"n1","who":"user ann",
 *    "from":"10.0.0.7","request":"4bf92f3577b34da6a3ce929d0e0e4736",
 *    "op":"row put","ns":"web.shop.roster","type":"service","id":"api",
 *    "outcome":"ok","status":200,"revision":42,
 *    "prev":"<64 hex>","hash":"<64 hex>"}
 *
 * `hash` is the SHA-256 of the line up to and without its member "hash"; `prev`
 * is that of the line before, over the ends of files and restarts of the
 * process; the very first has 64 zeros. A line is written (not synced) before
 * its answer is sent, so a killed process has lost none; synced every second.
 *
 * What a power cut has torn at the end stays where it is; the process goes on
 * behind it with a line `audit resume` that says how many bytes that are and
 * what their hash is. Lines that could not be written are told of by a line
 * `audit gap`, when there is room again.
 *
 * The chain has no key: who may write to the files can make another one, whole,
 * and nobody can see from inside that its end is gone. Both are found by a head
 * that was noted somewhere else.
 *
 * Invariants
 *   [AUDIT-1] a line that audit_write has taken is in the file.
 *   [AUDIT-2] one line of the file is one line that was written: no value
 *             can end it or add a member.
 *   [AUDIT-3] a whole line stands in the file, or nothing of it.
 *
 * Any thread. Who writes while another does waits for him, and he writes what
 * has come meanwhile with one call. */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/own.h"

struct audit; /* opaque */

enum { AUDIT_WHY = 320 };

struct audit_config {
    const char *dir;
    const char *node;
    uint64_t file_bytes; /* a new file behind that */
    unsigned files;      /* kept */
};

/* Goes on with the chain that is there. Answers: INVALID (`why`: what is wrong
 * with the directory, as that another process writes there). Faults: IO,
 * DISK_FULL, SYSTEM. */
int audit_open(const struct audit_config *config, struct audit **ret_audit,
               char why[AUDIT_WHY]) MUST_USE;
/* Always NULL; takes NULL. */
struct audit *audit_close(struct audit *audit);

/* The node's name in each line. Lends. */
const char *audit_node(const struct audit *audit);

/* Texts are lent; n == 0: left out. They are cut behind 1 KiB, `about` behind
 * 16. */
struct audit_line {
    struct str who, token, from, request, op, ns, type, id;
    struct str about;   /* what else it names, as "to=lab.roster" */
    struct str outcome; /* "ok", "denied", "refused", "unknown", "failed" */
    struct str detail;  /* of a denial: which permission was missing */
    unsigned status;
    uint64_t revision; /* 0: none */
};
/* Takes NULL as audit: nothing is written. Faults: IO, DISK_FULL: counted and
 * logged here, at most once a second, so a caller may leave it at that. */
int audit_write(struct audit *audit, const struct audit_line *line);

/* The same for threads that may not wait: it is written soon, and what cannot
 * be is counted. Lines of others may come before it. */
void audit_post(struct audit *audit, const struct audit_line *line);
/* Whether a line would find room now: what must not happen unseen is refused
 * when not. Takes NULL: true. */
bool audit_ready(struct audit *audit);

enum { AUDIT_HASH = 65 }; /* hexadecimal, with a NUL behind */

struct audit_head {
    uint64_t seq; /* of the last line, 0: none */
    char hash[AUDIT_HASH];
    char file[64];
    uint64_t written;         /* lines, by this process */
    uint64_t failed;          /* lines that could not be written */
    uint64_t unsynced_failed; /* times that syncing failed */
    uint64_t files;
    bool ready;
};
void audit_head(struct audit *audit, struct audit_head *ret_head);
/* Takes NULL: nothing. */
void audit_metrics(struct audit *audit, struct buf *out);

/* ---- offline ---- */

struct audit_noted {
    uint64_t seq;
    char hash[AUDIT_HASH];
};
/* "SEQ:HASH", as `roster audit head` prints it. Answers: INVALID. */
int audit_noted_parse(struct str text, struct audit_noted *ret_noted) MUST_USE;

struct audit_verdict {
    uint64_t files, lines, first_seq, last_seq;
    char hash[AUDIT_HASH]; /* of the last; "" when there is none */
    bool begins_later;     /* the first line is not the very first: what was
                              before it is in no file, and not checked */
    uint64_t torn;       /* places where something was torn, and it was told */
    uint64_t open_bytes; /* torn at the very end: nobody went on yet */
    uint64_t gaps;       /* lines `audit gap` */
    bool noted_gone;     /* the noted line lies before the first */
};
/* Reads all files of a directory, oldest first. `noted` may be NULL. Answers:
 * INVALID (the chain is broken, or is not the one that was noted: `why` says
 * in which file and line), NOT_FOUND (no such files). Faults: IO. */
int audit_verify(const char *dir, const struct audit_noted *noted,
                 struct audit_verdict *ret_verdict,
                 char why[AUDIT_WHY]) MUST_USE;

#endif
