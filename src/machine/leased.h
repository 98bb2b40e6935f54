/* What the state says of a lease that the lease table has to know. One function
 * for the machine, which tells its hooks, and for who loads the table. */
#ifndef MACHINE_LEASED_H
#define MACHINE_LEASED_H

#include "machine/machine.h"
#include "store/store.h"

/* Whether it is in maintenance or flaps: not to be ended for silence. */
int machine_lease_spared(struct store_txn *txn, struct str hostname,
                         bool *ret_spared) MUST_USE;
/* hostname lent from `lease`, scopes in `arena`. `registered` is false. Costs
 * the placements, each as deep as it lies. */
int machine_lease_read(struct store_txn *txn, const struct store_lease *lease,
                       struct arena *arena,
                       struct machine_lease *ret_lease) MUST_USE;

/* What the log says of a scope of the breaker; of one it does not know, that it
 * is closed. `path` and `left_ms` are not set. */
int machine_breaker_get(struct store_txn *txn, uint64_t scope,
                        struct machine_breaker *ret_breaker) MUST_USE;
/* Those of the scopes that are not closed, by number,
 * behind `after` (NULL: the first). `path` is "", `left_ms` 0. Answers: END. */
int machine_breaker_next(struct store_txn *txn, const uint64_t *after,
                         struct machine_breaker *ret_breaker) MUST_USE;

#endif
