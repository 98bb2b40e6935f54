#include "registry/poll.h"

#include "registry/resolve.h"

/* How much history is looked at before a search is made to find out: less than
 * that costs, and here it is cheaper still than the way to a worker. */
enum { LOOK_HERE = 64 << 10, LOOK_PART = 1 << 20, LOOK_PARTS = 8 };

bool poll_waits(const struct op_state *s)
{
    return s->op->query.has_since && !s->op->expired;
}

bool poll_parks(const struct op_state *s, uint64_t revision, uint64_t seen)
{
    uint64_t since = s->op->query.since;

    return poll_waits(s) && revision <= since && since <= seen;
}

static int park(struct op_state *s, const struct watch_spec *spec, bool exact,
                uint64_t from)
{
    struct op_watch *watch = arena_zero(s->op->arena, sizeof *watch);

    *watch = (struct op_watch){.spec = *spec, .exact = exact, .from = from};
    s->op->answer = (struct op_answer){.watch = watch};
    return PARKS;
}

int poll_list(struct op_state *s, uint64_t from)
{
    const struct watch_spec spec = {.ns = s->op->ns, .type = s->op->type};

    return park(s, &spec, true, from);
}

/* ---- searches ---- */

static int find_top(struct op_state *s, struct store_txn *txn, void *user)
{
    const struct watch_spec *spec = user;
    uint64_t id = 0;

    return resolve_path(s, txn, spec->ns, STR("ns"), &id);
}

struct looking {
    const struct access_who *who;
    bool news;
};

/* What he may not see is none. */
static void found(void *user, const struct event *event)
{
    struct looking *looking = user;

    looking->news =
        looking->news || registry_sees(looking->who, event) != SIGHT_NONE;
}

/* What came behind `since`, up to where there is nothing more: 0 when there is
 * something, or nobody knows. */
static int look_back(struct op_state *s, const struct watch_spec *spec)
{
    struct watch_reading reading = {.upto = s->op->query.since};
    uint64_t part = s->on_worker ? LOOK_PART : LOOK_HERE;
    int parts = s->on_worker ? LOOK_PARTS : 1;
    struct looking looking = {.who = s->who};

    for (int i = 0; i < parts; i++) {
        int r = watch_read(s->reader, spec, reading.upto, part, found, &looking,
                           &reading);
        if (r != 0) {
            return r == ERR_NOT_FOUND ? 0 : r;
        }
        if (looking.news) {
            return 0;
        }
        if (reading.end) {
            return park(s, spec, false, reading.upto);
        }
    }
    return s->on_worker ? 0 : NEEDS_WORKER;
}

/* A regular expression is run over rows, not over all that happens: a row with
 * any value in the field may be among its. What the server says of a row is not
 * in what it was before: any row may be. */
static struct watch_spec spec_of(const struct op_query *query, struct str top,
                                 enum pattern_mode mode)
{
    bool any = query->v.p == NULL || mode == PATTERN_REGEX;
    struct watch_spec spec = {.ns = top, .type = query->type};

    if (resolve_is_server(query->k)) {
        return spec;
    }
    if (query->k.p != NULL || !any) {
        spec.k = query->k;
        spec.v = any ? STR("") : query->v;
        spec.mode = any ? PATTERN_PREFIX : mode;
    }
    return spec;
}

static int look(struct op_state *s, const struct watch_spec *spec)
{
    struct watch_spec top = *spec;
    uint64_t since = s->op->query.since;

    int r = snapshot_run(s, find_top, &top);
    if (r != 0) {
        return r;
    }
    if (since == s->seen.revision) {
        return park(s, spec, false, since);
    }
    return since > s->seen.revision ? 0 : look_back(s, spec);
}

/* Not one whose compiling may be long. */
bool poll_is_quick(const struct op_state *s)
{
    return poll_waits(s) && !s->op->woken &&
           !str_is(s->op->query.mode, "regex");
}

int poll_search(struct op_state *s, struct str top, enum pattern_mode mode)
{
    const struct watch_spec spec = spec_of(&s->op->query, top, mode);
    int r = poll_waits(s) && !s->op->woken ? look(s, &spec) : 0;

    return r == 0 && !s->on_worker ? NEEDS_WORKER : r;
}
