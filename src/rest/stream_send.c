/* All that streams send, plain or sealed. */
#include <errno.h>
#include <sys/socket.h>

#include "rest/state.h"
#include "rest/stream.h"

#define REST_BYTES_MOST (UINT64_C(64) << 20)

static void keep(struct stream *stream, const char *bytes, size_t n)
{
    stream->rest = mem_grow(stream->rest, stream->rest_n + n);
    memcpy(stream->rest + stream->rest_n, bytes, n);
    stream->rest_n += n;
    stream->loop->streams->rest_bytes += n;
}

bool stream_owes(const struct stream *stream)
{
    return stream->rest != NULL ||
           (stream->seal != NULL && tls_seal_owes(stream->seal));
}

/* A record at a time: what a session owes is memory. */
static ssize_t send_sealed(struct stream *stream, const char *bytes, size_t n)
{
    size_t done = 0;

    if (tls_seal_flush(stream->seal) != 0) {
        return -1;
    }
    while (done < n && !tls_seal_owes(stream->seal)) {
        size_t left = n - done;
        const struct iovec record = {(void *)(uintptr_t)(bytes + done),
                                     left < STREAM_RECORD ? left
                                                          : STREAM_RECORD};
        ssize_t taken = tls_seal_send(stream->seal, &record, 1);
        if (taken < 0) {
            return -1;
        }
        done += (size_t)taken;
    }
    return (ssize_t)done;
}

ssize_t stream_send(struct stream *stream, const char *bytes, size_t n)
{
    ssize_t taken;

    do {
        taken = stream->seal != NULL ? send_sealed(stream, bytes, n)
                                     : send(stream->side.fd, bytes, n,
                                            MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (taken < 0 && errno == EINTR);
    if (taken > 0) {
        rest_count(&stream->loop->counts.stream_bytes, (uint64_t)taken);
    }
    if (taken < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return 0;
    }
    return taken;
}

bool stream_put(struct stream *stream, const char *bytes, size_t n)
{
    bool waits = n == 0 || stream->rest != NULL;
    ssize_t taken = waits ? 0 : stream_send(stream, bytes, n);

    if (taken < 0) {
        stream_end(stream);
        return false;
    }
    if ((size_t)taken < n) {
        keep(stream, bytes + taken, n - (size_t)taken);
    }
    return n == 0 || !stream_owes(stream) || stream_block(stream);
}

bool stream_block(struct stream *stream)
{
    struct rest_streams *streams = stream->loop->streams;

    stream_enter(stream, STREAM_BLOCKED);
    if (stream->rest != NULL && streams->rest_bytes > REST_BYTES_MOST) {
        stream_cut(stream, "too many take what is there too slowly");
        return false;
    }
    return true;
}

bool stream_note(struct stream *stream, const char *op)
{
    struct buf note = {0};

    rest_frame_note(&note, stream_group_frame(stream->group), op, stream->upto);
    bool goes_on = stream_put(stream, note.p, note.n);
    buf_done(&note);
    return goes_on;
}
