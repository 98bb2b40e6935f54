#include "base/std.h"
#include "rosterd/rosterd.h"

/* The tests build the version before and the one after this way. */
#ifndef ROSTER_FEATURE_LEVEL
#define ROSTER_FEATURE_LEVEL 0
#endif

int main(int argc, char **argv)
{
    std_open();
    return rosterd_main(argc, argv, ROSTER_FEATURE_LEVEL);
}
