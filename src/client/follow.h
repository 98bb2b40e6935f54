/* One watch over many streams: pieces of lines in, events out. Knows what was
 * told and where to go on; asks nobody and waits for nothing.
 *
 *   LISTING --progress, reset--> GOING     initial rows come; lost among them,
 *                                          they are asked for anew
 *   NOWHERE --anything-----------> GOING   no revision is known yet
 *   GOING                                  what is not above `revision` was
 *                                          told before */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include <stdbool.h>

#include "base/mem.h"
#include "roster.h"

/* An event has a row and what it was: twice 256 KiB, and some names. */
enum { FOLLOW_LINE_MOST = 1 << 20 };

enum follow_state { FOLLOW_LISTING, FOLLOW_NOWHERE, FOLLOW_GOING };

/* Why a stream is not read on. */
enum follow_end {
    FOLLOW_NOT_ENDED,
    FOLLOW_BYE,
    FOLLOW_STOPPED,  /* tell() said so */
    FOLLOW_GARBAGE,  /* `line` is no event */
    FOLLOW_TOO_LONG, /* nor is one of this length */
};

struct follow {
    const struct roster_watch *watch;
    const char *server; /* lent: of the stream that is read */
    enum follow_state state;
    enum follow_end end;
    uint64_t revision;  /* GOING: all up to it was told */
    bool connected;     /* this stream has sent something */
    bool moved;         /* it has brought `revision` forward */
    bool has_told_rows; /* LISTING: some */
    struct buf line;    /* what has come of one */
};

void follow_init(struct follow *follow, const struct roster_watch *watch);
void follow_done(struct follow *follow);
/* The query of the next stream. Gives (free). */
char *follow_query(const struct follow *follow) MUST_USE;
/* A new stream; half a line of the last one is forgotten. */
void follow_begin(struct follow *follow, const char *server);
/* For roster_stream's take: not 0 when follow->end says why. */
int follow_take(const void *bytes, size_t n, void *user);
/* Tells that the stream is lost; not 0 when tell() ends the watch. */
int follow_lost(struct follow *follow, const char *why) MUST_USE;

#endif
