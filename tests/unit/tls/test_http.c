/* The server's side of a connection of HTTP, with clients of every kind. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "kit.h"

struct bed {
    char *dir;
    struct tls *tls;
};

static void use(struct bed *bed, enum tls_clients clients)
{
    char why[TLS_WHY];
    const struct tls_config config = {.cert = kit_path(bed->dir, "n1.pem"),
                                      .key = kit_path(bed->dir, "n1-key.pem"),
                                      .ca = kit_path(bed->dir, "ca.pem"),
                                      .clients = clients};

    bed->tls = tls_free(bed->tls);
    assert_int_equal(tls_new(&config, &bed->tls, why), 0);
}

static int begin(void **state)
{
    struct bed *bed = mem_zero(sizeof *bed);

    bed->dir = kit_begin();
    kit_sign(bed->dir, "n1", "n1");
    kit_sign(bed->dir, "ann", NULL);
    use(bed, TLS_CLIENTS_OPTIONAL);
    *state = bed;
    return 0;
}

static int end(void **state)
{
    struct bed *bed = *state;

    (void)tls_free(bed->tls);
    kit_end(bed->dir);
    mem_free(bed);
    return 0;
}

/* ---- a client, and the server's side of its connection ---- */

struct talk {
    gnutls_certificate_credentials_t own;
    gnutls_session_t client;
    struct tls_desk *desk;
    struct tls_seal *server;
    int pair[2];
    bool made;
};

static gnutls_session_t session(int fd, const char *priorities,
                                gnutls_certificate_credentials_t own)
{
    gnutls_session_t made = NULL;

    assert_int_equal(
        gnutls_init(&made, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL),
        0);
    assert_int_equal(gnutls_priority_set_direct(made, priorities, NULL), 0);
    assert_int_equal(gnutls_credentials_set(made, GNUTLS_CRD_CERTIFICATE, own),
                     0);
    gnutls_transport_set_int(made, fd);
    return made;
}

static void shake(struct talk *talk)
{
    int client = GNUTLS_E_AGAIN;
    int server = ERR_BUSY;

    while ((client == GNUTLS_E_AGAIN || server == ERR_BUSY) &&
           (client == 0 || !gnutls_error_is_fatal(client)) &&
           server != ERR_INVALID) {
        client = client == 0 ? 0 : gnutls_handshake(talk->client);
        server = server == 0 ? 0 : tls_seal_shake(talk->server);
    }
    talk->made = client == 0 && server == 0;
}

/* `name`: whose certificate the client shows, NULL none. `resumed`: data of an
 * earlier session, or NULL. */
static struct talk talk_with(struct bed *bed, const char *dir, const char *name,
                             const char *priorities,
                             const gnutls_datum_t *resumed)
{
    struct talk talk = {.made = false};
    char cert[64];
    char key[64];

    assert_int_equal(gnutls_certificate_allocate_credentials(&talk.own), 0);
    if (name != NULL) {
        (void)snprintf(cert, sizeof cert, "%s.pem", name);
        (void)snprintf(key, sizeof key, "%s-key.pem", name);
        assert_int_equal(gnutls_certificate_set_x509_key_file(
                             talk.own, kit_path(dir, cert), kit_path(dir, key),
                             GNUTLS_X509_FMT_PEM),
                         0);
        gnutls_certificate_set_flags(talk.own,
                                     GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
    }
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, talk.pair), 0);
    talk.client = session(talk.pair[0], priorities, talk.own);
    talk.desk = tls_desk_new();
    talk.server = tls_seal_begin(bed->tls, talk.desk, talk.pair[1]);
    if (resumed != NULL) {
        assert_int_equal(
            gnutls_session_set_data(talk.client, resumed->data, resumed->size),
            0);
    }
    shake(&talk);
    return talk;
}

static struct talk talk_as(struct bed *bed, const char *dir, const char *name)
{
    return talk_with(bed, dir, name, "NORMAL", NULL);
}

static void talk_end(struct talk *talk)
{
    gnutls_deinit(talk->client);
    talk->server = tls_seal_end(talk->server);
    talk->desk = tls_desk_free(talk->desk);
    gnutls_certificate_free_credentials(talk->own);
    (void)close(talk->pair[0]);
    (void)close(talk->pair[1]);
}

static ssize_t say(struct tls_seal *seal, const char *text, size_t n)
{
    const struct iovec part = {(void *)(uintptr_t)text, n};

    return tls_seal_send(seal, &part, 1);
}

static struct tls_peer peer_of(struct talk *talk)
{
    struct tls_peer peer;

    tls_seal_peer(talk->server, &peer);
    return peer;
}

/* ---- tests ---- */

static void a_client_may_show_none(void **state)
{
    struct talk talk = talk_as(*state, NULL, NULL);

    assert_true(talk.made);
    assert_false(peer_of(&talk).verified);
    assert_string_equal(peer_of(&talk).name, "");
    talk_end(&talk);
}

static void a_client_is_known_by_its_name(void **state)
{
    struct bed *bed = *state;
    struct talk talk = talk_as(bed, bed->dir, "ann");

    assert_true(talk.made);
    assert_true(peer_of(&talk).verified);
    assert_string_equal(peer_of(&talk).name, "ann");
    assert_string_equal(peer_of(&talk).node, "");
    talk_end(&talk);
    talk = talk_as(bed, bed->dir, "n1");
    assert_string_equal(peer_of(&talk).node, "n1");
    talk_end(&talk);
}

static void a_foreign_or_expired_one_ends_the_handshake(void **state)
{
    struct bed *bed = *state;
    char *foreign = kit_begin();

    kit_sign(foreign, "ann", NULL);
    struct talk talk = talk_as(bed, foreign, "ann");
    assert_false(talk.made);
    talk_end(&talk);
    kit_sign_dated(bed->dir, "old", -7200, -3600);
    talk = talk_as(bed, bed->dir, "old");
    assert_false(talk.made);
    talk_end(&talk);
    kit_end(foreign);
}

static void one_may_be_required_or_not_asked_for(void **state)
{
    struct bed *bed = *state;

    use(bed, TLS_CLIENTS_REQUIRED);
    struct talk talk = talk_as(bed, NULL, NULL);
    assert_false(talk.made);
    talk_end(&talk);
    talk = talk_as(bed, bed->dir, "ann");
    assert_true(talk.made);
    talk_end(&talk);
    use(bed, TLS_CLIENTS_NONE);
    talk = talk_as(bed, bed->dir, "ann");
    assert_true(talk.made);
    assert_false(peer_of(&talk).verified);
    talk_end(&talk);
}

static void what_is_older_than_tls_1_2_is_refused(void **state)
{
    struct talk talk = talk_with(*state, NULL, NULL,
                                 "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0"
                                 ":%VERIFY_ALLOW_SIGN_WITH_SHA1",
                                 NULL);
    assert_false(talk.made);
    talk_end(&talk);
    talk = talk_with(*state, NULL, NULL, "NORMAL:-VERS-ALL:+VERS-TLS1.2", NULL);
    assert_true(talk.made);
    talk_end(&talk);
}

static gnutls_datum_t ticket_of(struct talk *talk)
{
    gnutls_datum_t data = {0};
    char byte = 0;

    /* With TLS 1.3 it comes behind the handshake. */
    (void)gnutls_record_recv(talk->client, &byte, 1);
    assert_int_equal(gnutls_session_get_data2(talk->client, &data), 0);
    return data;
}

/* Whether a second session of `name` goes on with the secret of the first. */
static bool resumes(struct bed *bed, const char *name, const char *priorities,
                    bool reload)
{
    char why[TLS_WHY];
    struct talk talk = talk_with(bed, bed->dir, name, priorities, NULL);
    gnutls_datum_t data = ticket_of(&talk);

    assert_false(gnutls_session_is_resumed(talk.client));
    talk_end(&talk);
    assert_int_equal(reload ? tls_reload(bed->tls, why) : 0, 0);
    talk = talk_with(bed, bed->dir, name, priorities, &data);
    assert_true(talk.made);
    assert_int_equal(peer_of(&talk).verified, name != NULL);
    bool resumed = gnutls_session_is_resumed(talk.client);
    talk_end(&talk);
    gnutls_free(data.data);
    return resumed;
}

static const char *const versions[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.3",
                                       "NORMAL:-VERS-ALL:+VERS-TLS1.2"};

static void a_session_is_resumed_until_the_next_reload(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        assert_true(resumes(*state, NULL, versions[i], false));
        assert_false(resumes(*state, NULL, versions[i], true));
    }
}

/* Who has a new one, or none any more, would go on as who it was. */
static void who_shows_a_certificate_shows_it_each_time(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        assert_false(resumes(*state, "ann", versions[i], false));
    }
}

static time_t later(time_t *ret_now)
{
    time_t now = time(NULL) + 3600;

    if (ret_now != NULL) {
        *ret_now = now;
    }
    return now;
}

/* The session's secret is no certificate. */
static void resume_expired(struct bed *bed, const char *priorities)
{
    struct talk talk = talk_with(bed, bed->dir, "brief", priorities, NULL);

    assert_true(talk.made);
    gnutls_datum_t data = ticket_of(&talk);
    talk_end(&talk);
    gnutls_global_set_time_function(later);
    talk = talk_with(bed, bed->dir, "brief", priorities, &data);
    bool served = talk.made;
    talk_end(&talk);
    gnutls_global_set_time_function(time);
    gnutls_free(data.data);
    assert_false(served);
}

static void one_that_is_required_is_so_for_each_session(void **state)
{
    struct bed *bed = *state;

    use(bed, TLS_CLIENTS_REQUIRED);
    kit_sign_dated(bed->dir, "brief", -7200, 1800);
    resume_expired(bed, versions[0]);
    resume_expired(bed, versions[1]);
}

static void a_session_keeps_what_it_began_with(void **state)
{
    struct bed *bed = *state;
    struct talk talk = talk_as(bed, bed->dir, "ann");
    char why[TLS_WHY];
    char text[8] = "";

    assert_int_equal(tls_reload(bed->tls, why), 0);
    assert_true(peer_of(&talk).verified);
    assert_int_equal(say(talk.server, "hello", 5), 5);
    ssize_t n = GNUTLS_E_AGAIN; /* Tickets come before it. */
    while (n == GNUTLS_E_AGAIN) {
        n = gnutls_record_recv(talk.client, text, sizeof text);
    }
    assert_int_equal(n, 5);
    assert_string_equal(text, "hello");
    talk_end(&talk);
}

static void what_nobody_reads_is_not_taken(void **state)
{
    static char block[16 * 1024];
    struct talk talk = talk_as(*state, NULL, NULL);
    ssize_t n = 0;

    for (unsigned i = 0; i < 10000 && n >= 0; i++) {
        n = say(talk.server, block, sizeof block);
    }
    assert_int_equal(n, -1);
    assert_int_equal(errno, EAGAIN);
    (void)shutdown(talk.pair[0], SHUT_RDWR);
    assert_int_equal(say(talk.server, block, sizeof block), -1);
    assert_int_equal(errno, EPIPE);
    talk_end(&talk);
}

/* All that the client sends, in records of that many bytes. */
static void client_says(struct talk *talk, const char *text, size_t n,
                        size_t record)
{
    for (size_t at = 0; at < n; at += record) {
        size_t part = n - at < record ? n - at : record;
        assert_int_equal(gnutls_record_send(talk->client, text + at, part),
                         part);
    }
}

static void fill(char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (char)('a' + i % 23);
    }
}

static void what_is_put_back_comes_first(void **state)
{
    struct talk talk = talk_as(*state, NULL, NULL);
    char bytes[64];

    client_says(&talk, "one two three", 13, 4);
    assert_int_equal(tls_seal_recv(talk.server, bytes, sizeof bytes), 13);
    tls_seal_unread(talk.server, bytes + 4, 9);
    assert_true(tls_seal_has_more(talk.server));
    client_says(&talk, " four", 5, 5);
    assert_int_equal(tls_seal_recv(talk.server, bytes, 3), 3);
    assert_memory_equal(bytes, "two", 3);
    tls_seal_unread(talk.server, "2", 1);
    tls_seal_drop(talk.server, 2);
    assert_int_equal(tls_seal_recv(talk.server, bytes, sizeof bytes), 10);
    assert_memory_equal(bytes, "three four", 10);
    assert_false(tls_seal_has_more(talk.server));
    assert_int_equal(tls_seal_recv(talk.server, bytes, sizeof bytes), -1);
    assert_int_equal(errno, EAGAIN);
    talk_end(&talk);
}

/* Nothing is left where nobody who waits for the socket would find it. */
static void what_is_not_asked_for_is_told_of(void **state)
{
    static char said[60000], heard[sizeof said];
    struct talk talk = talk_as(*state, NULL, NULL);
    size_t n = 0;

    fill(said, sizeof said);
    client_says(&talk, said, sizeof said, 700);
    do {
        ssize_t r = tls_seal_recv(talk.server, heard + n, 999);
        assert_true(r > 0);
        n += (size_t)r;
    } while (tls_seal_has_more(talk.server));
    assert_int_equal(n, sizeof said);
    assert_memory_equal(heard, said, n);
    talk_end(&talk);
}

/* What the client hears now. A ticket is heard as if there were nothing. */
static size_t hear(struct talk *talk, char *bytes, size_t room)
{
    size_t n = 0;

    for (int nothing = 0; nothing < 4;) {
        ssize_t r = gnutls_record_recv(talk->client, bytes + n, room - n);
        n += r > 0 ? (size_t)r : 0;
        nothing += r <= 0;
    }
    return n;
}

static void parts_of_all_sizes_arrive_in_order(void **state)
{
    static char said[400000], heard[sizeof said];
    static const size_t sizes[] = {0,    5,     200,    0,    16384, 16385,
                                   1000, 40000, 4096,   4097, 1,     0,
                                   7,    30000, 200000, 80,   0};
    struct talk talk = talk_as(*state, NULL, NULL);
    struct iovec parts[sizeof sizes / sizeof sizes[0]];
    size_t at = 0, taken = 0, n = 0;

    fill(said, sizeof said);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        parts[i] = (struct iovec){said + at, sizes[i]};
        at += sizes[i];
    }
    ssize_t r = tls_seal_send(talk.server, parts, sizeof parts / sizeof *parts);
    assert_true(r >= TLS_SEAL_ONCE);
    for (taken = (size_t)r; taken < at; taken += (size_t)r) {
        n += hear(&talk, heard + n, sizeof heard - n);
        r = say(talk.server, said + taken, at - taken);
        r = r < 0 ? 0 : r;
    }
    while (tls_seal_flush(talk.server) != 0) {
        n += hear(&talk, heard + n, sizeof heard - n);
    }
    n += hear(&talk, heard + n, sizeof heard - n);
    assert_int_equal(n, at);
    assert_memory_equal(heard, said, n);
    talk_end(&talk);
}

static void who_has_ended_is_still_answered(void **state)
{
    for (int said = 0; said < 2; said++) {
        struct talk talk = talk_as(*state, NULL, NULL);
        char bytes[64];

        client_says(&talk, "ask", 3, 3);
        if (said != 0) {
            assert_int_equal(gnutls_bye(talk.client, GNUTLS_SHUT_WR), 0);
        }
        (void)shutdown(talk.pair[0], SHUT_WR);
        assert_int_equal(tls_seal_recv(talk.server, bytes, sizeof bytes), 3);
        assert_int_equal(tls_seal_recv(talk.server, bytes, sizeof bytes),
                         said != 0 ? 0 : -1);
        assert_int_equal(say(talk.server, "answer", 6), 6);
        tls_seal_bye(talk.server);
        assert_int_equal(hear(&talk, bytes, sizeof bytes), 6);
        talk_end(&talk);
    }
}

/* Nothing more may come that would wake who waits for the socket. */
static void what_comes_behind_new_keys_is_received(void **state)
{
    struct talk talk = talk_with(*state, NULL, NULL, versions[0], NULL);
    char bytes[64];

    for (unsigned flags = 0; flags < 2; flags++) {
        assert_int_equal(gnutls_session_key_update(
                             talk.client, flags == 0 ? 0 : GNUTLS_KU_PEER),
                         0);
        client_says(&talk, "ask", 3, 3);
        assert_int_equal(tls_seal_recv(talk.server, bytes, sizeof bytes), 3);
    }
    assert_int_equal(say(talk.server, "answer", 6), 6);
    assert_int_equal(hear(&talk, bytes, sizeof bytes), 6);
    talk_end(&talk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_may_show_none),
        TEST(a_client_is_known_by_its_name),
        TEST(a_foreign_or_expired_one_ends_the_handshake),
        TEST(one_may_be_required_or_not_asked_for),
        TEST(what_is_older_than_tls_1_2_is_refused),
        TEST(a_session_is_resumed_until_the_next_reload),
        TEST(who_shows_a_certificate_shows_it_each_time),
        TEST(one_that_is_required_is_so_for_each_session),
        TEST(a_session_keeps_what_it_began_with),
        TEST(what_nobody_reads_is_not_taken),
        TEST(what_is_put_back_comes_first),
        TEST(what_is_not_asked_for_is_told_of),
        TEST(parts_of_all_sizes_arrive_in_order),
        TEST(who_has_ended_is_still_answered),
        TEST(what_comes_behind_new_keys_is_received),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
