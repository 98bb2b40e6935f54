/* What a machine's files and programs may hold, and whoever writes to them: the
 * first byte chooses the reader, the rest are its lines. Whatever they are, an
 * object of UTF-8 strings comes out that is within a resource's limits, and the
 * same one again. */
#include <stdlib.h>

#include "agent/collect.h"
#include "base/err.h"
#include "base/utf8.h"
#include "replay.h"

enum { READERS = 7, RESOURCE_BYTES_MAX = 256 << 10, RESOURCE_KEYS_MAX = 128 };

static void read_mount(struct sheet *sheet, struct str line)
{
    struct arena *arena = arena_new();
    struct mount mount;

    if (mount_parse(arena, line, &mount) == 0) {
        REQUIRE(mount.point.n <= line.n && mount.source.n > 0);
        sheet_add(sheet, 0, mount.point, mount.source);
    }
    (void)arena_free(arena);
}

static void read_socket(struct sheet *sheet, enum transport transport,
                        struct str line)
{
    struct listener socket;

    if (listener_parse(transport, line, &socket) == 0) {
        REQUIRE(socket.port > 0 && socket.port <= 65535);
        sheet_add(sheet, socket.port, line, line);
    }
}

static void read_line(unsigned reader, struct sheet *sheet, struct dpkg *dpkg,
                      struct str line)
{
    switch (reader) {
    case 0:
        read_mount(sheet, line);
        break;
    case 1:
        read_socket(sheet, TRANSPORT_TCP, line);
        break;
    case 2:
        read_socket(sheet, TRANSPORT_UDP6, line);
        break;
    case 3:
        unit_add(sheet, line);
        unit_file_add(sheet, line);
        break;
    case 4:
        dpkg_line(dpkg, line);
        break;
    case 5:
        rpm_add(sheet, line);
        break;
    default:
        sheet_add(sheet, 0, line, line);
        break;
    }
}

static void read_lines(unsigned reader, struct sheet *sheet, struct str text)
{
    struct dpkg *dpkg = dpkg_new();

    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end == NULL ? text.n : (size_t)(end - text.p);
        read_line(reader, sheet, dpkg, (struct str){text.p, n});
        n += end == NULL ? 0 : 1;
        text = (struct str){text.p + n, text.n - n};
    }
    dpkg_line(dpkg, STR(""));
    dpkg_add(dpkg, sheet);
    (void)dpkg_free(dpkg);
}

static char *dump(struct sheet *sheet)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_t *fields = sheet_json(sheet);

    REQUIRE(json_object_size(fields) < RESOURCE_KEYS_MAX);
    json_object_foreach(fields, name, value)
    {
        REQUIRE(name[0] != '\0' && name[0] != '_');
        REQUIRE(utf8_is_valid(str_of(name)));
        REQUIRE(utf8_is_valid(str_of(json_string_value(value))));
    }
    char *text = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(fields);
    REQUIRE(strlen(text) < RESOURCE_BYTES_MAX - 1024);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0) {
        return 0;
    }
    struct sheet *sheet = sheet_new("thing");
    read_lines(bytes[0] % READERS, sheet,
               (struct str){(const char *)bytes + 1, n - 1});
    char *once = dump(sheet);
    char *again = dump(sheet);
    REQUIRE(strcmp(once, again) == 0);
    free(once);
    free(again);
    (void)sheet_free(sheet);
    return 0;
}
