/* The header of a request, line by line, and what single lines are read for:
 * credentials, trace ids, preferences, entity tags. Behind the first byte (how
 * the body is taken) the input is a header as it is sent. What is let through
 * has one length, one host, and a token without a blank. */
#include "base/err.h"
#include "registry/condition.h"
#include "registry/cursor.h"
#include "replay.h"
#include "rest/encoding.h"
#include "rest/strict.h"
#include "rest/trace.h"

enum { BODY_MOST = 1 << 20 };

static struct str line_of(struct str *rest)
{
    const char *end = rest->n == 0 ? NULL : memchr(rest->p, '\n', rest->n);
    size_t n = end == NULL ? rest->n : (size_t)(end - rest->p);
    struct str line = {rest->p, n};

    rest->p += n + (end != NULL);
    rest->n -= n + (end != NULL);
    return line;
}

static void add(struct rest_head *head, struct arena *arena, struct str line)
{
    const char *colon = line.n == 0 ? NULL : memchr(line.p, ':', line.n);
    size_t n = colon == NULL ? line.n : (size_t)(colon - line.p);

    if (line.n > 0) {
        /* The library gives no value to a name without a colon. */
        struct str value =
            colon == NULL ? STR_NONE : (struct str){colon + 1, line.n - n - 1};
        rest_head_add(head, arena, (struct str){line.p, n}, value);
    }
}

static void check_token(struct str authorization)
{
    struct str token = STR_NONE;
    const char *why = NULL;

    int r = rest_head_token(authorization, &token, &why);
    REQUIRE(r == 0 || (r == ERR_INVALID && why != NULL));
    REQUIRE(r == 0 || token.n == 0);
    for (size_t i = 0; i < token.n; i++) {
        REQUIRE(token.p[i] > ' ' && token.p[i] < 0x7f);
    }
}

static void check_trace(struct str traceparent)
{
    struct str id = STR_NONE;

    if (rest_trace_parse(traceparent, &id) == 0) {
        REQUIRE(id.n == REST_TRACE_BYTES);
        REQUIRE(id.p >= traceparent.p &&
                id.p + id.n <= traceparent.p + traceparent.n);
    }
}

static void check_conditions(struct arena *arena, struct str header)
{
    for (int weak = 0; weak < 2; weak++) {
        struct condition condition = {0};
        if (header.p != NULL &&
            condition_parse(arena, header, weak, &condition) == 0) {
            REQUIRE(condition.n <= header.n);
            (void)condition_has(&condition, 7, false);
        }
    }
}

static void check_cursor(struct str text)
{
    struct cursor cursor;
    struct buf again = {0};

    if (cursor_parse(text, &cursor) == 0) {
        cursor_write(&again, &cursor);
        REQUIRE(again.n == text.n);
    }
    buf_done(&again);
}

static void check_sound(const struct rest_head *head, enum rest_takes takes)
{
    REQUIRE(head->wrong == NULL && head->host.p != NULL);
    REQUIRE(head->content_length.p == NULL ||
            head->transfer_encoding.p == NULL);
    REQUIRE(takes == REST_FILE || head->length <= BODY_MOST);
    REQUIRE(head->conditions.min_revision <= REST_REVISION_MOST);
    REQUIRE(head->conditions.idempotency_key.n <= 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    /* As the room does it: a copy that ends where it ends. */
    char *copy = mem_dup(bytes, n);
    struct str rest = {copy, n};
    struct rest_head head = {0};
    struct rest_refusal refusal = {0};
    enum rest_takes takes =
        n == 0 ? REST_NOTHING : (enum rest_takes)(*bytes % 4);

    (void)line_of(&rest);
    while (rest.n > 0) {
        add(&head, arena, line_of(&rest));
    }
    int r = rest_head_check(&head, STR("HTTP/1.1"), takes, BODY_MOST, &refusal);
    REQUIRE(r == 0 || (r == ERR_INVALID && refusal.why != NULL &&
                       refusal.status >= 400 && refusal.status < 500));
    if (r == 0) {
        check_sound(&head, takes);
    }
    check_token(head.authorization);
    check_trace(head.traceparent);
    check_conditions(arena, head.conditions.if_match);
    check_conditions(arena, head.conditions.if_none_match);
    check_cursor(head.last_event_id);
    (void)rest_encoding_is_gzip(head.accept_encoding);
    (void)rest_encoding_is_lines(head.accept);
    (void)mem_free(copy);
    return 0;
}
