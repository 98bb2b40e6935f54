/* Files of the audit come from a disk that anybody may have written to. What
 * is no chain is refused or told as torn; nothing else happens. A chain of our
 * own in front makes the input stand behind lines that fit. */
#include "audit/chain.h"
#include "base/err.h"
#include "replay.h"

static void read_back(struct str before, struct str bytes, size_t step)
{
    struct audit_noted noted = {.seq = 3};
    char why[AUDIT_WHY] = "";
    struct chain chain;

    audit_chain_begin(&chain, bytes.n % 2 == 0 ? NULL : &noted);
    int r = audit_chain_feed(&chain, before.p, before.n, why);
    REQUIRE(r == 0);
    for (size_t at = 0; r == 0 && at < bytes.n; at += step) {
        size_t n = bytes.n - at < step ? bytes.n - at : step;
        r = audit_chain_feed(&chain, bytes.p + at, n, why);
    }
    REQUIRE(chain.good <= chain.offset);
    if (r == 0) {
        r = audit_chain_end_file(&chain, true, why);
    }
    if (r == 0) {
        r = audit_chain_end(&chain, why);
    }
    REQUIRE(r == 0 || (r == ERR_INVALID && why[0] != '\0'));
    audit_chain_done(&chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chain_head head = audit_chain_none();
    struct str bytes = {(const char *)data, size};
    struct buf before = {0};

    audit_chain_add(&head, STR("\"op\":\"row put\""), &before);
    audit_chain_add(&head, STR("\"op\":\"row put\""), &before);
    read_back((struct str){"", 0}, bytes, 7);
    read_back(buf_str(&before), bytes, 4096);
    buf_done(&before);
    return 0;
}
