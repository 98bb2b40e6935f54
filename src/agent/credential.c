#include "agent/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/access_token.h"
#include "base/mem.h"
#include "model/ulid.h"

enum { LINE_MOST = 4096 };

static bool complain(const char *file, const char *why)
{
    (void)fprintf(stderr, "roster-agent: %s: %s\n", file, why);
    return false;
}

/* The first line. A secret that others can read is none. */
static bool read_line(const char *file, int fd, char **ret_line)
{
    char line[LINE_MOST];
    struct stat about;

    if (fstat(fd, &about) != 0) {
        return complain(file, strerror(errno));
    }
    if ((about.st_mode & 077) != 0) {
        return complain(file, "others can read it: chmod 600");
    }
    ssize_t n = read(fd, line, sizeof line - 1);
    if (n < 0) {
        return complain(file, strerror(errno));
    }
    line[n] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    bool good = line[0] != '\0';
    *ret_line = good ? mem_text(line) : NULL;
    explicit_bzero(line, sizeof line);
    return good || complain(file, "there is no token in its first line");
}

static bool read_file(const char *file, char **ret_line)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return complain(file, strerror(errno));
    }
    bool good = read_line(file, fd, ret_line);
    (void)close(fd);
    return good;
}

static bool write_whole(int fd, const char *text, size_t n)
{
    return write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
}

/* The registry keeps its hash: after a crash it has to be there. */
static bool sync_directory(const char *file)
{
    const char *slash = strrchr(file, '/');
    struct buf path = {0};

    buf_add(&path, slash == NULL ? "." : file,
            slash == NULL || slash == file ? 1 : (size_t)(slash - file));
    int fd = open(buf_text(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    buf_done(&path);
    errno = why;
    return good;
}

/* Under another name first: a file that is there is whole. */
static bool make_file(const char *file, const char *token)
{
    struct buf fresh = {0};

    buf_printf(&fresh, "%s.new", file);
    int fd =
        open(buf_text(&fresh), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && fchmod(fd, 0600) == 0 &&
                write_whole(fd, token, ACCESS_TOKEN_TEXT) &&
                rename(buf_text(&fresh), file) == 0 && sync_directory(file);
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    buf_done(&fresh);
    return good || complain(file, strerror(why));
}

static bool make(const char *file, char **ret_token)
{
    char text[ACCESS_TOKEN_TEXT + 1] = {0};
    struct ulid id = ulid_next();

    access_token_make(id, text);
    bool good = make_file(file, text);
    *ret_token = good ? mem_text(text) : NULL;
    explicit_bzero(text, sizeof text);
    return good;
}

static bool open_own(const char *file, char **ret_token)
{
    struct ulid id;

    if (access(file, F_OK) != 0 && errno == ENOENT) {
        return make(file, ret_token);
    }
    return read_file(file, ret_token) &&
           (access_token_parse(str_of(*ret_token), &id) == 0 ||
            complain(file, "this is no token: remove the file, a new one is "
                           "made then"));
}

bool credential_open(const char *token_file, const char *own_file,
                     struct credential *ret_credential)
{
    *ret_credential = (struct credential){0};
    return (token_file == NULL ||
            read_file(token_file, &ret_credential->given)) &&
           (own_file == NULL || open_own(own_file, &ret_credential->own));
}

static char *forget(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
    }
    return mem_free(secret);
}

void credential_done(struct credential *credential)
{
    credential->given = forget(credential->given);
    credential->own = forget(credential->own);
}

void credential_show(const struct credential *credential, struct roster *roster)
{
    roster_set_token(roster, credential->own != NULL ? credential->own
                                                     : credential->given);
}

static void add_hash(json_t *registration, struct str token)
{
    uint8_t hash[SHA256_BYTES];
    char text[2 * SHA256_BYTES + 1];

    access_token_hash(token, hash);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", hash[i]);
    }
    (void)json_object_set_new(registration, "credential", json_string(text));
}

bool credential_introduce(const struct credential *credential,
                          struct roster *roster, json_t *registration)
{
    struct ulid id;
    char text[ULID_TEXT + 1] = {0};

    if (credential->own == NULL || credential->given == NULL ||
        access_token_parse(str_of(credential->own), &id) != 0) {
        return false;
    }
    ulid_format(id, text);
    add_hash(registration, str_of(credential->own));
    (void)json_object_set_new(registration, "credential_id", json_string(text));
    roster_set_token(roster, credential->given);
    return true;
}
