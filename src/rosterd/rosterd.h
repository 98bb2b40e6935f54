/* The server program. */
#ifndef ROSTERD_ROSTERD_H
#define ROSTERD_ROSTERD_H

#include <stdint.h>

/* `feature_level` as in core_config. The exit status: 0 after an orderly end, 1
 * when it could not run, 2 when it was asked for something it does not
 * understand. */
int rosterd_main(int argc, char **argv, uint32_t feature_level);

#endif
