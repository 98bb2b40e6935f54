/* Namespaces are born, and what their births and changes share. */
#include "model/json.h"
#include "model/name.h"
#include "model/pattern.h"
#include "registry/answer.h"
#include "registry/body.h"
#include "registry/nodes.h"
#include "registry/permit.h"
#include "registry/resolve.h"
#include "registry/tree_body.h"

/* ---- the members of a namespace in a body ---- */

int tree_check_label(struct op_state *s, struct str name)
{
    if (name_is_label(name)) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("name"),
                          "%.*s is no DNS label: write 1 to 63 of a-z, 0-9 and "
                          "'-', which neither begins nor ends it",
                          SHOW(name));
}

static int check_match(struct op_state *s, struct str match)
{
    CLEANUP(pattern_freep) struct pattern *pattern = NULL;
    struct str why = STR_NONE;

    if (match.n == 0) {
        return answer_problem(s, OP_BAD_REQUEST, STR("match"),
                              "an empty match would take every machine: null "
                              "is none, . is every one");
    }
    if (pattern_new(PATTERN_REGEX, match, s->arena, &pattern, &why) == 0) {
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("match"),
                          "match is no regular expression (PCRE2): %.*s",
                          SHOW(why));
}

/* A string, null (then *ret_has is false), or absent (then *ret_given is). */
int tree_read_match(struct op_state *s, const struct json *body,
                    bool *ret_given, uint8_t *ret_has, struct str *ret_match)
{
    const struct json *member = json_get(body, "match");

    *ret_given = member != NULL;
    *ret_has = 0;
    *ret_match = STR("");
    if (member == NULL || member->kind == JSON_NULL) {
        return 0;
    }
    int r = body_text(s, body, STR(""), "match", true, ret_match);
    *ret_has = 1;
    return r != 0 ? r : check_match(s, *ret_match);
}

enum { COMMENT_MOST = 4096 };

int tree_read_comment(struct op_state *s, const struct json *body,
                      bool *ret_given, struct str *ret_comment)
{
    const struct json *member = json_get(body, "comment");

    *ret_given = member != NULL;
    *ret_comment = STR("");
    if (member == NULL || member->kind == JSON_NULL) {
        return 0;
    }
    int r = body_text(s, body, STR(""), "comment", true, ret_comment);
    if (r == 0 && ret_comment->n > COMMENT_MOST) {
        r = answer_problem(s, OP_BAD_REQUEST, STR("comment"),
                           "a comment is at most %d bytes", COMMENT_MOST);
    }
    return r;
}

int tree_refuse_match(struct op_state *s)
{
    return answer_problem(s, OP_BAD_REQUEST, STR("match"),
                          "only a leaf has a match: machines register in "
                          "leaves");
}

/* ---- create ---- */

struct birth {
    struct str parent_path;
    struct command_ns_create create;
    struct str path; /* of the new one, in op->arena */
};

static int read_kind(struct op_state *s, const struct json *body,
                     struct command_ns_create *create)
{
    struct str kind;

    int r = body_text(s, body, STR(""), "kind", false, &kind);
    if (r != 0) {
        return r;
    }
    if (kind.p == NULL || str_is(kind, "leaf")) {
        create->kind = STORE_LEAF;
        return 0;
    }
    if (str_is(kind, "branch")) {
        create->kind = STORE_BRANCH;
        return 0;
    }
    return answer_problem(s, OP_BAD_REQUEST, STR("kind"),
                          "kind is \"leaf\" (resources) or \"branch\" "
                          "(children, templates)");
}

static int read_birth(struct op_state *s, struct birth *birth)
{
    static const char *const names[] = {"parent", "name",    "kind",
                                        "match",  "comment", NULL};
    struct command_ns_create *create = &birth->create;
    struct json *body = NULL;
    bool given;

    int r = body_parse(s, &body);
    if (r == 0) {
        r = body_object(s, body, STR(""), names);
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "parent", true, &birth->parent_path);
    }
    if (r == 0) {
        r = resolve_check_path(s, birth->parent_path, "parent");
    }
    if (r == 0) {
        r = body_text(s, body, STR(""), "name", true, &create->name);
    }
    if (r == 0) {
        r = tree_check_label(s, create->name);
    }
    if (r == 0) {
        r = read_kind(s, body, create);
    }
    if (r == 0) {
        r = tree_read_match(s, body, &given, &create->has_match,
                            &create->match);
    }
    if (r == 0) {
        r = tree_read_comment(s, body, &given, &create->comment);
    }
    if (r == 0 && create->has_match && create->kind == STORE_BRANCH) {
        r = tree_refuse_match(s);
    }
    return r;
}

/* How many templates a new leaf may get: what lies in the branches above it.
 * More ids than needed cost nothing. */
static int count_templates(struct store_txn *txn, uint64_t parent,
                           uint64_t *ret_n)
{
    uint64_t n = 0;

    while (parent != 0) {
        struct store_node node;
        int r = store_node_get(txn, parent, &node);
        if (r != 0) {
            return r;
        }
        n += node.n_rows;
        parent = node.parent;
    }
    *ret_n = n;
    return 0;
}

static int check_parent(struct op_state *s, struct store_txn *txn, void *user)
{
    struct birth *birth = user;
    struct store_node parent;

    int r = resolve_path(s, txn, birth->parent_path, STR("parent"),
                         &birth->create.parent);
    if (r == 0) {
        r = store_node_get(txn, birth->create.parent, &parent);
    }
    if (r != 0) {
        return r;
    }
    if (parent.kind != STORE_BRANCH) {
        return answer_problem(s, OP_CONFLICT, STR("parent"),
                              "%.*s is a leaf and has no children: choose a "
                              "branch",
                              SHOW(birth->parent_path));
    }
    return count_templates(txn, birth->create.parent, &birth->create.n_ids);
}

int tree_create(struct op_state *s)
{
    struct birth *birth = arena_zero(s->op->arena, sizeof *birth);

    s->memory = birth;
    int r = read_birth(s, birth);
    if (r != 0) {
        return r;
    }
    if (birth->create.name.n + 1 + birth->parent_path.n > NAME_PATH_MAX) {
        return answer_problem(s, OP_BAD_REQUEST, STR("name"),
                              "the path would be longer than the 253 bytes a "
                              "DNS name may have");
    }
    birth->path =
        arena_printf(s->op->arena, "%.*s.%.*s", STR_ARG(birth->create.name),
                     STR_ARG(birth->parent_path));
    r = permit(s, ACCESS_CREATE, STR(ACCESS_NS), birth->path);
    if (r == 0) {
        r = snapshot_run(s, check_parent, birth);
    }
    if (r != 0) {
        return r;
    }
    birth->create.first_id = ulid_next_run(birth->create.n_ids + 1);
    s->command = (struct command){.kind = COMMAND_NS_CREATE,
                                  .tree_rev = s->seen.tree_rev,
                                  .types_rev = s->seen.types_rev,
                                  .ns_create = birth->create};
    return 0;
}

/* ---- a node as the answer of a write ---- */

struct node_answer {
    uint64_t id;
    struct buf body;
    struct str path;
    uint64_t revision;
};

static int read_node(struct op_state *s, struct store_txn *txn, void *user)
{
    struct node_answer *answer = user;
    struct store_node node;
    struct buf path = {0};

    buf_clear(&answer->body);
    int r = store_node_get(txn, answer->id, &node);
    if (r == 0) {
        r = store_path_of(txn, answer->id, &path);
    }
    if (r == 0) {
        nodes_write_open(&answer->body, &node, buf_str(&path));
        buf_add_char(&answer->body, '}');
        answer->revision = node.changed_rev;
    }
    answer->path = arena_take(s->op->arena, &path);
    return r;
}

/* When it has gone since, or he may write it and not read it: what is known of
 * it, as with a resource. */
int tree_answer_node(struct op_state *s, uint64_t id, uint64_t revision,
                     struct str *ret_path)
{
    struct node_answer answer = {.id = id, .revision = revision};

    int r = snapshot_run(s, read_node, &answer);
    if (r < 0) {
        buf_done(&answer.body);
        return r;
    }
    if (r != 0 || !permit_sees(s, STR(ACCESS_NS), answer.path)) {
        bool replayed = s->op->answer.replayed;
        answer_reset(s);
        s->op->answer.replayed = replayed;
        buf_clear(&answer.body);
        buf_printf(&answer.body, "{\"id\":%llu,\"revision\":%llu}",
                   (unsigned long long)id, (unsigned long long)revision);
    }
    s->op->answer.etag = answer.revision;
    s->op->answer.body = arena_take(s->op->arena, &answer.body);
    *ret_path = r == 0 ? answer.path : STR("");
    return 0;
}

int tree_finish_create(struct op_state *s, struct machine_result *result)
{
    const struct birth *birth = s->memory;
    struct op_answer *answer = &s->op->answer;
    struct str path;

    int r = tree_answer_node(s, result->ns, result->revision, &path);
    if (r != 0) {
        return r;
    }
    answer->code = OP_CREATED;
    answer->location = arena_printf(s->op->arena, "/v1/ns/%.*s",
                                    STR_ARG(path.n > 0 ? path : birth->path));
    return 0;
}
