/* Members as --cluster lists them, for the time being. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "raft/inside.h"
struct members {
    int x;
};
void members_init(struct core *core)
{
    core->members = mem_zero(sizeof *core->members);
    if (core->config.cluster == NULL) {
        raft_configuration_init(&core->first);
    }
}
void members_done(struct core *core)
{
    core->members = mem_free(core->members);
}
void members_turn(struct core *core, uint64_t n)
{
    (void)core;
    (void)n;
}
int members_address(const struct core *core, uint64_t id,
                    char ret[CORE_ADDRESS])
{
    for (unsigned i = 0; i < core->raft.configuration.n; i++)
        if (core->raft.configuration.servers[i].id == id) {
            snprintf(ret, CORE_ADDRESS, "%s",
                     core->raft.configuration.servers[i].address);
            return 0;
        }
    return ERR_NOT_FOUND;
}
void members_self(const struct core *core, struct peer_id *r)
{
    memset(r, 0, sizeof *r);
    memcpy(r->cluster, core->cluster, 16);
    r->raft_id = core->raft_id;
    r->level_least = 1;
    r->level_most = 2;
    snprintf(r->name, 64, "%s", core->node_id);
    snprintf(r->raft, 128, "%s", core->config.raft_listen);
    snprintf(r->version, 32, "0.1");
}
void members_learn(struct core *core, const struct peer_id *id)
{
    (void)core;
    (void)id;
}
enum peer_verdict members_judge(struct core *core, enum peer_kind k,
                                const struct peer_id *f, uint64_t e,
                                char why[PEER_WHY])
{
    (void)k;
    (void)why;
    if (memcmp(f->cluster, core->cluster, 16) != 0)
        return PEER_WRONG_CLUSTER;
    return e != 0 && e != core->raft_id ? PEER_WRONG_NODE : PEER_OK;
}
void members_called(struct core *core, struct peer_called *called,
                    const struct peer_id *from, struct str r)
{
    (void)core;
    (void)from;
    (void)r;
    peer_reply(called, STR(""));
}
bool members_is_voter(const struct core *core, uint64_t id)
{
    for (unsigned i = 0; i < core->raft.configuration.n; i++)
        if (core->raft.configuration.servers[i].id == id)
            return core->raft.configuration.servers[i].role == RAFT_VOTER;
    return false;
}
unsigned members_voters(const struct core *core)
{
    unsigned n = 0;
    for (unsigned i = 0; i < core->raft.configuration.n; i++)
        n += core->raft.configuration.servers[i].role == RAFT_VOTER;
    return n;
}
void members_heard(struct core *core, uint64_t id, uint64_t now)
{
    (void)core;
    (void)id;
    (void)now;
}
uint64_t members_quorum_heard_ms(const struct core *core, uint64_t now)
{
    (void)core;
    return now;
}
void members_ask(struct core *core, struct core_asked *asked)
{
    core_answer(core, asked, ERR_INVALID, STR_NONE);
}
void members_status_write(const struct core *core, struct buf *out)
{
    (void)core;
    (void)out;
}
int members_status_read(struct core *core, uint64_t id, struct str b)
{
    (void)core;
    (void)id;
    (void)b;
    return 0;
}
void members_table_write(const struct core *core, struct buf *out)
{
    (void)core;
    (void)out;
}
int members_table_read(struct core *core, struct str b)
{
    (void)core;
    (void)b;
    return 0;
}
uint64_t members_table_version(const struct core *core)
{
    (void)core;
    return 0;
}
void members_hand_over(struct core *core)
{
    (void)core;
}
void members_removed(struct core *core)
{
    (void)core;
}
bool form_is_needed(const struct core *core)
{
    return false;
    (void)core;
}
int form_start(struct core *core)
{
    (void)core;
    return 0;
}
void form_stop(struct core *core)
{
    (void)core;
}
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
#include <unistd.h>
/* static test forming: n1=host:port,... ids 1.. */
void stub_first(struct core *core);
void stub_first(struct core *core)
{
    raft_configuration_init(&core->first);
    if (core->config.cluster == NULL) {
        memset(core->cluster, 7, 16);
        (void)!raft_configuration_add(&core->first, core->raft_id,
                                      core->config.raft_listen, RAFT_VOTER);
        return;
    }
    memset(core->cluster, 9, 16);
    char *t = strdup(core->config.cluster), *save = NULL;
    unsigned i = 0;
    for (char *p = strtok_r(t, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
        char *e = strchr(p, '=');
        *e = 0;
        i++;
        if (strcmp(p, core->config.node_id) == 0)
            core->raft_id = i;
        (void)!raft_configuration_add(&core->first, i, e + 1, RAFT_VOTER);
    }
    free(t);
}
