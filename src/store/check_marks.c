/* The marks of a file that somebody else wrote. */
#include <string.h>

#include "base/utf8.h"
#include "model/access_quota.h"
#include "model/access_record.h"
#include "model/name.h"
#include "store/check.h"

enum {
    NS_ID = 8 + 16,
    REASON_MOST = 256,
    GOINGS_MOST = 16,
    HOOK = 18,
    HOOK_STATES = 4,
    SCOPE = 34,
    SCOPE_STATES = 3,
};

static bool is_goings(struct str record)
{
    return record.n >= 2 && (uint8_t)record.p[1] <= GOINGS_MOST &&
           record.n == 2 + (size_t)8 * (uint8_t)record.p[1];
}

/* It has been told nothing that there has not been. */
static bool is_hook(const struct check *c, struct str record)
{
    return record.n == HOOK && record.p[9] >= 0 && record.p[9] <= HOOK_STATES &&
           kv_le64(record.p + 1) <= c->txn->meta.revision;
}

/* One letter for each, in the state and in commands. */
_Static_assert((int)STORE_MARK_TOKEN == (int)ACCESS_IS_TOKEN &&
                   (int)STORE_MARK_ROLE == (int)ACCESS_IS_ROLE &&
                   (int)STORE_MARK_USER == (int)ACCESS_IS_USER &&
                   (int)STORE_MARK_GROUP == (int)ACCESS_IS_GROUP &&
                   (int)STORE_MARK_HOST == (int)ACCESS_IS_HOST &&
                   (int)STORE_MARK_QUOTA == (int)ACCESS_IS_QUOTA,
               "the letters of access");

/* It was not changed later than anything has been. */
static bool is_access(const struct check *c, char kind, struct str name,
                      struct str record)
{
    return access_is_sound(c->arena, kind, name, record) &&
           kv_le64(record.p + 1) <= c->txn->meta.revision;
}

/* Its figures are counted anew when a file is restored. */
static bool is_quota(const struct check *c, struct str name, struct str record)
{
    struct store_node node;

    return is_access(c, STORE_MARK_QUOTA, name, record) &&
           store_node_get(c->txn, access_quota_ns(name), &node) == 0;
}

static bool is_scope(struct str record)
{
    return record.n == SCOPE && record.p[1] > 0 && record.p[1] <= SCOPE_STATES;
}

/* Whether name and record are what the machine takes for one of the kind. */
static bool is_mark(const struct check *c, char kind, struct str name,
                    struct str record)
{
    struct str text = {record.p + 1, record.n - 1};

    switch (kind) {
    case STORE_MARK_BREAKER:
        return name.n == 8 && is_scope(record);
    case STORE_MARK_WEBHOOK:
        return name.n == NS_ID && is_hook(c, record);
    case STORE_MARK_FLAPPING:
        return name_is_host(name) && text.n == 0;
    case STORE_MARK_GOINGS:
        return name_is_host(name) && is_goings(record);
    case STORE_MARK_MAINTENANCE:
        return name_is_host(name) && text.n <= REASON_MOST &&
               utf8_is_valid(text);
    case STORE_MARK_ROW:
        return name.n > NS_ID && text.n == 0 &&
               name_is_type((struct str){name.p + NS_ID, name.n - NS_ID});
    case STORE_MARK_QUOTA:
        return is_quota(c, name, record);
    default:
        return is_access(c, kind, name, record);
    }
}

/* A scope, a webhook and what is kept for access are ended by who made them,
 * the others by their time: one without would be there for ever. A token may
 * have one. */
static bool ends_soundly(char kind, uint64_t ends_ms)
{
    switch (kind) {
    case STORE_MARK_TOKEN:
        return true;
    case STORE_MARK_BREAKER:
    case STORE_MARK_WEBHOOK:
    case STORE_MARK_ROLE:
    case STORE_MARK_USER:
    case STORE_MARK_GROUP:
    case STORE_MARK_HOST:
    case STORE_MARK_QUOTA:
        return ends_ms == 0;
    default:
        return ends_ms > 0;
    }
}

static int check_record(struct check *c, struct str key, struct str value)
{
    struct str name = {key.p + 2, key.n - 2};
    struct str record = {value.p + 8, value.n - 8};

    if (key.n < 3 || name.n > STORE_MARK_NAME_MOST || value.n < 9 ||
        record.n > STORE_MARK_MOST || record.p[0] != KV_FORMAT ||
        !is_mark(c, key.p[1], name, record) ||
        !ends_soundly(key.p[1], kv_le64(value.p))) {
        return check_wrong(c, "a mark is damaged");
    }
    c->n_ending += kv_le64(value.p) > 0;
    return 0;
}

/* As many entries of this form as marks that end, and each of one of them. */
static int check_end(struct check *c, struct str key, struct str value)
{
    uint64_t ends_ms = 0;
    struct str record;

    if (key.n < 1 + 8 + 2 || value.n != 0 ||
        store_mark_get(c->txn, key.p[9], (struct str){key.p + 10, key.n - 10},
                       &ends_ms, &record) != 0 ||
        ends_ms == 0 || ends_ms != kv_be64(key.p + 1)) {
        return check_wrong(c, "a mark ends that there is not");
    }
    c->n_due++;
    return 0;
}

int check_mark(struct check *c, struct str key, struct str value)
{
    switch (key.n == 0 ? 0 : key.p[0]) {
    case 'm':
        return check_record(c, key, value);
    case 't':
        return check_end(c, key, value);
    default:
        return ERR_NOT_FOUND;
    }
}
