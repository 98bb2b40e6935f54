#include "agent/settings.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { OPTIONS = 16 };

/* The table of one struct settings. */
struct table {
    struct option rows[OPTIONS];
};

static struct table table_of(struct settings *s)
{
    return (struct table){{
        {.name = "server",
         .kind = OPTION_TEXT,
         .target = &s->server,
         .value_name = "URL[,URL...]",
         .help = "servers of the registry; any one that answers will do"},
        {.name = "ca",
         .kind = OPTION_TEXT,
         .target = &s->ca,
         .value_name = "FILE",
         .help = "verifies the servers' certificates, for https"},
        {.name = "client-cert",
         .kind = OPTION_TEXT,
         .target = &s->cert,
         .value_name = "FILE",
         .help = "this machine's certificate, with --client-key"},
        {.name = "client-key",
         .kind = OPTION_TEXT,
         .target = &s->key,
         .value_name = "FILE",
         .help = "the key of --client-cert"},
        {.name = "token-file",
         .kind = OPTION_TEXT,
         .target = &s->token_file,
         .value_name = "FILE",
         .help = "a token, or join token, in its first line"},
        {.name = "credential-file",
         .kind = OPTION_TEXT,
         .target = &s->credential_file,
         .value_name = "FILE",
         .help = "a token of the machine's own, made when the file is not "
                 "there; a reusable join token makes it known"},
        {.name = "hostname",
         .kind = OPTION_TEXT,
         .target = &s->hostname,
         .value_name = "NAME",
         .help = "register under NAME instead of the machine's host name"},
        {.name = "ttl",
         .kind = OPTION_DURATION,
         .target = &s->ttl_ms,
         .least = 2000,
         .most = 86400000,
         .value_name = "TIME",
         .help = "how long the registry keeps a machine that is silent"},
        {.name = "keep",
         .kind = OPTION_FLAG,
         .target = &s->keep,
         .help = "stay registered when stopped, until the TTL ends"},
        {.name = "field",
         .kind = OPTION_MAP,
         .target = &s->field,
         .help = "a further field of the machine, or another value for a found "
                 "one; may be given several times"},
        {.name = "inventory",
         .kind = OPTION_TEXT,
         .target = &s->inventory,
         .value_name = "LIST",
         .help = "also keep what is on the machine in the registry: all, or a "
                 "list of interfaces, filesystems, sockets, units, packages "
                 "with commas between"},
        {.name = "inventory-every",
         .kind = OPTION_DURATION,
         .target = &s->inventory_every_ms,
         .least = 10000,
         .most = 86400000,
         .value_name = "TIME",
         .help = "how often the inventories are collected"},
        {.name = "show-inventory",
         .kind = OPTION_TEXT,
         .target = &s->show_inventory,
         .value_name = "NAME",
         .help = "print what would be kept of one inventory, as JSON, and "
                 "exit"},
        {.name = "log-level",
         .kind = OPTION_TEXT,
         .target = &s->log_level,
         .value_name = "LEVEL",
         .help = "debug, info, warn or error"},
        {.name = "log-format",
         .kind = OPTION_TEXT,
         .target = &s->log_format,
         .value_name = "FORMAT",
         .help = "text, json, or auto: text on a terminal"},
        {.name = NULL},
    }};
}

static void set_defaults(struct settings *s)
{
    *s = (struct settings){
        .server = mem_text("http://127.0.0.1:7070"),
        .ttl_ms = 30000,
        .inventory_every_ms = 300000,
        .log_level = mem_text("info"),
        .log_format = mem_text("auto"),
    };
}

/* ---- checks ---- */

static int complain(const char *sentence, const char *about)
{
    (void)fprintf(stderr, "roster-agent: %s: %s\n", about, sentence);
    return EXIT_USAGE;
}

static int start_log(const struct settings *set)
{
    static const char *const formats[] = {
        [LOG_AUTO] = "auto", [LOG_TEXT] = "text", [LOG_JSON] = "json"};
    enum log_level level = LOG_INFO;

    if (log_level_parse(str_of(set->log_level), &level) != 0) {
        return complain("choose debug, info, warn or error", "--log-level");
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(set->log_format, formats[i]) == 0) {
            log_start(level, (enum log_format)i);
            return 0;
        }
    }
    return complain("choose auto, text or json", "--log-format");
}

static int choose_hostname(struct settings *set)
{
    char own[256];

    if (set->hostname == NULL || set->hostname[0] == '\0') {
        if (gethostname(own, sizeof own) != 0) {
            return complain(strerror(errno), "--hostname");
        }
        own[sizeof own - 1] = '\0';
        (void)mem_free(set->hostname);
        set->hostname = mem_text(own);
    }
    json_t *text = json_string(set->hostname);
    bool good = text != NULL;
    json_decref(text);
    return good ? 0 : complain("is not valid UTF-8", "--hostname");
}

static int read_fields(struct settings *set)
{
    json_t *fields = json_object();

    for (size_t i = 0; i < set->field.n; i++) {
        const char *name = set->field.items[i].name;
        const char *wrong = NULL;
        if (strcmp(name, "hostname") == 0) {
            wrong = "the hostname is set with --hostname";
        } else if (name[0] == '_') {
            wrong = "names that start with _ are the server's: choose another";
        } else if (json_object_set_new(
                       fields, name, json_string(set->field.items[i].value)) !=
                   0) {
            wrong = "name or value is not valid UTF-8";
        }
        if (wrong != NULL) {
            json_decref(fields);
            (void)fprintf(stderr, "roster-agent: --field %s: %s\n", name,
                          wrong);
            return EXIT_USAGE;
        }
    }
    set->fields = fields;
    return 0;
}

static int choose_inventories(struct settings *set)
{
    struct str wrong = STR_NONE;

    if (inventories_new(set->inventory, set->inventory_every_ms, &wrong,
                        &set->inventories) == 0) {
        return 0;
    }
    (void)fprintf(stderr,
                  "roster-agent: --inventory: there is no '%.*s': choose all, "
                  "or some of interfaces, filesystems, sockets, units, "
                  "packages\n",
                  STR_ARG(wrong));
    return EXIT_USAGE;
}

static bool check(struct settings *set)
{
    return start_log(set) == 0 && choose_hostname(set) == 0 &&
           read_fields(set) == 0 && choose_inventories(set) == 0;
}

enum options_outcome settings_read(struct settings *settings, int argc,
                                   char **argv)
{
    set_defaults(settings);
    struct table table = table_of(settings);
    const struct options options = {
        .program = "roster-agent",
        .usage = "roster-agent [OPTION...]",
        .about =
            "Registers this machine with a roster registry, keeps it there "
            "with heartbeats, tells the registry when the machine's facts "
            "change, and takes it out when stopped (SIGTERM). SIGHUP "
            "collects the facts at once.",
        .table = table.rows,
    };
    enum options_outcome outcome =
        options_read(&options, argc, argv, NULL, NULL);

    if (outcome == OPTIONS_RUN && !check(settings)) {
        return OPTIONS_EXIT_USAGE;
    }
    return outcome;
}

void settings_done(struct settings *settings)
{
    struct table table = table_of(settings);
    const struct options options = {.table = table.rows};

    options_done(&options);
    json_decref(settings->fields);
    settings->inventories = inventories_free(settings->inventories);
}
