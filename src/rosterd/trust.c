#include "rosterd/trust.h"

#include "base/err.h"
#include "base/log.h"

int trust_open(const struct settings *settings, struct audit **ret_audit)
{
    const struct audit_config config = {
        .dir = settings->audit,
        .node = settings->id,
        .file_bytes = settings->audit_size,
        .files = (unsigned)settings->audit_files,
    };
    char why[AUDIT_WHY] = "";

    *ret_audit = NULL;
    if (settings->audit == NULL) {
        return 0;
    }
    int r = audit_open(&config, ret_audit, why);
    if (r != 0) {
        log_error(LOG_AUDIT, "the audit cannot be written: see --audit",
                  LOG_TXT("why", why[0] != '\0' ? why : err_text(r)));
    }
    return r;
}

void trust_set(const struct settings *settings, struct audit *audit,
               struct registry *registry)
{
    registry_set_trust(registry, &(struct registry_trust){
                                     .access = settings->access,
                                     .metrics_open = settings->metrics_open,
                                     .session_ttl_ms = settings->session_ttl_ms,
                                     .audit = audit,
                                     .audit_required = settings->audit_required,
                                     .rate_token = settings->rate_token,
                                     .rate_address = settings->rate_address,
                                 });
}
