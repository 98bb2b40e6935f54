/* The program that runs on each machine, keeps it in the registry and takes it
 * out when it stops. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

int agent_main(int argc, char **argv);

#endif
