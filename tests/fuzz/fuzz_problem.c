/* The answer of a server that refuses, or of something else on its port: what
 * comes of it are texts that end, and there is always something to tell. */
#include "client/problem.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct buf body = {0};
    struct roster_error error;

    buf_add(&body, bytes, n);
    struct roster_response response = {
        .status = 502, .body = buf_text(&body), .body_size = n};
    problem_init(&error);
    problem_read(&error, &response);
    REQUIRE(error.status == 502 && error.detail[0] != '\0');
    REQUIRE(error.title != NULL && error.field != NULL && error.ns != NULL);
    problem_done(&error);
    buf_done(&body);
    return 0;
}
