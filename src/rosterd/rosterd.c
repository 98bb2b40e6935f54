#include "rosterd/rosterd.h"

#include "base/guard.h"
#include "rosterd/server.h"
#include "rosterd/settings.h"

enum { EXIT_RAN = 0, EXIT_FAILED = 1, EXIT_MISUSED = 2 };

static int serve(const struct settings *settings, int argc, char **argv)
{
    if (!settings->core_dumps) {
        guard_memory();
    }
    log_start(settings->level, settings->format);
    return server_run(settings, argc, argv) == 0 ? EXIT_RAN : EXIT_FAILED;
}

int rosterd_main(int argc, char **argv, uint32_t feature_level)
{
    struct settings settings;
    int status = EXIT_RAN;

    enum options_outcome outcome = settings_read(&settings, argc, argv);
    settings.feature_level = feature_level;
    if (outcome == OPTIONS_RUN) {
        status = serve(&settings, argc, argv);
    } else if (outcome == OPTIONS_EXIT_USAGE) {
        status = EXIT_MISUSED;
    }
    settings_done(&settings);
    return status;
}
