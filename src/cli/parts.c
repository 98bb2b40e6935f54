#include "cli/parts.h"

#include <string.h>

#include "base/date.h"
#include "base/mem.h"
#include "cli/ask.h"

/* ---- reading ---- */

static json_t *split(const char *text, size_t n)
{
    json_t *list = json_array();

    for (size_t at = 0; at < n;) {
        const char *comma = memchr(text + at, ',', n - at);
        size_t length = comma == NULL ? n - at : (size_t)(comma - text) - at;
        json_t *item = json_stringn(text + at, length);
        if (item == NULL || json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
        at += length + 1;
    }
    return list;
}

static json_t *rule_of(const char *text)
{
    const char *types = strchr(text, ':');

    if (types == NULL || types == text || types[1] == '\0') {
        return NULL;
    }
    types++;
    size_t n = strcspn(types, ":");
    const char *ns = types[n] == ':' ? types + n + 1 : NULL;
    return json_pack("{s:o, s:o, s:s*}", "allow",
                     split(text, (size_t)(types - text) - 1), "types",
                     split(types, n), "ns", ns);
}

static bool add_rule(json_t *object, const char *member, const char *value,
                     bool first)
{
    json_t *rule = rule_of(value);

    if (rule == NULL) {
        ask_say("'%s' is no rule: write ALLOW:TYPES or ALLOW:TYPES:NS, as in "
                "read,update:service,@ns:shop.roster",
                value);
        return false;
    }
    if (first) {
        (void)json_object_set_new(object, member, json_array());
    }
    return json_array_append_new(json_object_get(object, member), rule) == 0;
}

static json_t *value_of(enum part_kind kind, const char *value)
{
    switch (kind) {
    case PART_TEXT:
        return json_string(value);
    case PART_LIST:
        return split(value, strlen(value));
    case PART_FLAG:
        return strcmp(value, "true") == 0    ? json_true()
               : strcmp(value, "false") == 0 ? json_false()
                                             : NULL;
    case PART_COUNT:
    case PART_RULE:
        break;
    }
    return NULL;
}

/* Of "resources.warn" the member `warn` of `resources`. */
static bool set_count(json_t *object, const struct part *part,
                      const char *value)
{
    const char *name = strchr(part->name, '.') + 1;
    json_t *inside = json_object_get(object, part->member);
    uint64_t n = 0;

    if (inside == NULL) {
        inside = json_object();
        if (json_object_set_new(object, part->member, inside) != 0) {
            return false;
        }
    }
    if (strcmp(value, "none") == 0) {
        (void)json_object_del(inside, name);
        return true;
    }
    if (str_number(str_of(value), INT64_MAX, &n) != 0) {
        ask_say("%s is a whole number or none, not '%s'", part->name, value);
        return false;
    }
    return json_object_set_new(inside, name, json_integer((json_int_t)n)) == 0;
}

static void complain(const struct part *parts, const char *arg)
{
    struct buf names = {0};

    for (const struct part *part = parts; part->name != NULL; part++) {
        buf_printf(&names, "%s%s=", part == parts ? "" : ", ", part->name);
    }
    ask_say("'%s' is none of what can be said here: %s", arg, buf_text(&names));
    buf_done(&names);
}

static const struct part *find(const struct part *parts, const char *arg)
{
    size_t n = strcspn(arg, "=");

    for (const struct part *part = parts; part->name != NULL; part++) {
        if (arg[n] == '=' && strlen(part->name) == n &&
            strncmp(part->name, arg, n) == 0) {
            return part;
        }
    }
    return NULL;
}

static bool set(json_t *object, const struct part *part, const char *value)
{
    if (part->kind == PART_COUNT) {
        return set_count(object, part, value);
    }
    json_t *made = value_of(part->kind, value);
    if (made != NULL) {
        return json_object_set_new(object, part->member, made) == 0;
    }
    if (part->kind == PART_FLAG) {
        ask_say("%s is true or false, not '%s'", part->name, value);
    } else {
        ask_say("%s is no text in UTF-8", part->name);
    }
    return false;
}

bool parts_read(const struct part *parts, char **args, size_t n, json_t *object)
{
    bool first = true;

    for (size_t i = 0; i < n; i++) {
        const struct part *part = find(parts, args[i]);
        if (part == NULL) {
            complain(parts, args[i]);
            return false;
        }
        const char *value = strchr(args[i], '=') + 1;
        if (part->kind == PART_RULE
                ? !add_rule(object, part->member, value, first)
                : !set(object, part, value)) {
            return false;
        }
        first = first && part->kind != PART_RULE;
    }
    return true;
}

/* ---- showing ---- */

static void add_joined(struct buf *out, const json_t *list)
{
    const json_t *item = NULL;
    size_t i = 0;

    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        buf_printf(out, "%s%s", i == 0 ? "" : ", ", text == NULL ? "?" : text);
    }
}

/* "read, write on service in shop.roster" */
static void add_rule_text(struct buf *out, const json_t *rule)
{
    const char *ns = json_string_value(json_object_get(rule, "ns"));

    add_joined(out, json_object_get(rule, "allow"));
    buf_add_text(out, " on ");
    add_joined(out, json_object_get(rule, "types"));
    if (ns != NULL) {
        buf_printf(out, " in %s", ns);
    }
}

/* "warn 900, refuse 1000" */
static void add_counts(struct buf *out, const json_t *object)
{
    const char *name = NULL, *comma = "";
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        buf_printf(out, "%s%s %lld", comma, name,
                   (long long)json_integer_value(value));
        comma = ", ";
    }
}

static void add_list(struct buf *out, const json_t *list)
{
    const json_t *item = NULL;
    size_t i = 0;

    if (!json_is_object(json_array_get(list, 0))) {
        add_joined(out, list);
        return;
    }
    json_array_foreach(list, i, item)
    {
        buf_add_text(out, i == 0 ? "" : "; ");
        add_rule_text(out, item);
    }
}

static bool is_time(const char *name)
{
    size_t n = strlen(name);

    return n > 3 && strcmp(name + n - 3, "_ms") == 0;
}

static json_t *text_json(struct buf *text)
{
    json_t *made = json_stringn(buf_text(text), text->n);

    buf_done(text);
    return made;
}

static json_t *flat_value(const char *name, json_t *value)
{
    struct buf text = {0};

    if (json_is_array(value)) {
        add_list(&text, value);
        return text_json(&text);
    }
    if (json_is_object(value) && json_object_get(value, "allow") == NULL) {
        add_counts(&text, value);
        return text_json(&text);
    }
    if (json_is_object(value)) {
        add_rule_text(&text, value);
        return text_json(&text);
    }
    if (is_time(name) && json_is_integer(value)) {
        date_add(&text, (uint64_t)json_integer_value(value));
        return text_json(&text);
    }
    return json_is_null(value) ? json_string("") : json_incref(value);
}

json_t *parts_flat(const json_t *object)
{
    json_t *flat = json_object();
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (strcmp(name, "rev") == 0) {
            continue;
        }
        char *shown = mem_text(name);
        if (is_time(shown)) { /* "expires_ms" is a date now */
            shown[strlen(shown) - 3] = '\0';
        }
        (void)json_object_set_new(flat, shown, flat_value(name, value));
        (void)mem_free(shown);
    }
    return flat;
}
