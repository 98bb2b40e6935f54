/* Whether settings make sense together, and what they mean. */
#include "rosterd/check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/address.h"
#include "base/err.h"
#include "model/name.h"
#include "raft/list.h"
#include "rest/rest.h"
#include "rosterd/ldap.h"

enum { ID_MOST = 63 };

static bool refuse(const char *option, const char *value, const char *why)
{
    (void)fprintf(stderr, "rosterd: --%s: '%s' %s\n", option, value, why);
    return false;
}

/* It stands in headers, in files and in the cluster's own list. */
static bool check_id(const char *id)
{
    struct str text = str_of(id);

    if (text.n > ID_MOST || !name_is_host(text)) {
        return refuse("id", id,
                      "may have 1 to 63 letters, digits, '.', '-' and '_'");
    }
    return true;
}

static bool check_format(struct settings *s)
{
    static const char *const names[] = {
        [LOG_AUTO] = "auto", [LOG_TEXT] = "text", [LOG_JSON] = "json"};

    for (int i = LOG_AUTO; i <= LOG_JSON; i++) {
        if (str_is(str_of(s->log_format), names[i])) {
            s->format = (enum log_format)i;
            return true;
        }
    }
    return refuse("log-format", s->log_format, "must be auto, text or json");
}

bool check_level(struct settings *s)
{
    return log_level_parse(str_of(s->log_level), &s->level) == 0 ||
           refuse("log-level", s->log_level,
                  "must be debug, info, warn or error");
}

/* False after a complaint. */
static bool is_loopback(const char *option, const char *address,
                        bool *ret_loopback)
{
    const char *why = NULL;

    return rest_address_is_loopback(address, ret_loopback, &why) == 0 ||
           refuse(option, address, why);
}

/* Whom others can reach looks at who asks. */
static bool check_http(struct settings *s)
{
    bool loopback = false;

    if (!is_loopback("http", s->http, &loopback)) {
        return false;
    }
    s->reached = !loopback;
    s->access = s->access || (s->reached && !s->insecure);
    return !s->access || !s->insecure ||
           refuse("access", "true",
                  "goes against --insecure, which says that all may do all: "
                  "leave one of them out");
}

/* Who speaks to it in the name of a node may change everything. */
static bool check_raft(struct settings *s)
{
    bool loopback = false;

    if (!is_loopback("raft", s->raft, &loopback)) {
        return false;
    }
    s->clustered = !loopback || s->cluster != NULL || s->join != NULL;
    s->access = s->access || (!loopback && !s->insecure);
    return loopback || s->tls_ca != NULL || s->insecure ||
           refuse("raft", s->raft,
                  "can be reached from other machines and is not encrypted: "
                  "give --tls-cert, --tls-key and --tls-ca, or listen on "
                  "127.0.0.1, or allow it with --insecure");
}

static bool check_clients(struct settings *s)
{
    static const char *const names[] = {[TLS_CLIENTS_NONE] = "none",
                                        [TLS_CLIENTS_OPTIONAL] = "optional",
                                        [TLS_CLIENTS_REQUIRED] = "required"};
    const char *wish = s->tls_clients;

    s->clients = s->tls_ca == NULL ? TLS_CLIENTS_NONE : TLS_CLIENTS_OPTIONAL;
    if (wish == NULL) {
        return true;
    }
    for (int i = TLS_CLIENTS_NONE; i <= TLS_CLIENTS_REQUIRED; i++) {
        if (str_is(str_of(wish), names[i])) {
            s->clients = (enum tls_clients)i;
            return s->clients == TLS_CLIENTS_NONE || s->tls_ca != NULL ||
                   refuse("tls-clients", wish,
                          "needs --tls-ca, the CA that their certificates are "
                          "from");
        }
    }
    return refuse("tls-clients", wish, "must be none, optional or required");
}

static bool check_tls(struct settings *s)
{
    const char *given = s->tls_cert != NULL  ? "tls-cert"
                        : s->tls_key != NULL ? "tls-key"
                                             : "tls-ca";
    const char *value = s->tls_cert != NULL  ? s->tls_cert
                        : s->tls_key != NULL ? s->tls_key
                                             : s->tls_ca;

    if (value != NULL && (s->tls_cert == NULL || s->tls_key == NULL)) {
        return refuse(given, value,
                      "is not enough: TLS needs --tls-cert and --tls-key");
    }
    if (!check_clients(s)) {
        return false;
    }
    return s->tls_cert == NULL || s->tls_ca != NULL || !s->clustered ||
           refuse("tls-cert", s->tls_cert,
                  "is not enough: with other nodes TLS needs --tls-ca too, "
                  "the CA that their certificates are from");
}

/* ---- the cluster ---- */

/* This node's entry in --cluster; *ret_address is NULL when it is not given. */
static bool check_list(const struct settings *s, struct list *list,
                       const char **ret_address)
{
    const struct list_entry *own = NULL;
    char why[LIST_WHY];

    *ret_address = NULL;
    if (s->cluster == NULL) {
        return true;
    }
    if (list_parse(s->cluster, list, why) != 0) {
        return refuse("cluster", s->cluster, why);
    }
    own = list_find(list, s->id);
    if (own == NULL) {
        return refuse("cluster", s->cluster, "does not name this --id");
    }
    *ret_address = own->raft;
    return true;
}

/* Listened on, but no address that anybody could connect to. */
static bool is_all(const char *address)
{
    char host[ADDRESS_HOST];
    char port[16];

    return address_split(address, host, port) == 0 &&
           (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 ||
            strcmp(host, "::") == 0);
}

/* HOST of one, PORT of the other; gives. */
static char *mixed(const char *host_of, const char *port_of)
{
    struct buf text = {0};
    const char *end = strrchr(host_of, ':');

    buf_add(&text, host_of, (size_t)(end - host_of));
    buf_add_text(&text, strrchr(port_of, ':'));
    return buf_text(&text);
}

static bool check_told(const char *option, const char *address)
{
    return address == NULL || (list_is_address(address) && !is_all(address)) ||
           refuse(option, address,
                  "is no HOST:PORT that others could connect to");
}

/* Where others reach this node. */
static bool check_places(struct settings *s)
{
    struct list list = {.n = 0};
    const char *entry = NULL;

    if (!check_list(s, &list, &entry)) {
        return false;
    }
    if (s->raft == NULL) {
        s->raft = mem_text(entry != NULL ? entry : DEFAULT_RAFT);
    }
    if (!check_http(s) || !check_raft(s) || !check_tls(s) ||
        !check_told("advertise", s->advertise) ||
        !check_told("advertise-raft", s->advertise_raft)) {
        return false;
    }
    if (s->advertise_raft == NULL) {
        s->advertise_raft = entry != NULL ? mem_text(entry)
                            : s->advertise != NULL
                                ? mixed(s->advertise, s->raft)
                                : mem_text(s->raft);
    }
    if (is_all(s->advertise_raft)) {
        return refuse("raft", s->raft,
                      "listens everywhere: say with --advertise-raft where the "
                      "others reach it");
    }
    bool clustered = s->cluster != NULL || s->join != NULL;
    if (clustered && s->advertise == NULL && is_all(s->http)) {
        return refuse("http", s->http,
                      "listens everywhere: say with --advertise where the "
                      "others reach it");
    }
    return true;
}

static bool check_join(const struct settings *s)
{
    return s->join == NULL || strncmp(s->join, "http://", 7) == 0 ||
           strncmp(s->join, "https://", 8) == 0 ||
           refuse("join", s->join,
                  "is no URL: it is that of a node's --http, as "
                  "http://HOST:PORT");
}

static bool check_voters(const struct settings *s)
{
    char number[32];

    (void)snprintf(number, sizeof number, "%llu",
                   (unsigned long long)s->voters);
    return s->voters % 2 == 1 ||
           refuse("voters", number,
                  "is even: it needs as many for a majority as one more, and "
                  "survives no more");
}

static bool check_allow(struct settings *s)
{
    const char *why = NULL;

    return allow_read(s->webhook_allow, &s->allow, &why) == 0 ||
           refuse("webhook-allow", s->webhook_allow, why);
}

/* "off" is a word, and any path with a slash a directory. */
static bool check_audit(struct settings *s)
{
    if (s->audit == NULL && s->access) {
        struct buf dir = {0};
        buf_printf(&dir, "%s/audit", s->data_dir);
        s->audit = mem_text(buf_text(&dir));
        buf_done(&dir);
    } else if (s->audit != NULL && strcmp(s->audit, "off") == 0) {
        s->audit = mem_free(s->audit);
    }
    return !s->audit_required || s->audit != NULL ||
           refuse("audit-required", "true",
                  "needs an audit: say with --audit where it is written");
}

static bool check_ldap(const struct settings *s)
{
    struct access_directory *directory = NULL;
    bool good = ldap_open(s, &directory);

    directory = access_directory_free(directory);
    return good;
}

static uint64_t default_threads(void)
{
    /* Half of the processors: the other half is the core's and the workers',
     * and on few processors a second thread only fights the clients for them.
     */
    long n = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    return n < 1 ? 1 : n > 16 ? 16 : (uint64_t)n;
}

bool check_settings(struct settings *s)
{
    if (s->io_threads == 0) {
        s->io_threads = default_threads();
    }
    if (!name_is_path(str_of(s->domain))) {
        return refuse("domain", s->domain, "is no DNS name in lower case");
    }
    return check_level(s) && check_id(s->id) && check_format(s) &&
           check_voters(s) && check_join(s) && check_allow(s) &&
           check_ldap(s) && check_places(s) && check_audit(s);
}
