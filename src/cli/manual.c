/* A program of the build: the table of verbs as a list of mdoc(7), for the
 * manual page. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"

static void print(const char *text)
{
    for (; *text != '\0'; text++) {
        (void)fputs(*text == '\\' ? "\\e" : (char[]){*text, '\0'}, stdout);
    }
}

static void print_verb(const struct cli_verb *verb)
{
    (void)printf(".It Cm %s", verb->name);
    if (verb->args != NULL && verb->args[0] != '\0') {
        (void)fputs(" Ar ", stdout);
        print(verb->args);
    }
    (void)putchar('\n');
    print(verb->help);
    (void)puts(".");
}

int main(void)
{
    (void)puts(".Bl -tag -width Ds");
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        /* One without help is not for people. */
        if (verb->help != NULL) {
            print_verb(verb);
        }
    }
    (void)puts(".El");
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
