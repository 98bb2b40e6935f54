/* What a handle is, for the files of this room. */
#ifndef CLIENT_INSIDE_H
#define CLIENT_INSIDE_H

#include "client/exchange.h"
#include "roster.h"

struct server {
    char *url;
    unsigned failures;      /* in a row */
    uint64_t not_before_ms; /* asked after the others until then */
};

struct roster {
    struct exchange *exchange;
    struct server *servers;
    size_t n_servers;
    size_t preferred; /* the one that answered last */
    char *user_agent;
    char *token;           /* NULL: none */
    char *ca, *cert, *key; /* files; NULL: none */
    uint64_t connect_ms;
    uint64_t total_ms;
    uint64_t patience_ms;
    int wake_fd;
    struct roster_error error;
};

/* Leaves the error and says so. */
enum roster_result client_invalid(struct roster *roster,
                                  const char *detail) MUST_USE;

/* How long to wait after so many failures in a row (from 1). */
uint64_t client_pause_after(unsigned failures) MUST_USE;
/* Waits; true when the wake descriptor ended it. */
bool client_pause(const struct roster *roster, uint64_t ms) MUST_USE;
#endif
