/* A handshake from a stranger: the hello a listener reads, the answer a dialler
 * reads, the size of a call. What is taken can be shown and is written again as
 * it was [SHAKE-1]. */
#include "base/err.h"
#include "base/utf8.h"
#include "peer/shake.h"
#include "replay.h"

static void require_text(const char *text, size_t width)
{
    size_t n = strnlen(text, width);

    REQUIRE(n < width);
    REQUIRE(utf8_is_valid((struct str){text, n}));
    for (size_t i = 0; i < n; i++) {
        REQUIRE((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
    }
}

static void require_id(const struct peer_id *id)
{
    require_text(id->name, sizeof id->name);
    require_text(id->raft, sizeof id->raft);
    require_text(id->http, sizeof id->http);
    require_text(id->version, sizeof id->version);
    REQUIRE(shake_id_is_valid(id));
}

static void one_hello(const uint8_t *data, size_t size)
{
    uint8_t bytes[SHAKE_HELLO] = {0}, again[SHAKE_HELLO];
    struct shake_hello hello;
    uint32_t version = 0;

    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    int headed = shake_hello_version(bytes, &version);
    REQUIRE(headed == 0 || headed == ERR_INVALID);
    int r = shake_hello_decode(bytes, &hello);
    REQUIRE(r == 0 || r == ERR_INVALID);
    if (r == 0) {
        REQUIRE(headed == 0 && version == PEER_PROTOCOL);
        require_id(&hello.from);
        shake_hello_encode(&hello, again);
        REQUIRE(memcmp(bytes, again, sizeof bytes) == 0);
    }
}

static void one_answer(const uint8_t *data, size_t size)
{
    uint8_t bytes[SHAKE_ANSWER] = {0}, again[SHAKE_ANSWER];
    struct shake_answer answer, part;

    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    int verdict = shake_verdict_decode(bytes, &part);
    REQUIRE(verdict == 0 || verdict == ERR_INVALID);
    if (verdict == 0) {
        require_text(part.why, sizeof part.why);
    }
    int r = shake_answer_decode(bytes, &answer);
    REQUIRE(r == 0 || r == ERR_INVALID);
    if (r == 0) {
        REQUIRE(verdict == 0);
        require_id(&answer.self);
        shake_answer_encode(&answer, again);
        REQUIRE(memcmp(bytes, again, sizeof bytes) == 0);
    }
}

static void one_size(const uint8_t *data, size_t size)
{
    uint8_t bytes[SHAKE_SIZE] = {0};
    size_t n = 0;

    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    int r = shake_size_decode(bytes, &n);
    REQUIRE(r == ERR_TOO_LARGE || (r == 0 && n <= PEER_CALL_MOST));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    one_hello(bytes, n);
    one_answer(bytes, n);
    one_size(bytes, n);
    return 0;
}
