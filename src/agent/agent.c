#include "agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/collect.h"
#include "agent/facts.h"
#include "agent/inventory.h"
#include "agent/pace.h"
#include "agent/session.h"
#include "agent/settings.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    FACTS_EVERY_MS = 60000,
    FIRST_CONTACT_MS = 6000, /* a server waits up to 5 s for a leader */
};

#define NEVER UINT64_MAX

/* One thing the agent has to do again and again. */
struct duty {
    uint64_t at_ms;
    unsigned failures;         /* in a row */
    enum session_outcome last; /* logged when it differs */
};

struct agent {
    struct session session;
    json_t *fields; /* from the configuration */
    struct inventories *inventories;
    json_t *facts; /* as last collected */
    uint64_t facts_at_ms;
    struct duty registration;
    struct duty heartbeat; /* only while the registry knows us */
    bool known;
    bool introduced; /* a registration was sent: there may be one to remove */
    bool stop;
    int signals;
};

/* ---- the loop ---- */

/* A lease must outlive a server that does not answer: what an attempt may take
 * follows from the heartbeat. A first registration has no lease to lose and
 * waits for an election. */
static void set_timeouts(struct agent *agent)
{
    uint64_t beat = agent->session.heartbeat_ms;
    uint64_t connect = beat / 4 < 2000 ? beat / 4 : 2000;
    uint64_t total = beat / 2 < 5000 ? beat / 2 : 5000;

    roster_set_timeouts(agent->session.roster, connect < 200 ? 200 : connect,
                        agent->known ? total : FIRST_CONTACT_MS);
}

/* A state of trouble is logged when it begins and when it changes, not each
 * time it is met. */
static void log_trouble(const struct agent *agent, const struct duty *duty,
                        enum session_outcome outcome, const char *what)
{
    const struct roster_error *error = roster_error(agent->session.roster);
    enum log_level level =
        duty->failures > 0 && duty->last == outcome ? LOG_DEBUG : LOG_WARN;

    if (outcome == SESSION_REFUSED) {
        LOG_AT(level, LOG_AGENT, "refused; trying again", LOG_TXT("what", what),
               LOG_U64("status", (uint64_t)error->status),
               LOG_TXT("why", error->detail), LOG_TXT("field", error->field));
    } else {
        LOG_AT(level, LOG_AGENT, "no server is ready; trying again",
               LOG_TXT("what", what), LOG_TXT("why", error->detail));
    }
}

static void failed(struct agent *agent, struct duty *duty,
                   enum session_outcome outcome, const char *what)
{
    if (outcome == SESSION_INTERRUPTED) {
        duty->at_ms = clock_mono_ms();
        return;
    }
    log_trouble(agent, duty, outcome, what);
    duty->last = outcome;
    duty->failures += duty->failures < 32 ? 1 : 0;
    duty->at_ms = clock_mono_ms() + pace_retry_ms(duty->failures,
                                                  agent->session.heartbeat_ms,
                                                  chance_u64());
}

static void succeeded(struct duty *duty, const char *what)
{
    if (duty->failures > 0) {
        log_info(LOG_AGENT, "answered again", LOG_TXT("what", what),
                 LOG_U64("failed_tries", duty->failures));
    }
    duty->failures = 0;
}

/* Registered anew: nothing that was bound to the old lease is there any more.
 * Placed elsewhere: there is nothing there yet. */
static void see_changes(struct agent *agent, const char *old_lease,
                        json_t *old_placements)
{
    bool anew = old_lease == NULL || agent->session.lease == NULL ||
                strcmp(old_lease, agent->session.lease) != 0;

    if (anew || !json_equal(old_placements, agent->session.placements)) {
        inventories_hurry(agent->inventories, clock_mono_ms(), anew);
    }
}

static enum session_outcome register_and_see(struct agent *agent)
{
    struct session *session = &agent->session;
    char *lease = session->lease == NULL ? NULL : mem_text(session->lease);
    json_t *placements = json_incref(session->placements);

    enum session_outcome outcome = session_register(session, agent->facts);
    if (outcome == SESSION_DONE) {
        see_changes(agent, lease, placements);
    }
    (void)mem_free(lease);
    json_decref(placements);
    return outcome;
}

static void introduce(struct agent *agent)
{
    uint64_t start = clock_mono_ms();

    set_timeouts(agent);
    agent->introduced = true;
    enum session_outcome outcome = register_and_see(agent);
    if (outcome != SESSION_DONE) {
        failed(agent, &agent->registration, outcome, "registration");
        return;
    }
    succeeded(&agent->registration, "registration");
    agent->known = true;
    agent->registration.at_ms = NEVER;
    agent->heartbeat.at_ms =
        start + pace_beat_ms(agent->session.heartbeat_ms, chance_u64());
}

static void beat(struct agent *agent)
{
    uint64_t start = clock_mono_ms();

    set_timeouts(agent);
    enum session_outcome outcome = session_beat(&agent->session);
    if (outcome == SESSION_DONE) {
        succeeded(&agent->heartbeat, "heartbeat");
        /* From the start of the last one: a slow answer must not stretch the
         * interval the server counts on. */
        agent->heartbeat.at_ms =
            start + pace_beat_ms(agent->session.heartbeat_ms, chance_u64());
    } else if (outcome == SESSION_UNKNOWN_HERE) {
        log_warn(LOG_AGENT, "the registry does not know this machine any more; "
                            "registering again");
        agent->known = false;
        agent->heartbeat = (struct duty){.at_ms = NEVER};
        /* Whole fleets learn this at one moment: spread a little. */
        agent->registration.at_ms =
            clock_mono_ms() +
            chance_u64() % (agent->session.heartbeat_ms / 10 + 1);
    } else {
        failed(agent, &agent->heartbeat, outcome, "heartbeat");
    }
}

static void look_again(struct agent *agent, uint64_t now)
{
    json_t *facts = facts_collect("", agent->session.hostname, agent->fields);

    agent->facts_at_ms = now + pace_beat_ms(FACTS_EVERY_MS, chance_u64());
    if (json_equal(facts, agent->facts)) {
        json_decref(facts);
        return;
    }
    if (agent->facts != NULL) {
        log_info(LOG_AGENT, "the machine's facts have changed");
    }
    json_decref(agent->facts);
    agent->facts = facts;
    /* Not known: a registration is on its way at its own pace. */
    if (agent->known) {
        agent->registration.at_ms = now;
    }
}

static void on_signal(struct agent *agent, uint32_t number)
{
    if (number == SIGHUP) {
        log_info(LOG_AGENT, "collecting what the machine is");
        agent->facts_at_ms = 0;
        inventories_hurry(agent->inventories, clock_mono_ms(), false);
    } else {
        log_info(LOG_AGENT, "stopping", LOG_U64("signal", number));
        agent->stop = true;
    }
}

/* Inventories are for quiet times: nothing may come before a heartbeat. */
static bool is_quiet(const struct agent *agent)
{
    return agent->known && agent->heartbeat.failures == 0;
}

static uint64_t soonest(const struct agent *agent, uint64_t now)
{
    uint64_t at = agent->facts_at_ms;
    at = agent->registration.at_ms < at ? agent->registration.at_ms : at;
    at = agent->heartbeat.at_ms < at ? agent->heartbeat.at_ms : at;
    uint64_t inventory =
        inventories_at(agent->inventories, now, is_quiet(agent));
    return inventory < at ? inventory : at;
}

static void wait(struct agent *agent)
{
    uint64_t now = clock_mono_ms();
    uint64_t at = soonest(agent, now);
    uint64_t left = at > now ? at - now : 0;
    struct pollfd fds[1 + INVENTORY_MAX] = {
        {.fd = agent->signals, .events = POLLIN}};
    size_t n = inventories_poll(agent->inventories, fds + 1);
    struct signalfd_siginfo info;

    if (poll(fds, 1 + n, (int)(left < 60000 ? left : 60000)) > 0 &&
        fds[0].revents != 0 &&
        read(agent->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        on_signal(agent, info.ssi_signo);
    }
}

static void live(struct agent *agent)
{
    while (!agent->stop) {
        uint64_t now = clock_mono_ms();
        if (now >= agent->facts_at_ms) {
            look_again(agent, now);
        }
        /* The heartbeat first: the others can wait. */
        if (now >= agent->heartbeat.at_ms) {
            beat(agent);
        } else if (now >= agent->registration.at_ms) {
            introduce(agent);
        } else {
            inventories_step(agent->inventories, &agent->session,
                             is_quiet(agent));
        }
        wait(agent);
    }
}

static void leave(struct agent *agent)
{
    const char *hostname = agent->session.hostname;
    enum session_outcome outcome = session_leave(&agent->session);

    if (outcome == SESSION_DONE || outcome == SESSION_UNKNOWN_HERE) {
        log_info(LOG_AGENT, "left the registry", LOG_TXT("hostname", hostname));
        return;
    }
    log_warn(LOG_AGENT,
             "could not leave the registry; the lease will end by itself",
             LOG_TXT("hostname", hostname),
             LOG_TXT("why", roster_error(agent->session.roster)->detail));
}

/* Signals come as reads from a descriptor, which also ends a request that
 * waits: no handler runs in the middle of anything. */
static int open_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(const struct settings *set, const struct credential *credential,
               struct roster *roster)
{
    struct agent agent = {
        .session = {.roster = roster,
                    .credential = credential,
                    .hostname = set->hostname,
                    .ttl_ms = set->ttl_ms,
                    .heartbeat_ms = set->ttl_ms / 3},
        .fields = set->fields,
        .inventories = set->inventories,
        .heartbeat = {.at_ms = NEVER},
        .signals = open_signals(),
    };

    if (agent.signals < 0) {
        log_error(LOG_AGENT, "cannot listen for signals",
                  LOG_TXT("why", strerror(errno)));
        return EXIT_FAILURE;
    }
    roster_set_wake_fd(roster, agent.signals);
    roster_set_user_agent(roster, "roster-agent/" ROSTER_VERSION);
    log_info(LOG_AGENT, "started", LOG_TXT("version", ROSTER_VERSION),
             LOG_TXT("hostname", set->hostname),
             LOG_TXT("server", set->server));
    live(&agent);
    if (agent.introduced && !set->keep) {
        leave(&agent);
    }
    json_decref(agent.facts);
    session_done(&agent.session);
    (void)close(agent.signals);
    return EXIT_SUCCESS;
}

static bool connect_as(const struct settings *set, struct roster *roster)
{
    const char *wrong = NULL;

    if (roster_set_servers(roster, set->server) != ROSTER_OK) {
        wrong = "server";
    } else if (roster_set_tls(roster, set->ca, set->cert, set->key) !=
               ROSTER_OK) {
        wrong = "ca, --client-cert, --client-key";
    }
    if (wrong != NULL) {
        (void)fprintf(stderr, "roster-agent: --%s: %s\n", wrong,
                      roster_error(roster)->detail);
    }
    return wrong == NULL;
}

static int connect_and_run(const struct settings *set)
{
    int status = EXIT_USAGE;
    struct roster *roster = roster_new();
    struct credential credential = {0};

    if (connect_as(set, roster) &&
        credential_open(set->token_file, set->credential_file, &credential)) {
        credential_show(&credential, roster);
        status = run(set, &credential, roster);
    }
    credential_done(&credential);
    (void)roster_free(roster);
    return status;
}

int agent_main(int argc, char **argv)
{
    struct settings set;
    int status = EXIT_USAGE;

    switch (settings_read(&set, argc, argv)) {
    case OPTIONS_RUN:
        status = set.show_inventory != NULL ? collect_main(set.show_inventory)
                                            : connect_and_run(&set);
        break;
    case OPTIONS_EXIT_OK:
        status = EXIT_SUCCESS;
        break;
    case OPTIONS_EXIT_USAGE:
        break;
    }
    settings_done(&set);
    return status;
}
