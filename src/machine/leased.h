/* What the state says of a lease that the lease table has to know. One function
 * for the machine, which tells its hooks, and for who loads the table. */
#ifndef MACHINE_LEASED_H
#define MACHINE_LEASED_H

#include "machine/machine.h"
#include "store/store.h"

/* hostname lent from `lease`, scopes in `arena`. `registered` is false. Costs
 * the placements, each as deep as it lies. */
int machine_lease_read(struct store_txn *txn, const struct store_lease *lease,
                       struct arena *arena,
                       struct machine_lease *ret_lease) MUST_USE;

#endif
