#include "kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

struct peer_id kit_id(uint64_t raft_id, const char *name)
{
    struct peer_id id = {.raft_id = raft_id, .level_least = 1, .level_most = 2};

    memset(id.cluster, 0xc1, sizeof id.cluster);
    (void)snprintf(id.name, sizeof id.name, "%s", name);
    (void)snprintf(id.raft, sizeof id.raft, "127.0.0.1:%u",
                   7000 + (unsigned)raft_id);
    (void)snprintf(id.http, sizeof id.http, "127.0.0.1:%u",
                   8000 + (unsigned)raft_id);
    (void)snprintf(id.version, sizeof id.version, "0.1.0");
    return id;
}

/* ---- the node that listens ---- */

static void self(void *user, struct peer_id *ret_self)
{
    const struct kit *kit = user;
    *ret_self = kit->id;
}

static enum peer_verdict judge(void *user, enum peer_kind kind,
                               const struct peer_id *from, uint64_t expects,
                               char why[PEER_WHY])
{
    struct kit *kit = user;

    (void)kind;
    (void)from;
    (void)pthread_mutex_lock(&kit->lock);
    kit->seen.n_judged++;
    kit->seen.expected = expects;
    enum peer_verdict verdict = kit->verdict;
    (void)snprintf(why, PEER_WHY, "%s", kit->why);
    (void)pthread_mutex_unlock(&kit->lock);
    return verdict;
}

static void accepted(void *user, enum peer_kind kind,
                     const struct peer_id *from, int fd)
{
    struct kit *kit = user;

    (void)pthread_mutex_lock(&kit->lock);
    if (kit->fd >= 0) {
        (void)close(kit->fd);
    }
    kit->seen.kind = kind;
    kit->seen.from = *from;
    kit->fd = fd;
    kit->seen.n_accepted++;
    (void)pthread_cond_broadcast(&kit->news);
    (void)pthread_mutex_unlock(&kit->lock);
}

static void called(void *user, struct peer_called *call,
                   const struct peer_id *from, struct str request)
{
    struct kit *kit = user;

    (void)pthread_mutex_lock(&kit->lock);
    bool holds = kit->holds;
    kit->seen.from = *from;
    if (holds) {
        assert_true(kit->n_held < KIT_HELD_MOST);
        kit->held[kit->n_held++] = call;
        (void)pthread_cond_broadcast(&kit->news);
    }
    (void)pthread_mutex_unlock(&kit->lock);
    if (!holds) {
        peer_reply(call, request);
    }
}

struct kit *kit_start(const char *listen)
{
    return kit_start_tls(listen, NULL);
}

struct kit *kit_start_tls(const char *listen, struct tls *tls)
{
    struct kit *kit = mem_zero(sizeof *kit);
    const struct peer_config config = {.listen = listen,
                                       .tls = tls,
                                       .user = kit,
                                       .self = self,
                                       .judge = judge,
                                       .accepted = accepted,
                                       .called = called};

    (void)pthread_mutex_init(&kit->lock, NULL);
    (void)pthread_cond_init(&kit->news, NULL);
    kit->id = kit_id(1, "one");
    kit->why = "";
    kit->fd = -1;
    assert_int_equal(peer_start(&config, &kit->peer), 0);
    return kit;
}

struct kit *kit_stop(struct kit *kit)
{
    kit->peer = peer_stop(kit->peer);
    if (kit->fd >= 0) {
        (void)close(kit->fd);
    }
    (void)pthread_cond_destroy(&kit->news);
    (void)pthread_mutex_destroy(&kit->lock);
    return mem_free(kit);
}

void kit_judge(struct kit *kit, enum peer_verdict verdict, const char *why)
{
    (void)pthread_mutex_lock(&kit->lock);
    kit->verdict = verdict;
    kit->why = why;
    (void)pthread_mutex_unlock(&kit->lock);
}

struct kit_seen kit_seen(struct kit *kit)
{
    (void)pthread_mutex_lock(&kit->lock);
    struct kit_seen seen = kit->seen;
    (void)pthread_mutex_unlock(&kit->lock);
    return seen;
}

void kit_hold(struct kit *kit, bool holds)
{
    (void)pthread_mutex_lock(&kit->lock);
    kit->holds = holds;
    (void)pthread_mutex_unlock(&kit->lock);
}

int kit_accepted(struct kit *kit, unsigned n)
{
    (void)pthread_mutex_lock(&kit->lock);
    while (kit->seen.n_accepted < n) {
        (void)pthread_cond_wait(&kit->news, &kit->lock);
    }
    int fd = kit->fd;
    kit->fd = -1;
    (void)pthread_mutex_unlock(&kit->lock);
    return fd;
}

void kit_wait_held(struct kit *kit, unsigned n)
{
    (void)pthread_mutex_lock(&kit->lock);
    while (kit->n_held < n) {
        (void)pthread_cond_wait(&kit->news, &kit->lock);
    }
    (void)pthread_mutex_unlock(&kit->lock);
}

/* ---- who dials ---- */

struct peer_dial kit_dial(enum peer_kind kind, const char *address,
                          const struct peer_id *id)
{
    return (struct peer_dial){.kind = kind,
                              .address = address,
                              .self = id,
                              .expects = 1,
                              .timeout_ms = KIT_LONG_MS};
}

int kit_stranger(const char *address)
{
    struct address place;
    const char *why = NULL;
    size_t n = 0;

    assert_int_equal(address_to_dial(address, &place, 1, &n, &why), 0);
    int fd = socket(place.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&place.sa, place.n), 0);
    return fd;
}

int kit_listener(int backlog, char ret_address[PEER_ADDRESS])
{
    struct address place;
    const char *why = NULL;

    assert_int_equal(address_to_listen("127.0.0.1:0", &place, &why), 0);
    int fd = socket(place.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&place.sa, place.n), 0);
    if (backlog >= 0) {
        assert_int_equal(listen(fd, backlog), 0);
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&place.sa, &place.n),
                     0);
    char *text = address_text(&place);
    (void)snprintf(ret_address, PEER_ADDRESS, "%s", text);
    mem_free(text);
    return fd;
}

void kit_send(int fd, const void *bytes, size_t n)
{
    assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
}

bool kit_recv(int fd, void *bytes, size_t n)
{
    return recv(fd, bytes, n, MSG_WAITALL) == (ssize_t)n;
}

void kit_hello(enum peer_kind kind, uint8_t ret_bytes[SHAKE_HELLO])
{
    const struct shake_hello hello = {
        .kind = kind, .expects = 1, .from = kit_id(2, "two")};

    shake_hello_encode(&hello, ret_bytes);
}
