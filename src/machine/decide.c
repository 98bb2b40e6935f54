#include "base/err.h"
#include "machine/apply.h"

/* A small registry's index is complete at once. */
enum { INDEX_AT_ONCE = 500 };

/* There is no way down. */
static int apply_feature(struct apply *a, const struct command_feature *c)
{
    uint64_t before = a->meta->feature_level;
    int r = 0;

    if (c->level <= before) {
        return 0;
    }
    a->meta->feature_level = c->level;
    if (before < WEBHOOK_LEVEL && c->level >= WEBHOOK_LEVEL) {
        r = quota_recount_all(a);
        if (r == 0) {
            r = webhook_look(a);
        }
    }
    if (r == 0) {
        r = index_begin(a);
    }
    if (r == 0) {
        r = index_build(a, INDEX_AT_ONCE);
    }
    a->res->n = 0;
    return r;
}

static int dispatch(struct apply *a, const struct command *c)
{
    switch (c->kind) {
    case COMMAND_INIT:
        return apply_init(a, &c->init);
    case COMMAND_EPOCH:
        return apply_epoch(a);
    case COMMAND_NS_CREATE:
        return apply_ns_create(a, &c->ns_create);
    case COMMAND_NS_CHANGE:
        return apply_ns_change(a, &c->ns_change);
    case COMMAND_NS_DELETE:
        return apply_ns_delete(a, &c->ns_delete);
    case COMMAND_RECLAIM:
        return apply_reclaim(a, &c->reclaim);
    case COMMAND_TYPE_PUT:
        return apply_type_put(a, &c->type_put);
    case COMMAND_ROW_PUT:
        return apply_row_put(a, &c->row_put);
    case COMMAND_ROW_DELETE:
        return apply_row_delete(a, &c->row_delete);
    case COMMAND_ROWS_ADD:
        return apply_rows_add(a, &c->rows_add);
    case COMMAND_LIST_PUT:
        return apply_list_put(a, &c->list_put);
    case COMMAND_ROW_MOVE:
        return apply_row_move(a, &c->row_move);
    case COMMAND_TXN:
        return apply_txn(a, &c->txn);
    case COMMAND_AGENT_PUT:
        return apply_agent_put(a, &c->agent_put);
    case COMMAND_AGENT_DEL:
        return apply_agent_del(a, &c->agent_del);
    case COMMAND_EXPIRE:
        return apply_expire(a, &c->expire);
    case COMMAND_RESTORE:
        return apply_restore(a, &c->restore);
    case COMMAND_FEATURE:
        return apply_feature(a, &c->feature);
    case COMMAND_HISTORY:
        return store_history_keep(a->txn, c->history.events, c->history.bytes);
    case COMMAND_HOOKS:
        return apply_hooks(a, &c->hooks);
    case COMMAND_BREAKER:
        return apply_breaker(a, &c->breaker);
    case COMMAND_MAINT:
        return apply_maint(a, &c->maint);
    case COMMAND_SWEEP:
        return apply_sweep(a, &c->sweep);
    case COMMAND_FLAP:
        return apply_flap(a, &c->flap);
    case COMMAND_ACCESS:
        return apply_access(a, &c->access);
    case COMMAND_TALLY:
        return apply_tally(a, &c->tally);
    case COMMAND_INDEX:
        return apply_index(a, &c->index);
    }
    return err_raise(ERR_CORRUPT);
}

/* Those that anybody asked for. What ends, and what the registry says of
 * itself, always has room. */
static bool is_limited(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_NS_CREATE:
    case COMMAND_ROW_PUT:
    case COMMAND_ROWS_ADD:
    case COMMAND_LIST_PUT:
    case COMMAND_ROW_MOVE:
    case COMMAND_TXN:
    case COMMAND_AGENT_PUT:
        return true;
    default:
        return false;
    }
}

static int run(struct apply *a, const struct command *c)
{
    a->limited = is_limited(c->kind);
    int r = dispatch(a, c);
    return r == 0 && a->quotas != NULL ? quota_settle(a) : r;
}

/* What it came to is kept for who asks again. */
static int conclude(struct apply *a, const struct command *c, int answer)
{
    if (answer >= 0 && answer != ERR_RETRY && answer != ERR_BUSY &&
        c->has_key) {
        int r = key_keep(a, c, answer);
        return r != 0 ? r : answer;
    }
    return answer;
}

static int decide(struct apply *a, const struct command *c)
{
    enum key_state state = KEY_NEW;

    if (c->kind != COMMAND_INIT && !machine_is_begun(a->meta)) {
        return ERR_NOT_READY;
    }
    if (c->has_key) {
        int r = key_look(a, c, &state);
        if (r != 0 || state == KEY_SEEN) {
            return r != 0 ? r : a->res->answer;
        }
        if (state != KEY_NEW) {
            return state == KEY_OTHER ? ERR_KEY_REUSED : ERR_KEYS_FULL;
        }
    }
    int answer = apply_stale(a, c);
    if (answer == 0) {
        answer = run(a, c);
    }
    return conclude(a, c, answer);
}

static void pause(const struct apply *a, const struct command *c)
{
    struct going *going = mem_zero(sizeof *going);

    going->apply = *a;
    going->command = *c;
    going->res = *a->res;
    *a->res = (struct machine_result){0};
    a->m->going = going;
}

static int end(const struct apply *a, const struct command *c, int answer)
{
    if (answer == ERR_BUSY) {
        pause(a, c);
        return answer;
    }
    if (answer < 0) {
        return answer;
    }
    a->res->answer = answer;
    return 0;
}

int apply_go_on(struct machine *m, struct machine_result *res)
{
    struct command command = m->going->command;
    struct apply a = m->going->apply;

    *res = m->going->res;
    a.res = res;
    m->going = mem_free(m->going);
    return end(&a, &command, conclude(&a, &command, run(&a, &command)));
}

int apply_command(struct machine *m, struct str bytes,
                  struct machine_result *res)
{
    struct command command;
    struct apply a = {
        .m = m,
        .txn = m->txn,
        .meta = store_meta(m->txn),
        .arena = m->arena,
        .res = res,
        .cause = "api",
    };

    arena_reset(m->arena);
    if (command_decode(m->arena, bytes, &command) != 0) {
        return err_raise(ERR_CORRUPT);
    }
    int answer = quota_load(m);
    if (answer == 0) {
        answer = decide(&a, &command);
    }
    return end(&a, &command, answer);
}
