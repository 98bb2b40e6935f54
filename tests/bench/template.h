#ifndef BENCH_TEMPLATE_H
#define BENCH_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

/* A request with numbers left open, read from a file. Twelve '@' stand for the
 * number of an item, each place the next one; twelve '$' for the number of the
 * request. Numbers have twelve digits, so every request is equally long, and
 * digits stay right where the text around them is in base64. */

struct template
{
    char *bytes;
    size_t n;
    size_t *items, n_items;
    size_t *requests, n_requests;
    uint64_t item, first_item, item_modulo; /* modulo 0: for ever */
    uint64_t request, request_modulo;
};

/* Exits with a message when the file cannot be read. */
void template_read(struct template *t, const char *file);

/* Writes the next request to `out`, which has room for t->n bytes. */
void template_next(struct template *t, char *out);

#endif
