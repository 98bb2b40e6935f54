#include "model/ulid.h"

#include <assert.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/err.h"

/* Crockford's base 32: no I, L, O, U. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* 128 bits as two numbers, for arithmetic. */
struct wide {
    uint64_t high;
    uint64_t low;
};

static struct {
    pthread_mutex_t mutex;
    struct wide last; /* The greatest one given out. */
} maker = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint64_t load(const uint8_t *bytes)
{
    uint64_t number = 0;

    for (size_t i = 0; i < 8; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

static void save(uint64_t number, uint8_t *ret_bytes)
{
    for (size_t i = 8; i-- > 0;) {
        ret_bytes[i] = (uint8_t)number;
        number >>= 8;
    }
}

static struct wide widen(struct ulid id)
{
    return (struct wide){load(id.b), load(id.b + 8)};
}

static struct ulid narrow(struct wide number)
{
    struct ulid id;

    save(number.high, id.b);
    save(number.low, id.b + 8);
    return id;
}

static struct wide plus(struct wide number, uint64_t n)
{
    struct wide sum = {number.high, number.low + n};

    if (sum.low < n) {
        sum.high++;
    }
    return sum;
}

/* The first one after `last`: by the clock when it has moved on since, else the
 * very next number. Counting may run over into the time; then the clock counts
 * as stepped back until it catches up. */
static struct wide following(struct wide last)
{
    uint64_t now_ms = clock_wall_ms() & 0xffffffffffff;

    if (now_ms <= last.high >> 16) {
        return plus(last, 1);
    }
    struct wide fresh = {0};
    chance_fill(&fresh, sizeof fresh);
    fresh.high = now_ms << 16 | (fresh.high & 0xffff);
    return fresh;
}

struct ulid ulid_next(void)
{
    return ulid_next_run(1);
}

struct ulid ulid_next_run(uint64_t n)
{
    assert(n > 0);
    (void)pthread_mutex_lock(&maker.mutex);
    struct wide first = following(maker.last);
    maker.last = plus(first, n - 1);
    (void)pthread_mutex_unlock(&maker.mutex);
    return narrow(first);
}

struct ulid ulid_plus(struct ulid from, uint64_t n)
{
    return narrow(plus(widen(from), n));
}

/* The lowest bits of a number as `n` digits. */
static void put_digits(uint64_t number, size_t n, char *ret_digits)
{
    while (n-- > 0) {
        ret_digits[n] = alphabet[number & 31];
        number >>= 5;
    }
}

void ulid_format(struct ulid id, char ret_text[ULID_TEXT])
{
    struct wide number = widen(id);

    /* Of 128 bits 12 digits hold the lowest 60, and 12 the next 60. */
    put_digits(number.high >> 56, 2, ret_text);
    put_digits(number.high << 4 | number.low >> 60, 12, ret_text + 2);
    put_digits(number.low, 12, ret_text + 14);
}

/* From '0' to 'z': 1 more than the digit that it is, 0 for what is none. */
static const uint8_t digits[] = {
    1,  2,  3,  4,  5,  6,  7, 8,  9,  10, 0,  0,  0,  0,  0,  0,  0,  11, 12,
    13, 14, 15, 16, 17, 18, 0, 19, 20, 0,  21, 22, 0,  23, 24, 25, 26, 27, 0,
    28, 29, 30, 31, 32, 0,  0, 0,  0,  0,  0,  11, 12, 13, 14, 15, 16, 17, 18,
    0,  19, 20, 0,  21, 22, 0, 23, 24, 25, 26, 27, 0,  28, 29, 30, 31, 32};

int ulid_parse(struct str text, struct ulid *ret_id)
{
    struct wide number = {0};

    /* 26 digits hold 130 bits: the first digit may use 3 of its 5. */
    if (text.n != ULID_TEXT || text.p[0] < '0' || text.p[0] > '7') {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < ULID_TEXT; i++) {
        unsigned at = (unsigned char)text.p[i] - (unsigned)'0';
        if (at >= sizeof digits || digits[at] == 0) {
            return ERR_INVALID;
        }
        number.high = number.high << 5 | number.low >> 59;
        number.low = number.low << 5 | (digits[at] - 1U);
    }
    *ret_id = narrow(number);
    return 0;
}

bool ulid_shaped(struct str text)
{
    struct ulid id;

    return ulid_parse(text, &id) == 0;
}

int ulid_compare(struct ulid a, struct ulid b)
{
    return memcmp(a.b, b.b, sizeof a.b);
}

bool ulid_is_zero(struct ulid id)
{
    struct wide number = widen(id);

    return (number.high | number.low) == 0;
}
