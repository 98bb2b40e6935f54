/* What each operation needs. Each line is a promise to the one who gives a
 * role: change it with api/openapi.yaml and tests/unit/registry/test_permit.c.
 */
#include "registry/permit.h"

#define PUT (ACCESS_CREATE | ACCESS_UPDATE)

#define OPEN                                                                   \
    {                                                                          \
        .how = NEED_OPEN                                                       \
    }
#define KNOWN                                                                  \
    {                                                                          \
        .how = NEED_KNOWN                                                      \
    }
#define SOME                                                                   \
    {                                                                          \
        .how = NEED_SOME, .verbs = ACCESS_READ                                 \
    }
#define ITSELF                                                                 \
    {                                                                          \
        .how = NEED_ITSELF                                                     \
    }
#define ROOT(v, t)                                                             \
    {                                                                          \
        .how = NEED_ROOT, .verbs = (v), .target = (t)                          \
    }
#define NS(v)                                                                  \
    {                                                                          \
        .how = NEED_NS, .verbs = (v)                                           \
    }
#define THERE(v, t)                                                            \
    {                                                                          \
        .how = NEED_NS, .verbs = (v), .target = (t)                            \
    }
#define ROWS(v)                                                                \
    {                                                                          \
        .how = NEED_ROWS, .verbs = (v)                                         \
    }
#define AGENT(v)                                                               \
    {                                                                          \
        .how = NEED_AGENT, .verbs = (v)                                        \
    }
#define OWN(v)                                                                 \
    {                                                                          \
        .how = NEED_AGENT, .verbs = (v), .own = true                           \
    }

const struct need needs[OP_KINDS] = {
    [OP_NS_TREE] = SOME,
    [OP_NS_CREATE] = ITSELF, /* where it will be */
    [OP_NS_GET] = SOME,
    [OP_NS_CHANGE] = ITSELF, /* here, and where it goes */
    [OP_NS_DELETE] = NS(ACCESS_DELETE),
    [OP_TYPE_LIST] = KNOWN,
    [OP_TYPE_GET] = KNOWN,
    [OP_TYPE_PUT] = ROOT(PUT, ACCESS_TYPES),
    [OP_LIST_GET] = ROWS(ACCESS_READ),
    [OP_LIST_ADD] = ROWS(ACCESS_CREATE),
    [OP_LIST_PUT] = ROWS(ACCESS_WRITE),
    [OP_ROW_GET] = ROWS(ACCESS_READ),
    [OP_ROW_PUT] = ROWS(PUT),
    [OP_ROW_PATCH] = ROWS(ACCESS_UPDATE),
    [OP_ROW_DELETE] = ROWS(ACCESS_DELETE),
    [OP_ROW_MOVE] = ITSELF, /* here and there */
    [OP_ROW_COPY] = ITSELF,
    [OP_ROW_MAINT] = ROWS(ACCESS_UPDATE),
    [OP_ROW_BACK] = ROWS(ACCESS_UPDATE),
    [OP_SEARCH] = SOME,
    [OP_TXN] = ITSELF,       /* each operation, each condition */
    [OP_AGENT_PUT] = ITSELF, /* each leaf it would be placed in */
    [OP_AGENT_LIST] = ITSELF,
    [OP_AGENT_GET] = OWN(ACCESS_READ),
    [OP_AGENT_DELETE] = OWN(ACCESS_DELETE),
    [OP_AGENT_MAINT] = AGENT(ACCESS_UPDATE),
    [OP_AGENT_BACK] = AGENT(ACCESS_UPDATE),
    [OP_HEARTBEAT] = OWN(ACCESS_UPDATE),
    [OP_HEARTBEATS] = ITSELF, /* each hostname */
    [OP_BREAKER_GET] = ROOT(ACCESS_READ, ACCESS_CLUSTER),
    [OP_BREAKER_SET] = ROOT(ACCESS_UPDATE, ACCESS_CLUSTER),
    [OP_LEADER] = OPEN,
    [OP_CLUSTER_GET] = ROOT(ACCESS_READ, ACCESS_CLUSTER),
    [OP_CLUSTER_JOIN] = ROOT(ACCESS_CREATE, ACCESS_CLUSTER),
    [OP_CLUSTER_REMOVE] = ROOT(ACCESS_DELETE, ACCESS_CLUSTER),
    /* To update the cluster is to answer the breaker, no more: operators do. */
    [OP_CLUSTER_TRANSFER] = ROOT(ACCESS_WRITE, ACCESS_CLUSTER),
    [OP_BACKUP] = ROOT(ACCESS_READ, ACCESS_ADMIN),
    [OP_RESTORE] = ROOT(ACCESS_WRITE, ACCESS_ADMIN),
    [OP_SNAPSHOT] = ROOT(ACCESS_CREATE, ACCESS_ADMIN),
    [OP_SNAPSHOT_LIST] = ROOT(ACCESS_READ, ACCESS_ADMIN),
    [OP_DIGEST] = ROOT(ACCESS_READ, ACCESS_ADMIN),
    [OP_HISTORY_GET] = ROOT(ACCESS_READ, ACCESS_CLUSTER),
    [OP_HISTORY_PUT] = ROOT(ACCESS_WRITE, ACCESS_CLUSTER),
    [OP_WATCH] = SOME,
    [OP_TOKEN_LIST] = ITSELF, /* one's own, or all; so all of these */
    [OP_TOKEN_CREATE] = ITSELF,
    [OP_TOKEN_GET] = ITSELF,
    [OP_TOKEN_DELETE] = ITSELF,
    [OP_ROLE_LIST] = ROOT(ACCESS_READ, ACCESS_ACCESS),
    [OP_ROLE_GET] = ROOT(ACCESS_READ, ACCESS_ACCESS),
    [OP_ROLE_PUT] = ROOT(PUT, ACCESS_ACCESS),
    [OP_ROLE_DELETE] = ROOT(ACCESS_DELETE, ACCESS_ACCESS),
    [OP_USER_LIST] = ITSELF,
    [OP_USER_GET] = ITSELF,
    [OP_USER_PUT] = ROOT(PUT, ACCESS_ACCESS),
    [OP_USER_DELETE] = ROOT(ACCESS_DELETE, ACCESS_ACCESS),
    [OP_USER_PASSWORD] = ITSELF,
    [OP_GROUP_LIST] = ITSELF, /* those one manages, or all */
    [OP_GROUP_GET] = ITSELF,
    [OP_GROUP_PUT] = ROOT(PUT, ACCESS_ACCESS),
    [OP_GROUP_DELETE] = ROOT(ACCESS_DELETE, ACCESS_ACCESS),
    [OP_MEMBER_PUT] = ITSELF, /* managers may */
    [OP_MEMBER_DELETE] = ITSELF,
    [OP_SESSION_LIST] = ITSELF,
    [OP_SESSION_CREATE] = OPEN, /* a password is shown */
    [OP_SESSION_DELETE] = ITSELF,
    [OP_WHOAMI] = KNOWN,
    [OP_QUOTA_LIST] = ITSELF, /* each namespace */
    [OP_QUOTA_GET] = NS(ACCESS_READ),
    [OP_QUOTA_PUT] = THERE(PUT, ACCESS_ACCESS),
    [OP_QUOTA_DELETE] = THERE(ACCESS_DELETE, ACCESS_ACCESS),
    [OP_AUDIT_GET] = ROOT(ACCESS_READ, ACCESS_ADMIN),
    [OP_METRICS] = ROOT(ACCESS_READ, ACCESS_CLUSTER), /* --metrics-open: OPEN */
};
