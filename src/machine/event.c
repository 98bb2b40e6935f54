#include "base/err.h"
#include "machine/apply.h"

static void add_head(struct apply *a, struct buf *out, uint64_t revision,
                     const char *op, uint64_t ns, struct str path)
{
    buf_add_text(out, "{\"revision\":");
    buf_add_u64(out, revision);
    buf_printf(out, ",\"op\":\"%s\",\"ns\":\"%.*s\",\"ns_id\":", op,
               STR_ARG(path));
    buf_add_u64(out, ns);
    buf_printf(out, ",\"cause\":\"%s\"", a->cause);
}

static int keep(struct apply *a, uint64_t revision, struct buf *event)
{
    buf_add_char(event, '}');
    int r = store_event_put(a->txn, revision, buf_str(event));
    if (r == 0) {
        apply_event(a, buf_str(event));
    }
    buf_done(event);
    return r;
}

int event_row(struct apply *a, uint64_t revision, const char *op, uint64_t ns,
              struct str type, struct ulid id, struct str row)
{
    struct str path;
    struct buf event = {0};
    char text[ULID_TEXT];

    int r = apply_path(a, ns, &path);
    if (r != 0) {
        return r;
    }
    ulid_format(id, text);
    buf_reserve(&event, row.n + 512);
    add_head(a, &event, revision, op, ns, path);
    buf_printf(&event, ",\"type\":\"%.*s\",\"id\":\"%.*s\",\"resource\":",
               STR_ARG(type), ULID_TEXT, text);
    buf_add_str(&event, row);
    return keep(a, revision, &event);
}

/* All that was is void: of what is now there is no event each. */
int event_restore(struct apply *a, uint64_t revision)
{
    struct str path;
    struct buf event = {0};

    int r = apply_path(a, STORE_ROOT, &path);
    if (r != 0) {
        return r;
    }
    add_head(a, &event, revision, "restore", STORE_ROOT, path);
    return keep(a, revision, &event);
}

int event_ns(struct apply *a, uint64_t revision, const char *op,
             const struct store_node *node, struct str path,
             struct str old_path)
{
    struct buf event = {0};

    add_head(a, &event, revision, op, node->id, path);
    buf_printf(&event, ",\"kind\":\"%s\"",
               node->kind == STORE_LEAF ? "leaf" : "branch");
    if (old_path.n > 0) {
        buf_printf(&event, ",\"old\":\"%.*s\"", STR_ARG(old_path));
    }
    return keep(a, revision, &event);
}
