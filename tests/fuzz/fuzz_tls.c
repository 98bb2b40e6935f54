/* Bytes where a handshake should be, from who dials a node or listens where one
 * was dialled (first byte): an answer in words, and nobody is let in. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "replay.h"
#include "tls/tls.h"

static char dir[] = "/tmp/roster-fuzz-tls-XXXXXX";
static struct tls *tls;

static void clean(void)
{
    DIR *files = opendir(dir);

    tls = tls_free(tls);
    for (struct dirent *e = NULL; files != NULL && (e = readdir(files));) {
        (void)unlinkat(dirfd(files), e->d_name, 0);
    }
    (void)closedir(files);
    (void)rmdir(dir);
}

static void begin(void)
{
    const char *const hosts[] = {"127.0.0.1", NULL};
    const struct tls_make make = {
        .dir = dir, .name = "n1", .node = "n1", .hosts = hosts, .days = 9};
    char cert[64], key[64], ca[64];
    char why[TLS_WHY];

    REQUIRE(mkdtemp(dir) != NULL);
    REQUIRE(tls_make_ca(dir, 10, why) == 0);
    REQUIRE(tls_make_cert(&make, why) == 0);
    (void)snprintf(cert, sizeof cert, "%s/n1.pem", dir);
    (void)snprintf(key, sizeof key, "%s/n1-key.pem", dir);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    const struct tls_config config = {.cert = cert, .key = key, .ca = ca};
    REQUIRE(tls_new(&config, &tls, why) == 0);
    (void)atexit(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    bool listening = n > 0 && bytes[0] % 2 == 0;
    char why[TLS_WHY] = "";
    int ends[2];
    int r = ERR_BUSY;

    if (tls == NULL) {
        begin();
    }
    if (n < 2 || n > 1 << 15) {
        return 0;
    }
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                       ends) == 0);
    REQUIRE(write(ends[1], bytes + 1, n - 1) == (ssize_t)n - 1);
    REQUIRE(shutdown(ends[1], SHUT_WR) == 0);
    struct tls_link *link = tls_link_begin(tls, ends[0], listening);
    /* All is there, then the end: each step takes something of it. */
    for (size_t i = 0; r == ERR_BUSY && i <= n + 8; i++) {
        r = tls_link_shake(link, why);
    }
    REQUIRE(r != 0 && r != ERR_BUSY && why[0] != '\0');
    REQUIRE(memchr(why, '\0', sizeof why) != NULL);
    (void)tls_link_close(link);
    (void)close(ends[1]);
    return 0;
}
