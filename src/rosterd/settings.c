#include "rosterd/settings.h"

#include "base/err.h"
#include "machine/flap.h"
#include "raft/list.h"
#include "rest/rest.h"
#include "rosterd/check.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

enum { OPTIONS = 80 };

/* The table of one struct settings; OPTIONS is more than it has. */
struct table {
    struct option rows[OPTIONS];
};

static struct table table_of(struct settings *s)
{
    return (struct table){{
        {"id", OPTION_TEXT, &s->id, 0, 0, "NAME",
         "the name of this node in its cluster"},
        {"data-dir", OPTION_TEXT, &s->data_dir, 0, 0, "DIR",
         "where everything is kept; one process per directory"},
        {"http", OPTION_TEXT, &s->http, 0, 0, "HOST:PORT",
         "where requests are answered; port 0 takes a free one"},
        {"raft", OPTION_TEXT, &s->raft, 0, 0, "HOST:PORT",
         "where the other nodes of the cluster reach this one (default: its "
         "entry in --cluster, else " DEFAULT_RAFT ")"},
        {"advertise", OPTION_TEXT, &s->advertise, 0, 0, "HOST:PORT",
         "the HTTP address told to others (default: the one of --http)"},
        {"advertise-raft", OPTION_TEXT, &s->advertise_raft, 0, 0, "HOST:PORT",
         "the address of --raft told to others (default: its entry in "
         "--cluster, else the host of --advertise, else the one of --raft)"},
        {"domain", OPTION_TEXT, &s->domain, 0, 0, "NAME",
         "the root of all namespaces, also the DNS zone; fixed once there is "
         "data"},
        {"join", OPTION_TEXT, &s->join, 0, 0, "URL",
         "a node of the cluster to join, as http://HOST:PORT or https://…; for "
         "a directory "
         "that is empty"},
        {"join-token-file", OPTION_TEXT, &s->join_token_file, 0, 0, "FILE",
         "a token, in its first line, that may add nodes: for --join when the "
         "cluster looks at who asks and this node has no certificate"},
        {"cluster", OPTION_TEXT, &s->cluster, 0, 0, "ID=HOST:PORT,...",
         "the nodes, this one among them, of a cluster that forms, with their "
         "--raft addresses; the same on each of them"},
        {"voters", OPTION_NUMBER, &s->voters, 1, LIST_MOST, "N",
         "nodes that vote, at most, an odd number; the others replicate "
         "and serve"},
        {"voter-timeout", OPTION_DURATION, &s->voter_timeout_ms, 1000, 86400000,
         "TIME",
         "how long a voter may be silent before another takes its "
         "place"},
        {"insecure", OPTION_FLAG, &s->insecure, 0, 0, NULL,
         "all may do all, and addresses that others can reach are allowed "
         "though nothing is encrypted"},
        {"access", OPTION_FLAG, &s->access, 0, 0, NULL,
         "look at who asks and what he may; on by itself when others can reach "
         "this node"},
        {"admin-token-file", OPTION_TEXT, &s->admin_token_file, 0, 0, "FILE",
         "where this node's own token lies, that may do all; made when it is "
         "not there (default: admin.token in --data-dir); read again on "
         "SIGHUP"},
        {"session-ttl", OPTION_DURATION, &s->session_ttl_ms, 60000,
         (uint64_t)30 * 86400000, "TIME",
         "how long who signs in stays so, unless he asks for less"},
        {"ldap-url", OPTION_TEXT, &s->ldap_url, 0, 0, "URL,...",
         "the directory that knows the passwords of users of source ldap, as "
         "ldaps://HOST[:PORT]; the others are asked when one cannot be"},
        {"ldap-dn", OPTION_TEXT, &s->ldap_dn, 0, 0, "NAME",
         "what a user is called there, as "
         "uid={user},ou=people,dc=example,dc=org"},
        {"ldap-starttls", OPTION_FLAG, &s->ldap_starttls, 0, 0, NULL,
         "encrypt ldap:// before anything is sent"},
        {"ldap-ca", OPTION_TEXT, &s->ldap_ca, 0, 0, "FILE",
         "certificates of who may vouch for the directory (default: those of "
         "the system)"},
        {"ldap-group-base", OPTION_TEXT, &s->ldap_group_base, 0, 0, "NAME",
         "where the directory has groups: who signs in is in those of the same "
         "name here, until his session ends"},
        {"ldap-group-filter", OPTION_TEXT, &s->ldap_group_filter, 0, 0,
         "FILTER",
         "how a user's groups are found there, with {user} and {dn} for his "
         "names (default: members of groupOfNames, groupOfUniqueNames and "
         "posixGroup)"},
        {"metrics-open", OPTION_FLAG, &s->metrics_open, 0, 0, NULL,
         "show /metrics to who is not known, too"},
        {"core-dumps", OPTION_FLAG, &s->core_dumps, 0, 0, NULL,
         "allow core dumps and debuggers of the same user, which see all that "
         "is in memory"},
        {"io-threads", OPTION_NUMBER, &s->io_threads, 0, REST_THREADS_MAX, "N",
         "threads that answer requests; 0: half as many as processors"},
        {"max-connections", OPTION_NUMBER, &s->max_connections, 0, 0, "N",
         "connections held at once; 0: what the limit of open files allows"},
        {"max-connections-address", OPTION_NUMBER, &s->max_connections_address,
         0, 0, "N",
         "of these, from one address (IPv6: one /64); 0: any number"},
        {"max-watchers", OPTION_NUMBER, &s->max_watchers, 0, 0, "N",
         "streams and long polls held at once; 0: nine tenths of the "
         "connections"},
        {"max-body", OPTION_BYTES, &s->max_body, KIB(1), GIB(1), "BYTES",
         "largest body of a request"},
        {"max-header", OPTION_BYTES, &s->max_header, KIB(4), MIB(1), "BYTES",
         "memory of a connection for request line and header"},
        {"request-timeout", OPTION_DURATION, &s->request_timeout_ms, 1000,
         3600000, "TIME", "how long a request's body may take to arrive"},
        {"drain", OPTION_DURATION, &s->drain_ms, 0, 3600000, "TIME",
         "how long to serve on after SIGTERM, while load balancers notice"},
        {"disk-reserve", OPTION_BYTES, &s->disk_reserve, 0, 0, "BYTES",
         "free disk space below which nothing new is taken"},
        {"store-limit", OPTION_BYTES, &s->store_limit, MIB(16), 0, "BYTES",
         "largest size of the store"},
        {"cache", OPTION_BYTES, &s->cache, MIB(1), 0, "BYTES",
         "memory for lists as they are sent"},
        {"history", OPTION_NUMBER, &s->history, 1000, 0, "N",
         "changes remembered for watchers; fixed once there is data"},
        {"breaker-percent", OPTION_NUMBER, &s->breaker_percent, 0, 99, "N",
         "while more than N percent of the agents of a scope are silent at "
         "once, none of it is removed; 0: no breaker"},
        {"breaker-min", OPTION_NUMBER, &s->breaker_min, 1, 1000000, "N",
         "and at least N of them"},
        {"breaker-hold", OPTION_DURATION, &s->breaker_hold_ms, 1000, 604800000,
         "TIME", "how long none is removed, at most"},
        {"breaker-rate", OPTION_NUMBER, &s->breaker_rate, 1, 100000, "N",
         "removals in a second, at most, after that, in a scope"},
        {"flap-count", OPTION_NUMBER, &s->flap_count, 0, FLAP_GOINGS_MOST, "N",
         "an agent that went so often within --flap-window is kept, silent or "
         "not; 0: never"},
        {"flap-window", OPTION_DURATION, &s->flap_window_ms, 1000,
         FLAP_MEMORY_MS, "TIME",
         "time in which goings of an agent count, and for which it is kept "
         "then"},
        {"snapshot-bytes", OPTION_BYTES, &s->snapshot_bytes, MIB(1), 0, "BYTES",
         "log written between two snapshots"},
        {"webhook-allow", OPTION_TEXT, &s->webhook_allow, 0, 0, "CIDR,...",
         "networks whose webhooks are called though they are loopback, "
         "link-local or the like, as 127.0.0.1/32; the same on each node"},
        {"tls-cert", OPTION_TEXT, &s->tls_cert, 0, 0, "FILE",
         "certificate of this node, PEM: HTTP and other nodes are spoken to in "
         "TLS; read again on SIGHUP, as are the next two"},
        {"tls-key", OPTION_TEXT, &s->tls_key, 0, 0, "FILE", "its private key"},
        {"tls-ca", OPTION_TEXT, &s->tls_ca, 0, 0, "FILE",
         "certificates of the CA that other nodes' and clients' must be from"},
        {"tls-clients", OPTION_TEXT, &s->tls_clients, 0, 0, "WHO",
         "certificates of HTTP clients: none, optional or required; what is "
         "shown must be from --tls-ca (default: optional with --tls-ca)"},
        {"audit", OPTION_TEXT, &s->audit, 0, 0, "DIR",
         "where each change and each denial is told, a line each; off: nowhere "
         "(default: audit in --data-dir when access is controlled, else off)"},
        {"audit-size", OPTION_BYTES, &s->audit_size, KIB(64), GIB(16), "BYTES",
         "size at which the audit begins another file"},
        {"audit-files", OPTION_NUMBER, &s->audit_files, 2, 10000, "N",
         "files of the audit that are kept"},
        {"audit-required", OPTION_FLAG, &s->audit_required, 0, 0, NULL,
         "refuse changes while the audit cannot be written"},
        {"rate-token", OPTION_NUMBER, &s->rate_token, 0, 1000000, "N",
         "requests in a second that one token may send; 0: any number"},
        {"rate-address", OPTION_NUMBER, &s->rate_address, 0, 1000000, "N",
         "requests in a second that may come from one address (of IPv6: from "
         "one /64); 0: any number"},
        {"log-level", OPTION_TEXT, &s->log_level, 0, 0, "LEVEL",
         "debug, info, warn or error; read again on SIGHUP"},
        {"log-format", OPTION_TEXT, &s->log_format, 0, 0, "FORMAT",
         "auto (text on a terminal), text or json"},
        {.name = NULL},
    }};
}

static void set_defaults(struct settings *s)
{
    *s = (struct settings){
        .id = mem_text("n1"),
        .data_dir = mem_text("roster-data"),
        .http = mem_text("127.0.0.1:7070"),
        .domain = mem_text("roster"),
        .log_level = mem_text("info"),
        .log_format = mem_text("auto"),
        .max_body = MIB(8),
        .max_header = KIB(8),
        .request_timeout_ms = 30000,
        .drain_ms = 5000,
        .disk_reserve = MIB(64),
        .store_limit = GIB(64),
        .cache = MIB(64),
        .history = 100000,
        .flap_count = 5,
        .flap_window_ms = 600000,
        .snapshot_bytes = MIB(64),
        .breaker_percent = 15,
        .breaker_min = 10,
        .breaker_hold_ms = 300000,
        .breaker_rate = 10,
        .audit_size = MIB(64),
        .audit_files = 10,
        .voters = 5,
        .voter_timeout_ms = 60000,
        .session_ttl_ms = (uint64_t)12 * 3600000,
    };
}

static enum options_outcome read_all(struct settings *settings, int argc,
                                     char **argv)
{
    set_defaults(settings);
    struct table table = table_of(settings);
    const struct options options = {
        .program = "rosterd",
        .usage = "rosterd [OPTION...]",
        .about = "A highly available registry of everything in a fleet: keeps "
                 "it and answers for it over HTTP. Alone it is a complete "
                 "registry of one node.",
        .table = table.rows,
    };
    return options_read(&options, argc, argv, NULL, NULL);
}

enum options_outcome settings_read(struct settings *settings, int argc,
                                   char **argv)
{
    enum options_outcome outcome = read_all(settings, argc, argv);
    if (outcome == OPTIONS_RUN && !check_settings(settings)) {
        return OPTIONS_EXIT_USAGE;
    }
    return outcome;
}

int settings_read_level(int argc, char **argv, enum log_level *ret_level)
{
    struct settings settings;
    int r = ERR_INVALID;

    if (read_all(&settings, argc, argv) == OPTIONS_RUN &&
        check_level(&settings)) {
        *ret_level = settings.level;
        r = 0;
    }
    settings_done(&settings);
    return r;
}

void settings_done(struct settings *settings)
{
    struct table table = table_of(settings);
    const struct options options = {.table = table.rows};

    allow_done(&settings->allow);
    options_done(&options);
}
