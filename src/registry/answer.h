/* Answers: problems that name the thing, and the small pieces of JSON and
 * queries that answers are made of. Private to the room. */
#ifndef REGISTRY_ANSWER_H
#define REGISTRY_ANSWER_H

#include "registry/room.h"

/* Text from outside in a detail: as much of it as a person wants to read.
 * printf's %.*s. */
#define SHOWN_MAX 160
#define SHOW(s) (int)((s).n < SHOWN_MAX ? (s).n : SHOWN_MAX), (s).p

/* Set the problem; always ANSWERED. What is no UTF-8 in the detail is replaced.
 * `field` is copied. */
int answer_problem(struct op_state *s, enum op_code code, struct str field,
                   const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* 503, surely not done, in a second again. */
int answer_busy(struct op_state *s, const char *detail);
/* An integer member of the problem: "index", "condition". */
void answer_extra(struct op_state *s, const char *name, uint64_t number);
/* Forget what was answered before: another answer takes its place. */
void answer_reset(struct op_state *s);

/* 200 with a body; the buffer's bytes move into op->arena. */
int answer_ok(struct op_state *s, struct buf *body);

void answer_add_ulid(struct buf *out, struct ulid id); /* with quotes */
/* "&name=value", percent-encoded, without '&' at the start; a value with p NULL
 * adds nothing. */
void answer_add_query(struct buf *out, const char *name, struct str value);
/* How fresh a read was asked to be, for its next page. */
void answer_add_freshness(struct buf *out, const struct op_query *query);
/* One segment of a path, percent-encoded. */
void answer_add_segment(struct buf *out, struct str segment);
/* Location: /v1/ns/{ns}/{type}/{id} */
void answer_row_location(struct op_state *s, struct str ns, struct ulid id);

#endif
