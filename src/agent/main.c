#include "agent/agent.h"
#include "base/std.h"

int main(int argc, char **argv)
{
    std_open();
    return agent_main(argc, argv);
}
