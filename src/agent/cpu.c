#include "agent/facts.h"
#include "agent/read.h"

void fact_cpu(const char *root, struct buf *ret_text)
{
    /* x86; POWER; older ARM boards, which name the board only. */
    static const char *const keys[] = {"model name", "cpu", "Model",
                                       "Hardware"};
    struct buf info = {0};

    if (read_small(root, "/proc/cpuinfo", &info) == 0) {
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
            struct str model = read_value(buf_str(&info), keys[i]);
            if (model.n > 0) {
                buf_add_str(ret_text, model);
                break;
            }
        }
    }
    buf_done(&info);
}

/* "0-3,5" holds five; 0 when it is no such list. */
static uint64_t count_ranges(struct str list)
{
    uint64_t count = 0;

    list = read_trim(list);
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma == NULL ? list.n : (size_t)(comma - list.p);
        const char *dash = memchr(list.p, '-', n);
        size_t first_n = dash == NULL ? n : (size_t)(dash - list.p);
        uint64_t first = 0;
        if (str_number((struct str){list.p, first_n}, 1 << 20, &first) != 0) {
            return 0;
        }
        uint64_t last = first;
        if (dash != NULL && str_number((struct str){dash + 1, n - first_n - 1},
                                       1 << 20, &last) != 0) {
            return 0;
        }
        if (last < first) {
            return 0;
        }
        count += last - first + 1;
        n += comma == NULL ? 0 : 1;
        list = (struct str){list.p + n, list.n - n};
    }
    return count;
}

void fact_cpus(const char *root, struct buf *ret_text)
{
    struct buf online = {0};

    if (read_small(root, "/sys/devices/system/cpu/online", &online) == 0) {
        uint64_t count = count_ranges(buf_str(&online));
        if (count > 0) {
            buf_add_u64(ret_text, count);
        }
    }
    buf_done(&online);
}
