#include <stdio.h>

#include "base/err.h"
#include "tls/inside.h"

/* Both ends are of this program. */
static const char PRIORITIES[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"
    "+CHACHA20-POLY1305";

/* Only what encrypts and authenticates in one, with keys nobody can find out
 * afterwards; both sides' processors do AES. */
static const char HTTP_PRIORITIES[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:"
    "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD";

static void forget(struct tls *tls)
{
    gnutls_priority_deinit(tls->priorities);
    gnutls_priority_deinit(tls->http_priorities);
}

static int read_priorities(struct tls *tls, char why[TLS_WHY])
{
    if (gnutls_priority_init(&tls->priorities, PRIORITIES, NULL) == 0 &&
        gnutls_priority_init(&tls->http_priorities, HTTP_PRIORITIES, NULL) ==
            0) {
        return 0;
    }
    (void)snprintf(why, TLS_WHY,
                   "the system-wide settings of GnuTLS allow no TLS 1.3");
    return ERR_INVALID;
}

static char *copy(const char *text)
{
    return text != NULL ? mem_text(text) : NULL;
}

struct tls *tls_free(struct tls *tls)
{
    if (tls == NULL) {
        return NULL;
    }
    tls->urgent = carrier_free(tls->urgent);
    tls->bulk = carrier_free(tls->bulk);
    credentials_unref(tls->credentials);
    forget(tls);
    (void)pthread_mutex_destroy(&tls->lock);
    mem_free((char *)tls->config.cert);
    mem_free((char *)tls->config.key);
    mem_free((char *)tls->config.ca);
    mem_free((char *)tls->config.node);
    return mem_free(tls);
}

int tls_new(const struct tls_config *config, struct tls **ret_tls,
            char why[TLS_WHY])
{
    struct tls *tls = mem_zero(sizeof *tls);

    int r = read_priorities(tls, why);
    if (r == 0) {
        r = credentials_read(config, &tls->credentials, why);
    }
    if (r != 0) {
        forget(tls);
        (void)mem_free(tls);
        return r;
    }
    (void)pthread_mutex_init(&tls->lock, NULL);
    tls->config = (struct tls_config){.cert = copy(config->cert),
                                      .key = copy(config->key),
                                      .ca = copy(config->ca),
                                      .node = copy(config->node),
                                      .clients = config->clients};
    tls->urgent = carrier_new(false);
    tls->bulk = carrier_new(true);
    *ret_tls = tls;
    return 0;
}

int tls_reload(struct tls *tls, char why[TLS_WHY])
{
    struct credentials *credentials = NULL;

    int r = credentials_read(&tls->config, &credentials, why);
    if (r == 0) {
        (void)pthread_mutex_lock(&tls->lock);
        struct credentials *old = tls->credentials;
        tls->credentials = credentials;
        (void)pthread_mutex_unlock(&tls->lock);
        credentials_unref(old);
    }
    return r;
}

struct credentials *tls_credentials(struct tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    struct credentials *credentials = credentials_ref(tls->credentials);
    (void)pthread_mutex_unlock(&tls->lock);
    return credentials;
}

uint64_t tls_expires_s(struct tls *tls)
{
    struct credentials *credentials = tls_credentials(tls);
    uint64_t expires_s = credentials->expires_s;

    credentials_unref(credentials);
    return expires_s;
}

int tls_is_node(struct tls *tls, const char *node, char why[TLS_WHY])
{
    struct credentials *own = tls_credentials(tls);
    int r = credentials_are_node(own, tls->config.cert, node, why);

    credentials_unref(own);
    return r;
}
