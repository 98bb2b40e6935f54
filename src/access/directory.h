/* Asking an LDAP directory whether a password is somebody's: a bind as him.
 *
 * Nothing is kept between two questions but which server answered last: it is
 * asked first. The next one is asked only when a server cannot be reached or
 * cannot serve; a no is a no.
 *
 * Certificates are verified, and their names, whatever ldap.conf says: neither
 * it nor the environment is read. [ACCESS-1] What the library held of a
 * password is overwritten when it is freed.
 *
 * Any thread, but none that serves: a question takes as long as the servers
 * take: up to ACCESS_DIRECTORY_MS to be connected with each of them, and as
 * long for all that is said then. */
#ifndef ACCESS_DIRECTORY_H
#define ACCESS_DIRECTORY_H

#include <stdbool.h>

#include "base/mem.h"

#define ACCESS_DIRECTORY_MS 5000
#define ACCESS_DIRECTORY_URLS 8
/* Of one answer: who is in more is in these. */
#define ACCESS_DIRECTORY_GROUPS 1000

struct access_directory; /* opaque */

/* Texts are copied; NULL: not given. */
struct access_directory_config {
    const char *urls;         /* "ldaps://a ldaps://b:636", also with commas */
    bool starttls;            /* of ldap:// */
    const char *ca;           /* a file; NULL: the system's */
    const char *dn;           /* "uid={user},ou=people,dc=example,dc=org" */
    const char *group_base;   /* NULL: no groups are looked up */
    const char *group_filter; /* with {dn} and {user}; NULL: the usual kinds */
};

/* Answers: INVALID, with a constant clause for a person and the option it is
 * about ("url", "dn" …). */
int access_directory_new(const struct access_directory_config *config,
                         struct access_directory **ret_directory,
                         const char **ret_option,
                         const char **ret_why) MUST_USE;
struct access_directory *
access_directory_free(struct access_directory *directory);
/* Whether a password would go over a net unencrypted. */
bool access_directory_is_open(const struct access_directory *directory);

/* Appends the names (cn) of the groups he is in, each behind a byte with its
 * length, when groups are looked up: what is no name of at most 63 bytes is
 * left out. Answers: FORBIDDEN (the directory says no, or the password is
 * empty: such a bind would be anybody's), NOT_READY (no server could say). */
int access_directory_ask(struct access_directory *directory, struct str user,
                         struct str password, struct buf *groups) MUST_USE;

/* ---- pure ---- */

/* The template with {user} in it as RFC 4514 wants a value. */
void access_directory_dn(struct str template, struct str user, struct buf *out);
/* The filter with {user} and {dn} in it as RFC 4515 wants values. */
void access_directory_filter(struct str template, struct str user,
                             struct str dn, struct buf *out);

#endif
