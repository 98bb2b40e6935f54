/* Completion. The shell's script knows nothing but to ask this program, so it
 * knows every verb and option that this program does. Namespaces and types come
 * from the registry: quickly, or not at all; whatever goes wrong is silent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/rows.h"
#include "cli/show.h"

enum { LOOK_MS = 700 };

/* What may stand at the cursor. */
struct words {
    char **words;      /* behind "roster", up to the cursor */
    size_t n;          /* the last one is being written */
    size_t skip;       /* bytes of it that the shell counts as another word */
    const char *start; /* what has been written of it */
    struct str before; /* stands before each answer: "--type=" */
};

static void offer(const struct words *at, const char *word)
{
    if (strncmp(word, at->start, strlen(at->start)) == 0) {
        (void)printf("%.*s%s\n", STR_ARG(at->before), word + at->skip);
    }
}

static json_t *quick(struct cli *cli, const char *path, const char *query)
{
    struct roster_request request = {
        .method = "GET", .path = path, .query = query, .timeout_ms = LOOK_MS};
    struct roster_response response = {0};
    json_t *answer = NULL;

    if (roster_send(cli->roster, &request, &response) == ROSTER_OK) {
        answer = json_loadb(response.body, response.body_size, 0, NULL);
    }
    roster_response_done(&response);
    return answer;
}

static void offer_namespaces(struct cli *cli, const struct words *at)
{
    json_t *tree = quick(cli, "/v1/ns", "flat=true");
    size_t i = 0;
    const json_t *node = NULL;

    json_array_foreach(tree, i, node)
    {
        const char *ns = json_string_value(json_object_get(node, "ns"));
        if (ns != NULL) {
            offer(at, ns);
        }
    }
    json_decref(tree);
}

/* Those that are defined, and those that are in the namespace before it. */
static void offer_types(struct cli *cli, const struct words *at, const char *ns)
{
    json_t *types = quick(cli, "/v1/types", NULL);
    json_t *names = json_object();
    json_t *node = NULL;
    size_t i = 0;
    const json_t *type = NULL;
    const char *name = NULL;
    json_t *value = NULL;

    json_array_foreach(types, i, type)
    {
        name = json_string_value(json_object_get(type, "name"));
        (void)json_object_set_new(names, name == NULL ? "" : name, json_true());
    }
    if (ns != NULL && types != NULL) {
        char *path = roster_path("v1", "ns", ns, NULL);
        node = quick(cli, path, NULL);
        (void)json_object_update(names, json_object_get(node, "types"));
        free(path);
    }
    json_object_foreach(names, name, value)
    {
        offer(at, name);
    }
    json_decref(node);
    json_decref(names);
    json_decref(types);
}

static void offer_nodes(struct cli *cli, const struct words *at)
{
    json_t *cluster = quick(cli, "/v1/cluster", NULL);
    const json_t *node = NULL;
    size_t i = 0;

    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
    {
        const char *id = json_string_value(json_object_get(node, "id"));
        if (id != NULL) {
            offer(at, id);
        }
    }
    json_decref(cluster);
}

/* A registry may have very many: only those that begin as what is written. */
static void offer_machines(struct cli *cli, const struct words *at)
{
    char *query =
        roster_query("type", "machine", "k", "hostname", "v", at->start, "mode",
                     "prefix", "limit", "200", NULL);
    json_t *found = quick(cli, "/v1/search", query);
    json_t *names = json_object(); /* one is in many namespaces, perhaps */
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(found, name, value)
    {
        size_t i = 0;
        const json_t *row = NULL;
        json_array_foreach(value, i, row)
        {
            const char *host =
                json_string_value(json_object_get(row, "hostname"));
            (void)json_object_set_new(names, host == NULL ? "" : host,
                                      json_true());
        }
    }
    json_object_foreach(names, name, value)
    {
        offer(at, name);
    }
    json_decref(names);
    json_decref(found);
    free(query);
}

static void offer_verbs(const struct words *at)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (verb->help != NULL) {
            offer(at, verb->name);
        }
    }
}

static void offer_options(const struct cli *cli, const struct words *at,
                          const struct cli_verb *verb)
{
    static const char *const built_in[] = {"--config", "--help", "--version",
                                           NULL};
    struct buf flag = {0};

    for (const struct option *o = cli->options; o->name != NULL; o++) {
        if (verb == NULL || cli_takes(verb, o->name)) {
            buf_clear(&flag);
            buf_printf(&flag, "--%s", o->name);
            offer(at, buf_text(&flag));
        }
    }
    for (const char *const *name = built_in; *name != NULL; name++) {
        offer(at, *name);
    }
    buf_done(&flag);
}

/* A word out of the verb's own description: NS, TYPE, FILE, or one of its
 * words in small letters. */
static void offer_argument(struct cli *cli, const struct words *at,
                           const struct cli_verb *verb, char **args, size_t n)
{
    struct buf word = {0};
    const char *text = verb->args;

    for (size_t i = 0; i <= n; i++) {
        size_t length = strcspn(text, " ");
        if (length == 0 && word.n > 4 &&
            memcmp(word.p + word.n - 4, "...]", 4) == 0) {
            break; /* there may be many of them */
        }
        buf_clear(&word); /* empty behind the last one */
        buf_add(&word, text, length);
        text += length + (text[length] == ' ' ? 1 : 0);
    }
    const char *kind = buf_text(&word);
    if (strstr(kind, "NODE") != NULL) {
        offer_nodes(cli, at);
    } else if (strstr(kind, "TARGET") != NULL) {
        offer_machines(cli, at);
    } else if (strstr(kind, "NS") != NULL) {
        offer_namespaces(cli, at);
    } else if (strstr(kind, "TYPE") != NULL) {
        offer_types(cli, at,
                    n > 0 && verb->args[strspn(verb->args, "[")] == 'N'
                        ? args[0]
                        : NULL);
    } else if (strstr(kind, "FILE") != NULL || strstr(kind, "DIR") != NULL) {
        (void)puts("__files");
    } else if (strstr(kind, "COMMAND") != NULL) {
        offer_verbs(at);
    } else {
        for (char *part = strtok(word.p, "|[]"); part != NULL;
             part = strtok(NULL, "|[]")) {
            if (part[0] >= 'a' && part[0] <= 'z') { /* not ID, FIELD=VALUE */
                offer(at, part);
            }
        }
    }
    buf_done(&word);
}

static void offer_value(struct cli *cli, const struct words *at,
                        const struct option *option)
{
    static const char *const modes[] = {"exact", "contains", "prefix", "regex",
                                        NULL};

    if (strcmp(option->name, "ns") == 0) {
        offer_namespaces(cli, at);
    } else if (strcmp(option->name, "type") == 0) {
        offer_types(cli, at, NULL);
    } else if (strcmp(option->name, "data-dir") == 0 ||
               strcmp(option->name, "password-file") == 0) {
        (void)puts("__files");
    } else if (strcmp(option->name, "mode") == 0) {
        for (const char *const *mode = modes; *mode != NULL; mode++) {
            offer(at, *mode);
        }
    }
}

static const struct option *takes_value(const struct cli *cli, const char *word)
{
    if (strncmp(word, "--", 2) != 0 || strchr(word, '=') != NULL) {
        return NULL;
    }
    for (const struct option *o = cli->options; o->name != NULL; o++) {
        if (strcmp(o->name, word + 2) == 0 && o->kind != OPTION_FLAG) {
            return o;
        }
    }
    return NULL;
}

/* "--type=ma" in one word. A shell that cuts at '=' wants the value alone. */
static void offer_joined(struct cli *cli, struct words *at)
{
    const char *word = at->start;
    size_t n = strcspn(word, "=");

    at->before = at->skip > 0 ? STR("") : (struct str){word, n + 1};
    at->start = word + n + 1;
    at->skip = 0;
    for (const struct option *o = cli->options; o->name != NULL; o++) {
        if (strlen(o->name) + 2 == n &&
            strncmp(word + 2, o->name, n - 2) == 0) {
            offer_value(cli, at, o);
        }
    }
}

/* --server given on the line that is being written is the one to ask. */
static void use_server(struct cli *cli, const char *option, const char *value)
{
    if (strcmp(option, "server") == 0 &&
        roster_set_servers(cli->roster, value) != ROSTER_OK) {
        return; /* Half written yet: the old ones stay. */
    }
}

static void offer_at(struct cli *cli, struct words *at)
{
    const struct cli_verb *verb = NULL;
    char *args[8] = {NULL};
    size_t n = 0;

    for (size_t i = 0; i + 1 < at->n; i++) {
        const struct option *option = takes_value(cli, at->words[i]);
        if (option != NULL && i + 2 == at->n) {
            offer_value(cli, at, option);
            return;
        }
        if (option != NULL) {
            use_server(cli, option->name, at->words[++i]);
        } else if (strncmp(at->words[i], "--server=", 9) == 0) {
            use_server(cli, "server", at->words[i] + 9);
        } else if (at->words[i][0] != '-' && verb == NULL) {
            verb = cli_find_verb(at->words[i]);
        } else if (at->words[i][0] != '-' && n < 8) {
            args[n++] = at->words[i];
        }
    }
    if (at->start[0] == '-' && strchr(at->start, '=') != NULL) {
        offer_joined(cli, at);
    } else if (at->start[0] == '-') {
        offer_options(cli, at, verb);
    } else if (verb == NULL) {
        offer_verbs(at);
    } else {
        offer_argument(cli, at, verb, args, n);
    }
}

/* bash cuts words at ':' and '=': "--server http : //a : 7070". What was one
 * word becomes one again; of the last, the shell replaces only what stands
 * behind the cut. */
static bool is_cut(const char *word)
{
    return *word != '\0' && strspn(word, ":=") == strlen(word);
}

static void join(struct words *at, char **words, size_t n)
{
    bool glue = false;

    for (size_t i = 0; i < n; i++) {
        bool cut = is_cut(words[i]);
        if (at->n > 0 && (cut || glue)) {
            char **last = &at->words[at->n - 1];
            struct buf whole = {0};
            at->skip = strlen(*last) + (cut ? strlen(words[i]) : 0);
            buf_printf(&whole, "%s%s", *last, words[i]);
            (void)mem_free(*last);
            *last = buf_text(&whole);
        } else {
            at->words[at->n++] = mem_text(words[i]);
            at->skip = 0;
        }
        glue = cut;
    }
}

/* __complete CURSOR WORD...: the words behind "roster" as the shell has them.
 */
enum cli_exit complete_words(struct cli *cli)
{
    struct words at = {0};
    size_t cursor = strtoul(cli->args[0], NULL, 10);
    size_t n = cli->n_args - 1;

    n = cursor < n ? cursor : n;
    at.words = mem_zero((n + 1) * sizeof *at.words);
    join(&at, cli->args + 1, n);
    if (cursor > n || at.n == 0) { /* The cursor stands behind a blank. */
        at.words[at.n++] = mem_text("");
        at.skip = 0;
    }
    at.start = at.words[at.n - 1];
    roster_set_timeouts(cli->roster, LOOK_MS, LOOK_MS);
    offer_at(cli, &at);
    for (size_t i = 0; i < at.n; i++) {
        (void)mem_free(at.words[i]);
    }
    (void)mem_free(at.words);
    return CLI_OK;
}
