#include "lease/wheel.h"

#include <assert.h>
#include <stddef.h>

void lease_wheel_init(struct lease_wheel *wheel)
{
    wheel->cursor = wheel->n_beyond = 0;
    for (size_t i = 0; i < LEASE_WHEEL_SLOTS; i++) {
        lease_list_init(&wheel->slots[i]);
    }
}

static struct lease_link *slot(struct lease_wheel *wheel, uint64_t number)
{
    return &wheel->slots[number % LEASE_WHEEL_SLOTS];
}

void lease_wheel_put(struct lease_wheel *wheel, struct lease_link *link,
                     uint64_t time_ms)
{
    uint64_t number = time_ms / LEASE_WHEEL_SLOT_MS;
    uint64_t last = wheel->cursor + LEASE_WHEEL_SLOTS - 1;

    if (number < wheel->cursor) {
        number = wheel->cursor;
    } else if (number > last) {
        number = last - wheel->n_beyond++ % (LEASE_WHEEL_SLOTS / 2);
    }
    lease_list_append(slot(wheel, number), link);
}

void lease_wheel_put_all(struct lease_wheel *wheel, struct lease_link *list)
{
    lease_list_splice(slot(wheel, wheel->cursor), list);
}

/* Through a list of its own: a link may be put back into the slot it comes
 * from, and must not be met again in the same round. */
static void look_at(struct lease_link *links, lease_wheel_func *look,
                    void *user)
{
    struct lease_link round;

    lease_list_init(&round);
    lease_list_splice(&round, links);
    while (!lease_list_empty(&round)) {
        struct lease_link *link = round.next;
        look(link, user);
        assert(round.next != link);
    }
}

void lease_wheel_advance(struct lease_wheel *wheel, uint64_t now_ms,
                         lease_wheel_func *look, void *user)
{
    uint64_t last = now_ms / LEASE_WHEEL_SLOT_MS;

    assert(last >= wheel->cursor);
    /* The slot of `now_ms` itself is looked at in every advance that falls into
     * it: its later part may come due then. */
    look_at(slot(wheel, wheel->cursor), look, user);
    while (wheel->cursor < last) {
        wheel->cursor++;
        look_at(slot(wheel, wheel->cursor), look, user);
    }
}
