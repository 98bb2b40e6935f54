/* A verb's conversation with the registry. Whatever goes wrong is told to the
 * person here, on stderr, with what to try; the verb passes the exit on.
 *
 * A read that follows an answer asks for at least its revision
 * (Roster-Min-Revision), so that it sees what was just written, whichever
 * server is asked. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <jansson.h>

#include "base/own.h"
#include "cli/cli.h"

/* One request. Gives *ret_answer, untouched when the answer has no body; gives
 * *ret_next (free), path and query of the next page or "", unless ret_next is
 * NULL. */
enum cli_exit ask_once(struct cli *cli, const char *method, const char *path,
                       const char *query, const json_t *body,
                       json_t **ret_answer, char **ret_next) MUST_USE;
/* A GET with all its pages as one. Gives *ret_answer, never NULL. */
enum cli_exit ask_all(struct cli *cli, const char *path, const char *query,
                      json_t **ret_answer) MUST_USE;
/* roster_send as it is, with the revision seen so far. */
enum roster_result ask_send(struct cli *cli, struct roster_request *request,
                            struct roster_response *ret_response) MUST_USE;
/* GET of one namespace without its children, of which there may be very many.
 * Gives *ret_node when OK, NULL when the answer is no JSON. */
enum roster_result ask_node(struct roster *roster, const char *ns,
                            uint64_t seen, json_t **ret_node) MUST_USE;
/* A registry's handle as the settings say. Gives; NULL after a complaint. */
struct roster *ask_connect(const struct cli *cli) MUST_USE;

/* Tells why the last request did not go well. */
enum cli_exit ask_complain(struct cli *cli, enum roster_result result) MUST_USE;
/* The same of another handle, without a look at the registry. */
enum cli_exit ask_tell(const struct roster_error *error) MUST_USE;
/* Tells that no registry can have sent this. */
enum cli_exit ask_not_json(const struct roster_response *response) MUST_USE;
/* "roster: " and the words, escaped, on stderr. */
void ask_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Asks on the terminal; true for yes. --yes is yes, and so is a command that
 * comes from no terminal. */
bool ask_person(const struct cli *cli, const char *question) MUST_USE;

#endif
