/* A file that somebody else wrote: is it a store's? */
#include <stdio.h>
#include <string.h>

#include "store/kv.h"

int store_check_file(const char *file, struct store_found *ret_found)
{
    memset(ret_found, 0, sizeof *ret_found);
    int r = store_digest_file(file, ret_found->digest, &ret_found->meta);
    if (r == ERR_CORRUPT) {
        (void)snprintf(ret_found->why, sizeof ret_found->why,
                       "it cannot be read");
    }
    return r;
}
