/* The agent's settings: flags, environment and file, checked. */
#ifndef AGENT_SETTINGS_H
#define AGENT_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/inventory.h"
#include "base/options.h"

enum { EXIT_USAGE = 2 };

struct settings {
    char *server;
    char *ca, *cert, *key; /* files */
    char *token_file, *credential_file;
    char *hostname;
    uint64_t ttl_ms;
    bool keep;
    struct option_map field;
    char *inventory;
    uint64_t inventory_every_ms;
    char *show_inventory;
    char *log_level;
    char *log_format;
    /* Made of the texts. */
    json_t *fields;
    struct inventories *inventories;
};

/* A complaint has been printed when it says EXIT_USAGE. End with settings_done
 * whatever it says. */
enum options_outcome settings_read(struct settings *settings, int argc,
                                   char **argv) MUST_USE;
void settings_done(struct settings *settings);

#endif
