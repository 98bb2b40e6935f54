/* The header of a state file, the descriptor of one, and the pages of an image:
 * what a stranger may hand in. A header that is taken is written again as it
 * was; an image that is taken has been read from end to end. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "replay.h"
#include "state/state.h"

static void one_header(const uint8_t *data, size_t size)
{
    uint8_t bytes[STATE_HEADER_BYTES] = {0}, again[STATE_HEADER_BYTES];
    struct state_info info;
    char why[STATE_WHY] = "";

    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    int r = state_head_decode(bytes, &info, why);
    REQUIRE(r == 0 || (r == ERR_INVALID && why[0] != '\0'));
    if (r == 0) {
        state_head_encode(&info, again);
        REQUIRE(memcmp(bytes, again, sizeof bytes) == 0);
    }
}

static void one_descriptor(const uint8_t *data, size_t size)
{
    uint8_t again[STATE_DESCRIPTOR_BYTES];
    struct state_info info;

    int r = state_read_descriptor(data, size, &info);
    REQUIRE(r == 0 || r == ERR_INVALID);
    if (r == 0) {
        REQUIRE(memchr(info.file, '\0', sizeof info.file) != NULL);
        state_describe(&info, again);
        REQUIRE(memcmp(data, again, sizeof again) == 0);
    }
}

static void one_image(const uint8_t *data, size_t size)
{
    struct store_found found;
    char path[64];
    int fd = memfd_create("image", MFD_CLOEXEC);

    REQUIRE(fd >= 0);
    REQUIRE(write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int r = store_check_file(path, &found);
    REQUIRE(r <= 0);
    REQUIRE(r != ERR_CORRUPT || found.why[0] != '\0');
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    one_header(bytes, n);
    one_descriptor(bytes, n);
    one_image(bytes, n);
    return 0;
}
