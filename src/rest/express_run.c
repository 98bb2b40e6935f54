#include "rest/express_run.h"

#include "rest/state.h"
#include "rest/taken.h"

/* Nothing of the answer is in the request: it can go. */
static void answer(struct rest_request *request)
{
    struct rest_taken *taken = request->taken;
    struct rest_counts *counts = &taken->loop->counts;
    struct rest_shared *made = request->made;

    rest_count(&counts->received_bytes, request->received);
    rest_count(&counts->in_flight, (uint64_t)-1);
    taken->request = NULL;
    rest_request_release(request);
    rest_taken_answer(taken, made);
    rest_shared_unref(made);
}

static void go_on(struct rest_request *request)
{
    (void)rest_request_run(request);
    if (request->stage != REST_SUSPENDED) {
        answer(request);
    }
}

void rest_express_run(struct rest_taken *taken, const struct rest_write *write,
                      bool more)
{
    struct rest_request *request = write->request;
    struct rest_counts *counts = &taken->loop->counts;

    if (!rest_taken_consume(taken, write->n)) {
        rest_request_release(request);
        rest_taken_shut(taken);
        return;
    }
    taken->more = more;
    taken->request = request;
    request->taken = taken;
    request->made = rest_shared_pending();
    request->stage = REST_RUNNING;
    rest_count(&counts->in_flight, 1);
    rest_count(&counts->express, 1);
    go_on(request);
}

/* Who has hung up meanwhile is found gone when he is sent his answer. */
void rest_express_woken(struct rest_request *request)
{
    go_on(request);
}
