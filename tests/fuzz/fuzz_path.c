/* A request target may hold any bytes: nothing of it makes the decoder crash or
 * read beyond it, and what it takes is safe to hand on: whole UTF-8, no NUL, no
 * dot segments, and a Link made of it cannot leave its brackets. */
#include "base/err.h"
#include "base/utf8.h"
#include "replay.h"
#include "rest/query.h"
#include "rest/route.h"
#include "rest/uri.h"

static void is_safe(struct str text)
{
    REQUIRE(utf8_is_valid(text));
    REQUIRE(text.n == 0 || memchr(text.p, '\0', text.n) == NULL);
}

static void is_quoted(struct str target)
{
    struct buf out = {0};

    rest_uri_add_quoted(&out, target);
    for (size_t i = 0; i < out.n; i++) {
        REQUIRE(out.p[i] > ' ' && out.p[i] < 0x7f);
        REQUIRE(out.p[i] != '>' && out.p[i] != '"');
    }
    buf_done(&out);
}

static void find(const struct rest_uri *uri)
{
    struct rest_match match;
    struct rest_query query;
    struct str field = STR_NONE;
    const char *why = NULL;

    for (int method = 0; method <= REST_METHODS; method++) {
        int r = rest_route_find((enum rest_method)method, uri, &match);
        REQUIRE(r == 0 || r == ERR_NOT_FOUND || r == ERR_FORBIDDEN);
        REQUIRE((r == 0) == (match.route != NULL));
        if (r == 0) {
            r = rest_query_read(uri, match.route->params, &query, &field, &why);
            REQUIRE(r == 0 || (r == ERR_INVALID && why != NULL));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct arena *arena = arena_new();
    /* As the room does it: a copy that ends where it ends. */
    struct str target = {mem_dup(bytes, n), n};
    const char *why = NULL;
    struct rest_uri uri;

    int r = rest_uri_parse(arena, target, &uri, &why);
    REQUIRE(r == 0 || (r == ERR_INVALID && why != NULL));
    if (r == 0) {
        for (size_t i = 0; i < uri.n_segments && i < REST_SEGMENTS_MAX; i++) {
            is_safe(uri.segments[i]);
            REQUIRE(!str_is(uri.segments[i], "..") &&
                    !str_is(uri.segments[i], "."));
        }
        for (size_t i = 0; i < uri.n_params; i++) {
            is_safe(uri.params[i].name);
            is_safe(uri.params[i].value);
            REQUIRE(uri.params[i].value.p != NULL);
        }
        is_quoted(uri.target);
        find(&uri);
    }
    (void)mem_free((void *)(uintptr_t)target.p);
    arena_free(arena);
    return 0;
}
