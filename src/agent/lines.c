#include "agent/lines.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"

enum { ARGUMENTS_MAX = 15 };

extern char **environ;

static void read_all(FILE *file, line_func *line, void *user)
{
    char *text = mem_alloc(LINE_MAX_BYTES);
    bool begins = true;

    while (fgets(text, LINE_MAX_BYTES, file) != NULL) {
        size_t n = strlen(text);
        bool ends = n > 0 && text[n - 1] == '\n';
        if (begins) {
            line(user, (struct str){text, ends ? n - 1 : n});
        }
        begins = ends;
    }
    (void)mem_free(text);
}

int lines_of_file(const char *root, const char *path, line_func *line,
                  void *user)
{
    struct buf full = {0};

    buf_printf(&full, "%s%s", root, path);
    FILE *file = fopen(buf_text(&full), "re");
    buf_done(&full);
    if (file == NULL) {
        return ERR_NOT_FOUND;
    }
    read_all(file, line, user);
    (void)fclose(file);
    return 0;
}

static int start(const char *const argv[], int out, pid_t *ret_pid)
{
    char *copy[ARGUMENTS_MAX + 1] = {NULL};
    posix_spawn_file_actions_t files;

    assert(argv[0] != NULL);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, out, 1);
    copy[0] = mem_text(argv[0]);
    for (size_t i = 1; argv[i] != NULL; i++) {
        assert(i < ARGUMENTS_MAX);
        copy[i] = mem_text(argv[i]);
    }
    int r = posix_spawnp(ret_pid, copy[0], &files, NULL, copy, environ);
    for (size_t i = 0; copy[i] != NULL; i++) {
        (void)mem_free(copy[i]);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return r;
}

static int end(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return err_raise(ERR_SYSTEM);
        }
    }
    return status == 0 ? 0 : err_raise(ERR_SYSTEM);
}

int lines_of_program(const char *const argv[], line_func *line, void *user)
{
    int ends[2];
    pid_t pid = 0;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_raise(ERR_SYSTEM);
    }
    int r = start(argv, ends[1], &pid);
    (void)close(ends[1]);
    FILE *file = r == 0 ? fdopen(ends[0], "re") : NULL;
    if (file == NULL) {
        (void)close(ends[0]);
    } else {
        read_all(file, line, user);
        (void)fclose(file);
    }
    if (r != 0) {
        return r == ENOENT ? ERR_NOT_FOUND : err_raise(ERR_SYSTEM);
    }
    return end(pid);
}

struct str line_word(struct str *rest)
{
    while (rest->n > 0 && rest->p[0] == ' ') {
        *rest = (struct str){rest->p + 1, rest->n - 1};
    }
    if (rest->n == 0) {
        return STR_NONE;
    }
    const char *blank = memchr(rest->p, ' ', rest->n);
    size_t n = blank == NULL ? rest->n : (size_t)(blank - rest->p);
    struct str word = {rest->p, n};
    *rest = (struct str){rest->p + n, rest->n - n};
    return word;
}

void line_skip(struct str *rest, unsigned n_words)
{
    struct str word = *rest;

    for (unsigned i = 0; i < n_words && word.p != NULL; i++) {
        word = line_word(rest);
    }
}
