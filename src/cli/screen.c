/* One node has all that can be said of it; several have a line each, and what
 * is worth a warning. */
#include "cli/screen.h"

#include <stdio.h>
#include <string.h>

#include "cli/print.h"
#include "cli/text.h"

/* Further behind than a busy moment explains. */
enum { LAG_MOST = 10000 };

static uint64_t number(const json_t *node, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(node, name));
}

static void put_bytes(json_t *row, const char *name, const json_t *node,
                      const char *used, const char *limit)
{
    struct buf text = {0};

    if (json_object_get(node, used) == NULL) {
        return;
    }
    text_add_bytes(&text, number(node, used));
    if (limit != NULL && number(node, limit) > 0) {
        buf_add_text(&text, " of ");
        text_add_bytes(&text, number(node, limit));
    }
    (void)json_object_set_new(row, name, json_string(buf_text(&text)));
    buf_done(&text);
}

static void put_text(json_t *row, const char *name, struct buf *text)
{
    (void)json_object_set_new(row, name, json_string(buf_text(text)));
    buf_done(text);
}

static void put_state(json_t *row, const json_t *node)
{
    const char *state = json_string_value(json_object_get(node, "state"));
    const char *problem = json_string_value(json_object_get(node, "problem"));
    struct buf text = {0};

    buf_add_text(&text, state == NULL ? "" : state);
    if (problem != NULL && problem[0] != '\0') {
        buf_printf(&text, ": %s", problem);
    }
    put_text(row, "state", &text);
}

/* States that are worth a word when somebody is in them. */
static void add_rare(struct buf *out, const json_t *node)
{
    static const struct {
        const char *member, *word;
    } rare[] = {{"agents_held", "held"},
                {"agents_flapping", "flapping"},
                {"agents_maintenance", "in maintenance"}};

    for (size_t i = 0; i < sizeof rare / sizeof rare[0]; i++) {
        uint64_t n = number(node, rare[i].member);
        if (n > 0) {
            buf_printf(out, ", %llu %s", (unsigned long long)n, rare[i].word);
        }
    }
}

static void put_counts(json_t *row, const json_t *node)
{
    struct buf text = {0};

    if (json_object_get(node, "resources") == NULL) {
        return;
    }
    buf_printf(&text, "%llu in %llu namespaces",
               (unsigned long long)number(node, "resources"),
               (unsigned long long)number(node, "namespaces"));
    put_text(row, "resources", &text);
    buf_printf(&text, "%llu alive, %llu suspect",
               (unsigned long long)number(node, "agents_alive"),
               (unsigned long long)number(node, "agents_suspect"));
    add_rare(&text, node);
    put_text(row, "agents", &text);
}

static void print_node(const json_t *node)
{
    static const char *const as_they_are[] = {
        "server", "node", "role", "version", "leader", "term", "revision"};
    json_t *row = json_object();
    struct buf text = {0};

    for (size_t i = 0; i < sizeof as_they_are / sizeof as_they_are[0]; i++) {
        json_t *value = json_object_get(node, as_they_are[i]);
        if (value != NULL) {
            (void)json_object_set(row, as_they_are[i], value);
        }
    }
    put_state(row, node);
    put_counts(row, node);
    put_bytes(row, "store", node, "store_used_bytes", "store_limit_bytes");
    put_bytes(row, "log", node, "log_bytes", NULL);
    put_bytes(row, "disk free", node, "disk_free_bytes", NULL);
    put_bytes(row, "cache", node, "cache_bytes", "cache_limit_bytes");
    put_bytes(row, "memory", node, "memory_bytes", NULL);
    if (json_object_get(node, "uptime_s") != NULL) {
        text_add_time(&text, number(node, "uptime_s") * 1000);
        put_text(row, "up", &text);
    }
    print_fields(row);
    json_decref(row);
}

/* ---- several ---- */

static const char *text_of(const json_t *node, const char *name)
{
    const char *text = json_string_value(json_object_get(node, name));
    return text == NULL ? "" : text;
}

static bool is(const json_t *node, const char *name, const char *value)
{
    return strcmp(text_of(node, name), value) == 0;
}

static bool has_role(const json_t *node)
{
    return text_of(node, "role")[0] != '\0';
}

static bool has(const json_t *node, const char *name)
{
    return json_is_integer(json_object_get(node, name));
}

/* Who knows most: the leader, else anybody who answered. */
static const json_t *best_of(const json_t *nodes)
{
    const json_t *best = NULL, *node = NULL;
    size_t i = 0;

    json_array_foreach(nodes, i, node)
    {
        if (has(node, "revision") &&
            (best == NULL || is(node, "role", "leader"))) {
            best = node;
        }
    }
    return best;
}

static const json_t *leader_of(const json_t *nodes)
{
    const json_t *node = NULL;
    size_t i = 0;

    json_array_foreach(nodes, i, node)
    {
        if (is(node, "role", "leader") && !is(node, "state", "unreachable")) {
            return node;
        }
    }
    return NULL;
}

static uint64_t newest(const json_t *nodes)
{
    const json_t *node = NULL;
    uint64_t most = 0;
    size_t i = 0;

    json_array_foreach(nodes, i, node)
    {
        if (number(node, "applied") > most) {
            most = number(node, "applied");
        }
    }
    return most;
}

/* Which nodes there are was not told: only what each says of itself is known.
 */
static bool is_partial(const json_t *nodes)
{
    const json_t *node = NULL;
    size_t i = 0;

    json_array_foreach(nodes, i, node)
    {
        if (has_role(node)) {
            return false;
        }
    }
    return true;
}

/* What others say of him, when he is not seen himself. */
static const char *leader_name(const json_t *nodes)
{
    const json_t *leader = leader_of(nodes), *node = NULL;
    size_t i = 0;

    if (leader != NULL) {
        return text_of(leader, "node");
    }
    json_array_foreach(nodes, i, node)
    {
        if (is_partial(nodes) && text_of(node, "leader")[0] != '\0') {
            return text_of(node, "leader");
        }
    }
    return is_partial(nodes) ? "not known" : "none";
}

static void print_head(const json_t *nodes)
{
    const json_t *leader = leader_of(nodes), *best = best_of(nodes);
    json_t *row = json_object();
    struct buf text = {0};

    buf_add_text(&text, leader_name(nodes));
    if (leader != NULL && has(leader, "term")) {
        buf_printf(&text, ", term %llu",
                   (unsigned long long)number(leader, "term"));
    }
    put_text(row, "leader", &text);
    if (best != NULL) {
        (void)json_object_set(row, "revision",
                              json_object_get(best, "revision"));
        put_counts(row, best);
    }
    print_fields(row);
    json_decref(row);
}

static void put_ago(json_t *row, const char *name, const json_t *node,
                    const char *member)
{
    struct buf text = {0};

    if (has(node, member)) {
        text_add_time(&text, number(node, member));
    }
    put_text(row, name, &text);
}

static json_t *line_of(const json_t *node, uint64_t most)
{
    json_t *row = json_object();
    struct buf text = {0};

    (void)json_object_set_new(row, "node", json_string(text_of(node, "node")));
    (void)json_object_set_new(row, "role", json_string(text_of(node, "role")));
    (void)json_object_set_new(
        row, "http",
        json_string(text_of(
            node, json_object_get(node, "http") != NULL ? "http" : "server")));
    if (has(node, "applied")) {
        buf_add_u64(&text, number(node, "applied"));
    }
    put_text(row, "applied", &text);
    if (has(node, "applied")) {
        buf_add_u64(&text, most - number(node, "applied"));
    }
    put_text(row, "lag", &text);
    put_ago(row, "heard", node, "last_contact_ms");
    (void)json_object_set_new(row, "version",
                              json_string(text_of(node, "version")));
    (void)json_object_set_new(row, "disk free", json_string(""));
    put_bytes(row, "disk free", node, "disk_free_bytes", NULL);
    if (is(node, "state", "unreachable")) {
        (void)json_object_set_new(row, "state", json_string("unreachable"));
    } else {
        put_state(row, node);
    }
    return row;
}

static void print_lines(const json_t *nodes)
{
    json_t *rows = json_array();
    const json_t *node = NULL;
    size_t i = 0;

    json_array_foreach(nodes, i, node)
    {
        (void)json_array_append_new(rows, line_of(node, newest(nodes)));
    }
    print_table(rows);
    json_decref(rows);
}

/* ---- warnings ---- */

static void warn_of_voters(const json_t *nodes)
{
    size_t voters = 0, alive = 0, i = 0;
    const json_t *node = NULL;

    json_array_foreach(nodes, i, node)
    {
        bool votes = is(node, "role", "leader") || is(node, "role", "voter");
        voters += votes;
        alive += votes && !is(node, "state", "unreachable");
    }
    size_t quorum = voters / 2 + 1;
    if (alive < quorum) {
        (void)printf("warning: %zu of %zu voters answer, and %zu are needed: "
                     "writes wait\n",
                     alive, voters, quorum);
    } else if (alive == quorum && voters > 1) {
        (void)printf("warning: %zu of %zu voters answer: none more may be "
                     "lost\n",
                     alive, voters);
    }
    if (voters % 2 == 0 && voters > 0) {
        (void)printf("warning: %zu voters bear no more losses than %zu: add a "
                     "node, or remove one\n",
                     voters, voters - 1);
    }
}

static void warn_of_lag(const json_t *nodes)
{
    const json_t *node = NULL;
    uint64_t most = newest(nodes);
    size_t i = 0;

    json_array_foreach(nodes, i, node)
    {
        if (has(node, "applied") && most - number(node, "applied") > LAG_MOST) {
            struct buf text = {0};
            text_add_safe(&text, str_of(text_of(node, "node")));
            (void)printf("warning: %s is %llu entries behind\n",
                         buf_text(&text),
                         (unsigned long long)(most - number(node, "applied")));
            buf_done(&text);
        }
    }
}

static void warn_of_versions(const json_t *nodes)
{
    const char *first = NULL;
    const json_t *node = NULL;
    size_t i = 0;

    json_array_foreach(nodes, i, node)
    {
        const char *version = text_of(node, "version");
        if (version[0] == '\0') {
            continue;
        }
        if (first != NULL && strcmp(first, version) != 0) {
            (void)printf("warning: versions differ: finish the upgrade\n");
            return;
        }
        first = version;
    }
}

static void warn_of_breaker(const json_t *nodes)
{
    const json_t *leader = leader_of(nodes);
    uint64_t held = number(leader, "agents_held");

    if (held > 0) {
        (void)printf("warning: the removal of %llu agents is held: look at "
                     "'roster breaker'\n",
                     (unsigned long long)held);
    }
}

void screen_show(const json_t *nodes)
{
    if (json_array_size(nodes) == 1) {
        print_node(json_array_get(nodes, 0));
        warn_of_breaker(nodes);
        return;
    }
    print_head(nodes);
    (void)putchar('\n');
    print_lines(nodes);
    if (!is_partial(nodes)) {
        if (leader_of(nodes) == NULL) {
            (void)printf("warning: no leader is known: writes wait\n");
        }
        warn_of_voters(nodes);
    }
    warn_of_lag(nodes);
    warn_of_versions(nodes);
    warn_of_breaker(nodes);
}
