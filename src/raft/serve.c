/* State files for other nodes: see transfer.h for what is spoken. Each
 * connection has a thread, since the file comes from the disk and the other
 * side may be slow; a few at most, or the disk would be theirs. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "peer/peer.h"
#include "raft/install.h"

/* ---- what is known of transfers ---- */

/* Under the lock. */
static struct served *find_served(struct serve *serve, const char *file)
{
    for (size_t i = 0; i < SERVE_KNOWN; i++) {
        if (strcmp(serve->served[i].file, file) == 0) {
            return &serve->served[i];
        }
    }
    return NULL;
}

/* Under the lock. */
static void note_end(struct serve *serve, const char *file)
{
    struct served *served = find_served(serve, file);

    if (file[0] == '\0') {
        return;
    }
    if (served == NULL) {
        served = &serve->served[serve->n_served++ % SERVE_KNOWN];
        *served = (struct served){.bytes = 0};
        (void)snprintf(served->file, sizeof served->file, "%s", file);
    }
    served->ended_ms = clock_mono_ms();
}

/* Under the lock. */
static bool is_under_way(const struct serve *serve, const char *file)
{
    for (size_t i = 0; i < SERVE_MOST; i++) {
        const struct serving *s = &serve->serving[i];
        if (s->used && !s->over && strcmp(s->file, file) == 0) {
            return true;
        }
    }
    return false;
}

bool serve_keeps(struct core *core, const char *file)
{
    if (core->installs == NULL) {
        return false;
    }
    struct serve *serve = &core->installs->serve;
    (void)pthread_mutex_lock(&serve->lock);
    const struct served *served = find_served(serve, file);
    bool keeps = is_under_way(serve, file) ||
                 (served != NULL &&
                  clock_mono_ms() - served->ended_ms < SERVE_RESUME_MS);
    (void)pthread_mutex_unlock(&serve->lock);
    return keeps;
}

static uint64_t pause_after(const struct served *served)
{
    return SERVE_AFTER_MS + served->bytes / SERVE_AFTER_BYTES_MS;
}

bool serve_needs_log(struct core *core)
{
    if (core->installs == NULL) {
        return false;
    }
    struct serve *serve = &core->installs->serve;
    uint64_t now_ms = clock_mono_ms();
    bool needs = false;

    (void)pthread_mutex_lock(&serve->lock);
    for (size_t i = 0; i < SERVE_MOST; i++) {
        const struct serving *s = &serve->serving[i];
        needs = needs || (s->used && !s->over && s->file[0] != '\0');
    }
    for (size_t i = 0; i < SERVE_KNOWN; i++) {
        const struct served *s = &serve->served[i];
        needs = needs ||
                (s->file[0] != '\0' && now_ms - s->ended_ms < pause_after(s));
    }
    (void)pthread_mutex_unlock(&serve->lock);
    return needs;
}

/* ---- one connection, on its thread ---- */

static int newest(void *user, char ret_file[TRANSFER_NAME])
{
    struct serving *serving = user;
    struct core_snapshot newest;

    if (core_snapshots(serving->core, &newest, 1) == 0) {
        return ERR_NOT_FOUND;
    }
    (void)snprintf(ret_file, TRANSFER_NAME, "%s", newest.file);
    return 0;
}

static void begins(void *user, const char *file, uint64_t bytes)
{
    struct serving *serving = user;
    struct serve *serve = &serving->core->installs->serve;

    (void)pthread_mutex_lock(&serve->lock);
    note_end(serve, serving->file); /* Of the one before. */
    (void)snprintf(serving->file, sizeof serving->file, "%s", file);
    note_end(serve, file);
    find_served(serve, file)->bytes = bytes;
    (void)pthread_mutex_unlock(&serve->lock);
    COUNT(serving->core, transfers, 1);
}

static void sent(void *user, uint64_t bytes)
{
    struct serving *serving = user;
    COUNT(serving->core, sent_bytes, bytes);
}

static void *run(void *user)
{
    struct serving *serving = user;
    struct core *core = serving->core;
    struct serve *serve = &core->installs->serve;
    struct transfer_source source = {
        .directory = core->state_dir,
        .user = serving,
        .newest = newest,
        .begins = begins,
        .sent = sent,
    };
    sigset_t pipe;

    /* sendfile knows no other way. */
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    /* Of this thread alone, as Linux has it. */
    (void)setpriority(PRIO_PROCESS, 0, FETCH_NICENESS);
    if (transfer_serve(serving->fd, &source) != 0) {
        COUNT(core, transfers_failed, 1);
    }
    (void)pthread_mutex_lock(&serve->lock);
    note_end(serve, serving->file);
    (void)close(serving->fd);
    serving->over = true;
    (void)pthread_mutex_unlock(&serve->lock);
    return NULL;
}

/* ---- taking connections ---- */

/* Under the lock; what has ended makes place. */
static struct serving *find_place(struct serve *serve)
{
    for (size_t i = 0; i < SERVE_MOST; i++) {
        struct serving *serving = &serve->serving[i];
        if (serving->used && serving->over) {
            (void)pthread_join(serving->thread, NULL);
            serving->used = false;
        }
        if (!serving->used) {
            return serving;
        }
    }
    return NULL;
}

/* Under the lock. */
static bool begin(struct core *core, int fd)
{
    struct serve *serve = &core->installs->serve;
    struct serving *serving = serve->stopped ? NULL : find_place(serve);

    if (serving == NULL || peer_block(fd) != 0) {
        return false;
    }
    *serving = (struct serving){.core = core, .fd = fd, .used = true};
    serving->used = pthread_create(&serving->thread, NULL, run, serving) == 0;
    return serving->used;
}

/* It asks again, later or somebody else. */
static void turn_away(int fd)
{
    struct transfer_answer busy = {.code = ERR_BUSY};
    uint8_t bytes[TRANSFER_ANSWER];

    transfer_answer_encode(&busy, bytes);
    (void)!send(fd, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

void serve_accepted(struct core *core, const struct peer_id *from, int fd)
{
    struct serve *serve = &core->installs->serve;

    (void)pthread_mutex_lock(&serve->lock);
    bool begun = begin(core, fd);
    (void)pthread_mutex_unlock(&serve->lock);
    if (begun) {
        log_info(LOG_RAFT, "another node asks for state files",
                 LOG_TXT("node", from->name));
    } else {
        turn_away(fd);
    }
}

void serve_init(struct core *core)
{
    (void)pthread_mutex_init(&core->installs->serve.lock, NULL);
}

void serve_done(struct core *core)
{
    struct serve *serve = &core->installs->serve;

    (void)pthread_mutex_lock(&serve->lock);
    serve->stopped = true;
    for (size_t i = 0; i < SERVE_MOST; i++) {
        if (serve->serving[i].used && !serve->serving[i].over) {
            (void)shutdown(serve->serving[i].fd, SHUT_RDWR);
        }
    }
    (void)pthread_mutex_unlock(&serve->lock);
    for (size_t i = 0; i < SERVE_MOST; i++) {
        if (serve->serving[i].used) {
            (void)pthread_join(serve->serving[i].thread, NULL);
        }
    }
    (void)pthread_mutex_destroy(&serve->lock);
}
