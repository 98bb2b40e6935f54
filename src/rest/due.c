#include "rest/due.h"

#include <assert.h>

#include "base/mem.h"

enum { ROOM_FIRST = 64, MOMENT_MOST_MS = 500 };

void rest_dues_done(struct rest_dues *dues)
{
    assert(dues->n == 0);
    dues->heap = mem_free(dues->heap);
    dues->room = 0;
}

static void set(struct rest_dues *dues, size_t place, struct rest_due *due)
{
    dues->heap[place] = due;
    due->place = place;
}

static void rise(struct rest_dues *dues, struct rest_due *due, size_t place)
{
    while (place > 1 && dues->heap[place / 2]->at_ms > due->at_ms) {
        set(dues, place, dues->heap[place / 2]);
        place /= 2;
    }
    set(dues, place, due);
}

static void sink(struct rest_dues *dues, struct rest_due *due, size_t place)
{
    for (;;) {
        size_t below = 2 * place;
        if (below < dues->n &&
            dues->heap[below + 1]->at_ms < dues->heap[below]->at_ms) {
            below++;
        }
        if (below > dues->n || dues->heap[below]->at_ms >= due->at_ms) {
            break;
        }
        set(dues, place, dues->heap[below]);
        place = below;
    }
    set(dues, place, due);
}

void rest_dues_add(struct rest_dues *dues, struct rest_due *due, uint64_t at_ms)
{
    assert(due->place == 0);
    if (dues->n + 1 >= dues->room) {
        dues->room = dues->room == 0 ? ROOM_FIRST : 2 * dues->room;
        dues->heap = mem_grow(dues->heap, dues->room * sizeof(void *));
    }
    due->at_ms = at_ms;
    rise(dues, due, ++dues->n);
}

void rest_dues_remove(struct rest_dues *dues, struct rest_due *due)
{
    size_t place = due->place;

    if (place == 0) {
        return;
    }
    assert(dues->heap[place] == due);
    due->place = 0;
    struct rest_due *last = dues->heap[dues->n--];
    if (last == due) {
        return;
    }
    if (place > 1 && dues->heap[place / 2]->at_ms > last->at_ms) {
        rise(dues, last, place);
    } else {
        sink(dues, last, place);
    }
}

struct rest_due *rest_dues_first(const struct rest_dues *dues)
{
    return dues->n == 0 ? NULL : dues->heap[1];
}

/* A fortieth of the wait goes into the moment, the rest of the tenth is chance.
 */
uint64_t rest_due_at(uint64_t now_ms, uint64_t wait_ms, uint64_t chance)
{
    uint64_t moment = wait_ms / 40;
    uint64_t jitter = wait_ms / 10;

    if (moment > MOMENT_MOST_MS) {
        moment = MOMENT_MOST_MS;
    }
    uint64_t at = now_ms + wait_ms - chance % (jitter - moment + 1);
    return moment == 0 ? at : at - at % moment;
}
