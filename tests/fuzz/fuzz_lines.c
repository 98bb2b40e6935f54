/* An import's line is read or explained; an array is the same array in whatever
 * pieces it comes. */
#include "base/err.h"
#include "cli/lines.h"
#include "cli/stream.h"
#include "replay.h"

static int count(const json_t *element, void *user)
{
    REQUIRE(json_is_object(element));
    ++*(size_t *)user;
    return 0;
}

static size_t elements(const uint8_t *bytes, size_t n, size_t piece)
{
    size_t found = 0;
    struct stream stream = {.element = count, .user = &found};
    int r = 0;

    for (size_t at = 0; r == 0 && at < n; at += piece) {
        size_t left = n - at;
        r = stream_take(bytes + at, left < piece ? left : piece, &stream);
    }
    stream_done(&stream);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct line line;
    struct buf why = {0};
    struct stream_without without = {.member = "children"};

    int r = line_parse((struct str){(const char *)bytes, n}, &line, &why);
    if (r == 0) {
        REQUIRE(line.op == LINE_NONE || line.json != NULL);
        REQUIRE(line.op != LINE_PUT || json_object_size(line.body) > 0);
        line_done(&line);
    } else {
        REQUIRE(r == ERR_INVALID && why.n > 0);
    }
    REQUIRE(elements(bytes, n, 1) == elements(bytes, n, n + 1));
    (void)stream_without_take(bytes, n, &without);
    REQUIRE(without.text.n <= n + 4 * n);
    buf_done(&without.text);
    buf_done(&why);
    return 0;
}
