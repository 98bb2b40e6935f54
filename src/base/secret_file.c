#include "base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/write.h"

/* ---- reading ---- */

/* One byte more than it may have tells that it is too long. */
static int read_line(int fd, size_t most, struct buf *line)
{
    buf_reserve(line, most + 2);
    ssize_t n = read(fd, line->p + line->n, most + 2);
    if (n < 0) {
        return err_raise(ERR_IO);
    }
    const char *from = line->p + line->n;
    size_t length = 0;
    while (length < (size_t)n && from[length] != '\n' && from[length] != '\r') {
        length++;
    }
    if (length > most) {
        return ERR_TOO_LARGE;
    }
    line->n += length;
    return 0;
}

int secret_file_read(const char *file, size_t most, struct buf *ret_line,
                     bool *ret_open)
{
    struct stat about = {0};
    /* A pipe that nobody writes into must not hold up a start. */
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
                                                   : err_raise(ERR_IO);
    }
    ret_line->secret = true;
    int r = fstat(fd, &about) == 0 ? read_line(fd, most, ret_line)
                                   : err_raise(ERR_IO);
    int why = errno;
    (void)close(fd);
    errno = why;
    *ret_open = (about.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    return r;
}

/* ---- writing ---- */

static int write_line(int fd, struct str line)
{
    CLEANUP(buf_done) struct buf text = {.secret = true};

    buf_add_str(&text, line);
    buf_add_char(&text, '\n');
    return write_all(fd, buf_str(&text)) == 0 ? fsync(fd) : -1;
}

/* After a crash the name has to be there: who keeps the secret's hash relies on
 * it. */
static int sync_folder(const char *file)
{
    CLEANUP(buf_done) struct buf path = {0};
    const char *slash = strrchr(file, '/');

    buf_add(&path, slash == NULL ? "." : file,
            slash == NULL || slash == file ? 1 : (size_t)(slash - file));
    int fd = open(buf_text(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int r = fsync(fd);
    int why = errno;
    (void)close(fd);
    errno = why;
    return r;
}

/* link() writes over nothing. */
static int give_name(const char *fresh, const char *file,
                     enum secret_file_make make)
{
    if (make == SECRET_FILE_REPLACE) {
        return rename(fresh, file);
    }
    int r = link(fresh, file);
    int why = errno;
    (void)unlink(fresh);
    errno = why;
    return r;
}

static int make_under(const char *fresh, const char *file, struct str line,
                      enum secret_file_make make)
{
    (void)unlink(fresh); /* what a crash has left */
    int fd =
        open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -1;
    }
    int r = write_line(fd, line);
    int why = errno;
    if (close(fd) == 0 && r == 0) {
        return give_name(fresh, file, make);
    }
    (void)unlink(fresh);
    errno = r == 0 ? errno : why;
    return -1;
}

int secret_file_write(const char *file, struct str line,
                      enum secret_file_make make)
{
    CLEANUP(buf_done) struct buf fresh = {0};

    buf_printf(&fresh, "%s.new", file);
    return make_under(buf_text(&fresh), file, line, make) == 0 &&
                   sync_folder(file) == 0
               ? 0
               : err_raise(ERR_IO);
}
