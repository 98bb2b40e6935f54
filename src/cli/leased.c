#include "cli/leased.h"

#include <stdlib.h>
#include <string.h>

enum { ID = 26 };

static void add(struct leased *leased, const char *id)
{
    if (id == NULL || strlen(id) != ID) {
        return;
    }
    if (leased->n == leased->room) {
        leased->room = leased->room == 0 ? 256 : 2 * leased->room;
        leased->ids = mem_grow(leased->ids, leased->room * sizeof *leased->ids);
    }
    memcpy(leased->ids[leased->n++], id, ID + 1);
}

static void add_page(struct leased *leased, const json_t *page)
{
    size_t i = 0;
    const json_t *agent = NULL;
    const char *ns = NULL;
    json_t *id = NULL;

    json_array_foreach(page, i, agent)
    {
        json_object_foreach(json_object_get(agent, "placements"), ns, id)
        {
            add(leased, json_string_value(id));
        }
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, ID);
}

enum cli_exit leased_read(struct cli *cli, struct leased *ret_leased)
{
    struct leased leased = {0};
    char *path = mem_text("/v1/agents?limit=1000");
    enum cli_exit status = CLI_OK;

    while (status == CLI_OK && path[0] != '\0') {
        json_t *page = NULL;
        char *next = NULL;
        status = ask_once(cli, "GET", path, NULL, NULL, &page, &next);
        add_page(&leased, page);
        json_decref(page);
        if (status == CLI_OK) {
            (void)mem_free(path);
            path = next;
        }
    }
    (void)mem_free(path);
    if (leased.n > 0) {
        qsort(leased.ids, leased.n, sizeof *leased.ids, compare);
    }
    *ret_leased = leased;
    return status;
}

bool leased_has(const struct leased *leased, const char *id)
{
    return id != NULL && leased->n > 0 && strlen(id) == ID &&
           bsearch(id, leased->ids, leased->n, sizeof *leased->ids, compare) !=
               NULL;
}

void leased_done(struct leased *leased)
{
    leased->ids = mem_free(leased->ids);
}
