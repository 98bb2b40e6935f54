#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "peer/inside.h"

enum { TELL_EVERY_MS = 5000 };

/* ---- the handshake ---- */

static int say(const struct road *road, enum peer_verdict verdict,
               const char *why)
{
    (void)snprintf(road->why, PEER_WHY, "%s", why);
    return (int)verdict;
}

/* What is the same in every protocol says more than that it is another one. */
static int other_protocol(const struct road *road, const uint8_t *bytes,
                          uint32_t version)
{
    struct shake_answer answer;

    if (shake_verdict_decode(bytes, &answer) == 0 &&
        answer.verdict == PEER_VERSION && answer.why[0] != '\0') {
        return say(road, PEER_VERSION, answer.why);
    }
    (void)snprintf(road->why, PEER_WHY,
                   "it speaks protocol %u between nodes, this program %u: "
                   "update the older one of the two",
                   (unsigned)version, (unsigned)PEER_PROTOCOL);
    return PEER_VERSION;
}

static int read_answer(const struct road *road, struct shake_answer *ret_answer)
{
    uint8_t bytes[SHAKE_ANSWER];
    uint32_t version = 0;

    int r = road_get(road, bytes, SHAKE_HEAD);
    if (r == 0 && shake_answer_version(bytes, &version) != 0) {
        r = road_broken(road, "what answers there is no roster node");
    }
    if (r == 0) {
        r = road_get(road, bytes + SHAKE_HEAD, SHAKE_VERDICT - SHAKE_HEAD);
    }
    if (r == 0 && version != PEER_PROTOCOL) {
        return other_protocol(road, bytes, version);
    }
    if (r == 0) {
        r = road_get(road, bytes + SHAKE_VERDICT, SHAKE_ID);
    }
    if (r == 0 && shake_answer_decode(bytes, ret_answer) != 0) {
        r = road_broken(road, "what it answers is no handshake");
    }
    return r;
}

/* It would have us; is it whom we look for? */
static int recognise(const struct road *road, const struct peer_dial *dial,
                     const struct peer_id *other)
{
    bool any = dial->kind == PEER_CALL && dial->expects == 0;

    if (!any && memcmp(other->cluster, dial->self->cluster,
                       sizeof other->cluster) != 0) {
        return say(road, PEER_WRONG_CLUSTER,
                   "the node that answers there is of another cluster");
    }
    if (dial->expects != 0 && other->raft_id != dial->expects) {
        return say(road, PEER_WRONG_NODE,
                   "another node than the expected one answers there");
    }
    return 0;
}

/* ---- TLS ---- */

/* Who does not speak it answers in plain text, which no TLS begins with. */
enum { PLAIN = 'R' };

/* Only its words count: anybody could have said them. */
static int hear_plain(const struct road *road)
{
    struct road plain = *road;
    struct shake_answer answer;

    plain.wire.link = NULL;
    int r = read_answer(&plain, &answer);
    return r == 0 ? say(road, PEER_STRANGER, answer.why) : r;
}

/* Only the very first byte tells: later ones may be any of a record's. */
static int await_more(const struct road *road, bool *heard, bool *ret_over)
{
    short events = tls_link_events(road->wire.link);
    int r = road_await(road, events);
    bool first = !*heard && events == POLLIN;

    *heard = *heard || first;
    *ret_over = r != 0;
    if (r == 0 && first && wire_first(&road->wire) == PLAIN) {
        *ret_over = true;
        r = hear_plain(road);
    }
    return r;
}

static int encrypt_once(const struct road *road, bool *heard, bool *ret_over)
{
    char why[TLS_WHY];
    int r = tls_link_shake(road->wire.link, why);

    *ret_over = r != ERR_BUSY;
    if (r == ERR_BUSY) {
        return await_more(road, heard, ret_over);
    }
    if (r < 0) {
        return road_broken(road, why);
    }
    return r == 0 ? 0 : say(road, PEER_STRANGER, why);
}

static int encrypt(struct road *road, struct tls *tls,
                   struct tls_peer *ret_certified)
{
    char why[TLS_WHY];
    bool heard = false;
    bool over = false;
    int r = 0;

    road->wire.link = tls_link_begin(tls, road->wire.fd, false);
    while (!over) {
        r = encrypt_once(road, &heard, &over);
    }
    if (r == 0 && tls_link_peer(road->wire.link, ret_certified, why) != 0) {
        r = say(road, PEER_STRANGER, why);
    }
    return r;
}

/* Whatever it answers: only a node may tell this one that it was removed. */
static int certify(const struct road *road, const struct tls_peer *certified,
                   const struct peer_id *other)
{
    if (strcmp(certified->node, other->name) == 0) {
        return 0;
    }
    (void)snprintf(road->why, PEER_WHY,
                   certified->node[0] == '\0'
                       ? "the certificate of the node that answers there names "
                         "no node: it has no URI roster://node/NAME"
                       : "the certificate of the node that answers there is "
                         "that of %.63s, and it says that it is %.63s",
                   certified->node, other->name);
    return PEER_STRANGER;
}

/* ---- hello ---- */

static int greet(const struct road *road, const struct peer_dial *dial,
                 struct shake_answer *ret_answer)
{
    const struct shake_hello hello = {
        .kind = dial->kind, .expects = dial->expects, .from = *dial->self};
    uint8_t bytes[SHAKE_HELLO];

    shake_hello_encode(&hello, bytes);
    int r = road_put(road, bytes, sizeof bytes);
    return r == 0 ? read_answer(road, ret_answer) : r;
}

static int shake(struct road *road, const struct peer_dial *dial,
                 struct peer_id *ret_other)
{
    struct shake_answer answer = {.verdict = PEER_STRANGER};
    struct tls_peer certified;
    int r = dial->tls != NULL ? encrypt(road, dial->tls, &certified) : 0;

    if (r == 0) {
        r = greet(road, dial, &answer);
    }
    if (r == 0 && dial->tls != NULL) {
        r = certify(road, &certified, &answer.self);
    }
    if (r != 0) {
        return r;
    }
    *ret_other = answer.self;
    return answer.verdict == PEER_OK ? recognise(road, dial, ret_other)
                                     : say(road, answer.verdict, answer.why);
}

/* Somebody has to look after it, and it is dialled again and again. */
static void tell_stranger(const struct peer_dial *dial, const char *why)
{
    static _Atomic(uint64_t) told_ms;
    uint64_t now = clock_mono_ms();
    uint64_t told = atomic_load(&told_ms);

    if ((told == 0 || now - told >= TELL_EVERY_MS) &&
        atomic_compare_exchange_strong(&told_ms, &told, now)) {
        log_warn(LOG_PEER, "a node cannot be spoken to",
                 LOG_TXT("address", dial->address), LOG_TXT("why", why));
    }
}

/* Connected and acquainted, or closed. */
static int make(struct road *road, const struct peer_dial *dial,
                struct peer_id *ret_other, bool *ret_refused)
{
    road->deadline_ms = clock_mono_ms() + dial->timeout_ms;
    memset(ret_other, 0, sizeof *ret_other);
    *ret_refused = false;
    road->why[0] = '\0';
    int r = road_reach(road, dial->address, ret_refused);
    if (r == 0) {
        r = shake(road, dial, ret_other);
    }
    if (r == PEER_STRANGER) {
        tell_stranger(dial, road->why);
    }
    if (r != 0) {
        wire_close(&road->wire);
    }
    return r;
}

/* ---- the door ---- */

int dial_connect(const struct peer_dial *dial, int stop_fd,
                 struct peer_id *ret_other, int *ret_fd, bool *ret_refused,
                 char why[PEER_WHY])
{
    struct road road = {.wire = {.fd = -1}, .stop_fd = stop_fd, .why = why};
    int fd = -1;

    assert(dial->kind >= PEER_RAFT && dial->kind < PEER_CALL);
    int r = make(&road, dial, ret_other, ret_refused);
    if (r != 0) {
        return r;
    }
    if (wire_take(&road.wire, dial->kind, &fd) != 0 ||
        (dial->kind == PEER_FILE && peer_block(fd) != 0)) {
        r = road_broken(&road, strerrordesc_np(errno));
        (void)socket_close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int peer_connect(const struct peer_dial *dial, struct peer_id *ret_other,
                 int *ret_fd, bool *ret_refused, char why[PEER_WHY])
{
    return dial_connect(dial, -1, ret_other, ret_fd, ret_refused, why);
}

static int exchange(const struct road *road, struct str request,
                    struct buf *ret_reply)
{
    uint8_t size[SHAKE_SIZE];
    size_t n = 0;

    le_put(size, request.n, SHAKE_SIZE);
    int r = road_put(road, size, SHAKE_SIZE);
    if (r == 0) {
        r = road_put(road, request.p, request.n);
    }
    if (r == 0) {
        r = road_get(road, size, SHAKE_SIZE);
    }
    if (r == 0 && shake_size_decode(size, &n) != 0) {
        r = road_broken(road, "its reply is larger than a reply may be");
    }
    if (r == 0) {
        buf_reserve(ret_reply, n + 1);
        r = road_get(road, ret_reply->p + ret_reply->n, n);
    }
    if (r == 0) {
        ret_reply->n += n;
    }
    return r;
}

int peer_call(const struct peer_dial *dial, struct str request,
              struct peer_id *ret_other, struct buf *reply, char why[PEER_WHY])
{
    struct road road = {.wire = {.fd = -1}, .stop_fd = -1, .why = why};
    bool refused = false;

    assert(dial->kind == PEER_CALL && request.n <= PEER_CALL_MOST);
    int r = make(&road, dial, ret_other, &refused);
    if (r == 0) {
        road.deadline_ms = clock_mono_ms() + PEER_CALL_MS;
        r = exchange(&road, request, reply);
    }
    wire_close(&road.wire);
    return r;
}
