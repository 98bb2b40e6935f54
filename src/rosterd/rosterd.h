/* The server program. */
#ifndef ROSTERD_ROSTERD_H
#define ROSTERD_ROSTERD_H

/* The exit status: 0 after an orderly end, 1 when it could not run, 2 when it
 * was asked for something it does not understand. */
int rosterd_main(int argc, char **argv);

#endif
