/* What the tests of TLS share: a directory with a CA and what it has signed,
 * and two sides that shake hands over a socket pair in one thread. */
#ifndef TEST_TLS_KIT_H
#define TEST_TLS_KIT_H

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "tls/tls.h"

/* A temporary one with a CA; removed by kit_end. */
char *kit_begin(void);
void kit_end(char *dir);
/* DIR/NAME; in a buffer that the fourth next call uses again. */
const char *kit_path(const char *dir, const char *name);
void kit_write(const char *path, const char *text);
/* Signs NAME.pem for that node; NULL: a client's. */
void kit_sign(const char *dir, const char *name, const char *node);
/* As kit_sign for node NAME, but with this validity. */
void kit_sign_dated(const char *dir, const char *name, long from_s,
                    long until_s);
/* With NAME.pem of `dir` and the CA of `ca_dir`. */
struct tls *kit_tls(const char *dir, const char *name, const char *ca_dir);

/* Two sides of one connection: [0] dials, [1] listens. */
struct kit_ends {
    struct tls_link *links[2];
    int r[2];
    char why[2][TLS_WHY];
};
/* Until both are done or one has failed. */
struct kit_ends kit_shake(struct tls *dials, struct tls *listens);
void kit_close(struct kit_ends *ends);
/* Waits for it; 0 at the end. */
ssize_t kit_recv(struct tls_link *link, void *bytes, size_t n);

#endif
