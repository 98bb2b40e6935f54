#include <assert.h>

#include "base/err.h"
#include "machine/apply.h"

int apply_type(struct apply *a, struct str name, const struct type **ret_type)
{
    struct str text;
    struct json *body;
    struct json_error error;
    struct row_error why;
    struct type *type;

    int r = store_type_get(a->txn, name, &text);
    if (r == ERR_NOT_FOUND) {
        *ret_type = type_default(a->arena, name);
        return 0;
    }
    if (r != 0) {
        return r;
    }
    text = arena_str(a->arena, text);
    if (json_parse(a->arena, text, &body, &error) != 0 ||
        type_read(a->arena, name, body, &type, &why) != 0) {
        return err_raise(ERR_CORRUPT);
    }
    *ret_type = type;
    return 0;
}

int apply_key_field(struct apply *a, struct str type, struct str *ret_field)
{
    const struct type *rules = NULL;

    int r = apply_type(a, type, &rules);
    if (r != 0) {
        return r;
    }
    assert(rules != NULL);
    *ret_field = rules->key.p == NULL ? (struct str){"", 0} : rules->key;
    return 0;
}

int apply_type_put(struct apply *a, const struct command_type_put *c)
{
    struct str old;
    uint64_t put_rev = 0;

    int r = store_type_get(a->txn, c->type, &old);
    if (r < 0) {
        return r;
    }
    if (r == 0 && str_equal(old, c->definition)) {
        a->res->revision = a->meta->types_rev;
        return 0;
    }
    bool is_new = r == ERR_NOT_FOUND;
    r = store_type_put_rev(a->txn, c->type, &put_rev);
    if (r < 0) {
        return r;
    }
    if (put_rev > c->seen_rev || apply_type_touched(a, c->type) > c->seen_rev) {
        return ERR_RETRY; /* Rows came that the leader has not checked. */
    }
    a->res->created = is_new;
    a->meta->types_rev = apply_revision(a);
    r = store_type_put(a->txn, c->type, c->definition);
    return r != 0 ? r : event_type(a, a->meta->types_rev, c->type);
}
