/* Each target is one function, given some bytes, that stops the process when a
 * property does not hold. libFuzzer calls it with bytes it makes up; with
 * FUZZ_REPLAY the file has a main that gives it files instead, so that what was
 * found once is tried again in every ordinary build. */
#ifndef FUZZ_REPLAY_H
#define FUZZ_REPLAY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,           \
                          #condition);                                         \
            abort();                                                           \
        }                                                                      \
    } while (0)

#ifdef FUZZ_REPLAY
static void replay(const char *path)
{
    CLEANUP(buf_done) struct buf bytes = {0};
    FILE *file = fopen(path, "rb");
    size_t n = 0;

    REQUIRE(file != NULL);
    do {
        buf_reserve(&bytes, 4096);
        n = fread(bytes.p + bytes.n, 1, 4096, file);
        bytes.n += n;
    } while (n > 0);
    REQUIRE(fclose(file) == 0);
    REQUIRE(LLVMFuzzerTestOneInput((const uint8_t *)bytes.p, bytes.n) == 0);
}

int main(int argc, char **argv)
{
    REQUIRE(argc > 1);
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    return EXIT_SUCCESS;
}
#endif

#endif
