/* Loops of other threads are woken once for many things.
 *
 * A loop that is woken for the first of many takes that, sleeps, and is woken
 * for the next: two system calls and two changes of threads each. Who has many
 * in a row holds its wakes until the last is in its place. */
#ifndef BASE_WAKE_H
#define BASE_WAKE_H

/* Makes an eventfd readable: now, or when this thread holds its wakes, with
 * wake_release. Any thread. */
void wake_ring(int eventfd);

/* This thread's: not nested. In between nobody may be waited for. */
void wake_hold(void);
void wake_release(void);

#endif
