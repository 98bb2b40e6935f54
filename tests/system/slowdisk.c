/* A slow disk, for one process and without privileges: preloaded, it lets every
 * write that has to reach the disk take so many microseconds longer as stand in
 * the file that SLOWDISK_FILE names (4 bytes, native order; 0: not at all). The
 * file may be changed while the process runs.
 *
 * libraft writes its log with io_submit, by syscall(). What it submits from its
 * loop must not wait there: as with a file system that cannot do it without
 * waiting, it is told EAGAIN and submits it from a thread, which waits. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const volatile uint32_t *delay_us;

__attribute__((constructor)) static void find_file(void)
{
    const char *name = getenv("SLOWDISK_FILE");
    int fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    void *map = mmap(NULL, sizeof *delay_us, PROT_READ, MAP_SHARED, fd, 0);
    delay_us = map == MAP_FAILED ? NULL : map;
    (void)close(fd);
}

static uint32_t delay(void)
{
    return delay_us == NULL ? 0 : *delay_us;
}

static void turn(void)
{
    uint32_t us = delay();
    struct timespec left = {us / 1000000, (long)(us % 1000000) * 1000};
    while (us != 0 && nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static bool without_waiting(long n, struct iocb *const *jobs)
{
    for (long i = 0; i < n; i++) {
        if ((jobs[i]->aio_rw_flags & RWF_NOWAIT) != 0) {
            return true;
        }
    }
    return false;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    }
    if (number == SYS_io_submit && delay() != 0) {
        if (without_waiting(a[1], (struct iocb *const *)a[2])) {
            errno = EAGAIN;
            return -1;
        }
        turn();
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int fsync(int fd)
{
    turn();
    return (int)syscall(SYS_fsync, fd);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int fdatasync(int fd)
{
    turn();
    return (int)syscall(SYS_fdatasync, fd);
}
