#include "cli/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/ask.h"

/* For the signal handler; what SIGKILL leaves has a name that says what it is.
 */
static const char *volatile unfinished;

static void on_signal(int number)
{
    if (unfinished != NULL) {
        (void)unlink(unfinished);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* What is ignored stays so: nohup(1), or a script's background job. */
static void clean_on(int number)
{
    const struct sigaction clean = {.sa_handler = on_signal};
    struct sigaction old;

    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
        (void)sigaction(number, &clean, NULL);
    }
}

static void clean_on_signals(void)
{
    clean_on(SIGINT);
    clean_on(SIGTERM);
    clean_on(SIGHUP);
}

static int sync_directory(const char *path)
{
    char *copy = strdup(path);
    char *slash = copy == NULL ? NULL : strrchr(copy, '/');

    if (slash != NULL) {
        slash[slash == copy ? 1 : 0] = '\0';
    }
    int fd =
        open(slash == NULL ? "." : copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    free(copy);
    return r;
}

/* Beside the file, so that the rename stays on one file system. */
static char *partial_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    struct buf name = {0};

    buf_printf(&name, "%.*s.%s.partial-%08x", (int)(base - path), path, base,
               (unsigned)chance_u64());
    return buf_text(&name);
}

static bool may_replace(const char *path)
{
    struct stat old;

    if (stat(path, &old) == 0 && !S_ISREG(old.st_mode)) {
        ask_say("%s is no file that could be replaced; '-' writes to stdout",
                path);
        return false;
    }
    return true;
}

bool partial_open(struct partial *partial, const char *path)
{
    *partial = (struct partial){.fd = -1};
    if (!may_replace(path)) {
        return false;
    }
    partial->path = mem_text(path);
    partial->name = partial_name(path);
    unfinished = partial->name;
    clean_on_signals();
    partial->fd =
        open(partial->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (partial->fd < 0) {
        ask_say("cannot write beside %s: %s", path, strerror(errno));
        partial_done(partial);
        return false;
    }
    return true;
}

bool partial_sync(struct partial *partial)
{
    if (fsync(partial->fd) != 0) {
        ask_say("cannot write %s: %s", partial->path, strerror(errno));
        return false;
    }
    return true;
}

bool partial_keep(struct partial *partial)
{
    if (rename(partial->name, partial->path) != 0 ||
        sync_directory(partial->path) != 0) {
        ask_say("cannot keep it as %s: %s", partial->path, strerror(errno));
        return false;
    }
    unfinished = NULL;
    return true;
}

void partial_done(struct partial *partial)
{
    if (unfinished != NULL) {
        (void)unlink(partial->name);
        unfinished = NULL;
    }
    if (partial->fd >= 0) {
        (void)close(partial->fd);
    }
    partial->name = mem_free(partial->name);
    partial->path = mem_free(partial->path);
}
