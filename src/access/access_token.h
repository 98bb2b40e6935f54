/* The text of a token: "rst_", its id (a ULID, public), "_", and 32 bytes of
 * chance as 43 characters of base64url. Whoever has the text is let in: only
 * its SHA-256 is kept [ACCESS-1]. Any thread. */
#ifndef ACCESS_ACCESS_TOKEN_H
#define ACCESS_ACCESS_TOKEN_H

#include "base/mem.h"
#include "base/sha256.h"
#include "model/ulid.h"

#define ACCESS_TOKEN_TEXT 74 /* characters, without a NUL */

/* A new one each time. */
void access_token_make(struct ulid id, char ret_text[ACCESS_TOKEN_TEXT]);
/* Only the form is looked at: 0 or INVALID. */
int access_token_parse(struct str text, struct ulid *ret_id) MUST_USE;
void access_token_hash(struct str text, uint8_t ret_hash[SHA256_BYTES]);
/* In a time that says nothing of where they differ. */
bool access_token_same(const uint8_t a[SHA256_BYTES],
                       const uint8_t b[SHA256_BYTES]) MUST_USE;

#endif
