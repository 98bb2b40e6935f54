/* The scripts that tell a shell to ask this program (complete.c). */
#include <stdio.h>
#include <string.h>

#include "cli/rows.h"

static const char bash_script[] =
    "_roster() {\n"
    "    local IFS=$'\\n'\n"
    "    COMPREPLY=($(\"${COMP_WORDS[0]}\" --quiet __complete \"$COMP_CWORD\" "
    "-- \"${COMP_WORDS[@]:1}\" 2>/dev/null))\n"
    "    if [[ ${COMPREPLY[0]-} == __files ]]; then\n"
    "        COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
    "        compopt -o filenames 2>/dev/null\n"
    "    fi\n"
    "}\n"
    "complete -F _roster roster\n";
static const char zsh_script[] =
    "#compdef roster\n"
    "_roster() {\n"
    "    local -a found\n"
    "    found=(${(f)\"$(\"${words[1]}\" --quiet __complete $((CURRENT - 1)) "
    "-- "
    "\"${words[@]:1}\" 2>/dev/null)\"})\n"
    "    if [[ ${found[1]} == __files ]]; then _files; "
    "else compadd -a found; fi\n"
    "}\n"
    "compdef _roster roster\n";
static const char fish_script[] =
    "function __roster\n"
    "    set -l words (commandline -opc)\n"
    "    set -l n (count $words)\n"
    "    set -l found (command roster --quiet __complete $n -- $words[2..] "
    "(commandline -ct) 2>/dev/null)\n"
    "    if test \"$found[1]\" = __files\n"
    "        __fish_complete_path (commandline -ct)\n"
    "    else\n"
    "        printf '%s\\n' $found\n"
    "    end\n"
    "end\n"
    "complete -c roster -f -a '(__roster)'\n";

enum cli_exit complete_script(struct cli *cli)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = {
        {"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        if (strcmp(cli->args[0], scripts[i].shell) == 0) {
            (void)fputs(scripts[i].script, stdout);
            return CLI_OK;
        }
    }
    return cli_misused("there is no completion for '%s': choose bash, zsh or "
                       "fish",
                       cli->args[0]);
}
