/* The status of a cluster for people: one screen. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <jansson.h>

/* An array of nodes as status.c found them. */
void screen_show(const json_t *nodes);

#endif
