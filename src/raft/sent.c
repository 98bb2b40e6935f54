/* Requests of ours that may be in a log, this node's or a leader's.
 *
 * Each carries an id: 8 bytes that this process drew at its start, and a
 * number. Whatever the way it took, the entry that it is in is applied here,
 * too, and there it is recognised: that is its outcome. So nobody has to answer
 * for it, and when a leader is lost nobody has to guess:
 *
 *   a request was taken in one term only, for who takes it looks at the term it
 *   was sent in. An EPOCH is the first command of a leadership. When one of a
 *   later term is committed, each entry of the earlier term is before it or in
 *   no log that will ever count (Raft's leader completeness). So a request of
 * an earlier term that was not seen before it is surely not done, and is sent
 *   again.
 *
 * Within a term, a link that broke may have brought it to the leader or not:
 * see sent_lost. When the state was replaced by another node's the entries in
 * between were never applied here: then nothing is known.
 *
 * Each attempt has a number of its own. What is said of an earlier one may come
 * late, and must not be taken for what became of this one. */
#include "base/clock.h"
#include "base/err.h"
#include "raft/inside.h"

void sent_init(struct core *core)
{
    core->told_end = &core->told;
    core->session = chance_u64();
}

/* A file that a RESTORE names must not go while one may be in a log. */
static void keep_file(struct core *core, const struct core_request *request,
                      bool sent)
{
    if (command_is(request->command, COMMAND_RESTORE)) {
        staged_sent(core, request->command, sent);
    }
}

void sent_add(struct core *core, struct core_request *request, uint64_t term,
              uint64_t link)
{
    request->seq = ++core->next_seq;
    struct queue_link **bucket = &core->sent[request->seq % SENT_BUCKETS];

    keep_file(core, request, true);
    request->term = term;
    request->link_id = link;
    request->index = 0;
    request->link.next = *bucket;
    *bucket = &request->link;
    core->n_sent++;
}

static struct queue_link **find(struct core *core, uint64_t seq)
{
    struct queue_link **at = &core->sent[seq % SENT_BUCKETS];

    while (*at != NULL && request_of(*at)->seq != seq) {
        at = &(*at)->next;
    }
    return at;
}

static struct core_request *take(struct core *core, struct queue_link **at)
{
    struct core_request *request = request_of(*at);

    *at = request->link.next;
    request->link.next = NULL;
    core->n_sent--;
    return request;
}

struct core_request *sent_take_refused(struct core *core, uint64_t seq,
                                       uint64_t link)
{
    struct queue_link **at = find(core, seq);

    /* Nobody but who got it may say so, and not of what is in the log. */
    if (*at == NULL || request_of(*at)->index != 0 ||
        request_of(*at)->link_id != link) {
        return NULL;
    }
    struct core_request *request = take(core, at);
    keep_file(core, request, false);
    return request;
}

void sent_write_id(const struct core *core, const struct core_request *request,
                   char *command)
{
    le_put(command + COMMAND_REQUEST_AT, core->session, 8);
    le_put(command + COMMAND_REQUEST_AT + 8, request->seq, 8);
}

/* ---- an entry is applied ---- */

static struct core_request *whose(struct core *core, struct str command)
{
    if (command.n < COMMAND_REQUEST_AT + COMMAND_REQUEST_BYTES ||
        le_get(command.p + COMMAND_REQUEST_AT, 8) != core->session) {
        return NULL;
    }
    struct queue_link **at =
        find(core, le_get(command.p + COMMAND_REQUEST_AT + 8, 8));
    return *at == NULL ? NULL : request_of(*at);
}

static uint64_t term_of(struct str bytes)
{
    struct command command;

    return command_is(bytes, COMMAND_EPOCH) &&
                   command_decode(NULL, bytes, &command) == 0
               ? command.epoch.term
               : 0;
}

static struct told *told_new(uint64_t index, size_t n)
{
    struct told *told = mem_zero(sizeof *told);

    told->index = index;
    told->n = n;
    told->results = mem_zero((n + 1) * sizeof *told->results);
    told->whose = mem_zero((n + 1) * sizeof(struct core_request *));
    return told;
}

static struct told *told_free(struct told *told)
{
    for (size_t i = 0; i < told->n; i++) {
        machine_result_done(&told->results[i]);
    }
    mem_free(told->results);
    mem_free(told->whose);
    return mem_free(told);
}

/* Whether there is anything in it for us. */
static bool look(struct core *core, struct str bytes, struct told *told)
{
    struct command_pack pack;
    struct str command;
    bool ours = false;

    if (command_pack_open(bytes, &pack) != 0) {
        return false;
    }
    for (size_t i = 0; i < told->n && command_pack_next(&pack, &command) == 0;
         i++) {
        uint64_t term = term_of(command);
        told->whose[i] = whose(core, command);
        if (told->whose[i] != NULL) {
            told->whose[i]->index = told->index;
        }
        told->epoch_term = term > told->epoch_term ? term : told->epoch_term;
        ours = ours || term != 0 || told->whose[i] != NULL;
    }
    return ours;
}

static struct told *known(struct core *core, uint64_t index)
{
    struct told *told = core->told;

    while (told != NULL && told->index != index) {
        told = told->next;
    }
    return told;
}

struct machine_result *sent_expect(struct core *core, uint64_t index,
                                   struct str bytes)
{
    struct command_pack pack;

    /* What it did came with a state, or is committed: its results stand. */
    if (index <= machine_view(core->machine).applied) {
        return NULL;
    }
    struct told *told = known(core, index);
    if (told != NULL) { /* Applied again: what was found is void. */
        for (size_t i = 0; i < told->n; i++) {
            machine_result_done(&told->results[i]);
            told->results[i] = (struct machine_result){0};
        }
        return told->results;
    }
    if (command_pack_open(bytes, &pack) != 0) {
        return NULL;
    }
    told = told_new(index, pack.n);
    if (!look(core, bytes, told)) {
        told_free(told);
        return NULL;
    }
    *core->told_end = told;
    core->told_end = &told->next;
    return told->results;
}

struct machine_result *sent_results(struct core *core, uint64_t index)
{
    struct told *told = known(core, index);
    return told == NULL ? NULL : told->results;
}

/* ---- what became of them ---- */

static void tell(struct core *core, struct told *told)
{
    for (size_t i = 0; i < told->n; i++) {
        struct core_request *request = told->whose[i];
        if (request == NULL) {
            continue;
        }
        (void)take(core, find(core, request->seq));
        request->result = told->results[i];
        told->results[i] = (struct machine_result){0};
        keep_file(core, request, false);
        order_complete(core, request, 0);
    }
}

/* Those that `lost` says of go back to where they came from; the oldest first,
 * as far as numbers tell. */
static void again(struct core *core,
                  bool (*lost)(const struct core_request *, const void *),
                  const void *user)
{
    for (size_t i = 0; core->n_sent > 0 && i < SENT_BUCKETS; i++) {
        struct queue_link **at = &core->sent[i];
        while (*at != NULL) {
            struct core_request *request = request_of(*at);
            if (request->index != 0 || !lost(request, user)) {
                at = &request->link.next;
                continue;
            }
            (void)take(core, at);
            keep_file(core, request, false);
            request->term = 0;
            if (request->local) {
                order_complete(core, request, ERR_NOT_READY);
            } else {
                COUNT(core, resent, 1);
                order_wait(core, request);
            }
        }
    }
}

static bool is_earlier(const struct core_request *request, const void *user)
{
    const uint64_t *term = user;
    return request->term < *term;
}

void sent_tell(struct core *core)
{
    uint64_t applied = machine_view(core->machine).applied;

    while (core->told != NULL && core->told->index <= applied) {
        struct told *told = core->told;
        uint64_t term = told->epoch_term;
        core->told = told->next;
        if (core->told == NULL) {
            core->told_end = &core->told;
        }
        tell(core, told);
        told_free(told);
        if (term > core->epoch_term) {
            core->epoch_term = term;
            again(core, is_earlier, &term);
        }
    }
}

struct link_of {
    uint64_t term, link;
};

static bool is_of_older_link(const struct core_request *request,
                             const void *user)
{
    const struct link_of *link = user;
    return request->term == link->term && request->link_id != 0 &&
           request->link_id < link->link;
}

void sent_lost(struct core *core, uint64_t term, uint64_t link)
{
    again(core, is_of_older_link, &(struct link_of){term, link});
}

/* The newest pack: all of ours of this term that are not in the log. */
void sent_refused(struct core *core, uint64_t term, int outcome)
{
    for (size_t i = 0; core->n_sent > 0 && i < SENT_BUCKETS; i++) {
        struct queue_link **at = &core->sent[i];
        while (*at != NULL) {
            struct core_request *request = request_of(*at);
            if (request->index != 0 || request->term != term ||
                request->link_id != 0) {
                at = &request->link.next;
                continue;
            }
            (void)take(core, at);
            keep_file(core, request, false);
            request->term = 0;
            if (outcome == ERR_NOT_READY && !request->local) {
                order_wait(core, request);
            } else {
                order_complete(core, request, outcome);
            }
        }
    }
}

/* A command of an earlier leadership of this node: who leads anew waits for no
 * other's epoch. */
static bool is_of_the_past(const struct core *core,
                           const struct core_request *request)
{
    return request->local && request->term < core->raft.current_term &&
           clock_mono_us() - request->since_us > ELECTION_MS * 1000ULL;
}

/* Except those whose entry waits to be committed. */
static void unknown(struct core *core, uint64_t before_ms)
{
    for (size_t i = 0; core->n_sent > 0 && i < SENT_BUCKETS; i++) {
        struct queue_link **at = &core->sent[i];
        while (*at != NULL) {
            struct core_request *request = request_of(*at);
            if (request->index != 0 || (request->since_us / 1000 > before_ms &&
                                        !is_of_the_past(core, request))) {
                at = &request->link.next;
                continue;
            }
            order_complete(core, take(core, at), ERR_UNKNOWN);
        }
    }
}

void sent_tick(struct core *core, uint64_t now_ms)
{
    uint64_t hold = core->stopping ? 0 : CORE_HOLD_MS;

    unknown(core, now_ms >= core->usable_ms + hold ? now_ms - hold : 0);
}

void sent_passed(struct core *core)
{
    unknown(core, UINT64_MAX);
}

void sent_forget(struct core *core)
{
    while (core->told != NULL) {
        struct told *told = core->told;
        core->told = told->next;
        for (size_t i = 0; i < told->n; i++) {
            if (told->whose[i] != NULL) {
                told->whose[i]->index = 0;
            }
        }
        told_free(told);
    }
    core->told_end = &core->told;
    unknown(core, UINT64_MAX);
}

void sent_done(struct core *core)
{
    sent_forget(core);
}
