#include "client/exchange.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { MAX_ANSWER = 256 << 20, POLL_MS = 1000 };

struct exchange {
    CURLM *multi; /* holds the connections */
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    struct buf body;
    bool too_large;
    const struct roster_stream *stream; /* of the request that runs */
    uint64_t taken;                     /* bytes take() has got */
    uint64_t given;                     /* bytes of body_fd that went out */
    uint64_t body_fd_bytes;
    uint64_t moved_ms;   /* when a byte of a body last went or came */
    uint64_t silence_ms; /* 0: no limit */
    uint64_t later_ms;   /* that limit, once take() has got something */
    bool stopped;
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

/* ---- bodies that are not in memory ---- */

static bool is_taken(struct exchange *exchange)
{
    const struct roster_stream *stream = exchange->stream;
    long status = 0;

    (void)curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    return stream != NULL && stream->take != NULL && status < 300;
}

static void tell_progress(const struct exchange *exchange, uint64_t done,
                          curl_off_t total)
{
    const struct roster_stream *stream = exchange->stream;

    if (stream->progress != NULL) {
        stream->progress(done, total > 0 ? (uint64_t)total : 0, stream->user);
    }
}

static size_t hand_over(struct exchange *exchange, const char *bytes, size_t n)
{
    curl_off_t total = -1;

    exchange->moved_ms = clock_mono_ms();
    exchange->silence_ms = exchange->later_ms;
    exchange->taken += n;
    if (exchange->stream->take(bytes, n, exchange->stream->user) != 0) {
        exchange->stopped = true;
        return 0;
    }
    (void)curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
                            &total);
    tell_progress(exchange, exchange->taken, total);
    return n;
}

static size_t on_read(char *bytes, size_t size, size_t n, void *user)
{
    struct exchange *exchange = user;
    uint64_t left = exchange->body_fd_bytes - exchange->given;
    size_t room = left < size * n ? (size_t)left : size * n;
    ssize_t got = 0;

    if (room == 0) {
        return 0;
    }
    do {
        got = pread(exchange->stream->body_fd, bytes, room,
                    (off_t)exchange->given);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) { /* It cannot be read, or became shorter. */
        exchange->stopped = true;
        return CURL_READFUNC_ABORT;
    }
    exchange->given += (uint64_t)got;
    exchange->moved_ms = clock_mono_ms();
    tell_progress(exchange, exchange->given,
                  (curl_off_t)exchange->body_fd_bytes);
    return (size_t)got;
}

/* curl begins again on a fresh connection when a kept one turns out closed. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    struct exchange *exchange = user;

    if (origin != SEEK_SET || offset < 0) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    exchange->given = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static void set_upload(struct exchange *exchange)
{
    CURL *easy = exchange->easy;
    struct stat stat = {0};

    if (fstat(exchange->stream->body_fd, &stat) != 0) {
        exchange->stopped = true;
    }
    exchange->body_fd_bytes = (uint64_t)stat.st_size;
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                           (curl_off_t)stat.st_size);
    (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
    (void)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    (void)curl_easy_setopt(easy, CURLOPT_SEEKDATA, exchange);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
}

/* A large body takes what it takes; only silence is bounded. */
static void set_stream(struct exchange *exchange, const struct attempt *attempt)
{
    CURL *easy = exchange->easy;

    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 0L);
    exchange->silence_ms = attempt->total_ms;
    exchange->later_ms =
        attempt->silence_ms > 0 ? attempt->silence_ms : attempt->total_ms;
    exchange->moved_ms = clock_mono_ms();
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
    if (exchange->stream->body_fd > 0) {
        set_upload(exchange);
    }
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    struct exchange *exchange = user;

    if (is_taken(exchange)) {
        return hand_over(exchange, bytes, size * n);
    }
    if (exchange->body.n + size * n > MAX_ANSWER) {
        exchange->too_large = true;
        return 0;
    }
    buf_add(&exchange->body, bytes, size * n);
    return size * n;
}

static void set_tls(CURL *easy, const struct attempt *attempt)
{
    (void)curl_easy_setopt(easy, CURLOPT_SSLVERSION,
                           (long)CURL_SSLVERSION_TLSv1_2);
    if (attempt->ca != NULL) {
        /* Alone: curl may have been built with a directory of its own. */
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, attempt->ca);
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (attempt->cert != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, attempt->cert);
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, attempt->key);
    }
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
    exchange->stream = attempt->stream;
    exchange->taken = 0;
    exchange->given = 0;
    exchange->silence_ms = 0;
    exchange->stopped = false;
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
    set_tls(easy, attempt);
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
    if (exchange->stream != NULL) {
        set_stream(exchange, attempt);
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->repeat == ROSTER_REPEAT_NEVER) {
        /* On a kept connection that turns out closed curl sends again by
         * itself. */
        (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
}

/* How long to wait for the next event; 0 when it has been silent too long. */
static int wait_ms(struct exchange *exchange)
{
    if (exchange->silence_ms == 0) {
        return POLL_MS;
    }
    uint64_t silent = clock_mono_ms() - exchange->moved_ms;
    if (silent >= exchange->silence_ms) {
        return 0;
    }
    uint64_t left = exchange->silence_ms - silent;
    return left < POLL_MS ? (int)left : POLL_MS;
}

static void tell_silence(struct exchange *exchange)
{
    (void)snprintf(exchange->error, sizeof exchange->error,
                   "nothing moved for %.1f s",
                   (double)exchange->silence_ms / 1000);
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
        int wait = wait_ms(exchange);
        if (wait == 0) {
            tell_silence(exchange);
            *ret_code = CURLE_OPERATION_TIMEDOUT;
            return true;
        }
        if (code == CURLM_OK) {
            code = curl_multi_poll(exchange->multi, &wake, wake_fd > 0 ? 1 : 0,
                                   wait, NULL);
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

/* Is the end of what came known to be its end? */
static bool is_whole(struct exchange *exchange)
{
    struct curl_header *found = NULL;
    curl_off_t length = -1;

    (void)curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
                            &length);
    if (length < 0) {
        return curl_easy_header(exchange->easy, "Transfer-Encoding", 0,
                                CURLH_HEADER, -1, &found) == CURLHE_OK;
    }
    return (uint64_t)length == exchange->taken;
}

/* What a transfer that has ended with `code` means. */
static enum exchange_outcome judge(struct exchange *exchange, CURLcode code,
                                   struct roster_response *ret_response,
                                   char **ret_why)
{
    long sent = 0;

    (void)curl_easy_getinfo(exchange->easy, CURLINFO_REQUEST_SIZE, &sent);
    if (exchange->stopped) {
        return EXCHANGE_STOPPED;
    }
    if (code == CURLE_OK && is_taken(exchange) && !is_whole(exchange)) {
        *ret_why = mem_text("neither a length nor chunks: whether this is all "
                            "of it cannot be known");
        return EXCHANGE_NOT_WHOLE;
    }
    if (code == CURLE_OK) {
        exchange_read_answer(exchange->easy, &exchange->body, ret_response);
        return EXCHANGE_ANSWERED;
    }
    if (exchange->too_large) {
        return EXCHANGE_TOO_LARGE;
    }
    *ret_why = mem_text(exchange->error[0] != '\0' ? exchange->error
                                                   : curl_easy_strerror(code));
    if (exchange->taken > 0) {
        return EXCHANGE_NOT_WHOLE;
    }
    return sent > 0 ? EXCHANGE_CUT : EXCHANGE_NOT_SENT;
}

enum exchange_outcome exchange_run(struct exchange *exchange,
                                   const struct attempt *attempt,
                                   struct roster_response *ret_response,
                                   char **ret_why)
{
    struct curl_slist *headers = exchange_headers(attempt);
    struct buf url = {0};
    CURLcode code = CURLE_OK;
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
        outcome = judge(exchange, code, ret_response, ret_why);
    }
    /* Removing a transfer that is not done closes its connection. */
    (void)curl_multi_remove_handle(exchange->multi, exchange->easy);
    curl_slist_free_all(headers);
    buf_done(&url);
    return outcome;
}
