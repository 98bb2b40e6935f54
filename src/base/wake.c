#include "base/wake.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

enum { HELD_MOST = 32 }; /* more are not held */

static _Thread_local struct {
    bool holds;
    unsigned n;
    int held[HELD_MOST];
} own;

static void ring(int eventfd)
{
    const uint64_t one = 1;

    /* It can only fail when the counter is full: then it is readable. */
    (void)!write(eventfd, &one, sizeof one);
}

static bool is_held(int eventfd)
{
    for (unsigned i = 0; i < own.n; i++) {
        if (own.held[i] == eventfd) {
            return true;
        }
    }
    return false;
}

void wake_ring(int eventfd)
{
    if (own.holds && is_held(eventfd)) {
        return;
    }
    if (own.holds && own.n < HELD_MOST) {
        own.held[own.n++] = eventfd;
    } else {
        ring(eventfd);
    }
}

void wake_hold(void)
{
    assert(!own.holds);
    own.holds = true;
}

void wake_release(void)
{
    assert(own.holds);
    own.holds = false;
    for (unsigned i = 0; i < own.n; i++) {
        ring(own.held[i]);
    }
    own.n = 0;
}
