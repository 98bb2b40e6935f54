/* What may be proposed: a replicated level, at most the lowest of all members.
 *
 * A program understands three levels, the one it was made for and the two
 * before. So nodes of versions in a row work together, in any order of their
 * upgrades: as long as one of the older ones is a member, nothing is proposed
 * that it does not understand. When the last one is replaced, the leader raises
 * the level, and what is new may be used. There is no way down. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "raft/members.h"

uint32_t feature_most(const struct core *core)
{
    return core->config.feature_level == 0 ? MACHINE_FEATURE_LEVEL
                                           : core->config.feature_level;
}

uint32_t feature_least(const struct core *core)
{
    uint32_t most = feature_most(core);
    return most <= MACHINE_FEATURE_FIRST + 2 ? MACHINE_FEATURE_FIRST : most - 2;
}

uint64_t core_feature_level(const struct core *core)
{
    return machine_view(core->machine).feature_level;
}

int feature_check(const struct core *core)
{
    uint64_t level = core_feature_level(core);

    if (level == 0 ||
        (level >= feature_least(core) && level <= feature_most(core))) {
        return 0;
    }
    log_error(LOG_CORE,
              level > feature_most(core)
                  ? "the registry is of a newer version: start that one"
                  : "the registry is of a version that is too old: start "
                    "the one in between first",
              LOG_U64("its_level", level),
              LOG_U64("least", feature_least(core)),
              LOG_U64("most", feature_most(core)));
    return ERR_INVALID;
}

/* The level that all members have announced since this node started; 0 while
 * one of them has not: it may come back as another version than it left. */
static uint64_t level_of_all(struct core *core)
{
    const struct raft_configuration *list = &core->raft.configuration;
    uint64_t level = feature_most(core);

    for (unsigned i = 0; i < list->n; i++) {
        uint64_t id = list->servers[i].id;
        const struct known *known = known_find(core->members, id);
        if (id == core->raft_id) {
            continue;
        }
        if (known == NULL || !known->recent || known->level_most == 0 ||
            !members_is_alive(core, id, clock_mono_ms())) {
            return 0;
        }
        level = known->level_most < level ? known->level_most : level;
    }
    return level;
}

static void raised(struct core_request *request)
{
    struct duty *duty = CONTAINER(request, struct duty, request);

    duty->busy = false;
    duty->not_before_ms = clock_mono_ms() + DUTY_PAUSE_MS;
    if (request->outcome == 0 && request->result.answer == 0) {
        log_info(LOG_CORE, "the feature level was raised",
                 LOG_U64("to", core_feature_level(duty->core)));
    }
    machine_result_done(&request->result);
    request->result = (struct machine_result){0};
}

static void propose(struct core *core)
{
    struct duty *duty = &core->members->feature;
    struct command command = {.kind = COMMAND_FEATURE};

    if (core->stopping || duty->busy || clock_mono_ms() < duty->not_before_ms) {
        return;
    }
    pthread_mutex_lock(&core->members->lock);
    command.feature.level = level_of_all(core);
    pthread_mutex_unlock(&core->members->lock);
    if (command.feature.level <= core_feature_level(core)) {
        duty->not_before_ms = clock_mono_ms() + DUTY_PAUSE_MS;
        return;
    }
    buf_clear(&duty->bytes);
    command_encode(&duty->bytes, &command);
    duty->core = core;
    duty->request = (struct core_request){.command = buf_str(&duty->bytes),
                                          .shrinks = true,
                                          .local = true,
                                          .done = raised};
    duty->busy = true;
    core_submit(core, &duty->request);
}

void feature_turn(struct core *core)
{
    if (core->leading) {
        propose(core);
    }
}

/* Nobody else has to be asked: before anybody is served, so that a registry
 * does not change by itself a moment later. */
bool feature_comes_first(struct core *core)
{
    bool first = core->raft.configuration.n == 1 &&
                 core_feature_level(core) < feature_most(core);

    if (first) {
        propose(core);
    }
    return first;
}
