/* Contexts of asynchronous I/O that nobody waits for. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raft/aio.h"

static aio_context_t set_up(unsigned size)
{
    aio_context_t id = 0;
    assert_int_equal(syscall(SYS_io_setup, size, &id), 0);
    return id;
}

static long destroy(aio_context_t id)
{
    return syscall(SYS_io_destroy, id);
}

static long submit(aio_context_t id, int fd)
{
    static char byte = 'x';
    struct iocb one = {.aio_fildes = (uint32_t)fd,
                       .aio_lio_opcode = IOCB_CMD_PWRITE,
                       .aio_buf = (uintptr_t)&byte,
                       .aio_nbytes = 1};
    struct iocb *ones = &one;
    return syscall(SYS_io_submit, id, 1L, &ones);
}

static long take_out(aio_context_t id)
{
    struct io_event event;
    return syscall(SYS_io_getevents, id, 1L, 1L, &event, NULL);
}

static int file_open(void)
{
    char path[] = "/tmp/roster-aio-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    return fd;
}

static void what_is_over_is_kept_and_given_to_the_next(void **state)
{
    struct aio_counts before = aio_counts();
    int fd = file_open();
    aio_context_t id = set_up(3);

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(submit(id, fd), 1);
        assert_int_equal(take_out(id), 1);
        assert_int_equal(destroy(id), 0);
        assert_true(set_up(3) == id);
    }
    assert_int_equal(destroy(id), 0);
    struct aio_counts after = aio_counts();
    assert_int_equal(after.made - before.made, 1);
    assert_int_equal(after.reused - before.reused, 5);
    assert_int_equal(after.destroyed, before.destroyed);
    (void)close(fd);
}

static void what_has_something_under_way_is_destroyed(void **state)
{
    struct aio_counts before = aio_counts();
    int fd = file_open();
    aio_context_t id = set_up(4);

    (void)state;
    assert_int_equal(submit(id, fd), 1);
    assert_int_equal(destroy(id), 0);
    assert_int_equal(aio_counts().destroyed - before.destroyed, 1);
    /* The kernel knows it no more. */
    assert_int_equal(submit(id, fd), -1);
    assert_int_equal(errno, EINVAL);
    aio_context_t other = set_up(4);
    assert_int_equal(aio_counts().reused, before.reused);
    assert_int_equal(destroy(other), 0);
    (void)close(fd);
}

static void what_was_not_taken_counts_as_never_begun(void **state)
{
    struct aio_counts before = aio_counts();
    aio_context_t id = set_up(5);

    (void)state;
    assert_int_equal(submit(id, -1), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(destroy(id), 0);
    assert_int_equal(aio_counts().destroyed, before.destroyed);
}

static void another_size_is_another_context(void **state)
{
    aio_context_t id = set_up(6);

    (void)state;
    assert_int_equal(destroy(id), 0);
    aio_context_t other = set_up(7);
    assert_true(other != id);
    assert_int_equal(destroy(other), 0);
    assert_true(set_up(6) == id);
    assert_int_equal(destroy(id), 0);
}

static void a_context_unknown_is_the_kernels_to_judge(void **state)
{
    (void)state;
    assert_int_equal(destroy(12345), -1);
    assert_int_equal(errno, EINVAL);
}

static void more_than_can_be_known_are_destroyed(void **state)
{
    aio_context_t ids[AIO_MOST + 2];
    struct aio_counts before = aio_counts();

    (void)state;
    for (size_t i = 0; i < AIO_MOST + 2; i++) {
        ids[i] = set_up(8);
    }
    for (size_t i = 0; i < AIO_MOST + 2; i++) {
        assert_int_equal(destroy(ids[i]), 0);
    }
    assert_true(aio_counts().destroyed - before.destroyed >= 2);
}

static void a_child_has_none_of_its_parents(void **state)
{
    aio_context_t id = set_up(9);
    int status = 0;

    (void)state;
    assert_int_equal(destroy(id), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = file_open();
        aio_context_t own = set_up(9);
        _exit(submit(own, fd) == 1 && take_out(own) == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(set_up(9) == id);
    assert_int_equal(destroy(id), 0);
}

static void other_calls_pass(void **state)
{
    (void)state;
    assert_int_equal(syscall(SYS_getpid), getpid());
    assert_int_equal(syscall(SYS_close, -1), -1);
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_over_is_kept_and_given_to_the_next),
        cmocka_unit_test(what_has_something_under_way_is_destroyed),
        cmocka_unit_test(what_was_not_taken_counts_as_never_begun),
        cmocka_unit_test(another_size_is_another_context),
        cmocka_unit_test(a_context_unknown_is_the_kernels_to_judge),
        cmocka_unit_test(a_child_has_none_of_its_parents),
        cmocka_unit_test(other_calls_pass),
        cmocka_unit_test(more_than_can_be_known_are_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
