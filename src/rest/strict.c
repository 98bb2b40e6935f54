#include "rest/strict.h"

#include <stddef.h>
#include <strings.h>

#include "base/err.h"

#define KEY_MOST 255
#define TOKEN_MOST 255
/* Lines of a list that are joined: each costs a copy of those before it. */
#define JOINED_MOST 32

struct known {
    struct str name;
    size_t offset; /* in struct rest_head */
    bool list;     /* may come in several lines */
};

/* A str in a table: a compound literal is no constant. */
#define TEXT(literal)                                                          \
    {                                                                          \
        (literal), sizeof(literal) - 1                                         \
    }
#define AT(member) offsetof(struct rest_head, member)

static const struct known known[] = {
    {TEXT("Host"), AT(host), false},
    {TEXT("Content-Length"), AT(content_length), false},
    {TEXT("Content-Type"), AT(content_type), false},
    {TEXT("Transfer-Encoding"), AT(transfer_encoding), false},
    {TEXT("If-Match"), AT(conditions.if_match), true},
    {TEXT("If-None-Match"), AT(conditions.if_none_match), true},
    {TEXT("Accept-Encoding"), AT(accept_encoding), true},
    {TEXT("Accept"), AT(accept), true},
    {TEXT("Last-Event-ID"), AT(last_event_id), false},
    {TEXT("Idempotency-Key"), AT(conditions.idempotency_key), false},
    {TEXT("Roster-Min-Revision"), AT(min_revision), false},
    {TEXT("Authorization"), AT(authorization), false},
    {TEXT("traceparent"), AT(traceparent), true}, /* two are none */
    {TEXT("Content-Encoding"), AT(content_encoding), false},
    {TEXT("Expect"), AT(expect), false},
};

static bool equal_caseless(struct str a, struct str b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* RFC 9110 5.6.2. */
static bool is_token(struct str text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        char lower = (char)(c | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || strchr(others, c) == NULL)) {
            return false;
        }
    }
    return text.n > 0;
}

static void complain(struct rest_head *head, const char *wrong, struct str name)
{
    if (head->wrong == NULL) {
        head->wrong = wrong;
        head->wrong_name = name;
    }
}

static void keep(struct rest_head *head, const struct known *k,
                 struct arena *arena, struct str value)
{
    struct str *target = (struct str *)(void *)((char *)head + k->offset);

    if (target->p == NULL) {
        *target = value;
    } else if (k->list && head->n_joined < JOINED_MOST) {
        head->n_joined++;
        *target =
            arena_printf(arena, "%.*s, %.*s", STR_ARG(*target), STR_ARG(value));
    } else {
        complain(head,
                 k->list ? "is given too often: join its lines"
                         : "is given more than once",
                 k->name);
    }
}

void rest_head_add(struct rest_head *head, struct arena *arena, struct str name,
                   struct str value)
{
    if (!is_token(name)) {
        complain(head, "is no name of a header", name);
        return;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (equal_caseless(name, known[i].name)) {
            keep(head, &known[i], arena, str_trim(value));
            return;
        }
    }
}

static int refuse(struct rest_refusal *refusal, unsigned status, bool close,
                  const char *field, const char *why)
{
    *refusal = (struct rest_refusal){
        .status = status, .why = why, .field = str_of(field), .close = close};
    return ERR_INVALID;
}

/* RFC 9112 6: how long the message is. */
static int check_framing(struct rest_head *head, struct str http,
                         struct rest_refusal *refusal)
{
    bool chunked = head->transfer_encoding.p != NULL;
    bool sized = head->content_length.p != NULL;

    if (head->wrong != NULL) {
        *refusal =
            (struct rest_refusal){400, head->wrong, head->wrong_name, true};
        return ERR_INVALID;
    }
    if (chunked && sized) {
        return refuse(refusal, 400, true, "Transfer-Encoding",
                      "stands beside Content-Length: send one of the two");
    }
    if (chunked && !equal_caseless(head->transfer_encoding, STR("chunked"))) {
        return refuse(refusal, 400, true, "Transfer-Encoding",
                      "may only be \"chunked\"");
    }
    if (chunked && str_is(http, "HTTP/1.0")) {
        return refuse(refusal, 400, true, "Transfer-Encoding",
                      "does not exist in HTTP/1.0");
    }
    if (sized &&
        str_number(head->content_length, UINT64_MAX, &head->length) != 0) {
        return refuse(refusal, 400, true, "Content-Length",
                      "must be a whole number");
    }
    head->body = chunked || head->length > 0;
    return 0;
}

/* RFC 9112 3.2: a 1.1 request names its host. */
static int check_host(const struct rest_head *head, struct str http,
                      struct rest_refusal *refusal)
{
    if (head->host.p == NULL && !str_is(http, "HTTP/1.0")) {
        return refuse(refusal, 400, true, "Host", "is missing");
    }
    return 0;
}

static bool ends_with(struct str text, struct str end)
{
    return text.n >= end.n &&
           equal_caseless((struct str){text.p + text.n - end.n, end.n}, end);
}

/* Only what is clearly something else is refused: curl -d says "form" and
 * scripts say nothing or "text". */
static bool may_be_json(struct str type)
{
    static const struct str fine[] = {
        TEXT("application/json"),
        TEXT("*/*"),
        TEXT("text/json"),
        TEXT("text/plain"),
        TEXT("application/x-www-form-urlencoded"),
    };
    const char *semicolon = memchr(type.p, ';', type.n);

    if (semicolon != NULL) {
        type.n = (size_t)(semicolon - type.p);
    }
    type = str_trim(type);
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        if (equal_caseless(type, fine[i])) {
            return true;
        }
    }
    return type.n == 0 || ends_with(type, STR("+json"));
}

static int check_body(const struct rest_head *head, enum rest_takes takes,
                      uint64_t max_body_bytes, struct rest_refusal *refusal)
{
    if (!head->body) {
        return 0;
    }
    if (takes != REST_FILE && head->length > max_body_bytes) {
        return refuse(
            refusal, 413, head->length > rest_discard_bytes(max_body_bytes),
            "Content-Length", "is above what this server takes (--max-body)");
    }
    if (takes == REST_NOTHING) {
        return 0;
    }
    if (head->content_encoding.p != NULL &&
        !equal_caseless(head->content_encoding, STR("identity"))) {
        return refuse(refusal, 415, false, "Content-Encoding",
                      "is not supported: send the body as it is");
    }
    if (takes != REST_FILE && head->content_type.p != NULL &&
        !may_be_json(head->content_type)) {
        return refuse(refusal, 415, false, "Content-Type",
                      "is not supported: send application/json");
    }
    return 0;
}

static bool is_visible(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < 0x21 || text.p[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static int check_conditions(struct rest_head *head,
                            struct rest_refusal *refusal)
{
    struct str key = head->conditions.idempotency_key;

    if (head->min_revision.p != NULL &&
        str_number(head->min_revision, REST_REVISION_MOST,
                   &head->conditions.min_revision) != 0) {
        return refuse(refusal, 400, false, "Roster-Min-Revision",
                      "must be a revision, a whole number below 2^53");
    }
    if (key.p != NULL && (key.n == 0 || key.n > KEY_MOST || !is_visible(key))) {
        return refuse(refusal, 400, false, "Idempotency-Key",
                      "must be 1 to 255 visible ASCII characters");
    }
    return 0;
}

int rest_head_check(struct rest_head *head, struct str http,
                    enum rest_takes takes, uint64_t max_body_bytes,
                    struct rest_refusal *ret_refusal)
{
    int r = check_framing(head, http, ret_refusal);
    if (r == 0) {
        r = check_host(head, http, ret_refusal);
    }
    if (r == 0) {
        r = check_body(head, takes, max_body_bytes, ret_refusal);
    }
    return r != 0 ? r : check_conditions(head, ret_refusal);
}

/* RFC 6750 2.1. A token that is longer than any of ours is not looked up. */
int rest_head_token(struct str authorization, struct str *ret_token,
                    const char **ret_why)
{
    struct str scheme = authorization;
    size_t n = 0;

    *ret_token = STR_NONE;
    if (authorization.p == NULL) {
        return 0;
    }
    while (n < authorization.n && authorization.p[n] != ' ') {
        n++;
    }
    scheme.n = n;
    if (!equal_caseless(scheme, STR("Bearer"))) {
        *ret_why = "header Authorization must be \"Bearer TOKEN\": other "
                   "schemes are not taken";
        return ERR_INVALID;
    }
    struct str token =
        str_trim((struct str){authorization.p + n, authorization.n - n});
    if (token.n == 0 || token.n > TOKEN_MOST || !is_visible(token)) {
        *ret_why = "the token in Authorization is none: it must be one word of "
                   "1 to 255 visible ASCII characters";
        return ERR_INVALID;
    }
    *ret_token = token;
    return 0;
}
