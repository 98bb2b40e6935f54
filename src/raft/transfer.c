#include "raft/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/write.h"

static const uint8_t ANY[32];

/* ---- names ---- */

static bool is_rest(const char *rest)
{
    return rest[0] != '\0' && rest[strspn(rest, "0123456789abcdef-")] == '\0';
}

bool transfer_is_name(const char *name)
{
    static const char *const begin[] = {"state-", "staged-"};

    for (size_t i = 0; i < sizeof begin / sizeof begin[0]; i++) {
        size_t n = strlen(begin[i]);
        if (strncmp(name, begin[i], n) == 0 && strlen(name) < TRANSFER_NAME) {
            return is_rest(name + n);
        }
    }
    return false;
}

static void put_name(uint8_t *at, const char *name)
{
    size_t n = strlen(name);

    memset(at, 0, TRANSFER_NAME);
    memcpy(at, name, n < TRANSFER_NAME ? n : TRANSFER_NAME - 1);
}

/* Filled up with NULs: one name is one string of bytes. */
static bool take_name(const uint8_t *at, char ret_name[TRANSFER_NAME])
{
    size_t n = strnlen((const char *)at, TRANSFER_NAME);

    for (size_t i = n; i < TRANSFER_NAME; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    if (n == TRANSFER_NAME) {
        return false;
    }
    memcpy(ret_name, at, TRANSFER_NAME);
    return n == 0 || transfer_is_name(ret_name);
}

/* ---- requests and answers ---- */

void transfer_request_encode(const struct transfer_request *request,
                             uint8_t ret_bytes[TRANSFER_REQUEST])
{
    memset(ret_bytes, 0, TRANSFER_REQUEST);
    le_put(ret_bytes, (uint64_t)request->kind, 4);
    le_put(ret_bytes + 8, request->offset, 8);
    le_put(ret_bytes + 16, request->index, 8);
    memcpy(ret_bytes + 24, request->image, sizeof request->image);
    put_name(ret_bytes + 56, request->file);
}

int transfer_request_decode(const uint8_t bytes[TRANSFER_REQUEST],
                            struct transfer_request *ret_request)
{
    struct transfer_request request = {.kind = (uint32_t)le_get(bytes, 4)};

    request.offset = le_get(bytes + 8, 8);
    request.index = le_get(bytes + 16, 8);
    memcpy(request.image, bytes + 24, sizeof request.image);
    bool good = take_name(bytes + 56, request.file) &&
                le_get(bytes + 4, 4) == 0 && le_get(bytes + 120, 8) == 0;
    if (request.kind == TRANSFER_FILE) {
        good = good && request.file[0] != '\0' && request.index == 0;
    } else {
        good = good && request.kind == TRANSFER_NEWEST &&
               request.file[0] == '\0' && request.offset == 0 &&
               memcmp(request.image, ANY, sizeof ANY) == 0;
    }
    if (!good) {
        return ERR_INVALID;
    }
    *ret_request = request;
    return 0;
}

void transfer_answer_encode(const struct transfer_answer *answer,
                            uint8_t ret_bytes[TRANSFER_ANSWER])
{
    memset(ret_bytes, 0, TRANSFER_ANSWER);
    le_put(ret_bytes, (uint32_t)answer->code, 4);
    if (answer->code == 0) {
        le_put(ret_bytes + 8, answer->bytes, 8);
        le_put(ret_bytes + 16, answer->index, 8);
        memcpy(ret_bytes + 24, answer->image, sizeof answer->image);
        memcpy(ret_bytes + 56, answer->state, sizeof answer->state);
        put_name(ret_bytes + 88, answer->file);
    }
}

static bool is_refusal(const uint8_t bytes[TRANSFER_ANSWER], int *ret_code)
{
    for (size_t i = 4; i < TRANSFER_ANSWER; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    *ret_code = (int)le_get(bytes, 4);
    return *ret_code > 0;
}

int transfer_answer_decode(const uint8_t bytes[TRANSFER_ANSWER],
                           struct transfer_answer *ret_answer)
{
    struct transfer_answer answer = {.code = 0};

    if (le_get(bytes, 4) != 0) {
        if (!is_refusal(bytes, &answer.code)) {
            return ERR_INVALID;
        }
        *ret_answer = answer;
        return 0;
    }
    answer.bytes = le_get(bytes + 8, 8);
    answer.index = le_get(bytes + 16, 8);
    memcpy(answer.image, bytes + 24, sizeof answer.image);
    memcpy(answer.state, bytes + 56, sizeof answer.state);
    if (!take_name(bytes + 88, answer.file) || answer.file[0] == '\0' ||
        le_get(bytes + 4, 4) != 0 || answer.bytes <= STATE_HEADER_BYTES) {
        return ERR_INVALID;
    }
    *ret_answer = answer;
    return 0;
}

/* ---- whole messages ---- */

static int write_whole(int fd, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ssize_t put = send(fd, bytes, n, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return err_raise(ERR_IO);
        }
        bytes += put;
        n -= (size_t)put;
    }
    return 0;
}

/* Answers: END, before the first byte. */
static int read_whole(int fd, uint8_t *bytes, size_t n)
{
    size_t has = 0;

    while (has < n) {
        ssize_t got = recv(fd, bytes + has, n - has, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got == 0 && has == 0) {
            return ERR_END;
        }
        if (got <= 0) {
            return err_raise(ERR_IO);
        }
        has += (size_t)got;
    }
    return 0;
}

/* ---- the side that has files ---- */

static int refuse(int fd, int code)
{
    struct transfer_answer answer = {.code = code};
    uint8_t bytes[TRANSFER_ANSWER];

    transfer_answer_encode(&answer, bytes);
    return write_whole(fd, bytes, sizeof bytes);
}

/* Opened before it is looked at: it may lose its name meanwhile, which takes
 * nothing from who has it open. */
static int open_file(const struct transfer_source *source, const char *name,
                     struct transfer_answer *ret_answer, int *ret_file)
{
    char path[4096];
    char why[STATE_WHY];
    struct state_info info;
    struct stat file;

    int n = snprintf(path, sizeof path, "%s/%s", source->directory, name);
    int fd = n < (int)sizeof path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return ERR_NOT_FOUND;
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fstat(fd, &file) != 0 || state_file_head(path, &info, why) != 0 ||
        (uint64_t)file.st_size != state_file_bytes(&info)) {
        (void)close(fd);
        return ERR_NOT_FOUND;
    }
    *ret_answer = (struct transfer_answer){.bytes = state_file_bytes(&info),
                                           .index = info.index};
    memcpy(ret_answer->image, info.image, sizeof info.image);
    memcpy(ret_answer->state, info.state, sizeof info.state);
    (void)snprintf(ret_answer->file, sizeof ret_answer->file, "%s", name);
    *ret_file = fd;
    return 0;
}

/* Not through this process, and not to stay in the page cache, which is full of
 * the store's pages. */
static int send_bytes(int fd, int file, uint64_t from, uint64_t to,
                      const struct transfer_source *source)
{
    off_t at = (off_t)from;
    off_t behind = at;

    (void)posix_fadvise(file, at, 0, POSIX_FADV_SEQUENTIAL);
    while ((uint64_t)at < to) {
        uint64_t left = to - (uint64_t)at;
        size_t n = left < TRANSFER_BLOCK ? (size_t)left : TRANSFER_BLOCK;
        ssize_t sent = sendfile(fd, file, &at, n);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return err_raise(ERR_IO);
        }
        source->sent(source->user, (uint64_t)sent);
        if (at - behind >= TRANSFER_BEHIND) {
            (void)posix_fadvise(file, behind, at - behind, POSIX_FADV_DONTNEED);
            behind = at;
        }
    }
    return 0;
}

static int answer_file(int fd, const struct transfer_request *request,
                       const struct transfer_source *source)
{
    struct transfer_answer answer;
    uint8_t bytes[TRANSFER_ANSWER];
    int file = -1;

    int r = open_file(source, request->file, &answer, &file);
    if (r != 0) {
        return refuse(fd, r);
    }
    bool is_it = memcmp(request->image, ANY, sizeof ANY) == 0 ||
                 memcmp(request->image, answer.image, sizeof answer.image) == 0;
    if (!is_it || request->offset > answer.bytes) {
        (void)close(file);
        return refuse(fd, ERR_NOT_FOUND);
    }
    source->begins(source->user, request->file, answer.bytes);
    transfer_answer_encode(&answer, bytes);
    r = write_whole(fd, bytes, sizeof bytes);
    if (r == 0) {
        r = send_bytes(fd, file, request->offset, answer.bytes, source);
    }
    (void)close(file);
    return r;
}

static int answer_newest(int fd, const struct transfer_request *request,
                         const struct transfer_source *source)
{
    char name[TRANSFER_NAME];
    struct transfer_answer answer = {.code = 0};
    uint8_t bytes[TRANSFER_ANSWER];
    int file = -1;

    int r = source->newest(source->user, name);
    if (r == 0) {
        r = open_file(source, name, &answer, &file);
    }
    if (r != 0) {
        return refuse(fd, ERR_NOT_FOUND);
    }
    (void)close(file);
    if (answer.index < request->index) {
        return refuse(fd, ERR_NOT_FOUND);
    }
    transfer_answer_encode(&answer, bytes);
    return write_whole(fd, bytes, sizeof bytes);
}

int transfer_serve(int fd, const struct transfer_source *source)
{
    uint8_t bytes[TRANSFER_REQUEST];
    struct transfer_request request = {.offset = 0};
    int r = 0;

    while (r == 0) {
        r = read_whole(fd, bytes, sizeof bytes);
        if (r == 0 && transfer_request_decode(bytes, &request) != 0) {
            (void)refuse(fd, ERR_INVALID);
            r = err_raise(ERR_IO);
        }
        if (r == 0) {
            r = request.kind == TRANSFER_FILE
                    ? answer_file(fd, &request, source)
                    : answer_newest(fd, &request, source);
        }
    }
    return r == ERR_END ? 0 : r;
}

/* ---- the side that wants one ---- */

int transfer_ask(int fd, const struct transfer_request *request,
                 struct transfer_answer *ret_answer)
{
    uint8_t asked[TRANSFER_REQUEST];
    uint8_t answered[TRANSFER_ANSWER];

    transfer_request_encode(request, asked);
    int r = write_whole(fd, asked, sizeof asked);
    if (r == 0) {
        r = read_whole(fd, answered, sizeof answered);
    }
    if (r == ERR_END) {
        return err_raise(ERR_IO);
    }
    if (r == 0) {
        r = transfer_answer_decode(answered, ret_answer);
    }
    return r == 0 ? ret_answer->code : r;
}

/* Dirty pages in one heap would be written at the end, all at once, and the
 * next flush of the log would wait for them. */
static void write_behind(int to, off_t *behind, off_t at, uint64_t *since_us)
{
    off_t n = at - *behind;

    if (n >= TRANSFER_BEHIND) {
        (void)sync_file_range(to, *behind, n,
                              SYNC_FILE_RANGE_WAIT_BEFORE |
                                  SYNC_FILE_RANGE_WRITE |
                                  SYNC_FILE_RANGE_WAIT_AFTER);
        (void)posix_fadvise(to, *behind, n, POSIX_FADV_DONTNEED);
        *behind = at;
        transfer_rest(since_us);
    }
}

void transfer_rest(uint64_t *since_us)
{
    uint64_t worked = clock_mono_us() - *since_us;

    (void)usleep((useconds_t)(worked < TRANSFER_REST_MOST_US
                                  ? worked
                                  : TRANSFER_REST_MOST_US));
    *since_us = clock_mono_us();
}

int transfer_receive(int fd, int to, uint64_t n, _Atomic uint64_t *moved)
{
    char *block = mem_alloc(TRANSFER_BLOCK);
    off_t at = lseek(to, 0, SEEK_END);
    off_t behind = at;
    uint64_t since_us = clock_mono_us();
    int r = at < 0 ? err_raise(ERR_SYSTEM) : 0;

    while (r == 0 && n > 0) {
        size_t most = n < TRANSFER_BLOCK ? (size_t)n : TRANSFER_BLOCK;
        ssize_t got = recv(fd, block, most, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            r = err_raise(ERR_IO);
            break;
        }
        r = write_all(to, (struct str){block, (size_t)got});
        r = r == ERR_IO ? ERR_SYSTEM : r;
        at += got;
        n -= (uint64_t)got;
        (void)atomic_fetch_add(moved, (uint64_t)got);
        write_behind(to, &behind, at, &since_us);
    }
    mem_free(block);
    return r;
}
