#include "hook/sender.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/err.h"

enum { ANSWER_MOST = 65536, KEPT_CONNECTIONS = 64 };

struct sender {
    CURLM *multi;
    struct sender_config config;
    struct call *calls;
};

struct call {
    CURL *easy;
    struct sender *sender;
    struct curl_slist *headers;
    struct buf body;
    size_t answered; /* bytes of the answer */
    void *request;
    char error[CURL_ERROR_SIZE];
    /* The last of its addresses that is not called, and what that is. */
    const char *refused_as;
    char refused[INET6_ADDRSTRLEN];
    struct call *prev, *next;
};

static void or_stop(bool ok)
{
    if (!ok) {
        abort(); /* out of memory: see base/mem.h */
    }
}

static void start_curl(void)
{
    or_stop(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

struct sender *sender_new(const struct sender_config *config)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sender *sender = mem_zero(sizeof *sender);

    (void)pthread_once(&once, start_curl);
    sender->config = *config;
    sender->multi = curl_multi_init();
    or_stop(sender->multi != NULL);
    (void)curl_multi_setopt(sender->multi, CURLMOPT_MAXCONNECTS,
                            (long)KEPT_CONNECTIONS);
    return sender;
}

static void call_free(struct call *call)
{
    DL_DELETE(call->sender->calls, call);
    (void)curl_multi_remove_handle(call->sender->multi, call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    buf_done(&call->body);
    mem_free(call);
}

void sender_cut(struct sender *sender)
{
    struct call *call = NULL, *next = NULL;

    DL_FOREACH_SAFE(sender->calls, call, next)
    {
        call_free(call);
    }
}

void sender_cancel(struct sender *sender, const void *request)
{
    struct call *call = NULL;

    DL_SEARCH_SCALAR(sender->calls, call, request, request);
    if (call != NULL) {
        call_free(call);
    }
}

struct sender *sender_free(struct sender *sender)
{
    if (sender == NULL) {
        return NULL;
    }
    sender_cut(sender);
    (void)curl_multi_cleanup(sender->multi);
    return mem_free(sender);
}

/* ---- where to ---- */

static int host_of(CURLU *parts, char ret_host[SENDER_HOST],
                   const char **ret_why)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    int r = ERR_INVALID;

    *ret_why = "its url is no http:// or https:// URL";
    if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ==
            CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0)) {
        int n = snprintf(ret_host, SENDER_HOST, "%s:%s", host, port);
        r = n > 0 && n < SENDER_HOST ? 0 : ERR_INVALID;
        for (char *c = ret_host; r == 0 && *c != '\0'; c++) {
            *c = (char)tolower((unsigned char)*c);
        }
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return r;
}

int sender_host_of(const char *url, char ret_host[SENDER_HOST],
                   const char **ret_why)
{
    CURLU *parts = curl_url();
    int r = ERR_INVALID;

    or_stop(parts != NULL);
    *ret_why = "its url cannot be read";
    if (curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK) {
        r = host_of(parts, ret_host, ret_why);
    }
    curl_url_cleanup(parts);
    return r;
}

/* Between the resolver and the connection: no name can change its meaning
 * here. */
static curl_socket_t on_socket(void *user, curlsocktype purpose,
                               struct curl_sockaddr *address)
{
    struct call *call = user;
    const struct sockaddr *sa = &address->addr;

    (void)purpose;
    const char *what = allow_refuses(call->sender->config.allow, sa);
    if (what == NULL) {
        return socket(address->family, address->socktype | SOCK_CLOEXEC,
                      address->protocol);
    }
    const void *at =
        sa->sa_family == AF_INET6
            ? (const void *)&((const struct sockaddr_in6 *)(const void *)sa)
                  ->sin6_addr
            : (const void *)&((const struct sockaddr_in *)(const void *)sa)
                  ->sin_addr;
    call->refused_as = what;
    if (inet_ntop(sa->sa_family, at, call->refused, sizeof call->refused) ==
        NULL) {
        call->refused[0] = '\0';
    }
    return CURL_SOCKET_BAD;
}

/* ---- requests ---- */

static size_t on_answer(char *bytes, size_t size, size_t n, void *user)
{
    struct call *call = user;

    (void)bytes;
    call->answered += size * n;
    return call->answered <= ANSWER_MOST ? size * n : 0;
}

static void limit(struct call *call)
{
    const struct sender_config *config = &call->sender->config;
    CURL *easy = call->easy;

    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* A name that is given up while it is resolved would be waited for, and
     * everybody with it; so its thread is left to end by itself. */
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)config->connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)config->whole_ms);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    /* Whatever the environment says: a proxy would connect where this process
     * does not. */
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
}

static void add_header(struct call *call, const char *line)
{
    struct curl_slist *more = curl_slist_append(call->headers, line);

    or_stop(more != NULL);
    call->headers = more;
}

void sender_send(struct sender *sender, const char *url, struct buf *body,
                 const char *const *headers, void *request)
{
    struct call *call = mem_zero(sizeof *call);

    call->sender = sender;
    call->request = request;
    call->body = *body;
    *body = (struct buf){0};
    call->easy = curl_easy_init();
    or_stop(call->easy != NULL);
    limit(call);
    for (size_t i = 0; headers[i] != NULL; i++) {
        add_header(call, headers[i]);
    }
    add_header(call, "Content-Type: application/json");
    add_header(call, "Expect:");
    (void)curl_easy_setopt(call->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(call->easy, CURLOPT_USERAGENT,
                           "roster/" ROSTER_VERSION);
    (void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    (void)curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body.p);
    (void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                           (curl_off_t)call->body.n);
    DL_APPEND(sender->calls, call);
    or_stop(curl_multi_add_handle(sender->multi, call->easy) == CURLM_OK);
}

/* ---- outcomes ---- */

static void tell_trouble(const struct call *call, CURLcode code,
                         char why[SENDER_WHY])
{
    if (call->refused_as != NULL && code == CURLE_COULDNT_CONNECT) {
        (void)snprintf(why, SENDER_WHY,
                       "%s is %s; start the servers with --webhook-allow "
                       "%s/%d if it is meant",
                       call->refused, call->refused_as, call->refused,
                       strchr(call->refused, ':') != NULL ? 128 : 32);
    } else {
        (void)snprintf(why, SENDER_WHY, "%s", curl_easy_strerror(code));
    }
}

/* The status line is the answer: 2xx is yes, whatever comes behind it, also
 * when that was cut. */
static bool is_yes(struct call *call, CURLcode code, char why[SENDER_WHY])
{
    long status = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300) {
        return true;
    }
    if (status >= 300 && status < 400) {
        (void)snprintf(why, SENDER_WHY,
                       "answered %ld, and redirects are not followed", status);
    } else if (status >= 400) {
        (void)snprintf(why, SENDER_WHY, "answered %ld", status);
    } else {
        tell_trouble(call, code, why);
    }
    return false;
}

static bool finish(struct sender *sender, sender_done_func *done, void *user)
{
    struct CURLMsg *message = NULL;
    int left = 0;
    bool some = false;

    while ((message = curl_multi_info_read(sender->multi, &left)) != NULL) {
        char why[SENDER_WHY];
        struct call *call = NULL;
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        void *request = call->request;
        bool yes = is_yes(call, code, why);
        call_free(call);
        done(user, request, yes ? NULL : why);
        some = true;
    }
    return some;
}

void sender_run(struct sender *sender, uint64_t most_ms, sender_done_func *done,
                void *user)
{
    int running = 0;
    int wait_ms = most_ms > INT32_MAX ? INT32_MAX : (int)most_ms;

    (void)curl_multi_perform(sender->multi, &running);
    if (finish(sender, done, user)) {
        return;
    }
    (void)curl_multi_poll(sender->multi, NULL, 0, wait_ms, NULL);
    (void)curl_multi_perform(sender->multi, &running);
    (void)finish(sender, done, user);
}

void sender_wake(struct sender *sender)
{
    (void)curl_multi_wakeup(sender->multi);
}
