/* Who waits for what. Links are found by path and type of an event: each
 * namespace above it is looked up, so an event costs what its path is deep and
 * who wants it, not who waits. Only what moves or removes namespaces, which is
 * rare, looks at all. */
#include <assert.h>
#include <uthash.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"
#include "watch/inside.h"

enum { TURN_EVENTS = 256 };

struct watch_subject {
    struct watch_link *links;
    struct watch_subject *next_empty;
    bool is_empty; /* in the list of those */
    UT_hash_handle hh;
    size_t n;
    char key[]; /* path 0 type */
};

struct watch_table {
    struct watch_hub *hub;
    struct watch_listener listener;
    struct watch_subject *subjects;
    uint64_t seed;               /* keys come from strangers */
    struct watch_subject *empty; /* to be freed when nobody walks */
    size_t n_links;
    uint64_t revision;
    bool telling;
    struct buf key;
};

struct watch_table *watch_table_new(struct watch_hub *hub,
                                    void (*poke)(void *user), void *user)
{
    struct watch_table *table = mem_zero(sizeof *table);

    table->hub = hub;
    table->seed = chance_u64();
    table->listener.poke = poke;
    table->listener.user = user;
    watch_hub_listen(hub, &table->listener);
    return table;
}

struct watch_table *watch_table_free(struct watch_table *table)
{
    if (table == NULL) {
        return NULL;
    }
    assert(table->n_links == 0 && table->subjects == NULL);
    watch_hub_unlisten(table->hub, &table->listener);
    buf_done(&table->key);
    return mem_free(table);
}

/* ---- subjects ---- */

static struct str key_of(struct watch_table *table, struct str path,
                         struct str type)
{
    buf_clear(&table->key);
    buf_add_str(&table->key, path);
    buf_add_char(&table->key, '\0');
    buf_add_str(&table->key, type);
    return buf_str(&table->key);
}

static unsigned hash_of(const struct watch_table *table, struct str key)
{
    return (unsigned)XXH3_64bits_withSeed(key.p, key.n, table->seed);
}

static struct watch_subject *find(struct watch_table *table, struct str path,
                                  struct str type)
{
    struct str key = key_of(table, path, type);
    struct watch_subject *subject = NULL;

    HASH_FIND_BYHASHVALUE(hh, table->subjects, key.p, key.n,
                          hash_of(table, key), subject);
    return subject;
}

static struct watch_subject *find_or_make(struct watch_table *table,
                                          const struct watch_spec *spec)
{
    struct watch_subject *subject = find(table, spec->ns, spec->type);

    if (subject == NULL) {
        subject = mem_zero(sizeof *subject + table->key.n);
        subject->n = table->key.n;
        memcpy(subject->key, table->key.p, subject->n);
        HASH_ADD_BYHASHVALUE(hh, table->subjects, key, subject->n,
                             hash_of(table, buf_str(&table->key)), subject);
    }
    return subject;
}

static void free_empty(struct watch_table *table)
{
    while (!table->telling && table->empty != NULL) {
        struct watch_subject *subject = table->empty;
        table->empty = subject->next_empty;
        subject->is_empty = false;
        if (subject->links == NULL) {
            assert(table->subjects != NULL); /* it is in there */
            HASH_DEL(table->subjects, subject);
            (void)mem_free(subject);
        }
    }
}

/* ---- links ---- */

static void enter(struct watch_table *table, struct watch_link *link)
{
    struct watch_subject *subject = find_or_make(table, &link->spec);

    link->subject = subject;
    link->prev = NULL;
    link->next = subject->links;
    if (link->next != NULL) {
        link->next->prev = link;
    }
    subject->links = link;
    table->n_links++;
}

/* Whether something it wants was told while it was not there, or may have been.
 */
static bool has_missed(struct watch_table *table, const struct watch_link *link)
{
    struct watch_event *events[TURN_EVENTS];
    uint64_t after = link->from;
    bool missed = false;
    size_t n;

    while (!missed && after < table->revision) {
        if (watch_hub_take(table->hub, after, events, TURN_EVENTS, &n,
                           &after) != 0) {
            return true;
        }
        for (size_t i = 0; i < n; i++) {
            missed = missed || (events[i]->event.revision <= table->revision &&
                                watch_wants(&link->spec, &events[i]->event));
            events[i] = watch_event_unref(events[i]);
        }
    }
    return missed;
}

int watch_table_add(struct watch_table *table, struct watch_link *link,
                    uint64_t from)
{
    uint64_t now = watch_hub_revision(table->hub);

    link->from = from;
    if (table->n_links == 0) {
        table->revision = from < now ? from : now;
    } else if (has_missed(table, link)) {
        return ERR_RETRY;
    }
    enter(table, link);
    /* Who publishes looks whether anybody waits behind the revision: one of the
     * two sees the other. */
    atomic_store(&table->listener.waits, true);
    if (watch_hub_revision(table->hub) > table->revision &&
        !atomic_exchange(&table->listener.poked, true)) {
        table->listener.poke(table->listener.user);
    }
    return 0;
}

void watch_table_remove(struct watch_table *table, struct watch_link *link)
{
    struct watch_subject *subject = link->subject;

    if (subject == NULL) {
        return;
    }
    if (link->prev != NULL) {
        link->prev->next = link->next;
    } else {
        subject->links = link->next;
    }
    if (link->next != NULL) {
        link->next->prev = link->prev;
    }
    link->subject = NULL;
    table->n_links--;
    if (subject->links == NULL && !subject->is_empty) {
        subject->is_empty = true;
        subject->next_empty = table->empty;
        table->empty = subject;
    }
    free_empty(table);
    if (table->n_links == 0) {
        atomic_store(&table->listener.waits, false);
    }
}

/* ---- telling ---- */

/* It may remove itself while it is told. */
static void tell_links(struct watch_subject *subject, struct watch_event *event)
{
    struct watch_link *next;

    for (struct watch_link *link = subject->links; link != NULL; link = next) {
        next = link->next;
        if (event == NULL || (event->event.revision > link->from &&
                              watch_wants(&link->spec, &event->event))) {
            link->tell(link, event);
        }
    }
}

static void tell_all(struct watch_table *table, struct watch_event *event)
{
    struct watch_subject *subject = NULL, *next = NULL;

    HASH_ITER(hh, table->subjects, subject, next)
    {
        tell_links(subject, event);
    }
}

static void tell_at(struct watch_table *table, struct watch_event *event,
                    struct str path, struct str type)
{
    struct watch_subject *subject = find(table, path, type);

    if (subject != NULL) {
        tell_links(subject, event);
    }
}

static void tell_above(struct watch_table *table, struct watch_event *event)
{
    struct str path = event->event.ns;

    for (;;) {
        tell_at(table, event, path, STR(""));
        if (event->event.type.n > 0) {
            tell_at(table, event, path, event->event.type);
        }
        const char *dot = memchr(path.p, '.', path.n);
        if (dot == NULL) {
            return;
        }
        path.n -= (size_t)(dot + 1 - path.p);
        path.p = dot + 1;
    }
}

static void tell(struct watch_table *table, struct watch_event *event)
{
    if (event->event.op == EVENT_RESTORE || watch_moves_rows(&event->event)) {
        tell_all(table, event);
    } else {
        tell_above(table, event);
    }
}

bool watch_table_turn(struct watch_table *table)
{
    struct watch_event *events[TURN_EVENTS];
    uint64_t upto = 0;
    size_t n = 0;

    atomic_store(&table->listener.poked, false);
    if (table->n_links == 0) {
        return false;
    }
    int r = watch_hub_take(table->hub, table->revision, events, TURN_EVENTS, &n,
                           &upto);
    table->telling = true;
    table->revision = upto > table->revision ? upto : table->revision;
    if (r != 0) {
        tell_all(table, NULL);
    }
    for (size_t i = 0; i < n; i++) {
        tell(table, events[i]);
        events[i] = watch_event_unref(events[i]);
    }
    table->telling = false;
    free_empty(table);
    return n == TURN_EVENTS;
}

uint64_t watch_table_revision(const struct watch_table *table)
{
    return table->revision;
}
