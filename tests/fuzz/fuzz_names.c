/* Hostnames that another node sends: whatever comes, only names that fit are
 * given out, all of them inside what came, and encoding them again gives the
 * same bytes. */
#include "base/err.h"
#include "registry/names.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    /* A copy that ends where it ends. */
    char *copy = mem_dup(bytes, n);
    struct str left = {copy, n};
    struct str name = STR_NONE;
    struct buf again = {0};
    int r;

    while ((r = names_next(&left, &name)) == 0) {
        REQUIRE(names_fits(name));
        REQUIRE(name.p > copy && name.p + name.n <= copy + n);
        names_add(&again, name);
    }
    REQUIRE(r == ERR_END || r == ERR_INVALID);
    REQUIRE(again.n + left.n == n);
    REQUIRE(again.n == 0 || memcmp(again.p, copy, again.n) == 0);
    buf_done(&again);
    (void)mem_free(copy);
    return 0;
}
