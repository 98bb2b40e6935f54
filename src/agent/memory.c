#include "agent/facts.h"
#include "agent/read.h"

void fact_memory(const char *root, struct buf *ret_text)
{
    struct buf info = {0};
    uint64_t kib = 0;

    if (read_small(root, "/proc/meminfo", &info) == 0) {
        struct str total = read_value(buf_str(&info), "MemTotal");
        if (total.n > 3 && memcmp(total.p + total.n - 3, " kB", 3) == 0 &&
            str_number((struct str){total.p, total.n - 3}, UINT64_MAX / 1024,
                       &kib) == 0) {
            buf_add_u64(ret_text, kib * 1024);
        }
    }
    buf_done(&info);
}
