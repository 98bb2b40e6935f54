/* stdout of a command that goes on until it is told to end: each line is
 * written when it comes, and a reader that does not read, or is gone, is no
 * reason not to hear a signal. */
#ifndef CLI_OUTLET_H
#define CLI_OUTLET_H

#include <stdbool.h>

#include "base/mem.h"

struct outlet {
    int wake;    /* readable when the command has to end */
    int signals; /* SIGINT, SIGTERM */
    int fault;   /* errno of a write; 0: none */
};

/* From here on the signals end nothing but what waits for `wake`. */
void outlet_open(struct outlet *outlet);
void outlet_close(struct outlet *outlet);
/* A whole line with its end. False: the command has to end. */
bool outlet_write(struct outlet *outlet, struct str line) MUST_USE;

#endif
