#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "tls/inside.h"

enum { FILE_MOST = 1 << 20, PATH_SHOWN = 120 };

int file_wrong(const char *path, const char *what, char why[TLS_WHY])
{
    size_t n = strlen(path);
    const char *shown = n > PATH_SHOWN ? path + n - PATH_SHOWN : path;

    (void)snprintf(why, TLS_WHY, "%s%s: %s", shown == path ? "" : "...", shown,
                   what);
    return ERR_INVALID;
}

void file_forget(struct buf *bytes)
{
    if (bytes->p != NULL) {
        explicit_bzero(bytes->p, bytes->room);
    }
    buf_done(bytes);
}

/* Room for one byte more: that there is one says that it is too large. */
static int read_all(int fd, struct buf *bytes)
{
    buf_reserve(bytes, FILE_MOST + 1);
    while (bytes->n <= FILE_MOST) {
        ssize_t n = read(fd, bytes->p + bytes->n, FILE_MOST + 1 - bytes->n);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? 0 : errno;
        }
        bytes->n += (size_t)n;
    }
    return EFBIG;
}

int file_read(const char *path, struct buf *ret_bytes, char why[TLS_WHY])
{
    struct buf bytes = {0};
    struct stat about = {.st_mode = 0};
    /* A pipe by mistake would hold the start up for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error = fd < 0 || fstat(fd, &about) != 0 ? errno : 0;

    if (error == 0 && !S_ISREG(about.st_mode)) {
        (void)close(fd);
        return file_wrong(path, "is no file", why);
    }
    if (error == 0) {
        error = read_all(fd, &bytes);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (error != 0) {
        file_forget(&bytes);
        return file_wrong(path, strerrordesc_np(error), why);
    }
    *ret_bytes = bytes;
    return 0;
}

static gnutls_datum_t datum(const struct buf *bytes)
{
    return (gnutls_datum_t){.data = (unsigned char *)bytes->p,
                            .size = (unsigned)bytes->n};
}

/* ---- certificates ---- */

void certs_done(struct chain *chain)
{
    for (unsigned i = 0; i < chain->n; i++) {
        gnutls_x509_crt_deinit(chain->list[i]);
    }
    gnutls_free(chain->list);
    *chain = (struct chain){.n = 0};
}

/* The chance that a clock is wrong is as good as that the file is. */
static int check_time(const char *path, gnutls_x509_crt_t crt,
                      char why[TLS_WHY])
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    time_t from = gnutls_x509_crt_get_activation_time(crt);
    time_t until = gnutls_x509_crt_get_expiration_time(crt);
    time_t edge = now < from ? from : until;
    char what[64];
    struct tm at;

    if (now >= from && now < until) {
        return 0;
    }
    if (gmtime_r(&edge, &at) == NULL ||
        strftime(what, sizeof what,
                 now < from ? "is not valid before %F %T UTC"
                            : "has expired at %F %T UTC",
                 &at) == 0) {
        (void)snprintf(what, sizeof what, "has no validity");
    }
    return file_wrong(path, what, why);
}

int chain_read(const char *path, struct chain *ret_chain, char why[TLS_WHY])
{
    struct chain chain = {.n = 0};
    struct buf bytes = {0};

    int r = file_read(path, &bytes, why);
    if (r != 0) {
        return r;
    }
    gnutls_datum_t pem = datum(&bytes);
    int found = gnutls_x509_crt_list_import2(&chain.list, &chain.n, &pem,
                                             GNUTLS_X509_FMT_PEM, 0);
    file_forget(&bytes);
    if (found < 0 || chain.n == 0) {
        return file_wrong(path, "holds no certificate in PEM form", why);
    }
    for (unsigned i = 0; i < chain.n && r == 0; i++) {
        r = check_time(path, chain.list[i], why);
    }
    if (r != 0) {
        certs_done(&chain);
        return r;
    }
    *ret_chain = chain;
    return 0;
}

/* ---- a key ---- */

int key_read(const char *path, gnutls_x509_privkey_t *ret_key,
             char why[TLS_WHY])
{
    gnutls_x509_privkey_t key = NULL;
    struct buf bytes = {0};

    int r = file_read(path, &bytes, why);
    if (r != 0) {
        return r;
    }
    gnutls_datum_t pem = datum(&bytes);
    int error = gnutls_x509_privkey_init(&key);
    if (error == 0) {
        error = gnutls_x509_privkey_import2(key, &pem, GNUTLS_X509_FMT_PEM,
                                            NULL, 0);
    }
    file_forget(&bytes);
    if (error != 0) {
        gnutls_x509_privkey_deinit(key);
        return file_wrong(path,
                          error == GNUTLS_E_DECRYPTION_FAILED
                              ? "is locked with a password: a server cannot "
                                "be asked for it"
                              : "holds no private key in PEM form",
                          why);
    }
    *ret_key = key;
    return 0;
}
