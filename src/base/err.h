/* Answers and faults: how every function here says how it went.
 *
 *   r == 0  done.
 *   r >  0  an ANSWER: the "no" of a fair question (no such key, taken). The
 *           function's header lists the answers it can give; its caller must
 *           handle each, and may turn it into an answer of its own.
 *   r <  0  a FAULT: the machine let us down (disk, corruption). No one in
 *           between looks at it: it goes up unchanged to the edge that owns the
 *           work - a request, a background task - and is logged there, once.
 *
 * What a programmer got wrong is neither: that is an assert, on in release
 * builds too. Running out of memory is not reported either: see mem.h. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/own.h"

/* Number, name, text. Answers that a command can have after it was applied are
 * stored in the key table and cross the wire: numbers never change. */
/* clang-format off */
#define ERR_LIST(X)                                                            \
    X(NOT_FOUND,     1, "not found")                                           \
    X(CONFLICT,      2, "taken by another")                                    \
    X(PRECONDITION,  3, "a condition does not hold")                           \
    X(RETRY,         4, "what it was decided on has changed")                  \
    X(INVALID,       5, "not valid")                                           \
    X(NOT_EMPTY,     6, "not empty")                                           \
    X(FORBIDDEN,     7, "not allowed")                                         \
    X(TOO_LARGE,     8, "too large")                                           \
    X(KEY_REUSED,    9, "idempotency key used for another request")            \
    X(FULL,         10, "no room left")                                        \
    X(NOT_READY,    11, "not ready")                                           \
    X(UNKNOWN,      12, "outcome unknown")                                     \
    X(TOO_COSTLY,   13, "costs more than its limit")                           \
    X(RESTART,      14, "read again from the start")                           \
    X(BUSY,         15, "wait for the outcome")                                \
    X(END,          16, "no more")                                             \
    X(NOT_MODIFIED, 17, "not modified")                                        \
    X(KEYS_FULL,    18, "too many idempotency keys held")                      \
    X(QUOTA,        19, "beyond a quota")                                      \
    X(IO,           -1, "input or output failed")                              \
    X(CORRUPT,      -2, "stored data is damaged")                              \
    X(DISK_FULL,    -3, "the disk is full")                                    \
    X(SYSTEM,       -4, "the system refused")
/* clang-format on */

enum err {
#define X(name, number, text) ERR_##name = (number),
    ERR_LIST(X)
#undef X
};

/* Static text for any code, never NULL. */
const char *err_text(int r);

/* Raise a fault: remembers file and line for the log, gives `fault` back.
 *     return err_raise(ERR_IO); */
#define err_raise(fault) err_raise_at((fault), __FILE__, __LINE__)
int err_raise_at(int fault, const char *file, int line) MUST_USE;

/* Where this thread last raised a fault, as "file:line"; "" if it never did.
 * Lent: good until the thread's next err_raise. */
const char *err_origin(void);

#endif
