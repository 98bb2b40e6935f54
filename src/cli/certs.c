/* certs DIR: a CA, and certificates for nodes and clients, without a server. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/rows.h"
#include "tls/tls.h"

enum { DAYS = 365, CA_DAYS = 3650, HOSTS_MOST = 32 };

/* What is there stays: a second run adds what is missing. */
static enum cli_exit tell(const struct cli *cli, json_t *rows, const char *name,
                          int r, const char *why)
{
    if (r != 0 && r != ERR_CONFLICT) {
        ask_say("%s: %s", name, why);
        return CLI_REFUSED;
    }
    if (rows != NULL) {
        (void)json_array_append_new(
            rows, json_pack("{s:s+++, s:b}", "file", cli->args[0], "/", name,
                            ".pem", "made", (int)(r != ERR_CONFLICT)));
    } else if (!cli->quiet) {
        (void)printf("%s/%s.pem%s\n", cli->args[0], name,
                     r == ERR_CONFLICT ? " is there already" : "");
    }
    return CLI_OK;
}

/* Cuts the text at its commas; ret_parts ends with NULL. */
static bool split(char *text, const char *ret_parts[HOSTS_MOST + 1])
{
    size_t n = 0;
    char *rest = NULL;

    for (char *at = strtok_r(text, ",", &rest); at != NULL;
         at = strtok_r(NULL, ",", &rest)) {
        if (n == HOSTS_MOST) {
            return false;
        }
        ret_parts[n++] = at;
    }
    ret_parts[n] = NULL;
    return true;
}

/* The key of the CA is kept elsewhere, as it should. */
static void explain(const struct cli *cli)
{
    struct buf key = {0};

    buf_printf(&key, "%s/ca-key.pem", cli->args[0]);
    if (access(buf_text(&key), F_OK) != 0) {
        ask_say("only the key of that CA can make more: bring it back for as "
                "long as this takes, or write another directory");
    }
    buf_done(&key);
}

static enum cli_exit make(const struct cli *cli, json_t *rows, const char *name,
                          bool node, const char *const *hosts)
{
    const struct tls_make make = {.dir = cli->args[0],
                                  .name = name,
                                  .node = node ? name : NULL,
                                  .hosts = hosts,
                                  .days = cli->days == 0 ? DAYS : cli->days};
    char why[TLS_WHY] = "";

    enum cli_exit status =
        tell(cli, rows, name, tls_make_cert(&make, why), why);
    if (status != CLI_OK) {
        explain(cli);
    }
    return status;
}

static enum cli_exit make_node(const struct cli *cli, json_t *rows,
                               const char *name, const char *where)
{
    const char *hosts[HOSTS_MOST + 1];
    char *text = mem_text(where);
    enum cli_exit status = CLI_USAGE;

    if (split(text, hosts) && hosts[0] != NULL) {
        status = make(cli, rows, name, true, hosts);
    } else if (hosts[0] == NULL) {
        (void)cli_misused("--node %s=: where is it reached? Write --node "
                          "%s=127.0.0.1",
                          name, name);
    } else {
        (void)cli_misused("--node %s: at most %d names and addresses", name,
                          HOSTS_MOST);
    }
    (void)mem_free(text);
    return status;
}

static enum cli_exit make_clients(const struct cli *cli, json_t *rows)
{
    enum cli_exit status = CLI_OK;
    char *text = mem_text(cli->clients == NULL ? "" : cli->clients);
    char *rest = NULL;

    for (char *at = strtok_r(text, ",", &rest); status == CLI_OK && at != NULL;
         at = strtok_r(NULL, ",", &rest)) {
        status = make(cli, rows, at, false, NULL);
    }
    (void)mem_free(text);
    return status;
}

enum cli_exit certs_run(struct cli *cli)
{
    const char *dir = cli->args[0];
    char why[TLS_WHY] = "";

    if (cli->nodes.n == 0 && cli->clients == NULL) {
        return cli_misused("write for whom: roster certs DIR --node "
                           "n1=127.0.0.1 --client ann");
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        ask_say("%s: %s", dir, strerror(errno));
        return CLI_REFUSED;
    }
    json_t *rows = cli->json ? json_array() : NULL;
    enum cli_exit status =
        tell(cli, rows, "ca", tls_make_ca(dir, CA_DAYS, why), why);
    for (size_t i = 0; status == CLI_OK && i < cli->nodes.n; i++) {
        status = make_node(cli, rows, cli->nodes.items[i].name,
                           cli->nodes.items[i].value);
    }
    if (status == CLI_OK) {
        status = make_clients(cli, rows);
    }
    if (rows != NULL) {
        print_json(rows);
    }
    json_decref(rows);
    return status;
}
