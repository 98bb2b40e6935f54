/* SHA-256 (FIPS 180-4), by GnuTLS. Any thread, one hash each. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/own.h"

#define SHA256_BYTES 32

struct sha256; /* opaque */

struct sha256 *sha256_new(void) MUST_USE;
void sha256_add(struct sha256 *hash, const void *bytes, size_t n);
/* Writes the digest and frees; always NULL. ret_digest may be NULL. */
struct sha256 *sha256_end(struct sha256 *hash,
                          uint8_t ret_digest[SHA256_BYTES]);
/* Of all that there is, at once. */
void sha256_of(const void *bytes, size_t n, uint8_t ret_digest[SHA256_BYTES]);
/* HMAC-SHA-256 (RFC 2104): proof that who made it has the key. */
void sha256_hmac(const void *key, size_t n_key, const void *bytes, size_t n,
                 uint8_t ret_code[SHA256_BYTES]);

#endif
