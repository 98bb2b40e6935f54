/* How verbs show what they got, and what several of them read. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/ask.h"

/* An array of flat objects, as table or JSON; "nothing found" for people. */
void show_rows(const struct cli *cli, const json_t *rows);
/* What a change answered: the resource, or a word that it is done. Programs
 * get {"done":true} where there is no answer. */
void show_change(const struct cli *cli, const json_t *answer, const char *done);
/* Sends a change and shows its answer. */
enum cli_exit show_sent(struct cli *cli, const char *method, const char *path,
                        const json_t *body, const char *done) MUST_USE;
/* The same for one of several: for people the line begins with its name. */
enum cli_exit show_sent_of(struct cli *cli, const char *method,
                           const char *path, const json_t *body,
                           const char *name, const char *done) MUST_USE;
/* FIELD=VALUE of the arguments from `first` on; FIELD- as null where a field
 * may be removed. Gives the object, NULL after a complaint. */
json_t *show_read_fields(const struct cli *cli, size_t first,
                         bool may_remove) MUST_USE;
/* "web.shop.roster" as "web" (its length) and "shop.roster" (lent), or NULL
 * after a complaint. */
const char *show_parent(const char *ns, size_t *ret_label) MUST_USE;

#endif
