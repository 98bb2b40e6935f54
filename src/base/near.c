#include "base/near.h"

#include <stdint.h>

/* A namespace's whole name is the longest that is asked for. */
enum { NAME_MOST = 253 };

/* Levenshtein's distance, one row at a time. */
static size_t distance(struct str a, struct str b)
{
    size_t row[NAME_MOST + 1];

    if (a.n > NAME_MOST || b.n > NAME_MOST) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t change = corner + (a.p[i - 1] == b.p[j - 1] ? 0 : 1);
            size_t edit = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            corner = row[j];
            row[j] = change < edit ? change : edit;
        }
    }
    return row[b.n];
}

struct near near_to(struct str wrong)
{
    return (struct near){NULL, wrong, 2 + wrong.n / 4};
}

void near_try(struct near *near, const char *name)
{
    size_t d = distance(near->wrong, str_of(name));

    if (d < near->distance) {
        near->name = name;
        near->distance = d;
    }
}
