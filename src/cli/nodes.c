/* Agents and the leader. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"

/* "alive, flapping" */
static void add_state(struct buf *out, const json_t *agent)
{
    const char *state = json_string_value(json_object_get(agent, "state"));

    buf_add_text(out, state == NULL ? "" : state);
    if (json_is_true(json_object_get(agent, "flapping"))) {
        buf_add_text(out, ", flapping");
    }
}

/* Until when, and why. */
static void add_maintenance(struct buf *out, const json_t *agent)
{
    const char *until =
        json_string_value(json_object_get(agent, "maintenance_until"));
    const char *reason =
        json_string_value(json_object_get(agent, "maintenance_reason"));

    buf_printf(out, "until %s", until == NULL ? "it is ended" : until);
    if (reason != NULL && reason[0] != '\0') {
        buf_printf(out, ": %s", reason);
    }
}

json_t *nodes_agent_row(const json_t *agent)
{
    struct buf state = {0};
    struct buf where = {0};
    struct buf heard = {0};
    struct buf ttl = {0};
    const char *ns = NULL;
    json_t *id = NULL;
    const json_t *last = json_object_get(agent, "last_heartbeat_ms");

    json_object_foreach(json_object_get(agent, "placements"), ns, id)
    {
        buf_printf(&where, "%s%s", where.n == 0 ? "" : " ", ns);
    }
    if (json_is_integer(last)) {
        buf_printf(&heard, "%.1f s ago",
                   (double)json_integer_value(last) / 1000);
    }
    add_state(&state, agent);
    buf_printf(&ttl, "%.3g s",
               json_number_value(json_object_get(agent, "ttl_ms")) / 1000);
    json_t *row =
        json_pack("{s:O?, s:s, s:s, s:s, s:s}", "hostname",
                  json_object_get(agent, "hostname"), "state", buf_text(&state),
                  "heartbeat", buf_text(&heard), "ttl", buf_text(&ttl),
                  "placements", buf_text(&where));
    if (json_is_true(json_object_get(agent, "maintenance"))) {
        buf_clear(&where);
        add_maintenance(&where, agent);
        (void)json_object_set_new(row, "maintenance",
                                  json_string(buf_text(&where)));
    }
    buf_done(&state);
    buf_done(&where);
    buf_done(&heard);
    buf_done(&ttl);
    return row;
}

enum cli_exit nodes_agents(struct cli *cli)
{
    json_t *agents = NULL;
    enum cli_exit status = ask_all(cli, "/v1/agents", NULL, &agents);

    if (status == CLI_OK && cli->json) {
        print_json(agents);
    } else if (status == CLI_OK) {
        json_t *rows = json_array();
        size_t i = 0;
        json_t *agent = NULL;
        json_array_foreach(agents, i, agent)
        {
            (void)json_array_append_new(rows, nodes_agent_row(agent));
        }
        show_rows(cli, rows);
        json_decref(rows);
    }
    json_decref(agents);
    return status;
}

/* /leader answers 503 on a follower, with the leader in its body: that is an
 * answer here. */
enum cli_exit nodes_leader(struct cli *cli)
{
    struct roster_request request = {.method = "GET", .path = "/leader"};
    struct roster_response response = {0};
    enum roster_result result = ask_send(cli, &request, &response);

    if (result != ROSTER_OK && result != ROSTER_REFUSED) {
        return ask_complain(cli, result);
    }
    json_t *leader =
        json_loadb(response.body, response.body_size, JSON_ALLOW_NUL, NULL);
    const char *id = json_string_value(json_object_get(leader, "id"));
    const char *address = json_string_value(json_object_get(leader, "address"));
    enum cli_exit status = CLI_OK;
    if (leader == NULL) {
        status = ask_not_json(&response);
    } else if (cli->json) {
        print_json(leader);
    } else if (id != NULL && id[0] != '\0') {
        (void)printf(
            "%s  %s  term %lld\n", id, address == NULL ? "" : address,
            (long long)json_integer_value(json_object_get(leader, "term")));
    }
    if (status == CLI_OK && (id == NULL || id[0] == '\0')) {
        ask_say("there is no leader now; reads with consistency local still "
                "work. Look at 'roster status'");
        status = CLI_REFUSED;
    }
    json_decref(leader);
    roster_response_done(&response);
    return status;
}
