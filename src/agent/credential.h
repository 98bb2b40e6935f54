/* What the agent shows of itself: a token that was given to it, or one that it
 * made and that the registry takes as its own when it comes with a join token.
 * A token of its own never leaves the machine: only its hash does, until the
 * registry knows it. One thread. */
#ifndef AGENT_CREDENTIAL_H
#define AGENT_CREDENTIAL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/own.h"
#include "roster.h"

struct credential {
    char *given; /* of --token-file; NULL: none */
    char *own;   /* of --credential-file; NULL: none */
};

/* The first line of `token_file`, and what stands in `own_file`, which is made
 * when it is not there (mode 0600, on the disk before it is used). Each may be
 * NULL. False after a complaint. */
bool credential_open(const char *token_file, const char *own_file,
                     struct credential *ret_credential) MUST_USE;
void credential_done(struct credential *credential);

/* The handle shows its own, else what was given. */
void credential_show(const struct credential *credential,
                     struct roster *roster);
/* Whether there is a way to make the own one known; then what was given is
 * shown, and the registration has to carry the members that are added. */
bool credential_introduce(const struct credential *credential,
                          struct roster *roster, json_t *registration) MUST_USE;

#endif
