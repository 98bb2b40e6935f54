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

/* A record that is sealed has to go as it is, and nobody but the session knows
 * how much of it has gone: it is kept, to be given to the session again. */
static ssize_t send_sealed(struct stream *stream, const char *bytes, size_t n)
{
    size_t done = 0;

    while (done < n) {
        size_t left = n - done;
        size_t record = left < STREAM_RECORD ? left : STREAM_RECORD;
        ssize_t taken = rest_peer_send(stream->peer, bytes + done, record);
        if (taken >= 0) {
            done += (size_t)taken;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -1;
        }
        if (stream->rest == NULL) {
            keep(stream, bytes + done, record);
            done += record;
        }
        break;
    }
    return (ssize_t)done;
}

ssize_t stream_send(struct stream *stream, const char *bytes, size_t n)
{
    ssize_t taken;

    do {
        taken = stream->peer != NULL ? send_sealed(stream, bytes, n)
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
    return n == 0 || stream->rest == NULL || stream_block(stream);
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
