#include "template.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 12 };

static void read_all(struct template *t, const char *file)
{
    FILE *f = fopen(file, "rb");
    size_t room = 0;

    if (f == NULL) {
        err(2, "%s", file);
    }
    do {
        room = room * 2 + 4096;
        t->bytes = realloc(t->bytes, room + 1);
        if (t->bytes == NULL) {
            err(2, "%s", file);
        }
        t->n += fread(t->bytes + t->n, 1, room - t->n, f);
    } while (t->n == room);
    t->bytes[t->n] = '\0';
    fclose(f);
}

/* Where `mark` stands; *ret_places is for the caller to keep. */
static size_t find(const struct template *t, const char *mark,
                   size_t **ret_places)
{
    size_t n = 0, *places = calloc(t->n / DIGITS + 1, sizeof *places);
    const char *p = t->bytes, *end = t->bytes + t->n;

    if (places == NULL) {
        err(2, "calloc");
    }
    while ((p = memmem(p, (size_t)(end - p), mark, DIGITS)) != NULL) {
        places[n++] = (size_t)(p - t->bytes);
        p += DIGITS;
    }
    *ret_places = places;
    return n;
}

void template_read(struct template *t, const char *file)
{
    read_all(t, file);
    t->n_items = find(t, "@@@@@@@@@@@@", &t->items);
    t->n_requests = find(t, "$$$$$$$$$$$$", &t->requests);
}

static void digits(char *out, uint64_t number)
{
    for (int i = DIGITS - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

void template_next(struct template *t, char *out)
{
    memcpy(out, t->bytes, t->n);
    for (size_t i = 0; i < t->n_requests; i++) {
        digits(out + t->requests[i],
               t->request_modulo ? t->request % t->request_modulo : t->request);
    }
    t->request++;
    for (size_t i = 0; i < t->n_items; i++) {
        digits(out + t->items[i],
               t->first_item +
                   (t->item_modulo ? t->item % t->item_modulo : t->item));
        t->item++;
    }
}
