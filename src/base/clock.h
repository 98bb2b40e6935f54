/* Time and chance: the only place that asks the system for either, so that a
 * search for these names shows who depends on them. Applying a command must
 * use neither. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ms(void); /* Never goes back; stands still in suspend. */
uint64_t clock_mono_us(void);
uint64_t clock_wall_ms(void); /* Unix time; may jump. */

/* What a thread has used and gone through: tells why something took long. */
struct clock_spent {
    uint64_t cpu_us;    /* of the processor */
    uint64_t faults;    /* pages it had not mapped yet, or the first time */
    uint64_t reads;     /* pages of a map that had to be read from the disk */
    uint64_t blocked;   /* times it waited: for a disk, a lock, events */
    uint64_t preempted; /* times the processor was taken away from it */
};

void clock_thread_spent(struct clock_spent *ret_spent); /* Of this thread. */

void chance_fill(void *bytes, size_t n);
uint64_t chance_u64(void);

#endif
