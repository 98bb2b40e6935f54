#include "rest/frame.h"

#include <stdio.h>

#define RETRY_MS 1000 /* of a client, after a bye */

static void add(struct buf *out, const struct rest_frame *frame,
                struct str before, struct str text)
{
    struct str after = frame->lines ? STR("\n") : STR("\n\n");

    if (frame->chunked) {
        buf_printf(out, "%zx\r\n", before.n + text.n + after.n);
    }
    buf_add_str(out, before);
    buf_add_str(out, text);
    buf_add_str(out, after);
    if (frame->chunked) {
        buf_add_text(out, "\r\n");
    }
}

void rest_frame_event(struct buf *out, const struct rest_frame *frame,
                      uint64_t revision, struct str text)
{
    char before[48] = "data: ";

    if (frame->lines) {
        before[0] = '\0';
    } else if (revision != 0) {
        (void)snprintf(before, sizeof before,
                       "id: %llu\ndata: ", (unsigned long long)revision);
    }
    add(out, frame, str_of(before), text);
}

static void add_note(struct buf *out, const struct rest_frame *frame,
                     const char *retry, const char *op, uint64_t revision,
                     const char *more)
{
    unsigned long long number = revision;
    char before[96] = "", text[128];

    if (!frame->lines) {
        (void)snprintf(before, sizeof before,
                       "%sevent: %s\nid: %llu\ndata: ", retry, op, number);
    }
    (void)snprintf(text, sizeof text, "{\"op\":\"%s\",\"revision\":%llu%s}", op,
                   number, more);
    add(out, frame, str_of(before), str_of(text));
}

void rest_frame_note(struct buf *out, const struct rest_frame *frame,
                     const char *op, uint64_t revision)
{
    add_note(out, frame, "", op, revision, "");
}

void rest_frame_bye(struct buf *out, const struct rest_frame *frame,
                    uint64_t revision, const char *reason)
{
    char retry[24], more[48] = "";

    (void)snprintf(retry, sizeof retry, "retry: %d\n", RETRY_MS);
    if (reason != NULL) {
        (void)snprintf(more, sizeof more, ",\"reason\":\"%s\"", reason);
    }
    add_note(out, frame, retry, "bye", revision, more);
}

void rest_frame_end(struct buf *out, const struct rest_frame *frame)
{
    if (frame->chunked) {
        buf_add_text(out, "0\r\n\r\n");
    }
}
