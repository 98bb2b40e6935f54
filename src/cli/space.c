/* One ns-put: made, or brought to what the line says. Another connection may be
 * making a namespace above it at the same moment; both find the same in the
 * end. */
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/sending.h"

/* Without an Idempotency-Key: the server holds so many and no more, and what is
 * made twice is found there the second time. */
static enum roster_result request(struct worker *worker, const char *method,
                                  const char *path, const json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    struct roster_request request = {.method = method,
                                     .path = path,
                                     .body = text,
                                     .body_size = strlen(text),
                                     .repeat = ROSTER_REPEAT_SAFE};
    struct roster_response response = {0};
    enum roster_result result =
        roster_send(worker->roster, &request, &response);

    roster_response_done(&response);
    free(text);
    return result;
}

static bool is_status(const struct worker *worker, enum roster_result result,
                      int status)
{
    return result == ROSTER_REFUSED &&
           roster_error(worker->roster)->status == status;
}

static enum roster_result make(struct worker *worker, const char *ns,
                               const char *kind, const json_t *line);

/* Branches down to here. One that is there already is fine; if it is a leaf,
 * what goes below it will be refused. */
static enum roster_result make_above(struct worker *worker, const char *ns)
{
    enum roster_result result = make(worker, ns, "branch", NULL);

    return is_status(worker, result, 409) ? ROSTER_OK : result;
}

static enum roster_result make(struct worker *worker, const char *ns,
                               const char *kind, const json_t *line)
{
    const char *dot = strchr(ns, '.');
    json_t *body = dot == NULL ? NULL
                               : json_pack("{s:s%, s:s, s:s}", "name", ns,
                                           (size_t)(dot - ns), "parent",
                                           dot + 1, "kind", kind);

    for (int i = 0; line != NULL && i < 2; i++) {
        const char *name = i == 0 ? "match" : "comment";
        json_t *value = json_object_get(line, name);
        if (json_is_string(value)) {
            (void)json_object_set(body, name, value);
        }
    }
    enum roster_result result = request(worker, "POST", "/v1/ns", body);
    if (is_status(worker, result, 404) && dot != NULL &&
        strchr(dot + 1, '.') != NULL) {
        result = make_above(worker, dot + 1);
        if (result == ROSTER_OK) {
            result = request(worker, "POST", "/v1/ns", body);
        }
    }
    json_decref(body);
    return result;
}

/* A member of the line that the node has otherwise. No comment is an empty
 * one. */
static void add_change(json_t *changes, const char *name, const json_t *line,
                       const json_t *node)
{
    json_t *want = json_object_get(line, name);
    const char *wanted = json_string_value(want);
    const char *has = json_string_value(json_object_get(node, name));

    if (want != NULL &&
        strcmp(wanted == NULL ? "" : wanted, has == NULL ? "" : has) != 0) {
        (void)json_object_set(changes, name, want);
    }
}

static bool kind_fits(struct worker *worker, const struct line *line,
                      const json_t *node)
{
    const char *want = json_string_value(json_object_get(line->json, "kind"));
    const char *has = json_string_value(json_object_get(node, "kind"));

    if (want == NULL || has == NULL || strcmp(want, has) == 0) {
        return true;
    }
    struct buf why = {0};
    buf_printf(&why, "%s is there already, as a %s: a kind cannot change",
               line->ns, has);
    sending_fail(worker, line, buf_text(&why));
    buf_done(&why);
    return false;
}

/* It is there: is it the same? When it is not there either, `why` is what
 * making it was refused with; NULL: it was not tried. */
static void adjust(struct worker *worker, const struct line *line,
                   const char *why)
{
    char *path = roster_path("v1", "ns", line->ns, NULL);
    json_t *changes = json_object();
    json_t *node = NULL;
    enum roster_result result = ask_node(worker->roster, line->ns, 0, &node);
    bool good = result != ROSTER_OK || kind_fits(worker, line, node);

    if (result == ROSTER_OK && good) {
        add_change(changes, "match", line->json, node);
        add_change(changes, "comment", line->json, node);
        if (json_object_size(changes) > 0) {
            result = request(worker, "PATCH", path, changes);
        }
    }
    if (result != ROSTER_OK) {
        sending_fail(worker, line, is_status(worker, result, 404) ? why : NULL);
    } else if (good) {
        sending_count(worker, (struct sent){.spaces = 1});
    }
    json_decref(node);
    json_decref(changes);
    free(path);
}

void store_space(struct worker *worker, const struct line *line)
{
    const char *kind = json_string_value(json_object_get(line->json, "kind"));

    if (strchr(line->ns, '.') == NULL) { /* the root */
        adjust(worker, line, NULL);
        return;
    }
    enum roster_result result =
        make(worker, line->ns, kind == NULL ? "leaf" : kind, line->json);
    if (is_status(worker, result, 409)) {
        char *why = mem_text(roster_error(worker->roster)->detail);
        adjust(worker, line, why);
        (void)mem_free(why);
    } else if (result != ROSTER_OK) {
        sending_fail(worker, line, NULL);
    } else {
        sending_count(worker, (struct sent){.spaces = 1});
    }
}
