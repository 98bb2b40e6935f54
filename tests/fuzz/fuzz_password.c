/* Texts of password hashes (PHC strings) that come with a state file: whatever
 * stands in one, the library is asked to do no more than a server can spare,
 * and what is no hash is of no password. */
#include <argon2.h>
#include <stdlib.h>

#include "access/password.h"
#include "replay.h"

enum { MEMORY_MOST = 128 * 1024, PASSES_MOST = 16, CHEAP = 64 };

int __real_argon2id_verify(const char *encoded, const void *password, size_t n);
int __wrap_argon2id_verify(const char *encoded, const void *password, size_t n);

static unsigned long number(const char *encoded, const char *name)
{
    const char *at = strstr(encoded, name);

    REQUIRE(at != NULL);
    return strtoul(at + strlen(name), NULL, 10);
}

/* In the library's place: looks at what it is asked, and calculates only what
 * costs little. */
int __wrap_argon2id_verify(const char *encoded, const void *password, size_t n)
{
    REQUIRE(strlen(encoded) <= ACCESS_PASSWORD_HASH_MOST);
    REQUIRE(n <= ACCESS_PASSWORD_LONGEST);
    REQUIRE(strncmp(encoded, "$argon2id$v=19$m=", 17) == 0);
    unsigned long memory = number(encoded, "m=");
    unsigned long passes = number(encoded, ",t=");
    REQUIRE(memory <= MEMORY_MOST && passes <= PASSES_MOST);
    REQUIRE(number(encoded, ",p=") <= 4);
    return memory * passes > CHEAP
               ? ARGON2_VERIFY_MISMATCH
               : __real_argon2id_verify(encoded, password, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct str text = {(const char *)bytes, n};
    const char *line = n == 0 ? NULL : memchr(bytes, '\n', n);
    struct str password = STR("correct horse");

    if (line != NULL) {
        password = (struct str){text.p, (size_t)(line - text.p)};
        text = (struct str){line + 1, n - password.n - 1};
    }
    (void)access_password_fits(password);
    bool is_one = access_password_is(password, text);
    REQUIRE(!is_one || text.n > 0);
    REQUIRE(!access_password_is(password, STR_NONE));
    return 0;
}
