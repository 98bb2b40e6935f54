#include "rest/shared.h"

#include <microhttpd.h>
#include <strings.h>

enum { HEAD_BYTES = 512 }; /* a usual one has room in it */

struct rest_shared *rest_shared_new(const struct rest_reply *reply,
                                    struct str body)
{
    struct rest_shared *shared = mem_zero(sizeof *shared);

    shared->users = 1;
    shared->reply = *reply;
    shared->body = body;
    return shared;
}

struct rest_shared *rest_shared_pending(void)
{
    return rest_shared_new(&(struct rest_reply){.status = 0}, STR(""));
}

struct rest_shared *rest_shared_ref(struct rest_shared *shared)
{
    shared->users++;
    return shared;
}

void rest_shared_unref(struct rest_shared *shared)
{
    if (shared != NULL && --shared->users == 0) {
        if (shared->reply.response != NULL) {
            MHD_destroy_response(shared->reply.response);
        }
        buf_done(&shared->head);
        (void)mem_free(shared);
    }
}

static enum MHD_Result add_header(void *user, enum MHD_ValueKind kind,
                                  const char *name, const char *value)
{
    struct rest_shared *shared = user;
    struct buf *head = &shared->head;

    (void)kind;
    buf_add_text(head, name);
    buf_add_text(head, ": ");
    if (strcasecmp(name, MHD_HTTP_HEADER_DATE) == 0) {
        shared->date_at = head->n;
    }
    buf_add_text(head, value);
    buf_add_text(head, "\r\n");
    shared->closes =
        shared->closes || strcasecmp(name, MHD_HTTP_HEADER_CONNECTION) == 0;
    return MHD_YES;
}

void rest_shared_write(struct rest_shared *shared)
{
    unsigned status = shared->reply.status;
    struct buf *head = &shared->head;

    if (head->n > 0) {
        return;
    }
    buf_reserve(head, HEAD_BYTES);
    buf_add_text(head, "HTTP/1.1 ");
    buf_add_u64(head, status);
    buf_add_char(head, ' ');
    buf_add_text(head, MHD_get_reason_phrase_for(status));
    buf_add_text(head, "\r\n");
    shared->line_n = head->n;
    (void)MHD_get_response_headers(shared->reply.response, add_header, shared);
    if (status != MHD_HTTP_NO_CONTENT) { /* RFC 9110 8.6: it has none */
        buf_add_text(head, "Content-Length: ");
        buf_add_u64(head, shared->body.n);
        buf_add_text(head, "\r\n");
    }
    buf_add_text(head, "\r\n");
}

bool rest_shared_date(struct rest_shared *shared, const char *date)
{
    rest_shared_write(shared);
    char *at = shared->head.p + shared->date_at;
    size_t n = strlen(date);

    if (shared->date_at == 0 || memcmp(at, date, n) == 0) {
        return true;
    }
    if (shared->users > 1) {
        return false;
    }
    memcpy(at, date, n); /* they all have one length */
    return true;
}
