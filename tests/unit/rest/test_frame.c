#include "kit.h"
#include "rest/frame.h"

static const struct rest_frame sse = {.chunked = true};
static const struct rest_frame plain_sse = {.chunked = false};
static const struct rest_frame lines = {.lines = true, .chunked = true};
static const struct rest_frame plain_lines = {.lines = true};

static void expect(struct buf *out, const char *text)
{
    assert_string_equal(buf_text(out), text);
    buf_done(out);
}

static void an_event_is_a_chunk_of_its_own(void **state)
{
    struct buf out = {0};

    (void)state;
    rest_frame_event(&out, &sse, 17, STR("{\"a\":1}"));
    rest_frame_event(&out, &sse, 18, STR("{}"));
    rest_frame_end(&out, &sse);
    expect(&out, "16\r\nid: 17\ndata: {\"a\":1}\n\n\r\n"
                 "11\r\nid: 18\ndata: {}\n\n\r\n"
                 "0\r\n\r\n");
    rest_frame_event(&out, &lines, 17, STR("{\"a\":1}"));
    rest_frame_end(&out, &lines);
    expect(&out, "8\r\n{\"a\":1}\n\r\n0\r\n\r\n");
}

static void old_clients_get_no_chunks(void **state)
{
    struct buf out = {0};

    (void)state;
    rest_frame_event(&out, &plain_sse, 1, STR("{}"));
    rest_frame_end(&out, &plain_sse);
    expect(&out, "id: 1\ndata: {}\n\n");
    rest_frame_event(&out, &plain_lines, 1, STR("{}"));
    rest_frame_end(&out, &plain_lines);
    expect(&out, "{}\n");
}

static void what_cannot_be_resumed_from_has_no_id(void **state)
{
    struct buf out = {0};

    (void)state;
    rest_frame_event(&out, &plain_sse, 0, STR("{}"));
    expect(&out, "data: {}\n\n");
}

static void notes_have_a_name(void **state)
{
    struct buf out = {0};

    (void)state;
    rest_frame_note(&out, &plain_sse, "progress", 9007199254740991);
    expect(&out, "event: progress\nid: 9007199254740991\n"
                 "data: {\"op\":\"progress\",\"revision\":9007199254740991}"
                 "\n\n");
    rest_frame_bye(&out, &plain_sse, 7, NULL);
    expect(&out, "retry: 1000\nevent: bye\nid: 7\n"
                 "data: {\"op\":\"bye\",\"revision\":7}\n\n");
    rest_frame_bye(&out, &plain_sse, 7, "unauthorized");
    expect(&out, "retry: 1000\nevent: bye\nid: 7\n"
                 "data: {\"op\":\"bye\",\"revision\":7,"
                 "\"reason\":\"unauthorized\"}\n\n");
    rest_frame_note(&out, &lines, "reset", 7);
    expect(&out, "1c\r\n{\"op\":\"reset\",\"revision\":7}\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_a_chunk_of_its_own),
        cmocka_unit_test(old_clients_get_no_chunks),
        cmocka_unit_test(what_cannot_be_resumed_from_has_no_id),
        cmocka_unit_test(notes_have_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
