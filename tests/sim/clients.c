/* What clients do: rows with keys of their own, counters that are patched on
 * the condition that nobody else did, deletes, and a mixture of everything else
 * the machine knows, which only has to come out the same everywhere. */
#include <stdio.h>

#include "base/err.h"
#include "model/access_record.h"
#include "sim.h"

static struct node *some_node(struct sim *sim)
{
    for (unsigned tries = 0; tries < 4; tries++) {
        struct node *node = &sim->nodes[sim_chance(sim, SIM_SLOTS)];
        if (node_ready(node) && check_serves(sim, node->id) &&
            machine_view(node->state.machine).initialized) {
            return node;
        }
    }
    return NULL;
}

static struct op *begin(struct sim *sim, struct node *node, enum op_kind kind,
                        unsigned subject, struct command *c)
{
    struct op *op = op_new(sim, kind, subject);

    c->tree_rev = state_meta(node).tree_rev;
    op_command(op, c);
    order_submit(node, op);
    node_turn(node);
    return op;
}

static struct command row_put(struct sim *sim, enum row_mode mode,
                              const char *type, const char *fields)
{
    struct command c = {.kind = COMMAND_ROW_PUT};

    c.row_put = (struct command_row_put){
        .mode = (uint8_t)mode,
        .ns = STORE_POOL,
        .type = str_of(type),
        .key_field = STR("name"),
        .new_id = sim_id(sim),
        .fields = str_of(fields),
        .secret = STR(""),
    };
    return c;
}

static void add_row(struct sim *sim, struct node *node)
{
    char fields[64];

    if (sim->next_row == SIM_ROWS) {
        return;
    }
    unsigned row = sim->next_row++;
    (void)snprintf(fields, sizeof fields, "\"name\":\"k%u\"", row);
    struct command c = row_put(sim, ROW_ADD, "row", fields);
    begin(sim, node, OP_ADD, row, &c);
}

static void delete_row(struct sim *sim, struct node *node)
{
    struct command c = {.kind = COMMAND_ROW_DELETE};
    char key[16];

    if (sim->next_row == 0) {
        return;
    }
    unsigned row = (unsigned)sim_chance(sim, sim->next_row);
    (void)snprintf(key, sizeof key, "k%u", row);
    c.row_delete.ns = STORE_POOL;
    c.row_delete.type = STR("row");
    c.row_delete.key_field = STR("name");
    c.row_delete.by_key = 1;
    c.row_delete.key = str_of(key);
    begin(sim, node, OP_DELETE, row, &c);
}

/* The number behind a name in a row, 0 when it is not there. */
static uint64_t number_in(const struct buf *row, const char *name)
{
    const char *at =
        row->n == 0 ? NULL : memmem(row->p, row->n, name, strlen(name));
    uint64_t number = 0;

    if (at == NULL) {
        return 0;
    }
    for (at += strlen(name); at < row->p + row->n && *at >= '0' && *at <= '9';
         at++) {
        number = number * 10 + (uint64_t)(*at - '0');
    }
    return number;
}

/* Read here, written on the condition that it has not changed since. */
static void count_on(struct sim *sim, struct node *node)
{
    unsigned counter = (unsigned)sim_chance(sim, SIM_COUNTERS);
    struct buf row = {0};
    char key[16], fields[64], rev[8];

    (void)snprintf(key, sizeof key, "c%u", counter);
    bool has = state_has_row(node, "counter", key, &row);
    (void)snprintf(fields, sizeof fields, "\"name\":\"%s\",\"v\":\"%llu\"", key,
                   (unsigned long long)number_in(&row, "\"v\":\"") + 1);
    struct command c =
        row_put(sim, has ? ROW_PATCH : ROW_ADD, "counter", fields);
    le_put(rev, number_in(&row, "\"_rev\":\""), 8);
    if (has) {
        c.row_put.by_key = 1;
        c.row_put.key = str_of(key);
        c.row_put.cond = COND_MATCH;
        c.row_put.cond_revs = (struct str){rev, 8};
    }
    begin(sim, node, OP_PATCH, counter, &c);
    buf_done(&row);
}

/* ---- the mixture ---- */

/* One that a path leads to: no client can name another. */
static uint64_t some_ns(struct sim *sim, struct node *node)
{
    uint64_t ns = 2 + sim_chance(sim, 12);

    return state_reaches(node, ns) ? ns : STORE_POOL;
}

static void make_ns(struct sim *sim, struct node *node)
{
    struct command c = {.kind = COMMAND_NS_CREATE};
    char label[16];

    (void)snprintf(label, sizeof label, "n%u", (unsigned)sim_chance(sim, 12));
    c.ns_create.parent = sim_odds(sim, 500) ? STORE_ROOT : some_ns(sim, node);
    c.ns_create.kind =
        (uint8_t)(sim_odds(sim, 600) ? STORE_LEAF : STORE_BRANCH);
    c.ns_create.name = str_of(label);
    c.ns_create.first_id = sim_id(sim);
    c.ns_create.n_ids = 100;
    sim->ids += 100;
    begin(sim, node, OP_OTHER, 0, &c);
}

static void drop_ns(struct sim *sim, struct node *node)
{
    struct command c = {.kind = COMMAND_NS_DELETE};

    c.ns_delete.id = some_ns(sim, node);
    c.ns_delete.recursive = sim_odds(sim, 500);
    begin(sim, node, OP_OTHER, 0, &c);
    c = (struct command){.kind = COMMAND_RECLAIM};
    c.reclaim.limit = 100;
    begin(sim, node, OP_OTHER, 0, &c);
}

static void rename_ns(struct sim *sim, struct node *node)
{
    struct command c = {.kind = COMMAND_NS_CHANGE};
    char label[16];

    (void)snprintf(label, sizeof label, "m%u", (unsigned)sim_chance(sim, 12));
    c.ns_change.id = some_ns(sim, node);
    c.ns_change.what = NS_NAME;
    c.ns_change.name = str_of(label);
    begin(sim, node, OP_OTHER, 0, &c);
}

static void fill_list(struct sim *sim, struct node *node)
{
    struct command c = {.kind = COMMAND_LIST_PUT};
    struct command_row_item rows[4];
    char texts[4][32];

    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "\"name\":\"b%u\"",
                       (unsigned)(10 * i + sim_chance(sim, 9)));
        rows[i] = (struct command_row_item){
            .id = sim_id(sim), .fields = str_of(texts[i]), .secret = STR("")};
    }
    c.list_put.ns = some_ns(sim, node);
    c.list_put.type = STR("service");
    c.list_put.key_field = STR("name");
    c.list_put.first_id = sim_id(sim);
    sim->ids += 4;
    c.list_put.rows = rows;
    c.list_put.n_rows = 4;
    begin(sim, node, OP_OTHER, 0, &c);
}

static void move_row(struct sim *sim, struct node *node)
{
    struct command c = {.kind = COMMAND_ROW_MOVE};
    char key[16];

    (void)snprintf(key, sizeof key, "b%u", (unsigned)sim_chance(sim, 40));
    c.row_move.ns = some_ns(sim, node);
    c.row_move.type = STR("service");
    c.row_move.key_field = STR("name");
    c.row_move.by_key = 1;
    c.row_move.key = str_of(key);
    c.row_move.to = some_ns(sim, node);
    c.row_move.copy = sim_odds(sim, 500);
    c.row_move.new_id = sim_id(sim);
    begin(sim, node, OP_OTHER, 0, &c);
}

static void put_with_key(struct sim *sim, struct node *node)
{
    char fields[64];

    (void)snprintf(fields, sizeof fields, "\"name\":\"b%u\",\"v\":\"%u\"",
                   (unsigned)sim_chance(sim, 40), (unsigned)sim_chance(sim, 5));
    struct command c = row_put(sim, sim_odds(sim, 500) ? ROW_REPLACE : ROW_ADD,
                               "service", fields);
    c.row_put.ns = some_ns(sim, node);
    c.has_key = true;
    c.key_hash[0] = (uint8_t)sim_chance(sim, 8);
    c.request_hash[0] = (uint8_t)sim_chance(sim, 2);
    begin(sim, node, OP_OTHER, 0, &c);
}

/* A row with an `_id` of its choice, which is that of a machine. */
static void put_twin(struct sim *sim, struct node *node)
{
    struct ulid id;

    if (!state_machine_id(
            node, sim->agents[sim_chance(sim, SIM_AGENTS)].hostname, &id)) {
        return;
    }
    struct command c = row_put(sim, ROW_REPLACE, "service", "\"name\":\"b7\"");
    c.row_put.id = id;
    begin(sim, node, OP_OTHER, 0, &c);
}

/* Long enough that some end by themselves and some do not: a leader's clock may
 * be an hour ahead. */
static void maintain(struct sim *sim, struct node *node)
{
    struct command c = {.kind = COMMAND_MAINT};
    char key[16];

    (void)snprintf(key, sizeof key, "b%u", (unsigned)sim_chance(sim, 40));
    c.maint.what = sim_odds(sim, 200) ? MAINT_AGENT : MAINT_ROW;
    c.maint.set = sim_odds(sim, 700);
    c.maint.hostname =
        str_of(sim->agents[sim_chance(sim, SIM_AGENTS)].hostname);
    c.maint.ns = some_ns(sim, node);
    c.maint.type = STR("service");
    c.maint.key_field = STR("name");
    c.maint.by_key = 1;
    c.maint.key = str_of(key);
    c.maint.duration_ms = sim_between(sim, 1000, 4000);
    c.maint.reason = STR("disk");
    begin(sim, node, OP_OTHER, 0, &c);
    c = (struct command){.kind = COMMAND_SWEEP};
    c.sweep.limit = sim_between(sim, 1, 5);
    begin(sim, node, OP_OTHER, 0, &c);
}

static void flap(struct sim *sim, struct node *node)
{
    struct agent *agent = &sim->agents[sim_chance(sim, SIM_AGENTS)];
    struct machine_view view = machine_view(node->state.machine);
    struct command c = {.kind = COMMAND_FLAP};

    if (sim_odds(sim, 800)) {
        return;
    }
    c.flap.epoch = view.lease_epoch;
    c.flap.hostname = str_of(agent->hostname);
    c.flap.lease = agent->ok_lease;
    c.flap.until_ms = view.log_time_ms + sim_between(sim, 1000, 4000);
    begin(sim, node, OP_OTHER, 0, &c);
}

/* A webhook of its own, what it has been told, and its end. */
static void hook(struct sim *sim, struct node *node)
{
    struct command c = row_put(sim, ROW_REPLACE, "webhook",
                               "\"name\":\"w\",\"url\":\"http://h/\"");
    struct command_hook_item item = {
        .id = c.row_put.new_id,
        .ns = some_ns(sim, node),
        .cursor = sim_chance(sim, state_meta(node).revision + 2),
        .state = (uint8_t)sim_chance(sim, HOOK_RESET + 1),
        .text = sim_odds(sim, 500) ? STR("ok") : STR("failing")};

    c.row_put.ns = item.ns;
    c.row_put.id = item.id;
    begin(sim, node, OP_OTHER, 0, &c);
    c = (struct command){.kind = COMMAND_HOOKS};
    c.hooks.hooks = &item;
    c.hooks.n_hooks = 1;
    begin(sim, node, OP_OTHER, 0, &c);
    if (sim_odds(sim, 300)) {
        c = (struct command){.kind = COMMAND_LIST_PUT};
        c.list_put.ns = item.ns;
        c.list_put.type = STR("webhook");
        c.list_put.key_field = STR("name");
        begin(sim, node, OP_OTHER, 0, &c);
    }
}

/* Who may do what: made, changed from what was seen, taken away; and somebody
 * whose rights may have gone meanwhile. */
static void trust(struct sim *sim, struct node *node)
{
    const struct access_user user = {.source = ACCESS_LOCAL,
                                     .disabled = sim_odds(sim, 500)};
    struct command c = {.kind = COMMAND_ACCESS};
    struct buf record = {0};
    struct command_access_item item = {
        .what = ACCESS_IS_USER,
        .del = sim_odds(sim, 300),
        .name = sim_odds(sim, 500) ? STR("ann") : STR("bo"),
        .seen_rev = sim_odds(sim, 300) ? 0 : COMMAND_ACCESS_ANY};

    if (item.del == 0) {
        access_user_encode(&record, &user);
        item.record = buf_str(&record);
    }
    c.access.items = &item;
    c.access.n_items = 1;
    begin(sim, node, OP_OTHER, 0, &c);
    buf_done(&record);
    c = row_put(sim, ROW_REPLACE, "service", "\"name\":\"t\"");
    c.row_put.by_key = 1;
    c.row_put.key = STR("t");
    c.has_access = true;
    c.access_rev = machine_view(node->state.machine).access_rev;
    begin(sim, node, OP_OTHER, 0, &c);
}

static void other(struct sim *sim, struct node *node)
{
    static void (*const ways[])(struct sim *, struct node *) = {
        make_ns,  make_ns,      drop_ns,  rename_ns, fill_list,
        move_row, put_with_key, put_twin, maintain,  maintain,
        flap,     hook,         trust};

    ways[sim_chance(sim, sizeof ways / sizeof ways[0])](sim, node);
}

/* Its owner takes it away. */
static void leave(struct sim *sim, struct node *node)
{
    struct agent *agent = &sim->agents[sim_chance(sim, SIM_AGENTS)];
    struct command c = {.kind = COMMAND_AGENT_DEL};

    if (!agent->running || sim_odds(sim, 900)) {
        return;
    }
    agent->running = false;
    c.agent_del.hostname = str_of(agent->hostname);
    begin(sim, node, OP_LEAVE, agent->number, &c);
}

void clients_step(struct sim *sim)
{
    struct node *node = some_node(sim);
    uint64_t which = sim_chance(sim, 100);

    if (node == NULL) {
        return;
    }
    if (which < 45) {
        add_row(sim, node);
    } else if (which < 65) {
        count_on(sim, node);
    } else if (which < 75) {
        delete_row(sim, node);
    } else if (which < 97) {
        other(sim, node);
    } else {
        leave(sim, node);
    }
}
