/* The roles that are always there. */
#include "access/inside.h"

#define TARGETS(...)                                                           \
    {                                                                          \
        .items = (const struct str[]){__VA_ARGS__},                            \
        .n = sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)    \
    }
#define T(text)                                                                \
    {                                                                          \
        (text), sizeof(text) - 1                                               \
    }

static const struct access_rule reader[] = {
    {ACCESS_READ,
     {"", 0},
     TARGETS(T(ACCESS_EACH_TYPE), T(ACCESS_NS), T(ACCESS_TYPES),
             T(ACCESS_AGENTS), T(ACCESS_CLUSTER))},
};

static const struct access_rule agent[] = {
    {ACCESS_ALL, {"", 0}, TARGETS(T(ACCESS_AGENTS))},
};

static const struct access_rule operator[] = {
    {ACCESS_ALL,
     {"", 0},
     TARGETS(T(ACCESS_EACH_TYPE), T(ACCESS_NS), T(ACCESS_TYPES),
             T(ACCESS_AGENTS))},
    {ACCESS_READ | ACCESS_UPDATE, {"", 0}, TARGETS(T(ACCESS_CLUSTER))},
};

static const struct access_rule admin[] = {
    {ACCESS_ALL, {"", 0}, TARGETS(T(ACCESS_EACH_TYPE), T(ACCESS_EACH_OWN))},
};

/* By name. */
static const struct access_role builtin[] = {
    {.name = T("admin"),
     .comment = T("everything"),
     .rules = admin,
     .n_rules = 1},
    {.name = T("agent"),
     .comment = T("registers, lives and ends as an agent"),
     .rules = agent,
     .n_rules = 1},
    {
        .name = T("operator"),
        .comment =
            T("reads and writes resources, namespaces, types and agents, "
              "and works the breaker"),
        .rules = operator,
        .n_rules = 2 },
        {.name = T("reader"),
         .comment = T("reads resources, namespaces, types, agents and how the "
                      "cluster is"),
         .rules = reader,
         .n_rules = 1},
    };

enum { N_BUILTIN = sizeof builtin / sizeof builtin[0] };

const struct access_role *access_builtin(struct str name)
{
    for (size_t i = 0; i < N_BUILTIN; i++) {
        if (str_equal(builtin[i].name, name)) {
            return &builtin[i];
        }
    }
    return NULL;
}

const struct access_role *access_builtin_after(struct str after)
{
    for (size_t i = 0; i < N_BUILTIN; i++) {
        if (after.p == NULL || str_compare(builtin[i].name, after) > 0) {
            return &builtin[i];
        }
    }
    return NULL;
}
