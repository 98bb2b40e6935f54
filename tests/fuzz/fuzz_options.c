/* Settings that somebody wrote: a file, the environment, a command line, in
 * this order, parted by NULs: what stands before the first is the file, up to
 * the second variables by lines, then arguments by lines. Whatever comes, each
 * number that is taken is within its range, and what is refused is told. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/address.h"
#include "base/err.h"
#include "base/options.h"
#include "replay.h"

enum { WORDS = 32 };

extern char **environ;

struct target {
    char *text;
    bool flag;
    uint64_t number, bytes, ms;
    struct option_map map;
};

/* Another part of the input, as a text of its own. */
static char *take(struct str *rest)
{
    const char *end = rest->n == 0 ? NULL : memchr(rest->p, '\0', rest->n);
    size_t n = end == NULL ? rest->n : (size_t)(end - rest->p);
    struct buf part = {0};

    buf_add(&part, rest->p, n);
    rest->p += n + (end != NULL);
    rest->n -= n + (end != NULL);
    return buf_text(&part);
}

static size_t split(char *text, char *words[WORDS], size_t n)
{
    char *at = NULL;

    for (char *word = strtok_r(text, "\n", &at); word != NULL && n + 1 < WORDS;
         word = strtok_r(NULL, "\n", &at)) {
        words[n++] = word;
    }
    words[n] = NULL;
    return n;
}

/* Complaints go to nobody: there are many. */
static void hush(void)
{
    static bool hushed;

    if (!hushed) {
        hushed = true;
        REQUIRE(freopen("/dev/null", "w", stdout) != NULL);
        int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
        REQUIRE(sink >= 0);
        FILE *file = fdopen(sink, "w");
        REQUIRE(file != NULL);
        stderr = file;
    }
}

static void check_text(const char *text)
{
    char host[ADDRESS_HOST], port[16];

    if (text != NULL && address_split(text, host, port) == 0) {
        REQUIRE(strlen(host) < sizeof host && strlen(port) < sizeof port);
        REQUIRE(strtoul(port, NULL, 10) <= 65535);
    }
}

static void read_all(const char *file, char **variables, int argc, char **argv)
{
    struct target t = {.number = 7, .bytes = 1024, .ms = 5000};
    const struct option table[] = {
        {"text", OPTION_TEXT, &t.text, 0, 0, "TEXT", "a text"},
        {"flag", OPTION_FLAG, &t.flag, 0, 0, NULL, "a flag"},
        {"number", OPTION_NUMBER, &t.number, 3, 9, "N", "a number"},
        {"bytes", OPTION_BYTES, &t.bytes, 1024, 1 << 30, "SIZE", "a size"},
        {"time", OPTION_DURATION, &t.ms, 1, 86400000, "TIME", "a time"},
        {"field", OPTION_MAP, &t.map, 0, 0, "NAME=VALUE", "a field"},
        {NULL, OPTION_TEXT, NULL, 0, 0, NULL, NULL}};
    const struct options options = {"fuzz", "[ARG...]", "Nothing.", table};
    char *args[WORDS];
    size_t n_args = 0;
    char **before = environ;

    argv[0] = (char *)(uintptr_t)file;
    environ = variables;
    enum options_outcome outcome =
        options_read(&options, argc, argv, args, &n_args);
    environ = before;
    REQUIRE(t.number >= 3 && t.number <= 9);
    REQUIRE(t.bytes >= 1024 && t.bytes <= 1 << 30);
    REQUIRE(t.ms >= 1 && t.ms <= 86400000);
    REQUIRE(outcome != OPTIONS_RUN || n_args < (size_t)argc);
    for (size_t i = 0; i < t.map.n; i++) {
        REQUIRE(t.map.items[i].name != NULL && t.map.items[i].value != NULL);
    }
    check_text(t.text);
    options_done(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct str rest = {(const char *)bytes, n};
    char *variables[WORDS], *words[WORDS];
    char config[64];

    hush();
    char *text = take(&rest);
    int fd = memfd_create("settings", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)snprintf(config, sizeof config, "ROSTER_CONFIG=/proc/self/fd/%d", fd);
    char *env = take(&rest);
    char *args = take(&rest);
    variables[0] = config;
    (void)split(env, variables, 1);
    read_all("fuzz", variables, (int)split(args, words, 1), words);
    (void)close(fd);
    (void)mem_free(args);
    (void)mem_free(env);
    (void)mem_free(text);
    return 0;
}
