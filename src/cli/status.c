/* How a cluster is: one server is asked which nodes there are, then each node
 * by itself: what one says of itself, no other can answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/print.h"
#include "cli/rows.h"
#include "cli/screen.h"
#include "cli/show.h"

/* A metric's value; -1 when there is no such line. */
static double metric(const char *text, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = text; at != NULL && *at != '\0';) {
        if (strncmp(at, name, n) == 0 && at[n] == ' ') {
            return strtod(at + n, NULL);
        }
        at = strchr(at, '\n');
        at = at == NULL ? NULL : at + 1;
    }
    return -1;
}

/* GET of a page that may say 503 and means it. False: nobody answered. */
static bool look(struct roster *roster, const char *path, const char *query,
                 struct roster_response *ret_response)
{
    struct roster_request request = {
        .method = "GET", .path = path, .query = query};
    enum roster_result result = roster_send(roster, &request, ret_response);

    return result == ROSTER_OK || result == ROSTER_REFUSED;
}

/* The checks of /readyz?verbose that do not pass, as one text. */
static void add_failed(struct buf *out, const char *checks)
{
    for (const char *at = checks; (at = strstr(at, "[-]")) != NULL;) {
        size_t n = strcspn(at, "\n");
        buf_printf(out, "%s%.*s", out->n == 0 ? "" : "; ", (int)n - 3, at + 3);
        at += n;
    }
}

static void put_number(json_t *node, const char *name, const char *metrics,
                       const char *metric_name)
{
    double value = metric(metrics, metric_name);

    if (value >= 0) {
        (void)json_object_set_new(node, name, json_integer((json_int_t)value));
    }
}

static void read_metrics(json_t *node, const char *text)
{
    static const struct {
        const char *name, *metric;
    } numbers[] = {
        {"revision", "roster_revision"},
        {"namespaces", "roster_namespaces"},
        {"resources", "roster_resources"},
        {"agents_alive", "roster_leases{state=\"alive\"}"},
        {"agents_suspect", "roster_leases{state=\"suspect\"}"},
        {"agents_held", "roster_leases_held"},
        {"agents_flapping", "roster_agents_flapping"},
        {"agents_maintenance", "roster_maintenance_agents"},
        {"connections", "roster_http_connections"},
        {"log_bytes", "roster_log_bytes"},
        {"store_used_bytes", "roster_store_used_bytes"},
        {"store_limit_bytes", "roster_store_limit_bytes"},
        {"disk_free_bytes", "roster_disk_free_bytes"},
        {"disk_is_low", "roster_disk_is_low"},
        {"cache_bytes", "roster_cache_bytes"},
        {"cache_limit_bytes", "roster_cache_limit_bytes"},
        {"cache_hits", "roster_cache_hits_total"},
        {"cache_misses", "roster_cache_misses_total"},
        {"memory_bytes", "process_resident_memory_bytes"},
    };
    double started = metric(text, "process_start_time_seconds");

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        put_number(node, numbers[i].name, text, numbers[i].metric);
    }
    if (started > 0) {
        double up = (double)time(NULL) - started;
        (void)json_object_set_new(node, "uptime_s",
                                  json_integer(up < 0 ? 0 : (json_int_t)up));
    }
}

void status_counts(struct roster *roster, json_t *row)
{
    struct roster_response metrics = {0};

    if (look(roster, "/metrics", NULL, &metrics)) {
        put_number(row, "namespaces", metrics.body, "roster_namespaces");
        put_number(row, "resources", metrics.body, "roster_resources");
        put_number(row, "leases", metrics.body, "roster_registered_agents");
    }
    roster_response_done(&metrics);
}

static void read_node(json_t *node, struct roster *roster)
{
    struct roster_response ready = {0};
    struct roster_response leader = {0};
    struct roster_response metrics = {0};
    struct buf failed = {0};

    if (!look(roster, "/readyz", "verbose", &ready)) {
        (void)json_object_set_new(node, "state", json_string("unreachable"));
        (void)json_object_set_new(node, "problem",
                                  json_string(roster_error(roster)->detail));
        return;
    }
    add_failed(&failed, ready.body);
    (void)json_object_set_new(node, "node", json_string(ready.node));
    (void)json_object_set_new(
        node, "state",
        json_string(ready.status == 200 ? "ready" : "not ready"));
    (void)json_object_set_new(node, "problem", json_string(buf_text(&failed)));
    if (look(roster, "/leader", NULL, &leader)) {
        json_t *said = json_loadb(leader.body, leader.body_size, 0, NULL);
        (void)json_object_set(node, "leader", json_object_get(said, "id"));
        (void)json_object_set(node, "term", json_object_get(said, "term"));
        json_decref(said);
    }
    if (look(roster, "/metrics", NULL, &metrics)) {
        read_metrics(node, metrics.body);
    }
    buf_done(&failed);
    roster_response_done(&ready);
    roster_response_done(&leader);
    roster_response_done(&metrics);
}

/* ---- which ---- */

enum { CONNECT_MS = 1000, LOOK_MS = 2000 };

static void look_at(const struct cli *cli, const char *url, json_t *node)
{
    struct roster *roster = ask_connect(cli);

    (void)json_object_set_new(node, "server", json_string(url));
    roster_set_timeouts(roster, CONNECT_MS,
                        cli->timeout_ms < LOOK_MS ? cli->timeout_ms : LOOK_MS);
    if (roster_set_servers(roster, url) == ROSTER_OK) {
        read_node(node, roster);
    }
    (void)roster_free(roster);
}

/* The first server that answers says which nodes there are. Gives *ret_cluster,
 * NULL when none does. */
static enum roster_result ask_cluster(struct cli *cli, json_t **ret_cluster)
{
    struct roster_request request = {.method = "GET", .path = "/v1/cluster"};
    struct roster_response response = {0};

    enum roster_result result = roster_send(cli->roster, &request, &response);
    *ret_cluster = result == ROSTER_OK
                       ? json_loadb(response.body, response.body_size, 0, NULL)
                       : NULL;
    roster_response_done(&response);
    return result;
}

/* As the cluster sees it, then as it sees itself. Gives. */
static json_t *member(const struct cli *cli, const json_t *from)
{
    static const char *const names[] = {
        "role", "http", "raft", "applied", "last_contact_ms", "version"};
    const char *http = json_string_value(json_object_get(from, "http"));
    json_t *node = json_object();
    struct buf url = {0};

    (void)json_object_set(node, "node", json_object_get(from, "id"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)json_object_set(node, names[i], json_object_get(from, names[i]));
    }
    if (http == NULL || http[0] == '\0') {
        (void)json_object_set_new(node, "state", json_string("unreachable"));
        (void)json_object_set_new(node, "problem",
                                  json_string("its address is not known"));
        return node;
    }
    /* All nodes speak what the one that was asked does. */
    buf_printf(&url, "%s://%s",
               strncmp(cli->servers, "https:", 6) == 0 ? "https" : "http",
               http);
    look_at(cli, buf_text(&url), node);
    buf_done(&url);
    return node;
}

static bool is_in(const json_t *nodes, const char *member, const char *value)
{
    const json_t *node = NULL;
    size_t i = 0;

    json_array_foreach(nodes, i, node)
    {
        const char *has = json_string_value(json_object_get(node, member));
        if (has != NULL && value != NULL && strcmp(has, value) == 0) {
            return true;
        }
    }
    return false;
}

/* A server of --server that is none of the nodes: it may be down, removed, or
 * one of another cluster. Another name of a node is not told twice. */
static void add_server(const struct cli *cli, const char *url, json_t *nodes)
{
    if (is_in(nodes, "server", url)) {
        return;
    }
    json_t *node = json_object();
    look_at(cli, url, node);
    if (is_in(nodes, "node",
              json_string_value(json_object_get(node, "node")))) {
        json_decref(node);
    } else {
        (void)json_array_append_new(nodes, node);
    }
}

static json_t *all_nodes(struct cli *cli, const json_t *cluster)
{
    json_t *nodes = json_array();
    const json_t *from = NULL;
    size_t i = 0;

    json_array_foreach(json_object_get(cluster, "nodes"), i, from)
    {
        (void)json_array_append_new(nodes, member(cli, from));
    }
    for (const char *at = cli->servers; at != NULL;) {
        size_t n = strcspn(at, ",");
        char *url = strndup(at, n);
        add_server(cli, url, nodes);
        free(url);
        at = at[n] == ',' ? at + n + 1 : NULL;
    }
    return nodes;
}

/* That nobody may know which nodes there are, or could be asked, is told:
 * what is shown then is less than there is. */
static enum cli_exit judge(struct cli *cli, enum roster_result result,
                           const json_t *nodes)
{
    bool ready = is_in(nodes, "state", "ready");
    int status = roster_error(cli->roster)->status;

    if (result == ROSTER_REFUSED && status >= 400 && status < 500 &&
        status != 404) {
        return ask_complain(cli, result);
    }
    /* A single server has its reason in its lines. */
    if (!ready && result == ROSTER_UNREACHABLE && json_array_size(nodes) > 1) {
        return ask_complain(cli, result);
    }
    return ready ? CLI_OK : CLI_UNREACHABLE;
}

enum cli_exit status_run(struct cli *cli)
{
    json_t *cluster = NULL;
    enum roster_result result = ask_cluster(cli, &cluster);
    json_t *nodes = all_nodes(cli, cluster);

    if (cli->json) {
        print_json(nodes);
    } else {
        screen_show(nodes);
    }
    enum cli_exit status = judge(cli, result, nodes);
    json_decref(nodes);
    json_decref(cluster);
    return status;
}
