#include "base/std.h"
#include "cli/cli.h"

int main(int argc, char **argv)
{
    std_open();
    return cli_main(argc, argv);
}
