/* Streams whose caller is not who he was, and the end that is told. */
#include "rest/state.h"
#include "rest/stream.h"

/* Those who are live know all that the table has told. */
static void know_told(struct stream *stream, uint64_t told)
{
    if (stream->state == STREAM_LIVE && stream->upto < told) {
        stream->upto = told;
    }
}

/* One that is told what is there has no revision to resume from. */
void stream_bye(struct stream *stream, uint64_t told, const char *reason)
{
    const struct rest_frame *frame = stream_group_frame(stream->group);
    struct buf bye = {0};

    know_told(stream, told);
    if (!stream_owes(stream) && stream->sent == 0) {
        if (stream->initial == NULL) {
            rest_frame_bye(&bye, frame, stream->upto, reason);
        }
        rest_frame_end(&bye, frame);
        (void)stream_send(stream, bye.p, bye.n);
    }
    buf_done(&bye);
    stream_end(stream);
}

/* What he sees now and did not see before has no events: he has to read it. */
static void see_anew(struct stream *stream)
{
    uint64_t now = watch_hub_revision(stream->loop->rest->hub);

    if (stream->initial != NULL) {
        stream->upto = stream->initial->revision;
        stream->initial = mem_free(stream->initial);
    }
    stream->upto = stream->upto > now ? stream->upto : now;
    stream_enter(stream, STREAM_READY);
    stream_group_change(stream);
    (void)stream_begin_anew(stream);
}

/* What its client may see is something else now, from here on. What is half
 * sent was made for who he was. */
void stream_other(struct rest_judged *judged)
{
    struct stream *stream = CONTAINER(judged, struct stream, judged);
    uint64_t told = watch_table_revision(stream->loop->watching);
    struct str ns = stream_group_spec(stream->group)->ns;

    if (judged->who->kind == ACCESS_ANONYMOUS) {
        stream_bye(stream, told, "unauthorized");
    } else if (!access_may_below(judged->who, ACCESS_READ, ns)) {
        stream_bye(stream, told, "forbidden");
    } else if (stream_owes(stream) || stream->sent > 0) {
        stream_cut(stream, "what it may see has changed");
    } else {
        see_anew(stream);
    }
}
