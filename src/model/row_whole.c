/* Whole rows: what the server adds, and the fields behind it. */
#include <assert.h>

#include "base/err.h"
#include "model/row.h"
#include "model/row_walk.h"

static const char open_id[] = "{\"_id\":\"";
static const char open_maintenance[] = "\",\"_maintenance\":\"";
static const char open_rev[] = "\",\"_rev\":";
static const char open_status[] = ",\"_status\":\"";

enum {
    AT_ID = sizeof open_id - 1,
    BEHIND_ID = AT_ID + ULID_TEXT,
    AT_REV = BEHIND_ID + sizeof open_rev - 1,
    STATUS_N = sizeof open_status - 1,
    MAINTENANCE_N = sizeof open_maintenance - 1,
    REV_DIGITS_MAX = 16, /* of a number below 2^53 */
};
/* The widest revision counts always: whether a row is too large must not
 * depend on when it was written. The two are ',' and '}'. */
_Static_assert(ROW_FIELDS_MAX == ROW_BYTES_MAX - AT_REV - REV_DIGITS_MAX - 2,
               "a row of the largest fields is not the largest row");

static void open_row(struct buf *buf, struct ulid id, uint64_t revision,
                     const struct row_server *server)
{
    char text[ULID_TEXT];

    ulid_format(id, text);
    buf_add(buf, open_id, sizeof open_id - 1);
    buf_add(buf, text, sizeof text);
    if (server != NULL && server->maintenance.n > 0) {
        buf_add(buf, open_maintenance, MAINTENANCE_N);
        buf_add_str(buf, server->maintenance);
    }
    buf_add(buf, open_rev, sizeof open_rev - 1);
    buf_add_u64(buf, revision);
    if (server != NULL && server->status.n > 0) {
        buf_add(buf, open_status, STATUS_N);
        buf_add_str(buf, server->status);
        buf_add_char(buf, '"');
    }
}

size_t row_server_bytes(const struct row_server *server)
{
    size_t n = 0;

    if (server->maintenance.n > 0) {
        n += MAINTENANCE_N + server->maintenance.n;
    }
    if (server->status.n > 0) {
        n += STATUS_N + server->status.n + 1;
    }
    return n;
}

struct str row_server_get(const struct row_server *server, struct str name)
{
    return str_is(name, "_maintenance") ? server->maintenance
           : str_is(name, "_status")    ? server->status
                                        : STR("");
}

bool row_server_equal(const struct row_server *a, const struct row_server *b)
{
    return str_equal(a->maintenance, b->maintenance) &&
           str_equal(a->status, b->status);
}

void row_write(struct buf *buf, struct ulid id, uint64_t revision,
               const struct row_server *server, struct str fields)
{
    size_t n = server == NULL ? 0 : row_server_bytes(server);

    buf_reserve(buf, ROW_BYTES_MAX - ROW_FIELDS_MAX + n + fields.n);
    open_row(buf, id, revision, server);
    if (fields.n > 0) {
        buf_add_char(buf, ',');
        buf_add_str(buf, fields);
    }
    buf_add_char(buf, '}');
}

/* Whether this stands at `at`. A client's field of the same name cannot: it
 * would not begin with '_'. */
static bool stands_at(struct str row, size_t at, const char *text, size_t n)
{
    return row.n - at > n && memcmp(row.p + at, text, n) == 0;
}

static size_t take_digits(struct str row, size_t at, uint64_t *ret_revision)
{
    size_t end = at;

    while (row.p[end] >= '0' && row.p[end] <= '9') {
        end++;
    }
    int r = str_number((struct str){row.p + at, end - at}, UINT64_MAX,
                       ret_revision);
    assert(r == 0);
    return end;
}

void row_split(struct str row, struct ulid *ret_id, uint64_t *ret_revision,
               struct row_server *ret_server, struct str *ret_fields)
{
    struct row_server server = {{0}, {0}};
    size_t at = BEHIND_ID;

    assert(row.n > AT_REV && row.p[row.n - 1] == '}');
    int r = ulid_parse((struct str){row.p + AT_ID, ULID_TEXT}, ret_id);
    assert(r == 0);
    if (stands_at(row, at, open_maintenance, MAINTENANCE_N)) {
        at += MAINTENANCE_N - 1;
        server.maintenance = row_take_string(row, &at);
        at--; /* Its closing quote begins what comes. */
    }
    at = take_digits(row, at + sizeof open_rev - 1, ret_revision);
    if (stands_at(row, at, open_status, STATUS_N)) {
        at += STATUS_N - 1;
        server.status = row_take_string(row, &at);
    }
    at += row.p[at] == ',';
    *ret_fields = (struct str){row.p + at, row.n - 1 - at};
    if (ret_server != NULL) {
        *ret_server = server;
    }
}
