/* Texts of ids: what is taken is one number, and one text stands for it. */
#include <ctype.h>

#include "access/access_token.h"
#include "base/err.h"
#include "model/ulid.h"
#include "replay.h"

static void check_id(struct str text)
{
    char again[ULID_TEXT];
    struct ulid id, back;

    int r = ulid_parse(text, &id);
    REQUIRE(r == 0 || r == ERR_INVALID);
    REQUIRE((r == 0) == ulid_shaped(text));
    if (r == 0) {
        REQUIRE(text.n == ULID_TEXT);
        ulid_format(id, again);
        for (size_t i = 0; i < ULID_TEXT; i++) {
            REQUIRE(toupper((unsigned char)text.p[i]) == again[i]);
        }
        REQUIRE(ulid_parse((struct str){again, ULID_TEXT}, &back) == 0);
        REQUIRE(ulid_compare(id, back) == 0);
    }
}

static void check_token(struct str text)
{
    struct str id_text = {text.p + 4, ULID_TEXT};
    uint8_t hash[SHA256_BYTES], other[SHA256_BYTES];
    struct ulid id, named;

    if (access_token_parse(text, &id) == 0) {
        REQUIRE(text.n == ACCESS_TOKEN_TEXT);
        REQUIRE(ulid_parse(id_text, &named) == 0);
        REQUIRE(ulid_compare(id, named) == 0);
        access_token_hash(text, hash);
        access_token_hash(id_text, other);
        REQUIRE(access_token_same(hash, hash));
        REQUIRE(!access_token_same(hash, other));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    /* A copy that ends where it ends. */
    char *copy = mem_dup(bytes, n);

    check_id((struct str){copy, n});
    check_token((struct str){copy, n});
    (void)mem_free(copy);
    return 0;
}
