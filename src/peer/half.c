#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "peer/inside.h"

/* A reader's step takes no more memory than has come: who announces much and
 * sends little holds little. */
enum { STEP = 4096, TELL_EVERY_MS = 1000 };

void half_free(struct half *half)
{
    wire_close(&half->wire);
    buf_done(&half->bytes);
    memset(half, 0, sizeof *half);
    half->wire.fd = -1;
}

static void move(struct half *half, enum half_stage stage, uint64_t time_ms)
{
    half->stage = stage;
    half->deadline_ms = clock_mono_ms() + time_ms;
}

void half_open(struct listener *listener, struct half *half, int fd)
{
    half->wire.fd = fd;
    half->number = ++listener->n_accepted;
    half->want = SHAKE_HEAD;
    move(half, listener->config.tls != NULL ? HALF_TLS : HALF_HELLO,
         PEER_SHAKE_MS);
}

short half_events(const struct half *half)
{
    switch (half->stage) {
    case HALF_WAITING: /* nothing may come: that it goes away is all */
        return POLLRDHUP;
    case HALF_REPLYING:
        return POLLOUT;
    case HALF_TLS:
        if (half->wire.link != NULL) {
            return tls_link_events(half->wire.link);
        }
        return POLLIN;
    default:
        return POLLIN;
    }
}

/* Nothing more is said to it. */
static void end(struct half *half)
{
    buf_done(&half->bytes);
    wire_shutdown(&half->wire);
    move(half, HALF_ENDING, PEER_SHAKE_MS);
}

/* ---- the answer ---- */

static const char *const REFUSALS[] = {
    [PEER_OK] = "",
    [PEER_WRONG_CLUSTER] = "this node is of another cluster",
    [PEER_WRONG_NODE] = "this is not the node that was expected here",
    [PEER_NOT_MEMBER] = "it is no member of this cluster",
    [PEER_REMOVED] = "it was removed from this cluster",
    [PEER_VERSION] = "its version and this node's do not understand each other",
    [PEER_BUSY] = "this node cannot take it now",
    [PEER_STRANGER] = "it is a stranger here",
};

/* Where it comes from, whatever it says; gives. */
static char *place_of(const struct half *half)
{
    struct address place = {.n = sizeof place.sa};

    if (getpeername(half->wire.fd, (struct sockaddr *)&place.sa, &place.n) !=
        0) {
        return mem_text("");
    }
    return address_text(&place);
}

/* A node that is refused comes again and again: one line a second is enough for
 * all of them. */
void half_tell(struct listener *listener, const struct half *half,
               const char *why)
{
    uint64_t now = clock_mono_ms();
    bool quiet =
        listener->told_ms != 0 && now - listener->told_ms < TELL_EVERY_MS;

    if (!quiet) {
        listener->told_ms = now;
    }
    char *place = place_of(half);
    LOG_AT(quiet ? LOG_DEBUG : LOG_INFO, LOG_PEER, "a connection was refused",
           LOG_TXT("node", half->from.name),
           LOG_TXT("address", half->from.raft), LOG_TXT("from", place),
           LOG_TXT("why", why));
    mem_free(place);
}

/* An answer fits into what the kernel keeps for a new connection: one that does
 * not go at once goes nowhere. */
static bool send_answer(struct listener *listener, const struct half *half,
                        struct shake_answer *answer)
{
    uint8_t bytes[SHAKE_ANSWER];

    listener->config.self(listener->config.user, &answer->self);
    shake_answer_encode(answer, bytes);
    return wire_send(&half->wire, bytes, sizeof bytes) == (ssize_t)sizeof bytes;
}

static void refuse(struct listener *listener, struct half *half,
                   struct shake_answer *answer)
{
    if (answer->why[0] == '\0') {
        (void)snprintf(answer->why, sizeof answer->why, "%s",
                       REFUSALS[answer->verdict]);
    }
    half_tell(listener, half, answer->why);
    if (send_answer(listener, half, answer)) {
        end(half);
    } else {
        half_free(half);
    }
}

static void hand_over(struct listener *listener, struct half *half,
                      enum peer_kind kind)
{
    struct peer_id from = half->from;
    int fd = -1;
    int r = wire_take(&half->wire, kind, &fd);

    half_free(half);
    if (r == 0) {
        listener->config.accepted(listener->config.user, kind, &from, fd);
    } else {
        log_warn(LOG_PEER, "a connection could not be taken",
                 LOG_TXT("why", err_text(r)), LOG_TXT("at", err_origin()));
    }
}

static void accept_kind(struct listener *listener, struct half *half,
                        enum peer_kind kind)
{
    struct shake_answer answer = {.verdict = PEER_OK};

    if (!send_answer(listener, half, &answer)) {
        half_free(half);
    } else if (kind != PEER_CALL) {
        hand_over(listener, half, kind);
    } else {
        buf_clear(&half->bytes);
        half->want = SHAKE_SIZE;
        move(half, HALF_ASKED, PEER_CALL_MS);
    }
}

/* ---- the hello ---- */

static bool is_full_of_calls(const struct listener *listener)
{
    unsigned n = 0;

    for (size_t i = 0; i < PEER_HALF_MOST; i++) {
        n += listener->halves[i].stage == HALF_WAITING;
    }
    return n >= PEER_WAITING_MOST;
}

static enum peer_verdict judge(struct listener *listener,
                               const struct shake_hello *hello,
                               char why[PEER_WHY])
{
    if (hello->kind == PEER_CALL && is_full_of_calls(listener)) {
        return PEER_BUSY;
    }
    return listener->config.judge(listener->config.user, hello->kind,
                                  &hello->from, hello->expects, why);
}

static void no_hello(struct half *half)
{
    log_debug(LOG_PEER, "what has connected is no node");
    half_free(half);
}

/* TLS begins with a record of its handshake. */
static bool is_tls(const uint8_t *bytes)
{
    return bytes[0] == 0x16 && bytes[1] == 0x03;
}

static void refuse_tls(struct listener *listener, struct half *half)
{
    struct shake_answer answer = {
        .verdict = PEER_STRANGER,
        .why = "the node that was reached does not speak TLS and this "
               "connection begins with it: all nodes need --tls-cert, "
               "--tls-key and --tls-ca, or none"};

    refuse(listener, half, &answer);
}

static void take_head(struct listener *listener, struct half *half)
{
    struct shake_answer answer = {.verdict = PEER_VERSION};
    uint32_t version = 0;

    if (half->wire.link == NULL && is_tls((const uint8_t *)half->bytes.p)) {
        refuse_tls(listener, half);
    } else if (shake_hello_version((const uint8_t *)half->bytes.p, &version) !=
               0) {
        no_hello(half);
    } else if (version == PEER_PROTOCOL) {
        half->want = SHAKE_HELLO;
    } else {
        (void)snprintf(answer.why, sizeof answer.why,
                       "it speaks protocol %u between nodes, the node it has "
                       "reached %u: update the older one of the two",
                       (unsigned)version, (unsigned)PEER_PROTOCOL);
        refuse(listener, half, &answer);
    }
}

static void take_hello(struct listener *listener, struct half *half)
{
    struct shake_answer answer = {.verdict = PEER_OK};
    struct shake_hello hello;

    if (shake_hello_decode((const uint8_t *)half->bytes.p, &hello) != 0) {
        no_hello(half);
        return;
    }
    half->from = hello.from;
    answer.verdict = half_certify(half, answer.why);
    if (answer.verdict == PEER_OK) {
        answer.verdict = judge(listener, &hello, answer.why);
    }
    if (answer.verdict == PEER_OK) {
        accept_kind(listener, half, hello.kind);
    } else {
        refuse(listener, half, &answer);
    }
}

/* ---- a call ---- */

static void take_size(struct half *half)
{
    size_t n = 0;

    if (shake_size_decode((const uint8_t *)half->bytes.p, &n) != 0) {
        half_free(half);
    } else {
        half->want = SHAKE_SIZE + n;
    }
}

/* The deadline of a call is that of the whole of it. */
static void take_request(struct listener *listener, struct half *half)
{
    if (is_full_of_calls(listener)) {
        half_free(half);
        return;
    }
    struct buf request = half->bytes;
    half->bytes = (struct buf){0};
    half->stage = HALF_WAITING;
    listener->config.called(
        listener->config.user, called_new(listener->replies, half->number),
        &half->from,
        (struct str){request.p + SHAKE_SIZE, request.n - SHAKE_SIZE});
    buf_done(&request);
}

static void write_more(struct half *half)
{
    ssize_t n = wire_send(&half->wire, half->bytes.p + half->written,
                          half->bytes.n - half->written);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        half_free(half);
        return;
    }
    half->written += n > 0 ? (size_t)n : 0;
    if (half->written == half->bytes.n) {
        end(half);
    }
}

void half_reply(struct half *half, struct str reply)
{
    buf_add_str(&half->bytes, reply);
    half->stage = HALF_REPLYING;
    write_more(half);
}

/* ---- what comes ---- */

/* What was asked for is there. A part of no bytes is there at once. */
static void go_on(struct listener *listener, struct half *half)
{
    if (half->stage == HALF_HELLO) {
        (half->want == SHAKE_HEAD ? take_head : take_hello)(listener, half);
        return;
    }
    if (half->want == SHAKE_SIZE) {
        take_size(half);
    }
    if (half->stage == HALF_ASKED && half->bytes.n == half->want) {
        take_request(listener, half);
    }
}

static void read_more(struct listener *listener, struct half *half)
{
    size_t missing = half->want - half->bytes.n;
    size_t step = missing < STEP ? missing : STEP;

    buf_reserve(&half->bytes, step);
    ssize_t n = wire_recv(&half->wire, half->bytes.p + half->bytes.n, step);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        half_tell_alert(listener, half);
        half_free(half);
        return;
    }
    half->bytes.n += n > 0 ? (size_t)n : 0;
    if (half->bytes.n == half->want) {
        go_on(listener, half);
    }
}

static void discard(struct half *half)
{
    char bytes[STEP];
    ssize_t n = wire_recv(&half->wire, bytes, sizeof bytes);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        half_free(half);
    }
}

static void step(struct listener *listener, struct half *half)
{
    switch (half->stage) {
    case HALF_TLS:
        half_encrypt(listener, half);
        break;
    case HALF_HELLO:
    case HALF_ASKED:
        read_more(listener, half);
        break;
    case HALF_REPLYING:
        write_more(half);
        break;
    case HALF_ENDING:
        discard(half);
        break;
    case HALF_WAITING:
        half_free(half);
        break;
    case HALF_FREE:
        break;
    }
}

/* It takes from what TLS has read already, so far as it is used. */
void half_step(struct listener *listener, struct half *half)
{
    do {
        step(listener, half);
    } while (wire_holds(&half->wire) && half->stage != HALF_WAITING &&
             half->stage != HALF_REPLYING);
}
