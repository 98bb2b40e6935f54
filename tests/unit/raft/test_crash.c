/* What was acknowledged is there after any death: a child adds rows from many
 * threads and tells each acknowledged one through a pipe; it is killed at a
 * random moment - writing, making a snapshot, rebuilding its store, closing -
 * and sometimes the power goes with it. A second child says what it finds.
 *
 * CRASH_SEED repeats a run as far as chance in time allows; CRASH_ROUNDS makes
 * it longer. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "kit.h"
#include "model/row.h"

enum { WRITERS = 8, ROUNDS = 12, ROWS_MOST = 1 << 20, WRITE_MS = 450 };

/* ---- a node in a process of its own ---- */

/* What a child says; atomic on a pipe. */
enum word { LED, SENT, ACKNOWLEDGED, CLOSING, FOUND, DONE };
struct message {
    uint64_t word;
    uint64_t row;
};

struct node {
    const char *dir;
    int pipe;
    struct core *core;
    struct cache *cache;
    sem_t led;
    _Atomic uint64_t next_row;
    _Atomic bool over;
};

static void say(const struct node *node, enum word word, uint64_t row)
{
    struct message message = {(uint64_t)word, row};
    if (write(node->pipe, &message, sizeof message) != sizeof message) {
        _exit(3);
    }
}

static void on_lead(void *user, bool leads)
{
    struct node *node = user;
    if (leads) {
        say(node, LED, 0);
        (void)sem_post(&node->led);
    }
}

static void *run(void *user)
{
    core_run(user);
    return NULL;
}

static void start(struct node *node, pthread_t *thread)
{
    node->cache = cache_new(1 << 20);
    struct core_config config = kit_config(node->dir, node->cache);

    config.user = node;
    config.on_lead = on_lead;
    config.snapshot_bytes = 256 << 10;
    log_start(LOG_ERROR, LOG_TEXT);
    if (sem_init(&node->led, 0, 0) != 0 ||
        core_open(&config, &node->core) != 0 ||
        pthread_create(thread, NULL, run, node->core) != 0) {
        _exit(2);
    }
    while (sem_wait(&node->led) != 0) {
    }
}

static bool add(struct node *node, uint64_t row)
{
    struct kit_call call;
    struct buf bytes = {0};

    /* Most are small, some larger than a pack of others. */
    kit_row(&bytes, row, row % 97 == 0 ? 100000 : row * 7 % 600);
    say(node, SENT, row);
    kit_send(node->core, &call, buf_str(&bytes));
    int r = kit_hear(&call);
    if (r == 0) {
        say(node, ACKNOWLEDGED, row);
    } else if (r == ERR_CONFLICT) {
        _exit(4); /* A key that was never given is taken. */
    }
    buf_done(&bytes);
    return r == 0;
}

static void *write_rows(void *user)
{
    struct node *node = user;

    while (!atomic_load(&node->over)) {
        uint64_t row = atomic_fetch_add(&node->next_row, 1);
        if (row >= ROWS_MOST || !add(node, row)) {
            break;
        }
    }
    return NULL;
}

struct stop {
    struct core_call call;
    struct core *core;
};

static void stop_call(struct core_call *call)
{
    core_stop(CONTAINER(call, struct stop, call)->core);
}

static void stop(struct node *node, pthread_t thread)
{
    struct stop call = {{{NULL}, stop_call}, node->core};

    core_call(node->core, &call.call);
    (void)pthread_join(thread, NULL);
    node->core = core_close(node->core);
    node->cache = cache_free(node->cache);
}

/* Writes for `ms`, then closes while its writers go on. */
static void write_child(struct node *node, uint64_t from, unsigned ms)
{
    pthread_t thread, writers[WRITERS];

    atomic_store(&node->next_row, from);
    start(node, &thread);
    for (int i = 0; i < WRITERS; i++) {
        if (pthread_create(&writers[i], NULL, write_rows, node) != 0) {
            _exit(2);
        }
    }
    (void)usleep(ms * 1000);
    say(node, CLOSING, 0);
    struct stop call = {{{NULL}, stop_call}, node->core};
    core_call(node->core, &call.call);
    /* Under load all the same: who asks now is refused. */
    for (int i = 0; i < WRITERS; i++) {
        (void)pthread_join(writers[i], NULL);
    }
    (void)pthread_join(thread, NULL);
    node->core = core_close(node->core);
    say(node, DONE, 0);
    _exit(0);
}

static void tell_rows(struct node *node, struct str list)
{
    static const char mark[] = "\"name\":\"row-";
    const char *at = list.p, *end = list.p + list.n;

    while (at < end && (at = memmem(at, (size_t)(end - at), mark,
                                    sizeof mark - 1)) != NULL) {
        at += sizeof mark - 1;
        say(node, FOUND, strtoull(at, NULL, 10));
    }
}

static void read_child(struct node *node)
{
    struct store_reader *reader;
    struct store_txn *txn;
    struct buf list = {0};
    struct ulid last;
    uint64_t n = 0;
    bool more;
    pthread_t thread;

    start(node, &thread);
    if (store_reader_new(core_store(node->core), &reader) != 0 ||
        store_read_begin(reader, &txn) != 0) {
        _exit(2);
    }
    while (store_use(txn, STORE_POOL) == ERR_RESTART) {
    }
    if (store_rows_join(txn, STORE_POOL, STR("service"), NULL, 0, &list, &n,
                        &last, &more) != 0) {
        _exit(2);
    }
    store_read_end(txn);
    store_reader_free(reader);
    buf_add_char(&list, '\0');
    tell_rows(node, buf_str(&list));
    say(node, DONE, n);
    stop(node, thread);
    _exit(0);
}

/* ---- the parent ---- */

enum { WAS_SENT = 1, WAS_ACKNOWLEDGED = 2 };

struct trial {
    char dir[64];
    uint64_t seed;
    uint64_t random;
    uint8_t *rows; /* what was said about each */
    uint8_t *found;
    uint64_t next_row;
    uint64_t acknowledged;
    unsigned kills, cuts;
    struct node node;
    pid_t child;
    int pipe;
    bool led, closing;
};

static uint64_t dice(struct trial *t, uint64_t sides)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random % sides;
}

static void take(struct trial *t, const struct message *message)
{
    uint64_t row = message->row;

    assert_true(row < ROWS_MOST);
    switch ((enum word)message->word) {
    case LED:
        t->led = true;
        break;
    case SENT:
        t->rows[row] |= WAS_SENT;
        t->next_row = row >= t->next_row ? row + 1 : t->next_row;
        break;
    case ACKNOWLEDGED:
        t->rows[row] |= WAS_ACKNOWLEDGED;
        t->acknowledged++;
        break;
    case CLOSING:
        t->closing = true;
        break;
    case FOUND:
        t->found[row]++;
        break;
    case DONE:
        break;
    }
}

/* Hears the child until `us` from now, or what it waits for, or its end:
 * false. */
static bool hear(struct trial *t, uint64_t us, const bool *until)
{
    uint64_t end = clock_mono_us() + us;

    while (until == NULL || !*until) {
        uint64_t now = clock_mono_us();
        if (now >= end) {
            return true;
        }
        struct pollfd ready = {.fd = t->pipe, .events = POLLIN};
        uint64_t left = (end - now) / 1000;
        int n = poll(&ready, 1, left > 1000 ? 1000 : (int)left);
        struct message message;
        if (n > 0 && ready.revents != 0) {
            if (read(t->pipe, &message, sizeof message) != sizeof message) {
                return false;
            }
            take(t, &message);
        }
    }
    return true;
}

#define EVER (120 * UINT64_C(1000000))

static bool begin(struct trial *t, int *ret_pipe)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    t->led = t->closing = false;
    t->child = fork();
    assert_true(t->child >= 0);
    if (t->child == 0) {
        (void)close(ends[0]);
        t->node = (struct node){.dir = t->dir, .pipe = ends[1]};
        *ret_pipe = ends[1];
        return true;
    }
    (void)close(ends[1]);
    t->pipe = ends[0];
    return false;
}

/* The rest of what it said still counts. */
static int finish(struct trial *t, bool kills)
{
    int status = 0;

    if (kills) {
        assert_int_equal(kill(t->child, SIGKILL), 0);
        t->kills++;
    }
    while (hear(t, EVER, NULL)) {
    }
    (void)close(t->pipe);
    assert_int_equal(waitpid(t->child, &status, 0), t->child);
    return status;
}

static void died_or_fail(struct trial *t, int status)
{
    bool good = (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
                (WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (!good) {
        fail_msg("seed %llu: the child ended by itself: signal %d, exit %d",
                 (unsigned long long)t->seed,
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    }
}

static void write_and_kill(struct trial *t)
{
    bool in_close = dice(t, 3) == 0;
    unsigned ms = in_close ? 20 + (unsigned)dice(t, WRITE_MS) : 60000;
    int pipe;

    if (begin(t, &pipe)) {
        write_child(&t->node, t->next_row, ms);
    }
    if (in_close) {
        if (hear(t, EVER, &t->closing)) {
            (void)hear(t, dice(t, 30000), NULL);
        }
    } else if (dice(t, 4) == 0) {
        (void)hear(t, dice(t, 60000), NULL); /* maybe before it leads */
    } else if (hear(t, EVER, &t->led)) {
        (void)hear(t, dice(t, WRITE_MS * UINT64_C(1000)), NULL);
    }
    died_or_fail(t, finish(t, true));
}

/* Opening is rebuilding, after a power cut. */
static void open_and_kill(struct trial *t)
{
    int pipe;

    if (begin(t, &pipe)) {
        write_child(&t->node, t->next_row, 60000);
    }
    (void)hear(t, dice(t, 40000), NULL);
    died_or_fail(t, finish(t, true));
}

static void path_of(const struct trial *t, const char *name, char path[128])
{
    (void)snprintf(path, 128, "%s/%s", t->dir, name);
}

static bool store_is_clean(const struct trial *t)
{
    char path[128], text[256] = "";

    path_of(t, "store.state", path);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    size_t n = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[n] = '\0';
    return strstr(text, "clean 1") != NULL;
}

static void another_boot(const struct trial *t)
{
    char path[128];
    static const char marker[] = "format 1\nboot other\nclean 0\n";

    path_of(t, "store.state", path);
    if (access(path, F_OK) == 0) {
        int fd = open(path, O_WRONLY | O_TRUNC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, marker, sizeof marker - 1),
                         sizeof marker - 1);
        (void)close(fd);
    }
}

/* LMDB's pages were not synced: they are anything. What was synced stays. */
static void cut_power(struct trial *t)
{
    char path[128];
    uint64_t page[512];
    struct stat file;

    if (store_is_clean(t)) {
        return;
    }
    t->cuts++;
    another_boot(t);
    path_of(t, "store/data.mdb", path);
    int fd = open(path, O_RDWR);
    if (fd < 0) {
        assert_int_equal(errno, ENOENT);
        return;
    }
    assert_int_equal(fstat(fd, &file), 0);
    uint64_t n_pages = (uint64_t)file.st_size / sizeof page;
    for (uint64_t n = n_pages == 0 ? 0 : 1 + dice(t, 64); n > 0; n--) {
        for (size_t i = 0; i < 512; i++) {
            page[i] = dice(t, UINT64_MAX);
        }
        assert_int_equal(pwrite(fd, page, sizeof page,
                                (off_t)(dice(t, n_pages) * sizeof page)),
                         sizeof page);
    }
    if (n_pages > 0 && dice(t, 3) == 0) {
        assert_int_equal(ftruncate(fd, (off_t)(dice(t, n_pages) * sizeof page)),
                         0);
    }
    (void)close(fd);
}

static void check(struct trial *t, unsigned round)
{
    int pipe;
    uint64_t lost = 0, twice = 0, invented = 0;

    memset(t->found, 0, ROWS_MOST);
    if (begin(t, &pipe)) {
        read_child(&t->node);
    }
    int status = finish(t, false);
    died_or_fail(t, status);
    for (uint64_t i = 0; i < ROWS_MOST; i++) {
        lost += (t->rows[i] & WAS_ACKNOWLEDGED) != 0 && t->found[i] == 0;
        twice += t->found[i] > 1;
        invented += t->found[i] > 0 && (t->rows[i] & WAS_SENT) == 0;
    }
    if (lost + twice + invented > 0) {
        fail_msg("seed %llu, round %u: %llu acknowledged rows lost, %llu there "
                 "twice, %llu never sent; kept in %s",
                 (unsigned long long)t->seed, round, (unsigned long long)lost,
                 (unsigned long long)twice, (unsigned long long)invented,
                 t->dir);
    }
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void what_was_acknowledged_survives_any_death(void **state)
{
    static struct trial t;
    char command[128];
    uint64_t rounds = number_of("CRASH_ROUNDS", ROUNDS);

    (void)state;
    t.seed = number_of("CRASH_SEED", chance_u64() % 1000000 + 1);
    t.random = t.seed * UINT64_C(0x9e3779b97f4a7c15);
    t.rows = mem_zero(ROWS_MOST);
    t.found = mem_zero(ROWS_MOST);
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/roster-crash-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    print_message("# seed %llu\n", (unsigned long long)t.seed);
    for (unsigned round = 0; round < rounds; round++) {
        write_and_kill(&t);
        if (dice(&t, 2) == 0) {
            cut_power(&t);
            for (uint64_t n = dice(&t, 3); n > 0; n--) {
                open_and_kill(&t);
                if (dice(&t, 2) == 0) {
                    cut_power(&t);
                }
            }
        }
        check(&t, round);
    }
    print_message("# %llu rows acknowledged, %u kills, %u power cuts\n",
                  (unsigned long long)t.acknowledged, t.kills, t.cuts);
    assert_true(rounds == 0 || t.acknowledged > 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", t.dir);
    assert_int_equal(system(command), 0);
    mem_free(t.rows);
    mem_free(t.found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives_any_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
