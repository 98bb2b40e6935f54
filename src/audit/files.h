/* The files of a directory: audit-<seq of its first line>.jsonl, so that their
 * names sort as they were written. Private to the room; one thread at a time.
 */
#ifndef AUDIT_FILES_H
#define AUDIT_FILES_H

#include "audit/chain.h"

enum { FILES_NAME = 64 };

/* The names, oldest first. Gives *ret_names and what is in it (mem_free).
 * Faults: IO. */
int audit_files_list(int dir, char ***ret_names, size_t *ret_n) MUST_USE;
void audit_files_list_free(char **names, size_t n);
/* Calls audit_chain_feed with all of a file. Answers: INVALID, NOT_FOUND.
 * Faults: IO.
 */
int audit_files_read(int dir, const char *name, struct chain *chain,
                     char why[AUDIT_WHY]) MUST_USE;

/* ---- writing ---- */

struct files {
    int dir; /* locked */
    int fd;  /* of the newest; -1: there is none */
    char name[FILES_NAME];
    uint64_t size;     /* of it: a write that failed is cut off there */
    uint64_t reserved; /* bytes of it that have their room on the disk */
    bool dirty;        /* the end is longer than `size` */
    size_t n;
    uint64_t file_bytes;
    size_t most;
};

/* Makes the directory and locks it. Answers: INVALID. Faults: IO, SYSTEM. */
int audit_files_open(struct files *files, const char *path, uint64_t file_bytes,
                     size_t most, char why[AUDIT_WHY]) MUST_USE;
void audit_files_close(struct files *files);
/* Opens the newest for going on behind `size` bytes of it. Faults: IO. */
int audit_files_resume(struct files *files, const char *name,
                       uint64_t size) MUST_USE;
/* All or nothing: bytes whose first line has `seq` go to the end of the newest
 * file, or into a new one when that is full. Faults: IO, DISK_FULL. */
int audit_files_append(struct files *files, uint64_t seq,
                       struct str bytes) MUST_USE;
/* Whether there is room on the disk for what is on its way. */
bool audit_files_reserve(struct files *files);

#endif
