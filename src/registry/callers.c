/* Who asks. */
#include "registry/room.h"

struct registry_callers {
    struct registry *registry;
};

struct registry_callers *registry_callers_new(struct registry *registry)
{
    struct registry_callers *callers = mem_zero(sizeof *callers);

    callers->registry = registry;
    return callers;
}

struct registry_callers *registry_callers_free(struct registry_callers *callers)
{
    return mem_free(callers);
}

int registry_identify(struct registry_callers *callers,
                      struct store_reader *reader,
                      const struct access_shown *shown,
                      struct access_who **ret_who)
{
    (void)callers;
    (void)reader;
    (void)shown;
    *ret_who = access_anyone();
    return 0;
}

bool registry_who_stands(const struct registry *registry,
                         const struct access_who *who)
{
    (void)registry;
    return who->kind == ACCESS_ANYONE;
}
