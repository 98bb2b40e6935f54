/* Whether LMDB can read a file that somebody else wrote. Private to this room
 * and its tests. */
#ifndef STORE_PAGES_H
#define STORE_PAGES_H

#include "store/kv.h"

/* Walks every page that is in use, and the list of those that are free. Any
 * thread; memory: a bit for each page. Faults: CORRUPT (*ret_why: a clause for
 * a person, static), IO. */
int kv_pages_check(const char *file, const char **ret_why) MUST_USE;

#endif
