#include "base/std.h"
#include "rosterd/rosterd.h"

int main(int argc, char **argv)
{
    std_open();
    return rosterd_main(argc, argv);
}
