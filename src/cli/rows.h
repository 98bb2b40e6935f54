/* The verbs, by the file that holds them. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include <jansson.h>

#include "cli/cli.h"

/* rows.c: resources */
enum cli_exit rows_ls(struct cli *cli);
enum cli_exit rows_get(struct cli *cli);
enum cli_exit rows_add(struct cli *cli);
enum cli_exit rows_set(struct cli *cli);
enum cli_exit rows_rm(struct cli *cli);
enum cli_exit rows_mv(struct cli *cli);
enum cli_exit rows_cp(struct cli *cli);
/* search.c */
enum cli_exit search_run(struct cli *cli);
/* watch.c */
enum cli_exit watch_run(struct cli *cli);
/* breaker.c, maintenance.c */
enum cli_exit breaker_run(struct cli *cli);
enum cli_exit maintenance_run(struct cli *cli);
/* spaces.c: namespaces */
enum cli_exit spaces_tree(struct cli *cli);
enum cli_exit spaces_mkns(struct cli *cli);
enum cli_exit spaces_rmns(struct cli *cli);
enum cli_exit spaces_move(struct cli *cli);
/* types.c */
enum cli_exit types_run(struct cli *cli);
/* nodes.c: agents, the leader, how it all is */
enum cli_exit nodes_agents(struct cli *cli);
enum cli_exit nodes_leader(struct cli *cli);
/* An agent as a row for people. Gives. */
json_t *nodes_agent_row(const json_t *agent);
/* cluster.c */
enum cli_exit cluster_run(struct cli *cli);
/* status.c */
enum cli_exit status_run(struct cli *cli);
/* Adds "namespaces", "resources" and "leases", as far as they can be had. */
void status_counts(struct roster *roster, json_t *row);
/* backup.c, restore.c, admin.c, recover.c */
enum cli_exit backup_run(struct cli *cli);
enum cli_exit backup_verify(struct cli *cli);
enum cli_exit restore_run(struct cli *cli);
enum cli_exit admin_snapshot(struct cli *cli);
enum cli_exit admin_snapshots(struct cli *cli);
enum cli_exit admin_digest(struct cli *cli);
enum cli_exit recover_run(struct cli *cli);
enum cli_exit certs_run(struct cli *cli);
/* audit.c */
enum cli_exit audit_run(struct cli *cli);
/* import.c, export.c */
enum cli_exit import_run(struct cli *cli);
enum cli_exit export_run(struct cli *cli);
/* login.c, access.c: who somebody is, and what he may */
enum cli_exit login_run(struct cli *cli);
enum cli_exit logout_run(struct cli *cli);
enum cli_exit whoami_run(struct cli *cli);
enum cli_exit token_run(struct cli *cli);
enum cli_exit session_run(struct cli *cli);
enum cli_exit role_run(struct cli *cli);
enum cli_exit quota_run(struct cli *cli);
enum cli_exit user_run(struct cli *cli);
enum cli_exit group_run(struct cli *cli);
/* shells.c, complete.c, help.c */
enum cli_exit complete_script(struct cli *cli);
enum cli_exit complete_words(struct cli *cli);
enum cli_exit help_run(struct cli *cli);

#endif
