/* data-dir/node: who this is, written before anything depends on it.
 *
 *   format 1
 *   id NAME
 *   raft NUMBER     its raft id, drawn once for the life of the directory
 *   state WORD      see enum node_state
 *   cluster HEX     32 digits, once it is known
 *   first A,B,…     members that a cluster begins with, each
 *                   NAME/NUMBER/HOST:PORT, when this node was one of them
 *
 * The first releases wrote the first three lines: a registry of one node. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/inside.h"
#include "raft/members.h"

static const char *const words[] = {
    [NODE_NEW] = "new",
    [NODE_FORMING] = "forming",
    [NODE_JOINED] = "joined",
    [NODE_REMOVED] = "removed",
};

int node_write(struct core *core)
{
    char *path = dir_join(core->config.data_dir, "node");
    struct buf content = {0};

    buf_printf(&content, "format 1\nid %s\nraft %llu\nstate %s\n",
               core->node_id, (unsigned long long)core->raft_id,
               words[core->node_state]);
    if (!cluster_is_none(core->cluster)) {
        char hex[CLUSTER_HEX + 1];
        cluster_hex(core->cluster, hex);
        buf_printf(&content, "cluster %s\n", hex);
    }
    if (core->formed != NULL) {
        buf_printf(&content, "first %s\n", core->formed);
    }
    int r = dir_write(path, buf_str(&content));
    buf_done(&content);
    mem_free(path);
    return r;
}

/* Others look at it, once there are others. */
void node_set_state(struct core *core, enum node_state state)
{
    pthread_mutex_lock(&core->members->lock);
    core->node_state = state;
    pthread_mutex_unlock(&core->members->lock);
}

int node_joined(struct core *core)
{
    if (core->node_state == NODE_JOINED && !core->fresh) {
        return 0;
    }
    node_set_state(core, NODE_JOINED);
    return node_write(core);
}

/* ---- reading ---- */

static bool read_state(struct core *core, struct str word)
{
    for (int i = NODE_NEW; i <= NODE_REMOVED; i++) {
        if (str_is(word, words[i])) {
            core->node_state = (enum node_state)i;
            return true;
        }
    }
    /* A first release's: it may have died before its log began. */
    core->node_state = NODE_JOINED;
    core->fresh = true;
    return word.p == NULL;
}

static bool read_rest(struct core *core, const struct buf *content)
{
    struct str cluster = dir_value(content, "cluster");
    struct str first = dir_value(content, "first");

    if (!read_state(core, dir_value(content, "state")) ||
        (cluster.p != NULL && !cluster_parse(cluster, core->cluster))) {
        return false;
    }
    if (first.p != NULL) {
        struct buf text = {0};
        buf_add_str(&text, first);
        core->formed = buf_text(&text);
    }
    /* Who is none of the new ones knows where it belongs. */
    return core->node_state == NODE_NEW || cluster.p != NULL || core->fresh;
}

/* False when it is damaged. */
static bool read_node(struct core *core, const struct buf *content,
                      struct str *ret_id)
{
    *ret_id = dir_value(content, "id");
    return str_is(dir_value(content, "format"), "1") && ret_id->n > 0 &&
           ret_id->n < sizeof core->node_id &&
           str_number(dir_value(content, "raft"), UINT64_MAX, &core->raft_id) ==
               0 &&
           core->raft_id != 0 && read_rest(core, content);
}

static int check(struct core *core, const struct buf *content, const char *path)
{
    struct str id;

    if (!read_node(core, content, &id)) {
        log_error(LOG_CORE, "the node file is damaged", LOG_TXT("file", path));
        return ERR_INVALID;
    }
    if (!str_is(id, core->node_id)) {
        log_error(LOG_CORE,
                  "the data directory belongs to another node: start with its "
                  "id, or with another directory",
                  LOG_TXT("directory", core->config.data_dir),
                  LOG_STR("its_id", id), LOG_TXT("given", core->node_id));
        return ERR_INVALID;
    }
    return 0;
}

/* A log that was not begun holds nothing; libraft does not begin one where it
 * was interrupted before. */
static int empty_log(const struct core *core)
{
    files_remove(core->raft_dir);
    return mkdir(core->raft_dir, 0700) == 0 || errno == EEXIST
               ? 0
               : err_raise(ERR_IO);
}

static int begin(struct core *core)
{
    core->raft_id = chance_u64() >> 1 | 1; /* Zero is no id. */
    core->node_state = NODE_NEW;
    return node_write(core);
}

int node_open(struct core *core)
{
    char *path = dir_join(core->config.data_dir, "node");
    struct buf content = dir_read(path);

    (void)snprintf(core->node_id, sizeof core->node_id, "%s",
                   core->config.node_id);
    int r = content.n == 0 ? begin(core) : check(core, &content, path);
    if (r == 0 && core->node_state <= NODE_FORMING) {
        r = empty_log(core);
    }
    if (r == 0 && core->node_state == NODE_REMOVED) {
        atomic_store(&core->status.removed, true);
        log_error(LOG_CORE, "this node was removed from the cluster: start it "
                            "with an empty --data-dir to join again");
    }
    mem_free(path);
    buf_done(&content);
    return r;
}

int node_open_existing(struct core *core)
{
    char *path = dir_join(core->config.data_dir, "node");
    struct buf content = dir_read(path);
    struct str id;
    int r = ERR_INVALID;

    if (read_node(core, &content, &id) && core->node_state >= NODE_JOINED &&
        access(core->raft_dir, F_OK) == 0) {
        memcpy(core->node_id, id.p, id.n);
        r = 0;
    }
    mem_free(path);
    buf_done(&content);
    return r;
}

/* ---- registries of the first releases ---- */

static int stored_cluster(struct core *core, uint8_t ret[16])
{
    struct store_reader *reader = NULL;
    struct store_txn *txn = NULL;

    int r = store_reader_new(core->store, &reader);
    if (r == 0) {
        r = store_read_begin(reader, &txn);
    }
    if (r == 0) {
        memcpy(ret, store_meta(txn)->cluster, 16);
        store_read_end(txn);
    }
    store_reader_free(reader);
    return r;
}

int node_learn_cluster(struct core *core, bool last)
{
    uint8_t cluster[16];

    if (!cluster_is_none(core->cluster) || core->node_state != NODE_JOINED) {
        return 0;
    }
    int r = stored_cluster(core, cluster);
    if (r == 0 && cluster_is_none(cluster) && last) {
        chance_fill(cluster, sizeof cluster);
    }
    if (r != 0 || cluster_is_none(cluster)) {
        return r;
    }
    members_set_cluster(core, cluster);
    return node_write(core);
}
