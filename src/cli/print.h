/* Answers for people, on stdout. What comes from the registry is printed
 * without its control characters: no field may drive somebody's terminal. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <jansson.h>

/* An array of flat objects, a column for each field that occurs, in the order
 * of the first occurrence; long cells are cut. `_rev` is left out. */
void print_table(const json_t *rows);
/* One flat object, a field per line, whole. */
void print_fields(const json_t *object);
/* A node of GET /v1/ns and everything below it. */
void print_tree(const json_t *node);
void print_json(const json_t *value);

#endif
