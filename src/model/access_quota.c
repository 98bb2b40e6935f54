#include "model/access_quota.h"

#include <assert.h>

#include "base/err.h"
#include "model/name.h"
#include "model/row.h"

enum {
    FORMAT = 1,
    FLAGS = 9,
    LIMITS = 10,
    USED = 42,
    PLAIN = 58, /* bytes of one that is not being counted */
    SO_FAR = 58,
    AT_NS = 74,
    AT_ID = 82,
    AT_TYPE = 98,
    COUNTED = 99,
    KNOWN = 1,
    COUNTING = 2,
};

void access_quota_encode(struct buf *out, const struct access_quota *quota)
{
    buf_add_char(out, FORMAT);
    buf_add_le(out, quota->rev, 8);
    buf_add_le(out,
               (quota->known ? KNOWN : 0U) | (quota->counting ? COUNTING : 0U),
               1);
    for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        buf_add_le(out, quota->limits[i].warn, 8);
        buf_add_le(out, quota->limits[i].refuse, 8);
    }
    for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        buf_add_le(out, quota->used[i], 8);
    }
    if (!quota->counting) {
        return;
    }
    for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        buf_add_le(out, quota->so_far[i], 8);
    }
    assert(quota->at.type.n <= UINT8_MAX);
    buf_add_le(out, quota->at.ns, 8);
    buf_add(out, quota->at.id.b, sizeof quota->at.id.b);
    buf_add_le(out, quota->at.type.n, 1);
    buf_add_str(out, quota->at.type);
}

static bool is_limit(uint64_t limit)
{
    return limit == ACCESS_QUOTA_NONE || limit <= ACCESS_QUOTA_MOST;
}

bool access_quota_is_sound(const struct access_quota *quota)
{
    bool any = false;

    for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        struct access_limit limit = quota->limits[i];
        any = any || limit.warn != ACCESS_QUOTA_NONE ||
              limit.refuse != ACCESS_QUOTA_NONE;
        if (!is_limit(limit.warn) || !is_limit(limit.refuse) ||
            (limit.warn != ACCESS_QUOTA_NONE && limit.warn > limit.refuse)) {
            return false;
        }
    }
    return any;
}

static bool read_at(struct str record, struct access_quota_at *at)
{
    static const struct ulid none;

    at->ns = le_get(record.p + AT_NS, 8);
    memcpy(at->id.b, record.p + AT_ID, sizeof at->id.b);
    at->type = (struct str){record.p + COUNTED, record.n - COUNTED};
    return at->type.n == (uint8_t)record.p[AT_TYPE] &&
           (at->type.n == 0 ? ulid_compare(at->id, none) == 0
                            : name_is_type(at->type));
}

static bool is_counted(const struct access_quota *quota)
{
    for (int i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        if (quota->used[i] > ACCESS_QUOTA_MOST ||
            quota->so_far[i] > ACCESS_QUOTA_MOST ||
            (!quota->known && quota->used[i] > 0)) {
            return false;
        }
    }
    return quota->known || quota->counting;
}

int access_quota_decode(struct str record, struct access_quota *ret_quota)
{
    struct access_quota quota = {.at = {.type = STR("")}};

    if (record.n < PLAIN || record.p[0] != FORMAT) {
        return ERR_INVALID;
    }
    uint8_t flags = (uint8_t)record.p[FLAGS];
    quota.rev = le_get(record.p + 1, 8);
    quota.known = (flags & KNOWN) != 0;
    quota.counting = (flags & COUNTING) != 0;
    if (flags > (KNOWN | COUNTING) ||
        (quota.counting ? record.n < COUNTED : record.n != PLAIN) ||
        (quota.counting && !read_at(record, &quota.at))) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < ACCESS_QUOTA_WHATS; i++) {
        quota.limits[i].warn = le_get(record.p + LIMITS + 16 * i, 8);
        quota.limits[i].refuse = le_get(record.p + LIMITS + 16 * i + 8, 8);
        quota.used[i] = le_get(record.p + USED + 8 * i, 8);
        quota.so_far[i] =
            quota.counting ? le_get(record.p + SO_FAR + 8 * i, 8) : 0;
    }
    if (!access_quota_is_sound(&quota) || !is_counted(&quota)) {
        return ERR_INVALID;
    }
    *ret_quota = quota;
    return 0;
}

void access_quota_name(uint64_t ns, char ret_name[ACCESS_QUOTA_NAME])
{
    for (unsigned i = 0; i < ACCESS_QUOTA_NAME; i++) {
        ret_name[i] = (char)(uint8_t)(ns >> (56 - 8 * i));
    }
}

uint64_t access_quota_ns(struct str name)
{
    uint64_t ns = 0;

    for (size_t i = 0; i < name.n; i++) {
        ns = ns << 8 | (uint8_t)name.p[i];
    }
    return ns;
}

const char *access_quota_what_name(enum access_quota_what what)
{
    return what == ACCESS_RESOURCES ? "resources" : "bytes";
}

const char *access_quota_state_name(enum access_quota_state state)
{
    static const char *const names[] = {[ACCESS_QUOTA_OK] = "ok",
                                        [ACCESS_QUOTA_WARN] = "warn",
                                        [ACCESS_QUOTA_FULL] = "full"};
    return names[state];
}

enum access_quota_state access_quota_state(const struct access_quota *quota,
                                           enum access_quota_what what)
{
    struct access_limit limit = quota->limits[what];
    uint64_t used = quota->used[what];

    if (!quota->known) {
        return ACCESS_QUOTA_OK;
    }
    return used >= limit.refuse ? ACCESS_QUOTA_FULL
           : used >= limit.warn ? ACCESS_QUOTA_WARN
                                : ACCESS_QUOTA_OK;
}

enum access_quota_state access_quota_worst(const struct access_quota *quota)
{
    enum access_quota_state one = access_quota_state(quota, ACCESS_RESOURCES);
    enum access_quota_state other = access_quota_state(quota, ACCESS_BYTES);

    return one > other ? one : other;
}

uint64_t access_quota_bytes(struct str row)
{
    struct str fields;
    struct ulid id;
    uint64_t revision = 0;

    row_split(row, &id, &revision, NULL, &fields);
    uint64_t n = row.n;
    for (; revision > 0; revision /= 10) {
        n--;
    }
    return n;
}
