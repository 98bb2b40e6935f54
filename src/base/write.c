#include "base/write.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"

int write_fault(void)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

    return err_raise(full ? ERR_DISK_FULL : ERR_IO);
}

int write_all(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR) {
            return write_fault();
        }
        bytes.p += n > 0 ? n : 0;
        bytes.n -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}
