/* Heartbeats: they move a deadline on the leader and write nothing. A node that
 * does not lead asks the leader, and never its own table. */
#include "base/clock.h"
#include "model/json.h"
#include "registry/answer.h"
#include "registry/asks.h"
#include "registry/body.h"
#include "registry/gather.h"
#include "registry/names.h"
#include "registry/permit.h"

enum {
    HOSTS_MOST = NAMES_MOST,
    FENCES_MOST = 20, /* each outlasts one proposed end */
};

static int refuse_unready(struct op_state *s)
{
    return answer_busy(s, "no leader keeps the leases now");
}

/* The end of the lease is in the log: behind it we know. */
static int wait_outcome(struct op_state *s)
{
    return s->fences < FENCES_MOST
               ? NEEDS_FENCE
               : answer_busy(s, "the end of the lease is being decided");
}

/* One whose core loop has stood still does not know whether it leads still. */
static bool is_in_doubt(const struct op_state *s)
{
    uint64_t ticked_ms = atomic_load(&s->registry->ticked_ms);

    return s->fences == 0 && clock_mono_ms() > ticked_ms + LEASE_STALL_MS;
}

static bool leads(const struct op_state *s)
{
    return core_status(s->registry->core).leads;
}

/* ---- one ---- */

/* Answers: NOT_FOUND, BUSY, NOT_READY; or WAITS, with the answer after the
 * wake. */
static int beat(struct op_state *s, struct gathered *one)
{
    int r = ERR_NOT_READY;

    if (one->asked) {
        one->asked = false;
        return one->said;
    }
    if (!names_fits(s->op->id)) {
        return ERR_NOT_FOUND;
    }
    if (leads(s)) {
        r = is_in_doubt(s) ? ERR_BUSY
                           : lease_heartbeat(s->registry->leases, s->op->id,
                                             clock_mono_ms());
    }
    return r == ERR_NOT_READY ? gather_send(s, one) : r;
}

int heartbeat_one(struct op_state *s)
{
    if (s->memory == NULL) {
        s->memory = arena_zero(s->op->arena, sizeof(struct gathered));
    }
    int r = beat(s, s->memory);
    switch (r) {
    case 0:
        s->op->answer.code = OP_NO_CONTENT;
        return 0;
    case WAITS:
        return r;
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
    struct str *hosts;
    size_t at, n;       /* those from `at` on have no answer yet */
    size_t n_ending;    /* the first ones: to be asked again */
    size_t n_asked;     /* those from `at` on: of the leader */
    struct buf unknown; /* "a","b" */
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

/* What became of the next one. */
static void settle(struct beats *beats, int r)
{
    struct str host = beats->hosts[beats->at++];

    if (r == ERR_BUSY) {
        beats->hosts[beats->n_ending++] = host; /* never beyond `at` */
    } else if (r == ERR_NOT_FOUND) {
        buf_add_text(&beats->unknown, beats->unknown.n > 0 ? "," : "");
        json_add_string(&beats->unknown, host);
    }
}

/* Answers: NOT_READY. */
static int beat_here(struct op_state *s, struct beats *beats)
{
    bool in_doubt = is_in_doubt(s);
    uint64_t now = clock_mono_ms();

    while (beats->at < beats->n) {
        struct str host = beats->hosts[beats->at];
        int r = in_doubt ? ERR_BUSY
                         : lease_heartbeat(s->registry->leases, host, now);
        if (r == ERR_NOT_READY) {
            return r;
        }
        settle(beats, r);
    }
    return 0;
}

/* As many as make one question; those that are no hostname have no lease. */
static int ask_leader(struct op_state *s, struct beats *beats)
{
    struct buf request = {0};
    size_t i = beats->at;

    while (i < beats->n && names_fits(beats->hosts[i]) &&
           request.n + UINT8_MAX < NAMES_BYTES) {
        names_add(&request, beats->hosts[i++]);
    }
    beats->n_asked = i - beats->at;
    return asks_send(s, ASK_BEATS, &request, 0);
}

static int code_of(char said)
{
    return said == NAMES_OK        ? 0
           : said == NAMES_UNKNOWN ? ERR_NOT_FOUND
                                   : ERR_BUSY;
}

/* Answers: NOT_READY. */
static int take_reply(struct op_state *s, struct beats *beats)
{
    struct str reply = STR("");
    size_t n = beats->n_asked;

    int r = asks_take(s, &reply);
    beats->n_asked = 0;
    /* BUSY: it does not serve yet. */
    if (r != ERR_BUSY && (r != 0 || reply.n != n)) {
        return ERR_NOT_READY;
    }
    for (size_t i = 0; i < n; i++) {
        settle(beats, r != 0 ? r : code_of(reply.p[i]));
    }
    return 0;
}

/* 0: each has an answer, or its end is being decided. Answers: NOT_READY, or
 * WAITS. */
static int beat_all(struct op_state *s, struct beats *beats)
{
    int r = beats->n_asked > 0 ? take_reply(s, beats) : 0;

    if (r == 0 && leads(s) && beat_here(s, beats) == 0) {
        return 0;
    }
    while (r == 0 && beats->at < beats->n) {
        if (names_fits(beats->hosts[beats->at])) {
            return ask_leader(s, beats);
        }
        settle(beats, ERR_NOT_FOUND);
    }
    return r;
}

/* All of them or none: who is bound to a hostname beats for no other. */
static int permit_hosts(struct op_state *s, const struct beats *beats)
{
    int r = permit_bound(s).n > 0 || beats->n == 0
                ? permit_known(s)
                : permit_agent(s, ACCESS_UPDATE, beats->hosts[0], true);

    for (size_t i = 0; r == 0 && permit_bound(s).n > 0 && i < beats->n; i++) {
        r = permit_agent(s, ACCESS_UPDATE, beats->hosts[i], true);
    }
    return r;
}

int heartbeat_many(struct op_state *s)
{
    struct beats *beats = s->memory;
    struct buf out = {0};

    if (beats == NULL) {
        beats = arena_zero(s->op->arena, sizeof *beats);
        int r = read_hosts(s, beats);
        if (r == 0) {
            r = permit_hosts(s, beats);
        }
        if (r != 0) {
            return r;
        }
        s->memory = beats; /* A long body is read anew by a worker. */
    }
    int r = beat_all(s, beats);
    if (r != 0) {
        return r == ERR_NOT_READY ? refuse_unready(s) : r;
    }
    if (beats->n_ending > 0) {
        beats->n = beats->n_ending;
        beats->at = beats->n_ending = 0;
        return wait_outcome(s);
    }
    buf_add_text(&out, "{\"unknown\":[");
    buf_add_str(&out, buf_str(&beats->unknown));
    buf_add_text(&out, "]}");
    return answer_ok(s, &out);
}

void heartbeat_end(struct op_state *s)
{
    struct beats *beats = s->memory;

    if (beats != NULL) {
        buf_done(&beats->unknown);
    }
}
