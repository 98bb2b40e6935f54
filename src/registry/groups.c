/* Groups: users who have something together. Their managers may say who is in
 * them, and nothing else. */
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/grants.h"
#include "registry/permit.h"

static bool has(const struct access_names *names, struct str name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (str_equal(names->items[i], name)) {
            return true;
        }
    }
    return false;
}

/* Managers see the groups they manage. */
static bool manages(const struct op_state *s, const struct access_group *group)
{
    return s->who->kind == ACCESS_USER && has(&group->managers, s->who->user);
}

/* All but its end. */
static void add_group(struct buf *out, const struct access_group *group)
{
    buf_add_text(out, "{\"name\":");
    json_add_string(out, group->name);
    grants_add_text(out, "comment", group->comment);
    grants_add_names(out, "roles", &group->roles);
    grants_add_names(out, "members", &group->members);
    grants_add_names(out, "managers", &group->managers);
}

static int refuse_missing(struct op_state *s)
{
    return answer_problem(s, OP_NOT_FOUND, STR(""), "there is no group %.*s",
                          SHOW(s->op->id));
}

/* The group of the path, for those who may `wants` on @access, or manage it.
 * Who may not learns nothing of whether there is one. */
static int find(struct op_state *s, struct store_txn *txn, unsigned wants,
                bool managers_too, struct access_group *ret_group)
{
    struct access_group group;

    int r = access_group_get(txn, s->arena, s->op->id, &group);
    if (r != 0 && r != ERR_NOT_FOUND) {
        return r;
    }
    bool managed = r == 0 && managers_too && manages(s, &group);
    int allowed = managed ? permit_known(s) : grants_permit(s, wants);
    if (allowed != 0) {
        return allowed;
    }
    if (r == ERR_NOT_FOUND) {
        return refuse_missing(s);
    }
    *ret_group = group;
    return 0;
}

/* ---- reads ---- */

static int next_group(struct op_state *s, struct store_txn *txn,
                      struct arena *arena, struct str *at, struct buf *out)
{
    struct access_group group;

    int r = access_group_next(txn, arena, *at, &group);
    if (r != 0) {
        return r;
    }
    *at = group.name;
    if (grants_may(s, ACCESS_READ) || manages(s, &group)) {
        add_group(out, &group);
        buf_printf(out, ",\"rev\":%llu}", (unsigned long long)group.rev);
    }
    return 0;
}

/* Who may not read all is shown those that he manages. */
int group_list(struct op_state *s)
{
    int r = grants_permit_own(s);

    if (r == 0 && s->op->query.after.p != NULL) {
        r = grants_check_name(s, s->op->query.after, "group");
    }
    return r != 0 ? r : grants_list(s, next_group);
}

static int read_group(struct op_state *s, struct store_txn *txn, void *user)
{
    return find(s, txn, ACCESS_READ, true, user);
}

int group_get(struct op_state *s)
{
    struct access_group group = {0};
    struct buf text = {0};

    int r = grants_check_name(s, s->op->id, "group");
    if (r == 0) {
        r = snapshot_run(s, read_group, &group);
    }
    if (r != 0) {
        return r;
    }
    add_group(&text, &group);
    return grants_answer(s, &text, group.rev);
}

/* ---- PUT, DELETE ---- */

static int read_body(struct op_state *s, struct access_group *group)
{
    static const char *const names[] = {"comment", "roles", "members",
                                        "managers", NULL};
    struct json *body = NULL;
    struct str why;

    group->name = s->op->id;
    int r = grants_body(s, names, &body);
    if (r == 0) {
        r = grants_text(s, body, "comment", &group->comment);
    }
    if (r == 0) {
        r = grants_names(s, body, STR(""), "roles", &group->roles);
    }
    if (r == 0) {
        r = grants_names(s, body, STR(""), "members", &group->members);
    }
    if (r == 0) {
        r = grants_names(s, body, STR(""), "managers", &group->managers);
    }
    if (r == 0 && access_group_check(s->arena, group, &why) != 0) {
        r = grants_refuse(s, why);
    }
    return r;
}

/* A name that is nobody's could become that of somebody else. */
static int check_users(struct op_state *s, struct store_txn *txn,
                       const struct access_names *names, const char *field)
{
    struct access_user user;
    int r = 0;

    for (size_t i = 0; r == 0 && i < names->n; i++) {
        r = access_user_get(txn, s->arena, names->items[i], &user);
        if (r == ERR_NOT_FOUND) {
            r = answer_problem(
                s, OP_BAD_REQUEST, arena_printf(s->arena, "%s[%zu]", field, i),
                "there is no user %.*s: make him first", SHOW(names->items[i]));
        }
    }
    return r;
}

static int check_cover(struct op_state *s, struct store_txn *txn,
                       const struct access_group *group)
{
    const struct access_made made = {.kind = ACCESS_USER,
                                     .grants = group->roles};

    int r = grants_check_roles(s, txn, &group->roles);
    if (r == 0) {
        r = check_users(s, txn, &group->members, "members");
    }
    if (r == 0) {
        r = check_users(s, txn, &group->managers, "managers");
    }
    return r != 0 ? r : grants_cover(s, txn, &made);
}

static int check_put(struct op_state *s, struct store_txn *txn, void *user)
{
    struct access_group *group = user;
    struct access_group old = {0};

    int r = access_group_get(txn, s->arena, group->name, &old);
    if (r != 0 && r != ERR_NOT_FOUND) {
        return r;
    }
    group->rev = r == 0 ? old.rev : 0;
    r = grants_check_conditions(s, group->rev);
    return r != 0 ? r : check_cover(s, txn, group);
}

static int submit_put(struct op_state *s, const struct access_group *group)
{
    struct grants_write write = {0};
    struct buf record = {0}, text = {0};

    access_group_encode(&record, group);
    int r = grants_put(s, &write, STORE_MARK_GROUP, group->name, group->rev, 0,
                       &record);
    if (r != 0) {
        return r;
    }
    add_group(&text, group);
    grants_keep_answer(s, &text);
    return grants_submit(s, &write);
}

static int begin_write(struct op_state *s)
{
    int r = grants_check_level(s);

    return r != 0 ? r : grants_check_name(s, s->op->id, "group");
}

int group_put(struct op_state *s)
{
    struct access_group group = {0};

    int r = begin_write(s);
    if (r == 0) {
        r = read_body(s, &group);
    }
    if (r == 0) {
        r = snapshot_run(s, check_put, &group);
    }
    return r != 0 ? r : submit_put(s, &group);
}

static int check_delete(struct op_state *s, struct store_txn *txn, void *user)
{
    struct access_group *group = user;

    int r = find(s, txn, ACCESS_DELETE, false, group);
    return r != 0 ? r : grants_check_conditions(s, group->rev);
}

int group_delete(struct op_state *s)
{
    struct access_group group = {0};
    struct grants_write write = {0};

    int r = begin_write(s);
    if (r == 0) {
        r = snapshot_run(s, check_delete, &group);
    }
    if (r != 0) {
        return r;
    }
    grants_del(s, &write, STORE_MARK_GROUP, s->op->id, group.rev);
    return grants_submit(s, &write);
}

/* ---- members ---- */

static int begin_member(struct op_state *s)
{
    int r = begin_write(s);

    return r != 0 ? r : grants_check_name(s, s->op->type, "user");
}

static int check_cover_group(struct op_state *s, struct store_txn *txn,
                             const struct access_group *group)
{
    const struct access_made made = {.kind = ACCESS_USER,
                                     .grants = group->roles};

    return grants_cover(s, txn, &made);
}

/* A manager gives what the group gives, whatever he has himself: but not who
 * shows a token of his that is limited, and would get beyond that. */
static bool manages_freely(const struct op_state *s,
                           const struct access_group *group)
{
    return manages(s, group) && !access_is_limited(s->who);
}

static int check_join(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct access_group *group = arg;
    struct access_user user;

    int r = find(s, txn, ACCESS_UPDATE, true, group);
    if (r == 0 && !manages_freely(s, group)) {
        r = check_cover_group(s, txn, group);
    }
    if (r == 0) {
        r = access_user_get(txn, s->arena, s->op->type, &user);
    }
    if (r == ERR_NOT_FOUND) {
        r = answer_problem(s, OP_NOT_FOUND, STR(""), "there is no user %.*s",
                           SHOW(s->op->type));
    }
    return r;
}

int member_put(struct op_state *s)
{
    struct access_group group = {0};
    struct str why;

    int r = begin_member(s);
    if (r == 0) {
        r = snapshot_run(s, check_join, &group);
    }
    if (r != 0) {
        return r;
    }
    if (!has(&group.members, s->op->type)) {
        group.members = grants_with(s, &group.members,
                                    &(struct access_names){&s->op->type, 1});
    }
    if (access_group_check(s->arena, &group, &why) != 0) {
        return grants_refuse(s, why);
    }
    return submit_put(s, &group);
}

static int check_leave(struct op_state *s, struct store_txn *txn, void *arg)
{
    struct access_group *group = arg;

    int r = find(s, txn, ACCESS_UPDATE, true, group);
    if (r == 0 && !grants_may(s, ACCESS_UPDATE) && !manages_freely(s, group)) {
        r = check_cover_group(s, txn, group);
    }
    if (r == 0 && !has(&group->members, s->op->type)) {
        r = answer_problem(s, OP_NOT_FOUND, STR(""),
                           "%.*s is no member of the group %.*s",
                           SHOW(s->op->type), SHOW(s->op->id));
    }
    return r;
}

int member_delete(struct op_state *s)
{
    struct access_group group = {0};

    int r = begin_member(s);
    if (r == 0) {
        r = snapshot_run(s, check_leave, &group);
    }
    if (r != 0) {
        return r;
    }
    group.members = grants_without(s, &group.members, s->op->type);
    return submit_put(s, &group);
}
