/* A file as an answer. It is read by the loop as the client takes it, a block
 * at a time: what a slow reader holds is a block and the file. */
#include <errno.h>
#include <unistd.h>

#include "rest/state.h"

enum { BLOCK_BYTES = 64 << 10 };

struct sending {
    struct rest_task task; /* its end: freeing a large file takes time */
    struct rest_loop *loop;
    struct op_file *file;
};

static ssize_t read_block(void *user, uint64_t at, char *block, size_t most)
{
    const struct sending *sending = user;
    ssize_t n;

    do {
        n = pread(sending->file->fd, block, most, (off_t)at);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    rest_count(&sending->loop->counts.sent_bytes, (uint64_t)n);
    return n;
}

static void run_close(struct rest_task *task)
{
    struct sending *sending = CONTAINER(task, struct sending, task);

    (void)registry_file_close(sending->file);
    (void)mem_free(sending);
}

static void on_sent(void *user)
{
    struct sending *sending = user;

    sending->task.run = run_close;
    rest_spool_push(&sending->loop->rest->spool, &sending->task);
}

/* HEAD: how long it would be is not known before it is made. */
static ssize_t read_nothing(void *user, uint64_t at, char *block, size_t most)
{
    (void)user;
    (void)at;
    (void)block;
    (void)most;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

/* Never in chunks: the library ends those with a last one even here, and the
 * client would read that as the next answer. The connection closes instead. */
static struct MHD_Response *unmade(void)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, 1, read_nothing, NULL, NULL);

    if (response != NULL) {
        (void)MHD_set_response_options(
            response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    }
    return response;
}

struct MHD_Response *rest_file_response(struct rest_request *request)
{
    struct op_file *file = request->op.answer.file;

    if (file->fd < 0) {
        return unmade();
    }
    struct sending *sending = mem_zero(sizeof *sending);
    sending->loop = request->loop;
    sending->file = file;
    struct MHD_Response *response = MHD_create_response_from_callback(
        file->size, BLOCK_BYTES, read_block, sending, on_sent);
    if (response == NULL) {
        (void)mem_free(sending);
        return NULL;
    }
    request->op.answer.file = NULL; /* the response's */
    return response;
}

void rest_file_headers(struct rest_request *request, const struct op_file *file,
                       struct MHD_Response *response)
{
    struct buf text = {0};

    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  "application/octet-stream");
    if (file->fd < 0) {
        return;
    }
    buf_printf(&text, "attachment; filename=\"%.*s\"", STR_ARG(file->name));
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_DISPOSITION,
                                  buf_text(&text));
    buf_done(&text);
    (void)MHD_add_response_header(response, "Roster-Digest",
                                  arena_text(request->arena, file->digest));
}

void rest_file_drop(struct rest_request *request)
{
    struct op_file *file = request->op.answer.file;

    if (file == NULL) {
        return;
    }
    struct sending *sending = mem_zero(sizeof *sending);
    sending->loop = request->loop;
    sending->file = file;
    on_sent(sending);
    request->op.answer.file = NULL;
}
