#include "access/directory.h"

#include <ldap.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>

#include "access/directory_wait.h"
#include "base/err.h"
#include "base/log.h"

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
#define USUAL_GROUPS                                                           \
    "(|(&(objectClass=groupOfNames)(member={dn}))"                             \
    "(&(objectClass=groupOfUniqueNames)(uniqueMember={dn}))"                   \
    "(&(objectClass=posixGroup)(memberUid={user})))"

enum { NAME_MOST = 63 };

struct access_directory {
    char *urls[ACCESS_DIRECTORY_URLS];
    size_t n;
    atomic_size_t last; /* that answered */
    bool starttls;
    char *ca;
    char *dn;
    char *group_base;
    char *group_filter;
};

/* ---- the library ---- */

static void *wiped_alloc(ber_len_t size, void *context)
{
    (void)context;
    return malloc(size);
}

static void *wiped_zero(ber_len_t n, ber_len_t size, void *context)
{
    (void)context;
    return calloc(n, size);
}

static void wiped_free(void *p, void *context)
{
    (void)context;
    if (p != NULL) {
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
    }
}

static void *wiped_grow(void *p, ber_len_t size, void *context)
{
    size_t had = p == NULL ? 0 : malloc_usable_size(p);
    void *grown = malloc(size);

    if (grown != NULL && had > 0) {
        memcpy(grown, p, had < size ? had : size);
        wiped_free(p, context);
    }
    return grown;
}

/* Before its first use. A bind is encoded into memory of the library's, which
 * it frees as it is. */
static void prepare(void)
{
    static BerMemoryFunctions functions = {
        .bmf_malloc = wiped_alloc,
        .bmf_calloc = wiped_zero,
        .bmf_realloc = wiped_grow,
        .bmf_free = wiped_free,
    };

    if (ber_set_option(NULL, LBER_OPT_MEMORY_FNS, &functions) !=
        LBER_OPT_SUCCESS) {
        log_warn(LOG_ACCESS, "the LDAP library was in use already: what it "
                             "frees is not overwritten");
    }
    /* Neither ldap.conf nor LDAPTLS_REQCERT decides what is verified. */
    (void)setenv("LDAPNOINIT", "1", 1);
}

/* ---- settings ---- */

static bool is_url(const char *url)
{
    LDAPURLDesc *parts = NULL;

    if (ldap_url_parse(url, &parts) != LDAP_URL_SUCCESS) {
        return false;
    }
    bool good = parts->lud_host != NULL && parts->lud_host[0] != '\0' &&
                (parts->lud_dn == NULL || parts->lud_dn[0] == '\0') &&
                (strcmp(parts->lud_scheme, "ldap") == 0 ||
                 strcmp(parts->lud_scheme, "ldaps") == 0);
    ldap_free_urldesc(parts);
    return good;
}

static bool read_urls(struct access_directory *directory, const char *urls)
{
    struct buf one = {0};
    bool good = true;

    for (const char *at = urls; good && *at != '\0';) {
        size_t n = strcspn(at, " ,");
        if (n > 0) {
            buf_clear(&one);
            buf_add(&one, at, n);
            good =
                directory->n < ACCESS_DIRECTORY_URLS && is_url(buf_text(&one));
        }
        if (n > 0 && good) {
            directory->urls[directory->n++] = mem_text(one.p);
        }
        at += n + (at[n] != '\0' ? 1 : 0);
    }
    buf_done(&one);
    return good && directory->n > 0;
}

static bool is_dn(const char *template)
{
    struct buf made = {0};
    LDAPDN parts = NULL;

    access_directory_dn(str_of(template), STR("x"), &made);
    bool good = ldap_str2dn(buf_text(&made), &parts, LDAP_DN_FORMAT_LDAPV3) ==
                    LDAP_SUCCESS &&
                parts != NULL;
    ldap_dnfree(parts);
    buf_done(&made);
    return good && strstr(template, "{user}") != NULL;
}

static bool is_base(const char *base)
{
    LDAPDN parts = NULL;

    bool good =
        ldap_str2dn(base, &parts, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS &&
        parts != NULL;
    ldap_dnfree(parts);
    return good;
}

static bool refuse(const char *option, const char *why, const char **ret_option,
                   const char **ret_why)
{
    *ret_option = option;
    *ret_why = why;
    return false;
}

static bool check(struct access_directory *directory,
                  const struct access_directory_config *config,
                  const char **option, const char **why)
{
    if (!read_urls(directory, config->urls)) {
        return refuse("url",
                      "is no list of up to 8 addresses as ldaps://HOST[:PORT] "
                      "or ldap://HOST[:PORT]",
                      option, why);
    }
    if (config->dn == NULL || !is_dn(config->dn)) {
        return refuse("dn",
                      "is no name with {user} in it, as "
                      "uid={user},ou=people,dc=example,dc=org",
                      option, why);
    }
    if (config->group_base != NULL && !is_base(config->group_base)) {
        return refuse("group-base",
                      "is no name, as ou=groups,dc=example,dc=org", option,
                      why);
    }
    return true;
}

static char *copy(const char *text)
{
    return text == NULL ? NULL : mem_text(text);
}

int access_directory_new(const struct access_directory_config *config,
                         struct access_directory **ret_directory,
                         const char **ret_option, const char **ret_why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct access_directory *directory = mem_zero(sizeof *directory);

    (void)pthread_once(&once, prepare);
    if (!check(directory, config, ret_option, ret_why)) {
        (void)access_directory_free(directory);
        return ERR_INVALID;
    }
    directory->starttls = config->starttls;
    directory->ca = mem_text(config->ca == NULL ? SYSTEM_CA : config->ca);
    directory->dn = mem_text(config->dn);
    directory->group_base = copy(config->group_base);
    directory->group_filter = mem_text(
        config->group_filter == NULL ? USUAL_GROUPS : config->group_filter);
    *ret_directory = directory;
    return 0;
}

struct access_directory *
access_directory_free(struct access_directory *directory)
{
    if (directory == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < directory->n; i++) {
        (void)mem_free(directory->urls[i]);
    }
    (void)mem_free(directory->ca);
    (void)mem_free(directory->dn);
    (void)mem_free(directory->group_base);
    (void)mem_free(directory->group_filter);
    return mem_free(directory);
}

static bool is_here(const char *url)
{
    LDAPURLDesc *parts = NULL;

    if (ldap_url_parse(url, &parts) != LDAP_URL_SUCCESS) {
        return false;
    }
    const char *host = parts->lud_host;
    bool here = strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
                (strncmp(host, "127.", 4) == 0 &&
                 host[strspn(host, "0123456789.")] == 0);
    ldap_free_urldesc(parts);
    return here;
}

static bool is_secured(const struct access_directory *directory,
                       const char *url)
{
    return directory->starttls || strncmp(url, "ldaps:", 6) == 0;
}

bool access_directory_is_open(const struct access_directory *directory)
{
    for (size_t i = 0; i < directory->n; i++) {
        if (!is_secured(directory, directory->urls[i]) &&
            !is_here(directory->urls[i])) {
            return true;
        }
    }
    return false;
}

/* ---- one server ---- */

static struct timeval patience(void)
{
    return (struct timeval){.tv_sec = ACCESS_DIRECTORY_MS / 1000};
}

static int set_options(const struct access_directory *directory, LDAP *ld)
{
    int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND;
    int tls = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;
    struct timeval most = patience();
    int r = 0;

    r |= ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
    r |= ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    r |= ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &most);
    r |= ldap_set_option(ld, LDAP_OPT_TIMEOUT, &most);
    r |= ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
    r |= ldap_set_option(ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &tls);
    r |= ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, directory->ca);
    r |= ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client);
    return r == LDAP_OPT_SUCCESS ? LDAP_SUCCESS : LDAP_LOCAL_ERROR;
}

/* Nothing is sent yet, except to start TLS. */
static int dial(const struct access_directory *directory, const char *url,
                struct directory_wait *wait, LDAP **ret_ld)
{
    int r = ldap_initialize(ret_ld, url);

    if (r == LDAP_SUCCESS) {
        r = set_options(directory, *ret_ld);
    }
    if (r == LDAP_SUCCESS) {
        r = directory_wait_put(wait, *ret_ld, ACCESS_DIRECTORY_MS);
    }
    if (r == LDAP_SUCCESS && directory->starttls &&
        strncmp(url, "ldaps:", 6) != 0) {
        r = ldap_start_tls_s(*ret_ld, NULL, NULL);
    }
    return r;
}

static int bind_as(LDAP *ld, const char *dn, struct str password)
{
    struct berval shown = {.bv_len = password.n,
                           .bv_val = (char *)(uintptr_t)password.p};
    struct timeval most = patience();
    LDAPMessage *message = NULL;
    int id = 0, said = LDAP_OTHER;

    int r = ldap_sasl_bind(ld, dn, LDAP_SASL_SIMPLE, &shown, NULL, NULL, &id);
    if (r != LDAP_SUCCESS) {
        return r;
    }
    r = ldap_result(ld, id, LDAP_MSG_ALL, &most, &message);
    if (r != LDAP_RES_BIND) {
        (void)ldap_msgfree(message);
        return r == 0 ? LDAP_TIMEOUT : LDAP_SERVER_DOWN;
    }
    r = ldap_parse_result(ld, message, &said, NULL, NULL, NULL, NULL, 1);
    return r == LDAP_SUCCESS ? said : r;
}

static void add_names(LDAP *ld, LDAPMessage *entry, struct buf *groups)
{
    struct berval **names = ldap_get_values_len(ld, entry, "cn");

    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        if (names[i]->bv_len > 0 && names[i]->bv_len <= NAME_MOST) {
            buf_add_char(groups, (char)names[i]->bv_len);
            buf_add(groups, names[i]->bv_val, names[i]->bv_len);
        }
    }
    ldap_value_free_len(names);
}

static int look_up(const struct access_directory *directory, LDAP *ld,
                   struct str user, struct str dn, struct buf *groups)
{
    char cn[] = "cn";
    char *wanted[] = {cn, NULL};
    struct timeval most = patience();
    struct buf filter = {0};
    LDAPMessage *found = NULL;

    access_directory_filter(str_of(directory->group_filter), user, dn, &filter);
    int r = ldap_search_ext_s(ld, directory->group_base, LDAP_SCOPE_SUBTREE,
                              buf_text(&filter), wanted, 0, NULL, NULL, &most,
                              ACCESS_DIRECTORY_GROUPS, &found);
    buf_done(&filter);
    if (r == LDAP_SUCCESS || r == LDAP_SIZELIMIT_EXCEEDED) {
        for (LDAPMessage *at = ldap_first_entry(ld, found); at != NULL;
             at = ldap_next_entry(ld, at)) {
            add_names(ld, at, groups);
        }
        r = LDAP_SUCCESS;
    }
    (void)ldap_msgfree(found);
    return r;
}

/* What a server says about him, not about itself. */
static bool is_no(int said)
{
    switch (said) {
    case LDAP_INVALID_CREDENTIALS:
    case LDAP_NO_SUCH_OBJECT:
    case LDAP_INAPPROPRIATE_AUTH:
    case LDAP_INVALID_DN_SYNTAX:
    case LDAP_CONSTRAINT_VIOLATION: /* locked */
    case LDAP_INSUFFICIENT_ACCESS:
    case LDAP_UNWILLING_TO_PERFORM:
        return true;
    default:
        return false;
    }
}

static int outcome(const char *url, LDAP *ld, int said)
{
    char *more = NULL;

    if (said == LDAP_SUCCESS || is_no(said)) {
        return said == LDAP_SUCCESS ? 0 : ERR_FORBIDDEN;
    }
    if (ld != NULL) {
        (void)ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
    }
    log_warn(LOG_ACCESS, "a directory server could not be asked",
             LOG_TXT("url", url), LOG_TXT("why", ldap_err2string(said)),
             LOG_TXT("more", more == NULL ? "" : more));
    ldap_memfree(more);
    return ERR_NOT_READY;
}

static int ask_one(const struct access_directory *directory, const char *url,
                   struct str user, struct str password, struct buf *groups)
{
    LDAP *ld = NULL;
    struct directory_wait wait;
    struct buf dn = {0};
    size_t n_before = groups->n;

    access_directory_dn(str_of(directory->dn), user, &dn);
    int said = dial(directory, url, &wait, &ld);
    if (said == LDAP_SUCCESS) {
        said = bind_as(ld, buf_text(&dn), password);
    }
    int r = outcome(url, ld, said);
    if (r == 0 && directory->group_base != NULL) {
        said = look_up(directory, ld, user, buf_str(&dn), groups);
        /* Signed in without his groups he would silently be less. */
        r = outcome(url, ld, said) == 0 ? 0 : ERR_NOT_READY;
    }
    if (r != 0) {
        groups->n = n_before;
    }
    if (ld != NULL) {
        (void)ldap_unbind_ext_s(ld, NULL, NULL);
    }
    buf_done(&dn);
    return r;
}

int access_directory_ask(struct access_directory *directory, struct str user,
                         struct str password, struct buf *groups)
{
    size_t first = atomic_load(&directory->last);
    int r = ERR_NOT_READY;

    if (user.n == 0 || password.n == 0) {
        return ERR_FORBIDDEN;
    }
    for (size_t i = 0; r == ERR_NOT_READY && i < directory->n; i++) {
        size_t at = (first + i) % directory->n;
        r = ask_one(directory, directory->urls[at], user, password, groups);
        if (r != ERR_NOT_READY) {
            atomic_store(&directory->last, at);
        }
    }
    return r;
}
