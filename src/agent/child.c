#include "agent/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"

enum { STEP = 16 << 10, REASON_MAX = 200 };

extern char **environ;

/* ---- start ---- */

/* Without our settings: the process has its own words (--config would be read
 * again). Programs it runs shall speak plainly. Lends the strings. */
static char **make_environment(void)
{
    size_t n = 0;

    while (environ[n] != NULL) {
        n++;
    }
    char **made = mem_zero((n + 2) * sizeof *made);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(environ[i], "ROSTER_", 7) != 0 &&
            strncmp(environ[i], "LC_ALL=", 7) != 0 &&
            strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0) {
            made[at++] = environ[i];
        }
    }
    static char plain[] = "LC_ALL=C";
    made[at] = plain;
    return made;
}

/* A group of its own, so that what it starts is killed with it, and none of
 * what we have blocked or ignored. */
static int spawn(const char *inventory, int out, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    sigset_t pipe;
    static char program[] = "roster-agent";
    static char flag[] = "--show-inventory";
    char *name = mem_text(inventory);
    char *argv[] = {program, flag, name, NULL};
    char **env = make_environment();

    (void)sigemptyset(&none);
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)posix_spawnattr_init(&how);
    (void)posix_spawnattr_setsigmask(&how, &none);
    (void)posix_spawnattr_setsigdefault(&how, &pipe);
    (void)posix_spawnattr_setpgroup(&how, 0);
    (void)posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, out, 1);
    (void)posix_spawn_file_actions_adddup2(&files, out, 2);
    /* This very program, also after its file has been replaced. */
    int r = posix_spawn(ret_pid, "/proc/self/exe", &files, &how, argv, env);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&how);
    (void)mem_free(env);
    (void)mem_free(name);
    return r;
}

int child_start(struct child *child, const char *inventory, uint64_t now_ms)
{
    int ends[2];
    pid_t pid = 0;

    assert(child->pid == 0 && child->out < 0);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_raise(ERR_SYSTEM);
    }
    int r = spawn(inventory, ends[1], &pid);
    (void)close(ends[1]);
    if (r != 0) {
        (void)close(ends[0]);
        return err_raise(ERR_SYSTEM);
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    buf_clear(&child->text);
    child->pid = pid;
    child->out = ends[0];
    child->deadline_ms = now_ms + CHILD_LIFE_MS;
    child->killed = false;
    return 0;
}

/* ---- while it runs ---- */

static void stop_reading(struct child *child)
{
    (void)close(child->out);
    child->out = -1;
}

static void stop_it(struct child *child, const char *why)
{
    if (!child->killed) {
        (void)kill(-child->pid, SIGKILL);
        child->killed = true;
        buf_clear(&child->text);
        buf_add_text(&child->text, why);
    }
    if (child->out >= 0) {
        stop_reading(child);
    }
}

static void read_more(struct child *child)
{
    ssize_t n = 0;

    do {
        buf_reserve(&child->text, STEP);
        n = read(child->out, child->text.p + child->text.n, STEP);
        child->text.n += n > 0 ? (size_t)n : 0;
        if (child->text.n > CHILD_TEXT_MAX) {
            stop_it(child, "printed more than an inventory may hold");
            return;
        }
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n == 0) {
        stop_reading(child);
    }
}

/* The first line of what it said, or how it ended. */
static void tell_why(struct child *child, int status)
{
    if (child->killed) {
        return;
    }
    for (size_t i = 0; i < child->text.n; i++) {
        if (child->text.p[i] == '\n' || i == REASON_MAX) {
            child->text.n = i;
        }
    }
    if (child->text.n == 0 || WIFSIGNALED(status)) {
        buf_clear(&child->text);
        buf_printf(&child->text, "ended with %s %d",
                   WIFSIGNALED(status) ? "signal" : "status",
                   WIFSIGNALED(status) ? WTERMSIG(status)
                                       : WEXITSTATUS(status));
    }
}

enum child_state child_look(struct child *child, uint64_t now_ms)
{
    int status = 0;

    if (child->pid == 0) {
        return CHILD_NONE;
    }
    if (child->out >= 0) {
        read_more(child);
    }
    if (now_ms >= child->deadline_ms) {
        stop_it(child, "took too long and was stopped");
    }
    if (child->out >= 0 || waitpid(child->pid, &status, WNOHANG) == 0) {
        return CHILD_RUNS;
    }
    child->pid = 0;
    if (!child->killed && status == 0) {
        return CHILD_DONE;
    }
    tell_why(child, status);
    return CHILD_FAILED;
}

uint64_t child_at(const struct child *child, uint64_t now_ms)
{
    if (child->pid == 0) {
        return UINT64_MAX;
    }
    /* Killed and still there: it waits for a device. No hurry. */
    if (child->killed) {
        return now_ms +
               (now_ms > child->deadline_ms + 1000 ? 1000 : CHILD_LOOK_MS);
    }
    return child->out >= 0 ? child->deadline_ms : now_ms + CHILD_LOOK_MS;
}

void child_done(struct child *child)
{
    if (child->pid != 0) {
        stop_it(child, "");
        (void)waitpid(child->pid, NULL, WNOHANG);
        child->pid = 0;
    }
    buf_done(&child->text);
}
