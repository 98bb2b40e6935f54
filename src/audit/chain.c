#include "audit/chain.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

#define BEGIN "{\"seq\":"
#define PREV ",\"prev\":\""
#define HASH "\",\"hash\":\""
#define END "\"}\n"

enum {
    HEX = AUDIT_HASH - 1,
    /* What stands behind a line's text. */
    TAIL = sizeof PREV - 1 + HEX + sizeof HASH - 1 + HEX + sizeof END - 1,
    HASHED_TAIL = sizeof PREV - 1 + HEX + 1,
    LEAST = sizeof BEGIN + TAIL,
};

struct chain_head audit_chain_none(void)
{
    struct chain_head head = {.seq = 0};

    memset(head.hash, '0', HEX);
    return head;
}

void audit_chain_hex(const uint8_t digest[SHA256_BYTES],
                     char ret_hex[AUDIT_HASH])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < SHA256_BYTES; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[HEX] = '\0';
}

static void hash_hex(const void *bytes, size_t n, char ret_hex[AUDIT_HASH])
{
    uint8_t digest[SHA256_BYTES];

    sha256_of(bytes, n, digest);
    audit_chain_hex(digest, ret_hex);
}

void audit_chain_add(struct chain_head *head, struct str text, struct buf *out)
{
    size_t at = out->n;

    buf_add_text(out, BEGIN);
    buf_add_u64(out, ++head->seq);
    buf_add_char(out, ',');
    buf_add_str(out, text);
    buf_add_text(out, PREV);
    buf_add(out, head->hash, HEX);
    buf_add_char(out, '"');
    hash_hex(out->p + at, out->n - at, head->hash);
    buf_add_text(out, HASH + 1);
    buf_add(out, head->hash, HEX);
    buf_add_text(out, END);
}

/* ---- reading ---- */

struct line {
    uint64_t seq;
    const char *prev, *hash; /* HEX each */
    struct str text;
};

static bool starts_with(struct str text, const char *with)
{
    size_t n = strlen(with);
    return text.n >= n && memcmp(text.p, with, n) == 0;
}

/* Whether the bytes are a line that is as it was written. */
static bool read_line(struct str bytes, struct line *ret_line)
{
    char own[AUDIT_HASH];

    if (bytes.n < LEAST || !starts_with(bytes, BEGIN)) {
        return false;
    }
    const char *tail = bytes.p + bytes.n - TAIL;
    const char *hash = tail + HASHED_TAIL + sizeof HASH - 2;
    if (memcmp(tail, PREV, sizeof PREV - 1) != 0 ||
        memcmp(tail + HASHED_TAIL - 1, HASH, sizeof HASH - 1) != 0 ||
        memcmp(hash + HEX, END, sizeof END - 1) != 0) {
        return false;
    }
    hash_hex(bytes.p, bytes.n - TAIL + HASHED_TAIL, own);
    if (memcmp(own, hash, HEX) != 0) {
        return false;
    }
    struct str rest = {bytes.p + sizeof BEGIN - 1,
                       bytes.n - TAIL - (sizeof BEGIN - 1)};
    const char *comma = memchr(rest.p, ',', rest.n);
    if (comma == NULL ||
        str_number((struct str){rest.p, (size_t)(comma - rest.p)}, INT64_MAX,
                   &ret_line->seq) != 0) {
        return false;
    }
    ret_line->prev = tail + sizeof PREV - 1;
    ret_line->hash = hash;
    ret_line->text =
        (struct str){comma + 1, rest.n - (size_t)(comma - rest.p) - 1};
    return true;
}

void audit_chain_begin(struct chain *chain, const struct audit_noted *noted)
{
    *chain = (struct chain){.head = audit_chain_none(), .noted = noted};
}

void audit_chain_done(struct chain *chain)
{
    if (chain->torn != NULL) {
        chain->torn = sha256_end(chain->torn, NULL);
    }
    buf_done(&chain->part);
}

__attribute__((format(printf, 3, 4))) static int
refuse(const struct chain *chain, char why[AUDIT_WHY], const char *format, ...)
{
    va_list args;
    int n = snprintf(why, AUDIT_WHY, "line %llu of the file (behind seq %llu) ",
                     (unsigned long long)chain->place,
                     (unsigned long long)chain->head.seq);

    va_start(args, format);
    (void)vsnprintf(why + n, AUDIT_WHY - (size_t)n, format, args);
    va_end(args);
    return ERR_INVALID;
}

static void note_torn(struct chain *chain, struct str bytes)
{
    if (chain->torn == NULL) {
        chain->torn = sha256_new();
        chain->torn_bytes = 0;
    }
    sha256_add(chain->torn, bytes.p, bytes.n);
    chain->torn_bytes += bytes.n;
}

/* ...,"op":"audit resume",... as the room itself writes it: nothing that a
 * caller sends can stand in the place of an operation's name. */
static bool is_op(const struct line *line, const char *op)
{
    char text[64];

    int n = snprintf(text, sizeof text, ",\"op\":\"%s\"", op);
    return memmem(line->text.p, line->text.n, text, (size_t)n) != NULL;
}

static int check_resume(struct chain *chain, const struct line *line,
                        char why[AUDIT_WHY])
{
    uint8_t digest[SHA256_BYTES];
    char hex[AUDIT_HASH], text[160];

    if (chain->torn == NULL) {
        return 0;
    }
    chain->torn = sha256_end(chain->torn, digest);
    audit_chain_hex(digest, hex);
    int n = snprintf(text, sizeof text, ",\"detail\":\"torn %llu %s\"",
                     (unsigned long long)chain->torn_bytes, hex);
    if (!is_op(line, CHAIN_RESUME) ||
        memmem(line->text.p, line->text.n, text, (size_t)n) == NULL) {
        return refuse(chain, why,
                      "comes behind %llu bytes that are no line as it was "
                      "written, and no line tells of them",
                      (unsigned long long)chain->torn_bytes);
    }
    chain->verdict.torn++;
    return 0;
}

/* The very first, and the first that is kept, have nothing before them that
 * could be compared. */
static int check_first(struct chain *chain, const struct line *line,
                       char why[AUDIT_WHY])
{
    struct chain_head none = audit_chain_none();

    if (line->seq == 0 ||
        (line->seq == 1 && memcmp(line->prev, none.hash, HEX) != 0)) {
        return refuse(chain, why, "is not how a chain begins");
    }
    chain->verdict.first_seq = line->seq;
    chain->verdict.begins_later = line->seq != 1;
    return 0;
}

static int check_next(struct chain *chain, const struct line *line,
                      char why[AUDIT_WHY])
{
    if (line->seq != chain->head.seq + 1) {
        return refuse(chain, why,
                      "has seq %llu: lines are missing, or in another order",
                      (unsigned long long)line->seq);
    }
    if (memcmp(line->prev, chain->head.hash, HEX) != 0) {
        return refuse(chain, why,
                      "does not follow the line before it: one of them was "
                      "changed");
    }
    return 0;
}

static int check_noted(const struct chain *chain, const struct line *line,
                       char why[AUDIT_WHY])
{
    const struct audit_noted *noted = chain->noted;

    if (noted != NULL && noted->seq == line->seq &&
        memcmp(noted->hash, line->hash, HEX) != 0) {
        return refuse(chain, why,
                      "is not the one that was noted: this chain was made "
                      "anew");
    }
    return 0;
}

static int take_line(struct chain *chain, const struct line *line,
                     char why[AUDIT_WHY])
{
    struct audit_verdict *verdict = &chain->verdict;

    int r = verdict->lines == 0 ? check_first(chain, line, why)
                                : check_next(chain, line, why);
    if (r == 0) {
        r = check_resume(chain, line, why);
    }
    if (r == 0) {
        r = check_noted(chain, line, why);
    }
    if (r != 0) {
        return r;
    }
    chain->head.seq = line->seq;
    memcpy(chain->head.hash, line->hash, HEX);
    verdict->lines++;
    verdict->gaps += is_op(line, CHAIN_GAP);
    return 0;
}

/* One line with its end, or what is too long for one. */
static int take(struct chain *chain, struct str bytes, char why[AUDIT_WHY])
{
    struct line line;

    chain->place++;
    if (!read_line(bytes, &line)) {
        note_torn(chain, bytes);
        return 0;
    }
    int r = take_line(chain, &line, why);
    if (r == 0) {
        chain->good = chain->offset;
    }
    return r;
}

int audit_chain_feed(struct chain *chain, const void *bytes, size_t n,
                     char why[AUDIT_WHY])
{
    struct str rest = {bytes, n};
    int r = 0;

    while (r == 0 && rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t step = end == NULL ? rest.n : (size_t)(end - rest.p) + 1;
        bool whole = end != NULL;
        if (chain->part.n + step > CHAIN_LINE_MOST) {
            step = CHAIN_LINE_MOST - chain->part.n;
            whole = true;
        }
        buf_add(&chain->part, rest.p, step);
        chain->offset += step;
        rest.p += step;
        rest.n -= step;
        if (whole) {
            r = take(chain, buf_str(&chain->part), why);
            buf_clear(&chain->part);
        }
    }
    return r;
}

int audit_chain_end_file(struct chain *chain, bool last, char why[AUDIT_WHY])
{
    if (chain->part.n > 0) {
        chain->place++;
        note_torn(chain, buf_str(&chain->part));
        buf_clear(&chain->part);
    }
    if (chain->torn != NULL && !last) {
        return refuse(chain, why,
                      "ends with %llu bytes that are no line as it was "
                      "written, and no line tells of them",
                      (unsigned long long)chain->torn_bytes);
    }
    chain->verdict.files++;
    chain->place = 0;
    chain->offset = 0;
    chain->good = 0;
    return 0;
}

int audit_chain_end(struct chain *chain, char why[AUDIT_WHY])
{
    struct audit_verdict *verdict = &chain->verdict;
    const struct audit_noted *noted = chain->noted;

    verdict->last_seq = chain->head.seq;
    if (chain->torn != NULL) {
        verdict->open_bytes = chain->torn_bytes;
    }
    if (verdict->lines > 0) {
        memcpy(verdict->hash, chain->head.hash, HEX);
    }
    if (noted == NULL || noted->seq == 0) {
        return 0;
    }
    if (noted->seq > verdict->last_seq) {
        (void)snprintf(why, AUDIT_WHY,
                       "the end is missing: the line with seq %llu was noted, "
                       "and the last that is here is %llu",
                       (unsigned long long)noted->seq,
                       (unsigned long long)verdict->last_seq);
        return ERR_INVALID;
    }
    verdict->noted_gone = noted->seq < verdict->first_seq;
    return 0;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

int audit_noted_parse(struct str text, struct audit_noted *ret_noted)
{
    const char *colon = memchr(text.p, ':', text.n);

    if (colon == NULL || text.n - (size_t)(colon - text.p) - 1 != HEX ||
        str_number((struct str){text.p, (size_t)(colon - text.p)}, INT64_MAX,
                   &ret_noted->seq) != 0) {
        return ERR_INVALID;
    }
    for (size_t i = 1; i <= HEX; i++) {
        if (!is_hex(colon[i])) {
            return ERR_INVALID;
        }
    }
    *ret_noted = (struct audit_noted){.seq = ret_noted->seq};
    memcpy(ret_noted->hash, colon + 1, sizeof ret_noted->hash - 1);
    return 0;
}
