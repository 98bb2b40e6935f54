#include "registry/idem.h"

#include "base/sha256.h"

bool idem_is_key(struct str key)
{
    if (key.n == 0 || key.n > 255) {
        return false;
    }
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] <= 0x20 || key.p[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* Length first: no two lists of parts make the same bytes. */
static void add_part(struct sha256 *hash, struct str part)
{
    uint8_t n[8];

    le_put(n, part.n, sizeof n);
    sha256_add(hash, n, sizeof n);
    sha256_add(hash, part.p, part.n);
}

/* The scope of a key is whose it is: a user's, whatever he shows; else a
 * token's. Without access control it is everybody's. */
static struct str scope_of(struct op_state *s)
{
    const struct access_who *who = s->who;

    if (who->kind == ACCESS_ANYONE) {
        return STR("");
    }
    return who->user.n > 0
               ? arena_printf(s->arena, "user %.*s", STR_ARG(who->user))
           : who->id.n > 0
               ? arena_printf(s->arena, "token %.*s", STR_ARG(who->id))
               : arena_printf(s->arena, "%d %.*s", (int)who->kind,
                              STR_ARG(who->name));
}

void idem_set(struct op_state *s)
{
    const struct op *op = s->op;

    s->command.has_key = op->if_.idempotency_key.p != NULL && !s->binds;
    if (!s->command.has_key) {
        return;
    }
    struct sha256 *hash = sha256_new();
    add_part(hash, scope_of(s));
    add_part(hash, op->if_.idempotency_key);
    (void)sha256_end(hash, s->command.key_hash);

    hash = sha256_new();
    add_part(hash, op->method);
    add_part(hash, op->path);
    add_part(hash, op->query.lease);
    add_part(hash, op->query.recursive ? STR("r") : STR(""));
    add_part(hash, op->body);
    (void)sha256_end(hash, s->command.request_hash);
}
