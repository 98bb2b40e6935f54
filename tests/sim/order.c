/* Commands on their way into the log: the rule that nothing is applied twice
 * and nothing in doubt is forgotten.
 *
 * A node gives each command a request id and sends it to the leader, for the
 * term that it knows; a leader appends it in that term or not at all. Who sent
 * it recognises it when its own node applies it. So it is surely not in the log
 *   - when the EPOCH of a later term was applied here and it was not seen, or
 *   - in the same term: when a new connection was made (a generation: the
 * leader takes nothing of the older ones any more), a fence was sent over it,
 * and all that was in the log at the fence was applied here. Then it is sent
 * again. Never otherwise. When a snapshot takes the place of entries nobody can
 * say what they held: the outcome is unknown. */
#include <assert.h>

#include "base/err.h"
#include "sim.h"

enum frame_kind { COMMAND, FENCE, INDEX };

struct frame {
    enum frame_kind kind;
    raft_id to;
    unsigned from;
    uint64_t life; /* of the sender */
    uint64_t term, gen, seq;
    uint64_t op;
    uint64_t index;
};

enum { LINK_PATIENCE_MS = 700 };

/* ---- ops ---- */

struct op *op_new(struct sim *sim, enum op_kind kind, unsigned subject)
{
    struct op *op = mem_zero(sizeof *op);

    if (sim->n_ops == sim->ops_room) {
        sim->ops_room = sim->ops_room == 0 ? 256 : 2 * sim->ops_room;
        sim->ops = mem_grow(sim->ops, sim->ops_room * sizeof(struct op *));
    }
    sim->ops[sim->n_ops++] = op;
    op->number = sim->n_ops; /* From 1: 0 is none. */
    op->kind = kind;
    op->subject = subject;
    op->made_at = sim->now;
    op->ends_at = sim->now + 5000;
    sim->stats.ops++;
    return op;
}

void op_command(struct op *op, struct command *command)
{
    le_put(command->request, 0x726f73746572, 8);
    le_put(command->request + 8, op->number, 8);
    command_encode(&op->bytes, command);
}

static void end(struct node *node, struct op *op, int outcome)
{
    struct op **at = &node->order.ops;

    while (*at != NULL && *at != op) {
        at = &(*at)->next;
    }
    if (*at == op) {
        *at = op->next;
    }
    op->state = OP_ENDED;
    op->outcome = outcome;
    sim_tell(node->sim, node, outcome == 0 ? "op ends" : "op ends in doubt",
             op->number, (uint64_t)op->answer);
    node->sim->stats.acked += outcome == 0;
    node->sim->stats.unknown += outcome == ERR_UNKNOWN;
    node->sim->stats.refused += outcome == ERR_NOT_READY;
    if (op->done != NULL) {
        op->done(op);
    }
}

void order_submit(struct node *node, struct op *op)
{
    struct op **at = &node->order.ops;

    op->node = node;
    op->life = node->life;
    op->state = OP_WAITS;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = op;
    sim_tell(node->sim, node, "op begins", op->number, (uint64_t)op->kind);
}

/* ---- the leader's side ---- */

static void add_item(struct node *node, struct item item)
{
    struct item *own = mem_dup(&item, sizeof item);

    own->next = NULL;
    *node->order.items_end = own;
    node->order.items_end = &own->next;
}

static void drop_items(struct order *order)
{
    while (order->items != NULL) {
        struct item *item = order->items;
        order->items = item->next;
        mem_free(item);
    }
    order->items_end = &order->items;
}

static void drop_first(struct order *order)
{
    struct item *item = order->items;

    order->items = item->next;
    if (order->items == NULL) {
        order->items_end = &order->items;
    }
    mem_free(item);
}

static struct op *op_by(struct sim *sim, uint64_t number)
{
    return number == 0 || number > sim->n_ops ? NULL : sim->ops[number - 1];
}

/* The first commands of a leadership, before all others. */
void order_lead(struct node *node)
{
    struct sim *sim = node->sim;
    struct command init = {.kind = COMMAND_INIT};
    struct command epoch = {.kind = COMMAND_EPOCH};
    struct command feature = {.kind = COMMAND_FEATURE,
                              .feature = {.level = MACHINE_FEATURE_LEVEL}};

    drop_items(&node->order);
    if (!machine_view(node->state.machine).initialized) {
        struct op *op = op_new(sim, OP_INIT, 0);
        init.init.cluster[0] = 7;
        init.init.domain = STR("roster");
        init.init.history_limit = 200;
        op_command(op, &init);
        add_item(node, (struct item){.op = op->number, .term = node->led_term});
    }
    struct op *op = op_new(sim, OP_EPOCH, 0);
    epoch.epoch.term = node->led_term;
    op->epoch_term = node->led_term;
    op_command(op, &epoch);
    add_item(node, (struct item){.op = op->number, .term = node->led_term});
    op = op_new(sim, OP_OTHER, 0);
    op_command(op, &feature);
    add_item(node, (struct item){.op = op->number, .term = node->led_term});
    if (sim->config.broken == BREAK_LEASE) {
        lease_table_serve(node->state.leases, node_mono(node),
                          machine_view(node->state.machine).log_time_ms);
        node->serving = true;
    }
}

static void frame_release(void *arg)
{
    (void)mem_free(arg);
}

static void *frame_copy(const void *arg)
{
    return mem_dup(arg, sizeof(struct frame));
}

static void frame_arrives(struct node *node, void *arg);

static void send_frame(struct node *node, raft_id to, struct frame frame)
{
    frame.to = to;
    frame.from = node->slot;
    frame.life = node->life;
    net_send(node, to, frame_arrives, mem_dup(&frame, sizeof frame),
             frame_release, frame_copy);
}

static void answer_fence(struct node *node, const struct item *item)
{
    struct node *asker = &node->sim->nodes[item->from];

    send_frame(node, asker->id,
               (struct frame){.kind = INDEX,
                              .term = item->term,
                              .gen = item->gen,
                              .index = raft_last_index(&node->raft)});
}

static void applied_cb(struct raft_apply *req, int status, void *result)
{
    struct node *node = req->data;

    (void)status;
    (void)result;
    node->order.in_flight = false;
}

/* An expiry that was made in an earlier epoch has to keep that epoch. */
static void add_command(struct node *node, struct buf *pack, struct op *op)
{
    struct buf bytes = {0};

    buf_add_str(&bytes, buf_str(&op->bytes));
    assert(bytes.p != NULL); /* no command is empty */
    if (node->sim->config.broken == BREAK_EPOCH && op->kind == OP_EXPIRE) {
        le_put(bytes.p + 36, machine_view(node->state.machine).lease_epoch, 8);
    }
    command_pack_add(pack, buf_str(&bytes));
    buf_done(&bytes);
}

/* Gives back how many commands libraft took. */
static unsigned give(struct node *node, const struct buf *pack, unsigned n)
{
    struct raft_buffer buf = {raft_malloc(pack->n), pack->n};

    memcpy(buf.base, pack->p, pack->n);
    node->order.apply.data = node;
    node->order.in_flight = true;
    if (raft_apply(&node->raft, &node->order.apply, &buf, 1, applied_cb) != 0) {
        node->order.in_flight = false;
        return 0;
    }
    node->sim->stats.entries++;
    sim_tell(node->sim, node, "entry", raft_last_index(&node->raft), n);
    return n;
}

/* An expiry that nobody is left in comes to nothing. */
static void skip_idle(struct node *node)
{
    struct order *order = &node->order;

    while (order->items != NULL && order->items->op != 0) {
        struct op *op = op_by(node->sim, order->items->op);
        if (op->kind != OP_EXPIRE || agents_expire(node, op)) {
            return;
        }
        drop_first(order);
        if (op->state != OP_ENDED) {
            end(node, op, ERR_NOT_READY);
        }
    }
}

/* An expiry stands first: what is ordered before it is applied. */
static bool joins(struct sim *sim, const struct item *item, unsigned n)
{
    return item != NULL && item->op != 0 && n < sim->pack_most &&
           (n == 0 || sim->config.broken == BREAK_REFRESH ||
            op_by(sim, item->op)->kind != OP_EXPIRE);
}

/* One entry is under way; what comes meanwhile joins the next. */
static void send_pack(struct node *node)
{
    struct order *order = &node->order;
    struct sim *sim = node->sim;
    struct buf pack = {0};
    unsigned n = 0;

    while (order->items != NULL && order->items->op == 0) {
        answer_fence(node, order->items);
        drop_first(order);
    }
    if (order->in_flight) {
        return;
    }
    skip_idle(node);
    if (order->items == NULL || order->items->op == 0) {
        return;
    }
    command_pack_begin(&pack, node_wall(node), ++sim->requests);
    for (struct item *item = order->items; joins(sim, item, n);
         item = item->next, n++) {
        add_command(node, &pack, op_by(sim, item->op));
    }
    command_pack_end(&pack);
    unsigned taken = give(node, &pack, n);
    for (unsigned i = 0; i < taken; i++) {
        drop_first(order);
    }
    buf_done(&pack);
}

/* ---- who sends ---- */

static void acknowledge_early(struct node *node, struct op *op)
{
    if (node->sim->config.broken == BREAK_ACK_EARLY && op->kind == OP_ADD) {
        end(node, op, 0);
    }
}

/* A new connection: what was sent over the older ones may be in the log up to
 * here, and never comes into it later. */
static void new_generation(struct node *node, raft_id leader, bool fence)
{
    struct order *order = &node->order;

    order->gen = ++node->sim->gens;
    order->seq = 0;
    order->gen_began = node->sim->now;
    order->gen_leader = leader;
    order->gen_term = node->raft.current_term;
    order->fence_index = 0;
    order->fencing = fence;
    if (fence) {
        sim_tell(node->sim, node, "fence", order->gen, order->gen_term);
        send_frame(node, leader,
                   (struct frame){.kind = FENCE,
                                  .term = order->gen_term,
                                  .gen = order->gen,
                                  .seq = order->seq++});
    }
}

static void send_op(struct node *node, struct op *op, raft_id leader)
{
    struct order *order = &node->order;

    node->sim->stats.resent += op->ever_sent;
    op->state = OP_SENT;
    op->ever_sent = true;
    op->term = node->raft.current_term;
    op->gen = order->gen;
    op->sent_at = node->sim->now;
    if (leader == node->id) {
        add_item(node, (struct item){.op = op->number, .term = op->term});
    } else {
        send_frame(node, leader,
                   (struct frame){.kind = COMMAND,
                                  .term = op->term,
                                  .gen = order->gen,
                                  .seq = order->seq++,
                                  .op = op->number});
    }
    acknowledge_early(node, op);
}

static bool has_sent(const struct order *order, raft_term term)
{
    for (const struct op *op = order->ops; op != NULL; op = op->next) {
        if (op->state == OP_SENT && op->term == term) {
            return true;
        }
    }
    return false;
}

/* Something sent in this generation takes too long, or the fence does. */
static bool link_is_stuck(const struct node *node)
{
    const struct order *order = &node->order;
    uint64_t now = node->sim->now;

    if (order->fencing) {
        return now - order->gen_began > LINK_PATIENCE_MS;
    }
    for (const struct op *op = order->ops; op != NULL; op = op->next) {
        if (op->state == OP_SENT && op->term == order->gen_term &&
            op->gen == order->gen && now - op->sent_at > LINK_PATIENCE_MS) {
            return true;
        }
    }
    return false;
}

static void look_after_link(struct node *node, raft_id leader)
{
    struct order *order = &node->order;

    if (leader != order->gen_leader ||
        order->gen_term != node->raft.current_term) {
        new_generation(node, leader, has_sent(order, node->raft.current_term));
    } else if (link_is_stuck(node)) {
        new_generation(node, leader, true);
    }
}

static void send_waiting(struct node *node)
{
    raft_id leader = 0;
    const char *address = NULL;

    raft_leader(&node->raft, &leader, &address);
    if (leader == 0) {
        return;
    }
    if (leader != node->id) {
        look_after_link(node, leader);
    }
    for (struct op *op = node->order.ops, *next; op != NULL; op = next) {
        next = op->next;
        if (op->state == OP_WAITS) {
            send_op(node, op, leader);
        }
    }
}

static void release_unseen(struct node *node)
{
    struct order *order = &node->order;
    bool blind = node->sim->config.broken == BREAK_RESEND;

    for (struct op *op = order->ops; op != NULL; op = op->next) {
        bool fenced = order->fence_index != 0 &&
                      state_applied(node) >= order->fence_index &&
                      op->term == order->gen_term && op->gen < order->gen;
        bool stuck = blind && node->sim->now - op->sent_at > LINK_PATIENCE_MS;
        if (op->state == OP_SENT && (fenced || stuck)) {
            op->state = OP_WAITS;
        }
    }
}

static void give_up(struct node *node)
{
    for (struct op *op = node->order.ops, *next; op != NULL; op = next) {
        next = op->next;
        if (node->sim->now > op->ends_at) {
            end(node, op, op->state == OP_SENT ? ERR_UNKNOWN : ERR_NOT_READY);
        }
    }
}

void order_turn(struct node *node)
{
    give_up(node);
    release_unseen(node);
    send_waiting(node);
    if (node->led_term != 0) {
        send_pack(node);
    }
}

/* ---- frames ---- */

/* A connection delivers in order or breaks. */
static bool in_order(struct peer_link *link, const struct frame *frame)
{
    if (frame->gen > link->gen) {
        *link =
            (struct peer_link){.gen = frame->gen, .broken = frame->seq != 0};
    }
    if (frame->gen < link->gen || link->broken || frame->seq < link->expects) {
        return false;
    }
    if (frame->seq > link->expects) {
        link->broken = true;
        return false;
    }
    link->expects++;
    return true;
}

static void take(struct node *node, const struct frame *frame)
{
    if (!in_order(&node->order.from[frame->from], frame)) {
        return;
    }
    if (node->led_term == 0 || (node->led_term != frame->term &&
                                node->sim->config.broken != BREAK_TERM)) {
        return;
    }
    add_item(node, (struct item){.op = frame->kind == FENCE ? 0 : frame->op,
                                 .term = frame->term,
                                 .from = frame->from,
                                 .life = frame->life,
                                 .gen = frame->gen});
}

static void frame_arrives(struct node *node, void *arg)
{
    const struct frame *frame = arg;
    struct order *order = &node->order;

    if (frame->to != node->id) {
        return;
    }
    if (frame->kind != INDEX) {
        take(node, frame);
    } else if (order->fencing && frame->gen == order->gen &&
               frame->term == order->gen_term) {
        order->fencing = false;
        order->fence_index = frame->index;
    }
}

/* ---- what is applied here ---- */

void order_saw(struct node *node, uint64_t number, uint64_t index,
               const struct machine_result *result)
{
    struct op *op = op_by(node->sim, number);

    if (op == NULL) {
        return;
    }
    if (op->kind == OP_EPOCH && node->led_term == op->epoch_term &&
        node_leads(node) && node->raft.current_term == op->epoch_term) {
        sim_tell(node->sim, node, "serves", op->epoch_term, index);
        lease_table_serve(node->state.leases, node_mono(node),
                          machine_view(node->state.machine).log_time_ms);
        node->serving = true;
        if (op->epoch_term > node->sim->check.serving_term) {
            node->sim->check.serving_term = op->epoch_term;
        }
    }
    if (op->state == OP_ENDED || op->node != node || op->life != node->life) {
        return;
    }
    op->answer = result->answer;
    op->revision = result->revision;
    op->index = index;
    op->lease = result->id;
    end(node, op, 0);
}

void order_saw_epoch(struct node *node, uint64_t term)
{
    for (struct op *op = node->order.ops; op != NULL; op = op->next) {
        if (op->state == OP_SENT && op->term < term) {
            op->state = OP_WAITS;
        }
    }
}

void order_replaced(struct node *node)
{
    if (node->sim->config.broken == BREAK_INSTALL) {
        return;
    }
    for (struct op *op = node->order.ops, *next; op != NULL; op = next) {
        next = op->next;
        if (op->state == OP_SENT) {
            end(node, op, ERR_UNKNOWN);
        }
    }
}

void order_init(struct node *node)
{
    node->order = (struct order){0};
    node->order.items_end = &node->order.items;
}

void order_done(struct node *node)
{
    while (node->order.ops != NULL) {
        end(node, node->order.ops, ERR_UNKNOWN);
    }
    drop_items(&node->order);
}
