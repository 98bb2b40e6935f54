/* How many may wait for changes: streams and long polls of all loops together.
 * Each holds a connection for as long as it likes. */
#include "rest/state.h"

bool rest_watchers_take(struct rest *rest)
{
    if (atomic_fetch_add(&rest->n_watchers, 1) < rest->config.max_watchers) {
        return true;
    }
    atomic_fetch_sub(&rest->n_watchers, 1);
    return false;
}

void rest_watchers_give(struct rest *rest)
{
    atomic_fetch_sub(&rest->n_watchers, 1);
}

struct rest_problem rest_watchers_problem(void)
{
    return rest_problem_make(
        503,
        STR("as many streams and long polls as there may be (--max-watchers) "
            "are open: try again, or another node"),
        STR_NONE);
}
