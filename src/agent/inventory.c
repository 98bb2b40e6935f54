#include "agent/inventory.h"

#include <stdlib.h>
#include <string.h>

#include "agent/item.h"
#include "agent/pace.h"
#include "base/clock.h"
#include "base/err.h"

struct inventories {
    uint64_t every_ms;
    size_t n;
    struct inventory items[INVENTORY_MAX];
};

/* ---- which ---- */

static bool has(const struct inventories *all, const struct collector *what)
{
    for (size_t i = 0; i < all->n; i++) {
        if (all->items[i].what == what) {
            return true;
        }
    }
    return false;
}

static void add(struct inventories *all, const struct collector *what)
{
    if (!has(all, what)) {
        all->items[all->n++] =
            (struct inventory){.what = what, .child = {.out = -1}};
    }
}

static bool add_named(struct inventories *all, struct str name)
{
    bool every = str_is(name, "all");
    bool found = false;

    for (const struct collector *c = collectors; c->name != NULL; c++) {
        if (every || str_is(name, c->name)) {
            add(all, c);
            found = true;
        }
    }
    return found;
}

int inventories_new(const char *list, uint64_t every_ms, struct str *ret_wrong,
                    struct inventories **ret_inventories)
{
    struct inventories *all = mem_zero(sizeof *all);

    all->every_ms = every_ms;
    for (const char *at = list == NULL ? "" : list; *at != '\0';) {
        struct str name = {at, strcspn(at, ",")};
        if (!add_named(all, name)) {
            *ret_wrong = name;
            (void)inventories_free(all);
            return ERR_INVALID;
        }
        at += name.n + (at[name.n] == ',' ? 1 : 0);
    }
    *ret_inventories = all;
    return 0;
}

struct inventories *inventories_free(struct inventories *inventories)
{
    for (size_t i = 0; inventories != NULL && i < inventories->n; i++) {
        struct inventory *item = &inventories->items[i];
        child_done(&item->child);
        free(item->body);
        while (item->places != NULL) {
            struct place *next = item->places->next;
            (void)place_free(item->places);
            item->places = next;
        }
    }
    return mem_free(inventories);
}

/* ---- when ---- */

void inventories_hurry(struct inventories *inventories, uint64_t now_ms,
                       bool forget)
{
    for (size_t i = 0; i < inventories->n; i++) {
        struct inventory *item = &inventories->items[i];
        item->at_ms = now_ms;
        for (struct place *p = item->places; p != NULL; p = p->next) {
            p->stored = p->stored && !forget;
        }
    }
}

static uint64_t item_at(const struct inventory *item, uint64_t now_ms,
                        bool quiet)
{
    uint64_t at = item->child.pid != 0 ? child_at(&item->child, now_ms)
                  : quiet              ? item->at_ms
                                       : UINT64_MAX;

    return quiet && item->body != NULL && item->request_at_ms < at
               ? item->request_at_ms
               : at;
}

uint64_t inventories_at(const struct inventories *inventories, uint64_t now_ms,
                        bool quiet)
{
    uint64_t at = UINT64_MAX;

    for (size_t i = 0; i < inventories->n; i++) {
        uint64_t its = item_at(&inventories->items[i], now_ms, quiet);
        at = its < at ? its : at;
    }
    return at;
}

size_t inventories_poll(const struct inventories *inventories,
                        struct pollfd *ret_fds)
{
    size_t n = 0;

    for (size_t i = 0; i < inventories->n; i++) {
        int out = inventories->items[i].child.out;
        if (out >= 0) {
            ret_fds[n++] = (struct pollfd){.fd = out, .events = POLLIN};
        }
    }
    return n;
}

/* ---- what was collected ---- */

static bool is_flat(json_t *fields)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(fields, name, value)
    {
        if (!json_is_string(value)) {
            return false;
        }
    }
    return json_is_object(fields);
}

/* The inventory is the last line; what stands before are warnings of programs
 * that were asked. */
static json_t *read_last_line(struct str text)
{
    while (text.n > 0 && text.p[text.n - 1] == '\n') {
        text.n--;
    }
    const char *end = text.n == 0 ? NULL : memrchr(text.p, '\n', text.n);
    size_t skip = end == NULL ? 0 : (size_t)(end + 1 - text.p);

    return json_loadb(text.p == NULL ? "" : text.p + skip, text.n - skip, 0,
                      NULL);
}

static void take(struct inventory *item, const char *hostname)
{
    struct buf *text = &item->child.text;
    json_t *fields = read_last_line(buf_str(text));

    if (!is_flat(fields)) {
        json_decref(fields);
        item_complain(item, "what was collected cannot be read", "",
                      (struct str){text->p, text->n < 200 ? text->n : 200});
        return;
    }
    free(item->body);
    if (json_object_set_new(fields, "name", json_string(hostname)) != 0 ||
        (item->body = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS)) ==
            NULL) {
        abort(); /* out of memory */
    }
    json_decref(fields);
    struct sha256 *hash = sha256_new();
    sha256_add(hash, item->body, strlen(item->body));
    (void)sha256_end(hash, item->digest);
    item->round++;
    item->request_at_ms = 0;
}

static void look(struct inventory *item, const char *hostname, uint64_t now)
{
    switch (child_look(&item->child, now)) {
    case CHILD_NONE:
    case CHILD_RUNS:
        return;
    case CHILD_DONE:
        take(item, hostname);
        break;
    case CHILD_FAILED:
        item_complain(item, "an inventory cannot be collected", "",
                      buf_str(&item->child.text));
        break;
    }
    buf_done(&item->child.text);
}

static void start_if_due(struct inventories *all, struct inventory *item,
                         uint64_t now)
{
    if (item->child.pid != 0 || now < item->at_ms) {
        return;
    }
    item->at_ms = now + pace_beat_ms(all->every_ms, chance_u64());
    int r = child_start(&item->child, item->what->name, now);
    if (r != 0) {
        item_complain(item, "an inventory cannot be collected", "",
                      str_of(err_text(r)));
    }
}

/* The first that has something to say; the others come with the next steps. */
static void request_one(struct inventories *all, struct session *session,
                        uint64_t now)
{
    for (size_t i = 0; i < all->n; i++) {
        struct inventory *item = &all->items[i];
        if (item->body != NULL && now >= item->request_at_ms) {
            item_request(item, session);
            return;
        }
    }
}

void inventories_step(struct inventories *inventories, struct session *session,
                      bool quiet)
{
    uint64_t now = clock_mono_ms();

    for (size_t i = 0; i < inventories->n; i++) {
        look(&inventories->items[i], session->hostname, now);
        if (quiet) {
            start_if_due(inventories, &inventories->items[i], now);
        }
    }
    if (quiet) {
        request_one(inventories, session, now);
    }
}
