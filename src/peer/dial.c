#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "peer/inside.h"

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

static int shake(const struct road *road, const struct peer_dial *dial,
                 struct peer_id *ret_other)
{
    const struct shake_hello hello = {
        .kind = dial->kind, .expects = dial->expects, .from = *dial->self};
    struct shake_answer answer;
    uint8_t bytes[SHAKE_HELLO];

    shake_hello_encode(&hello, bytes);
    int r = road_put(road, bytes, sizeof bytes);
    if (r == 0) {
        r = read_answer(road, &answer);
    }
    if (r != 0) {
        return r;
    }
    *ret_other = answer.self;
    return answer.verdict == PEER_OK ? recognise(road, dial, ret_other)
                                     : say(road, answer.verdict, answer.why);
}

/* Connected and acquainted, or closed. TLS comes between the two. */
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
    if (r != 0) {
        road->fd = socket_close(road->fd);
    }
    return r;
}

/* ---- the door ---- */

int dial_connect(const struct peer_dial *dial, int stop_fd,
                 struct peer_id *ret_other, int *ret_fd, bool *ret_refused,
                 char why[PEER_WHY])
{
    struct road road = {.fd = -1, .stop_fd = stop_fd, .why = why};

    assert(dial->kind >= PEER_RAFT && dial->kind < PEER_CALL);
    int r = make(&road, dial, ret_other, ret_refused);
    if (r == 0 && dial->kind == PEER_FILE && peer_block(road.fd) != 0) {
        r = road_broken(&road, strerrordesc_np(errno));
    }
    if (r != 0) {
        (void)socket_close(road.fd);
        return r;
    }
    *ret_fd = road.fd;
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
    struct road road = {.fd = -1, .stop_fd = -1, .why = why};
    bool refused = false;

    assert(dial->kind == PEER_CALL && request.n <= PEER_CALL_MOST);
    int r = make(&road, dial, ret_other, &refused);
    if (r == 0) {
        road.deadline_ms = clock_mono_ms() + PEER_CALL_MS;
        r = exchange(&road, request, reply);
    }
    (void)socket_close(road.fd);
    return r;
}
