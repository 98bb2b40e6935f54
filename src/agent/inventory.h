/* The inventories of this machine, in the registry wherever the machine is.
 *
 * Each is collected again and again by a process of its own (child.h) and then
 * brought to every namespace that the machine is placed in, one request at a
 * time, so that a heartbeat never waits for more than one:
 *
 *   due ─► collecting ─► for each placement: equal to what was stored?
 *                          yes ─► still there? (HEAD, If-None-Match)
 *                                   yes ─► next placement
 *                          no, or not there any more ─► PUT, under the lease
 *                        then: away from where the machine is not any more
 *
 * Trouble with one is logged once, delays that one and nothing else. One
 * thread. */
#ifndef AGENT_INVENTORY_H
#define AGENT_INVENTORY_H

#include <poll.h>
#include <stdbool.h>

#include "agent/session.h"
#include "base/mem.h"

#define INVENTORY_MAX 5

struct inventories; /* opaque */

/* `list` is "interfaces,units" or "all" or empty. Answers: INVALID, with the
 * name that is none in *ret_wrong, lent out of the list. */
int inventories_new(const char *list, uint64_t every_ms, struct str *ret_wrong,
                    struct inventories **ret_inventories) MUST_USE;
/* Ends what is being collected. */
struct inventories *inventories_free(struct inventories *inventories);

/* All are due now: the machine is new in the registry, it was placed elsewhere,
 * or somebody asked. What was stored is not taken for stored any more when
 * `forget`. */
void inventories_hurry(struct inventories *inventories, uint64_t now_ms,
                       bool forget);
/* When inventories_step has something to do; UINT64_MAX: never. */
uint64_t inventories_at(const struct inventories *inventories, uint64_t now_ms,
                        bool quiet) MUST_USE;
/* What shall wake it sooner; at most INVENTORY_MAX. */
size_t inventories_poll(const struct inventories *inventories,
                        struct pollfd *ret_fds) MUST_USE;
/* Starts what is due, takes what is collected, and makes at most one request.
 * Not `quiet`, while the registry does not know the machine or does not answer:
 * what runs is looked after, nothing is begun. */
void inventories_step(struct inventories *inventories, struct session *session,
                      bool quiet);

#endif
