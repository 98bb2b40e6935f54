/* Machines that register themselves. */
#include "registry/agents.h"

#include "model/json.h"
#include "model/name.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/enrol.h"
#include "registry/matches.h"
#include "registry/types_set.h"

/* ---- registration ---- */

struct enrolment {
    struct str hostname;
    uint64_t ttl_ms;
    struct json *resource;
    struct enrol_credential credential;
};

int agents_check_host(struct op_state *s, struct str hostname,
                      const char *field)
{
    if (name_is_host(hostname)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, str_of(field),
                          "%.*s is no hostname: write 1 to 253 of letters, "
                          "digits, '.', '-' and '_', not shaped like an id",
                          SHOW(hostname));
}

static int read_ttl(struct op_state *s, const struct json *body,
                    uint64_t *ret_ttl_ms)
{
    struct str text;

    *ret_ttl_ms = LEASE_TTL_DEFAULT_MS;
    int r = body_text(s, body, STR(""), "ttl", false, &text);
    if (r != 0 || text.p == NULL) {
        return r;
    }
    if (str_duration(text, ret_ttl_ms) == 0 &&
        *ret_ttl_ms >= LEASE_TTL_LEAST_MS && *ret_ttl_ms <= LEASE_TTL_MOST_MS) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("ttl"),
                          "ttl is a duration from \"2s\" to \"24h\", not %.*s",
                          SHOW(text));
}

static int read_resource(struct op_state *s, const struct json *body,
                         struct json **ret_resource)
{
    /* The members are the request's own: nobody else reads them. */
    struct json *resource =
        (struct json *)(uintptr_t)json_get(body, "resource");

    if (resource == NULL) {
        resource = arena_zero(s->arena, sizeof *resource);
        resource->kind = JSON_OBJECT;
    }
    for (const struct json *m = resource->first; m != NULL; m = m->next) {
        if (m->key.n > 0 && m->key.p[0] == '_') {
            struct str field = body_field(s, STR("resource"), m->key);
            return answer_problem(s, OP_BAD_REQUEST, field,
                                  "%.*s must not start with '_': such names "
                                  "are the server's",
                                  SHOW(field));
        }
    }
    *ret_resource = resource;
    return 0;
}

static int read_enrolment(struct op_state *s, struct enrolment *enrolment)
{
    static const char *const names[] = {
        "hostname", "ttl", "resource", "credential", "credential_id", NULL};
    struct json *body = NULL;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "hostname", true, &enrolment->hostname);
    }
    if (r == 0) {
        r = agents_check_host(s, enrolment->hostname, "hostname");
    }
    if (r == 0) {
        r = read_ttl(s, body, &enrolment->ttl_ms);
    }
    if (r == 0) {
        r = enrol_read(s, body, &enrolment->credential);
    }
    return r != 0 ? r : read_resource(s, body, &enrolment->resource);
}

static int read_rules(struct op_state *s, struct store_txn *txn, void *user)
{
    return types_find(s, txn, STR("machine"), user);
}

static int check_secrets(struct op_state *s, const struct type *type,
                         struct str fields)
{
    for (size_t i = 0; i < type->n_secret; i++) {
        if (row_get(fields, type->secret[i]).p != NULL) {
            struct str field = body_field(s, STR("resource"), type->secret[i]);
            return answer_problem(s, OP_BAD_REQUEST, field,
                                  "%.*s is a secret of type machine: agents "
                                  "do not set secrets, operators do",
                                  SHOW(field));
        }
    }
    return 0;
}

/* What the agent says of its machine: merged over what is there, so its rules
 * are those of a patch; what a type requires is asked of new rows too. */
static int make_fields(struct op_state *s, struct enrolment *enrolment,
                       struct str *ret_fields)
{
    const struct type *type = NULL;
    struct row_input input;

    body_inject(s, enrolment->resource, STR("hostname"), enrolment->hostname);
    int r =
        body_row_read(s, enrolment->resource, false, STR("resource"), &input);
    if (r == 0) {
        r = snapshot_run(s, read_rules, &type);
    }
    if (r == 0) {
        r = body_row_check(s, type, input.fields, STR("resource"));
    }
    if (r == 0) {
        r = check_secrets(s, type, input.fields);
    }
    if (r != 0) {
        return r;
    }
    struct str said = row_get_text(s->arena, input.fields, STR("hostname"));
    if (!str_equal(said, enrolment->hostname)) {
        return answer_problem(s, OP_BAD_REQUEST, STR("resource.hostname"),
                              "resource.hostname is not the hostname %.*s that "
                              "registers: leave it out",
                              SHOW(enrolment->hostname));
    }
    *ret_fields = input.fields;
    return 0;
}

static int find_leaves(struct op_state *s, struct str hostname,
                       uint64_t *ret_tree_rev, struct command_agent_put *put)
{
    struct matches *matches = NULL;
    uint64_t *leaves = NULL;
    size_t n = 0;

    int r = matches_hold(s, &matches);
    if (r != 0) {
        return r;
    }
    r = matches_find(s, matches, hostname, &leaves, &n);
    *ret_tree_rev = matches_tree_rev(matches);
    (void)matches_unref(matches);
    if (r != 0) {
        return r;
    }
    struct ulid first = ulid_next_run(n + 1);
    put->leaves = arena_alloc(s->arena, (n + 1) * sizeof *put->leaves);
    put->n_leaves = n;
    for (size_t i = 0; i < n; i++) {
        put->leaves[i] =
            (struct command_leaf_item){leaves[i], ulid_plus(first, i)};
    }
    put->pool_id = ulid_plus(first, n);
    return 0;
}

int agent_put(struct op_state *s)
{
    struct command_agent_put put = {0};
    struct enrolment enrolment = {0};
    uint64_t tree_rev = 0;

    int r = read_enrolment(s, &enrolment);
    if (r == 0) {
        r = enrol_permit_host(s, enrolment.hostname);
    }
    if (r == 0) {
        r = make_fields(s, &enrolment, &put.fields);
    }
    uint64_t types_rev = s->seen.types_rev;
    if (r == 0) {
        r = find_leaves(s, enrolment.hostname, &tree_rev, &put);
    }
    put.hostname = enrolment.hostname;
    if (r == 0) {
        r = enrol_permit_leaves(s, &put);
    }
    if (r != 0) {
        return r;
    }
    put.ttl_ms = enrolment.ttl_ms;
    put.lease = ulid_next();
    s->command = (struct command){.kind = COMMAND_AGENT_PUT,
                                  .tree_rev = tree_rev,
                                  .types_rev = types_rev,
                                  .agent_put = put};
    return enrol_bind(s, enrolment.hostname, &enrolment.credential);
}

/* ---- placements ---- */

/* As the result of a registration has them: ns:8 little-endian, id:16. */
enum { PLACEMENT_BYTES = 24 };

int agents_add_placement(struct store_txn *txn, uint64_t ns, struct ulid id,
                         bool *first, struct buf *out)
{
    struct buf path = {0};

    int r = store_path_of(txn, ns, &path);
    if (r == 0) {
        buf_add_text(out, *first ? "" : ",");
        *first = false;
        json_add_string(out, buf_str(&path));
        buf_add_char(out, ':');
        answer_add_ulid(out, id);
    }
    buf_done(&path);
    return r == ERR_NOT_FOUND ? 0 : r; /* Deleted since. */
}

struct placing {
    struct str detail;
    struct buf out;
};

static int read_placements(struct op_state *s, struct store_txn *txn,
                           void *user)
{
    struct placing *placing = user;
    bool first = true;
    int r = 0;

    (void)s;
    buf_clear(&placing->out);
    for (size_t at = 0; r == 0 && at + PLACEMENT_BYTES <= placing->detail.n;
         at += PLACEMENT_BYTES) {
        const char *p = placing->detail.p + at;
        struct ulid id;
        uint64_t ns = le_get(p, 8);
        memcpy(id.b, p + 8, sizeof id.b);
        r = agents_add_placement(txn, ns, id, &first, &placing->out);
    }
    return r;
}

int agent_finish_put(struct op_state *s, struct machine_result *result)
{
    struct placing placing = {.detail = buf_str(&result->detail)};
    struct enrolment enrolment = {0};
    struct buf out = {0};

    int r = read_enrolment(s, &enrolment);
    if (r == 0) {
        r = snapshot_run(s, read_placements, &placing);
    }
    if (r != 0) {
        buf_done(&placing.out);
        return r;
    }
    buf_add_text(&out, "{\"hostname\":");
    json_add_string(&out, enrolment.hostname);
    buf_add_text(&out, ",\"lease\":");
    answer_add_ulid(&out, result->id);
    buf_printf(&out, ",\"ttl_ms\":%llu,\"heartbeat_ms\":%llu,\"placements\":{",
               (unsigned long long)enrolment.ttl_ms,
               (unsigned long long)enrolment.ttl_ms / 3);
    buf_add_str(&out, buf_str(&placing.out));
    buf_add_text(&out, "}}");
    buf_done(&placing.out);
    (void)answer_ok(s, &out);
    s->op->answer.code = result->created ? OP_CREATED : OP_OK;
    return 0;
}

int agent_delete(struct op_state *s)
{
    int r = agents_check_host(s, s->op->id, "");

    if (r == 0) {
        s->command = (struct command){.kind = COMMAND_AGENT_DEL,
                                      .agent_del = {.hostname = s->op->id}};
    }
    return r;
}

int agent_finish_delete(struct op_state *s, struct machine_result *result)
{
    (void)result;
    s->op->answer.code = OP_NO_CONTENT;
    return 0;
}
