/* A log entry may hold anything after damage or from a stranger: no byte
 * sequence makes the decoders crash or read beyond it, and what they take is
 * the one form: encode(decode(x)) == x. */
#include "base/err.h"
#include "command/command.h"
#include "replay.h"

static void one_command(struct arena *arena, struct str bytes)
{
    struct command command;
    struct buf again = {0};

    int r = command_decode(arena, bytes, &command);
    REQUIRE(r == 0 || r == ERR_INVALID);
    if (r != 0) {
        return;
    }
    command_encode(&again, &command);
    REQUIRE(str_equal(buf_str(&again), bytes));
    (void)command_shrinks(command.kind);
    REQUIRE(!str_is(str_of(command_name(command.kind)), "unknown"));
    buf_done(&again);
}

/* What a walk gave, packed again, is what it was: commands, count, clock, nonce
 * and the size with its padding. */
static void one_pack(struct arena *arena, struct str bytes)
{
    struct command_pack pack;
    struct buf again = {0};
    struct str command;

    int r = command_pack_open(bytes, &pack);
    REQUIRE(r == 0 || r == ERR_INVALID);
    if (r != 0) {
        return;
    }
    command_pack_begin(&again, pack.time_ms, pack.nonce);
    while ((r = command_pack_next(&pack, &command)) == 0) {
        one_command(arena, command);
        command_pack_add(&again, command);
    }
    REQUIRE(r == ERR_END || r == ERR_INVALID);
    if (r == ERR_END) {
        REQUIRE(again.n <= bytes.n);
        REQUIRE(str_equal(buf_str(&again), (struct str){bytes.p, again.n}));
        command_pack_end(&again);
        REQUIRE(again.n % 8 == 0);
    }
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct str bytes = {(const char *)data, size};

    struct command_restore restore;

    one_command(arena, bytes);
    one_pack(arena, bytes);
    if (command_pack_restores(bytes, &restore)) {
        REQUIRE(restore.file.n < size);
    }
    arena_free(arena);
    return 0;
}
