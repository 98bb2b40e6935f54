#include "cli/outlet.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A pipe that can be written to takes that much without waiting (pipe(7)). A
 * line that has begun gets a moment more to end. */
enum { PIECE = 4096, LAST_MS = 1000 };

static void wake_by(const struct outlet *outlet, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    /* A file cannot be waited for, and its reader is never gone. */
    if (epoll_ctl(outlet->wake, EPOLL_CTL_ADD, fd, &event) != 0 &&
        errno != EPERM) {
        abort();
    }
}

void outlet_open(struct outlet *outlet)
{
    sigset_t set;

    *outlet = (struct outlet){.wake = epoll_create1(EPOLL_CLOEXEC)};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    outlet->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (outlet->wake < 0 || outlet->signals < 0) {
        abort(); /* no descriptor left: see base/mem.h */
    }
    wake_by(outlet, outlet->signals, EPOLLIN);
    wake_by(outlet, STDOUT_FILENO, 0); /* its error: the reader is gone */
}

void outlet_close(struct outlet *outlet)
{
    (void)close(outlet->signals);
    (void)close(outlet->wake);
}

/* Can stdout be written to? */
static bool wait_for_room(const struct outlet *outlet, bool has_begun)
{
    struct pollfd both[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                             {.fd = outlet->wake, .events = POLLIN}};

    while (poll(both, 2, -1) < 0 && errno == EINTR) {
    }
    if (both[1].revents == 0) {
        return true;
    }
    return has_begun && poll(both, 1, LAST_MS) > 0;
}

bool outlet_write(struct outlet *outlet, struct str line)
{
    for (size_t at = 0; at < line.n;) {
        size_t left = line.n - at;
        if (!wait_for_room(outlet, at > 0)) {
            return false;
        }
        ssize_t n =
            write(STDOUT_FILENO, line.p + at, left < PIECE ? left : PIECE);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            outlet->fault = errno;
            return false;
        }
        at += n < 0 ? 0 : (size_t)n;
    }
    return true;
}
