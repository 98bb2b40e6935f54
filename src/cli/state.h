/* What a state file holds, for people and programs. */
#ifndef CLI_STATE_H
#define CLI_STATE_H

#include <jansson.h>

#include "cli/cli.h"
#include "state/state.h"

/* Checks every byte, with a progress bar; false after a complaint. */
bool state_verify(const struct cli *cli, const char *path,
                  struct state_info *ret_info) MUST_USE;
/* {"file":…,"revision":…,"resources":…}. Gives. */
json_t *state_describe_file(const char *path,
                            const struct state_info *info) MUST_USE;
/* As JSON, or as lines for people. */
void state_show(const struct cli *cli, const char *path,
                const struct state_info *info);

#endif
