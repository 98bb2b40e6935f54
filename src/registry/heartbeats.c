/* Heartbeats: they move a deadline on the leader and write nothing. */
#include "base/clock.h"
#include "model/json.h"
#include "registry/answer.h"
#include "registry/body.h"

enum {
    HOSTS_MOST = 10000,
    FENCES_MOST = 20, /* each outlasts one proposed end */
};

static int refuse_unready(struct op_state *s)
{
    return answer_busy(s, "this node does not keep the leases now");
}

/* The end of the lease is in the log: behind it we know. */
static int wait_outcome(struct op_state *s)
{
    return s->fences < FENCES_MOST
               ? NEEDS_FENCE
               : answer_busy(s, "the end of the lease is being decided");
}

int heartbeat_one(struct op_state *s)
{
    int r = lease_heartbeat(s->registry->leases, s->op->id, clock_mono_ms());

    switch (r) {
    case 0:
        s->op->answer.code = OP_NO_CONTENT;
        return 0;
    case ERR_BUSY:
        return wait_outcome(s);
    case ERR_NOT_READY:
        return refuse_unready(s);
    default:
        return answer_problem(s, OP_NOT_FOUND, STR(""),
                              "no agent %.*s is registered: register again "
                              "with POST /v1/agents",
                              SHOW(s->op->id));
    }
}

/* ---- many ---- */

struct beats {
    struct str *hosts; /* those without an answer yet */
    size_t n;
    struct str so_far; /* the unknown of earlier turns: "a","b" */
};

static int read_hosts(struct op_state *s, struct beats *beats)
{
    static const char *const names[] = {"hostnames", NULL};
    struct json *body = NULL;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r != 0) {
        return r;
    }
    const struct json *list = json_get(body, "hostnames");
    if (list == NULL || list->kind != JSON_ARRAY || list->n > HOSTS_MOST) {
        return answer_problem(s, OP_BAD_REQUEST, STR("hostnames"),
                              "hostnames must be an array of at most %d "
                              "hostnames: send more in several requests",
                              HOSTS_MOST);
    }
    beats->hosts = arena_alloc(s->arena, (list->n + 1) * sizeof(struct str));
    for (const struct json *m = list->first; m != NULL; m = m->next) {
        if (m->kind != JSON_STRING) {
            return answer_problem(
                s, OP_BAD_REQUEST,
                arena_printf(s->arena, "hostnames[%zu]", beats->n),
                "a hostname must be a string");
        }
        beats->hosts[beats->n++] = m->text;
    }
    return 0;
}

/* Answers: NOT_READY. Those whose end is being decided stay in the list. */
static int beat_all(struct op_state *s, struct beats *beats,
                    struct buf *unknown)
{
    uint64_t now = clock_mono_ms();
    size_t left = 0;

    for (size_t i = 0; i < beats->n; i++) {
        struct str host = beats->hosts[i];
        int r = lease_heartbeat(s->registry->leases, host, now);
        if (r == ERR_NOT_READY) {
            return r;
        }
        if (r == ERR_BUSY) {
            beats->hosts[left++] = host;
        } else if (r == ERR_NOT_FOUND) {
            buf_add_text(unknown, unknown->n > 0 ? "," : "");
            json_add_string(unknown, host);
        }
    }
    beats->n = left;
    return 0;
}

int heartbeat_many(struct op_state *s)
{
    struct beats *beats = s->memory;
    struct buf unknown = {0}, out = {0};

    if (beats == NULL) {
        beats = s->memory = arena_zero(s->op->arena, sizeof *beats);
        int r = read_hosts(s, beats);
        if (r != 0) {
            return r;
        }
    }
    buf_add_str(&unknown, beats->so_far);
    int r = beat_all(s, beats, &unknown);
    beats->so_far = arena_take(s->op->arena, &unknown);
    if (r == ERR_NOT_READY) {
        return refuse_unready(s);
    }
    if (beats->n > 0) {
        return wait_outcome(s);
    }
    buf_add_text(&out, "{\"unknown\":[");
    buf_add_str(&out, beats->so_far);
    buf_add_text(&out, "]}");
    return answer_ok(s, &out);
}
