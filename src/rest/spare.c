/* Requests, used again: their memory is as large as the last one needed. */
#include "rest/state.h"

enum { SPARE_MOST = 256 };

struct rest_request *rest_request_new(struct rest_loop *loop)
{
    struct rest_request *request = loop->spare;

    if (request == NULL) {
        request = mem_zero(sizeof *request);
        request->arena = arena_new();
        return request;
    }
    loop->spare = request->next;
    loop->n_spare--;
    struct arena *arena = request->arena;
    *request = (struct rest_request){.arena = arena};
    return request;
}

void rest_request_free(struct rest_loop *loop, struct rest_request *request)
{
    if (loop->n_spare == SPARE_MOST) {
        request->arena = arena_free(request->arena);
        (void)mem_free(request);
        return;
    }
    arena_reset(request->arena);
    request->next = loop->spare;
    loop->spare = request;
    loop->n_spare++;
}

void rest_request_free_spare(struct rest_loop *loop)
{
    while (loop->spare != NULL) {
        struct rest_request *request = loop->spare;
        loop->spare = request->next;
        request->arena = arena_free(request->arena);
        (void)mem_free(request);
    }
    loop->n_spare = 0;
}
