/* What operations on users share. Private to the room. */
#ifndef REGISTRY_USERS_H
#define REGISTRY_USERS_H

#include "registry/grants.h"

/* Whether it may be one, and the request one that sets it: 0, or ANSWERED with
 * 400. */
int users_check_password(struct op_state *s, struct str password) MUST_USE;
/* Ends all sessions of a user with the command. Answers: NEEDS_WORKER. Faults
 * of the store. */
int users_end_sessions(struct op_state *s, struct store_txn *txn,
                       struct str user, struct grants_write *write) MUST_USE;

#endif
