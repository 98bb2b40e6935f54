#include "registry/answer.h"

#include <stdio.h>

#include "base/utf8.h"

enum { FIELD_MAX = 512 };

static struct str clean(struct arena *arena, struct str text)
{
    struct buf out = {0};

    if (utf8_is_valid(text)) {
        return text;
    }
    while (text.n > 0) {
        size_t n = utf8_step(text);
        buf_add(&out, n == 0 ? "?" : text.p, n == 0 ? 1 : n);
        text.p += n == 0 ? 1 : n;
        text.n -= n == 0 ? 1 : n;
    }
    return arena_take(arena, &out);
}

/* A client's own words of any length must not come back at that length. */
static struct str cut(struct str text)
{
    if (text.n > FIELD_MAX) {
        text.n = FIELD_MAX;
        while (text.n > 0 && ((unsigned char)text.p[text.n] & 0xc0) == 0x80) {
            text.n--;
        }
    }
    return text;
}

int answer_problem(struct op_state *s, enum op_code code, struct str field,
                   const char *format, ...)
{
    struct op_answer *answer = &s->op->answer;
    char detail[1024];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    size_t length = n < 0 ? 0 : (size_t)n;
    if (length >= sizeof detail) {
        length = sizeof detail - 1;
    }
    answer->code = code;
    answer->etag = 0; /* of what would have been answered */
    answer->detail = clean(
        s->op->arena, arena_str(s->op->arena, (struct str){detail, length}));
    answer->field = clean(s->op->arena, arena_str(s->op->arena, cut(field)));
    answer->ns = clean(s->op->arena, s->op->ns);
    if (code == OP_UNAVAILABLE) {
        answer->retry_after_s = 1;
    }
    return ANSWERED;
}

int answer_busy(struct op_state *s, const char *detail)
{
    return answer_problem(s, OP_UNAVAILABLE, STR(""),
                          "%s: try again in a second", detail);
}

void answer_extra(struct op_state *s, const char *name, uint64_t number)
{
    s->op->answer.extra = arena_printf(s->op->arena, "%.*s,\"%s\":%llu",
                                       STR_ARG(s->op->answer.extra), name,
                                       (unsigned long long)number);
}

void answer_reset(struct op_state *s)
{
    s->op->answer = (struct op_answer){0};
}

int answer_ok(struct op_state *s, struct buf *body)
{
    s->op->answer.code = OP_OK;
    s->op->answer.body = arena_take(s->op->arena, body);
    return 0;
}

void answer_add_ulid(struct buf *out, struct ulid id)
{
    char text[ULID_TEXT];

    ulid_format(id, text);
    buf_add_char(out, '"');
    buf_add(out, text, sizeof text);
    buf_add_char(out, '"');
}

/* What RFC 3986 calls unreserved. */
static bool stands_for_itself(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

void answer_add_segment(struct buf *out, struct str segment)
{
    for (size_t i = 0; i < segment.n; i++) {
        if (stands_for_itself(segment.p[i])) {
            buf_add_char(out, segment.p[i]);
        } else {
            buf_printf(out, "%%%02X", (unsigned char)segment.p[i]);
        }
    }
}

void answer_add_query(struct buf *out, const char *name, struct str value)
{
    if (value.p == NULL) {
        return;
    }
    if (out->n > 0) {
        buf_add_char(out, '&');
    }
    buf_add_text(out, name);
    buf_add_char(out, '=');
    answer_add_segment(out, value);
}

void answer_add_freshness(struct buf *out, const struct op_query *query)
{
    char text[32];

    if (query->linearizable) {
        answer_add_query(out, "consistency", STR("linearizable"));
    }
    if (query->max_stale_ms != UINT64_MAX) {
        (void)snprintf(text, sizeof text, "%llums",
                       (unsigned long long)query->max_stale_ms);
        answer_add_query(out, "max_stale", str_of(text));
    }
}

void answer_row_location(struct op_state *s, struct str ns, struct ulid id)
{
    struct buf out = {0};
    char text[ULID_TEXT];

    ulid_format(id, text);
    buf_add_text(&out, "/v1/ns/");
    answer_add_segment(&out, ns);
    buf_add_char(&out, '/');
    answer_add_segment(&out, s->op->type);
    buf_add_char(&out, '/');
    buf_add(&out, text, sizeof text);
    s->op->answer.location = arena_take(s->op->arena, &out);
}
