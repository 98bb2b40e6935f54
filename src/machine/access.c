/* Tokens, roles, users, groups and quotas: what is kept of them, and when it
 * was last changed. What they mean is decided before: here a record is sound,
 * and made from the one that is there. */
#include "base/err.h"
#include "machine/apply.h"
#include "model/access_record.h"

/* What there is of one that is sound, in the arena. rev 0: nothing. */
struct kept {
    uint64_t rev, ends_ms;
    struct str record;
};

static int look(struct apply *a, const struct command_access_item *item,
                struct kept *ret_kept)
{
    struct kept kept = {.rev = 0};

    int r = store_mark_get(a->txn, (char)item->what, item->name, &kept.ends_ms,
                           &kept.record);
    if (r == 0) {
        kept.record = arena_str(a->arena, kept.record);
        kept.rev = le_get(kept.record.p + 1, 8);
    }
    *ret_kept = kept;
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* ---- quotas: the limits are the caller's, the figures stay ---- */

/* Answers: RETRY (the namespace has gone), FULL (no more fit), NOT_READY (a
 * node may not know quotas). */
static int check_quota(struct apply *a, uint64_t ns, const struct kept *kept)
{
    struct str path;

    if (a->meta->feature_level < MACHINE_FEATURE_CHANGES) {
        return ERR_NOT_READY;
    }
    int r = apply_path(a, ns, &path);
    if (r != 0 || path.n == 0) {
        return r != 0 ? r : ERR_RETRY;
    }
    return kept->rev == 0 && a->m->n_quotas >= MACHINE_QUOTAS_MOST ? ERR_FULL
                                                                   : 0;
}

static bool is_same_quota(struct str one, struct str other)
{
    struct access_quota left, right;

    return access_quota_decode(one, &left) == 0 &&
           access_quota_decode(other, &right) == 0 &&
           memcmp(left.limits, right.limits, sizeof left.limits) == 0;
}

static int write_quota(struct apply *a, const struct command_access_item *item,
                       uint64_t revision)
{
    uint64_t ns = access_quota_ns(item->name);
    struct access_quota asked, before = {.rev = 0};

    int r = quota_read(a, ns, &before);
    if (r < 0 || access_quota_decode(item->record, &asked) != 0) {
        return r < 0 ? r : err_raise(ERR_CORRUPT);
    }
    struct access_quota now = before;
    now.rev = revision;
    memcpy(now.limits, asked.limits, sizeof now.limits);
    r = r == 0 ? 0 : quota_begin(a, ns, &now);
    return r == 0 ? quota_write(a, ns, &before, &now) : r;
}

/* ---- all of them ---- */

static bool is_sound(struct apply *a, const struct command_access_item *item)
{
    if (item->del != 0) {
        return item->del == 1 &&
               access_what_named((char)item->what, item->name);
    }
    return (item->ends_ms == 0 || item->what == ACCESS_IS_TOKEN) &&
           access_is_sound(a->arena, (char)item->what, item->name,
                           item->record);
}

/* Another record than was looked at is no answer to who asked: he is to look
 * again, and no idempotency key remembers it. Answers: RETRY, NOT_FOUND, FULL.
 */
static int check(struct apply *a, const struct command_access_item *item,
                 const struct kept *kept)
{
    bool any = item->seen_rev == COMMAND_ACCESS_ANY;

    if (!any && item->seen_rev != kept->rev) {
        return ERR_RETRY;
    }
    if (item->del != 0) {
        return kept->rev == 0 ? ERR_NOT_FOUND : 0;
    }
    return item->what == ACCESS_IS_QUOTA
               ? check_quota(a, access_quota_ns(item->name), kept)
               : 0;
}

/* Whether somebody who is known already may do something else now. A token that
 * there was not is known to nobody; one that is bound to a host gives what it
 * gave. Which one a host has gives nobody anything, and so does a quota. */
static bool matters(struct apply *a, const struct command_access_item *item,
                    const struct kept *kept)
{
    if (item->what == ACCESS_IS_HOST || item->what == ACCESS_IS_QUOTA) {
        return false;
    }
    if (item->what != ACCESS_IS_TOKEN || item->del != 0) {
        return true;
    }
    return kept->rev != 0 &&
           !access_token_was_bound(a->arena, kept->record, kept->ends_ms,
                                   item->record, item->ends_ms);
}

/* Of a quota the path of its namespace, "" when that has gone. */
static int find_name(struct apply *a, const struct command_access_item *item,
                     struct str *ret_name)
{
    struct ulid id;
    char text[ULID_TEXT];

    if (item->what == ACCESS_IS_QUOTA) {
        return apply_path(a, access_quota_ns(item->name), ret_name);
    }
    *ret_name = item->name;
    if (item->what == ACCESS_IS_TOKEN) {
        memcpy(id.b, item->name.p, sizeof id.b);
        ulid_format(id, text);
        *ret_name = arena_str(a->arena, (struct str){text, ULID_TEXT});
    }
    return 0;
}

static int write_record(struct apply *a, const struct command_access_item *item,
                        uint64_t revision)
{
    if (item->what == ACCESS_IS_QUOTA) {
        return item->del != 0 ? quota_del(a, access_quota_ns(item->name))
                              : write_quota(a, item, revision);
    }
    if (item->del != 0) {
        return store_mark_del(a->txn, (char)item->what, item->name);
    }
    char *record = arena_text(a->arena, item->record);
    le_put(record + 1, revision, 8);
    return store_mark_put(a->txn, (char)item->what, item->name, item->ends_ms,
                          (struct str){record, item->record.n});
}

/* [MACHINE-2] */
static bool is_same(const struct command_access_item *item,
                    const struct kept *kept)
{
    struct str one = item->record, other = kept->record;

    if (item->what == ACCESS_IS_QUOTA && item->del == 0 && kept->rev != 0) {
        return is_same_quota(one, other);
    }
    return item->del == 0 && kept->rev != 0 && item->ends_ms == kept->ends_ms &&
           one.n == other.n &&
           memcmp(one.p + ACCESS_RECORD_HEAD, other.p + ACCESS_RECORD_HEAD,
                  one.n - ACCESS_RECORD_HEAD) == 0;
}

static int change(struct apply *a, const struct command_access_item *item,
                  const struct kept *kept)
{
    struct str name = STR("");

    uint64_t revision = apply_revision(a);
    if (matters(a, item, kept)) {
        a->meta->access_rev = revision;
    }
    int r = write_record(a, item, revision);
    if (r == 0) {
        r = find_name(a, item, &name);
    }
    return r == 0
               ? event_access(a, revision, access_what_name((char)item->what),
                              arena_str(a->arena, name), item->del != 0)
               : r;
}

static int apply_item(struct apply *a, const struct command_access_item *item)
{
    struct kept kept;

    /* What is kept under another letter is no record. */
    int r = is_sound(a, item) ? look(a, item, &kept) : ERR_INVALID;
    if (r == 0) {
        r = check(a, item, &kept);
    }
    if (r != 0) {
        return r;
    }
    bool same = is_same(item, &kept);
    if (!same) {
        r = change(a, item, &kept);
    }
    buf_add_le(&a->res->detail, same ? kept.rev : a->meta->revision, 8);
    a->res->created = a->res->created || kept.rev == 0;
    if (item->what == ACCESS_IS_TOKEN) { /* which it is, for who asks again */
        memcpy(a->res->id.b, item->name.p, sizeof a->res->id.b);
    }
    if (same && a->res->first_rev == 0) {
        a->res->revision = kept.rev;
    }
    return r;
}

static int apply_items(struct apply *a, void *user)
{
    const struct command_access *c = user;

    for (size_t i = 0; i < c->n_items; i++) {
        a->res->index = (uint32_t)i;
        int r = apply_item(a, &c->items[i]);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int apply_access(struct apply *a, const struct command_access *c)
{
    struct command_access items = *c;

    return apply_part(a, apply_items, &items);
}
