/* The mark that a webhook has in the state, for who sends. */
#ifndef MACHINE_WEBHOOK_H
#define MACHINE_WEBHOOK_H

#include "base/mem.h"
#include "command/command.h"
#include "model/ulid.h"

#define WEBHOOK_TYPE "webhook"
#define WEBHOOK_LEVEL 2U /* of features, from which on there are marks */

enum { WEBHOOK_NAME = 24, WEBHOOK_RECORD = 18 };

/* ns 0: it is none, but says that rows without marks have to be looked for. */
struct webhook_mark {
    uint64_t ns;
    struct ulid id;
    uint64_t cursor;
    enum hook_state state;
    uint64_t since_ms;
};

/* In `ret_name`. */
struct str webhook_mark_name(uint64_t ns, struct ulid id,
                             char ret_name[WEBHOOK_NAME]);
void webhook_mark_read(struct str name, struct str record,
                       struct webhook_mark *ret_mark);

#endif
