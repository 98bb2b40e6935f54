#include "access/access_token.h"
#include "base/clock.h"
#include "base/err.h"

enum { SECRET_BYTES = 32, SECRET_AT = 4 + ULID_TEXT + 1, SECRET_TEXT = 43 };

static const char prefix[] = {'r', 's', 't', '_'};

/* RFC 4648 5. */
static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void write_base64url(const uint8_t *bytes, size_t n, char *ret_text)
{
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6) {
            *ret_text++ = alphabet[(bits >> (held - 6)) & 63];
        }
    }
    if (held > 0) {
        *ret_text = alphabet[(bits << (6 - held)) & 63];
    }
}

void access_token_make(struct ulid id, char ret_text[ACCESS_TOKEN_TEXT])
{
    uint8_t secret[SECRET_BYTES];

    chance_fill(secret, sizeof secret);
    memcpy(ret_text, prefix, sizeof prefix);
    ulid_format(id, ret_text + 4);
    ret_text[SECRET_AT - 1] = '_';
    write_base64url(secret, sizeof secret, ret_text + SECRET_AT);
    explicit_bzero(secret, sizeof secret);
}

int access_token_parse(struct str text, struct ulid *ret_id)
{
    if (text.n != ACCESS_TOKEN_TEXT ||
        memcmp(text.p, prefix, sizeof prefix) != 0 ||
        text.p[SECRET_AT - 1] != '_') {
        return ERR_INVALID;
    }
    for (size_t i = SECRET_AT; i < text.n; i++) {
        if (memchr(alphabet, text.p[i], sizeof alphabet - 1) == NULL) {
            return ERR_INVALID;
        }
    }
    return ulid_parse((struct str){text.p + 4, ULID_TEXT}, ret_id);
}

void access_token_hash(struct str text, uint8_t ret_hash[SHA256_BYTES])
{
    struct sha256 *hash = sha256_new();

    sha256_add(hash, text.p, text.n);
    (void)sha256_end(hash, ret_hash);
}

bool access_token_same(const uint8_t a[SHA256_BYTES],
                       const uint8_t b[SHA256_BYTES])
{
    volatile uint8_t differ = 0;

    for (size_t i = 0; i < SHA256_BYTES; i++) {
        differ = (uint8_t)(differ | (a[i] ^ b[i]));
    }
    return differ == 0;
}
