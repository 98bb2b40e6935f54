/* Who asks: the credential of a request, and whose it is.
 *
 * A connection remembers what it showed last and who that was, so that a caller
 * who keeps his connection costs a comparison and a number, not a hash and a
 * look. What cannot be read as a credential is nobody's: who needs none is
 * served, anybody else is told what is wrong with it.
 *
 * One thread: the loop's. */
#ifndef REST_WHO_H
#define REST_WHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access/access.h"
#include "base/mem.h"

struct rest_loop;
struct rest_request;

/* Longest numeric address, and its end. */
#define REST_FROM_BYTES 46

/* Of a connection. {0}: nobody has asked yet. */
struct rest_shown {
    struct access_who *who; /* NULL: not known */
    char *text;             /* of the header he showed; NULL: none */
    size_t n;
    char from[REST_FROM_BYTES]; /* its client's address; "": not looked at */
};
void rest_shown_done(struct rest_shown *shown);
/* It goes with the socket to another connection. */
void rest_shown_move(struct rest_shown *to, struct rest_shown *from);

/* Whether callers are looked at at all is found out once, at the loop's start.
 */
void rest_who_begin(struct rest_loop *loop);
/* Whether he is who he was, and his time is not over. */
bool rest_who_stands(const struct rest_loop *loop,
                     const struct access_who *who);
/* The access mark at which he is who he is: `mark`, which was read before he
 * was looked up, or, where what has moved it could not be read yet, one that
 * there never is. */
#define REST_NO_MARK UINT64_MAX
uint64_t rest_who_mark(const struct rest_loop *loop,
                       const struct access_who *who, uint64_t mark);
/* Sets the request's who, and counts it among what he and his address may send:
 * what is wrong becomes its problem. `authorization`: as in the header; p ==
 * NULL: none. */
void rest_who_set(struct rest_request *request, struct str authorization);
/* The two parts of that. */
void rest_who_find(struct rest_request *request, struct str authorization);
void rest_who_admit(struct rest_request *request);
/* Its body took a while to come: who that is now. */
void rest_who_renew(struct rest_request *request);
/* The same as he is now; anonymous when he is nobody any more. Counted for the
 * caller. Faults of the store. */
int rest_who_again(struct rest_loop *loop, const struct access_who *who,
                   struct access_who **ret_who) MUST_USE;

#endif
