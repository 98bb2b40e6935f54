/* Memory: the heap, an arena per request, a growing buffer, a slice of text.
 *
 * Nothing here returns NULL: when the system has no memory left the process
 * stops (abort). Every request is bounded in size before it is read, so running
 * out means the host itself is out of memory; a roster node survives kill -9 by
 * design, and stopping is the one reaction that cannot leave a replica half
 * changed. Code above stays free of a thousand untested branches. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/own.h"

void *mem_alloc(size_t size) MUST_USE;
void *mem_zero(size_t size) MUST_USE; /* Filled with zero bytes. */
void *mem_grow(void *old, size_t size) MUST_USE;
void *mem_dup(const void *from, size_t size) MUST_USE;
char *mem_text(const char *text) MUST_USE; /* strdup */
void *mem_free(void *p);                   /* Always NULL. */
/* Overwrites it first, and so surely that no compiler leaves it out. */
void *mem_wipe(void *p, size_t size);

/* A slice: not owned, not NUL-terminated, may hold NUL bytes. `p` may be NULL
 * when `n` is 0. A slice with p == NULL means "not given" where a header says
 * so. */
struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf("%.*s"). */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *text)
{
    return (struct str){text, text == NULL ? 0 : strlen(text)};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *text)
{
    return str_equal(a, str_of(text));
}

/* Byte order, shorter first on a common prefix: <0, 0, >0. */
int str_compare(struct str a, struct str b);
/* Without blanks and tabs around it: what HTTP allows around a value (RFC 9110
 * 5.6.3). */
struct str str_trim(struct str text);
/* Whole decimal number 0..max and nothing else: 0 or INVALID. */
int str_number(struct str text, uint64_t max, uint64_t *ret_number) MUST_USE;
/* "10s", "500ms", "5m", "24h" or "0": 0 or INVALID. */
int str_duration(struct str text, uint64_t *ret_ms) MUST_USE;

/* Numbers in bytes, little-endian, 1 to 8 bytes. Inline: with a length that the
 * compiler knows each is one instruction, and a write does a hundred. */
static inline void le_put(void *at, uint64_t number, size_t n)
{
    uint8_t *bytes = at;

    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(number >> (8 * i));
    }
}

static inline uint64_t le_get(const void *at, size_t n)
{
    const uint8_t *bytes = at;
    uint64_t number = 0;

    for (size_t i = 0; i < n; i++) {
        number |= (uint64_t)bytes[i] << (8 * i);
    }
    return number;
}

/* ---- buffer: bytes that grow. {0} is an empty one; ends with buf_done. ----
 */
struct buf {
    char *p;
    size_t n;
    size_t room;
    bool secret; /* what it held is overwritten when it moves, and at its end.
                    Set while it is empty */
};

void buf_done(struct buf *buf);
void buf_grow(struct buf *buf, size_t more); /* what buf_reserve may need */
static inline void buf_reserve(struct buf *buf, size_t more)
{
    if (more > buf->room - buf->n) {
        buf_grow(buf, more);
    }
}
static inline void buf_add(struct buf *buf, const void *bytes, size_t n)
{
    if (n > 0) {
        assert(bytes != NULL);
        buf_reserve(buf, n);
        memcpy(buf->p + buf->n, bytes, n);
        buf->n += n;
    }
}
static inline void buf_add_str(struct buf *buf, struct str s)
{
    buf_add(buf, s.p, s.n);
}
static inline void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}
static inline void buf_add_char(struct buf *buf, char c)
{
    buf_reserve(buf, 1);
    buf->p[buf->n++] = c;
}
void buf_add_u64(struct buf *buf, uint64_t number); /* decimal */
void buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The low `n` bytes of a number, the lowest first: how roster writes numbers.
 */
void buf_add_le(struct buf *buf, uint64_t number, size_t n);
/* The bytes as a string with a NUL behind them (not counted). Lends. */
char *buf_text(struct buf *buf);
static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->p, buf->n};
}
static inline void buf_clear(struct buf *buf)
{
    buf->n = 0;
}

/* ---- the library's memory ---- */

/* glibc lets small pieces that were freed lie until some large one is asked for
 * or freed, and then merges all there are: behind a million of them whoever
 * comes next waits for tens of milliseconds. Who frees many and may not stop
 * calls this in between. What the main thread has allocated. */
void mem_merge(void);

/* ---- arena: many small things with one end. ---- */
struct arena; /* opaque; one thread at a time */

struct arena *arena_new(void) MUST_USE;
struct arena *arena_free(struct arena *arena);
/* What is in it, and will be, is overwritten when it is forgotten: until the
 * next reset. */
void arena_secret(struct arena *arena);
/* Forget everything, keep one block for the next user. */
void arena_reset(struct arena *arena);
/* Aligned for any type, not zeroed. */
void *arena_alloc(struct arena *arena, size_t size) MUST_USE;
void *arena_zero(struct arena *arena, size_t size) MUST_USE;
struct str arena_str(struct arena *arena, struct str from) MUST_USE;
/* A NUL-terminated copy. */
char *arena_text(struct arena *arena, struct str from) MUST_USE;
struct str arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Moves what a buffer holds into the arena and empties the buffer. */
struct str arena_take(struct arena *arena, struct buf *buf);

DEFINE_CLEANUP(struct arena, arena_free)

#endif
