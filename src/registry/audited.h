/* What the audit is told: each change, each reading of the whole state, and
 * each denial, when it is over, whatever verb it was. Private to the room. */
#ifndef REGISTRY_AUDITED_H
#define REGISTRY_AUDITED_H

#include "registry/room.h"

struct audited; /* opaque */

struct audited *audited_new(void) MUST_USE;
struct audited *audited_free(struct audited *audited);

/* Whether there is a line of it, however it ends. */
bool audited_is_kept(const struct op *op);
/* The op has its answer, which has not been sent. */
void audited_end(struct op_state *s);
/* Nobody will be told how it ended: who asked is gone. It may have been done
 * all the same. */
void audited_given_up(struct op_state *s);
void audited_metrics(struct registry *registry, struct buf *out);

/* ---- audited_about.c ---- */
/* What else the op names, of what its body says; never a value of a field of a
 * resource, and no secret. In the op's arena. */
struct str audited_about(struct op_state *s);
/* A text without what may be the secret of a token in it. */
struct str audited_masked(struct arena *arena, struct str text);

#endif
