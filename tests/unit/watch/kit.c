#include "kit.h"

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
