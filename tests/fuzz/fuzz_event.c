/* Takes an event that somebody else wrote. What is called sound can be read:
 * its parts lie inside, its fields can be walked, and somebody may want it. */
#include "model/event.h"
#include "model/row.h"
#include "replay.h"
#include "watch/watch.h"

static void require_inside(struct str whole, struct str part)
{
    REQUIRE(part.n == 0 ||
            (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void require_fields(struct str fields)
{
    struct str key, value;

    for (size_t at = 0; row_next(fields, &at, &key, &value);) {
        require_inside(fields, key);
        require_inside(fields, value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = {(const char *)data, n};
    struct arena *arena = arena_new();
    struct event event;

    if (event_is_sound(arena, text)) {
        const struct watch_spec any = {.ns = STR("r"), .v = STR("1")};
        const struct watch_spec one = {
            .ns = STR("r"), .k = STR("a"), .v = STR("1")};
        event_read(text, &event);
        require_inside(text, event.ns);
        require_inside(text, event.old);
        require_inside(text, event.type);
        require_inside(text, event.id);
        require_fields(event.fields);
        require_fields(event.was);
        (void)watch_wants(&any, &event);
        (void)watch_wants(&one, &event);
    }
    arena = arena_free(arena);
    return 0;
}
