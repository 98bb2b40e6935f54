#include "rosterd/ldap.h"

#include <stdio.h>

static bool refuse(const char *option, const char *value, const char *why)
{
    (void)fprintf(stderr, "rosterd: --ldap-%s: '%s' %s\n", option, value, why);
    return false;
}

static const char *text(const char *value)
{
    return value == NULL ? "" : value;
}

/* What is given without the servers it is for is a mistake. */
static bool check_alone(const struct settings *s)
{
    const char *alone = s->ldap_dn != NULL             ? "dn"
                        : s->ldap_ca != NULL           ? "ca"
                        : s->ldap_group_base != NULL   ? "group-base"
                        : s->ldap_group_filter != NULL ? "group-filter"
                        : s->ldap_starttls             ? "starttls"
                                                       : NULL;

    return alone == NULL ||
           refuse(alone, "", "is of no use without --ldap-url");
}

bool ldap_open(const struct settings *s,
               struct access_directory **ret_directory)
{
    const struct access_directory_config config = {
        .urls = s->ldap_url,
        .starttls = s->ldap_starttls,
        .ca = s->ldap_ca,
        .dn = s->ldap_dn,
        .group_base = s->ldap_group_base,
        .group_filter = s->ldap_group_filter,
    };
    const char *option = NULL, *why = NULL;

    *ret_directory = NULL;
    if (s->ldap_url == NULL) {
        return check_alone(s);
    }
    if (access_directory_new(&config, ret_directory, &option, &why) != 0) {
        const char *value = option[0] == 'u'   ? s->ldap_url
                            : option[0] == 'd' ? text(s->ldap_dn)
                                               : text(s->ldap_group_base);
        return refuse(option, value, why);
    }
    if (access_directory_is_open(*ret_directory) && !s->insecure) {
        *ret_directory = access_directory_free(*ret_directory);
        return refuse("url", s->ldap_url,
                      "would send passwords over the net as they are: use "
                      "ldaps://, or give --ldap-starttls, or allow it with "
                      "--insecure");
    }
    return true;
}
