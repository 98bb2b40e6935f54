/* Answers on stdout. For people: what comes from the registry is escaped
 * (cli/text.h), and cut to the width of the terminal when there is one; a pipe
 * or a file gets it whole. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <jansson.h>

#include "base/mem.h"

/* An array of flat objects, a column for each field that occurs, in the order
 * of the first occurrence. `_rev` is left out. */
void print_table(const json_t *rows);
/* One flat object, a field per line, whole. */
void print_fields(const json_t *object);
/* A node of GET /v1/ns and everything below it. */
void print_tree(const json_t *node);
/* For programs; the same bytes wherever stdout leads. */
void print_json(const json_t *value);
/* One value, or one line of JSON without its end, as compact JSON. */
void print_add_json(struct buf *out, const json_t *value);
/* JSON as it came, with what a terminal would obey escaped: still equal. */
void print_add_safe_json(struct buf *out, const char *json);
/* Columns of the terminal that stdout is; 0 when it is none. */
size_t print_width(void) MUST_USE;

#endif
