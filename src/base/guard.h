/* What a process that knows secrets keeps from the rest of its machine. */
#ifndef BASE_GUARD_H
#define BASE_GUARD_H

/* No core dumps, and no other process of the same user may look into this one's
 * memory (PR_SET_DUMPABLE; not in builds with a sanitizer, which look into it
 * themselves). Best effort. */
void guard_memory(void);

#endif
