/* Writing all of something into a file. */
#ifndef BASE_WRITE_H
#define BASE_WRITE_H

#include "base/mem.h"

/* Whatever parts the system takes it in, and whichever signals come between.
 * Faults: DISK_FULL (a quota or a limit of files too), IO; errno says why, and
 * a part may have been written. */
int write_all(int fd, struct str bytes) MUST_USE;
/* Which of these two errno stands for. */
int write_fault(void) MUST_USE;

#endif
