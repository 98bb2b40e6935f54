#include <time.h>

#include "agent/facts.h"
#include "agent/read.h"

void fact_boot_time(const char *root, struct buf *ret_text)
{
    struct buf stat = {0};
    uint64_t seconds = 0;

    if (read_small(root, "/proc/stat", &stat) == 0 &&
        str_number(read_value(buf_str(&stat), "btime"), INT32_MAX * 4ull,
                   &seconds) == 0) {
        time_t at = (time_t)seconds;
        struct tm parts;
        char text[32];
        (void)gmtime_r(&at, &parts);
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
        buf_add_text(ret_text, text);
    }
    buf_done(&stat);
}
