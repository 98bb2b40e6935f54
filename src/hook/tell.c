/* Whose turn it is is told what came behind his cursor. His row, with address
 * and secret, is read for each request: nothing is kept that may change. */
#include <stdio.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sha256.h"
#include "hook/inside.h"

/* Bytes of bodies that are out: beyond it batches are small. */
enum { HEADER_MOST = 160, FLYING_BYTES = 16 << 20 };

static void log_state(const struct engine_target *target)
{
    char id[ULID_TEXT];
    ulid_format(target->key.id, id);
    const struct log_field fields[] = {
        LOG_STR("id", ((struct str){id, sizeof id})),
        LOG_U64("ns_id", target->key.ns), LOG_TXT("status", target->text),
        LOG_END};

    log_write(target->since_ms != 0 ? LOG_WARN : LOG_INFO, LOG_HOOK,
              "a webhook's state changed", fields);
}

static void fail(struct hook *hook, struct engine_target *target,
                 const char *why)
{
    enum hook_state before = target->state;

    atomic_fetch_add(&hook->failures, 1);
    hook->report.dirty = true;
    if (!engine_failed(&hook->engine, target, why, hook_now(hook),
                       chance_u64())) {
        return;
    }
    if (target->state != before) {
        log_state(target);
    }
}

/* ---- a request ---- */

static void sign(char header[HEADER_MOST], struct str secret, struct str body)
{
    uint8_t code[SHA256_BYTES];
    int n = snprintf(header, HEADER_MOST, "Roster-Signature: sha256=");

    sha256_hmac(secret.p, secret.n, body.p, body.n, code);
    for (size_t i = 0; i < sizeof code; i++, n += 2) {
        (void)snprintf(header + n, HEADER_MOST - (size_t)n, "%02x", code[i]);
    }
}

static void post(struct hook *hook, const struct found *row,
                 const struct batch *batch, struct flight *flight)
{
    char delivery[HEADER_MOST], signature[HEADER_MOST], id[ULID_TEXT];
    const char *headers[] = {delivery, NULL, NULL};
    struct buf body = {0};

    ulid_format(row->mark.id, id);
    (void)snprintf(delivery, sizeof delivery, "Roster-Delivery: %.*s-%llu",
                   ULID_TEXT, id, (unsigned long long)batch->first);
    batch_write(&body, batch, row);
    if (row->secret.n > 0) {
        sign(signature, row->secret, buf_str(&body));
        headers[1] = signature;
    }
    sender_send(hook->sender, row->url, &body, headers, flight);
}

static void depart(struct hook *hook, struct engine_target *target,
                   const struct found *row, const struct batch *batch)
{
    struct flight *flight = mem_zero(sizeof *flight);
    struct str path = batch->reset ? row->path : batch->path;

    flight->target = target;
    flight->upto = batch->upto;
    flight->n = batch->n;
    flight->bytes = batch->events.n;
    hook->flying_bytes += flight->bytes;
    flight->reset = batch->reset;
    flight->path = (struct str){mem_dup(path.p, path.n), path.n};
    DL_APPEND(hook->flights, flight);
    engine_sent(&hook->engine, target, hook_now(hook));
    post(hook, row, batch, flight);
}

static void flight_free(struct hook *hook, struct flight *flight)
{
    DL_DELETE(hook->flights, flight);
    hook->flying_bytes -= flight->bytes;
    mem_free((void *)(uintptr_t)flight->path.p);
    mem_free(flight);
}

static void land(struct hook *hook, const struct flight *flight)
{
    struct engine_target *target = flight->target;
    enum hook_state before = target->state;

    atomic_fetch_add(&hook->deliveries, 1);
    atomic_fetch_add(&hook->events, flight->n);
    hook->report.dirty = true;
    /* One that was made anew meanwhile may be elsewhere. */
    if (!target->gone && target->cursor <= flight->upto) {
        watched_set(&hook->watched, target, flight->path);
    }
    if (!engine_answered(&hook->engine, target, flight->upto, flight->reset)) {
        return;
    }
    engine_took(target, hook_now(hook) - target->sent_ms);
    if (target->state != before || flight->reset) {
        log_state(target);
    }
}

void tell_done(void *user, void *request, const char *why)
{
    struct hook *hook = user;
    struct flight *flight = request;

    if (why == NULL) {
        land(hook, flight);
    } else {
        fail(hook, flight->target, why);
    }
    flight_free(hook, flight);
}

void tell_cut(struct hook *hook)
{
    struct flight *flight = NULL, *next = NULL;

    sender_cut(hook->sender);
    DL_FOREACH_SAFE(hook->flights, flight, next)
    {
        flight_free(hook, flight);
    }
}

/* Receivers that hang are not known as such before they have been called. */
static void cut_stuck(struct hook *hook)
{
    struct engine_target *target = NULL;
    struct flight *flight = NULL;

    while ((target = engine_stuck(&hook->engine, hook_now(hook))) != NULL) {
        DL_SEARCH_SCALAR(hook->flights, flight, target, target);
        sender_cancel(hook->sender, flight);
        tell_done(hook, flight, "no answer in time, while others waited");
    }
}

/* ---- turns ---- */

/* A row that was put while its namespace had another path. */
static int find_path(struct hook *hook, struct engine_target *target,
                     const struct found *row)
{
    struct str path = row->path;
    int r = 0;

    if (target->path.n > 0) {
        return 0;
    }
    if (row->path_rev > target->cursor) {
        r = batch_path(hook->reader, hook->arena,
                       str_of(core_domain(hook->core)), row->path,
                       row->path_rev, target->cursor, &path);
    }
    if (r == 0) {
        watched_set(&hook->watched, target, path);
    }
    return r;
}

static int tell(struct hook *hook, struct engine_target *target,
                const struct found *row)
{
    struct batch batch = {.n = 0};

    int r = find_path(hook, target, row);
    if (r == 0) {
        const struct batch_ask ask = {
            .key = target->key,
            .path = target->path,
            .types = row->types,
            .cursor = target->cursor,
            .most_bytes =
                hook->flying_bytes < FLYING_BYTES ? BATCH_BYTES : BATCH_SMALL,
        };
        r = batch_read(hook->reader, hook->arena, &ask, &batch);
    }
    if (r == 0 && batch.n > 0) {
        depart(hook, target, row, &batch);
    } else if (r == 0) {
        watched_set(&hook->watched, target, batch.path);
        engine_passed(&hook->engine, target, batch.upto, batch.end);
        hook->report.dirty = true;
    }
    batch_done(&batch);
    return r;
}

static int turn(struct hook *hook, struct engine_target *target)
{
    char host[SENDER_HOST];
    const char *why = NULL;
    struct found row;

    int r = found_read(hook->reader, target->key, hook->arena, &row);
    if (r == ERR_NOT_FOUND) {
        scan_remove(hook, target);
        return 0;
    }
    if (r != 0) {
        return r;
    }
    watched_types(target, row.types);
    if (sender_host_of(row.url, host, &why) != 0) {
        fail(hook, target, why);
        return 0;
    }
    engine_reach(target, host);
    if (engine_host_is_full(&hook->engine, host)) {
        engine_hold(&hook->engine, target);
        return 0;
    }
    return tell(hook, target, &row);
}

int tell_all(struct hook *hook, bool *ret_more)
{
    struct engine_target *target = NULL;
    uint64_t until_ms = hook_now(hook) + TURNS_MS;
    int r = 0;

    *ret_more = false;
    cut_stuck(hook);
    while (r == 0 && !*ret_more &&
           (target = engine_next(&hook->engine, hook_now(hook))) != NULL) {
        r = turn(hook, target);
        if (r != 0) {
            engine_hold(&hook->engine, target);
        }
        arena_reset(hook->arena);
        *ret_more = hook_now(hook) >= until_ms;
    }
    return r;
}
