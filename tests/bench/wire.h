#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>

/* Where an answer ends and whether it is a good one, for each protocol that a
 * server under measurement speaks. Answers are trusted to be well made: these
 * readers measure, they do not defend. */

struct wire_answer {
    size_t n; /* its whole length; may be more than has come */
    bool good;
    bool told; /* the length stood before what it is the length of */
};

/* 0: an answer begins at p and is described; 1: more bytes are needed to say;
 * < 0: this is not the protocol. */
typedef int wire_func(const char *p, size_t n, struct wire_answer *ret);

int wire_http(const char *p, size_t n, struct wire_answer *ret);
int wire_resp(const char *p, size_t n, struct wire_answer *ret);
int wire_zookeeper(const char *p, size_t n, struct wire_answer *ret);
/* The first answer of a ZooKeeper connection has a form of its own. */
int wire_zookeeper_first(const char *p, size_t n, struct wire_answer *ret);

#endif
