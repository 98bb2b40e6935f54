#include "rosterd/rosterd.h"

int main(int argc, char **argv)
{
    return rosterd_main(argc, argv);
}
