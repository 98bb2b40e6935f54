/* A stream of changes is told the same in whatever pieces it comes; what was
 * told goes forward, and only a reset leads back. */
#include "client/follow.h"
#include "replay.h"

struct told {
    uint64_t last; /* revision */
    uint64_t n;
    uint64_t sum; /* over all that was told */
};

static int tell(const struct roster_watch_event *event, void *user)
{
    struct told *told = user;

    REQUIRE(event->json[event->json_size] == '\0');
    REQUIRE(event->json_size <= FOLLOW_LINE_MOST);
    if (event->kind == ROSTER_WATCH_CHANGE) {
        REQUIRE(event->revision > told->last);
    } else if (event->kind == ROSTER_WATCH_PROGRESS) {
        REQUIRE(event->revision >= told->last);
    }
    if (event->kind == ROSTER_WATCH_CHANGE ||
        event->kind == ROSTER_WATCH_PROGRESS ||
        event->kind == ROSTER_WATCH_RESET) {
        told->last = event->revision;
    }
    told->n++;
    told->sum = told->sum * 31 + event->revision * 8 + event->kind;
    return 0;
}

static struct told follow(const uint8_t *bytes, size_t n, size_t piece,
                          struct follow *ret_follow)
{
    struct told told = {0};
    struct roster_watch watch = {
        .start = ROSTER_FROM_SINCE, .tell = tell, .user = &told};
    int r = 0;

    follow_init(ret_follow, &watch);
    follow_begin(ret_follow, "http://a");
    for (size_t at = 0; r == 0 && at < n; at += piece) {
        r = follow_take(bytes + at, n - at < piece ? n - at : piece,
                        ret_follow);
    }
    REQUIRE((r != 0) == (ret_follow->end != FOLLOW_NOT_ENDED));
    follow_done(ret_follow);
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct follow whole, pieces;

    struct told a = follow(bytes, n, n + 1, &whole);
    struct told b = follow(bytes, n, 1, &pieces);
    REQUIRE(a.n == b.n && a.sum == b.sum);
    REQUIRE(whole.end == pieces.end && whole.revision == pieces.revision);
    return 0;
}
