#include "rest/problem.h"

#include "model/json.h"
#include "rest/state.h"

struct kind {
    unsigned status;
    const char *slug;
    const char *title;
};

/* The last one stands for every other status. */
static const struct kind kinds[] = {
    {400, "bad-request", "Bad request"},
    {401, "unauthorized", "Unauthorized"},
    {403, "forbidden", "Forbidden"},
    {404, "not-found", "Not found"},
    {405, "method-not-allowed", "Method not allowed"},
    {409, "conflict", "Conflict"},
    {412, "precondition-failed", "Precondition failed"},
    {413, "too-large", "Too large"},
    {415, "unsupported-media-type", "Unsupported media type"},
    {422, "key-reused", "Idempotency key reused"},
    {429, "too-many-requests", "Too many requests"},
    {503, "unavailable", "Unavailable"},
    {504, "outcome-unknown", "Outcome unknown"},
    {507, "no-space", "No space left"},
    {500, "internal", "Internal error"},
};

static const struct kind of_quota = {507, "quota", "Quota exceeded"};

static const struct kind *kind_of(unsigned status, enum op_code code)
{
    if (code == OP_QUOTA) {
        return &of_quota;
    }
    size_t i = 0;
    while (i + 1 < sizeof kinds / sizeof kinds[0] &&
           kinds[i].status != status) {
        i++;
    }
    return &kinds[i];
}

struct rest_problem rest_problem_make(unsigned status, struct str detail,
                                      struct str field)
{
    return (struct rest_problem){
        .status = status, .detail = detail, .field = field};
}

static void add_member(struct buf *out, const char *name, struct str text)
{
    if (text.n > 0) {
        buf_printf(out, ",\"%s\":", name);
        json_add_string(out, text);
    }
}

struct str rest_problem_render(struct arena *arena, unsigned status,
                               const struct op_answer *answer)
{
    const struct kind *kind = kind_of(status, answer->code);
    struct buf out = {0};

    buf_printf(&out,
               "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%u",
               kind->slug, kind->title, status);
    add_member(&out, "detail", answer->detail);
    add_member(&out, "field", answer->field);
    add_member(&out, "ns", answer->ns);
    if (answer->at_revision != 0) {
        buf_printf(&out, ",\"revision\":%llu",
                   (unsigned long long)answer->at_revision);
    }
    if (answer->outcome_unknown) {
        buf_add_text(&out, ",\"outcome\":\"unknown\"");
    }
    buf_add_str(&out, answer->extra);
    buf_add_text(&out, "}\n");
    return arena_take(arena, &out);
}
