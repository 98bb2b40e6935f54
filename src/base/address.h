/* HOST:PORT, as people write it and as sockets take it. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/own.h"

enum { ADDRESS_HOST = 256 };

struct address {
    struct sockaddr_storage sa;
    socklen_t n;
};

/* "host:port", "[v6]:port", ":port" into its parts, the brackets cut off. The
 * port is a number up to 65535. Answers: INVALID. */
int address_split(const char *text, char ret_host[ADDRESS_HOST],
                  char ret_port[16]) MUST_USE;
/* What to listen on: the first that the host stands for, all of this machine
 * when it is left out. Blocks when the host is a name. Answers: INVALID, with a
 * constant reason. */
int address_to_listen(const char *text, struct address *ret_address,
                      const char **ret_why) MUST_USE;
/* What to connect to, the best first: at most `most`, at least one. Host and
 * port must be there. Blocks when the host is a name. Answers: INVALID, with a
 * constant reason. */
int address_to_dial(const char *text, struct address *ret_addresses,
                    size_t most, size_t *ret_n, const char **ret_why) MUST_USE;
/* HOST:PORT in numbers; gives. */
char *address_text(const struct address *address) MUST_USE;

#endif
