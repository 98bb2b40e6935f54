/* The server's settings: flags, environment and file, checked. */
#ifndef ROSTERD_SETTINGS_H
#define ROSTERD_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/options.h"
#include "hook/allow.h"
#include "tls/tls.h"

struct settings {
    char *id;
    char *data_dir;
    char *http;
    char *raft;
    char *advertise;
    char *advertise_raft;
    char *domain;
    char *join;
    char *cluster;
    char *webhook_allow;
    char *ldap_url;
    char *ldap_dn;
    char *ldap_ca;
    char *ldap_group_base;
    char *ldap_group_filter;
    bool ldap_starttls;
    char *admin_token_file; /* NULL: in the data directory */
    char *join_token_file;
    char *tls_cert;
    char *tls_key;
    char *tls_ca;
    char *tls_clients;
    enum tls_clients clients;
    char *log_level;
    char *log_format;
    bool insecure;
    bool core_dumps;
    bool access; /* also when others can reach it */
    bool metrics_open;
    char *audit; /* a directory, NULL when there is none */
    bool audit_required;
    uint64_t io_threads;
    uint64_t max_connections;
    uint64_t max_connections_address;
    uint64_t max_watchers;
    uint64_t max_body;
    uint64_t max_header;
    uint64_t request_timeout_ms;
    uint64_t drain_ms;
    uint64_t disk_reserve;
    uint64_t store_limit;
    uint64_t cache;
    uint64_t history;
    uint64_t flap_count;
    uint64_t flap_window_ms;
    uint64_t snapshot_bytes;
    uint64_t breaker_percent;
    uint64_t breaker_min;
    uint64_t breaker_hold_ms;
    uint64_t breaker_rate;
    uint64_t audit_size;
    uint64_t audit_files;
    uint64_t rate_token;
    uint64_t rate_address;
    uint64_t voters;
    uint64_t voter_timeout_ms;
    uint64_t session_ttl_ms;
    /* Made of the texts. */
    bool reached; /* by other machines, over HTTP */
    enum log_level level;
    enum log_format format;
    struct allow allow;     /* of webhook_allow */
    uint32_t feature_level; /* of the program itself */
    bool clustered;         /* other nodes are meant to reach it */
};

/* A complaint has been printed when it says EXIT_USAGE. End with settings_done
 * whatever it says. */
enum options_outcome settings_read(struct settings *settings, int argc,
                                   char **argv) MUST_USE;
/* What may change while it runs: only the level. Answers: INVALID, after a
 * complaint. */
int settings_read_level(int argc, char **argv,
                        enum log_level *ret_level) MUST_USE;
void settings_done(struct settings *settings);

#endif
