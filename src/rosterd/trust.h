/* What guards the registry: the audit and the limits, as the settings say. */
#ifndef ROSTERD_TRUST_H
#define ROSTERD_TRUST_H

#include "registry/registry.h"
#include "rosterd/settings.h"

/* *ret_audit is NULL when there is to be none. After a complaint: INVALID, and
 * faults of audit_open. */
int trust_open(const struct settings *settings,
               struct audit **ret_audit) MUST_USE;
/* Before anybody is served. */
void trust_set(const struct settings *settings, struct audit *audit,
               struct registry *registry);

#endif
