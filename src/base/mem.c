#include "base/mem.h"

#include <assert.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

static void *or_stop(void *p)
{
    if (p == NULL) {
        (void)fputs("roster: out of memory\n", stderr);
        abort();
    }
    return p;
}

/* Each mallopt merges before it sets anything. This is the default. */
void mem_merge(void)
{
    (void)mallopt(M_MXFAST, 64 * sizeof(size_t) / 4);
}

void *mem_alloc(size_t size)
{
    return or_stop(malloc(size == 0 ? 1 : size));
}

void *mem_zero(size_t size)
{
    return or_stop(calloc(1, size == 0 ? 1 : size));
}

void *mem_grow(void *old, size_t size)
{
    return or_stop(realloc(old, size == 0 ? 1 : size));
}

void *mem_dup(const void *from, size_t size)
{
    void *copy = mem_alloc(size);
    if (size > 0) {
        memcpy(copy, from, size);
    }
    return copy;
}

char *mem_text(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

void *mem_free(void *p)
{
    free(p);
    return NULL;
}

void *mem_wipe(void *p, size_t size)
{
    if (p != NULL) {
        explicit_bzero(p, size);
    }
    return mem_free(p);
}

int str_compare(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int r = n == 0 ? 0 : memcmp(a.p, b.p, n);
    if (r != 0) {
        return r;
    }
    return (a.n > b.n) - (a.n < b.n);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str text)
{
    while (text.n > 0 && is_blank(text.p[0])) {
        text.p++;
        text.n--;
    }
    while (text.n > 0 && is_blank(text.p[text.n - 1])) {
        text.n--;
    }
    return text;
}

int str_number(struct str text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (text.n == 0) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return ERR_INVALID;
        }
        uint64_t digit = (uint64_t)(text.p[i] - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return ERR_INVALID;
        }
        number = number * 10 + digit;
    }
    if (number > max) {
        return ERR_INVALID;
    }
    *ret_number = number;
    return 0;
}

int str_duration(struct str text, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    size_t digits = 0;
    uint64_t number = 0;

    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9') {
        digits++;
    }
    int r = str_number((struct str){text.p, digits}, 1000000000, &number);
    if (r != 0) {
        return r;
    }
    struct str unit = {text.p + digits, text.n - digits};
    if (unit.n == 0 && number == 0) {
        *ret_ms = 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (str_is(unit, units[i].unit)) {
            *ret_ms = number * units[i].ms;
            return 0;
        }
    }
    return ERR_INVALID;
}

void buf_done(struct buf *buf)
{
    buf->p = buf->secret ? mem_wipe(buf->p, buf->room) : mem_free(buf->p);
    *buf = (struct buf){0};
}

/* The heap's own way leaves the old bytes where they were. */
static char *grow_secret(struct buf *buf, size_t room)
{
    char *grown = mem_alloc(room);

    if (buf->n > 0) {
        memcpy(grown, buf->p, buf->n);
    }
    (void)mem_wipe(buf->p, buf->room);
    return grown;
}

void buf_grow(struct buf *buf, size_t more)
{
    size_t need = buf->n + more;
    size_t room = buf->room < 256 ? 256 : buf->room;

    while (room < need) {
        room += room / 2;
    }
    buf->p = buf->secret ? grow_secret(buf, room) : mem_grow(buf->p, room);
    buf->room = room;
}

void buf_add_u64(struct buf *buf, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    buf_add(buf, digits + at, sizeof digits - at);
}

static size_t length_of(int printed)
{
    if (printed < 0) {
        (void)fputs("roster: bad format\n", stderr);
        abort();
    }
    return (size_t)printed;
}

void buf_add_le(struct buf *buf, uint64_t number, size_t n)
{
    uint8_t bytes[8];

    le_put(bytes, number, n);
    buf_add(buf, bytes, n);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;

    buf_reserve(buf, 64);
    size_t room = buf->room - buf->n;
    va_start(args, format);
    size_t n = length_of(vsnprintf(buf->p + buf->n, room, format, args));
    va_end(args);
    if (n >= room) {
        buf_reserve(buf, n + 1);
        va_start(args, format);
        (void)vsnprintf(buf->p + buf->n, n + 1, format, args);
        va_end(args);
    }
    buf->n += n;
}

char *buf_text(struct buf *buf)
{
    buf_reserve(buf, 1);
    buf->p[buf->n] = '\0';
    return buf->p;
}

struct block {
    struct block *next;
    size_t used;
    size_t room;
    _Alignas(16) char bytes[];
};

struct arena {
    struct block *newest;
    bool secret;
};

enum { BLOCK_ROOM = 4096 - sizeof(struct block) };

static struct block *block_new(struct block *next, size_t room)
{
    struct block *block = mem_alloc(sizeof *block + room);
    block->next = next;
    block->used = 0;
    block->room = room;
    return block;
}

struct arena *arena_new(void)
{
    struct arena *arena = mem_alloc(sizeof *arena);
    arena->secret = false;
    arena->newest = block_new(NULL, BLOCK_ROOM);
    return arena;
}

void arena_secret(struct arena *arena)
{
    arena->secret = true;
}

static void wipe_if_secret(const struct arena *arena, struct block *block)
{
    if (arena->secret) {
        explicit_bzero(block->bytes, block->used);
    }
}

struct arena *arena_free(struct arena *arena)
{
    if (arena == NULL) {
        return NULL;
    }
    while (arena->newest != NULL) {
        struct block *block = arena->newest;
        arena->newest = block->next;
        wipe_if_secret(arena, block);
        free(block);
    }
    free(arena);
    return NULL;
}

void arena_reset(struct arena *arena)
{
    struct block *kept = NULL;

    /* One of the common size; a large one must not stay for good. */
    for (struct block *block = arena->newest; block != NULL;) {
        struct block *next = block->next;
        wipe_if_secret(arena, block);
        if (kept == NULL && block->room == BLOCK_ROOM) {
            kept = block;
        } else {
            free(block);
        }
        block = next;
    }
    assert(kept != NULL); /* The first block is of the common size. */
    kept->next = NULL;
    kept->used = 0;
    arena->newest = kept;
    arena->secret = false;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    struct block *block = arena->newest;
    if (block->room - block->used < size) {
        if (size > BLOCK_ROOM / 4) {
            /* A large thing gets a block of its own, put behind the newest so
             * that small things go on filling that one. */
            struct block *own = block_new(block->next, size);
            block->next = own;
            own->used = size;
            return own->bytes;
        }
        block = arena->newest = block_new(block, BLOCK_ROOM);
    }
    void *p = block->bytes + block->used;
    block->used += size;
    return p;
}

void *arena_zero(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

struct str arena_str(struct arena *arena, struct str from)
{
    return (struct str){arena_text(arena, from), from.n};
}

char *arena_text(struct arena *arena, struct str from)
{
    char *text = arena_alloc(arena, from.n + 1);
    if (from.n > 0) {
        memcpy(text, from.p, from.n);
    }
    text[from.n] = '\0';
    return text;
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    char small[256];
    va_list args;

    va_start(args, format);
    size_t n = length_of(vsnprintf(small, sizeof small, format, args));
    va_end(args);
    if (n < sizeof small) {
        return arena_str(arena, (struct str){small, n});
    }
    char *text = arena_alloc(arena, n + 1);
    va_start(args, format);
    (void)vsnprintf(text, n + 1, format, args);
    va_end(args);
    return (struct str){text, n};
}

struct str arena_take(struct arena *arena, struct buf *buf)
{
    struct str copy = arena_str(arena, buf_str(buf));
    buf_done(buf);
    return copy;
}
