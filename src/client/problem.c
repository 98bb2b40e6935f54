#include "client/problem.h"

#include <jansson.h>

enum { FOREIGN_TEXT = 200 };

static void put(char **target, const char *text)
{
    (void)mem_free(*target);
    *target = mem_text(text == NULL ? "" : text);
}

void problem_init(struct roster_error *error)
{
    *error = (struct roster_error){0};
    problem_set(error, ROSTER_OK, "", "");
}

void problem_done(struct roster_error *error)
{
    (void)mem_free(error->title);
    (void)mem_free(error->detail);
    (void)mem_free(error->field);
    (void)mem_free(error->ns);
    *error = (struct roster_error){0};
}

void problem_set(struct roster_error *error, enum roster_result result,
                 const char *title, const char *detail)
{
    error->result = result;
    error->status = 0;
    put(&error->title, title);
    put(&error->detail, detail);
    put(&error->field, "");
    put(&error->ns, "");
}

/* Not from a roster server (a proxy's page, another service on the port): its
 * first line, so that a person sees who spoke. */
static void read_foreign(struct roster_error *error,
                         const struct roster_response *response)
{
    struct buf detail = {0};
    size_t n = strcspn(response->body, "\r\n");

    buf_printf(&detail, "HTTP status %d", response->status);
    if (n > 0) {
        buf_printf(&detail, ": %.*s",
                   (int)(n < FOREIGN_TEXT ? n : FOREIGN_TEXT), response->body);
    }
    put(&error->detail, buf_text(&detail));
    buf_done(&detail);
}

void problem_read(struct roster_error *error,
                  const struct roster_response *response)
{
    json_t *root = json_loadb(response->body, response->body_size,
                              JSON_REJECT_DUPLICATES, NULL);
    const char *detail = json_string_value(json_object_get(root, "detail"));

    error->status = response->status;
    put(&error->title, json_string_value(json_object_get(root, "title")));
    put(&error->field, json_string_value(json_object_get(root, "field")));
    put(&error->ns, json_string_value(json_object_get(root, "ns")));
    if (detail != NULL && detail[0] != '\0') {
        put(&error->detail, detail);
    } else if (error->title[0] != '\0') {
        put(&error->detail, error->title);
    } else {
        read_foreign(error, response);
    }
    json_decref(root);
}
