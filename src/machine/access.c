/* Tokens, roles, users and groups: what is kept of them, and when it was last
 * changed. What they mean is decided before: here a record is sound, and made
 * from the one that is there. */
#include "base/err.h"
#include "machine/apply.h"
#include "model/access_record.h"

/* What there is of one, in the arena. rev 0: nothing. */
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
 * again, and no idempotency key remembers it. Answers: INVALID, RETRY,
 * NOT_FOUND. */
static int check(struct apply *a, const struct command_access_item *item,
                 const struct kept *kept)
{
    bool any = item->seen_rev == COMMAND_ACCESS_ANY;

    if (!is_sound(a, item)) {
        return ERR_INVALID;
    }
    if (!any && item->seen_rev != kept->rev) {
        return ERR_RETRY;
    }
    return item->del != 0 && kept->rev == 0 ? ERR_NOT_FOUND : 0;
}

/* Whether somebody who is known already may do something else now. A token that
 * there was not is known to nobody; one that is bound to a host gives what it
 * gave. Which one a host has gives nobody anything. */
static bool matters(struct apply *a, const struct command_access_item *item,
                    const struct kept *kept)
{
    if (item->what == ACCESS_IS_HOST) {
        return false;
    }
    if (item->what != ACCESS_IS_TOKEN || item->del != 0) {
        return true;
    }
    return kept->rev != 0 &&
           !access_token_was_bound(a->arena, kept->record, kept->ends_ms,
                                   item->record, item->ends_ms);
}

static struct str shown_name(const struct command_access_item *item,
                             char text[ULID_TEXT])
{
    struct ulid id;

    if (item->what != ACCESS_IS_TOKEN) {
        return item->name;
    }
    memcpy(id.b, item->name.p, sizeof id.b);
    ulid_format(id, text);
    return (struct str){text, ULID_TEXT};
}

static int write_record(struct apply *a, const struct command_access_item *item,
                        uint64_t revision)
{
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

    return item->del == 0 && kept->rev != 0 && item->ends_ms == kept->ends_ms &&
           one.n == other.n &&
           memcmp(one.p + ACCESS_RECORD_HEAD, other.p + ACCESS_RECORD_HEAD,
                  one.n - ACCESS_RECORD_HEAD) == 0;
}

static int change(struct apply *a, const struct command_access_item *item,
                  const struct kept *kept)
{
    char text[ULID_TEXT];

    uint64_t revision = apply_revision(a);
    if (matters(a, item, kept)) {
        a->meta->access_rev = revision;
    }
    int r = write_record(a, item, revision);
    return r == 0
               ? event_access(a, revision, access_what_name((char)item->what),
                              shown_name(item, text), item->del != 0)
               : r;
}

static int apply_item(struct apply *a, const struct command_access_item *item)
{
    struct kept kept;

    int r = look(a, item, &kept);
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
