/* What nodes say about themselves and others, from strangers (calls), from
 * members (frames) and from people (lists): what is taken is written again as
 * it was, and never gets a line or a blank of its own into the file of the
 * peers. The first byte chooses. */
#include "base/err.h"
#include "raft/called.h"
#include "raft/members.h"
#include "replay.h"

/* Same names and addresses. */
static bool same(const struct list *a, const struct list *b)
{
    bool equal = a->n == b->n;

    for (size_t i = 0; equal && i < a->n; i++) {
        equal = strcmp(a->entries[i].id, b->entries[i].id) == 0 &&
                strcmp(a->entries[i].raft, b->entries[i].raft) == 0;
    }
    return equal;
}

static void one_list(struct str text)
{
    struct list list, again;
    char why[LIST_WHY] = "";
    struct buf copy = {0};

    buf_add_str(&copy, text);
    if (list_parse(buf_text(&copy), &list, why) == 0) {
        char *written = list_text(&list);
        REQUIRE(list_parse(written, &again, why) == 0);
        REQUIRE(same(&list, &again));
        mem_free(written);
    } else {
        REQUIRE(why[0] != '\0');
    }
    buf_done(&copy);
}

static void one_first(struct str text)
{
    struct list list, again;

    if (list_parse_first(text, &list) == 0) {
        char *written = list_first_text(&list);
        REQUIRE(list_parse_first(str_of(written), &again) == 0);
        REQUIRE(same(&list, &again));
        mem_free(written);
    }
}

static void one_who(struct str text)
{
    struct who who, again;
    struct buf out = {0};

    if (who_parse(text, &who) == 0) {
        who_write(&who, &out);
        REQUIRE(who_parse(buf_str(&out), &again) == 0);
        REQUIRE(strcmp(who.list, again.list) == 0);
        REQUIRE(who.raft_id == again.raft_id);
    }
    buf_done(&out);
}

static void one_wish(struct str text, uint32_t kind)
{
    struct wish wish = {.kind = kind};
    char why[CORE_WHY] = "";

    int r = wish_parse(text, &wish, why);
    REQUIRE(r == 0 || (r == ERR_INVALID && why[0] != '\0'));
    if (r == 0 && kind == CORE_ASK_JOIN) {
        REQUIRE(list_is_address(wish.who.raft));
    }
}

/* Each line of the file has as many words as it should. */
static void check_file(const struct members *members)
{
    struct buf out = {0};
    size_t blanks = 0, lines = 0;

    known_encode(members, &out);
    for (size_t i = 0; i < out.n; i++) {
        blanks += out.p[i] == ' ';
        lines += out.p[i] == '\n';
    }
    REQUIRE(lines == 1 + members->n_known + members->n_removed);
    REQUIRE(blanks == 1 + 5 * members->n_known + members->n_removed);
    buf_done(&out);
}

static void one_frame(struct str bytes, bool status)
{
    struct core core = {.raft_id = 0};

    core.config.data_dir = "/nonexistent";
    core.config.node_id = "n1";
    members_init(&core);
    int r = status ? members_status_read(&core, 7, bytes)
                   : members_table_read(&core, bytes);
    REQUIRE(r == 0 || r == ERR_INVALID);
    check_file(core.members);
    members_done(&core);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct str rest = {(const char *)bytes + 1, n - 1};
    struct joined joined;

    switch (n == 0 ? UINT8_MAX : bytes[0] % 8) {
    case 0:
        one_list(rest);
        break;
    case 1:
        one_first(rest);
        break;
    case 2:
        one_who(rest);
        break;
    case 3:
        one_wish(rest, CORE_ASK_JOIN);
        break;
    case 4:
        one_wish(rest, CORE_ASK_TRANSFER);
        break;
    case 5:
        REQUIRE(joined_parse(rest, &joined) >= 0);
        break;
    case 6:
        one_frame(rest, false);
        break;
    case 7:
        one_frame(rest, true);
        break;
    default:
        break;
    }
    return 0;
}
