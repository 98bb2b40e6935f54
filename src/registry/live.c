/* Whether an agent is alive, and since when nothing was heard of it, is known
 * to the leader alone. A body is made without; then the leader is asked about
 * the names in it, and what it says goes in between. */
#include "base/clock.h"
#include "registry/agents.h"
#include "registry/answer.h"
#include "registry/asks.h"
#include "registry/names.h"

struct mark {
    size_t at;      /* where it goes */
    size_t name_at; /* the hostname, which JSON does not change */
    size_t name_n;
};

void live_mark(struct live *live, const struct buf *text, struct str hostname)
{
    struct mark mark = {text->n, text->n - 1 - hostname.n, hostname.n};

    buf_add(&live->marks, &mark, sizeof mark);
}

static size_t n_marks(const struct live *live)
{
    return live->marks.n / sizeof(struct mark);
}

static size_t n_known(const struct live *live)
{
    return live->known.n / NAMES_LIVE_BYTES;
}

static struct mark mark_of(const struct live *live, size_t i)
{
    struct mark mark;

    memcpy(&mark, live->marks.p + i * sizeof mark, sizeof mark);
    return mark;
}

static struct str name_of(const struct live *live, size_t i)
{
    struct mark mark = mark_of(live, i);

    return (struct str){live->text.p + mark.name_at, mark.name_n};
}

/* ---- finding out ---- */

static void add_known(struct buf *out, unsigned state, uint64_t heard_ms)
{
    buf_add_le(out, state, 1);
    buf_add_le(out, heard_ms, 8);
}

void live_look(struct lease_table *leases, struct str hostname, struct buf *out)
{
    static const unsigned states[] = {[LEASE_ALIVE] = NAMES_ALIVE,
                                      [LEASE_SUSPECT] = NAMES_SUSPECT,
                                      [LEASE_HELD] = NAMES_HELD};
    struct lease_info info = {0};

    int r = lease_get(leases, hostname, clock_mono_ms(), &info);
    if (r != 0 || !info.serving) {
        add_known(out, 0, UINT64_MAX);
        return;
    }
    add_known(out, states[info.state],
              info.heard ? info.last_heartbeat_ms : UINT64_MAX);
}

static int ask_leader(struct op_state *s, struct live *live)
{
    struct buf request = {0};

    for (size_t i = n_known(live);
         i < n_marks(live) && live->n_asked < NAMES_MOST &&
         request.n + UINT8_MAX < NAMES_BYTES;
         i++) {
        names_add(&request, name_of(live, i));
        live->n_asked++;
    }
    return asks_send(s, ASK_LIVE, &request, ASKS_VIEW_MS);
}

static void know_nothing_more(struct live *live)
{
    while (n_known(live) < n_marks(live)) {
        add_known(&live->known, 0, UINT64_MAX);
    }
}

static void take_reply(struct op_state *s, struct live *live)
{
    struct str reply = STR("");
    size_t n = live->n_asked;

    live->n_asked = 0;
    if (asks_take(s, &reply) == 0 && reply.n == n * NAMES_LIVE_BYTES) {
        buf_add_str(&live->known, reply);
    } else {
        know_nothing_more(live);
    }
}

static int find_out(struct op_state *s, struct live *live)
{
    struct core_status status = core_status(s->registry->core);

    if (live->n_asked > 0) {
        take_reply(s, live);
    }
    while (status.leads && n_known(live) < n_marks(live)) {
        live_look(s->registry->leases, name_of(live, n_known(live)),
                  &live->known);
    }
    if (status.leader == 0) {
        know_nothing_more(live);
    }
    return n_known(live) < n_marks(live) ? ask_leader(s, live) : 0;
}

/* ---- putting it in ---- */

static void add_live(struct buf *out, const char *known)
{
    uint64_t heard_ms = le_get(known + 1, 8);

    switch (known[0]) {
    case NAMES_ALIVE:
        buf_add_text(out, ",\"state\":\"alive\"");
        break;
    case NAMES_SUSPECT:
        buf_add_text(out, ",\"state\":\"suspect\"");
        break;
    case NAMES_HELD:
        buf_add_text(out, ",\"state\":\"held\"");
        break;
    default:
        buf_add_text(out, ",\"state\":null");
    }
    if (heard_ms == UINT64_MAX) {
        buf_add_text(out, ",\"last_heartbeat_ms\":null");
    } else {
        buf_printf(out, ",\"last_heartbeat_ms\":%llu",
                   (unsigned long long)heard_ms);
    }
}

static void put_in(const struct live *live, struct buf *out)
{
    size_t at = 0;

    for (size_t i = 0; i < n_marks(live); i++) {
        struct mark mark = mark_of(live, i);
        buf_add(out, live->text.p + at, mark.at - at);
        add_live(out, live->known.p + i * NAMES_LIVE_BYTES);
        at = mark.at;
    }
    buf_add(out, live->text.p + at, live->text.n - at);
}

int live_answer(struct op_state *s, struct live *live)
{
    struct buf out = {0};

    int r = find_out(s, live);
    if (r != 0) {
        return r;
    }
    if (n_marks(live) > AGENTS_QUICK && !s->on_worker && !s->op->no_worker) {
        return NEEDS_WORKER;
    }
    put_in(live, &out);
    return answer_ok(s, &out);
}

void live_end(struct op_state *s)
{
    struct live *live = s->memory;

    if (live != NULL) {
        buf_done(&live->marks);
        buf_done(&live->known);
    }
}
