#include "agent/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

/* Longer than the agent waits (child.h): this is for the process whose agent
 * was killed. */
enum { LIFE_S = 40, NICE = 10 };

const struct collector collectors[] = {
    {"interfaces", "interface", collect_interfaces},
    {"filesystems", "file system", collect_filesystems},
    {"sockets", "socket", collect_sockets},
    {"units", "unit", collect_units},
    {"packages", "package", collect_packages},
    {.name = NULL},
};

const struct collector *collector_find(struct str name)
{
    for (const struct collector *c = collectors; c->name != NULL; c++) {
        if (str_is(name, c->name)) {
            return c;
        }
    }
    return NULL;
}

static int print(struct sheet *sheet)
{
    json_t *fields = sheet_json(sheet);
    int r = json_dumpf(fields, stdout, JSON_COMPACT | JSON_SORT_KEYS);

    json_decref(fields);
    if (r != 0 || fputc('\n', stdout) == EOF || fflush(stdout) != 0) {
        perror("roster-agent: cannot print");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int collect_main(const char *name)
{
    const struct collector *collector = collector_find(str_of(name));

    if (collector == NULL) {
        (void)fprintf(
            stderr,
            "roster-agent: --show-inventory: there is no '%s': choose "
            "interfaces, filesystems, sockets, units or packages\n",
            name);
        return EXIT_FAILURE;
    }
    (void)alarm(LIFE_S);
    (void)!nice(NICE);
    struct sheet *sheet = sheet_new(collector->noun);
    int status = EXIT_FAILURE;
    int r = collector->run("", sheet);
    if (r < 0) {
        (void)fprintf(stderr, "roster-agent: %s: %s\n", name, err_text(r));
    } else {
        status = print(sheet);
    }
    (void)sheet_free(sheet);
    return status;
}
