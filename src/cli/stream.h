/* A JSON array taken apart while it comes: one element at a time is in memory.
 *
 *     struct stream stream = {.element = on_element, .user = …};
 *     stream_take(bytes, n, &stream) … ; stream_whole(&stream) */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include <jansson.h>

#include "base/mem.h"

struct stream {
    /* Lends the element; not 0 stops. */
    int (*element)(const json_t *element, void *user);
    void *user;

    struct buf text; /* the element that has begun */
    unsigned depth;
    bool in_string;
    bool escaped;
    bool began, ended;
};

/* For roster_stream's take: not 0 when it is no array of objects, an element
 * is larger than LINE_MOST, or element() said so. */
int stream_take(const void *bytes, size_t n, void *user);
/* Has the array ended? */
bool stream_whole(const struct stream *stream);
void stream_done(struct stream *stream);

/* A JSON object without the content of one of its members, which may be
 * larger than memory: it becomes null. */
struct stream_without {
    const char *member;
    struct buf text; /* the rest */
    unsigned depth;
    bool in_string;
    bool escaped;
    bool skipping;
};

int stream_without_take(const void *bytes, size_t n, void *user);

#endif
