/* What comes behind the head: into memory, into a file, or to nobody. */
#include "base/err.h"
#include "rest/state.h"

#define TOO_LARGE_FILE                                                         \
    "the file is larger than the store may become (--store-limit): it cannot " \
    "be a state of this registry"
#define NO_ROOM_FILE                                                           \
    "the disk has no room for the file above its reserve (--disk-reserve): "   \
    "make room, then try again"

enum rest_takes rest_body_takes(const struct rest_request *request)
{
    return request->route == NULL ? REST_NOTHING : request->route->takes;
}

void rest_body_drop(struct rest_request *request)
{
    if (request->body.n > 0) {
        atomic_fetch_sub_explicit(&request->loop->rest->body_bytes,
                                  request->body.n, memory_order_relaxed);
    }
    buf_done(&request->body);
}

/* A file that will not fit is refused before it is sent. */
void rest_body_begin(struct rest_request *request, uint64_t length)
{
    struct rest *rest = request->loop->rest;

    if (rest_body_takes(request) != REST_FILE) {
        return;
    }
    if (length > rest->max_upload_bytes) {
        rest_request_wrong(request, 413, STR(TOO_LARGE_FILE),
                           STR("Content-Length"));
    } else if (length > core_disk_left(rest->core)) {
        rest_request_wrong(request, 507, STR(NO_ROOM_FILE),
                           STR("Content-Length"));
    } else {
        request->upload = rest_upload_new(request);
        if (request->upload == NULL) {
            rest_request_wrong(
                request, 503,
                STR("too many files are being received: try again"), STR_NONE);
        }
    }
}

static void refuse_body(struct rest_request *request, unsigned status,
                        const char *why)
{
    rest_body_drop(request);
    rest_request_wrong(request, status, str_of(why), STR_NONE);
}

static bool reserve(struct rest_request *request, size_t n)
{
    struct rest *rest = request->loop->rest;
    uint64_t held =
        atomic_fetch_add_explicit(&rest->body_bytes, n, memory_order_relaxed);
    if (held + n <= REST_BODIES_BOUND * rest->config.max_body_bytes) {
        return true;
    }
    atomic_fetch_sub_explicit(&rest->body_bytes, n, memory_order_relaxed);
    return false;
}

static enum MHD_Result write_upload(struct rest_request *request)
{
    enum MHD_Result r = rest_request_suspend(request, REST_READING);

    rest_upload_write(request->upload);
    return r;
}

/* What is wrong with what was written so far. */
static void check_upload(struct rest_request *request)
{
    int r = rest_upload_outcome(request->upload);

    if (r == 0 && request->spooled <= request->loop->rest->max_upload_bytes) {
        return;
    }
    request->upload = rest_upload_free(request->upload);
    if (r == 0) {
        rest_request_wrong(request, 413, STR(TOO_LARGE_FILE), STR_NONE);
    } else if (r == ERR_FULL) {
        rest_request_wrong(request, 507, STR(NO_ROOM_FILE), STR_NONE);
    } else {
        rest_request_wrong(
            request, 500,
            STR("the file could not be written: this node's log says "
                "why"),
            STR_NONE);
    }
}

/* Each byte gives it the whole time again: how long a file takes is the
 * client's business, whether it still comes is ours. */
static enum MHD_Result take_file(struct rest_request *request, struct str part)
{
    request->received += part.n;
    request->spooled += part.n;
    rest_deadlines_enter(&request->loop->deadlines, request->peer, REST_BODY,
                         request->loop->now_ms);
    return rest_upload_take(request->upload, part) ? write_upload(request)
                                                   : MHD_YES;
}

/* Enough of a body that nobody wants. */
static enum MHD_Result hang_up(struct rest_request *request)
{
    struct rest_problem problem = request->problem;

    if (rest_body_takes(request) == REST_FILE && problem.status != 0) {
        rest_cut_last_word(request->peer, problem.status, "Refused",
                           rest_answer_body(request, &problem));
    }
    return MHD_NO;
}

static bool is_kept(const struct rest_request *request)
{
    enum rest_takes takes = rest_body_takes(request);

    return request->problem.status == 0 && !request->unwanted &&
           (takes == REST_JSON || takes == REST_SECRET);
}

static void keep(struct rest_request *request, struct str part)
{
    request->body.secret = rest_body_takes(request) == REST_SECRET;
    buf_add_str(&request->body, part);
}

static enum MHD_Result take(struct rest_request *request, struct str part)
{
    uint64_t most = request->loop->rest->config.max_body_bytes;

    if (request->upload != NULL) {
        check_upload(request);
    }
    if (request->upload != NULL) {
        return take_file(request, part);
    }
    request->received += part.n;
    uint64_t unwanted = request->received - request->spooled;
    if (unwanted > rest_discard_bytes(most)) {
        return hang_up(request);
    }
    if (unwanted > most) {
        refuse_body(request, 413,
                    "the body is above what this server takes (--max-body)");
    } else if (is_kept(request)) {
        if (!reserve(request, part.n)) {
            refuse_body(request, 503,
                        "too many bodies are being received: try again");
            return MHD_YES;
        }
        keep(request, part);
    }
    return MHD_YES;
}

enum MHD_Result rest_body_take(struct rest_request *request, struct str part)
{
    enum MHD_Result r = take(request, part);

    if (rest_body_takes(request) == REST_SECRET) {
        /* The library's memory, and it is done with it: the next request of
         * the connection comes into the same. */
        explicit_bzero((char *)(uintptr_t)part.p, part.n);
    }
    return r;
}

bool rest_body_waits(struct rest_request *request)
{
    if (request->upload == NULL) {
        return false;
    }
    if (rest_upload_is_written(request->upload)) {
        check_upload(request);
        return false;
    }
    (void)write_upload(request);
    return true;
}
