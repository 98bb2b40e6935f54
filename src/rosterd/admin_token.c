#include "rosterd/admin_token.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "access/access_token.h"
#include "base/err.h"
#include "base/log.h"
#include "base/secret_file.h"

enum { WHY = 256 };

static int fail(const char *what, char why[WHY])
{
    (void)snprintf(why, WHY, "%s: %s", what, strerror(errno));
    return ERR_IO;
}

/* Answers: NOT_FOUND (there is no file), INVALID. */
static int read_file(const char *file, char ret_text[ACCESS_TOKEN_TEXT],
                     char why[WHY])
{
    CLEANUP(buf_done) struct buf line = {0};
    bool is_open = false;
    struct ulid id;

    int r = secret_file_read(file, ACCESS_TOKEN_TEXT, &line, &is_open);
    if (r < 0) {
        return fail("cannot be read", why);
    }
    if (r == ERR_NOT_FOUND) {
        return r;
    }
    /* Somebody may want it so, as for a secret that is mounted; nobody should
     * have it so without knowing. */
    if (is_open) {
        log_warn(LOG_CORE,
                 "others than its owner can read the admin token: chmod 600",
                 LOG_TXT("file", file));
    }
    if (r != 0 || access_token_parse(buf_str(&line), &id) != 0) {
        (void)snprintf(why, WHY,
                       "holds no token, which is rst_, an id and a secret on "
                       "one line: remove the file, and the next start makes "
                       "a new one");
        return ERR_INVALID;
    }
    memcpy(ret_text, line.p, ACCESS_TOKEN_TEXT);
    return 0;
}

static int make_file(const char *file, char ret_text[ACCESS_TOKEN_TEXT],
                     char why[WHY])
{
    access_token_make(ulid_next(), ret_text);
    if (secret_file_write(file, (struct str){ret_text, ACCESS_TOKEN_TEXT},
                          SECRET_FILE_NEW) == 0) {
        return 0;
    }
    int error = errno;
    explicit_bzero(ret_text, ACCESS_TOKEN_TEXT);
    errno = error;
    return fail("cannot be made", why);
}

static int get(const char *file, char ret_text[ACCESS_TOKEN_TEXT],
               char why[WHY])
{
    int r = read_file(file, ret_text, why);

    if (r == ERR_NOT_FOUND) {
        r = make_file(file, ret_text, why);
    }
    return r;
}

int admin_token_load(const struct settings *settings, struct registry *registry)
{
    CLEANUP(buf_done) struct buf file = {0};
    char text[ACCESS_TOKEN_TEXT];
    char why[WHY];

    if (settings->admin_token_file != NULL) {
        buf_add_text(&file, settings->admin_token_file);
    } else {
        buf_printf(&file, "%s/admin.token", settings->data_dir);
    }
    int r = get(buf_text(&file), text, why);
    if (r != 0) {
        log_error(LOG_CORE, "the admin token cannot be had",
                  LOG_TXT("file", file.p), LOG_TXT("why", why));
        return r;
    }
    r = registry_set_own_token(registry, settings->id,
                               (struct str){text, sizeof text});
    explicit_bzero(text, sizeof text);
    log_info(LOG_CORE, "access control is on, the admin token is in a file",
             LOG_TXT("file", file.p));
    return r;
}
