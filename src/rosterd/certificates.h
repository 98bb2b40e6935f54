/* What this process speaks TLS with: read at the start, and again on SIGHUP. */
#ifndef ROSTERD_CERTIFICATES_H
#define ROSTERD_CERTIFICATES_H

#include "base/own.h"
#include "rosterd/settings.h"
#include "tls/tls.h"

struct certificates; /* opaque */

/* Gives; without --tls-cert there is nothing in it. Answers: INVALID (logged).
 */
int certificates_open(const struct settings *settings,
                      struct certificates **ret_certificates) MUST_USE;
/* On the core thread. Soon, on a thread of its own: the files may be on a disk
 * that hangs. What is wrong with them is logged, and the old ones stay. */
void certificates_reload(struct certificates *certificates);
/* When nothing uses them any more. Always NULL; takes NULL. */
struct certificates *certificates_close(struct certificates *certificates);

/* For HTTP, and for other nodes: these need a CA too. NULL: plain. Lent. */
struct tls *certificates_of_http(const struct certificates *certificates);
struct tls *certificates_of_peers(const struct certificates *certificates);

#endif
