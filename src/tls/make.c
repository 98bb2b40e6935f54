/* Certificates for a first cluster: a CA that signs, and what it signs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/write.h"
#include "tls/inside.h"

enum {
    SERIAL_BYTES = 16,
    CN_MOST = 64,      /* RFC 5280, ub-common-name */
    EARLY_S = 60 * 60, /* clocks of others may be late */
    DAY_S = 24 * 60 * 60,
    ID_BYTES = 64,
};

#define CA "ca"

/* A key and the certificate that is being made for it. */
struct pair {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
};

/* Only memory can be missing: what is given was checked. */
static void or_stop(int error)
{
    if (error < 0) {
        abort();
    }
}

static int wrong(const char *what, const char *value, char why[TLS_WHY])
{
    (void)snprintf(why, TLS_WHY, "%.120s %s", value, what);
    return ERR_INVALID;
}

static void pair_done(struct pair *pair)
{
    gnutls_x509_crt_deinit(pair->crt);
    gnutls_x509_privkey_deinit(pair->key);
}

/* ---- what each has ---- */

static void set_key(struct pair *pair)
{
    or_stop(gnutls_x509_privkey_init(&pair->key));
    or_stop(gnutls_x509_privkey_generate(
        pair->key, GNUTLS_PK_ECDSA,
        (unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    or_stop(gnutls_x509_crt_init(&pair->crt));
    or_stop(gnutls_x509_crt_set_version(pair->crt, 3));
    or_stop(gnutls_x509_crt_set_key(pair->crt, pair->key));
}

/* Positive, as its first bit says, and of a fixed length. */
static void set_serial(gnutls_x509_crt_t crt)
{
    uint8_t serial[SERIAL_BYTES];

    chance_fill(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x7fU) | 0x40U);
    or_stop(gnutls_x509_crt_set_serial(crt, serial, sizeof serial));
}

static void set_times(gnutls_x509_crt_t crt, uint64_t days, time_t most)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    time_t until = now + (time_t)days * DAY_S;

    or_stop(gnutls_x509_crt_set_activation_time(crt, now - EARLY_S));
    or_stop(gnutls_x509_crt_set_expiration_time(
        crt, most != 0 && until > most ? most : until));
}

static void set_id(gnutls_x509_crt_t crt)
{
    uint8_t id[ID_BYTES];
    size_t n = sizeof id;

    or_stop(gnutls_x509_crt_get_key_id(crt, 0, id, &n));
    or_stop(gnutls_x509_crt_set_subject_key_id(crt, id, n));
}

static int set_name(gnutls_x509_crt_t crt, const char *name)
{
    return gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
                                         name, (unsigned)strlen(name));
}

/* ---- files ---- */

static char *path_of(const char *dir, const char *name, const char *end)
{
    struct buf path = {0};

    buf_printf(&path, "%s/%s%s", dir, name, end);
    return buf_text(&path);
}

static int failed(const char *path, int error, char why[TLS_WHY])
{
    const bool is_there = error == EEXIST;

    return file_wrong(path, strerrordesc_np(error), why) != 0 && is_there
               ? ERR_CONFLICT
               : err_raise(ERR_IO);
}

static int write_file(const char *path, mode_t mode,
                      const gnutls_datum_t *bytes, char why[TLS_WHY])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return failed(path, errno, why);
    }
    const struct str all = {(const char *)bytes->data, bytes->size};
    int error = write_all(fd, all) == 0 && fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    if (error != 0) {
        (void)unlink(path);
        return failed(path, error, why);
    }
    return 0;
}

/* The key first: a certificate alone would look as if all were there. */
static int write_both(const struct pair *pair, const char *key_path,
                      const char *crt_path, char why[TLS_WHY])
{
    gnutls_datum_t key = {0};
    gnutls_datum_t crt = {0};

    if (access(crt_path, F_OK) == 0) {
        return failed(crt_path, EEXIST, why);
    }
    or_stop(gnutls_x509_privkey_export2_pkcs8(pair->key, GNUTLS_X509_FMT_PEM,
                                              NULL, GNUTLS_PKCS_PLAIN, &key));
    or_stop(gnutls_x509_crt_export2(pair->crt, GNUTLS_X509_FMT_PEM, &crt));
    int r = write_file(key_path, 0600, &key, why);
    if (r == 0) {
        r = write_file(crt_path, 0644, &crt, why);
        if (r != 0) {
            (void)unlink(key_path);
        }
    }
    gnutls_memset(key.data, 0, key.size);
    gnutls_free(key.data);
    gnutls_free(crt.data);
    return r;
}

static int keep(const struct pair *pair, const char *dir, const char *name,
                char why[TLS_WHY])
{
    char *key_path = path_of(dir, name, "-key.pem");
    char *crt_path = path_of(dir, name, ".pem");
    int r = write_both(pair, key_path, crt_path, why);

    mem_free(key_path);
    mem_free(crt_path);
    return r;
}

/* ---- the CA ---- */

static int check_days(uint64_t days, char why[TLS_WHY])
{
    char number[32];

    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)days);
    return days >= 1 && days <= TLS_DAYS_MOST
               ? 0
               : wrong("days: it may be 1 to 36500", number, why);
}

int tls_make_ca(const char *dir, uint64_t days, char why[TLS_WHY])
{
    struct pair ca = {.key = NULL};

    int r = check_days(days, why);
    if (r != 0) {
        return r;
    }
    set_key(&ca);
    set_serial(ca.crt);
    set_times(ca.crt, days, 0);
    set_id(ca.crt);
    or_stop(set_name(ca.crt, "roster CA"));
    or_stop(gnutls_x509_crt_set_basic_constraints(ca.crt, 1, 0));
    or_stop(gnutls_x509_crt_set_key_usage(ca.crt, GNUTLS_KEY_KEY_CERT_SIGN |
                                                      GNUTLS_KEY_CRL_SIGN));
    or_stop(
        gnutls_x509_crt_sign2(ca.crt, ca.crt, ca.key, GNUTLS_DIG_SHA256, 0));
    r = keep(&ca, dir, CA, why);
    pair_done(&ca);
    return r;
}

static int read_ca(const char *dir, struct pair *ret_ca, char why[TLS_WHY])
{
    char *key_path = path_of(dir, CA, "-key.pem");
    char *crt_path = path_of(dir, CA, ".pem");
    struct chain chain = {.n = 0};

    int r = chain_read(crt_path, &chain, why);
    if (r == 0) {
        r = key_read(key_path, &ret_ca->key, why);
    }
    if (r == 0) {
        ret_ca->crt = chain.list[0];
        chain.list[0] = NULL;
    }
    certs_done(&chain);
    mem_free(key_path);
    mem_free(crt_path);
    return r;
}

/* ---- what it signs ---- */

static bool is_label(const char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f ||
            text[i] == '/') {
            return false;
        }
    }
    return n > 0 && n <= CN_MOST && text[0] != '.';
}

static int check(const struct tls_make *make, char why[TLS_WHY])
{
    if (!is_label(make->name) || strcmp(make->name, CA) == 0) {
        return wrong("is no name for a certificate: 1 to 64 characters, no "
                     "blank, no '/'; 'ca' is the CA's",
                     make->name, why);
    }
    if (make->node != NULL && !is_label(make->node)) {
        return wrong("is no name of a node", make->node, why);
    }
    return check_days(make->days, why);
}

static int set_alt(gnutls_x509_crt_t crt, gnutls_x509_subject_alt_name_t kind,
                   const void *bytes, size_t n)
{
    return gnutls_x509_crt_set_subject_alt_name(crt, kind, bytes, (unsigned)n,
                                                GNUTLS_FSAN_APPEND);
}

static int add_host(gnutls_x509_crt_t crt, const char *host, char why[TLS_WHY])
{
    uint8_t address[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, host, address) == 1) {
        or_stop(set_alt(crt, GNUTLS_SAN_IPADDRESS, address,
                        sizeof(struct in_addr)));
    } else if (inet_pton(AF_INET6, host, address) == 1) {
        or_stop(set_alt(crt, GNUTLS_SAN_IPADDRESS, address,
                        sizeof(struct in6_addr)));
    } else if (strchr(host, ':') != NULL || strlen(host) > 253 ||
               host[0] == '\0' || host[strcspn(host, "/ \t")] != '\0' ||
               set_alt(crt, GNUTLS_SAN_DNSNAME, host, strlen(host)) < 0) {
        return wrong("is no DNS name and no address", host, why);
    }
    return 0;
}

static int add_names(gnutls_x509_crt_t crt, const struct tls_make *make,
                     char why[TLS_WHY])
{
    int r = 0;

    if (set_name(crt, make->name) < 0) {
        return wrong("is no name for a certificate", make->name, why);
    }
    if (make->node != NULL) {
        char *uri = path_of("roster://node", make->node, "");
        or_stop(set_alt(crt, GNUTLS_SAN_URI, uri, strlen(uri)));
        mem_free(uri);
    }
    for (size_t i = 0; make->hosts != NULL && make->hosts[i] != NULL && r == 0;
         i++) {
        r = add_host(crt, make->hosts[i], why);
    }
    return r;
}

/* A node serves and dials; a client only dials. */
static void add_uses(gnutls_x509_crt_t crt, bool is_node)
{
    or_stop(gnutls_x509_crt_set_basic_constraints(crt, 0, -1));
    or_stop(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE));
    or_stop(
        gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0));
    if (is_node) {
        or_stop(gnutls_x509_crt_set_key_purpose_oid(
            crt, GNUTLS_KP_TLS_WWW_SERVER, 0));
    }
}

static int sign(gnutls_x509_crt_t crt, const struct pair *ca, const char *dir,
                char why[TLS_WHY])
{
    uint8_t id[ID_BYTES];
    size_t n = sizeof id;

    if (gnutls_x509_crt_get_subject_key_id(ca->crt, id, &n, NULL) == 0) {
        or_stop(gnutls_x509_crt_set_authority_key_id(crt, id, n));
    }
    int error =
        gnutls_x509_crt_sign2(crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0);
    return error >= 0 ? 0
                      : wrong("holds a CA that cannot sign: its certificate "
                              "and its key do not fit",
                              dir, why);
}

static int make_with(const struct tls_make *make, const struct pair *ca,
                     char why[TLS_WHY])
{
    struct pair made = {.key = NULL};

    set_key(&made);
    set_serial(made.crt);
    set_times(made.crt, make->days,
              gnutls_x509_crt_get_expiration_time(ca->crt));
    set_id(made.crt);
    add_uses(made.crt, make->node != NULL);
    int r = add_names(made.crt, make, why);
    if (r == 0) {
        r = sign(made.crt, ca, make->dir, why);
    }
    if (r == 0) {
        r = keep(&made, make->dir, make->name, why);
    }
    pair_done(&made);
    return r;
}

/* Then the CA's key, which may be elsewhere by now, is not needed. */
static int check_new(const struct tls_make *make, char why[TLS_WHY])
{
    char *cert = path_of(make->dir, make->name, ".pem");
    char *key = path_of(make->dir, make->name, "-key.pem");

    int r = access(cert, F_OK) == 0 && access(key, F_OK) == 0
                ? failed(cert, EEXIST, why)
                : 0;
    (void)mem_free(cert);
    (void)mem_free(key);
    return r;
}

int tls_make_cert(const struct tls_make *make, char why[TLS_WHY])
{
    struct pair ca = {.key = NULL};

    int r = check(make, why);
    if (r == 0) {
        r = check_new(make, why);
    }
    if (r == 0) {
        r = read_ca(make->dir, &ca, why);
    }
    if (r == 0) {
        r = make_with(make, &ca, why);
    }
    pair_done(&ca);
    return r;
}
