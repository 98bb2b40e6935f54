#include "registry/names.h"

#include <assert.h>

#include "base/err.h"
#include "model/name.h"

bool names_fits(struct str name)
{
    return name.n > 0 && name.n <= NAME_PATH_MAX;
}

void names_add(struct buf *out, struct str name)
{
    assert(names_fits(name));
    buf_add_le(out, name.n, 1);
    buf_add_str(out, name);
}

int names_next(struct str *io_left, struct str *ret_name)
{
    if (io_left->n == 0) {
        return ERR_END;
    }
    size_t n = (uint8_t)io_left->p[0];
    struct str name = {io_left->p + 1, n};
    if (n + 1 > io_left->n || !names_fits(name)) {
        return ERR_INVALID;
    }
    io_left->p += n + 1;
    io_left->n -= n + 1;
    *ret_name = name;
    return 0;
}
