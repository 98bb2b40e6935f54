#include "rest/who.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/log.h"
#include "rest/state.h"

/* ---- what a connection remembers ---- */

static void forget(struct rest_shown *shown)
{
    shown->who = access_unref(shown->who);
    if (shown->text != NULL) {
        explicit_bzero(shown->text, shown->n); /* [ACCESS-1] */
        shown->text = mem_free(shown->text);
    }
    shown->n = 0;
}

void rest_shown_done(struct rest_shown *shown)
{
    forget(shown);
    *shown = (struct rest_shown){0};
}

void rest_shown_move(struct rest_shown *to, struct rest_shown *from)
{
    *to = *from;
    *from = (struct rest_shown){0};
}

static bool is_what_was_shown(const struct rest_shown *shown, struct str text)
{
    return shown->who != NULL && shown->n == text.n &&
           (text.n == 0 || memcmp(shown->text, text.p, text.n) == 0);
}

static void remember(struct rest_shown *shown, struct str text,
                     struct access_who *who)
{
    shown->who = access_ref(who);
    shown->n = text.n;
    shown->text = text.n == 0 ? NULL : mem_dup(text.p, text.n);
}

/* Once a connection. */
static struct str address_of(struct rest_peer *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *address = peer->seat.address;
    char *from = peer->shown.from;

    if (from[0] == '\0') {
        bool v4 = memcmp(address, mapped, sizeof mapped) == 0;
        (void)inet_ntop(v4 ? AF_INET : AF_INET6,
                        v4 ? address + sizeof mapped : address, from,
                        REST_FROM_BYTES);
    }
    return str_of(from);
}

/* ---- who that is ---- */

void rest_who_begin(struct rest_loop *loop)
{
    struct registry *registry = loop->rest->registry;

    loop->callers = registry_callers_new(registry);
    loop->guarded = registry_is_guarded(registry);
    rest_judge_init(&loop->judge, registry_access_mark(registry));
}

bool rest_who_stands(const struct rest_loop *loop, const struct access_who *who)
{
    return !loop->guarded ||
           (registry_who_stands(loop->rest->registry, who) &&
            (who->expires_ms == 0 || loop->wall_ms < who->expires_ms));
}

static void fail(struct rest_request *request, int fault)
{
    log_error(LOG_HTTP, "a caller could not be looked up",
              LOG_TXT("why", err_text(fault)), LOG_TXT("at", err_origin()));
    rest_request_wrong(request, 500,
                       STR("this node could not look up who asks: its log says "
                           "why. Ask another node"),
                       STR_NONE);
}

static struct access_who *identify(struct rest_request *request,
                                   struct str token)
{
    const struct rest_peer *peer = request->peer;
    const struct access_shown shown = {.token = token,
                                       .user = str_of(peer->cert_name),
                                       .node = str_of(peer->cert_node)};
    struct rest_loop *loop = request->loop;
    struct access_who *who = NULL;

    int r = registry_identify(loop->callers, loop->reader, &shown, &who);
    if (r < 0) {
        fail(request, r);
    }
    return who != NULL ? who : access_anonymous();
}

/* Counted for the caller. Who is nobody may be somebody the next time: a token
 * that is made moves no mark. */
static struct access_who *find(struct rest_request *request,
                               struct str authorization)
{
    struct rest_shown *shown = &request->peer->shown;
    struct str token;

    if (is_what_was_shown(shown, authorization) &&
        rest_who_stands(request->loop, shown->who)) {
        return access_ref(shown->who);
    }
    if (rest_head_token(authorization, &token, &request->credential_wrong) !=
        0) {
        return access_anonymous();
    }
    struct access_who *who = identify(request, token);
    forget(shown);
    if (who->kind != ACCESS_ANONYMOUS) {
        remember(shown, authorization, who);
    }
    return who;
}

uint64_t rest_who_mark(const struct rest_loop *loop,
                       const struct access_who *who, uint64_t mark)
{
    const struct registry *registry = loop->rest->registry;

    return registry_who_is_newest(registry, who) &&
                   registry_access_mark(registry) == mark
               ? mark
               : REST_NO_MARK;
}

/* `mark`: before he was looked up. */
static void set(struct rest_request *request, struct access_who *who,
                uint64_t mark)
{
    (void)access_unref(request->op.who);
    request->op.who = who;
    request->mark = rest_who_mark(request->loop, who, mark);
}

/* Who looks after a node by asking whether it lives must hear that it does. */
static bool is_probe(struct str target)
{
    size_t n = strcspn(target.p, "?");
    struct str path = {target.p, n < target.n ? n : target.n};

    return str_is(path, "/livez") || str_is(path, "/readyz");
}

/* It may have been counted before it came here. */
static bool is_admitted(struct rest_request *request)
{
    struct rest_peer *peer = request->peer;

    if (peer->counted) {
        peer->counted = false;
        request->limit = peer->limit;
        return !peer->refused;
    }
    return registry_admit(request->loop->rest->registry, request->op.who,
                          request->op.from, &request->limit);
}

void rest_who_admit(struct rest_request *request)
{
    if (!is_admitted(request) && !is_probe(request->target)) {
        rest_request_wrong(request, 429,
                           STR("too many requests of this caller, or from this "
                               "address: Retry-After says when one is taken "
                               "again"),
                           STR_NONE);
    }
}

void rest_who_find(struct rest_request *request, struct str authorization)
{
    request->op.from = address_of(request->peer);
    request->op.who = access_anyone();
    if (request->loop->guarded) {
        uint64_t mark = registry_access_mark(request->loop->rest->registry);
        set(request, find(request, authorization), mark);
    }
}

void rest_who_set(struct rest_request *request, struct str authorization)
{
    rest_who_find(request, authorization);
    rest_who_admit(request);
}

void rest_who_renew(struct rest_request *request)
{
    struct rest_loop *loop = request->loop;
    struct access_who *who = NULL;

    if (request->credential_wrong != NULL ||
        rest_who_stands(loop, request->op.who)) {
        return;
    }
    uint64_t mark = registry_access_mark(loop->rest->registry);
    int r = rest_who_again(loop, request->op.who, &who);
    if (r < 0) {
        fail(request, r);
        return;
    }
    set(request, who, mark);
}

int rest_who_again(struct rest_loop *loop, const struct access_who *who,
                   struct access_who **ret_who)
{
    int r = registry_identify_again(loop->callers, loop->reader, who, ret_who);

    return r < 0 ? r : 0;
}
