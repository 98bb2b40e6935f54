/* Bytes as they come from a socket: what is taken for a head that may be
 * answered past the library is one by the letter, seen from any side. */
#include <strings.h>

#include "base/err.h"
#include "replay.h"
#include "rest/scan.h"

/* Where the empty line ends; 0: nowhere. */
static size_t end_of(struct str bytes)
{
    for (size_t i = 4; i <= bytes.n; i++) {
        if (memcmp(bytes.p + i - 4, "\r\n\r\n", 4) == 0) {
            return i;
        }
    }
    return 0;
}

static void is_visible(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        REQUIRE(text.p[i] > ' ' && text.p[i] <= '~');
    }
}

/* Nothing in it that another reader could take for the end of a line, or for
 * something of another length. */
static void check_lines(struct str head, bool longer)
{
    for (size_t i = 0; i < head.n; i++) {
        char c = head.p[i];
        REQUIRE((c >= ' ' && c <= '~') || c == '\r' || c == '\n');
        REQUIRE(c != '\r' || head.p[i + 1] == '\n');
        REQUIRE(c != '\n' || (i > 0 && head.p[i - 1] == '\r'));
        REQUIRE(c != '\n' || i + 1 == head.n || head.p[i + 1] != ' ');
        if (c == '\n' && i + 18 < head.n) {
            bool length =
                strncasecmp(head.p + i + 1, "content-length:", 15) == 0;
            REQUIRE(!length || longer);
            longer = longer && !length;
            REQUIRE(strncasecmp(head.p + i + 1, "transfer-encoding:", 18) != 0);
        }
    }
}

static void check_whole(struct str bytes, const struct rest_scanned *scanned)
{
    struct str head = {bytes.p, scanned->n};

    REQUIRE(scanned->n <= REST_SCAN_MOST && scanned->n == end_of(bytes));
    const char *method = rest_method_name(scanned->method);
    size_t at = strlen(method);
    REQUIRE(memcmp(bytes.p, method, at) == 0 && bytes.p[at] == ' ');
    REQUIRE(scanned->target.p == bytes.p + at + 1 && scanned->target.n > 0);
    REQUIRE(scanned->target.p[0] == '/');
    REQUIRE(memcmp(scanned->target.p + scanned->target.n, " HTTP/1.1\r\n",
                   11) == 0);
    is_visible(scanned->target);
    check_lines(head, scanned->method != REST_GET);
    REQUIRE(scanned->head.wrong == NULL && !scanned->head.body);
    REQUIRE(scanned->head.content_length.p == NULL ||
            scanned->method != REST_GET);
    REQUIRE(scanned->head.transfer_encoding.p == NULL);
}

/* What is a part is one however much of it there is, and nothing shorter than a
 * whole is whole. */
static void check_beginnings(struct arena *arena, struct str bytes)
{
    struct rest_scanned scanned;

    for (size_t n = 0; n < bytes.n; n += 1 + n / 8) {
        REQUIRE(rest_scan_head((struct str){bytes.p, n}, arena, &scanned) ==
                SCAN_PART);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new();
    /* As the room does it: a copy that ends where it ends. */
    char *copy = mem_dup(bytes, n);
    struct str text = {copy, n};
    struct rest_scanned scanned;

    enum rest_scan r = rest_scan_head(text, arena, &scanned);
    REQUIRE(scanned.n <= n);
    if (r == SCAN_WHOLE) {
        check_whole(text, &scanned);
        check_beginnings(arena, (struct str){copy, scanned.n});
    } else if (r == SCAN_PART) {
        REQUIRE(end_of(text) == 0 && n < REST_SCAN_MOST);
        check_beginnings(arena, text);
    }
    (void)mem_free(copy);
    return 0;
}
