#include "base/err.h"

#include <assert.h>
#include <stdio.h>

/* One per thread: a fault is raised, carried up and logged on one thread. */
static _Thread_local char origin[96];

const char *err_text(int r)
{
    switch (r) {
#define X(name, number, text)                                                  \
    case ERR_##name:                                                           \
        return text;
        ERR_LIST(X)
#undef X
    default:
        return r == 0 ? "done" : "unknown code";
    }
}

int err_raise_at(int fault, const char *file, int line)
{
    assert(fault < 0);
    (void)snprintf(origin, sizeof origin, "%s:%d", file, line);
    return fault;
}

const char *err_origin(void)
{
    return origin;
}
