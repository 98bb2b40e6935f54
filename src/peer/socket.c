#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"
#include "peer/inside.h"

/* When nothing is under way the kernel asks the other host after IDLE seconds,
 * then every INTERVAL; what is under way is held to PEER_DEAD_MS. */
enum { KEEP_IDLE = 2, KEEP_INTERVAL = 2, KEEP_TRIES = 3 };

int socket_tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEP_TRIES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, PEER_DEAD_MS},
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                       sizeof options[i].value) != 0) {
            return err_raise(ERR_SYSTEM);
        }
    }
    return 0;
}

int peer_block(int fd)
{
    const struct timeval most = {.tv_sec = PEER_FILE_MS / 1000};
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) != 0) {
        return err_raise(ERR_SYSTEM);
    }
    return 0;
}

int socket_close(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

void event_raise(int fd)
{
    (void)eventfd_write(fd, 1);
}

void event_clear(int fd)
{
    eventfd_t count = 0;
    (void)eventfd_read(fd, &count);
}

int thread_start(pthread_t *ret_thread, void *(*run)(void *), void *user)
{
    sigset_t all;
    sigset_t old;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(ret_thread, NULL, run, user);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r == 0 ? 0 : err_raise(ERR_SYSTEM);
}
