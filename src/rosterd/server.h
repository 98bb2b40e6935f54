/* The rooms put together: what is started in which order, and ended. */
#ifndef ROSTERD_SERVER_H
#define ROSTERD_SERVER_H

#include "base/own.h"
#include "rosterd/settings.h"

/* Serves until it is told to end (SIGTERM, SIGINT). `argc` and `argv` are read
 * again on SIGHUP. Answers and faults as core_open and rest_start; a log line
 * has been written. */
int server_run(const struct settings *settings, int argc, char **argv) MUST_USE;

#endif
