#include "agent/credential.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "access/access_token.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/secret_file.h"
#include "model/ulid.h"

enum { LINE_MOST = 4096 };

static bool complain(const char *file, const char *why)
{
    (void)fprintf(stderr, "roster-agent: %s: %s\n", file, why);
    return false;
}

/* A secret that others can read is none. */
static bool read_file(const char *file, char **ret_line)
{
    CLEANUP(buf_done) struct buf line = {0};
    bool is_open = false;

    int r = secret_file_read(file, LINE_MOST, &line, &is_open);
    if (r == ERR_TOO_LARGE) {
        return complain(file, "its first line is too long for a token");
    }
    if (r != 0) {
        return complain(file, strerror(errno));
    }
    if (is_open) {
        return complain(file, "others can read it: chmod 600");
    }
    if (line.n == 0) {
        return complain(file, "there is no token in its first line");
    }
    *ret_line = mem_text(buf_text(&line));
    return true;
}

static bool make(const char *file, char **ret_token)
{
    char text[ACCESS_TOKEN_TEXT + 1] = {0};
    struct ulid id = ulid_next();

    access_token_make(id, text);
    bool good = secret_file_write(file, str_of(text), SECRET_FILE_NEW) == 0;
    int why = errno;
    *ret_token = good ? mem_text(text) : NULL;
    explicit_bzero(text, sizeof text);
    return good || complain(file, strerror(why));
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
