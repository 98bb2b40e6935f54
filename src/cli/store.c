/* Rows as transactions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/print.h"
#include "cli/sending.h"

enum standing { SEND, SAME, MASKED };

/* How many fields only look like a value. Takes them out of `without`, unless
 * that is NULL. */
static size_t masks(const struct worker *worker, const struct line *line,
                    json_t *without)
{
    const char *name = NULL;
    json_t *value = NULL;
    void *next = NULL;
    size_t n = 0;

    json_object_foreach_safe(line->body, next, name, value)
    {
        if (known_is_mask(worker->sender->types, line->type, name, value)) {
            n++;
            if (without != NULL) {
                (void)json_object_del(without, name);
            }
        }
    }
    return n;
}

static const char *key_of(const struct worker *worker, const struct line *line)
{
    const char *field = known_key(worker->sender->types, line->type);

    return field == NULL
               ? NULL
               : json_string_value(json_object_get(line->body, field));
}

static void add_op(const struct worker *worker, const struct line *line,
                   struct buf *out)
{
    const char *key = key_of(worker, line);
    json_t *op = json_pack("{s:s, s:s, s:s, s:O}", "op", "put", "ns", line->ns,
                           "type", line->type, "resource", line->body);

    if (key != NULL) {
        (void)json_object_set_new(op, "id", json_string(key));
    }
    print_add_json(out, op);
    json_decref(op);
}

/* ---- answers ---- */

static uint64_t count_changed(const struct worker *worker,
                              const struct roster_response *response)
{
    json_t *answer =
        json_loadb(response->body, response->body_size, JSON_ALLOW_NUL, NULL);
    uint64_t n = 0;
    size_t i = 0;
    const json_t *result = NULL;

    json_array_foreach(json_object_get(answer, "results"), i, result)
    {
        json_int_t rev = json_integer_value(json_object_get(result, "rev"));
        n += (uint64_t)rev > worker->sender->base ? 1 : 0;
    }
    json_decref(answer);
    return n;
}

/* Which operation is to blame: "do[3].…" or "operation": 3. `n` when the
 * server does not say. */
static size_t blamed(const struct worker *worker,
                     const struct roster_response *response, size_t n)
{
    const char *field = roster_error(worker->roster)->field;
    unsigned long at = n;

    if (strncmp(field, "do[", 3) == 0) {
        at = strtoul(field + 3, NULL, 10);
    } else if (response->body != NULL) {
        json_t *problem = json_loadb(response->body, response->body_size,
                                     JSON_ALLOW_NUL, NULL);
        const json_t *operation = json_object_get(problem, "operation");
        at = json_is_integer(operation)
                 ? (unsigned long)json_integer_value(operation)
                 : n;
        json_decref(problem);
    }
    return at < n ? at : n;
}

/* ---- requests ---- */

static enum roster_result send_lines(struct worker *worker,
                                     struct line *const *lines, size_t n,
                                     size_t *ret_blamed)
{
    struct buf body = {0};
    struct roster_response response = {0};

    /* Rows with a key may be put twice; keys of requests are few. */
    enum roster_repeat repeat = ROSTER_REPEAT_SAFE;

    buf_add_text(&body, "{\"do\":[");
    for (size_t i = 0; i < n; i++) {
        if (key_of(worker, lines[i]) == NULL) {
            repeat = ROSTER_REPEAT_KEYED;
        }
        buf_add_text(&body, i > 0 ? "," : "");
        add_op(worker, lines[i], &body);
    }
    buf_add_text(&body, "]}");
    struct roster_request request = {.method = "POST",
                                     .path = "/v1/txn",
                                     .body = body.p,
                                     .body_size = body.n,
                                     .repeat = repeat};
    enum roster_result result =
        roster_send(worker->roster, &request, &response);
    if (result == ROSTER_OK) {
        sending_count(
            worker, (struct sent){.rows = n,
                                  .changed = count_changed(worker, &response)});
    } else {
        *ret_blamed = blamed(worker, &response, n);
    }
    roster_response_done(&response);
    buf_done(&body);
    return result;
}

/* False when it has failed, and was told. A transaction that is too large for
 * this server goes in halves; one that has a wrong line goes up to that line.
 */
static bool send_all(struct worker *worker, struct line *const *lines, size_t n)
{
    size_t at = n;

    if (n == 0) {
        return true;
    }
    enum roster_result result = send_lines(worker, lines, n, &at);
    if (result == ROSTER_OK) {
        return true;
    }
    if (n > 1 && roster_error(worker->roster)->status == 413) {
        return send_all(worker, lines, n / 2) &&
               send_all(worker, lines + n / 2, n - n / 2);
    }
    sending_fail(worker, lines[at < n ? at : 0], NULL);
    if (at < n) {
        (void)send_all(worker, lines, at);
    } else if (n > 1) {
        ask_say("(or one of the %zu lines behind it that were sent with it)",
                n - 1);
    }
    return false;
}

/* A row with "***": where one of that key is, its secret stays what it is;
 * else the field is left out. The server alone knows which. */
static bool send_masked(struct worker *worker, struct line *line)
{
    size_t at = 0;
    size_t n = masks(worker, line, NULL);
    enum roster_result result = ROSTER_REFUSED;

    if (key_of(worker, line) != NULL) {
        result = send_lines(worker, &line, 1, &at);
        if (result == ROSTER_OK) {
            return true;
        }
        if (result != ROSTER_REFUSED ||
            roster_error(worker->roster)->status != 400) {
            sending_fail(worker, line, NULL);
            return false;
        }
    }
    (void)masks(worker, line, line->body);
    if (json_object_size(line->body) == 0) {
        sending_fail(worker, line, "all its fields are secrets shown as ***");
        return false;
    }
    if (!send_all(worker, &line, 1)) {
        return false;
    }
    sending_count(worker, (struct sent){.masked = n});
    if (!worker->sender->cli->quiet) {
        ask_say("line %llu: stored without what is \"***\" in it: a secret "
                "cannot be read, so it cannot be imported",
                (unsigned long long)line->number);
    }
    return true;
}

/* Is a row equal to the line there, as it is shown, or as it would be stored?
 */
static bool is_there(struct worker *worker, const struct line *line,
                     bool masked, bool *ret_there)
{
    const struct known_types *types = worker->sender->types;
    enum roster_result result =
        known_rows_take(worker->known, types, worker->roster, line->ns,
                        line->type, line->body, ret_there);

    if (result == ROSTER_OK && masked && !*ret_there) {
        json_t *rest = json_copy(line->body);
        (void)masks(worker, line, rest);
        result = known_rows_take(worker->known, types, worker->roster, line->ns,
                                 line->type, rest, ret_there);
        json_decref(rest);
    }
    if (result != ROSTER_OK) {
        sending_fail(worker, line, NULL);
    }
    return result == ROSTER_OK;
}

/* Asked once for each line, in order: it takes an equal row away. */
static bool standing_of(struct worker *worker, const struct line *line,
                        enum standing *ret_standing)
{
    bool masked = masks(worker, line, NULL) > 0;
    bool there = false;

    if (key_of(worker, line) == NULL &&
        !is_there(worker, line, masked, &there)) {
        return false;
    }
    *ret_standing = there ? SAME : masked ? MASKED : SEND;
    return true;
}

void store_rows(struct worker *worker, struct job *job)
{
    struct line *lines[JOB_LINES];
    size_t n = 0;
    bool good = true;

    for (size_t i = 0; good && i < job->n; i++) {
        struct line *line = &job->lines[i];
        enum standing standing = SEND;
        good = standing_of(worker, line, &standing);
        if (good && standing == SAME) {
            sending_count(worker, (struct sent){.rows = 1});
        } else if (good && standing == MASKED) {
            good = send_all(worker, lines, n) && send_masked(worker, line);
            n = 0;
        } else if (good) {
            lines[n++] = line;
        }
    }
    /* What stands before a line that was refused is stored. */
    if (good || roster_error(worker->roster)->result == ROSTER_REFUSED) {
        (void)send_all(worker, lines, n);
    }
}
