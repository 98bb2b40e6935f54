/* A program may be started with its standard descriptors closed. The next file
 * it opens, perhaps one of its data, would be 2, and get its messages. */
#ifndef BASE_STD_H
#define BASE_STD_H

/* 0, 1 and 2 are open afterwards, on /dev/null where they were not. First in
 * main, before anything is opened. */
void std_open(void);

#endif
