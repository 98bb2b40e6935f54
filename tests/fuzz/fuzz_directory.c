/* Names of people that become a part of an LDAP name or filter: whatever stands
 * in one, it stays that one value, and says nothing else to a directory. */
#include <ldap.h>
#include <stdlib.h>

#include "access/directory.h"
#include "replay.h"

#define DN "uid={user},ou=people,dc=example,dc=org"
#define FILTER "(&(objectClass=groupOfNames)(|(member={dn})(memberUid={user})))"

static void check_dn(struct str user, const char *dn)
{
    LDAPDN parts = NULL;
    size_t n = 0;

    REQUIRE(ldap_str2dn(dn, &parts, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS);
    while (parts[n] != NULL) {
        REQUIRE(parts[n][1] == NULL);
        n++;
    }
    REQUIRE(n == 4);
    const struct berval *value = &parts[0][0]->la_value;
    REQUIRE(str_equal(user, (struct str){value->bv_val, value->bv_len}));
    ldap_dnfree(parts);
}

static bool is_special(char c)
{
    return c == '(' || c == ')' || c == '*' || c == '\0';
}

/* What stands where {user} stood, taken back. */
static void check_filter(struct str user, struct str filter)
{
    struct str head = STR("(memberUid="), tail = STR(")))");
    char *at = memmem(filter.p, filter.n, head.p, head.n);
    size_t n = 0;

    /* The name comes twice: the last one counts. */
    REQUIRE(at != NULL);
    struct str value = {at + head.n, 0};
    value.n = filter.n - (size_t)(value.p - filter.p) - tail.n;
    for (size_t i = 0; i < value.n; i++, n++) {
        char c = value.p[i];
        REQUIRE(!is_special(c));
        if (c == '\\') {
            REQUIRE(i + 2 < value.n);
            char hex[] = {value.p[i + 1], value.p[i + 2], '\0'};
            c = (char)strtoul(hex, NULL, 16);
            i += 2;
        }
        REQUIRE(n < user.n && user.p[n] == c);
    }
    REQUIRE(n == user.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct str user = {(const char *)bytes, n};
    struct buf dn = {0}, filter = {0};

    if (n > 0) {
        access_directory_dn(STR(DN), user, &dn);
        check_dn(user, buf_text(&dn));
        access_directory_filter(STR(FILTER), user, STR("uid=x"), &filter);
        check_filter(user, buf_str(&filter));
        buf_clear(&filter);
        access_directory_filter(STR(FILTER), STR("x"), buf_str(&dn), &filter);
        REQUIRE(filter.n == strlen(buf_text(&filter)));
    }
    buf_done(&dn);
    buf_done(&filter);
    return 0;
}
