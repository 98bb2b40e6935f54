/* Frames of a link about members, little-endian; api/peer-protocol.md.
 *
 * STATUS, to the leader          MEMBERS, from the leader
 *   u64  applied                   u32   n of members, each:
 *   u32  least level                 u64   raft id
 *   u32  most level                  u8    1: it, or who told, heard it itself
 *   str  id                          u32   least level, 0: not known
 *   str  raft address                u32   most level
 *   str  http address                str   id, raft, http, version
 *   str  version                   u32   n of removed, each a u64 raft id
 *
 * str: u8 length, bytes. What follows is of later versions and left alone. */
#include <stdio.h>

#include "base/err.h"
#include "raft/members.h"

static void put_text(struct buf *out, const char *text)
{
    size_t n = strlen(text);

    buf_add_le(out, n, 1);
    buf_add(out, text, n);
}

struct cursor {
    struct str rest;
    bool bad;
};

static uint64_t get_number(struct cursor *in, size_t n)
{
    if (in->bad || in->rest.n < n) {
        in->bad = true;
        return 0;
    }
    uint64_t number = le_get(in->rest.p, n);
    in->rest = (struct str){in->rest.p + n, in->rest.n - n};
    return number;
}

/* Printable and without blanks: it is written into files and shown. */
static void get_text(struct cursor *in, char *field, size_t size)
{
    size_t n = (size_t)get_number(in, 1);

    if (in->bad || in->rest.n < n || n >= size) {
        in->bad = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)in->rest.p[i];
        in->bad = in->bad || c <= ' ' || c == 0x7f;
        field[i] = (char)c;
    }
    field[n] = '\0';
    in->rest = (struct str){in->rest.p + n, in->rest.n - n};
}

static void get_texts(struct cursor *in, struct known *known)
{
    get_text(in, known->id, sizeof known->id);
    get_text(in, known->raft, sizeof known->raft);
    get_text(in, known->http, sizeof known->http);
    get_text(in, known->version, sizeof known->version);
}

static void put_texts(struct buf *out, const char *id, const char *raft,
                      const char *http, const char *version)
{
    put_text(out, id);
    put_text(out, raft);
    put_text(out, http);
    put_text(out, version);
}

void members_status_write(const struct core *core, struct buf *out)
{
    struct peer_id self;

    members_self(core, &self);
    buf_add_le(out, machine_view(core->machine).applied, 8);
    buf_add_le(out, self.level_least, 4);
    buf_add_le(out, self.level_most, 4);
    put_texts(out, self.name, self.raft, self.http, self.version);
}

int members_status_read(struct core *core, uint64_t raft_id, struct str bytes)
{
    struct members *members = core->members;
    struct cursor in = {.rest = bytes};
    struct known known = {.raft_id = raft_id, .recent = true};

    uint64_t applied = get_number(&in, 8);
    known.level_least = (uint32_t)get_number(&in, 4);
    known.level_most = (uint32_t)get_number(&in, 4);
    get_texts(&in, &known);
    if (in.bad || known.level_most < known.level_least) {
        return ERR_INVALID;
    }
    struct heard *heard = members_heard_of(members, raft_id);
    heard->applied = applied;
    pthread_mutex_lock(&members->lock);
    (void)known_learn(members, &known);
    pthread_mutex_unlock(&members->lock);
    return 0;
}

static void put_member(const struct core *core, struct buf *out,
                       const struct core_member *member)
{
    const struct known self = {.level_least = feature_least(core),
                               .level_most = feature_most(core),
                               .recent = true};
    const struct known none = {.raft_id = 0};
    const struct known *known =
        member->self ? &self : known_find(core->members, member->raft_id);

    known = known == NULL ? &none : known;
    buf_add_le(out, member->raft_id, 8);
    buf_add_le(out, known->recent ? 1 : 0, 1);
    buf_add_le(out, known->level_least, 4);
    buf_add_le(out, known->level_most, 4);
    /* Where this node finds it may be for this node alone. */
    put_texts(out, member->id,
              known->raft[0] != '\0' ? known->raft : member->raft, member->http,
              member->version);
}

void members_table_write(const struct core *core, struct buf *out)
{
    struct members *members = core->members;

    pthread_mutex_lock(&members->lock);
    buf_add_le(out, members->n_shown, 4);
    for (size_t i = 0; i < members->n_shown; i++) {
        put_member(core, out, &members->shown[i]);
    }
    buf_add_le(out, members->n_removed, 4);
    for (size_t i = 0; i < members->n_removed; i++) {
        buf_add_le(out, members->removed[i], 8);
    }
    pthread_mutex_unlock(&members->lock);
}

static void get_members(struct cursor *in, struct known *known, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        known[i].raft_id = get_number(in, 8);
        known[i].recent = get_number(in, 1) == 1;
        known[i].level_least = (uint32_t)get_number(in, 4);
        known[i].level_most = (uint32_t)get_number(in, 4);
        get_texts(in, &known[i]);
        in->bad = in->bad || known[i].raft_id == 0;
    }
}

int members_table_read(struct core *core, struct str bytes)
{
    struct known known[CORE_MEMBERS_MOST] = {{.raft_id = 0}};
    uint64_t removed[REMOVED_MOST];
    struct members *members = core->members;
    struct cursor in = {.rest = bytes};

    size_t n = (size_t)get_number(&in, 4);
    if (n > CORE_MEMBERS_MOST) {
        return ERR_INVALID;
    }
    get_members(&in, known, n);
    size_t n_removed = (size_t)get_number(&in, 4);
    if (n_removed > REMOVED_MOST) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < n_removed; i++) {
        removed[i] = get_number(&in, 8);
    }
    if (in.bad) {
        return ERR_INVALID;
    }
    pthread_mutex_lock(&members->lock);
    for (size_t i = 0; i < n; i++) {
        if (known[i].raft_id != core->raft_id) {
            (void)known_learn(members, &known[i]);
        }
    }
    for (size_t i = 0; i < n_removed; i++) {
        known_remove(members, removed[i]);
    }
    bool self = known_is_removed(members, core->raft_id);
    pthread_mutex_unlock(&members->lock);
    if (self) {
        members_removed(core);
    }
    return 0;
}

uint64_t members_table_version(const struct core *core)
{
    struct members *members = core->members;

    pthread_mutex_lock(&members->lock);
    uint64_t version = members->table_version;
    pthread_mutex_unlock(&members->lock);
    return version;
}
