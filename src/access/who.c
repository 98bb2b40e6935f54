#include <stdatomic.h>

#include "access/access.h"

/* Never counted: it is nobody's to end. */
static struct access_who anyone = {
    .kind = ACCESS_ANYONE, .name = {"anyone", 6}, .view = {1}};
static struct access_who anonymous = {
    .kind = ACCESS_ANONYMOUS, .name = {"anonymous", 9}, .view = {2}};

struct access_who *access_anyone(void)
{
    return &anyone;
}

struct access_who *access_anonymous(void)
{
    return &anonymous;
}

static bool is_static(const struct access_who *who)
{
    return who == &anyone || who == &anonymous;
}

struct access_who *access_ref(struct access_who *who)
{
    if (!is_static(who)) {
        (void)atomic_fetch_add(&who->users, 1);
    }
    return who;
}

struct access_who *access_unref(struct access_who *who)
{
    if (who != NULL && !is_static(who) &&
        atomic_fetch_sub(&who->users, 1) == 1) {
        (void)mem_free(who);
    }
    return NULL;
}
