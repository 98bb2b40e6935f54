/* Contexts of the kernel's asynchronous I/O are used again instead of being
 * destroyed.
 *
 * libraft 0.22.1 writes its log with io_submit, through a context for each
 * segment, and destroys that on the loop's thread when the segment is full, for
 * a snapshot too: io_destroy waits for two grace periods of the kernel's RCU,
 * 30 to 40 ms in which nobody is answered. It has no setting for it. It calls
 * the kernel by `syscall` of the C library; a program in which this room is has
 * a `syscall` of its own (aio.c), which is that of the C library for everything
 * but four numbers.
 *
 * Invariants
 *   [AIO-1] a context is kept only when everything that was submitted to it is
 *           known to be over: its completion was taken out. Any other is
 *           destroyed on the spot, and whoever wanted that waits for its I/O.
 *   [AIO-2] a kept context is given to whoever wants one of the same size; who
 *           gave it up has no further use of it. As many are kept as were ever
 *           in use at the same time, AIO_MOST at most.
 *
 * Should a libraft call the kernel otherwise, all is as if this was not here.
 */
#ifndef RAFT_AIO_H
#define RAFT_AIO_H

#include <stdint.h>

#define AIO_MOST 16

/* Since the start of the process. */
struct aio_counts {
    uint64_t made;      /* by the kernel */
    uint64_t reused;    /* asked for, and one was kept */
    uint64_t destroyed; /* by the kernel; who wanted that waited */
};

/* Any thread. Whoever calls it has the `syscall` above. */
struct aio_counts aio_counts(void);

#endif
