/* What a directory was decided to be, written down, and what its log begins
 * with. form.c says why that is safe. */
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "raft/called.h"
#include "raft/members.h"

int begin_as(struct core *core, enum node_state state,
             const uint8_t cluster[16], char *formed)
{
    struct members *members = core->members;

    pthread_mutex_lock(&members->lock);
    core->node_state = state;
    memcpy(core->cluster, cluster, sizeof core->cluster);
    mem_free(core->formed);
    core->formed = formed;
    pthread_mutex_unlock(&members->lock);
    int r = node_write(core);
    if (r != 0) {
        log_error(LOG_CORE, "the node file cannot be written",
                  LOG_TXT("why", err_text(r)));
        pthread_mutex_lock(&members->lock);
        core->node_state = NODE_NEW; /* And again, all of it. */
        memset(core->cluster, 0, sizeof core->cluster);
        core->formed = mem_free(core->formed);
        pthread_mutex_unlock(&members->lock);
    }
    return r;
}

int begin_first(struct core *core, const struct list *first)
{
    uint8_t cluster[16];

    list_cluster(first, core->domain, cluster);
    return begin_as(core, NODE_FORMING, cluster, list_first_text(first));
}

int begin_with(struct core *core)
{
    struct list first;

    raft_configuration_init(&core->first);
    core->fresh = true;
    if (core->formed == NULL) {
        return 0; /* The others give it. */
    }
    if (list_parse_first(str_of(core->formed), &first) != 0) {
        log_error(LOG_CORE, "the node file is damaged",
                  LOG_TXT("first", core->formed));
        return ERR_INVALID;
    }
    for (size_t i = 0; i < first.n; i++) {
        const struct list_entry *entry = &first.entries[i];
        struct buf text = {0};
        buf_printf(&text, "%s %s", entry->id, entry->raft);
        int r = raft_configuration_add(&core->first, entry->raft_id,
                                       buf_text(&text), RAFT_VOTER);
        buf_done(&text);
        if (r != 0) {
            return ERR_INVALID;
        }
    }
    return 0;
}

/* A registry of its own, begun here. */
static int decide_alone(struct core *core)
{
    struct list first = {.n = 1};

    (void)snprintf(first.entries[0].id, sizeof first.entries[0].id, "%s",
                   core->node_id);
    (void)snprintf(first.entries[0].raft, sizeof first.entries[0].raft, "%s",
                   core->members->raft);
    first.entries[0].raft_id = core->raft_id;
    return begin_first(core, &first);
}

/* A first release's directory: its log has begun, but for one that died in its
 * first moment. */
static int settle_old(struct core *core)
{
    struct buf text = {0};

    buf_printf(&text, "%s %s", core->node_id, core->members->raft);
    raft_configuration_init(&core->first);
    int r = raft_configuration_add(&core->first, core->raft_id, buf_text(&text),
                                   RAFT_VOTER);
    buf_done(&text);
    return r == 0 ? node_learn_cluster(core, false) : ERR_INVALID;
}

int form_settle(struct core *core)
{
    if (core->node_state == NODE_JOINED) {
        return core->fresh ? settle_old(core) : 0;
    }
    int r = core->node_state == NODE_NEW ? decide_alone(core) : 0;
    return r != 0 ? r : begin_with(core);
}
