#include "cli/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/secret_file.h"
#include "cli/ask.h"

enum { LINE_MOST = 1024, TOKEN_MOST = 256 };

/* ---- at the terminal ---- */

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
enum { ENDING = sizeof ending / sizeof ending[0] };

/* Whoever ends the program here must get a terminal back that shows what he
 * writes. */
static void catch (struct sigaction old[ENDING])
{
    struct sigaction action = {.sa_handler = on_signal}; /* read() ends */

    caught = 0;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ENDING; i++) {
        (void)sigaction(ending[i], &action, &old[i]);
    }
}

static void release(const struct sigaction old[ENDING])
{
    for (size_t i = 0; i < ENDING; i++) {
        (void)sigaction(ending[i], &old[i], NULL);
    }
    if (caught != 0) {
        (void)raise(caught);
    }
}

/* False: interrupted, or over before a line was. */
static bool read_line(int fd, struct buf *line)
{
    char c = '\0';
    ssize_t n = 0;

    while (caught == 0 && (n = read(fd, &c, 1)) == 1 && c != '\n') {
        if (line->n < LINE_MOST + 1) {
            buf_add_char(line, c);
        }
    }
    return caught == 0 && (n == 1 || line->n > 0);
}

static bool ask_hidden(int tty, const char *prompt, struct buf *line)
{
    struct sigaction old[ENDING];
    struct termios shown, hidden;
    bool good = false;

    if (tcgetattr(tty, &shown) != 0) {
        return false;
    }
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    hidden.c_lflag |= ICANON;
    catch (old);
    if (tcsetattr(tty, TCSAFLUSH, &hidden) == 0) {
        (void)dprintf(tty, "%s: ", prompt);
        good = read_line(tty, line);
        (void)tcsetattr(tty, TCSAFLUSH, &shown);
        (void)dprintf(tty, "\n");
    }
    release(old);
    return good;
}

enum cli_exit secret_ask(const char *prompt, struct buf *ret_text)
{
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (tty < 0) {
        return cli_misused("there is no terminal to ask for the password: give "
                           "--password-file FILE (- for stdin)");
    }
    ret_text->secret = true;
    bool good = ask_hidden(tty, prompt, ret_text);
    (void)close(tty);
    if (!good || ret_text->n == 0) {
        ask_say("no password was given");
        return CLI_REFUSED;
    }
    return CLI_OK;
}

enum cli_exit secret_ask_new(const char *prompt, struct buf *ret_text)
{
    CLEANUP(buf_done) struct buf again = {.secret = true};

    enum cli_exit status = secret_ask(prompt, ret_text);
    if (status == CLI_OK) {
        status = secret_ask("Once more", &again);
    }
    if (status == CLI_OK && !str_equal(buf_str(ret_text), buf_str(&again))) {
        ask_say("they are not the same: nothing was done");
        status = CLI_REFUSED;
    }
    return status;
}

/* ---- from a file ---- */

enum cli_exit secret_read(const char *path, size_t most, struct buf *ret_lines,
                          size_t *ret_n)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        ask_say("%s: %s", path, strerror(errno));
        return CLI_REFUSED;
    }
    caught = 0;
    for (*ret_n = 0; *ret_n < most; ++*ret_n) {
        ret_lines[*ret_n].secret = true;
        if (!read_line(fd, &ret_lines[*ret_n])) {
            break;
        }
    }
    if (!is_stdin) {
        (void)close(fd);
    }
    if (*ret_n == 0 || ret_lines[0].n == 0) {
        ask_say("%s: there is nothing in its first line", path);
        return CLI_REFUSED;
    }
    return CLI_OK;
}

/* ---- the token of a session ---- */

/* What is no absolute path in XDG_CONFIG_HOME is to be ignored. */
char *secret_token_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    struct buf path = {0};

    if (config != NULL && config[0] == '/') {
        buf_printf(&path, "%s/roster/token", config);
    } else if (home != NULL && home[0] == '/') {
        buf_printf(&path, "%s/.config/roster/token", home);
    } else {
        return NULL;
    }
    return buf_text(&path);
}

static enum cli_exit complain(const char *path)
{
    ask_say("%s: %s", path, strerror(errno));
    return CLI_REFUSED;
}

enum cli_exit secret_token_get(struct buf *ret_token)
{
    char *path = secret_token_path();
    bool is_open = false;
    enum cli_exit status = CLI_OK;

    int r = path == NULL
                ? ERR_NOT_FOUND
                : secret_file_read(path, TOKEN_MOST, ret_token, &is_open);
    if (r < 0) {
        status = complain(path);
    } else if (is_open) {
        ask_say("%s can be read by others, so it is not used: chmod 600 it, or "
                "'roster login' again",
                path);
        status = CLI_REFUSED;
    }
    (void)mem_free(path);
    return status;
}

/* Every folder above it, for this user alone. */
static void make_folders(char *path)
{
    for (char *at = strchr(path + 1, '/'); at != NULL;
         at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(path, 0700); /* what is wrong shows when the file is made */
        *at = '/';
    }
}

enum cli_exit secret_token_keep(const char *token)
{
    char *path = secret_token_path();
    enum cli_exit status = CLI_OK;

    if (path == NULL) {
        ask_say("there is no place to keep the token: HOME is not set");
        return CLI_REFUSED;
    }
    make_folders(path);
    if (secret_file_write(path, str_of(token), SECRET_FILE_REPLACE) != 0) {
        status = complain(path);
    }
    (void)mem_free(path);
    return status;
}

enum cli_exit secret_token_forget(bool *ret_was)
{
    char *path = secret_token_path();
    enum cli_exit status = CLI_OK;

    *ret_was = path != NULL && unlink(path) == 0;
    if (path != NULL && !*ret_was && errno != ENOENT && errno != ENOTDIR) {
        status = complain(path);
    }
    (void)mem_free(path);
    return status;
}
