#include "client/exchange.h"

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"

enum { MAX_ANSWER = 256 << 20, POLL_MS = 1000 };

struct exchange {
    CURLM *multi; /* holds the connections */
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    struct buf body;
    bool too_large;
};

static void start_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        abort();
    }
}

struct exchange *exchange_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct exchange *exchange = mem_zero(sizeof *exchange);

    (void)pthread_once(&once, start_curl);
    exchange->multi = curl_multi_init();
    exchange->easy = curl_easy_init();
    if (exchange->multi == NULL || exchange->easy == NULL) {
        abort(); /* out of memory: see base/mem.h */
    }
    return exchange;
}

struct exchange *exchange_free(struct exchange *exchange)
{
    if (exchange == NULL) {
        return NULL;
    }
    curl_easy_cleanup(exchange->easy);
    (void)curl_multi_cleanup(exchange->multi);
    buf_done(&exchange->body);
    return mem_free(exchange);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    struct exchange *exchange = user;

    if (exchange->body.n + size * n > MAX_ANSWER) {
        exchange->too_large = true;
        return 0;
    }
    buf_add(&exchange->body, bytes, size * n);
    return size * n;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    if (longer == NULL) {
        abort();
    }
    return longer;
}

bool exchange_has_header(const struct roster_request *request, const char *name)
{
    size_t n = strlen(name);

    for (const char *const *h = request->headers; h != NULL && *h != NULL;
         h++) {
        if (strncasecmp(*h, name, n) == 0 && (*h)[n] == ':') {
            return true;
        }
    }
    return false;
}

static struct curl_slist *headers_of(const struct attempt *attempt)
{
    const struct roster_request *request = attempt->request;
    struct curl_slist *list = NULL;
    struct buf line = {0};

    /* curl would ask a server for permission before a large body and wait a
     * second for it. */
    list = add_header(list, "Expect:");
    if (!exchange_has_header(request, "Accept")) {
        list = add_header(list, "Accept: application/json, */*");
    }
    if (request->body != NULL &&
        !exchange_has_header(request, "Content-Type")) {
        list = add_header(list, "Content-Type: application/json");
    }
    if (attempt->idempotency_key != NULL) {
        buf_printf(&line, "Idempotency-Key: %s", attempt->idempotency_key);
        list = add_header(list, buf_text(&line));
    }
    for (const char *const *h = request->headers; h != NULL && *h != NULL;
         h++) {
        list = add_header(list, *h);
    }
    buf_done(&line);
    return list;
}

static void set_request(struct exchange *exchange,
                        const struct attempt *attempt, const char *url,
                        struct curl_slist *headers)
{
    const struct roster_request *request = attempt->request;
    CURL *easy = exchange->easy;

    curl_easy_reset(easy); /* Connections stay. */
    exchange->error[0] = '\0';
    exchange->too_large = false;
    buf_clear(&exchange->body);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    /* A primary key may be "..": it must arrive as it is. */
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->error);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, attempt->user_agent);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)attempt->connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)attempt->total_ms);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    if (request->body != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)request->body_size);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    } else if (strcmp(request->method, "HEAD") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(request->method, "POST") == 0 ||
               strcmp(request->method, "PUT") == 0 ||
               strcmp(request->method, "PATCH") == 0) {
        /* An empty body must be announced as one. */
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)0);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->repeat == ROSTER_REPEAT_NEVER) {
        /* On a kept connection that turns out closed curl sends again by
         * itself. */
        (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
}

/* Runs to the end: true; false when woken. */
static bool perform(struct exchange *exchange, int wake_fd, CURLcode *ret_code)
{
    int running = 1;

    for (;;) {
        struct curl_waitfd wake = {.fd = wake_fd, .events = CURL_WAIT_POLLIN};
        CURLMcode code = curl_multi_perform(exchange->multi, &running);
        int left = 0;
        CURLMsg *message = curl_multi_info_read(exchange->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE) {
            *ret_code = message->data.result;
            return true;
        }
        if (code == CURLM_OK) {
            code = curl_multi_poll(exchange->multi, &wake, wake_fd > 0 ? 1 : 0,
                                   POLL_MS, NULL);
        }
        if (code != CURLM_OK) {
            (void)snprintf(exchange->error, sizeof exchange->error, "%s",
                           curl_multi_strerror(code));
            *ret_code = CURLE_FAILED_INIT;
            return true;
        }
        struct pollfd look = {.fd = wake_fd, .events = POLLIN};
        if (wake_fd > 0 && poll(&look, 1, 0) > 0) {
            return false;
        }
    }
}

/* ---- the answer ---- */

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

static void read_answer(struct exchange *exchange,
                        struct roster_response *ret_response)
{
    CURL *easy = exchange->easy;
    long status = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    (void)buf_text(&exchange->body);
    *ret_response = (struct roster_response){
        .status = (int)status,
        .body = exchange->body.p,
        .body_size = exchange->body.n,
        .revision = number_header(easy, "Roster-Revision"),
        .leader = header(easy, "Roster-Leader"),
        .etag = header(easy, "ETag"),
        .location = header(easy, "Location"),
        .next = next_link(easy),
        .retry_after_ms = number_header(easy, "Retry-After") * 1000,
    };
    exchange->body = (struct buf){0}; /* Handed over. */
}

enum exchange_outcome exchange_run(struct exchange *exchange,
                                   const struct attempt *attempt,
                                   struct roster_response *ret_response,
                                   char **ret_why)
{
    struct curl_slist *headers = headers_of(attempt);
    struct buf url = {0};
    CURLcode code = CURLE_OK;
    long sent = 0;
    enum exchange_outcome outcome = EXCHANGE_WOKEN;

    buf_printf(&url, "%s%s", attempt->server, attempt->request->path);
    if (attempt->request->query != NULL && attempt->request->query[0] != '\0') {
        buf_printf(&url, "?%s", attempt->request->query);
    }
    set_request(exchange, attempt, buf_text(&url), headers);
    if (curl_multi_add_handle(exchange->multi, exchange->easy) != CURLM_OK) {
        abort();
    }
    if (perform(exchange, attempt->wake_fd, &code)) {
        (void)curl_easy_getinfo(exchange->easy, CURLINFO_REQUEST_SIZE, &sent);
        if (code == CURLE_OK) {
            read_answer(exchange, ret_response);
            outcome = EXCHANGE_ANSWERED;
        } else if (exchange->too_large) {
            outcome = EXCHANGE_TOO_LARGE;
        } else {
            *ret_why =
                mem_text(exchange->error[0] != '\0' ? exchange->error
                                                    : curl_easy_strerror(code));
            outcome = sent > 0 ? EXCHANGE_CUT : EXCHANGE_NOT_SENT;
        }
    }
    /* Removing a transfer that is not done closes its connection. */
    (void)curl_multi_remove_handle(exchange->multi, exchange->easy);
    curl_slist_free_all(headers);
    buf_done(&url);
    return outcome;
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
