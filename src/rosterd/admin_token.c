#include "rosterd/admin_token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/access_token.h"
#include "base/err.h"
#include "base/log.h"

enum { WHY = 256 };

static int fail(const char *what, char why[WHY])
{
    (void)snprintf(why, WHY, "%s: %s", what, strerror(errno));
    return err_raise(ERR_IO);
}

/* Somebody may want it so, as for a secret that is mounted; nobody should have
 * it so without knowing. */
static void warn_if_open(int fd, const char *file)
{
    struct stat stat;

    if (fstat(fd, &stat) == 0 && (stat.st_mode & 077) != 0) {
        log_warn(LOG_CORE,
                 "others than its owner can read the admin token: chmod 600",
                 LOG_TXT("file", file));
    }
}

/* Answers: NOT_FOUND (there is no file), INVALID. */
static int read_file(const char *file, char ret_text[ACCESS_TOKEN_TEXT],
                     char why[WHY])
{
    char bytes[ACCESS_TOKEN_TEXT + 8];
    struct ulid id;

    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : fail("cannot be opened", why);
    }
    warn_if_open(fd, file);
    ssize_t n = read(fd, bytes, sizeof bytes);
    (void)close(fd);
    if (n < 0) {
        return fail("cannot be read", why);
    }
    while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r')) {
        n--;
    }
    int r = access_token_parse((struct str){bytes, (size_t)n}, &id);
    if (r == 0) {
        memcpy(ret_text, bytes, ACCESS_TOKEN_TEXT);
    } else {
        (void)snprintf(why, WHY,
                       "holds no token, which is rst_, an id and a secret on "
                       "one line: remove the file, and the next start makes "
                       "a new one");
    }
    explicit_bzero(bytes, sizeof bytes);
    return r;
}

static int write_all(int fd, const char *text)
{
    char line[ACCESS_TOKEN_TEXT + 1];

    memcpy(line, text, ACCESS_TOKEN_TEXT);
    line[ACCESS_TOKEN_TEXT] = '\n';
    ssize_t n = write(fd, line, sizeof line);
    explicit_bzero(line, sizeof line);
    if (n >= 0 && n != (ssize_t)sizeof line) {
        errno = ENOSPC;
    }
    return n == (ssize_t)sizeof line ? fsync(fd) : -1;
}

static int sync_directory(const char *file)
{
    CLEANUP(buf_done) struct buf path = {0};
    const char *slash = strrchr(file, '/');

    if (slash == NULL) {
        buf_add_char(&path, '.');
    } else {
        buf_add(&path, file, slash == file ? 1 : (size_t)(slash - file));
    }
    int fd = open(buf_text(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int r = fsync(fd);
    (void)close(fd);
    return r;
}

/* A crash must not leave half a token under the name: whole under another name
 * first, then linked, which writes over nothing either. */
static int make(const char *file, const char *fresh, const char *text)
{
    (void)unlink(fresh);
    int fd =
        open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -1;
    }
    int r = write_all(fd, text);
    if (close(fd) != 0 || r != 0 || link(fresh, file) != 0) {
        int error = errno;
        (void)unlink(fresh);
        errno = error;
        return -1;
    }
    (void)unlink(fresh);
    return sync_directory(file);
}

static int make_file(const char *file, char ret_text[ACCESS_TOKEN_TEXT],
                     char why[WHY])
{
    CLEANUP(buf_done) struct buf fresh = {0};

    buf_printf(&fresh, "%s.new", file);
    access_token_make(ulid_next(), ret_text);
    if (make(file, buf_text(&fresh), ret_text) == 0) {
        return 0;
    }
    explicit_bzero(ret_text, ACCESS_TOKEN_TEXT);
    return fail("cannot be made", why);
}

static int get(const char *file, char ret_text[ACCESS_TOKEN_TEXT],
               char why[WHY])
{
    int r = read_file(file, ret_text, why);

    if (r == ERR_NOT_FOUND) {
        r = make_file(file, ret_text, why);
    }
    return r;
}

int admin_token_load(const struct settings *settings, struct registry *registry)
{
    CLEANUP(buf_done) struct buf file = {0};
    char text[ACCESS_TOKEN_TEXT];
    char why[WHY];

    if (settings->admin_token_file != NULL) {
        buf_add_text(&file, settings->admin_token_file);
    } else {
        buf_printf(&file, "%s/admin.token", settings->data_dir);
    }
    int r = get(buf_text(&file), text, why);
    if (r != 0) {
        log_error(LOG_CORE, "the admin token cannot be had",
                  LOG_TXT("file", file.p), LOG_TXT("why", why));
        return r;
    }
    r = registry_set_own_token(registry, settings->id,
                               (struct str){text, sizeof text});
    explicit_bzero(text, sizeof text);
    log_info(LOG_CORE, "access control is on, the admin token is in a file",
             LOG_TXT("file", file.p));
    return r;
}
