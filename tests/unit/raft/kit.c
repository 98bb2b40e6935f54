#include "kit.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "raft/inside.h"

/* libraft words what it tells its tracer in buffers that all its instances in
 * one process share: only tests have several. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race_top:vsnprintf\nrace_top:listen_for_retry\n";
}

static void ignore(void *user)
{
    (void)user;
}

static void ignore_revision(void *user, uint64_t revision)
{
    (void)user, (void)revision;
}

struct core_config kit_config(const char *dir, struct cache *cache)
{
    return (struct core_config){
        .data_dir = dir,
        .node_id = "n1",
        .domain = "roster",
        .raft_listen = "127.0.0.1:0",
        .history_limit = 1000,
        .store_limit_bytes = 1U << 30,
        .snapshot_bytes = 64U << 20,
        .cache = cache,
        .on_tick = ignore,
        .on_revision = ignore_revision,
        .on_stop = ignore,
        .on_reload = ignore,
    };
}

void kit_row(struct buf *bytes, uint64_t row, size_t pad)
{
    struct command c = {.kind = COMMAND_ROW_PUT};
    struct buf fields = {0};

    buf_printf(&fields, "\"name\":\"row-%llu\",\"pad\":\"",
               (unsigned long long)row);
    for (size_t i = 0; i < pad; i++) {
        buf_add_char(&fields, 'x');
    }
    buf_add_char(&fields, '"');
    c.row_put.mode = ROW_ADD;
    c.row_put.ns = STORE_POOL;
    c.row_put.type = STR("service");
    c.row_put.key_field = STR("name");
    c.row_put.new_id = ulid_next();
    c.row_put.fields = buf_str(&fields);
    c.row_put.secret = STR("");
    command_encode(bytes, &c);
    buf_done(&fields);
}

void kit_encode_restore(struct buf *bytes, const struct core_state_job *staged,
                        uint64_t revision)
{
    struct command c = {.kind = COMMAND_RESTORE};

    assert(staged != NULL);
    c.restore.file = str_of(staged->info.file);
    memcpy(c.restore.digest, staged->info.state, sizeof c.restore.digest);
    c.restore.size = staged->info.size;
    c.restore.revision = revision;
    command_encode(bytes, &c);
}

static void or_stop(bool good)
{
    if (!good) {
        abort();
    }
}

/* A bound socket lets only those in who reuse addresses, and the kernel gives
 * its port to nobody, also while no node listens there. */
void kit_address(char *ret_address, size_t size)
{
    const int on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    or_stop(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 &&
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
            getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    (void)snprintf(ret_address, size, "127.0.0.1:%u", ntohs(at.sin_port));
}

void kit_open_store(struct core *core, struct cache *cache)
{
    const struct store_config config = {
        .directory = core->store_dir,
        .limit_bytes = 64U << 20,
        .max_handles = 16,
        .max_readers = 4,
    };

    or_stop(mkdir(core->store_dir, 0700) == 0);
    or_stop(store_open(&config, &core->store) == 0);
    core->machine =
        machine_new(core->store, cache, &core->config.machine_hooks);
    or_stop(machine_load(core->machine) == 0);
}

static void called(struct core_request *request)
{
    (void)sem_post(&CONTAINER(request, struct kit_call, request)->done);
}

void kit_send(struct core *core, struct kit_call *call, struct str command)
{
    *call = (struct kit_call){.request = {.command = command, .done = called}};
    (void)sem_init(&call->done, 0, 0);
    core_submit(core, &call->request);
}

int kit_hear(struct kit_call *call)
{
    while (sem_wait(&call->done) != 0) {
    }
    int r = call->request.outcome != 0 ? call->request.outcome
                                       : call->request.result.answer;
    machine_result_done(&call->request.result);
    (void)sem_destroy(&call->done);
    return r;
}
