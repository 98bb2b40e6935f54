#include "kit.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

const char *kit_path(const char *dir, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

char *kit_begin(void)
{
    char template[] = "/tmp/roster-tls-XXXXXX";
    char why[TLS_WHY];

    assert_non_null(mkdtemp(template));
    assert_int_equal(tls_make_ca(template, 3650, why), 0);
    return mem_text(template);
}

void kit_end(char *dir)
{
    char command[600];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
    mem_free(dir);
}

void kit_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void kit_sign(const char *dir, const char *name, const char *node)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", NULL};
    const struct tls_make make = {
        .dir = dir, .name = name, .node = node, .hosts = hosts, .days = 30};
    char why[TLS_WHY] = "";

    assert_int_equal(tls_make_cert(&make, why), 0);
}

static gnutls_datum_t load(const char *path)
{
    gnutls_datum_t data = {0};

    assert_int_equal(gnutls_load_file(path, &data), 0);
    return data;
}

static gnutls_x509_crt_t load_crt(const char *path)
{
    gnutls_datum_t data = load(path);
    gnutls_x509_crt_t crt = NULL;

    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_import(crt, &data, GNUTLS_X509_FMT_PEM),
                     0);
    gnutls_free(data.data);
    return crt;
}

static void sign_again(const char *dir, gnutls_x509_crt_t crt)
{
    gnutls_x509_crt_t ca = load_crt(kit_path(dir, "ca.pem"));
    gnutls_datum_t data = load(kit_path(dir, "ca-key.pem"));
    gnutls_x509_privkey_t key = NULL;

    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(
        gnutls_x509_privkey_import2(key, &data, GNUTLS_X509_FMT_PEM, NULL, 0),
        0);
    assert_int_equal(gnutls_x509_crt_sign2(crt, ca, key, GNUTLS_DIG_SHA256, 0),
                     0);
    gnutls_free(data.data);
    gnutls_x509_privkey_deinit(key);
    gnutls_x509_crt_deinit(ca);
}

void kit_sign_dated(const char *dir, const char *name, long from_s,
                    long until_s)
{
    char file[64];
    gnutls_datum_t pem = {0};

    kit_sign(dir, name, name);
    (void)snprintf(file, sizeof file, "%s.pem", name);
    gnutls_x509_crt_t crt = load_crt(kit_path(dir, file));
    assert_int_equal(
        gnutls_x509_crt_set_activation_time(crt, time(NULL) + from_s), 0);
    assert_int_equal(
        gnutls_x509_crt_set_expiration_time(crt, time(NULL) + until_s), 0);
    sign_again(dir, crt);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem),
                     0);
    kit_write(kit_path(dir, file), (char *)pem.data);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(crt);
}

struct tls *kit_tls(const char *dir, const char *name, const char *ca_dir)
{
    char cert[64];
    char key[64];
    char why[TLS_WHY] = "";
    struct tls *tls = NULL;

    (void)snprintf(cert, sizeof cert, "%s.pem", name);
    (void)snprintf(key, sizeof key, "%s-key.pem", name);
    const struct tls_config config = {.cert = kit_path(dir, cert),
                                      .key = kit_path(dir, key),
                                      .ca = kit_path(ca_dir, "ca.pem")};
    int r = tls_new(&config, &tls, why);
    assert_string_equal(why, "");
    assert_int_equal(r, 0);
    return tls;
}

struct kit_ends kit_shake(struct tls *dials, struct tls *listens)
{
    struct kit_ends ends = {.r = {ERR_BUSY, ERR_BUSY}};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX,
                                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                                pair),
                     0);
    ends.links[0] = tls_link_begin(dials, pair[0], false);
    ends.links[1] = tls_link_begin(listens, pair[1], true);
    while ((ends.r[0] == ERR_BUSY || ends.r[1] == ERR_BUSY) &&
           (ends.r[0] == 0 || ends.r[0] == ERR_BUSY) &&
           (ends.r[1] == 0 || ends.r[1] == ERR_BUSY)) {
        for (int i = 0; i < 2; i++) {
            if (ends.r[i] == ERR_BUSY) {
                ends.r[i] = tls_link_shake(ends.links[i], ends.why[i]);
            }
        }
    }
    return ends;
}

void kit_close(struct kit_ends *ends)
{
    ends->links[0] = tls_link_close(ends->links[0]);
    ends->links[1] = tls_link_close(ends->links[1]);
}

ssize_t kit_recv(struct tls_link *link, void *bytes, size_t n)
{
    for (;;) {
        ssize_t got = tls_link_recv(link, bytes, n);
        if (got >= 0 || errno != EAGAIN) {
            return got;
        }
        (void)usleep(1000);
    }
}
