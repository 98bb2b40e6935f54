/* Who did what: one JSON line for each change and each denial, in files that
 * are rotated and whose lines are chained by hashes.
 *
 *   {"seq":7,"time":"2030-01-02T03:04:05.678Z","node":"n1","who":"user ann",
 *    "from":"10.0.0.7","request":"4bf92f3577b34da6a3ce929d0e0e4736","op":"row
 * put", "ns":"web.shop.roster","type":"service","id":"api","outcome":"ok",
 *    "status":200,"revision":42,"prev":"<64 hex>","hash":"<64 hex>"}
 *
 * `hash` is the SHA-256 of the line up to and without its member "hash"; `prev`
 * is that of the line before, over the ends of files and restarts of the
 * process; the very first has 64 zeros. A line is written (not synced) before
 * its answer is sent, so a killed process has lost none; synced every second.
 *
 * Any thread. */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/own.h"

struct audit; /* opaque */

enum { AUDIT_WHY = 256 };

struct audit_config {
    const char *dir;
    const char *node;
    uint64_t file_bytes; /* a new file behind that */
    unsigned files;      /* kept */
};

/* Goes on with the chain that is there. Answers: INVALID (`why`: the directory,
 * or a last line that does not fit). Faults: IO, SYSTEM. */
int audit_open(const struct audit_config *config, struct audit **ret_audit,
               char why[AUDIT_WHY]) MUST_USE;
/* Always NULL; takes NULL. */
struct audit *audit_close(struct audit *audit);

/* Texts are lent; n == 0: left out. */
struct audit_line {
    struct str who, from, request, op, ns, type, id;
    struct str outcome; /* "ok", "denied", "refused", "unknown", "failed" */
    struct str detail;  /* of a denial: which permission was missing */
    unsigned status;
    uint64_t revision; /* 0: none */
};
/* Takes NULL as audit: nothing is written. Faults: IO, DISK_FULL (counted and
 * logged, at most once a second). */
int audit_write(struct audit *audit, const struct audit_line *line) MUST_USE;

struct audit_head {
    uint64_t seq; /* of the last line, 0: none */
    char hash[65];
    char file[256];
    uint64_t failed; /* lines that could not be written */
};
void audit_head(struct audit *audit, struct audit_head *ret_head);
void audit_metrics(struct audit *audit, struct buf *out);

/* Reads all files of a directory, oldest first. Answers: INVALID (the chain is
 * broken: `why` says in which file and line). Faults: IO. */
struct audit_verdict {
    uint64_t lines, first_seq, last_seq;
    char hash[65]; /* of the last */
};
int audit_verify(const char *dir, struct audit_verdict *ret_verdict,
                 char why[AUDIT_WHY]) MUST_USE;

#endif
