#include <stdio.h>

#include "base/err.h"
#include "tls/inside.h"

#define NODE_URI "roster://node/"

/* A name goes into logs, and is compared as a C string. */
static bool is_name(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return n > 0 && n < TLS_NAME;
}

/* Two names would be no name: which one is meant? */
static void get_cn(gnutls_x509_crt_t crt, char ret_name[TLS_NAME])
{
    char text[TLS_NAME];
    size_t n = sizeof text;

    int error = gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME,
                                              0, 0, text, &n);
    if (error == 0 && is_name(text, n)) {
        (void)memcpy(ret_name, text, n);
        ret_name[n] = '\0';
    }
    n = sizeof text;
    error = gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 1,
                                          0, text, &n);
    if (error != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
        ret_name[0] = '\0';
    }
}

static bool get_node(const char *uri, size_t n, char ret_node[TLS_NAME])
{
    const size_t skip = sizeof NODE_URI - 1;

    if (n <= skip || memcmp(uri, NODE_URI, skip) != 0 ||
        !is_name(uri + skip, n - skip)) {
        return false;
    }
    (void)memcpy(ret_node, uri + skip, n - skip);
    ret_node[n - skip] = '\0';
    return true;
}

static void find_node(gnutls_x509_crt_t crt, char ret_node[TLS_NAME])
{
    unsigned n_nodes = 0;

    for (unsigned i = 0;; i++) {
        char text[TLS_NAME + sizeof NODE_URI];
        size_t n = sizeof text;
        int kind = gnutls_x509_crt_get_subject_alt_name(crt, i, text, &n, NULL);
        if (kind == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
            break;
        }
        n_nodes += kind == GNUTLS_SAN_URI && get_node(text, n, ret_node);
    }
    if (n_nodes != 1) {
        ret_node[0] = '\0';
    }
}

void peer_names(gnutls_x509_crt_t crt, struct tls_peer *ret_peer)
{
    *ret_peer = (struct tls_peer){.verified = false};
    get_cn(crt, ret_peer->name);
    find_node(crt, ret_peer->node);
}

/* ---- what is wrong ---- */

void peer_status_text(unsigned status, char why[TLS_WHY])
{
    static const struct {
        unsigned bit;
        const char *text;
    } reasons[] = {
        {GNUTLS_CERT_EXPIRED, "the certificate has expired"},
        {GNUTLS_CERT_NOT_ACTIVATED, "the certificate is not valid yet"},
        {GNUTLS_CERT_REVOKED, "the certificate was revoked"},
        {GNUTLS_CERT_PURPOSE_MISMATCH,
         "the certificate is not made for this use (its extended key usage)"},
        {GNUTLS_CERT_SIGNER_NOT_FOUND,
         "the certificate is not from the CA that is trusted here"},
        {GNUTLS_CERT_SIGNER_NOT_CA,
         "the certificate was signed by one that is no CA"},
        {GNUTLS_CERT_INSECURE_ALGORITHM,
         "the certificate is signed in a way that is not safe"},
    };

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if ((status & reasons[i].bit) != 0) {
            (void)snprintf(why, TLS_WHY, "%s", reasons[i].text);
            return;
        }
    }
    (void)snprintf(why, TLS_WHY, "the certificate is not good");
}

static int forbidden(const char *what, char why[TLS_WHY])
{
    (void)snprintf(why, TLS_WHY, "%s", what);
    return ERR_FORBIDDEN;
}

static int leaf(gnutls_session_t session, gnutls_x509_crt_t *ret_crt)
{
    gnutls_x509_crt_t crt = NULL;
    unsigned n = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &n);

    if (list == NULL || n == 0) {
        return ERR_NOT_FOUND;
    }
    if (gnutls_x509_crt_init(&crt) < 0 ||
        gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER) < 0) {
        gnutls_x509_crt_deinit(crt);
        return ERR_FORBIDDEN;
    }
    *ret_crt = crt;
    return 0;
}

int peer_check(gnutls_session_t session, bool is_client,
               struct tls_peer *ret_peer, char why[TLS_WHY])
{
    const char *purpose =
        is_client ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
    gnutls_typed_vdata_st data = {.type = GNUTLS_DT_KEY_PURPOSE_OID};
    gnutls_x509_crt_t crt = NULL;
    unsigned status = 0;

    data.data = (unsigned char *)(uintptr_t)purpose;
    *ret_peer = (struct tls_peer){.verified = false};
    if (gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS) !=
        GNUTLS_CRT_X509) {
        return forbidden("it showed no certificate", why);
    }
    int r = leaf(session, &crt);
    if (r != 0) {
        (void)snprintf(why, TLS_WHY, "%s",
                       r == ERR_NOT_FOUND ? "it showed no certificate"
                                          : "its certificate is broken");
        return r;
    }
    if (gnutls_certificate_verify_peers(session, &data, 1, &status) < 0) {
        r = forbidden("its certificate cannot be checked", why);
    } else if (status != 0) {
        peer_status_text(status, why);
        r = ERR_FORBIDDEN;
    } else {
        peer_names(crt, ret_peer);
        ret_peer->verified = true;
    }
    gnutls_x509_crt_deinit(crt);
    return r;
}
