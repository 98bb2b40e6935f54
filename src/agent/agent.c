#include "agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/facts.h"
#include "agent/pace.h"
#include "agent/session.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/options.h"

enum {
    EXIT_USAGE = 2,
    FACTS_EVERY_MS = 60000,
    FIRST_CONTACT_MS = 6000, /* a server waits up to 5 s for a leader */
};

#define NEVER UINT64_MAX

struct settings {
    char *server;
    char *hostname;
    uint64_t ttl_ms;
    bool keep;
    struct option_map field;
    char *log_level;
    char *log_format;
};

/* One thing the agent has to do again and again. */
struct duty {
    uint64_t at_ms;
    unsigned failures;         /* in a row */
    enum session_outcome last; /* logged when it differs */
};

struct agent {
    struct session session;
    json_t *fields; /* from the configuration */
    json_t *facts;  /* as last collected */
    uint64_t facts_at_ms;
    struct duty registration;
    struct duty heartbeat; /* only while the registry knows us */
    bool known;
    bool introduced; /* a registration was sent: there may be one to remove */
    bool stop;
    int signals;
};

/* ---- settings ---- */

static int complain(const char *sentence, const char *about)
{
    (void)fprintf(stderr, "roster-agent: %s: %s\n", about, sentence);
    return EXIT_USAGE;
}

static int start_log(const struct settings *set)
{
    static const char *const formats[] = {
        [LOG_AUTO] = "auto", [LOG_TEXT] = "text", [LOG_JSON] = "json"};
    enum log_level level = LOG_INFO;

    if (log_level_parse(str_of(set->log_level), &level) != 0) {
        return complain("choose debug, info, warn or error", "--log-level");
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(set->log_format, formats[i]) == 0) {
            log_start(level, (enum log_format)i);
            return 0;
        }
    }
    return complain("choose auto, text or json", "--log-format");
}

static int choose_hostname(struct settings *set)
{
    char own[256];

    if (set->hostname == NULL || set->hostname[0] == '\0') {
        if (gethostname(own, sizeof own) != 0) {
            return complain(strerror(errno), "--hostname");
        }
        own[sizeof own - 1] = '\0';
        (void)mem_free(set->hostname);
        set->hostname = mem_text(own);
    }
    json_t *text = json_string(set->hostname);
    bool good = text != NULL;
    json_decref(text);
    return good ? 0 : complain("is not valid UTF-8", "--hostname");
}

static int read_fields(const struct settings *set, json_t **ret_fields)
{
    json_t *fields = json_object();

    for (size_t i = 0; i < set->field.n; i++) {
        const char *name = set->field.items[i].name;
        const char *wrong = NULL;
        if (strcmp(name, "hostname") == 0) {
            wrong = "the hostname is set with --hostname";
        } else if (name[0] == '_') {
            wrong = "names that start with _ are the server's: choose another";
        } else if (json_object_set_new(
                       fields, name, json_string(set->field.items[i].value)) !=
                   0) {
            wrong = "name or value is not valid UTF-8";
        }
        if (wrong != NULL) {
            json_decref(fields);
            (void)fprintf(stderr, "roster-agent: --field %s: %s\n", name,
                          wrong);
            return EXIT_USAGE;
        }
    }
    *ret_fields = fields;
    return 0;
}

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

static void introduce(struct agent *agent)
{
    uint64_t start = clock_mono_ms();

    set_timeouts(agent);
    agent->introduced = true;
    enum session_outcome outcome =
        session_register(&agent->session, agent->facts);
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
        log_info(LOG_AGENT, "collecting the machine's facts");
        agent->facts_at_ms = 0;
    } else {
        log_info(LOG_AGENT, "stopping", LOG_U64("signal", number));
        agent->stop = true;
    }
}

static uint64_t soonest(const struct agent *agent)
{
    uint64_t at = agent->facts_at_ms;
    at = agent->registration.at_ms < at ? agent->registration.at_ms : at;
    return agent->heartbeat.at_ms < at ? agent->heartbeat.at_ms : at;
}

static void wait(struct agent *agent)
{
    uint64_t now = clock_mono_ms();
    uint64_t at = soonest(agent);
    uint64_t left = at > now ? at - now : 0;
    struct pollfd signals = {.fd = agent->signals, .events = POLLIN};
    struct signalfd_siginfo info;

    if (poll(&signals, 1, (int)(left < 60000 ? left : 60000)) > 0 &&
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
        /* The heartbeat first: the other can wait. */
        if (now >= agent->heartbeat.at_ms) {
            beat(agent);
        } else if (now >= agent->registration.at_ms) {
            introduce(agent);
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

static int run(const struct settings *set, struct roster *roster,
               json_t *fields)
{
    struct agent agent = {
        .session = {.roster = roster,
                    .hostname = set->hostname,
                    .ttl_ms = set->ttl_ms,
                    .heartbeat_ms = set->ttl_ms / 3},
        .fields = fields,
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
    (void)close(agent.signals);
    return EXIT_SUCCESS;
}

static int check_and_run(struct settings *set)
{
    json_t *fields = NULL;

    int status = start_log(set);
    if (status == 0) {
        status = choose_hostname(set);
    }
    if (status == 0) {
        status = read_fields(set, &fields);
    }
    if (status != 0) {
        return status;
    }
    struct roster *roster = roster_new();
    if (roster_set_servers(roster, set->server) == ROSTER_OK) {
        status = run(set, roster, fields);
    } else {
        status = complain(roster_error(roster)->detail, "--server");
    }
    (void)roster_free(roster);
    json_decref(fields);
    return status;
}

int agent_main(int argc, char **argv)
{
    struct settings set = {
        .server = mem_text("http://127.0.0.1:7070"),
        .ttl_ms = 30000,
        .log_level = mem_text("info"),
        .log_format = mem_text("auto"),
    };
    const struct option table[] = {
        {.name = "server",
         .kind = OPTION_TEXT,
         .target = &set.server,
         .value_name = "URL[,URL...]",
         .help = "servers of the registry; any one that answers will do"},
        {.name = "hostname",
         .kind = OPTION_TEXT,
         .target = &set.hostname,
         .value_name = "NAME",
         .help = "register under NAME instead of the machine's host name"},
        {.name = "ttl",
         .kind = OPTION_DURATION,
         .target = &set.ttl_ms,
         .least = 2000,
         .most = 86400000,
         .value_name = "TIME",
         .help = "how long the registry keeps a machine that is silent"},
        {.name = "keep",
         .kind = OPTION_FLAG,
         .target = &set.keep,
         .help = "stay registered when stopped, until the TTL ends"},
        {.name = "field",
         .kind = OPTION_MAP,
         .target = &set.field,
         .help = "a further field of the machine, or another value for a found "
                 "one; may be given several times"},
        {.name = "log-level",
         .kind = OPTION_TEXT,
         .target = &set.log_level,
         .value_name = "LEVEL",
         .help = "debug, info, warn or error"},
        {.name = "log-format",
         .kind = OPTION_TEXT,
         .target = &set.log_format,
         .value_name = "FORMAT",
         .help = "text, json, or auto: text on a terminal"},
        {.name = NULL},
    };
    const struct options options = {
        .program = "roster-agent",
        .usage = "roster-agent [OPTION...]",
        .about =
            "Registers this machine with a roster registry, keeps it there "
            "with heartbeats, tells the registry when the machine's facts "
            "change, and takes it out when stopped (SIGTERM). SIGHUP "
            "collects the facts at once.",
        .table = table,
    };
    int status = EXIT_USAGE;

    switch (options_read(&options, argc, argv, NULL, NULL)) {
    case OPTIONS_RUN:
        status = check_and_run(&set);
        break;
    case OPTIONS_EXIT_OK:
        status = EXIT_SUCCESS;
        break;
    case OPTIONS_EXIT_USAGE:
        break;
    }
    options_done(&options);
    return status;
}
