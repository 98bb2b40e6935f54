/* The sending half of import: a few connections, each with a thread.
 *
 * All lines of one namespace go over one of them, in order. What is for
 * different namespaces is on its way at the same time: the server writes it to
 * its disk together. Rows travel in transactions of up to 1000.
 *
 * A line that is refused ends everything: what stands before it in the input is
 * still stored, what stands behind it may be, in other namespaces. */
#ifndef CLI_SEND_H
#define CLI_SEND_H

#include "cli/cli.h"
#include "cli/known.h"
#include "cli/lines.h"

struct sender; /* opaque */

/* How long a registry may be gone in the middle. */
enum { SENDER_PATIENCE_MS = 60000 };

/* What has come of the lines so far. */
struct sent {
    uint64_t rows;    /* of these: */
    uint64_t changed; /* were not there like that before */
    uint64_t spaces;
    uint64_t masked; /* fields left out, because they were "***" */
};

/* `name` is the file's, for complaints. Lends the types: they change only
 * between sender_wait and the next line. */
struct sender *sender_start(struct cli *cli, const char *name,
                            const struct known_types *types) MUST_USE;
/* Takes a put or ns-put. May wait for room. False: it has failed, stop. */
bool sender_line(struct sender *sender, struct line *line) MUST_USE;
/* Everything so far is done. False: it has failed. */
bool sender_wait(struct sender *sender) MUST_USE;
/* Waits for what is out, tells what failed, frees. */
enum cli_exit sender_stop(struct sender *sender, struct sent *ret_sent);

#endif
