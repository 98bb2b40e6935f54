/* From a request to a stream: the answer's head, and the socket out of the
 * library's hands.
 *
 * A suspended connection is in none of the library's epoll sets, so that its
 * descriptor can be made to name another file behind the library's back. It
 * gets a socket that has ended, and is woken: the handler says no, and the
 * library closes what it takes for the connection. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rest/state.h"
#include "rest/stream.h"
#include "rest/taken.h"

enum {
    SEND_BYTES = 128 << 10, /* the kernel takes twice that */
    SILENT_MS = 45000,      /* nothing of what was sent has arrived */
};

static void write_head(struct rest_request *request,
                       const struct rest_frame *frame, struct buf *head)
{
    buf_printf(head,
               "HTTP/1.1 200 OK\r\n"
               "Content-Type: %s\r\n"
               "Cache-Control: no-store\r\n"
               "Vary: Accept\r\n"
               "X-Accel-Buffering: no\r\n"
               "Connection: close\r\n",
               frame->lines ? "application/x-ndjson" : "text/event-stream");
    if (frame->chunked) {
        buf_add_text(head, "Transfer-Encoding: chunked\r\n");
    }
    rest_header_write_stamp(request, head);
    buf_add_text(head, "\r\n");
}

static void set_up(int fd)
{
    int one = 1, bytes = SEND_BYTES, silent_ms = SILENT_MS;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms,
                     sizeof silent_ms);
}

static bool begin(struct rest_request *request, struct stream *stream,
                  const struct op_watch *watch)
{
    struct buf head = {0};

    write_head(request, stream_group_frame(stream->group), &head);
    bool goes_on = stream_put(stream, head.p, head.n);
    buf_done(&head);
    if (goes_on && request->head) {
        stream_end(stream);
        return false;
    }
    if (goes_on && watch->reset) {
        rest_count(&stream->loop->counts.stream_resets, 1);
        return stream_note(stream, "reset");
    }
    return goes_on;
}

static enum MHD_Result refuse(struct rest_request *request, const char *why)
{
    struct rest_problem problem = rest_problem_make(503, str_of(why), STR_NONE);
    return rest_answer_problem(request, &problem);
}

static struct stream *make(struct rest_request *request, int fd)
{
    const struct rest_frame frame = {request->lines, !request->old_http};
    struct rest_peer *peer = request->peer;

    set_up(fd);
    struct stream *stream = stream_new(
        request->loop, fd, request->op.answer.watch, request->op.query.initial,
        &frame, request->op.who, request->mark);
    stream->seat = rest_door_move_seat(&peer->seat);
    stream->seal = peer->seal;
    peer->seal = NULL;
    return stream;
}

/* What answers in front of it have left in a pipe comes first. */
static enum MHD_Result take_over(struct rest_request *request, int fd,
                                 struct buf *rest)
{
    const struct op_watch *watch = request->op.answer.watch;

    enum MHD_Result r = rest_request_suspend(request, REST_TAKEN);
    (void)dup3(request->loop->streams->ended, request->peer->library_fd,
               O_CLOEXEC);
    request->status = 200;
    struct stream *stream = make(request, fd);
    if (stream_put(stream, rest->p, rest->n)) {
        (void)begin(request, stream, watch);
    }
    buf_done(rest);
    rest_request_wake(&request->op);
    return r;
}

enum MHD_Result rest_stream_begin(struct rest_request *request)
{
    struct rest_loop *loop = request->loop;

    if (loop->closing) {
        return refuse(request, "this node is shutting down: ask another one");
    }
    if (!rest_watchers_take(loop->rest)) {
        struct rest_problem problem = rest_watchers_problem();
        return rest_answer_problem(request, &problem);
    }
    struct buf rest = {0};
    int fd = rest_taken_socket(request->peer, &rest);
    if (fd < 0) {
        rest_watchers_give(loop->rest);
        return refuse(request, "this node has no descriptor left: try again, "
                               "or another node");
    }
    return take_over(request, fd, &rest);
}
