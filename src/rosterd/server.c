/* The end, in order: what is in flight needs the core, the core needs nobody.
 *
 *   SIGTERM ─► on_stop (core thread): /readyz 503, Connection: close
 *                 └─► a thread of its own: serve on for --drain,
 *                     rest_stop, then core_stop on the core thread
 *   core_run returns ─► core_close: what is on the disk is marked clean */
#include "rosterd/server.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/err.h"
#include "cache/cache.h"
#include "hook/hook.h"
#include "lease/damper.h"
#include "lease/lease.h"
#include "lease/reaper.h"
#include "lease/sweeper.h"
#include "raft/core.h"
#include "registry/registry.h"
#include "rest/rest.h"
#include "rosterd/admin_token.h"
#include "rosterd/certificates.h"
#include "rosterd/join.h"
#include "rosterd/ldap.h"
#include "rosterd/notify.h"
#include "rosterd/trust.h"
#include "watch/watch.h"

enum { HEAD_TIMEOUT_MS = 10000, IDLE_TIMEOUT_MS = 60000 };

struct server {
    const struct settings *settings;
    int argc;
    char **argv;
    struct certificates *certificates;
    struct cache *cache;
    struct lease_table *leases;
    struct watch_hub *hub;
    struct core *core;
    struct audit *audit;
    struct registry *registry;
    struct reaper *reaper;
    struct damper *damper;
    struct sweeper *sweeper;
    struct hook *hook;
    struct rest *rest;
    pthread_t ending;
    bool ends;       /* `ending` runs, or has run */
    bool told_ready; /* the service manager */
    int wake;        /* an eventfd: what --join asks is given up */
    uint64_t drain_ms;
    atomic_bool rest_over; /* nothing calls into the core any more */
    struct core_call stop;
};

/* ---- hooks, all on the core thread and only from inside core_run ---- */

static void on_lead(void *user, bool leads)
{
    struct server *server = user;

    registry_on_lead(server->registry, leads);
    hook_on_lead(server->hook, leads);
    if (leads) {
        reaper_begin(server->reaper);
    }
}

static void on_ask(void *user, struct core_asked *asked)
{
    struct server *server = user;
    registry_on_ask(server->registry, asked);
}

/* Once: what waits for this service may go on when /readyz says 200. */
static void tell_ready(struct server *server)
{
    struct registry_check checks[REGISTRY_CHECKS];

    if (!server->told_ready &&
        registry_ready(server->registry, false, checks)) {
        server->told_ready = true;
        notify_manager(NOTIFY_READY);
    }
}

static void tick(void *user)
{
    struct server *server = user;

    registry_on_tick(server->registry);
    if (core_status(server->core).leads) {
        reaper_tick(server->reaper);
        sweeper_tick(server->sweeper);
    }
    watch_hub_tidy(server->hub);
    tell_ready(server);
}

static void on_revision(void *user, uint64_t revision)
{
    struct server *server = user;
    registry_on_revision(server->registry, revision);
    hook_on_revision(server->hook);
}

static void on_restored(void *user)
{
    struct server *server = user;

    watch_hub_replaced(server->hub, core_revision(server->core));
    registry_on_restored(server->registry);
    hook_on_restored(server->hook);
    reaper_begin(server->reaper);
}

/* Not all settings: what they name may take time to look up. */
static void on_reload(void *user)
{
    struct server *server = user;
    enum log_level level = LOG_INFO;

    certificates_reload(server->certificates);
    if (settings_read_level(server->argc, server->argv, &level) == 0) {
        log_set_level(level);
        log_info(LOG_CORE, "log level read again");
    }
    if (server->settings->access &&
        admin_token_load(server->settings, server->registry) != 0) {
        log_warn(LOG_CORE, "the admin token stays as it was");
    }
}

static void stop_core(struct core_call *call)
{
    core_stop(CONTAINER(call, struct server, stop)->core);
}

static void sleep_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000),
                            .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) != 0) {
    }
}

/* Not the core thread: what is in flight needs it to go on. */
static void *end(void *user)
{
    struct server *server = user;

    sleep_ms(server->drain_ms);
    atomic_store(&server->rest_over, rest_stop(server->rest) == 0);
    server->stop.func = stop_core;
    core_call(server->core, &server->stop);
    return NULL;
}

static void on_stop(void *user)
{
    struct server *server = user;
    bool forms = core_status(server->core).forming != NULL;

    /* Nobody was ever served by one that is no member yet. */
    server->drain_ms = forms ? 0 : server->settings->drain_ms;
    log_info(LOG_CORE, "stops", LOG_U64("drain_ms", server->drain_ms));
    (void)eventfd_write(server->wake, 1);
    notify_manager(NOTIFY_STOPPING);
    core_drain(server->core);
    rest_drain(server->rest);
    /* Leadership goes at once: who asks this node until the end is answered
     * through another one, and nobody has to wait for an election. */
    hook_drain(server->hook);
    server->ends = pthread_create(&server->ending, NULL, end, server) == 0;
    if (!server->ends) {
        core_stop(server->core);
    }
}

/* The thread that forms. */
static int join(void *user, const char *url, struct str request,
                struct buf *reply, char why[CORE_WHY])
{
    struct server *server = user;
    const struct settings *s = server->settings;
    const struct join_as as = {.ca = s->tls_ca,
                               .cert = s->tls_cert,
                               .key = s->tls_key,
                               .token_file = s->join_token_file};

    return join_by_url(url, &as, server->wake, request, reply, why);
}

/* ---- start ---- */

static void on_changed(void *user, const struct str *events, size_t n,
                       uint64_t revision)
{
    watch_hub_publish(user, events, n, revision);
}

static struct machine_hooks machine_hooks(struct server *server)
{
    struct machine_hooks hooks = registry_machine_hooks(server->leases);

    hooks.changed_user = server->hub;
    hooks.changed = on_changed;
    return hooks;
}

static int open_core(struct server *server)
{
    const struct settings *s = server->settings;
    const struct core_config config = {
        .http_address =
            s->advertise != NULL ? s->advertise : rest_address(server->rest),
        .data_dir = s->data_dir,
        .node_id = s->id,
        .domain = s->domain,
        .raft_listen = s->raft,
        .raft_address = s->advertise_raft,
        .join = s->join,
        .cluster = s->cluster,
        .voters = (unsigned)s->voters,
        .voter_timeout_ms = s->voter_timeout_ms,
        .join_by_url = join,
        .feature_level = s->feature_level,
        .history_limit = s->history,
        .store_limit_bytes = s->store_limit,
        .disk_reserve_bytes = s->disk_reserve,
        .snapshot_bytes = s->snapshot_bytes,
        .tls = certificates_of_peers(server->certificates),
        .cache = server->cache,
        .machine_hooks = machine_hooks(server),
        .user = server,
        .on_lead = on_lead,
        .on_tick = tick,
        .on_revision = on_revision,
        .on_restored = on_restored,
        .on_ask = on_ask,
        .on_stop = on_stop,
        .on_reload = on_reload,
    };
    return core_open(&config, &server->core);
}

/* Of the rooms that the mouth does not know. */
static void add_metrics(void *user, struct buf *out)
{
    struct server *server = user;
    hook_metrics(server->hook, out);
}

static int open_rest(struct server *server)
{
    const struct settings *s = server->settings;
    const struct rest_config config = {
        .address = s->http,
        .io_threads = (unsigned)s->io_threads,
        .max_connections = s->max_connections,
        .max_connections_address = s->max_connections_address,
        .max_watchers = s->max_watchers,
        .tls = certificates_of_http(server->certificates),
        .max_body_bytes = s->max_body,
        .max_header_bytes = s->max_header,
        .head_timeout_ms = HEAD_TIMEOUT_MS,
        .request_timeout_ms = s->request_timeout_ms,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .user = server,
        .add_metrics = add_metrics,
    };
    return rest_open(&config, &server->rest);
}

/* Before anybody is served. */
static int guard(struct server *server)
{
    const struct settings *s = server->settings;

    struct access_directory *directory = NULL;

    if (!ldap_open(s, &directory)) {
        return ERR_INVALID; /* what was good when the program began */
    }
    registry_set_directory(server->registry, directory);
    trust_set(s, server->audit, server->registry);
    return s->access ? admin_token_load(s, server->registry) : 0;
}

static void on_act(void *user, const char *op, struct str about, uint64_t ns_id,
                   uint64_t revision)
{
    const struct server *server = user;
    registry_own_act(server->registry, op, about, ns_id, revision);
}

static void make_keepers(struct server *server)
{
    const struct settings *s = server->settings;

    server->reaper = reaper_new(server->leases, server->core);
    server->damper = damper_new(server->leases, server->core, s->flap_count,
                                s->flap_window_ms);
    reaper_ask_first(server->reaper, damper_takes, server->damper);
    server->sweeper = sweeper_new(server->core);
    reaper_tell(server->reaper, on_act, server);
    damper_tell(server->damper, on_act, server);
    sweeper_tell(server->sweeper, on_act, server);
}

static int start(struct server *server)
{
    server->cache = cache_new(server->settings->cache);
    server->leases = lease_table_new();
    lease_table_configure(server->leases,
                          &(struct lease_breaker_config){
                              .percent = server->settings->breaker_percent,
                              .min = server->settings->breaker_min,
                              .hold_ms = server->settings->breaker_hold_ms,
                              .rate = server->settings->breaker_rate});
    server->hub = watch_hub_new(WATCH_RING_BYTES);
    server->wake = eventfd(0, EFD_CLOEXEC);
    if (server->wake < 0) {
        return err_raise(ERR_SYSTEM);
    }
    int r = certificates_open(server->settings, &server->certificates);
    if (r == 0) {
        /* First: other nodes are told where it is. */
        r = open_rest(server);
    }
    if (r == 0) {
        r = open_core(server);
    }
    if (r == 0) {
        r = trust_open(server->settings, &server->audit);
    }
    if (r != 0) {
        return r;
    }
    server->registry =
        registry_new(server->core, server->cache, server->leases);
    make_keepers(server);
    r = guard(server);
    if (r == 0) {
        r = registry_load(server->registry);
    }
    if (r == 0) {
        r = watch_hub_load(server->hub, core_store(server->core));
    }
    if (r == 0) {
        r = hook_new(server->core, &server->settings->allow, &server->hook);
    }
    return r != 0 ? r
                  : rest_start(server->rest, server->registry, server->core,
                               server->hub);
}

static void tell_start(const struct server *server)
{
    const struct settings *s = server->settings;
    struct rest_stats stats = rest_stats(server->rest);

    log_info(LOG_HTTP, "listening", LOG_TXT("http", rest_address(server->rest)),
             LOG_TXT("raft", core_raft_address(server->core)),
             LOG_TXT("id", s->id), LOG_TXT("data_dir", s->data_dir),
             LOG_TXT("domain", s->domain), LOG_TXT("version", ROSTER_VERSION),
             LOG_U64("io_threads", s->io_threads),
             LOG_U64("max_connections", stats.max_connections));
    if (s->reached && !s->access) {
        log_warn(LOG_HTTP, "others reach this node, and all may do all "
                           "(--insecure)");
    } else if (s->reached && s->tls_cert == NULL) {
        log_warn(LOG_HTTP, "plain HTTP is listened to where others reach it: "
                           "who sees it on its way sees tokens and passwords");
    }
}

/* ---- end ---- */

/* The core is gone but requests are still being answered: a second signal, or
 * operations that did not end. Nothing may be freed under them, and nothing has
 * to be: the next start treats this as any death of the process. */
static void leave_if_torn(struct server *server)
{
    if (!atomic_load(&server->rest_over)) {
        log_warn(LOG_CORE, "left at once, requests may be unanswered");
        _exit(EXIT_FAILURE);
    }
}

static void close_all(struct server *server)
{
    server->hook = hook_free(server->hook);
    server->sweeper = sweeper_free(server->sweeper);
    server->reaper = reaper_free(server->reaper);
    server->damper = damper_free(server->damper);
    server->registry = registry_free(server->registry);
    server->audit = audit_close(server->audit);
    server->core = core_close(server->core);
    server->leases = lease_table_free(server->leases);
    server->hub = watch_hub_free(server->hub);
    server->cache = cache_free(server->cache);
    server->certificates = certificates_close(server->certificates);
    if (server->wake >= 0) {
        (void)close(server->wake);
    }
}

int server_run(const struct settings *settings, int argc, char **argv)
{
    struct server server = {.settings = settings, .argc = argc, .argv = argv};

    (void)signal(SIGPIPE, SIG_IGN);
    int r = start(&server);
    if (r == 0) {
        tell_start(&server);
        core_run(server.core);
        leave_if_torn(&server);
        (void)pthread_join(server.ending, NULL);
        r = core_failed(server.core) ? ERR_INVALID : 0;
    }
    server.rest = rest_close(server.rest);
    close_all(&server);
    return r;
}
