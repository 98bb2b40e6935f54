#include "raft/voters.h"

struct count {
    size_t voters, alive, gone, ready;
};

static struct count count_all(const struct voter *list, size_t n)
{
    struct count count = {0};

    for (size_t i = 0; i < n; i++) {
        count.voters += list[i].votes ? 1 : 0;
        count.alive += list[i].votes && list[i].alive ? 1 : 0;
        count.gone += list[i].votes && list[i].gone ? 1 : 0;
        count.ready += !list[i].votes && list[i].ready ? 1 : 0;
    }
    return count;
}

static bool is_majority(size_t alive, size_t voters)
{
    return alive > voters / 2;
}

static enum voters_step promote(const struct voter *list,
                                const struct count *count, size_t *ret_at)
{
    size_t at = 0;

    if (count->ready == 0 ||
        !is_majority(count->alive + 1, count->voters + 1)) {
        return VOTERS_STAY;
    }
    while (list[at].votes || !list[at].ready) {
        at++;
    }
    *ret_at = at;
    return VOTERS_PROMOTE;
}

/* The higher, the sooner it goes; 0: it stays. */
static int worth(const struct voter *voter)
{
    if (!voter->votes || voter->leads) {
        return 0;
    }
    return voter->gone ? 3 : !voter->alive ? 2 : 1;
}

static enum voters_step demote(const struct voter *list, size_t n,
                               const struct count *count, size_t *ret_at)
{
    size_t at = 0;

    for (size_t i = 1; i < n; i++) {
        at = worth(&list[i]) >= worth(&list[at]) ? i : at;
    }
    size_t alive = count->alive - (list[at].alive ? 1 : 0);
    if (worth(&list[at]) == 0 || !is_majority(alive, count->voters - 1)) {
        return VOTERS_STAY;
    }
    *ret_at = at;
    return VOTERS_DEMOTE;
}

enum voters_step voters_next(const struct voter *list, size_t n, size_t most,
                             size_t *ret_at)
{
    struct count count = count_all(list, n);

    if (!is_majority(count.alive, count.voters)) {
        return VOTERS_STAY;
    }
    if (count.voters % 2 == 0) {
        if (count.voters > most || count.gone > 0) {
            return demote(list, n, &count, ret_at);
        }
        return promote(list, &count, ret_at);
    }
    bool grows = count.voters + 2 <= most && count.ready >= 2;
    if (grows || count.gone > 0) {
        return promote(list, &count, ret_at);
    }
    return VOTERS_STAY;
}

const char *voters_keep(const struct voter *list, size_t n, size_t at)
{
    struct count count = count_all(list, n);

    if (!list[at].votes) {
        return NULL;
    }
    if (count.voters == 1) {
        return "it is the last voter: let another one become voter first";
    }
    size_t alive = count.alive - (list[at].alive ? 1 : 0);
    if (!is_majority(alive, count.voters - 1)) {
        return "too few of the other voters are alive to go on without it: "
               "bring one back first";
    }
    return NULL;
}
