/* Idempotency keys: what a repeated request is known by. */
#ifndef REGISTRY_IDEM_H
#define REGISTRY_IDEM_H

#include "registry/room.h"

/* 1 to 255 visible ASCII characters. */
bool idem_is_key(struct str key);
/* Sets has_key and both hashes of s->command when the op has a key. */
void idem_set(struct op_state *s);

#endif
