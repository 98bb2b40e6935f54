/* What went wrong, as a struct roster_error. Between set and done every member
 * is a string of its own. */
#ifndef CLIENT_PROBLEM_H
#define CLIENT_PROBLEM_H

#include <stdbool.h>

#include "base/mem.h"
#include "roster.h"

void problem_init(struct roster_error *error);
void problem_done(struct roster_error *error);
/* Replaces what it held. */
void problem_set(struct roster_error *error, enum roster_result result,
                 const char *title, const char *detail);
/* From a server's answer: problem+json, or whatever else came. */
void problem_read(struct roster_error *error,
                  const struct roster_response *response);

#endif
