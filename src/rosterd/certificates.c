#include "rosterd/certificates.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"

struct certificates {
    struct tls *tls; /* NULL: none */
    bool verifies;   /* there is a CA */
    pthread_t reloading;
    bool reloads;              /* it runs, or has run */
    _Atomic(unsigned) n_asked; /* for a reading; 0: it has read the last */
};

enum { SOON_S = 14 * 24 * 60 * 60 };

static void tell_read(const struct certificates *certificates)
{
    uint64_t expires_s = tls_expires_s(certificates->tls);
    bool soon = expires_s < clock_wall_ms() / 1000 + SOON_S;

    LOG_AT(soon ? LOG_WARN : LOG_INFO, LOG_CORE,
           soon ? "certificates read; this node's expires soon"
                : "certificates read",
           LOG_U64("expires_s", expires_s));
}

/* A group may have it, as Debian's ssl-cert; nobody should be open to all
 * without knowing. */
static void warn_if_open(const char *key)
{
    struct stat file;

    if (stat(key, &file) == 0 && (file.st_mode & S_IRWXO) != 0) {
        log_warn(LOG_CORE,
                 "everybody on this machine can read the key: chmod 600",
                 LOG_TXT("file", key));
    }
}

int certificates_open(const struct settings *settings,
                      struct certificates **ret_certificates)
{
    struct certificates *made = mem_zero(sizeof *made);
    const struct tls_config config = {
        .cert = settings->tls_cert,
        .key = settings->tls_key,
        .ca = settings->tls_ca,
        .clients = settings->clients,
        .node = settings->clustered && settings->tls_ca != NULL ? settings->id
                                                                : NULL};
    char why[TLS_WHY];

    made->verifies = config.ca != NULL;
    if (config.cert != NULL && tls_new(&config, &made->tls, why) != 0) {
        log_error(LOG_CORE, "cannot use TLS as it is set", LOG_TXT("why", why));
        (void)certificates_close(made);
        return ERR_INVALID;
    }
    if (made->verifies && tls_is_node(made->tls, settings->id, why) != 0) {
        log_warn(LOG_CORE, "this certificate will not do for a cluster",
                 LOG_TXT("why", why));
    }
    if (made->tls != NULL) {
        warn_if_open(config.key);
        tell_read(made);
    }
    *ret_certificates = made;
    return 0;
}

static void join(struct certificates *certificates)
{
    if (certificates->reloads) {
        (void)pthread_join(certificates->reloading, NULL);
    }
    certificates->reloads = false;
}

struct certificates *certificates_close(struct certificates *certificates)
{
    if (certificates == NULL) {
        return NULL;
    }
    join(certificates);
    certificates->tls = tls_free(certificates->tls);
    return mem_free(certificates);
}

static void read_again(const struct certificates *certificates)
{
    char why[TLS_WHY];

    if (tls_reload(certificates->tls, why) == 0) {
        tell_read(certificates);
    } else {
        log_error(LOG_CORE,
                  "certificates cannot be read again: the old ones are kept",
                  LOG_TXT("why", why));
    }
}

/* Who asks meanwhile may have changed what was read already. */
static void *reload(void *user)
{
    struct certificates *certificates = user;
    unsigned n = 0;

    do {
        n = atomic_load(&certificates->n_asked);
        read_again(certificates);
    } while (!atomic_compare_exchange_strong(&certificates->n_asked, &n, 0));
    return NULL;
}

void certificates_reload(struct certificates *certificates)
{
    if (certificates->tls == NULL ||
        atomic_fetch_add(&certificates->n_asked, 1) != 0) {
        return;
    }
    join(certificates);
    certificates->reloads = pthread_create(&certificates->reloading, NULL,
                                           reload, certificates) == 0;
    if (!certificates->reloads) {
        atomic_store(&certificates->n_asked, 0);
        log_error(LOG_CORE, "certificates cannot be read again now");
    }
}

struct tls *certificates_of_http(const struct certificates *certificates)
{
    return certificates->tls;
}

struct tls *certificates_of_peers(const struct certificates *certificates)
{
    return certificates->verifies ? certificates->tls : NULL;
}
