/* What a stream of changes looks like on the wire. Pure.
 *
 *   SSE    id: 7            NDJSON   {event}
 *          data: {event}
 *
 * Each event is a chunk of its own (RFC 9112 7.1), so its bytes are the same
 * whoever makes them when: a stream that could send only a part of them goes
 * on in the middle after they were made again. */
#ifndef REST_FRAME_H
#define REST_FRAME_H

#include "base/mem.h"

struct rest_frame {
    bool lines;   /* NDJSON */
    bool chunked; /* HTTP/1.1 */
};

/* Appends. `revision` 0: the client is not to resume from here. */
void rest_frame_event(struct buf *out, const struct rest_frame *frame,
                      uint64_t revision, struct str text);
/* `op`: progress, reset. */
void rest_frame_note(struct buf *out, const struct rest_frame *frame,
                     const char *op, uint64_t revision);
/* It ends, and why; NULL: the node is leaving. */
void rest_frame_bye(struct buf *out, const struct rest_frame *frame,
                    uint64_t revision, const char *reason);
/* That was all. */
void rest_frame_end(struct buf *out, const struct rest_frame *frame);

#endif
