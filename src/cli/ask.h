/* A verb's conversation with the registry. Whatever goes wrong is told to the
 * person here, on stderr, with what to try; the verb passes the exit on. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <jansson.h>

#include "base/own.h"
#include "cli/cli.h"

/* One request. Gives *ret_answer, untouched when the answer has no body; gives
 * *ret_next (free), path and query of the next page or "", unless ret_next is
 * NULL. */
enum cli_exit ask_once(const struct cli *cli, const char *method,
                       const char *path, const char *query, const json_t *body,
                       json_t **ret_answer, char **ret_next) MUST_USE;

/* A GET with all its pages as one. Gives *ret_answer, never NULL. */
enum cli_exit ask_all(const struct cli *cli, const char *path,
                      const char *query, json_t **ret_answer) MUST_USE;

/* Tells why the last request did not go well. */
enum cli_exit ask_complain(const struct cli *cli,
                           enum roster_result result) MUST_USE;
/* Tells that no registry can have sent this. */
enum cli_exit ask_not_json(const struct roster_response *response) MUST_USE;

#endif
