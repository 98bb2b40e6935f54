/* What an answer's head says, and what a server's address may be. */
#include <curl/curl.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/exchange.h"

static char *header(CURL *easy, const char *name)
{
    struct curl_header *found = NULL;

    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &found) !=
        CURLHE_OK) {
        return mem_text("");
    }
    return mem_text(found->value);
}

static uint64_t number_header(CURL *easy, const char *name)
{
    char *text = header(easy, name);
    uint64_t number = 0;

    if (str_number(str_of(text), UINT64_MAX / 1000, &number) != 0) {
        number = 0;
    }
    (void)mem_free(text);
    return number;
}

/* One link of a Link header, `<target>; rel="next"`: is it the next page? */
static bool is_next(struct str params)
{
    return memmem(params.p, params.n, "rel=\"next\"", 10) != NULL ||
           memmem(params.p, params.n, "rel=next", 8) != NULL;
}

/* Path and query of the next page; a list has one Link header or none. */
static char *next_link(CURL *easy)
{
    char *links = header(easy, "Link");
    char *next = NULL;

    for (const char *at = links; next == NULL && at != NULL;) {
        const char *open = strchr(at, '<');
        const char *close = open == NULL ? NULL : strchr(open, '>');
        if (close == NULL) {
            break;
        }
        const char *end = strchr(close, '<');
        struct str params = {close, end == NULL ? strlen(close)
                                                : (size_t)(end - close)};
        const char *host = strstr(open, "://");
        if (host != NULL && host < close) {
            open = memchr(host + 3, '/', (size_t)(close - host - 3));
        } else {
            open++;
        }
        if (is_next(params) && open != NULL && *open == '/') {
            next = strndup(open, (size_t)(close - open));
        }
        at = end;
    }
    (void)mem_free(links);
    return next == NULL ? mem_text("") : next;
}

void exchange_read_answer(void *easy, struct buf *body,
                          struct roster_response *ret_response)
{
    long status = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    (void)buf_text(body);
    *ret_response = (struct roster_response){
        .status = (int)status,
        .body = body->p,
        .body_size = body->n,
        .revision = number_header(easy, "Roster-Revision"),
        .leader = header(easy, "Roster-Leader"),
        .node = header(easy, "Roster-Node"),
        .etag = header(easy, "ETag"),
        .location = header(easy, "Location"),
        .next = next_link(easy),
        .retry_after_ms = number_header(easy, "Retry-After") * 1000,
    };
    *body = (struct buf){0}; /* Handed over. */
}

static bool part_is(CURLU *url, CURLUPart part, const char *a, const char *b)
{
    char *text = NULL;
    bool is = false;

    if (curl_url_get(url, part, &text, 0) == CURLUE_OK) {
        is = strcmp(text, a) == 0 || strcmp(text, b) == 0;
        curl_free(text);
    }
    return is;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

char *exchange_server(const char *url)
{
    CURLU *parts = curl_url();
    size_t n = strlen(url);
    char *server = NULL;

    if (parts == NULL) {
        abort();
    }
    if (curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        part_is(parts, CURLUPART_SCHEME, "http", "https") &&
        part_is(parts, CURLUPART_PATH, "/", "") &&
        !has_part(parts, CURLUPART_QUERY) &&
        !has_part(parts, CURLUPART_FRAGMENT)) {
        server = mem_text(url);
        if (server[n - 1] == '/') {
            server[n - 1] = '\0';
        }
    }
    curl_url_cleanup(parts);
    return server;
}
