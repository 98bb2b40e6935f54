#include "kit.h"

#include <unistd.h>

#include "model/row.h"

struct str kit_put(struct arena *arena, uint64_t revision, const char *ns,
                   const char *type, const char *fields, const char *was)
{
    const struct event_head head = {.revision = revision,
                                    .op = "put",
                                    .ns = str_of(ns),
                                    .ns_id = 4,
                                    .cause = "api"};
    struct buf row = {0}, out = {0};
    const struct ulid id = {{9}};

    row_write(&row, id, revision, NULL, str_of(fields));
    event_write_row(&out, &head, str_of(type), id, buf_str(&row),
                    was == NULL ? STR_NONE : str_of(was));
    event_write_end(&out);
    buf_done(&row);
    return arena_take(arena, &out);
}

struct str kit_ns(struct arena *arena, uint64_t revision, const char *op,
                  const char *ns, const char *old)
{
    struct buf out = {0};

    buf_printf(&out,
               "{\"revision\":%llu,\"op\":\"%s\",\"ns\":\"%s\",\"ns_id\":4,"
               "\"cause\":\"api\",\"kind\":\"leaf\"",
               (unsigned long long)revision, op, ns);
    if (old != NULL) {
        buf_printf(&out, ",\"old\":\"%s\"", old);
    }
    buf_add_char(&out, '}');
    return arena_take(arena, &out);
}

void kit_store_open(struct kit_store *bed)
{
    (void)snprintf(bed->dir, sizeof bed->dir, "/tmp/roster-watch-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    struct store_config config = {bed->dir, 64U << 20, 8, 8};
    assert_int_equal(store_open(&config, &bed->store), 0);
    assert_int_equal(store_reader_new(bed->store, &bed->reader), 0);
    bed->arena = arena_new();
}

void kit_store_close(struct kit_store *bed)
{
    char command[128];

    bed->reader = store_reader_free(bed->reader);
    bed->store = store_close(bed->store);
    bed->arena = arena_free(bed->arena);
    (void)snprintf(command, sizeof command, "rm -r %s", bed->dir);
    assert_int_equal(system(command), 0);
}
