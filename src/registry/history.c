/* How long what changed is remembered: a setting in the log. */
#include "registry/answer.h"
#include "registry/body.h"

#define CHANGES_LEAST 1000U
#define CHANGES_MOST 100000000U
#define BYTES_MOST (UINT64_C(1) << 40)

static int read_history(struct op_state *s, struct store_txn *txn, void *user)
{
    const struct store_meta *meta = store_meta(txn);
    struct buf *out = user;

    (void)s;
    buf_clear(out);
    buf_printf(out,
               "{\"changes\":%llu,\"bytes\":%llu,\"held\":%llu,\"first\":%llu,"
               "\"last\":%llu}",
               (unsigned long long)meta->history_limit,
               (unsigned long long)meta->history_least_bytes,
               (unsigned long long)meta->history_n,
               (unsigned long long)meta->history_first,
               (unsigned long long)meta->revision);
    return 0;
}

int history_get(struct op_state *s)
{
    struct buf out = {0};

    int r = snapshot_run(s, read_history, &out);
    if (r != 0) {
        buf_done(&out);
        return r;
    }
    return answer_ok(s, &out);
}

static int read_number(struct op_state *s, const struct json *object,
                       const char *name, uint64_t least, uint64_t most,
                       uint64_t *number)
{
    const struct json *member = json_get(object, name);

    if (member == NULL) {
        return 0;
    }
    if (json_u64(member, number) == 0 && *number >= least && *number <= most) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, str_of(name),
                          "%s is a number from %llu to %llu", name,
                          (unsigned long long)least, (unsigned long long)most);
}

int history_put(struct op_state *s)
{
    static const char *const names[] = {"changes", "bytes", NULL};
    struct command_history history = {0};
    struct json *body = NULL;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = read_number(s, body, "changes", CHANGES_LEAST, CHANGES_MOST,
                        &history.events);
    }
    if (r == 0) {
        r = read_number(s, body, "bytes", 0, BYTES_MOST, &history.bytes);
    }
    if (r != 0) {
        return r;
    }
    if (history.events == 0) {
        return answer_problem(s, OP_BAD_REQUEST, STR("changes"),
                              "changes is missing: say how many are to be "
                              "remembered, as in {\"changes\":100000}");
    }
    if (core_feature_level(s->registry->core) < MACHINE_FEATURE_CHANGES) {
        return answer_busy(s, "some nodes are of a release that cannot do this "
                              "yet");
    }
    s->command = (struct command){.kind = COMMAND_HISTORY, .history = history};
    return 0;
}

int history_finish(struct op_state *s, struct machine_result *result)
{
    (void)result;
    return history_get(s);
}
