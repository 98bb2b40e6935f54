#include "raft/recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "raft/inside.h"

static int say(char why[CORE_RECOVER_WHY], const char *sentence,
               const char *about)
{
    (void)snprintf(why, CORE_RECOVER_WHY, "%s: %.180s", sentence, about);
    return ERR_INVALID;
}

/* ---- who the members were ---- */

struct found {
    unsigned n;
    char address[256]; /* of this node, "" when it is none of them */
};

static void note(struct found *members, const struct core *core, raft_id id,
                 const char *address)
{
    members->n++;
    if (id == core->raft_id) {
        (void)snprintf(members->address, sizeof members->address, "%s",
                       address);
    }
}

/* libraft's entry of a configuration: u8 format 1, u64 number of members, each
 * u64 id, address with a NUL, u8 role. False when it is not one. */
static bool read_entry(const struct core *core, const struct raft_buffer *buf,
                       struct found *ret_members)
{
    struct found members = {.n = 0};
    const char *at = buf->base, *end = at + buf->len;

    if (buf->len < 9 || *at != 1) {
        return false;
    }
    uint64_t n = le_get(at + 1, 8);
    at += 9;
    for (uint64_t i = 0; i < n; i++) {
        if (end - at < 8) {
            return false;
        }
        raft_id id = le_get(at, 8);
        at += 8;
        size_t length = strnlen(at, (size_t)(end - at));
        if ((size_t)(end - at) < length + 2) {
            return false;
        }
        note(&members, core, id, at);
        at += length + 2;
    }
    *ret_members = members;
    return true;
}

static bool read_members(const struct core *core,
                         const struct raft_snapshot *snapshot,
                         const struct raft_entry *entries, size_t n,
                         struct found *ret_members)
{
    for (size_t i = n; i-- > 0;) {
        if (entries[i].type == RAFT_CHANGE) {
            return read_entry(core, &entries[i].buf, ret_members);
        }
    }
    *ret_members = (struct found){.n = 0};
    for (unsigned i = 0; snapshot != NULL && i < snapshot->configuration.n;
         i++) {
        const struct raft_server *server = &snapshot->configuration.servers[i];
        note(ret_members, core, server->id, server->address);
    }
    return snapshot != NULL;
}

static int find_members(struct core *core, struct found *ret_members,
                        struct core_recovered *recovered,
                        char why[CORE_RECOVER_WHY])
{
    struct raft_snapshot *snapshot = NULL;
    struct raft_entry *entries = NULL;
    raft_term term = 0;
    raft_id voted_for = 0;
    raft_index start = 0;
    size_t n = 0;

    int r = core->io.load(&core->io, &term, &voted_for, &snapshot, &start,
                          &entries, &n);
    if (r != 0) {
        return say(why, "its log cannot be read", core->io.errmsg);
    }
    bool found = read_members(core, snapshot, entries, n, ret_members);
    recovered->last_index = start + n - 1;
    recovered->n_before = ret_members->n;
    load_free(snapshot, entries, n);
    if (!found || ret_members->n == 0) {
        return say(why, "it has never been a member of anything",
                   core->config.data_dir);
    }
    if (ret_members->address[0] == '\0') {
        return say(why, "it is not a member any more: recover another node",
                   core->node_id);
    }
    return 0;
}

/* It is another cluster from now on. The nodes that are said to be lost may
 * come back: they still count this one as a voter of theirs, and what they
 * decide must not reach it, nor those that join it. */
static int leave_the_others(struct core *core)
{
    core->formed = mem_free(core->formed);
    chance_fill(core->cluster, sizeof core->cluster);
    return node_write(core);
}

/* ---- libraft without a server around it ---- */

static int force(struct core *core, struct core_recovered *recovered,
                 char why[CORE_RECOVER_WHY])
{
    struct raft_configuration sole;
    struct found members;

    int r = find_members(core, &members, recovered, why);
    if (r == 0) {
        r = leave_the_others(core);
    }
    if (r != 0) {
        return r;
    }
    raft_configuration_init(&sole);
    r = raft_configuration_add(&sole, core->raft_id, members.address,
                               RAFT_VOTER);
    if (r == 0) {
        r = raft_recover(&core->raft, &sole);
    }
    raft_configuration_close(&sole);
    return r == 0 ? 0
                  : say(why, "its log cannot be written",
                        raft_errmsg(&core->raft));
}

static int with_raft(struct core *core, struct core_recovered *recovered,
                     char why[CORE_RECOVER_WHY])
{
    transport_init(core);
    if (raft_uv_init(&core->io, &core->loop, core->raft_dir,
                     &core->transport) != 0) {
        return say(why, "its log cannot be used", core->io.errmsg);
    }
    raft_uv_set_auto_recovery(&core->io, false);
    raft_uv_set_segment_size(&core->io, SEGMENT_BYTES);
    core->fsm = (struct raft_fsm){.version = 1, .data = core};
    if (raft_init(&core->raft, &core->io, &core->fsm, core->raft_id, "") != 0) {
        return say(why, "its log cannot be opened", raft_errmsg(&core->raft));
    }
    core->raft_inited = true;
    return force(core, recovered, why);
}

/* ---- the directory ---- */

static int mark(const struct core *core)
{
    return dir_write(core->recover_mark, STR("format 1\n"));
}

static int in_directory(struct core *core, struct core_recovered *recovered,
                        char why[CORE_RECOVER_WHY])
{
    int r = dir_open_existing(core);
    if (r == ERR_BUSY) {
        return say(why, "a server runs on it: stop that first",
                   core->config.data_dir);
    }
    if (r > 0) {
        return say(why, "it holds no node, or the node file is damaged",
                   core->config.data_dir);
    }
    if (r == 0 && core->node_state == NODE_REMOVED) {
        return say(why, "it is not a member any more: recover another node",
                   core->node_id);
    }
    /* First: the new configuration must never serve without it. */
    if (r == 0) {
        r = mark(core);
    }
    if (r == 0 && uv_loop_init(&core->loop) != 0) {
        r = err_raise(ERR_SYSTEM);
    }
    if (r != 0) {
        return r;
    }
    (void)snprintf(recovered->node, sizeof recovered->node, "%s",
                   core->node_id);
    r = with_raft(core, recovered, why);
    log_close(core);
    (void)uv_run(&core->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&core->loop);
    return r;
}

int core_recover(const char *data_dir, struct core_recovered *ret_recovered,
                 char why[CORE_RECOVER_WHY])
{
    struct core *core = mem_zero(sizeof *core);
    struct core_recovered recovered = {.n_before = 0};

    core->config.data_dir = data_dir;
    core->lock_fd = -1;
    int r = in_directory(core, &recovered, why);
    if (r == 0) {
        *ret_recovered = recovered;
    }
    dir_close(core);
    mem_free(core);
    return r;
}
