/* Where the other nodes are, and who was removed: what data-dir/peers keeps.
 *
 *   format 1
 *   member RAFT-ID NAME RAFT HTTP VERSION     "-" for what is not known
 *   removed RAFT-ID                           the oldest first
 *
 * Nothing here is promised to anybody: a file that is lost is learned again. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "raft/members.h"

/* The next word of a line; n == 0 at its end. */
static struct str word(struct str *line)
{
    size_t n = 0;

    while (line->n > 0 && line->p[0] == ' ') {
        *line = (struct str){line->p + 1, line->n - 1};
    }
    while (n < line->n && line->p[n] != ' ') {
        n++;
    }
    struct str found = {line->p, n};
    *line = (struct str){line->p + n, line->n - n};
    return found;
}

static void set(char *field, size_t size, struct str text)
{
    if (text.n > 0 && text.n < size && !str_is(text, "-")) {
        memcpy(field, text.p, text.n);
        field[text.n] = '\0';
    }
}

#define SET(field, text) set((field), sizeof(field), (text))

void known_read(const char *text, struct known *ret_known)
{
    struct str rest = str_of(text);
    struct str one = word(&rest);
    struct str two = word(&rest);
    struct known known = {.raft_id = 0};

    if (two.n == 0) {
        SET(known.raft, one);
    } else {
        SET(known.id, one);
        SET(known.raft, two);
        SET(known.http, word(&rest));
    }
    *ret_known = known;
}

void known_write(const struct known *known, struct buf *out)
{
    buf_printf(out, "%s %s%s%s", known->id, known->raft,
               known->http[0] == '\0' ? "" : " ", known->http);
}

const struct known *known_find(const struct members *members, uint64_t raft_id)
{
    for (size_t i = 0; i < members->n_known; i++) {
        if (members->known[i].raft_id == raft_id) {
            return &members->known[i];
        }
    }
    return NULL;
}

static bool is_shown(const struct members *members, uint64_t raft_id)
{
    for (size_t i = 0; i < members->n_shown; i++) {
        if (members->shown[i].raft_id == raft_id) {
            return true;
        }
    }
    return false;
}

/* A place for one more: that of the first who is no member, when all are
 * taken. */
static struct known *place(struct members *members, uint64_t raft_id)
{
    size_t at = 0;

    while (at < members->n_known && members->known[at].raft_id != raft_id) {
        at++;
    }
    if (at == KNOWN_MOST) {
        at = 0;
        while (at < KNOWN_MOST - 1 &&
               is_shown(members, members->known[at].raft_id)) {
            at++;
        }
        members->known[at] = (struct known){.raft_id = raft_id};
    } else if (at == members->n_known) {
        members->known[members->n_known++] = (struct known){.raft_id = raft_id};
    }
    return &members->known[at];
}

/* What has blanks in it is no name and no address, and would not be read back.
 */
static bool take(char *field, size_t size, const char *text)
{
    if (text[0] == '\0' || strpbrk(text, " \n") != NULL ||
        strcmp(field, text) == 0) {
        return false;
    }
    (void)snprintf(field, size, "%s", text);
    return true;
}

#define TAKE_TEXT(field) take(known->field, sizeof known->field, from->field)

bool known_learn(struct members *members, const struct known *from)
{
    struct known *known = place(members, from->raft_id);
    bool changed = TAKE_TEXT(id);

    known->moved = known->moved || (from->recent && from->raft[0] != '\0' &&
                                    known->raft[0] != '\0' &&
                                    strcmp(from->raft, known->raft) != 0);
    changed |= TAKE_TEXT(raft);
    changed |= TAKE_TEXT(http);
    changed |= TAKE_TEXT(version);
    if (from->level_most != 0 && (from->level_most != known->level_most ||
                                  from->level_least != known->level_least)) {
        known->level_most = from->level_most;
        known->level_least = from->level_least;
        changed = true;
    }
    if (from->recent && !known->recent) {
        known->recent = true;
        changed = true;
    }
    members->version += changed ? 1 : 0;
    return changed;
}

bool known_is_removed(const struct members *members, uint64_t raft_id)
{
    for (size_t i = 0; i < members->n_removed; i++) {
        if (members->removed[i] == raft_id) {
            return true;
        }
    }
    return false;
}

void known_remove(struct members *members, uint64_t raft_id)
{
    if (raft_id == 0 || known_is_removed(members, raft_id)) {
        return;
    }
    if (members->n_removed == REMOVED_MOST) {
        members->n_removed--;
        memmove(members->removed, members->removed + 1,
                members->n_removed * sizeof members->removed[0]);
    }
    members->removed[members->n_removed++] = raft_id;
    members->version++;
}

/* ---- the file ---- */

static const char *or_none(const char *text)
{
    return text[0] == '\0' ? "-" : text;
}

void known_encode(const struct members *members, struct buf *out)
{
    buf_add_text(out, "format 1\n");
    for (size_t i = 0; i < members->n_known; i++) {
        const struct known *known = &members->known[i];
        buf_printf(out, "member %llu %s %s %s %s\n",
                   (unsigned long long)known->raft_id, or_none(known->id),
                   or_none(known->raft), or_none(known->http),
                   or_none(known->version));
    }
    for (size_t i = 0; i < members->n_removed; i++) {
        buf_printf(out, "removed %llu\n",
                   (unsigned long long)members->removed[i]);
    }
}

static void read_line(struct members *members, struct str line)
{
    struct known known = {.raft_id = 0};
    struct str kind = word(&line);

    if (str_number(word(&line), UINT64_MAX, &known.raft_id) != 0) {
        return;
    }
    if (str_is(kind, "removed")) {
        known_remove(members, known.raft_id);
    } else if (str_is(kind, "member")) {
        SET(known.id, word(&line));
        SET(known.raft, word(&line));
        SET(known.http, word(&line));
        SET(known.version, word(&line));
        (void)known_learn(members, &known);
    }
}

void known_load(struct core *core)
{
    char *path = dir_join(core->config.data_dir, "peers");
    struct buf content = dir_read(path);
    struct str rest = buf_str(&content);

    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end == NULL ? rest.n : (size_t)(end - rest.p);
        read_line(core->members, (struct str){rest.p, n});
        n += end == NULL ? 0 : 1;
        rest = (struct str){rest.p + n, rest.n - n};
    }
    core->members->saved_version = core->members->version;
    buf_done(&content);
    mem_free(path);
}

int known_write_file(struct core *core)
{
    char *path = dir_join(core->config.data_dir, "peers");
    struct buf content = {0};

    pthread_mutex_lock(&core->members->lock);
    known_encode(core->members, &content);
    pthread_mutex_unlock(&core->members->lock);
    int r = dir_write(path, buf_str(&content));
    buf_done(&content);
    mem_free(path);
    return r;
}

struct save {
    struct work work;
    struct core *core;
    char *path;
    struct buf content;
    uint64_t version;
    int r;
};

static void run(struct work *work)
{
    struct save *save = CONTAINER(work, struct save, work);
    save->r = dir_write(save->path, buf_str(&save->content));
}

static void after(struct work *work)
{
    struct save *save = CONTAINER(work, struct save, work);
    struct members *members = save->core->members;

    if (save->r != 0) {
        log_warn(LOG_RAFT, "the addresses of the members cannot be written",
                 LOG_TXT("file", save->path),
                 LOG_TXT("why", err_text(save->r)));
    }
    members->saving = NULL;
    buf_done(&save->content);
    mem_free(save->path);
    mem_free(save);
}

void known_save(struct core *core)
{
    struct members *members = core->members;

    if (members->saving != NULL) {
        return;
    }
    pthread_mutex_lock(&members->lock);
    bool changed = members->version != members->saved_version;
    struct save *save = changed ? mem_zero(sizeof *save) : NULL;
    if (changed) {
        members->saved_version = members->version;
        known_encode(members, &save->content);
    }
    pthread_mutex_unlock(&members->lock);
    if (!changed) {
        return;
    }
    save->core = core;
    save->path = dir_join(core->config.data_dir, "peers");
    save->work.run = run;
    save->work.after = after;
    members->saving = save;
    jobs_push(core, &save->work);
}
