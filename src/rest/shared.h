/* An answer that belongs to many: as the library has it, and as the bytes that
 * the library would send. One thread: the loop's. */
#ifndef REST_SHARED_H
#define REST_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct MHD_Response;
struct rest_route;

/* What the headers of an answer depend on besides the answer. */
struct rest_stamp {
    uint64_t revision;
    uint64_t stale_ms;
    uint64_t second; /* of the Date */
    uint64_t leader; /* 0: none known */
};

/* An answer as the library has it: to be sent to any number. */
struct rest_reply {
    struct MHD_Response *response;
    const struct rest_route *route;
    unsigned status;
    uint64_t body_bytes;
};

struct rest_shared {
    size_t users;
    struct rest_reply reply; /* without a response: there was no memory */
    bool no_body;            /* HEAD: it is not sent */
    bool closes;             /* it says so itself */
    struct buf head;         /* n == 0: not written yet */
    size_t line_n;           /* of it, its first line: what is said of the
                                connection goes behind that */
    size_t date_at;          /* in it; 0: it has none */
    struct str body;         /* the response's */
};

/* Takes the response, which may be NULL, and whose body that is. */
struct rest_shared *rest_shared_new(const struct rest_reply *reply,
                                    struct str body) MUST_USE;
/* One that is still to be made. */
struct rest_shared *rest_shared_pending(void) MUST_USE;
struct rest_shared *rest_shared_ref(struct rest_shared *shared);
/* NULL is nothing. */
void rest_shared_unref(struct rest_shared *shared);
/* Its head as the library writes it, once for all. */
void rest_shared_write(struct rest_shared *shared);
/* The same with that Date. False when it cannot be had: it is on its way to
 * somebody. */
bool rest_shared_date(struct rest_shared *shared, const char *date) MUST_USE;

#endif
