/* One screen: which nodes answer, who leads, what they hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"
#include "cli/text.h"

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

/* ---- for people ---- */

static uint64_t number(const json_t *node, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(node, name));
}

static void put_bytes(json_t *row, const char *name, const json_t *node,
                      const char *used, const char *limit)
{
    struct buf text = {0};

    if (json_object_get(node, used) == NULL) {
        return;
    }
    text_add_bytes(&text, number(node, used));
    if (limit != NULL && number(node, limit) > 0) {
        buf_add_text(&text, " of ");
        text_add_bytes(&text, number(node, limit));
    }
    (void)json_object_set_new(row, name, json_string(buf_text(&text)));
    buf_done(&text);
}

static void put_text(json_t *row, const char *name, struct buf *text)
{
    (void)json_object_set_new(row, name, json_string(buf_text(text)));
    buf_done(text);
}

static void put_state(json_t *row, const json_t *node)
{
    const char *state = json_string_value(json_object_get(node, "state"));
    const char *problem = json_string_value(json_object_get(node, "problem"));
    struct buf text = {0};

    buf_add_text(&text, state == NULL ? "" : state);
    if (problem != NULL && problem[0] != '\0') {
        buf_printf(&text, ": %s", problem);
    }
    put_text(row, "state", &text);
}

static void print_node(const json_t *node)
{
    static const char *const as_they_are[] = {"server", "node", "leader",
                                              "term", "revision"};
    json_t *row = json_object();
    struct buf text = {0};

    for (size_t i = 0; i < sizeof as_they_are / sizeof as_they_are[0]; i++) {
        json_t *value = json_object_get(node, as_they_are[i]);
        if (value != NULL) {
            (void)json_object_set(row, as_they_are[i], value);
        }
    }
    put_state(row, node);
    if (json_object_get(node, "resources") != NULL) {
        buf_printf(&text, "%llu in %llu namespaces",
                   (unsigned long long)number(node, "resources"),
                   (unsigned long long)number(node, "namespaces"));
        put_text(row, "resources", &text);
        buf_printf(&text, "%llu alive, %llu suspect",
                   (unsigned long long)number(node, "agents_alive"),
                   (unsigned long long)number(node, "agents_suspect"));
        put_text(row, "agents", &text);
    }
    put_bytes(row, "store", node, "store_used_bytes", "store_limit_bytes");
    put_bytes(row, "log", node, "log_bytes", NULL);
    put_bytes(row, "disk free", node, "disk_free_bytes", NULL);
    put_bytes(row, "cache", node, "cache_bytes", "cache_limit_bytes");
    put_bytes(row, "memory", node, "memory_bytes", NULL);
    if (json_object_get(node, "uptime_s") != NULL) {
        text_add_time(&text, number(node, "uptime_s") * 1000);
        put_text(row, "up", &text);
    }
    print_fields(row);
    json_decref(row);
}

static bool is_ready(const json_t *node)
{
    const char *state = json_string_value(json_object_get(node, "state"));
    return state != NULL && strcmp(state, "ready") == 0;
}

static json_t *node_of(const struct cli *cli, const char *url)
{
    struct roster *roster = ask_connect(cli);
    json_t *node = json_pack("{s:s}", "server", url);

    if (roster_set_servers(roster, url) == ROSTER_OK) {
        read_node(node, roster);
    }
    (void)roster_free(roster);
    return node;
}

/* Each server by itself: what one says of itself, no other can answer. */
enum cli_exit status_run(struct cli *cli)
{
    json_t *nodes = json_array();
    size_t n_ready = 0;
    size_t i = 0;
    const json_t *node = NULL;

    for (const char *at = cli->servers; at != NULL;) {
        size_t n = strcspn(at, ",");
        char *url = strndup(at, n);
        (void)json_array_append_new(nodes, node_of(cli, url));
        free(url);
        at = at[n] == ',' ? at + n + 1 : NULL;
    }
    if (cli->json) {
        print_json(nodes);
    }
    json_array_foreach(nodes, i, node)
    {
        n_ready += is_ready(node) ? 1 : 0;
        if (!cli->json) {
            (void)fputs(i == 0 ? "" : "\n", stdout);
            print_node(node);
        }
    }
    json_decref(nodes);
    return n_ready > 0 ? CLI_OK : CLI_UNREACHABLE;
}
