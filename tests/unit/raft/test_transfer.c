/* State files on a connection, both ends of it over a socket pair. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
/* clang-format on */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "raft/transfer.h"

enum { IMAGE = 1000 * 1000 };
static const char NAME[] = "state-000000000000002a-89abcdef";
static const char OLDER[] = "state-0000000000000007-01234567";

struct side {
    char dir[64];
    int here, there;
    pthread_t thread;
    int r;
    unsigned n_begun;
    uint64_t sent, cut_after;
};

/* Only the header is looked at by this room: the image may be anything. */
static void make_file(struct side *side, const char *name, uint64_t index)
{
    struct state_info info = {.index = index, .size = IMAGE};
    uint8_t head[STATE_HEADER_BYTES];
    char path[160];

    memset(info.image, (int)index, sizeof info.image);
    memset(info.state, (int)index + 1, sizeof info.state);
    state_head_encode(&info, head);
    (void)snprintf(path, sizeof path, "%s/%s", side->dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(head, 1, sizeof head, file), sizeof head);
    for (unsigned i = 0; i < IMAGE; i++) {
        (void)fputc((int)((i * UINT64_C(7) + index) & 255), file);
    }
    assert_int_equal(fclose(file), 0);
}

static int newest(void *user, char ret_file[TRANSFER_NAME])
{
    const struct side *side = user;
    char path[160];

    (void)snprintf(path, sizeof path, "%s/%s", side->dir, NAME);
    (void)snprintf(ret_file, TRANSFER_NAME, "%s", NAME);
    return access(path, F_OK) == 0 ? 0 : ERR_NOT_FOUND;
}

static void begins(void *user, const char *file, uint64_t bytes)
{
    struct side *side = user;
    assert_true(file[0] != '\0' && bytes == STATE_HEADER_BYTES + IMAGE);
    side->n_begun++;
}

static void sent(void *user, uint64_t bytes)
{
    struct side *side = user;
    side->sent += bytes;
    if (side->cut_after != 0 && side->sent >= side->cut_after) {
        (void)shutdown(side->there, SHUT_RDWR);
    }
}

static void *serve(void *user)
{
    struct side *side = user;
    struct transfer_source source = {side->dir, side, newest, begins, sent};

    side->r = transfer_serve(side->there, &source);
    (void)close(side->there);
    return NULL;
}

static void connect_side(struct side *side)
{
    const struct timeval most = {.tv_sec = 10};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    side->here = fds[0];
    side->there = fds[1];
    (void)setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    assert_int_equal(pthread_create(&side->thread, NULL, serve, side), 0);
}

static struct side *side_new(void)
{
    struct side *side = mem_zero(sizeof *side);

    (void)snprintf(side->dir, sizeof side->dir, "/tmp/roster-transfer-XXXXXX");
    assert_non_null(mkdtemp(side->dir));
    make_file(side, NAME, 42);
    make_file(side, OLDER, 7);
    connect_side(side);
    return side;
}

/* What the serving side came to. */
static int disconnect_side(struct side *side)
{
    (void)close(side->here);
    (void)pthread_join(side->thread, NULL);
    return side->r;
}

static void side_free(struct side *side)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r '%s'", side->dir);
    assert_int_equal(system(command), 0);
    mem_free(side);
}

static int open_part(void)
{
    char path[] = "/tmp/roster-part-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)unlink(path);
    return fd;
}

static void is_whole(struct side *side, const char *name, int part)
{
    char command[256];
    (void)snprintf(command, sizeof command, "cmp -s '%s/%s' /proc/%d/fd/%d",
                   side->dir, name, (int)getpid(), part);
    assert_int_equal(system(command), 0);
}

static struct transfer_request request_of(const char *name, uint64_t offset)
{
    struct transfer_request request = {.kind = TRANSFER_FILE, .offset = offset};
    (void)snprintf(request.file, sizeof request.file, "%s", name);
    return request;
}

static void a_file_arrives_as_it_was(void **state)
{
    struct side *side = side_new();
    struct transfer_request request = request_of(NAME, 0);
    struct transfer_answer answer;
    _Atomic uint64_t moved = 0;
    int part = open_part();

    (void)state;
    assert_int_equal(transfer_ask(side->here, &request, &answer), 0);
    assert_true(answer.index == 42 && answer.bytes == 4096 + IMAGE);
    assert_true(answer.image[5] == 42 && answer.state[5] == 43);
    assert_string_equal(answer.file, NAME);
    assert_int_equal(transfer_receive(side->here, part, answer.bytes, &moved),
                     0);
    assert_true(moved == answer.bytes);
    is_whole(side, NAME, part);
    (void)close(part);
    assert_int_equal(disconnect_side(side), 0);
    assert_int_equal(side->n_begun, 1);
    assert_true(side->sent == 4096 + IMAGE);
    side_free(side);
}

static void
the_newest_is_named_and_then_sent_on_the_same_connection(void **state)
{
    struct side *side = side_new();
    struct transfer_request request = {.kind = TRANSFER_NEWEST, .index = 42};
    struct transfer_answer answer;
    _Atomic uint64_t moved = 0;
    int part = open_part();

    (void)state;
    assert_int_equal(transfer_ask(side->here, &request, &answer), 0);
    assert_string_equal(answer.file, NAME);
    request = request_of(answer.file, 0);
    memcpy(request.image, answer.image, sizeof request.image);
    assert_int_equal(transfer_ask(side->here, &request, &answer), 0);
    assert_int_equal(transfer_receive(side->here, part, answer.bytes, &moved),
                     0);
    is_whole(side, NAME, part);
    (void)close(part);
    request = (struct transfer_request){.kind = TRANSFER_NEWEST, .index = 43};
    assert_int_equal(transfer_ask(side->here, &request, &answer),
                     ERR_NOT_FOUND);
    assert_int_equal(disconnect_side(side), 0);
    side_free(side);
}

static void one_that_broke_goes_on_where_it_broke(void **state)
{
    struct side *side = side_new();
    struct transfer_request request = request_of(NAME, 0);
    struct transfer_answer answer;
    _Atomic uint64_t moved = 0;
    int part = open_part();

    (void)state;
    side->cut_after = IMAGE / 3;
    assert_int_equal(transfer_ask(side->here, &request, &answer), 0);
    assert_int_equal(transfer_receive(side->here, part, answer.bytes, &moved),
                     ERR_IO);
    assert_true(disconnect_side(side) < 0);
    struct stat got;
    assert_int_equal(fstat(part, &got), 0);
    assert_true(got.st_size > 0 && got.st_size < IMAGE);
    side->cut_after = 0;
    connect_side(side);
    request = request_of(NAME, (uint64_t)got.st_size);
    memcpy(request.image, answer.image, sizeof request.image);
    assert_int_equal(transfer_ask(side->here, &request, &answer), 0);
    assert_int_equal(transfer_receive(side->here, part,
                                      answer.bytes - request.offset, &moved),
                     0);
    is_whole(side, NAME, part);
    assert_true(moved == answer.bytes);
    (void)close(part);
    assert_int_equal(disconnect_side(side), 0);
    side_free(side);
}

static void another_file_of_that_name_is_not_sent(void **state)
{
    struct side *side = side_new();
    struct transfer_request request = request_of(NAME, 5000);
    struct transfer_answer answer;

    (void)state;
    memset(request.image, 1, sizeof request.image);
    assert_int_equal(transfer_ask(side->here, &request, &answer),
                     ERR_NOT_FOUND);
    request = request_of(NAME, 4096 + IMAGE + 1);
    assert_int_equal(transfer_ask(side->here, &request, &answer),
                     ERR_NOT_FOUND);
    request = request_of("state-00-00", 0);
    assert_int_equal(transfer_ask(side->here, &request, &answer),
                     ERR_NOT_FOUND);
    assert_int_equal(side->n_begun, 0);
    assert_int_equal(disconnect_side(side), 0);
    side_free(side);
}

static void a_file_that_was_cut_is_not_sent(void **state)
{
    struct side *side = side_new();
    struct transfer_request request = request_of(NAME, 0);
    struct transfer_answer answer;
    char path[160];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/%s", side->dir, NAME);
    assert_int_equal(truncate(path, 4096 + IMAGE - 1), 0);
    assert_int_equal(transfer_ask(side->here, &request, &answer),
                     ERR_NOT_FOUND);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(transfer_ask(side->here, &request, &answer),
                     ERR_NOT_FOUND);
    assert_int_equal(disconnect_side(side), 0);
    side_free(side);
}

/* A request that names something else is none. */
static void only_names_of_state_files_are_names(void **state)
{
    static const char *const bad[] = {
        "",           "state-",        "staged-",
        "node",       "state-../node", "state-2a/2b",
        "state-2A",   "/state-2a",     "state-2a ",
        "../state-2a"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(transfer_is_name(bad[i]));
    }
    assert_true(transfer_is_name(NAME));
    assert_true(transfer_is_name("staged-0123456789abcdef"));
    assert_true(transfer_is_name("staged-0123456789abcdef-01234567"));

    struct side *side = side_new();
    struct transfer_request request = request_of(NAME, 0);
    uint8_t bytes[TRANSFER_REQUEST];
    transfer_request_encode(&request, bytes);
    memcpy(bytes + 56, "state-/../../../etc/passwd", 27);
    assert_int_equal(transfer_request_decode(bytes, &request), ERR_INVALID);
    assert_int_equal(send(side->here, bytes, sizeof bytes, 0), sizeof bytes);
    uint8_t answered[TRANSFER_ANSWER];
    struct transfer_answer answer;
    assert_int_equal(recv(side->here, answered, sizeof answered, MSG_WAITALL),
                     sizeof answered);
    assert_int_equal(transfer_answer_decode(answered, &answer), 0);
    assert_int_equal(answer.code, ERR_INVALID);
    assert_int_equal(recv(side->here, answered, 1, 0), 0);
    assert_true(disconnect_side(side) < 0);
    side_free(side);
}

static void a_disk_that_is_full_is_said_to_be(void **state)
{
    struct side *side = side_new();
    struct transfer_request request = request_of(NAME, 0);
    struct transfer_answer answer;
    _Atomic uint64_t moved = 0;
    int full = open("/dev/full", O_RDWR);

    (void)state;
    assert_true(full >= 0);
    assert_int_equal(transfer_ask(side->here, &request, &answer), 0);
    assert_int_equal(transfer_receive(side->here, full, answer.bytes, &moved),
                     ERR_DISK_FULL);
    (void)close(full);
    (void)disconnect_side(side);
    side_free(side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_arrives_as_it_was),
        cmocka_unit_test(
            the_newest_is_named_and_then_sent_on_the_same_connection),
        cmocka_unit_test(one_that_broke_goes_on_where_it_broke),
        cmocka_unit_test(another_file_of_that_name_is_not_sent),
        cmocka_unit_test(a_file_that_was_cut_is_not_sent),
        cmocka_unit_test(only_names_of_state_files_are_names),
        cmocka_unit_test(a_disk_that_is_full_is_said_to_be),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
