#include "registry/limit.h"

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/metric.h"
#include "registry/bucket.h"
#include "registry/room.h"

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60000,
    /* Of one address and of one user: enough for who mistypes, too few for who
     * tries a list. */
    SIGNINS_ADDRESS = 20,
    SIGNINS_USER = 10,
    UNKNOWN_MOST = 100,
    LARGE_BYTES = 2 << 20, /* some forty thousand buckets */
    SMALL_BYTES = 512 << 10,
};

enum limit { TOKEN, ADDRESS, SIGNIN_ADDRESS, SIGNIN_USER, UNKNOWN, LIMITS };

static const char *const names[LIMITS] = {
    [TOKEN] = "token",
    [ADDRESS] = "address",
    [SIGNIN_ADDRESS] = "signin-address",
    [SIGNIN_USER] = "signin-user",
    [UNKNOWN] = "unknown",
};

struct limits {
    struct buckets *buckets[LIMITS]; /* NULL: not limited */
};

static struct buckets *rated(uint64_t rate)
{
    return rate == 0 ? NULL : buckets_new(rate, SECOND_MS, LARGE_BYTES);
}

struct limits *limits_new(const struct registry_trust *trust)
{
    struct limits *limits = NULL;

    if (!trust->access && trust->rate_token == 0 && trust->rate_address == 0) {
        return NULL;
    }
    limits = mem_zero(sizeof *limits);
    limits->buckets[TOKEN] = rated(trust->rate_token);
    limits->buckets[ADDRESS] = rated(trust->rate_address);
    if (trust->access) {
        limits->buckets[SIGNIN_ADDRESS] =
            buckets_new(SIGNINS_ADDRESS, MINUTE_MS, SMALL_BYTES);
        limits->buckets[SIGNIN_USER] =
            buckets_new(SIGNINS_USER, MINUTE_MS, SMALL_BYTES);
        limits->buckets[UNKNOWN] =
            buckets_new(UNKNOWN_MOST, MINUTE_MS, SMALL_BYTES);
    }
    return limits;
}

struct limits *limits_free(struct limits *limits)
{
    for (size_t i = 0; limits != NULL && i < LIMITS; i++) {
        limits->buckets[i] = buckets_free(limits->buckets[i]);
    }
    return mem_free(limits);
}

/* ---- whose bucket ---- */

enum { V4_BYTES = 4, V6_BYTES = 8, MAPPED = 12 };

/* A host has a whole /64 of IPv6, and takes another address of it whenever it
 * likes. What is no address stands for itself. `bytes` holds one of 16. */
static struct str address_key(struct str address, unsigned char bytes[16])
{
    static const unsigned char mapped[MAPPED] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN] = "";

    if (address.n >= sizeof text) {
        return address;
    }
    memcpy(text, address.p == NULL ? "" : address.p, address.n);
    if (inet_pton(AF_INET, text, bytes) == 1) {
        return (struct str){(const char *)bytes, V4_BYTES};
    }
    if (inet_pton(AF_INET6, text, bytes) != 1) {
        return address;
    }
    return memcmp(bytes, mapped, MAPPED) == 0
               ? (struct str){(const char *)bytes + MAPPED, V4_BYTES}
               : (struct str){(const char *)bytes, V6_BYTES};
}

/* Of who has no token the user; n == 0: nobody that is known. */
static struct str caller_key(const struct access_who *who)
{
    if (who == NULL || who->kind == ACCESS_ANYONE ||
        who->kind == ACCESS_ANONYMOUS) {
        return STR("");
    }
    return who->id.n > 0 ? who->id : who->name;
}

static bool is_unknown(const struct access_who *who)
{
    return who != NULL && who->kind == ACCESS_ANONYMOUS;
}

/* ---- requests ---- */

/* What a client is told of is the limit it comes to first. */
static void tighten(struct registry_limit *io_limit,
                    const struct registry_limit *other)
{
    if (other->limited &&
        (!io_limit->limited || other->left < io_limit->left)) {
        *io_limit = *other;
    }
}

bool limits_admit(struct limits *limits, const struct access_who *who,
                  struct str address, uint64_t now_us,
                  struct registry_limit *ret_limit)
{
    struct registry_limit limit = {.limited = false};
    struct str caller = caller_key(who);
    unsigned char bytes[16];

    *ret_limit = limit;
    if (limits == NULL) {
        return true;
    }
    struct str key = address_key(address, bytes);
    if (is_unknown(who) &&
        !buckets_have(limits->buckets[UNKNOWN], key, now_us, &limit)) {
        *ret_limit = limit;
        return false;
    }
    if (!buckets_take(limits->buckets[ADDRESS], key, now_us, ret_limit)) {
        return false;
    }
    if (caller.n == 0) {
        return true;
    }
    bool has = buckets_take(limits->buckets[TOKEN], caller, now_us, &limit);
    if (!has) {
        *ret_limit = limit;
    }
    tighten(ret_limit, &limit);
    return has;
}

bool limits_admit_signin(struct limits *limits, struct str address,
                         struct str user, uint64_t now_us,
                         struct registry_limit *ret_limit)
{
    struct registry_limit limit = {.limited = false};
    unsigned char bytes[16];

    *ret_limit = limit;
    if (limits == NULL) {
        return true;
    }
    if (!buckets_take(limits->buckets[SIGNIN_ADDRESS],
                      address_key(address, bytes), now_us, ret_limit)) {
        return false;
    }
    bool has = buckets_take(limits->buckets[SIGNIN_USER], user, now_us, &limit);
    if (!has) {
        *ret_limit = limit;
    }
    tighten(ret_limit, &limit);
    return has;
}

void limits_signed_in(struct limits *limits, struct str address,
                      struct str user, uint64_t now_us)
{
    unsigned char bytes[16];

    if (limits != NULL) {
        buckets_give(limits->buckets[SIGNIN_ADDRESS],
                     address_key(address, bytes), now_us);
        buckets_give(limits->buckets[SIGNIN_USER], user, now_us);
    }
}

void limits_note_unknown(struct limits *limits, struct str address,
                         uint64_t now_us)
{
    struct registry_limit limit;
    unsigned char bytes[16];

    if (limits == NULL ||
        !buckets_take(limits->buckets[UNKNOWN], address_key(address, bytes),
                      now_us, &limit)) {
        return; /* There are none left: that is what he is refused for. */
    }
}

bool registry_admit(struct registry *registry, const struct access_who *who,
                    struct str address, struct registry_limit *ret_limit)
{
    if (registry->limits == NULL) {
        *ret_limit = (struct registry_limit){.limited = false};
        return true;
    }
    return limits_admit(registry->limits, who, address, clock_mono_us(),
                        ret_limit);
}

bool registry_admit_signin(struct registry *registry, struct str address,
                           struct str user, struct registry_limit *ret_limit)
{
    return limits_admit_signin(registry->limits, address, user, clock_mono_us(),
                               ret_limit);
}

void registry_signed_in(struct registry *registry, struct str address,
                        struct str user)
{
    limits_signed_in(registry->limits, address, user, clock_mono_us());
}

void registry_set_trust(struct registry *registry,
                        const struct registry_trust *trust)
{
    registry->trust = *trust;
    registry->limits = limits_free(registry->limits);
    registry->limits = limits_new(trust);
}

/* ---- metrics ---- */

void limits_metrics(struct limits *limits, struct buf *out)
{
    struct buckets_stats stats[LIMITS] = {{0}};

    for (size_t i = 0; limits != NULL && i < LIMITS; i++) {
        stats[i] = buckets_stats(limits->buckets[i]);
    }
    metric_head(out, "roster_limit_refused_total", "counter",
                "Requests that came faster than a limit allows.");
    for (size_t i = 0; i < LIMITS; i++) {
        metric_labelled(out, "roster_limit_refused_total", "limit", names[i],
                        stats[i].refused);
    }
    metric_head(out, "roster_limit_callers", "gauge",
                "Callers and addresses that a limit keeps count of.");
    for (size_t i = 0; i < LIMITS; i++) {
        metric_labelled(out, "roster_limit_callers", "limit", names[i],
                        stats[i].held);
    }
    metric_head(out, "roster_limit_forgotten_total", "counter",
                "Counts given up to make room for others.");
    for (size_t i = 0; i < LIMITS; i++) {
        metric_labelled(out, "roster_limit_forgotten_total", "limit", names[i],
                        stats[i].pushed);
    }
}
