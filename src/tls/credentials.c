#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "tls/inside.h"

/* Only memory can be missing. */
static void or_stop(int error)
{
    if (error < 0) {
        abort();
    }
}

struct credentials *credentials_ref(struct credentials *credentials)
{
    (void)atomic_fetch_add(&credentials->refs, 1);
    return credentials;
}

void credentials_unref(struct credentials *credentials)
{
    if (credentials != NULL && atomic_fetch_sub(&credentials->refs, 1) == 1) {
        gnutls_certificate_free_credentials(credentials->gnutls);
        gnutls_memset(credentials->ticket_key.data, 0,
                      credentials->ticket_key.size);
        gnutls_free(credentials->ticket_key.data);
        mem_free(credentials);
    }
}

static struct credentials *hollow(const struct tls_config *config)
{
    struct credentials *made = mem_zero(sizeof *made);

    atomic_init(&made->refs, 1);
    made->clients = config->clients;
    made->self_status = -1;
    or_stop(gnutls_certificate_allocate_credentials(&made->gnutls));
    or_stop(gnutls_session_ticket_key_generate(&made->ticket_key));
    return made;
}

/* ---- the CA ---- */

static int check_ca(const char *path, const struct chain *chain,
                    char why[TLS_WHY])
{
    unsigned critical = 0;

    for (unsigned i = 0; i < chain->n; i++) {
        if (gnutls_x509_crt_get_ca_status(chain->list[i], &critical) <= 0) {
            return file_wrong(path,
                              "a certificate in it is no CA: it may not sign "
                              "others",
                              why);
        }
    }
    return 0;
}

static int add_ca(struct credentials *made, const char *path, char why[TLS_WHY])
{
    struct chain chain = {.n = 0};

    int r = chain_read(path, &chain, why);
    if (r == 0) {
        r = check_ca(path, &chain, why);
    }
    if (r == 0) {
        or_stop(gnutls_certificate_set_x509_trust(made->gnutls, chain.list,
                                                  (int)chain.n));
        made->verifies = true;
    }
    certs_done(&chain);
    return r;
}

/* ---- our own ---- */

static int add_pair(struct credentials *made, const struct tls_config *config,
                    const struct chain *chain, char why[TLS_WHY])
{
    gnutls_x509_privkey_t key = NULL;

    int r = key_read(config->key, &key, why);
    if (r != 0) {
        return r;
    }
    int error = gnutls_certificate_set_x509_key(made->gnutls, chain->list,
                                                (int)chain->n, key);
    gnutls_x509_privkey_deinit(key);
    return error >= 0 ? 0
                      : file_wrong(config->key,
                                   error == GNUTLS_E_CERTIFICATE_KEY_MISMATCH
                                       ? "does not belong to the certificate"
                                       : gnutls_strerror(error),
                                   why);
}

static void note_self(struct credentials *made, const struct chain *chain)
{
    unsigned status = 0;

    made->expires_s =
        (uint64_t)gnutls_x509_crt_get_expiration_time(chain->list[0]);
    peer_names(chain->list[0], &made->self);
    if (made->verifies) {
        gnutls_x509_trust_list_t trusted = NULL;
        gnutls_certificate_get_trust_list(made->gnutls, &trusted);
        int error = gnutls_x509_trust_list_verify_crt(
            trusted, chain->list, chain->n, 0, &status, NULL);
        made->self_status = error < 0 ? GNUTLS_CERT_INVALID : (int)status;
        made->self.verified = made->self_status == 0;
    }
}

static int add_own(struct credentials *made, const struct tls_config *config,
                   char why[TLS_WHY])
{
    struct chain chain = {.n = 0};

    int r = chain_read(config->cert, &chain, why);
    if (r == 0) {
        r = add_pair(made, config, &chain, why);
    }
    if (r == 0) {
        note_self(made, &chain);
    }
    certs_done(&chain);
    return r;
}

int credentials_are_node(const struct credentials *own, const char *cert,
                         const char *node, char why[TLS_WHY])
{
    char what[TLS_WHY];

    if (own->self_status < 0) {
        return file_wrong(cert, "there is no CA to check it against", why);
    }
    if (own->self_status != 0) {
        peer_status_text((unsigned)own->self_status, what);
        return file_wrong(cert, what, why);
    }
    if (strcmp(own->self.node, node) != 0) {
        (void)snprintf(what, sizeof what,
                       "is no certificate of node %.63s: it has no URI "
                       "roster://node/%.63s",
                       node, node);
        return file_wrong(cert, what, why);
    }
    return 0;
}

int credentials_read(const struct tls_config *config,
                     struct credentials **ret_credentials, char why[TLS_WHY])
{
    struct credentials *made = hollow(config);
    int r = config->ca != NULL ? add_ca(made, config->ca, why) : 0;

    if (r == 0) {
        r = add_own(made, config, why);
    }
    if (r == 0 && config->node != NULL) {
        r = credentials_are_node(made, config->cert, config->node, why);
    }
    if (r != 0) {
        credentials_unref(made);
        return r;
    }
    *ret_credentials = made;
    return 0;
}
