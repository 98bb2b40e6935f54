/* The whole replicated state as a file: what a snapshot names, what a backup
 * is. api/state-file.md has the bytes.
 *
 * A file is written whole and synced before anybody is told its name; its
 * header comes last, so one that was cut short has none. Reading one trusts
 * nothing: who sent it may be a stranger.
 *
 * Invariants
 *   [STATE-1] what state_file_check and state_image_check accept can be opened
 *             and served: no byte of it leads to a crash later.
 *
 * Any thread; each call lasts as long as the disk needs. */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "store/store.h"

#define STATE_DESCRIPTOR_BYTES 288
#define STATE_WHY 256 /* a sentence for a person, with its NUL */

/* The header of a state file, and the descriptor libraft keeps of it. */
struct state_info {
    uint8_t cluster[16];
    char node[64];
    char file[64];  /* its name; in the descriptor only */
    uint64_t index; /* descriptor: of the snapshot; header: applied */
    uint64_t revision;
    uint64_t size; /* bytes of the LMDB image */
    uint8_t image[32];
    uint8_t state[32]; /* store_digest_file */

    /* Not in the header: known of a file that was written or checked. */
    char domain[256];
    uint64_t n_rows, n_ns, n_leases;
    uint64_t feature_level;
};

/* Told now and then how far a check or copy has come; `func` may be NULL. */
struct state_watch {
    void (*func)(uint64_t done_bytes, uint64_t total_bytes, void *user);
    void *user;
};

/* Bytes of the whole file. */
uint64_t state_file_bytes(const struct state_info *info);

/* Make a state file of the newest commit in directory/name; the image lies
 * beside it for a moment. What is half done is removed. Faults: IO, DISK_FULL,
 * CORRUPT, SYSTEM. */
int state_file_write(struct store *store, const char *node_id,
                     const char *directory, const char *name,
                     struct state_info *ret_info) MUST_USE;
/* The header alone, with its sum. Answers: INVALID, NOT_FOUND. */
int state_file_head(const char *path, struct state_info *ret_info,
                    char why[STATE_WHY]) MUST_USE;
/* Everything: the header, the size to the byte, the sum of the image, then the
 * image as state_image_check does. Needs room for the image beside the file or
 * in TMPDIR while it lasts. Answers: INVALID (`why` says what is wrong with the
 * file). Faults: IO (also: it cannot be read), DISK_FULL, SYSTEM. */
int state_file_check(const char *path, const struct state_watch *watch,
                     struct state_info *ret_info, char why[STATE_WHY]) MUST_USE;
/* The image out of a file into `to`, synced, with header, size and sum held
 * against it. Answers and faults as state_file_check. */
int state_file_unpack(const char *path, const char *to,
                      const struct state_watch *watch,
                      struct state_info *ret_info,
                      char why[STATE_WHY]) MUST_USE;
/* An unpacked image: every page, every record, the digest, and that it is what
 * `info` says. Fills in what the header does not tell. Answers and faults as
 * state_file_check. */
int state_image_check(const char *image, struct state_info *info,
                      char why[STATE_WHY]) MUST_USE;

void state_describe(const struct state_info *info,
                    uint8_t ret_bytes[STATE_DESCRIPTOR_BYTES]);
/* Answers: INVALID. */
int state_read_descriptor(const void *bytes, size_t n,
                          struct state_info *ret_info) MUST_USE;

/* ---- for this room's files and tests ---- */

enum { STATE_HEADER_BYTES = 4096 };
void state_head_encode(const struct state_info *info,
                       uint8_t ret_bytes[STATE_HEADER_BYTES]);
/* Answers: INVALID. */
int state_head_decode(const uint8_t bytes[STATE_HEADER_BYTES],
                      struct state_info *ret_info,
                      char why[STATE_WHY]) MUST_USE;

#endif
