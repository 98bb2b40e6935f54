#include "base/sha256.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>

struct sha256 {
    gnutls_hash_hd_t handle;
};

static void or_stop(int r)
{
    if (r < 0) {
        abort(); /* Only memory can be missing: SHA-256 is always built in. */
    }
}

struct sha256 *sha256_new(void)
{
    struct sha256 *hash = malloc(sizeof *hash);
    if (hash == NULL) {
        abort();
    }
    or_stop(gnutls_hash_init(&hash->handle, GNUTLS_DIG_SHA256));
    return hash;
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t n)
{
    if (n > 0) {
        or_stop(gnutls_hash(hash->handle, bytes, n));
    }
}

struct sha256 *sha256_end(struct sha256 *hash, uint8_t ret_digest[SHA256_BYTES])
{
    gnutls_hash_deinit(hash->handle, ret_digest);
    free(hash);
    return NULL;
}

void sha256_of(const void *bytes, size_t n, uint8_t ret_digest[SHA256_BYTES])
{
    or_stop(gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, n, ret_digest));
}

void sha256_hmac(const void *key, size_t n_key, const void *bytes, size_t n,
                 uint8_t ret_code[SHA256_BYTES])
{
    or_stop(
        gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, n_key, bytes, n, ret_code));
}
