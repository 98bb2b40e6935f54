/* Wakes that are put together. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/wake.h"

/* How often it was rung since the last look. */
static uint64_t rung(int fd)
{
    uint64_t count = 0;

    return read(fd, &count, sizeof count) == sizeof count ? count : 0;
}

static int fd_new(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void nobody_holds_and_each_is_rung_at_once(void **state)
{
    int fd = fd_new();

    (void)state;
    wake_ring(fd);
    wake_ring(fd);
    assert_int_equal(rung(fd), 2);
    (void)close(fd);
}

static void what_is_held_is_rung_once_at_the_end(void **state)
{
    int a = fd_new(), b = fd_new();

    (void)state;
    wake_hold();
    for (int i = 0; i < 100; i++) {
        wake_ring(a);
        wake_ring(b);
    }
    assert_int_equal(rung(a), 0);
    wake_release();
    assert_int_equal(rung(a), 1);
    assert_int_equal(rung(b), 1);
    wake_hold();
    wake_release();
    assert_int_equal(rung(a), 0);
    (void)close(a);
    (void)close(b);
}

static void more_than_can_be_held_are_rung_at_once(void **state)
{
    int fds[40];

    (void)state;
    for (int i = 0; i < 40; i++) {
        fds[i] = fd_new();
    }
    wake_hold();
    for (int i = 0; i < 40; i++) {
        wake_ring(fds[i]);
    }
    assert_int_equal(rung(fds[0]), 0);
    assert_int_equal(rung(fds[39]), 1);
    wake_release();
    assert_int_equal(rung(fds[0]), 1);
    assert_int_equal(rung(fds[39]), 0);
    for (int i = 0; i < 40; i++) {
        (void)close(fds[i]);
    }
}

static void *ring_other(void *user)
{
    wake_ring(*(int *)user);
    return NULL;
}

static void another_threads_wakes_are_not_held(void **state)
{
    int fd = fd_new();
    pthread_t thread;

    (void)state;
    wake_hold();
    assert_int_equal(pthread_create(&thread, NULL, ring_other, &fd), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(rung(fd), 1);
    wake_release();
    assert_int_equal(rung(fd), 0);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_holds_and_each_is_rung_at_once),
        cmocka_unit_test(what_is_held_is_rung_once_at_the_end),
        cmocka_unit_test(more_than_can_be_held_are_rung_at_once),
        cmocka_unit_test(another_threads_wakes_are_not_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
