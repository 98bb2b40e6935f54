#include <ctype.h>

#include "base/options_inside.h"

/* Names that some roster program knows. One environment is often shared by
 * several of them (a container, an operator's shell), so a variable meant for
 * another program is no mistake, while one that means nothing to any is. */
static const char *const any_program[] = {"access",
                                          "admin-token-file",
                                          "advertise",
                                          "advertise-raft",
                                          "audit",
                                          "audit-files",
                                          "audit-required",
                                          "audit-size",
                                          "branch",
                                          "breaker-hold",
                                          "breaker-min",
                                          "breaker-percent",
                                          "breaker-rate",
                                          "ca",
                                          "cache",
                                          "client",
                                          "client-cert",
                                          "client-key",
                                          "cluster",
                                          "comment",
                                          "config",
                                          "core-dumps",
                                          "count",
                                          "credential-file",
                                          "data-dir",
                                          "days",
                                          "disk-reserve",
                                          "dns",
                                          "domain",
                                          "drain",
                                          "dry-run",
                                          "field",
                                          "flap-count",
                                          "flap-window",
                                          "for",
                                          "gossip",
                                          "head",
                                          "history",
                                          "hostname",
                                          "http",
                                          "id",
                                          "initial",
                                          "insecure",
                                          "inventory",
                                          "inventory-every",
                                          "io-threads",
                                          "join",
                                          "join-token-file",
                                          "json",
                                          "keep",
                                          "key",
                                          "ldap-ca",
                                          "ldap-dn",
                                          "ldap-group-base",
                                          "ldap-group-filter",
                                          "ldap-starttls",
                                          "ldap-url",
                                          "leaf",
                                          "leased",
                                          "limit",
                                          "log-format",
                                          "log-level",
                                          "match",
                                          "max-body",
                                          "max-connections",
                                          "max-connections-address",
                                          "max-header",
                                          "max-watchers",
                                          "metrics-open",
                                          "mode",
                                          "no-resume",
                                          "node",
                                          "ns",
                                          "password-file",
                                          "quiet",
                                          "raft",
                                          "rate-address",
                                          "rate-token",
                                          "reason",
                                          "recursive",
                                          "request-timeout",
                                          "resp",
                                          "server",
                                          "session-ttl",
                                          "show-inventory",
                                          "since",
                                          "snapshot-bytes",
                                          "store-limit",
                                          "timeout",
                                          "tls-ca",
                                          "tls-cert",
                                          "tls-clients",
                                          "tls-key",
                                          "token",
                                          "token-file",
                                          "ttl",
                                          "type",
                                          "value",
                                          "voter-timeout",
                                          "voters",
                                          "webhook-allow",
                                          "where",
                                          "with-ids",
                                          "yes",
                                          NULL};

extern char **environ;

void options_env_name(struct buf *out, const char *option)
{
    buf_add_text(out, OPTIONS_ENV);
    for (; *option != '\0'; option++) {
        int shout = toupper((unsigned char)*option);
        buf_add_char(out, (char)(shout == '-' ? '_' : shout));
    }
}

/* Kubernetes gives every container variables that describe each service: one
 * named "roster" makes ROSTER_SERVICE_HOST, ROSTER_PORT=tcp://… and more.
 * They are not ours, and nobody there could take them away. */
static bool from_kubernetes(struct str name, const char *value)
{
    const char *port = memmem(name.p, name.n, "PORT_", 5);

    return memmem(name.p, name.n, "SERVICE_HOST", 12) != NULL ||
           memmem(name.p, name.n, "SERVICE_PORT", 12) != NULL ||
           (port != NULL && isdigit((unsigned char)port[5])) ||
           strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0;
}

static bool env_unknown(const struct options *options, struct str variable,
                        struct str name, const char *value)
{
    struct buf meant = {0};

    for (const char *const *known = any_program; *known != NULL; known++) {
        if (str_is(name, *known)) {
            return true;
        }
    }
    if (from_kubernetes(variable, value)) {
        return true;
    }
    const char *near = options_nearest(options, name);
    if (near != NULL) {
        options_env_name(&meant, near);
        options_complain(options,
                         "unknown environment variable %.*s: did you mean %s?",
                         STR_ARG(variable), buf_text(&meant));
    } else {
        options_complain(
            options,
            "unknown environment variable %.*s: unset it; --help lists "
            "the settings",
            STR_ARG(variable));
    }
    buf_done(&meant);
    return false;
}

/* A map's variable holds one NAME=VALUE per line. */
static bool env_set(const struct options *options, const struct option *option,
                    const char *where, const char *value)
{
    if (option->kind != OPTION_MAP) {
        return options_set(options, option, where, str_of(value));
    }
    for (const char *at = value; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        if (n > 0 &&
            !options_set(options, option, where, (struct str){at, n})) {
            return false;
        }
        at += n + (at[n] == '\n' ? 1 : 0);
    }
    return true;
}

static bool read_variable(const struct options *options, const char *entry)
{
    const char *equals = strchr(entry, '=');
    size_t prefix = strlen(OPTIONS_ENV);
    struct buf name = {0};
    struct buf where = {0};
    bool good = true;

    if (equals == NULL || strncmp(entry, OPTIONS_ENV, prefix) != 0) {
        return true;
    }
    struct str variable = {entry, (size_t)(equals - entry)};
    bool shouted = true;
    for (const char *c = entry + prefix; c < equals; c++) {
        shouted = shouted && islower((unsigned char)*c) == 0;
        int quiet = tolower((unsigned char)*c);
        buf_add_char(&name, (char)(quiet == '_' ? '-' : quiet));
    }
    const struct option *option =
        shouted ? options_find(options->table, buf_str(&name)) : NULL;
    if (option == NULL) {
        good = env_unknown(options, variable, buf_str(&name), equals + 1);
    } else if (equals[1] != '\0') {
        /* An empty one counts as not given: that is how scripts and unit files
         * write "no value". */
        buf_add_str(&where, variable);
        good = env_set(options, option, buf_text(&where), equals + 1);
    }
    buf_done(&name);
    buf_done(&where);
    return good;
}

bool options_read_environment(const struct options *options)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (!read_variable(options, *entry)) {
            return false;
        }
    }
    return true;
}
