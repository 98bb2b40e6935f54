#include "registry/cursor.h"

#include "base/err.h"
#include "model/name.h"

static int take_part(struct str *rest, struct str *ret_part)
{
    const char *slash = rest->n == 0 ? NULL : memchr(rest->p, '/', rest->n);

    if (slash == NULL) {
        return ERR_INVALID;
    }
    *ret_part = (struct str){rest->p, (size_t)(slash - rest->p)};
    rest->p = slash + 1;
    rest->n -= ret_part->n + 1;
    return 0;
}

int cursor_parse(struct str text, struct cursor *ret_cursor)
{
    struct cursor cursor = {0};

    if (take_part(&text, &cursor.ns) != 0 ||
        take_part(&text, &cursor.type) != 0 || !name_is_path(cursor.ns) ||
        !name_is_type(cursor.type) || ulid_parse(text, &cursor.id) != 0) {
        return ERR_INVALID;
    }
    *ret_cursor = cursor;
    return 0;
}

void cursor_write(struct buf *out, const struct cursor *cursor)
{
    char id[ULID_TEXT];

    ulid_format(cursor->id, id);
    buf_add_str(out, cursor->ns);
    buf_add_char(out, '/');
    buf_add_str(out, cursor->type);
    buf_add_char(out, '/');
    buf_add(out, id, sizeof id);
}
