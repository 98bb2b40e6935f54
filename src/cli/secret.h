/* Passwords and tokens on the side of the person: how they are asked for, and
 * where the token of a session lies. */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include "base/mem.h"
#include "cli/cli.h"

/* Asks at the terminal, without showing what is written; `prompt` as in
 * "Password of ann". Without a terminal it is a complaint, with what to do.
 * *ret_text is secret, the caller's to end. */
enum cli_exit secret_ask(const char *prompt, struct buf *ret_text) MUST_USE;
/* Twice, and both times the same. */
enum cli_exit secret_ask_new(const char *prompt, struct buf *ret_text) MUST_USE;
/* The lines of a file ("-": of stdin), without their ends: `most` of them, at
 * least one. What is behind is no error. */
enum cli_exit secret_read(const char *path, size_t most, struct buf *ret_lines,
                          size_t *ret_n) MUST_USE;

/* $XDG_CONFIG_HOME/roster/token, or ~/.config/roster/token. Gives; NULL: there
 * is no home. */
char *secret_token_path(void) MUST_USE;
/* The token that was kept; "" when there is none. Others who can read the file
 * are complained about: it is not used then. */
enum cli_exit secret_token_get(struct buf *ret_token) MUST_USE;
/* Kept for this user alone; folders are made. */
enum cli_exit secret_token_keep(const char *token) MUST_USE;
/* False: there was none. */
enum cli_exit secret_token_forget(bool *ret_was) MUST_USE;

#endif
