#include "base/err.h"
#include "model/name.h"
#include "model/row.h"
#include "watch/inside.h"

enum {
    PART_NS = 16,     /* namespaces whose rows are told in one snapshot */
    PART_LOOKS = 2048 /* ids looked at for them */
};

struct place {
    uint64_t id;
    size_t path_n;
    char path[NAME_PATH_MAX];
};

/* One call. */
struct part {
    struct store_txn *txn;
    const struct watch_spec *spec;
    struct watch_initial *initial;
    uint64_t left; /* bytes */
    watch_read_func *func;
    void *user;
    struct place found[PART_NS];
    size_t n;
    uint64_t looked; /* ids before it were looked at */
    struct buf path, text;
};

/* ---- which namespaces ---- */

/* Ids, not the tree: so nothing has to be remembered of what is still to come,
 * and what moves meanwhile keeps its place. */
static int begin(struct part *part)
{
    struct watch_initial *initial = part->initial;
    struct store_node node;
    uint64_t id = 0;

    *initial =
        (struct watch_initial){.revision = store_meta(part->txn)->revision};
    int r = store_path_resolve(part->txn, part->spec->ns, &id);
    if (r == 0) {
        r = store_node_get(part->txn, id, &node);
    }
    if (r != 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    initial->next_ns = node.n_children == 0 ? id : STORE_ROOT;
    initial->end_ns =
        node.n_children == 0 ? id + 1 : store_meta(part->txn)->next_ns;
    return 0;
}

/* Whether there is something for us in it. */
static int look_at(struct part *part, uint64_t id, bool *ret_wanted)
{
    struct store_node node;

    *ret_wanted = false;
    int r = store_node_get(part->txn, id, &node);
    if (r != 0 || node.n_rows == 0) {
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    buf_clear(&part->path);
    r = store_path_of(part->txn, id, &part->path);
    *ret_wanted =
        r == 0 && watch_is_below(buf_str(&part->path), part->spec->ns);
    return r == ERR_NOT_FOUND ? 0 : r;
}

static void add(struct part *part, uint64_t id)
{
    struct place *place = &part->found[part->n++];

    place->id = id;
    place->path_n = part->path.n;
    memcpy(place->path, part->path.p, part->path.n);
}

/* Answers: RESTART (the snapshot is another one now), FULL (no handle was to be
 * had for the first). */
static int find(struct part *part)
{
    bool renewed = false, wanted = false;
    uint64_t id = part->initial->next_ns;
    uint64_t end = part->initial->end_ns;
    int r = 0;

    if (end - id > PART_LOOKS) {
        end = id + PART_LOOKS;
    }
    for (part->n = 0; r == 0 && id < end && part->n < PART_NS; id++) {
        r = look_at(part, id, &wanted);
        if (r != 0 || !wanted) {
            continue;
        }
        r = store_use(part->txn, id);
        if (r == ERR_FULL) {
            break;
        }
        renewed = renewed || r == ERR_RESTART;
        r = r == ERR_RESTART ? 0 : r;
        add(part, id);
    }
    part->looked = id;
    if (r != 0 && (r != ERR_FULL || part->n == 0)) {
        return r;
    }
    return renewed ? ERR_RESTART : 0;
}

static int prepare(struct part *part)
{
    bool begun = part->initial->begun;
    int r;

    do {
        r = begun ? 0 : begin(part);
        if (r == 0) {
            r = find(part);
        }
    } while (r == ERR_RESTART);
    part->initial->begun = begun || r == 0;
    return r;
}

/* ---- what has changed of what was told ---- */

static bool was_told(const struct watch_initial *initial,
                     const struct event *event)
{
    struct ulid id;

    if (event->type.n == 0 || event->ns_id < initial->next_ns ||
        event->ns_id >= initial->end_ns) {
        return true;
    }
    if (event->ns_id > initial->next_ns || !initial->in_ns) {
        return false;
    }
    int order =
        str_compare(event->type, (struct str){initial->type, initial->type_n});
    if (order != 0) {
        return order < 0;
    }
    return ulid_parse(event->id, &id) == 0 &&
           ulid_compare(id, initial->id) <= 0;
}

static void spend(struct part *part, uint64_t bytes)
{
    part->left = part->left > bytes ? part->left - bytes : 0;
}

static int tell_change(struct part *part, uint64_t revision, struct str text)
{
    struct event event;

    event_read(text, &event);
    if (event.op == EVENT_RESTORE) {
        return ERR_NOT_FOUND;
    }
    part->initial->revision = revision;
    spend(part, text.n);
    if (watch_wants(part->spec, &event) && was_told(part->initial, &event)) {
        part->func(part->user, &event);
    }
    return 0;
}

static int tell_changes(struct part *part)
{
    const struct store_meta *meta = store_meta(part->txn);
    struct watch_initial *initial = part->initial;
    struct str text;
    uint64_t revision;
    int r = 0;

    if (!watch_reaches(meta, initial->revision)) {
        return ERR_NOT_FOUND;
    }
    while (r == 0 && part->left > 0 && initial->revision < meta->revision) {
        r = store_event_next(part->txn, initial->revision, &revision, &text);
        if (r == ERR_END) {
            initial->revision = meta->revision;
            return 0;
        }
        if (r == 0) {
            r = tell_change(part, revision, text);
        }
    }
    return r;
}

/* ---- rows ---- */

static void tell_row(struct part *part, const struct place *place,
                     struct str type, struct ulid id, struct str row)
{
    struct event_head head = {.op = "put",
                              .ns = {place->path, place->path_n},
                              .ns_id = place->id,
                              .cause = "initial"};
    struct str fields;
    struct event event;
    struct ulid row_id;

    row_split(row, &row_id, &head.revision, NULL, &fields);
    buf_clear(&part->text);
    event_write_row(&part->text, &head, type, id, row, STR_NONE);
    event_write_end(&part->text);
    event_read(buf_str(&part->text), &event);
    if (watch_wants(part->spec, &event)) {
        part->func(part->user, &event);
    }
}

static void remember(struct watch_initial *initial, struct str type,
                     struct ulid id)
{
    initial->in_ns = true;
    initial->type_n = (uint8_t)type.n;
    memmove(initial->type, type.p, type.n);
    initial->id = id;
}

/* Answers: FULL (enough for now). */
static int tell_list(struct part *part, const struct place *place,
                     struct str type, const struct ulid *after)
{
    struct ulid id, last;
    struct str row;
    int r;

    while ((r = store_row_next(part->txn, place->id, type, after, &id, &row)) ==
           0) {
        if (part->left == 0) {
            return ERR_FULL;
        }
        tell_row(part, place, type, id, row);
        spend(part, row.n);
        remember(part->initial, type, id);
        last = id;
        after = &last;
    }
    return r == ERR_END ? 0 : r;
}

static int tell_all_lists(struct part *part, const struct place *place,
                          struct str after)
{
    struct store_list list;
    struct str type;
    int r = 0;

    while (r == 0 && (r = store_list_next(part->txn, place->id, after, &type,
                                          &list)) == 0) {
        after = type;
        r = list.count > 0 ? tell_list(part, place, type, NULL) : 0;
    }
    return r == ERR_END ? 0 : r;
}

static int tell_ns(struct part *part, const struct place *place)
{
    struct watch_initial *initial = part->initial;
    struct str wanted = part->spec->type;
    char begun[sizeof initial->type];

    if (!initial->in_ns) {
        return wanted.n > 0 ? tell_list(part, place, wanted, NULL)
                            : tell_all_lists(part, place, STR_NONE);
    }
    struct str type = {begun, initial->type_n};
    struct ulid after = initial->id;
    memcpy(begun, initial->type, type.n);
    int r = tell_list(part, place, type, &after);
    return r != 0 || wanted.n > 0 ? r : tell_all_lists(part, place, type);
}

static int tell_rows(struct part *part)
{
    struct watch_initial *initial = part->initial;

    for (size_t i = 0; i < part->n; i++) {
        const struct place *place = &part->found[i];
        initial->in_ns = initial->in_ns && initial->next_ns == place->id;
        initial->next_ns = place->id;
        int r = tell_ns(part, place);
        if (r != 0) {
            return r == ERR_FULL ? 0 : r;
        }
        initial->in_ns = false;
        initial->next_ns = place->id + 1;
    }
    initial->in_ns = false;
    initial->next_ns = part->looked;
    return 0;
}

static int read_part(struct part *part, bool *ret_end)
{
    struct watch_initial *initial = part->initial;

    int r = prepare(part);
    if (r == 0) {
        r = tell_changes(part);
    }
    if (r == 0 && part->left > 0) {
        r = tell_rows(part);
    }
    *ret_end = r == 0 && initial->next_ns >= initial->end_ns &&
               initial->revision == store_meta(part->txn)->revision;
    return r;
}

int watch_initial_read(struct store_reader *reader,
                       const struct watch_spec *spec,
                       struct watch_initial *io_initial, uint64_t most_bytes,
                       watch_read_func *func, void *user, bool *ret_end)
{
    struct part part = {.spec = spec,
                        .initial = io_initial,
                        .left = most_bytes,
                        .func = func,
                        .user = user};

    int r = store_read_begin(reader, &part.txn);
    if (r != 0) {
        return r;
    }
    r = read_part(&part, ret_end);
    store_read_end(part.txn);
    buf_done(&part.path);
    buf_done(&part.text);
    return r;
}
