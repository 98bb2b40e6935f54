/* Who is in the cluster, and changes of it. */
#include "registry/cluster.h"

#include <stdlib.h>

#include "model/json.h"
#include "registry/answer.h"
#include "registry/asks.h"
#include "registry/body.h"
#include "registry/callers.h"
#include "registry/permit.h"

/* ---- the view ---- */

static int by_name(const void *left, const void *right)
{
    const struct core_member *a = left, *b = right;
    int order = strcmp(a->id, b->id);

    return order != 0 ? order
                      : (a->raft_id > b->raft_id) - (a->raft_id < b->raft_id);
}

size_t cluster_members(const struct core *core,
                       struct core_member ret[CORE_MEMBERS_MOST])
{
    size_t n = core_members(core, ret);

    qsort(ret, n, sizeof *ret, by_name);
    return n;
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, ",\"%s\":", name);
    json_add_string(out, str_of(text));
}

/* null when it is not known. */
static void add_number(struct buf *out, const char *name, bool known,
                       uint64_t number)
{
    if (known) {
        buf_printf(out, ",\"%s\":%llu", name, (unsigned long long)number);
    } else {
        buf_printf(out, ",\"%s\":null", name);
    }
}

static const char *role_of(const struct core_member *m)
{
    return m->leads ? "leader" : m->role == CORE_VOTER ? "voter" : "learner";
}

static void add_member(struct buf *out, const struct core_member *m)
{
    buf_add_text(out, "{\"id\":");
    json_add_string(out, str_of(m->id));
    add_text(out, "role", role_of(m));
    add_text(out, "http", m->http);
    add_text(out, "raft", m->raft);
    add_number(out, "applied", m->live, m->applied);
    add_number(out, "last_contact_ms", m->live && m->contact_ms != UINT64_MAX,
               m->contact_ms);
    add_text(out, "version", m->version);
    add_number(out, "feature_level", m->live, m->feature_level);
    add_text(out, "state", m->live ? m->state : "unknown");
    /* Larger than what JSON's numbers hold everywhere. */
    buf_printf(out, ",\"raft_id\":\"%llu\"}", (unsigned long long)m->raft_id);
}

void cluster_write(const struct core *core, struct buf *out)
{
    struct core_member members[CORE_MEMBERS_MOST];
    struct core_member leader = {0};
    uint8_t id[16];

    size_t n = cluster_members(core, members);
    bool known = core_leader(core, &leader) == 0;
    core_cluster_id(core, id);
    buf_add_text(out, "{\"cluster\":\"");
    for (size_t i = 0; i < sizeof id; i++) {
        buf_printf(out, "%02x", id[i]);
    }
    buf_printf(out, "\",\"term\":%llu,\"leader\":",
               (unsigned long long)core_status(core).term);
    json_add_string(out, str_of(known ? leader.id : ""));
    buf_add_text(out, ",\"nodes\":[");
    for (size_t i = 0; i < n; i++) {
        buf_add_text(out, i > 0 ? "," : "");
        add_member(out, &members[i]);
    }
    buf_add_text(out, "]}");
}

/* Only the leader knows how far the others are. */
int cluster_get(struct op_state *s)
{
    struct core_status status = core_status(s->registry->core);
    struct buf none = {0}, out = {0};
    struct str reply = STR("");

    if (!s->asked && !status.leads && status.leader != 0 && !status.removed) {
        s->asked = true;
        return asks_send(s, ASK_CLUSTER, &none, ASKS_VIEW_MS);
    }
    if (asks_take(s, &reply) == 0) {
        buf_add_str(&out, reply);
    } else {
        cluster_write(s->registry->core, &out);
    }
    return answer_ok(s, &out);
}

/* ---- changes ---- */

enum { NODE_MOST = 64 << 10, WHY_MOST = 900 };

/* The leader's no, in its own words. */
static int refused(struct op_state *s, int r, struct str why)
{
    int n = why.n < WHY_MOST ? (int)why.n : WHY_MOST;
    enum op_code code = r == ERR_NOT_FOUND ? OP_NOT_FOUND
                        : r == ERR_INVALID || r == ERR_TOO_LARGE
                            ? OP_BAD_REQUEST
                            : OP_CONFLICT;

    if (r == ERR_NOT_READY) {
        return n > 0 ? answer_problem(s, OP_UNAVAILABLE, STR(""), "%.*s", n,
                                      why.p)
                     : answer_busy(s, "no leader answered: look at "
                                      "/v1/cluster for what was done");
    }
    if (n == 0) {
        return answer_problem(s, code, STR(""),
                              "the leader knows no such request: it may be of "
                              "an earlier version");
    }
    return answer_problem(s, code, STR(""), "%.*s", n, why.p);
}

static int change(struct op_state *s, uint32_t kind, struct buf *request)
{
    s->asked = true;
    return asks_send(s, kind, request, 0);
}

/* Who has shown a node's certificate is that node, and brings in no other. */
static int permit_name(struct op_state *s, const struct json *body)
{
    const struct access_who *who = s->who;
    const struct json *id = json_get(body, "id");

    if (who->kind != ACCESS_NODE || who->id.n > 0 || callers_is_own(who) ||
        (id != NULL && id->kind == JSON_STRING &&
         str_equal(id->text, who->name))) {
        return 0;
    }
    return permit_refuse(s, STR(""),
                         "bring in another node: its certificate is that of "
                         "%.*s",
                         SHOW(who->name));
}

/* What a node says of itself the leader understands; here it only has to be
 * JSON. */
static int check_node(struct op_state *s)
{
    struct json *body = NULL;

    if (s->op->body.n > NODE_MOST) {
        return answer_problem(s, OP_TOO_LARGE, STR(""),
                              "a node is described in at most %d bytes",
                              NODE_MOST);
    }
    int r = body_parse(s, &body);
    return r != 0 ? r : permit_name(s, body);
}

int cluster_join(struct op_state *s)
{
    struct str reply = STR("");
    struct buf out = {0};

    if (!s->asked) {
        int r = check_node(s);
        if (r != 0) {
            return r;
        }
        buf_add_str(&out, s->op->body);
        return change(s, CORE_ASK_JOIN, &out);
    }
    int r = asks_take(s, &reply);
    if (r != 0) {
        return refused(s, r, reply);
    }
    buf_add_str(&out, reply);
    (void)answer_ok(s, &out);
    s->op->answer.code = OP_CREATED;
    return 0;
}

int cluster_remove(struct op_state *s)
{
    struct str reply = STR("");
    struct buf request = {0};

    if (!s->asked) {
        buf_add_text(&request, "{\"id\":");
        json_add_string(&request, s->op->id);
        buf_add_char(&request, '}');
        return change(s, CORE_ASK_REMOVE, &request);
    }
    int r = asks_take(s, &reply);
    if (r != 0) {
        return refused(s, r, reply);
    }
    s->op->answer.code = OP_NO_CONTENT;
    return 0;
}

/* p NULL: to whoever is best. */
static int read_to(struct op_state *s, struct str *ret_to)
{
    static const char *const names[] = {"to", NULL};
    struct json *body = NULL;

    *ret_to = STR_NONE;
    if (s->op->body.n == 0) {
        return 0;
    }
    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    return r != 0 ? r : body_text(s, body, STR(""), "to", false, ret_to);
}

/* Done twice it is done once: from this leader to any other, or to that one. */
static int ask_transfer(struct op_state *s)
{
    struct core_member leader = {0};
    struct buf request = {0};
    struct str to;

    int r = read_to(s, &to);
    if (r != 0) {
        return r;
    }
    if (to.p == NULL && core_leader(s->registry->core, &leader) != 0) {
        return answer_busy(s, "there is no leader now, nothing was done");
    }
    if (to.p == NULL) {
        buf_printf(&request, "{\"from\":\"%llu\"}",
                   (unsigned long long)leader.raft_id);
    } else {
        buf_add_text(&request, "{\"id\":");
        json_add_string(&request, to);
        buf_add_char(&request, '}');
    }
    return change(s, CORE_ASK_TRANSFER, &request);
}

static int tell_leader(struct op_state *s)
{
    struct core_member leader = {0};
    struct buf out = {0};

    if (core_leader(s->registry->core, &leader) != 0) {
        return answer_busy(s, "leadership was handed over and lost");
    }
    buf_add_text(&out, "{\"leader\":");
    json_add_string(&out, str_of(leader.id));
    buf_add_char(&out, '}');
    return answer_ok(s, &out);
}

int cluster_transfer(struct op_state *s)
{
    struct str reply = STR("");

    if (s->fences == 0) {
        return NEEDS_FENCE; /* Who leads, this node may not have heard. */
    }
    if (!s->asked) {
        return ask_transfer(s);
    }
    if (s->fences > 1) {
        return tell_leader(s);
    }
    int r = asks_take(s, &reply);
    /* Behind a fence this node knows the new one too. */
    return r != 0 ? refused(s, r, reply) : NEEDS_FENCE;
}
