#include "cli/stream.h"

#include "cli/lines.h"

bool stream_whole(const struct stream *stream)
{
    return stream->ended;
}

void stream_done(struct stream *stream)
{
    buf_done(&stream->text);
}

static int give(struct stream *stream)
{
    json_t *element = json_loadb(stream->text.p, stream->text.n,
                                 JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    int r = element == NULL ? -1 : stream->element(element, stream->user);

    json_decref(element);
    buf_clear(&stream->text);
    return r;
}

/* Between the elements. */
static int take_outside(struct stream *stream, char c)
{
    switch (c) {
    case ' ':
    case '\n':
    case '\r':
    case '\t':
        return 0;
    case '[':
        if (stream->began) {
            return -1;
        }
        stream->began = true;
        return 0;
    case ']':
    case ',':
        stream->ended = c == ']';
        return stream->began ? 0 : -1;
    case '{':
        if (!stream->began) {
            return -1;
        }
        stream->depth = 1;
        buf_add_char(&stream->text, c);
        return 0;
    default:
        return -1;
    }
}

static void take_in_string(struct stream *stream, char c)
{
    if (stream->escaped) {
        stream->escaped = false;
    } else if (c == '\\') {
        stream->escaped = true;
    } else if (c == '"') {
        stream->in_string = false;
    }
}

static int take_inside(struct stream *stream, char c)
{
    if (stream->text.n == LINE_MOST) {
        return -1;
    }
    buf_add_char(&stream->text, c);
    if (stream->in_string) {
        take_in_string(stream, c);
    } else if (c == '"') {
        stream->in_string = true;
    } else if (c == '{' || c == '[') {
        stream->depth++;
    } else if (c == '}' || c == ']') {
        stream->depth--;
    }
    return stream->depth == 0 ? give(stream) : 0;
}

int stream_take(const void *bytes, size_t n, void *user)
{
    struct stream *stream = user;
    const char *at = bytes;
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        if (stream->ended && at[i] != '\n' && at[i] != ' ') {
            return -1;
        }
        r = stream->depth == 0 ? take_outside(stream, at[i])
                               : take_inside(stream, at[i]);
    }
    return r;
}

/* ---- an object without one member ---- */

/* Does the text end with `"member":`? */
static bool at_member(const struct stream_without *without)
{
    struct str text = buf_str(&without->text);
    size_t n = strlen(without->member);

    while (text.n > 0 && strchr(" \n\r\t:", text.p[text.n - 1]) != NULL) {
        text.n--;
    }
    return text.n >= n + 2 && text.p[text.n - 1] == '"' &&
           text.p[text.n - n - 2] == '"' &&
           memcmp(text.p + text.n - n - 1, without->member, n) == 0;
}

static void track(struct stream_without *without, char c)
{
    if (without->in_string) {
        without->in_string = without->escaped || c != '"';
        without->escaped = !without->escaped && c == '\\';
    } else if (c == '"') {
        without->in_string = true;
    } else if (c == '{' || c == '[') {
        without->depth++;
    } else if ((c == '}' || c == ']') && without->depth > 0) {
        without->depth--;
    }
}

int stream_without_take(const void *bytes, size_t n, void *user)
{
    struct stream_without *without = user;
    const char *at = bytes;

    for (size_t i = 0; i < n; i++) {
        bool opens = !without->in_string && (at[i] == '{' || at[i] == '[');
        if (opens && without->depth == 1 && at_member(without)) {
            without->skipping = true;
            buf_add_text(&without->text, "null");
        }
        track(without, at[i]);
        if (!without->skipping) {
            buf_add_char(&without->text, at[i]);
        }
        without->skipping = without->skipping && without->depth > 1;
        if (without->text.n > LINE_MOST) {
            return -1;
        }
    }
    return 0;
}
