/* The head of a request. */
#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>

#include "client/exchange.h"

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

struct curl_slist *exchange_headers(const struct attempt *attempt)
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
    if (attempt->token != NULL &&
        !exchange_has_header(request, "Authorization")) {
        line.secret = true;
        buf_printf(&line, "Authorization: Bearer %s", attempt->token);
        list = add_header(list, buf_text(&line));
        buf_clear(&line);
    }
    bool has_body = request->body != NULL ||
                    (attempt->stream != NULL && attempt->stream->body_fd > 0);
    if (has_body && !exchange_has_header(request, "Content-Type")) {
        list = add_header(list, request->body != NULL
                                    ? "Content-Type: application/json"
                                    : "Content-Type: application/octet-stream");
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
