#include "agent/read.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"

enum { MOST_BYTES = 256 << 10, STEP = 4096 };

static int open_below(const char *root, const char *path)
{
    struct buf full = {0};

    buf_printf(&full, "%s%s", root, path);
    int fd = open(buf_text(&full), O_RDONLY | O_CLOEXEC);
    buf_done(&full);
    return fd;
}

int read_small(const char *root, const char *path, struct buf *ret_text)
{
    int fd = open_below(root, path);
    ssize_t n = 0;

    if (fd < 0) {
        return ERR_NOT_FOUND;
    }
    do {
        buf_reserve(ret_text, STEP);
        n = read(fd, ret_text->p + ret_text->n, STEP);
        ret_text->n += n > 0 ? (size_t)n : 0;
    } while (ret_text->n < MOST_BYTES && (n > 0 || (n < 0 && errno == EINTR)));
    (void)close(fd);
    (void)buf_text(ret_text);
    return n < 0 ? ERR_NOT_FOUND : 0;
}

bool read_exists(const char *root, const char *path)
{
    struct buf full = {0};

    buf_printf(&full, "%s%s", root, path);
    bool exists = access(buf_text(&full), F_OK) == 0;
    buf_done(&full);
    return exists;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0';
}

struct str read_trim(struct str text)
{
    while (text.n > 0 && is_blank(text.p[0])) {
        text.p++;
        text.n--;
    }
    while (text.n > 0 && is_blank(text.p[text.n - 1])) {
        text.n--;
    }
    return text;
}

struct str read_value(struct str text, const char *key)
{
    size_t key_n = strlen(key);

    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end == NULL ? text.n : (size_t)(end - text.p);
        if (n > key_n && memcmp(text.p, key, key_n) == 0) {
            struct str rest =
                read_trim((struct str){text.p + key_n, n - key_n});
            bool apart = is_blank(text.p[key_n]);
            if (rest.n > 0 && (rest.p[0] == ':' || rest.p[0] == '=')) {
                rest = (struct str){rest.p + 1, rest.n - 1};
                apart = true;
            }
            if (apart) {
                return read_trim(rest);
            }
        }
        n += end == NULL ? 0 : 1;
        text = (struct str){text.p + n, text.n - n};
    }
    return STR_NONE;
}
