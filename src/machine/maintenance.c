/* Maintenance: a person has said that something is being worked on.
 *
 * Of a row it is a mark and a text in the row. Of an agent it is a mark, and a
 * text in each machine row that its lease has placed, whenever that was; its
 * lease is spared meanwhile (leased.c). A row that has a mark of its own shows
 * that one. All of it ends by a command or when its time is over (sweep.c). */
#include "base/date.h"
#include "base/err.h"
#include "machine/apply.h"
#include "model/json.h"

enum { ROW_NAME = 8 + 16, FORMAT = 1 };

/* ---- names and texts ---- */

static struct str row_name(struct apply *a, const struct place *p,
                           struct ulid id)
{
    struct buf name = {0};

    for (int shift = 56; shift >= 0; shift -= 8) {
        buf_add_char(&name, (char)(p->ns >> shift));
    }
    buf_add(&name, id.b, sizeof id.b);
    buf_add_str(&name, p->type);
    return arena_take(a->arena, &name);
}

static int read_name(struct apply *a, struct str name, struct place *ret_place,
                     struct ulid *ret_id)
{
    struct place p = {0};

    if (name.n <= ROW_NAME) {
        return err_raise(ERR_CORRUPT);
    }
    for (size_t i = 0; i < 8; i++) {
        p.ns = p.ns << 8 | (uint8_t)name.p[i];
    }
    memcpy(ret_id->b, name.p + 8, sizeof ret_id->b);
    p.type =
        arena_str(a->arena, (struct str){name.p + ROW_NAME, name.n - ROW_NAME});
    int r = apply_key_field(a, p.type, &p.key_field);
    *ret_place = p;
    return r;
}

/* As it stands in a row: escaped, without quotes. */
static struct str text_of(struct apply *a, uint64_t until_ms, struct str reason)
{
    struct buf plain = {0}, text = {0};

    buf_add_text(&plain, "until ");
    date_add(&plain, until_ms);
    if (reason.n > 0) {
        buf_add_text(&plain, ": ");
        buf_add_str(&plain, reason);
    }
    json_add_string(&text, buf_str(&plain));
    buf_done(&plain);
    struct str quoted = arena_take(a->arena, &text);
    return (struct str){quoted.p + 1, quoted.n - 2};
}

/* What an agent's maintenance puts into rows; n == 0: it is in none. */
static int agent_text(struct apply *a, struct str hostname, struct str *ret)
{
    uint64_t until_ms = 0;
    struct str record;

    *ret = STR("");
    int r = store_mark_get(a->txn, STORE_MARK_MAINTENANCE, hostname, &until_ms,
                           &record);
    if (r == 0 && record.n > 0) {
        *ret = text_of(a, until_ms, (struct str){record.p + 1, record.n - 1});
    }
    return r == ERR_NOT_FOUND ? 0 : r;
}

static int has_own(struct apply *a, const struct place *p, struct ulid id,
                   bool *ret_has)
{
    uint64_t until_ms = 0;
    struct str record;

    int r = store_mark_get(a->txn, STORE_MARK_ROW, row_name(a, p, id),
                           &until_ms, &record);
    *ret_has = r == 0;
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* ---- rows ---- */

/* A row that is nearly as large as one may be has no room for a reason, or for
 * nothing at all. Answers: TOO_LARGE. */
static int say(struct apply *a, const struct place *p, const struct held *held,
               struct str text)
{
    enum { UNTIL = sizeof "until 2026-11-21T12:00:00Z" - 1 };
    struct row_server server = {text, held->server.status};

    a->gone += held->row.n / 4096;
    int r = row_set_server(a, p, held, &server);
    if (r == ERR_TOO_LARGE && text.n > UNTIL) {
        server.maintenance.n = UNTIL;
        r = row_set_server(a, p, held, &server);
    }
    return r;
}

/* The row says what holds for its agent, unless it has a mark of its own, is
 * out of reach, or has no room for it. */
static int say_of_agent(struct apply *a, uint64_t ns, struct ulid id,
                        struct str text)
{
    struct place p = {ns, STR("machine"), STR("hostname")};
    struct str path;
    struct held held;
    bool own = false;

    int r = apply_path(a, ns, &path);
    if (r == 0 && path.n == 0) {
        return 0;
    }
    if (r == 0) {
        r = row_hold(a, &p, id, &held);
    }
    if (r == 0) {
        r = has_own(a, &p, id, &own);
    }
    if (r == 0 && !own) {
        r = say(a, &p, &held, text);
    }
    return r == ERR_NOT_FOUND || r == ERR_TOO_LARGE ? 0 : r;
}

static int say_everywhere(struct apply *a, const struct store_lease *lease,
                          struct str text)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < lease->n_places; i++) {
        r = say_of_agent(a, lease->places[i].ns, lease->places[i].id, text);
    }
    return r;
}

int maintenance_enrolled(struct apply *a, const struct store_lease *lease)
{
    const char *cause = a->cause;
    struct str text;

    int r = agent_text(a, lease->hostname, &text);
    if (r == 0 && text.n > 0) {
        a->cause = MAINTENANCE;
        r = say_everywhere(a, lease, text);
        a->cause = cause;
    }
    return r;
}

int maintenance_left(struct apply *a, struct str hostname,
                     const struct store_placement *at)
{
    const char *cause = a->cause;
    struct str text;

    int r = agent_text(a, hostname, &text);
    if (r == 0 && text.n > 0) {
        a->cause = MAINTENANCE;
        r = say_of_agent(a, at->ns, at->id, STR(""));
        a->cause = cause;
    }
    return r;
}

int maintenance_row_gone(struct apply *a, const struct place *p,
                         const struct held *held)
{
    if (held->server.maintenance.n == 0) {
        return 0;
    }
    int r = store_mark_del(a->txn, STORE_MARK_ROW, row_name(a, p, held->id));
    return r == ERR_NOT_FOUND ? 0 : r;
}

int maintenance_of_row(struct apply *a, const struct place *p,
                       const struct held *held, uint64_t *ret_until_ms)
{
    struct str record;

    *ret_until_ms = 0;
    if (held->server.maintenance.n == 0) {
        return 0;
    }
    int r = store_mark_get(a->txn, STORE_MARK_ROW, row_name(a, p, held->id),
                           ret_until_ms, &record);
    return r == ERR_NOT_FOUND ? 0 : r;
}

int maintenance_keep(struct apply *a, const struct place *p, struct ulid id,
                     uint64_t until_ms)
{
    static const char record[] = {FORMAT};

    return store_mark_put(a->txn, STORE_MARK_ROW, row_name(a, p, id), until_ms,
                          (struct str){record, sizeof record});
}

/* ---- of a row ---- */

int maintenance_inherited(struct apply *a, const struct place *p,
                          const struct held *held, struct str *ret_text)
{
    struct store_lease lease;
    struct str hostname = STR_NONE;

    *ret_text = STR("");
    if (str_is(p->type, "machine")) {
        hostname = row_get_text(a->arena, held->fields, STR("hostname"));
    }
    if (hostname.p == NULL) {
        return 0;
    }
    int r = store_lease_get(a->txn, hostname, a->arena, &lease);
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    for (size_t i = 0; i < lease.n_places; i++) {
        if (lease.places[i].ns == p->ns &&
            ulid_compare(lease.places[i].id, held->id) == 0) {
            return agent_text(a, hostname, ret_text);
        }
    }
    return 0;
}

static int end_of_row(struct apply *a, const struct place *p,
                      const struct held *held)
{
    struct str text;

    int r = maintenance_row_gone(a, p, held);
    if (r == 0) {
        r = maintenance_inherited(a, p, held, &text);
    }
    if (r == 0) {
        r = say(a, p, held, text);
    }
    return r == ERR_TOO_LARGE ? 0 : r;
}

static int set_row(struct apply *a, const struct place *p,
                   const struct held *held, uint64_t until_ms,
                   struct str reason)
{
    int r = say(a, p, held, text_of(a, until_ms, reason));

    return r != 0 ? r : maintenance_keep(a, p, held->id, until_ms);
}

static uint64_t until(const struct apply *a, const struct command_maint *c)
{
    return a->meta->log_time_ms + c->duration_ms;
}

static int maintain_row(struct apply *a, const struct command_maint *c)
{
    struct place p = {c->ns, c->type, c->key_field};
    struct held held = {0};

    int r = row_target(a, &p, c->by_key, c->id, c->key, &held);
    if (r < 0) {
        return r;
    }
    int cond = apply_cond(a, c->cond, c->cond_revs, r == 0, held.rev);
    if (r != 0 || cond != 0) {
        return cond != 0 ? cond : r;
    }
    return c->set ? set_row(a, &p, &held, until(a, c), c->reason)
                  : end_of_row(a, &p, &held);
}

int maintenance_row_due(struct apply *a, struct str name)
{
    struct str copy = arena_str(a->arena, name);
    struct place p = {0};
    struct ulid id = {{0}};
    struct str path;
    struct held held;

    int r = read_name(a, copy, &p, &id);
    if (r == 0) {
        r = store_mark_del(a->txn, STORE_MARK_ROW, copy);
    }
    if (r == 0) {
        r = apply_path(a, p.ns, &path);
    }
    if (r != 0 || path.n == 0) {
        return r; /* Nobody sees what was deleted and is not freed yet. */
    }
    r = row_hold(a, &p, id, &held);
    a->cause = MAINTENANCE;
    return r == 0 ? end_of_row(a, &p, &held) : r == ERR_NOT_FOUND ? 0 : r;
}

/* ---- of an agent ---- */

static int put_agent(struct apply *a, const struct command_maint *c)
{
    struct buf record = {0};

    buf_add_char(&record, FORMAT);
    buf_add_str(&record, c->reason);
    int r = store_mark_put(a->txn, STORE_MARK_MAINTENANCE, c->hostname,
                           until(a, c), buf_str(&record));
    buf_done(&record);
    return r;
}

int maintenance_agent_due(struct apply *a, struct str name)
{
    struct str hostname = arena_str(a->arena, name);
    struct store_lease lease;

    int r = store_mark_del(a->txn, STORE_MARK_MAINTENANCE, hostname);
    if (r == 0) {
        r = store_lease_get(a->txn, hostname, a->arena, &lease);
    }
    if (r != 0) {
        return r;
    }
    a->cause = MAINTENANCE;
    r = say_everywhere(a, &lease, STR(""));
    return r == 0 ? lease_tell(a, &lease, false) : r;
}

/* What ended before, or holds for a machine that is away, is not there to be
 * ended as soon as nothing is known of the machine at all. */
static int end_agent(struct apply *a, struct str hostname)
{
    struct store_lease lease;
    uint64_t until_ms = 0;
    struct str record;

    int r = store_mark_get(a->txn, STORE_MARK_MAINTENANCE, hostname, &until_ms,
                           &record);
    if (r == ERR_NOT_FOUND) {
        return store_lease_get(a->txn, hostname, a->arena, &lease);
    }
    r = r == 0 ? maintenance_agent_due(a, hostname) : r;
    return r == ERR_NOT_FOUND ? 0 : r;
}

static int set_agent(struct apply *a, const struct command_maint *c)
{
    struct store_lease lease;
    struct str text;

    int r = store_lease_get(a->txn, c->hostname, a->arena, &lease);
    if (r == 0) {
        r = put_agent(a, c);
    }
    if (r == 0) {
        r = agent_text(a, c->hostname, &text);
    }
    if (r == 0) {
        r = say_everywhere(a, &lease, text);
    }
    return r == 0 ? lease_tell(a, &lease, false) : r;
}

static int maintain_agent(struct apply *a, const struct command_maint *c)
{
    int r = c->set ? set_agent(a, c) : end_agent(a, c->hostname);

    if (r == 0 && !a->res->changed) {
        a->res->revision = a->meta->revision;
    }
    buf_clear(&a->res->row);
    return r;
}

int apply_maint(struct apply *a, const struct command_maint *c)
{
    a->cause = MAINTENANCE;
    if (a->meta->feature_level < MACHINE_FEATURE_CHANGES) {
        return ERR_NOT_READY;
    }
    if (c->reason.n > MACHINE_REASON_MOST) {
        return ERR_INVALID;
    }
    return c->what == MAINT_AGENT ? maintain_agent(a, c) : maintain_row(a, c);
}
