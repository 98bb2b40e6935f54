/* The headers of answers. */
#include <stdio.h>

#include "rest/state.h"

#define HEADERS_BYTES 2048 /* of a usual request and of every answer */

/* The library keeps copies. It refuses a value with line ends in it, and then
 * the header is left out: nothing a client sent can add a header. */
void rest_header_add(struct MHD_Response *response, const char *name,
                     const char *value)
{
    (void)MHD_add_response_header(response, name, value);
}

void rest_header_add_number(struct MHD_Response *response, const char *name,
                            uint64_t number)
{
    char text[21];
    char *at = text + sizeof text - 1;

    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    rest_header_add(response, name, at);
}

/* Strong: each encoding's bytes have a tag of their own. */
static void add_etag(struct MHD_Response *response, uint64_t etag, bool gzip)
{
    char text[32];
    (void)snprintf(text, sizeof text, "\"%llu%s\"", (unsigned long long)etag,
                   gzip ? "-gz" : "");
    rest_header_add(response, MHD_HTTP_HEADER_ETAG, text);
}

struct rest_stamp rest_header_stamp(const struct rest_request *request)
{
    struct core_status status = core_status(request->loop->rest->core);
    const struct op_answer *answer = &request->op.answer;

    return (struct rest_stamp){
        .revision = answer->revision != 0
                        ? answer->revision
                        : registry_revision(request->loop->rest->registry),
        .stale_ms = status.stale_ms,
        .second = request->loop->second,
        .leader = status.leader,
    };
}

/* Looked up when it has changed, and until the name is known. */
static const char *leader_name(struct rest_loop *loop, uint64_t leader)
{
    struct core_member found;

    if (leader == loop->leader && loop->leader_name[0] != '\0') {
        return loop->leader_name;
    }
    loop->leader = 0;
    loop->leader_name[0] = '\0';
    if (leader != 0 && core_leader(loop->rest->core, &found) == 0 &&
        found.raft_id == leader) {
        loop->leader = leader;
        (void)snprintf(loop->leader_name, sizeof loop->leader_name, "%s",
                       found.id);
    }
    return loop->leader_name;
}

void rest_header_add_stamp(struct rest_request *request,
                           const struct rest_stamp *stamp,
                           struct MHD_Response *response)
{
    const char *leader = leader_name(request->loop, stamp->leader);

    rest_header_add(response, MHD_HTTP_HEADER_DATE, request->loop->date);
    rest_header_add_number(response, "Roster-Revision", stamp->revision);
    rest_header_add(response, "Roster-Node", request->loop->rest->node_id);
    /* The library takes no empty value; a blank is read as one. */
    rest_header_add(response, "Roster-Leader",
                    leader[0] != '\0' ? leader : " ");
    if (request->method == REST_GET) {
        rest_header_add_number(response, "Roster-Stale-Ms", stamp->stale_ms);
    }
    if (rest_header_is_draining(request)) {
        rest_header_add(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
}

void rest_header_write_stamp(struct rest_request *request, struct buf *head)
{
    struct rest_stamp stamp = rest_header_stamp(request);

    buf_printf(head,
               "Date: %s\r\n"
               "Roster-Revision: %llu\r\n"
               "Roster-Node: %s\r\n"
               "Roster-Leader: %s\r\n"
               "Roster-Stale-Ms: %llu\r\n",
               request->loop->date, (unsigned long long)stamp.revision,
               request->loop->rest->node_id,
               leader_name(request->loop, stamp.leader),
               (unsigned long long)stamp.stale_ms);
}

bool rest_header_is_draining(const struct rest_request *request)
{
    return atomic_load_explicit(&request->loop->rest->draining,
                                memory_order_relaxed);
}

void rest_header_add_node(struct rest_request *request,
                          struct MHD_Response *response)
{
    struct rest_stamp stamp = rest_header_stamp(request);

    rest_header_add_stamp(request, &stamp, response);
}

static void add_link(struct rest_request *request,
                     struct MHD_Response *response, struct str next)
{
    const char *end = memchr(request->op.path.p, '?', request->op.path.n);
    struct str path = request->op.path;
    struct buf text = {0};

    if (end != NULL) {
        path.n = (size_t)(end - path.p);
    }
    buf_add_char(&text, '<');
    rest_uri_add_quoted(&text, path);
    buf_add_char(&text, '?');
    rest_uri_add_quoted(&text, next);
    buf_add_text(&text, ">; rel=\"next\"");
    rest_header_add(response, MHD_HTTP_HEADER_LINK, buf_text(&text));
    buf_done(&text);
}

/* What many get says nothing of one's limit. */
void rest_header_add_limit(const struct rest_request *request,
                           struct MHD_Response *response)
{
    const struct registry_limit *limit = &request->limit;

    if (limit->limited && request->group == NULL) {
        rest_header_add_number(response, "RateLimit-Limit", limit->most);
        rest_header_add_number(response, "RateLimit-Remaining", limit->left);
        rest_header_add_number(response, "RateLimit-Reset", limit->reset_s);
    }
}

void rest_header_add_trace(const struct rest_request *request,
                           struct MHD_Response *response)
{
    struct str id = request->op.request;
    /* Plain reads have the same bytes, whether they are kept or not. */
    bool is_told = request->traced || !request->plain;

    if (id.n > 0 && request->group == NULL && is_told) {
        rest_header_add(response, "Roster-Request",
                        arena_text(request->arena, id));
    }
}

void rest_header_add_op(struct rest_request *request,
                        struct MHD_Response *response)
{
    const struct op_answer *answer = &request->op.answer;

    if (answer->etag != 0) {
        add_etag(response, answer->etag, answer->gzip);
    }
    if (answer->varies) {
        rest_header_add(response, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
    }
    if (answer->gzip && answer->body.n > 0) {
        rest_header_add(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    }
    if (answer->location.n > 0) {
        rest_header_add(response, MHD_HTTP_HEADER_LOCATION,
                        arena_text(request->arena, answer->location));
    }
    if (answer->next.n > 0) {
        add_link(request, response, answer->next);
    }
    if (answer->replayed) {
        rest_header_add(response, "Idempotent-Replayed", "true");
    }
    if (answer->retry_after_s != 0) {
        rest_header_add_number(response, MHD_HTTP_HEADER_RETRY_AFTER,
                               answer->retry_after_s);
    }
}

/* The library makes an answer's headers in what the request has left of
 * --max-header, and hangs up without a word when that is too little. Only Link
 * grows with the request; who follows it sends it back and gets another. */
bool rest_header_has_room(const struct rest_request *request)
{
    uint64_t most = request->loop->rest->config.max_header_bytes;
    size_t next = request->op.answer.next.n;
    size_t target = request->target.n;

    if (next == 0) {
        return true;
    }
    /* Its path is at most as long as the target. */
    return HEADERS_BYTES + target + 2 * next <= most &&
           HEADERS_BYTES + 2 * target <= most;
}
