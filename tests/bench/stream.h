#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stddef.h>
#include <sys/types.h>

/* The bytes of a connection: as they are, or within TLS 1.3. Who measures and
 * who is measured against (bare, barewatch) use the same few lines, so that
 * neither is helped. All clients offer one cipher, AES-128-GCM, which is what
 * roster likes best: whoever answers, the work of the cipher is the same.
 *
 * One thread. A stream is NULL where bytes go as they are. */

struct stream;

/* From now on stream_open() makes sessions of TLS; `ca` vouches for servers,
 * whose name is "localhost". They exit with a message when a file is no good.
 */
void stream_be_client(const char *ca);
void stream_be_server(const char *cert, const char *key);

/* Of a connected socket. A client has shaken hands when this returns, and its
 * socket is non-blocking then; it exits with a message when the server is not
 * the one. A server shakes hands while it receives. */
struct stream *stream_open(int fd);

/* The same, of a server that may end meanwhile: < 0 then. */
int stream_try(int fd, struct stream **ret);

/* The socket stays open. Takes NULL. */
void stream_close(struct stream *s);

/* As recv(2) and send(2) on a socket that does not block; `flags` are only for
 * plain ones. A record of TLS is read whole where `n` is at least 16 KiB. A
 * send that gave EAGAIN is to be repeated with the bytes that it had, first. */
ssize_t stream_recv(struct stream *s, int fd, void *p, size_t n, int flags);
ssize_t stream_send(struct stream *s, int fd, const void *p, size_t n,
                    int flags);

#endif
