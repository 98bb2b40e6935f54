/* What the tests of the core loop share: a configuration whose hooks do
 * nothing, a row as a command, a request that is waited for. */
#ifndef TEST_RAFT_KIT_H
#define TEST_RAFT_KIT_H

#include <semaphore.h>

#include "raft/core.h"

/* Of a node in `dir`; the caller sets user, on_lead and what it wants else. */
struct core_config kit_config(const char *dir, struct cache *cache);
/* Appends a command that adds the row "row-<row>" with `pad` bytes beside it.
 */
void kit_row(struct buf *bytes, uint64_t row, size_t pad);
/* Appends one that puts the staged file in the place of the state. */
void kit_encode_restore(struct buf *bytes, const struct core_state_job *staged,
                        uint64_t revision);
/* "127.0.0.1:PORT", a port that is this process' own until it ends. */
void kit_address(char *ret_address, size_t size);

/* What a core without a loop applies to: a store in core->store_dir. */
void kit_open_store(struct core *core, struct cache *cache);

struct kit_call {
    struct core_request request;
    sem_t done;
};

/* Hand a command in. */
void kit_send(struct core *core, struct kit_call *call, struct str command);
/* Wait for it: the outcome, or when that is 0 the answer. Ends the result. */
int kit_hear(struct kit_call *call) MUST_USE;

#endif
