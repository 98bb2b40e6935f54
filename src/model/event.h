/* An event as bytes: what changed at one revision. One form everywhere: kept in
 * the history, sent to who watches, handed to webhooks.
 *
 *   {"revision":7,"op":"put","ns":"web.shop.roster","ns_id":4,"cause":"api",
 *    "type":"machine","id":"01J…26","resource":{row},"was":{FIELDS}}
 *   {"revision":8,"op":"ns-put","ns":"www.shop.roster","ns_id":4,"cause":"api",
 *    "kind":"leaf","old":"web.shop.roster"}
 *
 *   {"revision":9,"op":"access","ns":"roster","ns_id":1,"cause":"api",
 *    "what":"user","name":"ann","gone":true}
 *
 * No blanks, members in this order. `was`, of a put over a row that was there:
 * the fields that changed with the values they had, null for one that was not
 * there. `old`, of a rename or move: the path before. Other ops have the head
 * (up to `cause`) and members of their own. (One has no namespace: a type-put
 * as older releases wrote it.)
 *
 * event_read trusts its input: it was made by this room. */
#ifndef MODEL_EVENT_H
#define MODEL_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "model/ulid.h"

enum event_op {
    EVENT_PUT,
    EVENT_DELETE,
    EVENT_NS_PUT,
    EVENT_NS_DELETE,
    EVENT_RESTORE, /* all that was is void */
    EVENT_OTHER,
};

/* ---- writing: a head, members, the end ---- */

struct event_head {
    uint64_t revision;
    const char *op;
    struct str ns; /* its path */
    uint64_t ns_id;
    const char *cause;
};
void event_write_head(struct buf *buf, const struct event_head *head);
/* `old`: the row's fields before; p == NULL: there was none, or it is not told.
 */
void event_write_row(struct buf *buf, const struct event_head *head,
                     struct str type, struct ulid id, struct str row,
                     struct str old_fields);
/* `what`: "token" …; `name` needs no escaping. */
void event_write_access(struct buf *buf, const struct event_head *head,
                        const char *what, struct str name, bool gone);
/* Closes what event_write_head opened. */
void event_write_end(struct buf *buf);

/* ---- reading ---- */

/* All lent out of the text. */
struct event {
    uint64_t revision;
    enum event_op op;
    struct str name; /* of the op, as it is written */
    struct str text; /* all of it */
    struct str ns;
    uint64_t ns_id;
    struct str cause;
    struct str kind;   /* of a namespace: "leaf", "branch" */
    struct str old;    /* path before; n == 0: none */
    struct str type;   /* of a row; n == 0: it is about none */
    struct str id;     /* of a row: 26 characters */
    struct str row;    /* see row.h; n == 0: none */
    struct str fields; /* of the row */
    struct str was;    /* fields before, as a patch; n == 0: none */
    struct str what;   /* of an op "access": "token", "role", "user", "group" */
    struct str thing;  /* which; of a token its id: 26 characters */
    bool gone;         /* it is no more */
};
void event_read(struct str text, struct event *ret_event);
/* What event_read would say of it, for less. */
uint64_t event_revision(struct str text);
/* Whether a text that somebody else wrote may be given to it. */
bool event_is_sound(struct arena *arena, struct str text) MUST_USE;
/* The still escaped value that a field had before the event (key given
 * unescaped); p == NULL when it was not there. Of a row. */
struct str event_old_value(const struct event *event, struct str key);

#endif
