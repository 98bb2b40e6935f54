/* Calls receivers: many requests at once, none waits for another.
 *
 * What is called is what somebody wrote into a row, so: http and https only, no
 * redirects, no proxy, no address that allow.h refuses, TLS verified, an answer
 * is read up to 64 KiB and thrown away. The status line says yes or no.
 *
 * Thread: one, but sender_wake is any's. */
#ifndef HOOK_SENDER_H
#define HOOK_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "hook/allow.h"

struct sender; /* opaque */

struct sender_config {
    const struct allow *allow; /* lent */
    uint64_t connect_ms;
    uint64_t whole_ms; /* of a request, to the end of its answer */
};

enum { SENDER_WHY = 160, SENDER_HOST = 272 };

/* Once for each request, from sender_run. `why`: it said no, or nothing: a
 * clause for a person; NULL: it said yes. */
typedef void sender_done_func(void *user, void *request, const char *why);

struct sender *sender_new(const struct sender_config *config) MUST_USE;
/* Requests that are out are cut; nobody is told. */
struct sender *sender_free(struct sender *sender);
void sender_cut(struct sender *sender);

/* "host:port" of what may be called. Answers: INVALID (why tells). */
int sender_host_of(const char *url, char ret_host[SENDER_HOST],
                   const char **ret_why) MUST_USE;
/* POST. Takes `body`; `headers` are whole lines, NULL at the end, copied. */
void sender_send(struct sender *sender, const char *url, struct buf *body,
                 const char *const *headers, void *request);
/* It is cut; nobody is told. */
void sender_cancel(struct sender *sender, const void *request);
/* Goes on with what is out; waits until there is something to do, at most so
 * long. */
void sender_run(struct sender *sender, uint64_t most_ms, sender_done_func *done,
                void *user);
/* sender_run comes back. Any thread. */
void sender_wake(struct sender *sender);

#endif
