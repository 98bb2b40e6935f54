/* Numbers are little-endian, texts zero-padded; see api/peer-protocol.md.
 *
 *   head     offset size  what
 *            0      8     "ROSTERPH" (hello) or "ROSTERPA" (answer)
 *            8      4     protocol (1)
 *            12     4     size of what follows the head
 *
 *   hello    0      16    head, its size 400
 *            16     4     kind
 *            20     4     zero
 *            24     8     raft id the dialler expects, 0 anybody
 *            32     384   id of the dialler
 *
 *   answer   0      16    head, its size 648
 *            16     4     verdict
 *            20     4     zero
 *            24     256   why
 *            280    384   id of the acceptor
 *
 *   id       0      16    cluster
 *            16     8     raft id
 *            24     4     least feature level
 *            28     4     greatest feature level
 *            32     64    name
 *            96     128   address for nodes
 *            224    128   address for HTTP
 *            352    32    version of the program
 *
 * The head, and the answer up to its id, are the same in every protocol. */
#include "peer/shake.h"

#include <assert.h>

#include "base/err.h"
#include "base/utf8.h"

static const char HELLO[] = "ROSTERPH";
static const char ANSWER[] = "ROSTERPA";
enum { ID_AT = 32, KIND_LEAST = PEER_RAFT, KIND_MOST = PEER_CALL };
_Static_assert(SHAKE_HELLO == ID_AT + SHAKE_ID, "the table");
_Static_assert(SHAKE_VERDICT == 280 && SHAKE_ANSWER == 664, "the table");

static bool is_zero(const void *bytes, size_t n)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < n; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Bytes of `field` up to its end, or to the first character that is none or
 * that no line of a log should hold. */
static size_t clean_part(const char *field, size_t width)
{
    struct str rest = {field, strnlen(field, width)};
    size_t step = 0;

    while (rest.n > 0 && (uint8_t)*rest.p >= 0x20 && *rest.p != 0x7f &&
           (step = utf8_step(rest)) > 0) {
        rest = (struct str){rest.p + step, rest.n - step};
    }
    return (size_t)(rest.p - field);
}

static bool is_clean(const char *field, size_t width)
{
    size_t n = strnlen(field, width);

    return n < width && clean_part(field, width) == n;
}

bool shake_id_is_valid(const struct peer_id *id)
{
    return id->level_least <= id->level_most &&
           is_clean(id->name, sizeof id->name) &&
           is_clean(id->raft, sizeof id->raft) &&
           is_clean(id->http, sizeof id->http) &&
           is_clean(id->version, sizeof id->version);
}

static bool is_somebody(const struct peer_id *id)
{
    return id->raft_id != 0 && !is_zero(id->cluster, sizeof id->cluster);
}

/* ---- the parts ---- */

static void put_head(uint8_t *out, const char *magic, size_t size)
{
    memcpy(out, magic, 8);
    le_put(out + 8, PEER_PROTOCOL, 4);
    le_put(out + 12, size - SHAKE_HEAD, 4);
}

static int version(const uint8_t *in, const char *magic, size_t size,
                   uint32_t *ret_version)
{
    uint32_t found = (uint32_t)le_get(in + 8, 4);

    if (memcmp(in, magic, 8) != 0 ||
        (found == PEER_PROTOCOL && le_get(in + 12, 4) != size - SHAKE_HEAD)) {
        return ERR_INVALID;
    }
    *ret_version = found;
    return 0;
}

static bool is_of_this(const uint8_t *in, const char *magic, size_t size)
{
    uint32_t found = 0;

    return version(in, magic, size, &found) == 0 && found == PEER_PROTOCOL;
}

/* Zero behind its end, whatever was there. A sentence may have been cut within
 * a character by who made it: that one goes. */
static void put_text(uint8_t *out, const char *text, size_t width)
{
    size_t n = clean_part(text, width - 1);

    memcpy(out, text, n);
    memset(out + n, 0, width - n);
}

static void put_id(uint8_t *out, const struct peer_id *id)
{
    assert(shake_id_is_valid(id));
    memcpy(out, id->cluster, sizeof id->cluster);
    le_put(out + 16, id->raft_id, 8);
    le_put(out + 24, id->level_least, 4);
    le_put(out + 28, id->level_most, 4);
    put_text(out + 32, id->name, sizeof id->name);
    put_text(out + 96, id->raft, sizeof id->raft);
    put_text(out + 224, id->http, sizeof id->http);
    put_text(out + 352, id->version, sizeof id->version);
}

static bool get_text(const uint8_t *in, char *ret_text, size_t width)
{
    size_t n = strnlen((const char *)in, width);

    memcpy(ret_text, in, width);
    return is_clean(ret_text, width) && is_zero(in + n, width - n);
}

static bool get_id(const uint8_t *in, struct peer_id *ret_id)
{
    struct peer_id *id = ret_id;

    memcpy(id->cluster, in, sizeof id->cluster);
    id->raft_id = le_get(in + 16, 8);
    id->level_least = (uint32_t)le_get(in + 24, 4);
    id->level_most = (uint32_t)le_get(in + 28, 4);
    return id->level_least <= id->level_most &&
           get_text(in + 32, id->name, sizeof id->name) &&
           get_text(in + 96, id->raft, sizeof id->raft) &&
           get_text(in + 224, id->http, sizeof id->http) &&
           get_text(in + 352, id->version, sizeof id->version);
}

/* ---- the hello ---- */

int shake_hello_version(const uint8_t *bytes, uint32_t *ret_version)
{
    return version(bytes, HELLO, SHAKE_HELLO, ret_version);
}

void shake_hello_encode(const struct shake_hello *hello,
                        uint8_t ret_bytes[SHAKE_HELLO])
{
    put_head(ret_bytes, HELLO, SHAKE_HELLO);
    le_put(ret_bytes + 16, hello->kind, 4);
    le_put(ret_bytes + 20, 0, 4);
    le_put(ret_bytes + 24, hello->expects, 8);
    put_id(ret_bytes + ID_AT, &hello->from);
}

int shake_hello_decode(const uint8_t bytes[SHAKE_HELLO],
                       struct shake_hello *ret_hello)
{
    struct shake_hello hello = {.expects = le_get(bytes + 24, 8)};
    uint32_t kind = (uint32_t)le_get(bytes + 16, 4);

    if (!is_of_this(bytes, HELLO, SHAKE_HELLO) || kind < KIND_LEAST ||
        kind > KIND_MOST || !is_zero(bytes + 20, 4) ||
        !get_id(bytes + ID_AT, &hello.from) ||
        (kind != PEER_CALL && !is_somebody(&hello.from))) {
        return ERR_INVALID;
    }
    hello.kind = (enum peer_kind)kind;
    *ret_hello = hello;
    return 0;
}

/* ---- the answer ---- */

int shake_answer_version(const uint8_t *bytes, uint32_t *ret_version)
{
    return version(bytes, ANSWER, SHAKE_ANSWER, ret_version);
}

void shake_answer_encode(const struct shake_answer *answer,
                         uint8_t ret_bytes[SHAKE_ANSWER])
{
    put_head(ret_bytes, ANSWER, SHAKE_ANSWER);
    le_put(ret_bytes + 16, answer->verdict, 4);
    le_put(ret_bytes + 20, 0, 4);
    put_text(ret_bytes + 24, answer->why, sizeof answer->why);
    put_id(ret_bytes + SHAKE_VERDICT, &answer->self);
}

int shake_verdict_decode(const uint8_t bytes[SHAKE_VERDICT],
                         struct shake_answer *ret_answer)
{
    uint32_t verdict = (uint32_t)le_get(bytes + 16, 4);

    if (verdict > PEER_STRANGER || !is_zero(bytes + 20, 4) ||
        !get_text(bytes + 24, ret_answer->why, PEER_WHY)) {
        return ERR_INVALID;
    }
    ret_answer->verdict = (enum peer_verdict)verdict;
    return 0;
}

int shake_answer_decode(const uint8_t bytes[SHAKE_ANSWER],
                        struct shake_answer *ret_answer)
{
    struct shake_answer answer;

    if (!is_of_this(bytes, ANSWER, SHAKE_ANSWER) ||
        shake_verdict_decode(bytes, &answer) != 0 ||
        !get_id(bytes + SHAKE_VERDICT, &answer.self)) {
        return ERR_INVALID;
    }
    *ret_answer = answer;
    return 0;
}

/* ---- a call ---- */

int shake_size_decode(const uint8_t bytes[SHAKE_SIZE], size_t *ret_size)
{
    size_t size = (size_t)le_get(bytes, SHAKE_SIZE);

    if (size > PEER_CALL_MOST) {
        return ERR_TOO_LARGE;
    }
    *ret_size = size;
    return 0;
}
