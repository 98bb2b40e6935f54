/* What nodes ask each other for state files, and answer: what is taken is
 * written again as it was, and its name is no path. */
#include "base/err.h"
#include "raft/transfer.h"
#include "replay.h"

static void one_request(const uint8_t *data, size_t size)
{
    uint8_t bytes[TRANSFER_REQUEST] = {0}, again[TRANSFER_REQUEST];
    struct transfer_request request;

    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    int r = transfer_request_decode(bytes, &request);
    REQUIRE(r == 0 || r == ERR_INVALID);
    if (r == 0) {
        REQUIRE(request.file[0] == '\0' || transfer_is_name(request.file));
        REQUIRE(strchr(request.file, '/') == NULL);
        transfer_request_encode(&request, again);
        REQUIRE(memcmp(bytes, again, sizeof bytes) == 0);
    }
}

static void one_answer(const uint8_t *data, size_t size)
{
    uint8_t bytes[TRANSFER_ANSWER] = {0}, again[TRANSFER_ANSWER];
    struct transfer_answer answer;

    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    int r = transfer_answer_decode(bytes, &answer);
    REQUIRE(r == 0 || r == ERR_INVALID);
    if (r == 0) {
        REQUIRE(answer.code > 0 || transfer_is_name(answer.file));
        REQUIRE(strchr(answer.file, '/') == NULL);
        transfer_answer_encode(&answer, again);
        REQUIRE(memcmp(bytes, again, sizeof bytes) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    one_request(bytes, n);
    one_answer(bytes, n);
    return 0;
}
