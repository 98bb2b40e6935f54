#include "agent/facts.h"
#include "agent/read.h"

/* os-release(5) is a list of shell assignments: quotes, and a backslash before
 * what a shell would take for its own. */
static void add_unquoted(struct buf *out, struct str text)
{
    if (text.n > 1 && (text.p[0] == '"' || text.p[0] == '\'') &&
        text.p[text.n - 1] == text.p[0]) {
        text = (struct str){text.p + 1, text.n - 2};
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\\' && i + 1 < text.n) {
            i++;
        }
        buf_add_char(out, text.p[i]);
    }
}

void fact_os(const char *root, struct buf *ret_text)
{
    struct buf release = {0};

    if (read_small(root, "/etc/os-release", &release) == 0 ||
        read_small(root, "/usr/lib/os-release", &release) == 0) {
        add_unquoted(ret_text, read_value(buf_str(&release), "PRETTY_NAME"));
    }
    buf_done(&release);
}

void fact_kernel(const char *root, struct buf *ret_text)
{
    struct buf release = {0};

    if (read_small(root, "/proc/sys/kernel/osrelease", &release) == 0) {
        buf_add_str(ret_text, read_trim(buf_str(&release)));
    }
    buf_done(&release);
}
