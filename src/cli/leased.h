/* Which rows are machines that an agent keeps registered: their `_id`s. Costs
 * 27 bytes for each. */
#ifndef CLI_LEASED_H
#define CLI_LEASED_H

#include "cli/ask.h"

struct leased {
    char (*ids)[27];
    size_t n;
    size_t room;
};

enum cli_exit leased_read(struct cli *cli, struct leased *ret_leased) MUST_USE;
bool leased_has(const struct leased *leased, const char *id) MUST_USE;
void leased_done(struct leased *leased);

#endif
