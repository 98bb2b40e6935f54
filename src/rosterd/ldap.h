/* The directory that users of source "ldap" are asked in, as the settings say.
 */
#ifndef ROSTERD_LDAP_H
#define ROSTERD_LDAP_H

#include "access/directory.h"
#include "rosterd/settings.h"

/* Gives *ret_directory, NULL when there is none. False after a complaint. */
bool ldap_open(const struct settings *settings,
               struct access_directory **ret_directory) MUST_USE;

#endif
