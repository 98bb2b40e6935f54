#include "access/password.h"

#include <argon2.h>
#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/utf8.h"

enum {
    MEMORY_KIB = 19 * 1024,
    PASSES = 2,
    LANES = 1,
    SALT_BYTES = 16,
    HASH_BYTES = 32,
    /* Of hashes that others made. */
    MEMORY_MOST_KIB = 128 * 1024,
    PASSES_MOST = 16,
    LANES_MOST = 4,
};

/* Of no password: 32 zero bytes are no argon2 output that anybody can find. */
#define NOBODY                                                                 \
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA"                    \
    "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

bool access_password_fits(struct str password)
{
    return password.n >= ACCESS_PASSWORD_SHORTEST &&
           password.n <= ACCESS_PASSWORD_LONGEST && utf8_is_valid(password);
}

int access_password_hash(struct str password, struct buf *out)
{
    uint8_t salt[SALT_BYTES];
    char text[ACCESS_PASSWORD_HASH_MOST];

    if (!access_password_fits(password)) {
        return ERR_INVALID;
    }
    chance_fill(salt, sizeof salt);
    int r =
        argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password.p, password.n,
                              salt, sizeof salt, HASH_BYTES, text, sizeof text);
    if (r == ARGON2_MEMORY_ALLOCATION_ERROR) {
        return err_raise(ERR_SYSTEM);
    }
    assert(r == ARGON2_OK);
    buf_add_text(out, text);
    return 0;
}

/* A hash that costs no more than what a server can spare. The library reads
 * the text anew, and strictly. */
static bool is_bearable(const char *hash)
{
    unsigned memory = 0, passes = 0, lanes = 0;

    /* NOLINTNEXTLINE(cert-err34-c): a number that overflows is not bearable */
    return sscanf(hash, "$argon2id$v=19$m=%9u,t=%9u,p=%9u$", &memory, &passes,
                  &lanes) == 3 &&
           memory <= MEMORY_MOST_KIB && passes <= PASSES_MOST &&
           lanes <= LANES_MOST;
}

bool access_password_is(struct str password, struct str hash)
{
    char text[ACCESS_PASSWORD_HASH_MOST + 1] = "";

    if (password.n > ACCESS_PASSWORD_LONGEST) {
        password.n = 0; /* it is nobody's, and takes as long */
    }
    bool is_one = hash.n > 0 && hash.n <= ACCESS_PASSWORD_HASH_MOST;
    if (is_one) {
        memcpy(text, hash.p, hash.n);
        text[hash.n] = '\0';
    }
    is_one = is_one && strlen(text) == hash.n && is_bearable(text);
    int r = argon2id_verify(is_one ? text : NOBODY, password.p, password.n);
    if (is_one && r != ARGON2_OK && r != ARGON2_VERIFY_MISMATCH) {
        /* It only looked like one: nothing was calculated yet. */
        (void)argon2id_verify(NOBODY, password.p, password.n);
    }
    return r == ARGON2_OK && is_one;
}
