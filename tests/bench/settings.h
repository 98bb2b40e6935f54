#ifndef BENCH_SETTINGS_H
#define BENCH_SETTINGS_H

#include <stdbool.h>

#include "template.h"
#include "wire.h"

/* The options of the load client:
 *
 *   -a PORT,...  on 127.0.0.1; connections are spread over them in turn
 *   -P PROTOCOL  http (default), resp, zookeeper
 *   -f FILE      the request (template.h: numbers may be left open)
 *   -p FILE      sent once on each new connection; one answer is awaited
 *   -C FILE      TLS: the CA that the server's certificate is from
 *   -c N         connections (default 1)
 *   -t MS        measure for so long (default 1000), after
 *   -w MS        a time that does not count (default 0); or
 *   -n N         so many requests, all counted
 *   -r N         N requests a second, whatever the server does: the latency of
 *                a request begins when it was due. Without: each connection
 *                sends when it has its answer.
 *   -W           once connected say "ready", and begin with the next line of
 *                the standard input
 *   -s N -m N    numbers of items begin at N, and begin anew after N of them
 *   -M N         numbers of requests begin anew after N of them
 *
 * and of outage:
 *
 *   -k PID       what is ended or stopped: the server of the last port
 *   -S SIGNAL    its number
 */

enum { PORTS_MOST = 8 };

struct settings {
    uint16_t ports[PORTS_MOST];
    size_t n_ports;
    wire_func *wire, *wire_first;
    const char *ca;
    bool waits;
    struct template request, hello;
    uint64_t n_connections, measure_ns, warm_ns, most, rate;
    uint64_t pid, signal;
};

extern struct settings set;

/* Exits with a message when they make no sense. */
void settings_read(int argc, char **argv);

#endif
