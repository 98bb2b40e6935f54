/* Time and chance: the only place that asks the system for either, so that a
 * search for these names shows who depends on them. Applying a command must
 * use neither. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ms(void); /* Never goes back; stands still in suspend. */
uint64_t clock_mono_us(void);
uint64_t clock_thread_us(void); /* Processor time of this thread. */
uint64_t clock_wall_ms(void);   /* Unix time; may jump. */
void chance_fill(void *bytes, size_t n);
uint64_t chance_u64(void);

#endif
