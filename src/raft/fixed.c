/* States of other nodes, for the time being. */
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "raft/inside.h"

void install_init(struct core *core)
{
    (void)core;
}
bool install_holds(struct core *core, struct raft_message *m)
{
    (void)core;
    (void)m;
    return false;
}
void install_turn(struct core *core, uint64_t n)
{
    (void)core;
    (void)n;
}
void install_apply(struct core *core, const struct state_info *info)
{
    (void)core;
    (void)info;
    abort();
}
void install_done(struct core *core)
{
    (void)core;
}
void serve_accepted(struct core *core, const struct peer_id *f, int fd)
{
    (void)core;
    (void)f;
    close(fd);
}
