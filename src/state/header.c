/* The bytes in front of an image. Numbers are little-endian; see
 * api/state-file.md.
 *
 *   offset size  what
 *   0      8     magic
 *   8      4     format (1)
 *   12     4     offset of the image (4096)
 *   16     16    cluster
 *   32     64    node id, zero-padded
 *   96     8     index
 *   104    8     revision
 *   112    8     size of the image
 *   120    32    SHA-256 of the image
 *   152    32    digest of the state
 *   184    64    file name, zero-padded (descriptor only)
 *   248    8     zero
 *   256    32    SHA-256 of the 256 bytes before
 *   288    3808  zero (file only) */
#include <stdio.h>

#include "base/err.h"
#include "base/sha256.h"
#include "state/state.h"

static const char FILE_MAGIC[] = "ROSTERST";
static const char DESCRIPTOR_MAGIC[] = "ROSTERSD";
enum { SUMMED = 256, FORMAT = 1, NAME_AT = 184, NODE_AT = 32 };
_Static_assert(SUMMED + SHA256_BYTES == STATE_DESCRIPTOR_BYTES, "the table");

static void sum(const uint8_t *bytes, uint8_t ret_sum[SHA256_BYTES])
{
    struct sha256 *hash = sha256_new();
    sha256_add(hash, bytes, SUMMED);
    (void)sha256_end(hash, ret_sum);
}

static void encode(const struct state_info *info, const char *magic,
                   uint8_t out[STATE_DESCRIPTOR_BYTES])
{
    memset(out, 0, STATE_DESCRIPTOR_BYTES);
    memcpy(out, magic, 8);
    le_put(out + 8, FORMAT, 4);
    le_put(out + 12, STATE_HEADER_BYTES, 4);
    memcpy(out + 16, info->cluster, sizeof info->cluster);
    memcpy(out + NODE_AT, info->node, sizeof info->node);
    le_put(out + 96, info->index, 8);
    le_put(out + 104, info->revision, 8);
    le_put(out + 112, info->size, 8);
    memcpy(out + 120, info->image, SHA256_BYTES);
    memcpy(out + 152, info->state, SHA256_BYTES);
    memcpy(out + NAME_AT, info->file, sizeof info->file);
    sum(out, out + SUMMED);
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Text of a fixed width: zero behind its end, to the last byte. */
static bool is_text(const uint8_t *bytes, size_t n)
{
    size_t length = strnlen((const char *)bytes, n);
    return length < n && is_zero(bytes + length, n - length);
}

static const char *wrong_with(const uint8_t *in, const char *magic)
{
    uint8_t expected[SHA256_BYTES];

    if (memcmp(in, magic, 8) != 0) {
        return "it does not begin as a state file does: it is something else, "
               "or was cut short while it was written";
    }
    if (le_get(in + 8, 4) != FORMAT) {
        return "its format is not 1: it is newer than this program";
    }
    sum(in, expected);
    if (memcmp(in + SUMMED, expected, SHA256_BYTES) != 0) {
        return "the sum of its header does not hold: it is damaged";
    }
    if (le_get(in + 12, 4) != STATE_HEADER_BYTES ||
        !is_text(in + NODE_AT, 64) || !is_text(in + NAME_AT, 64) ||
        !is_zero(in + 248, 8)) {
        return "its header holds what no header can";
    }
    return NULL;
}

static struct state_info decode(const uint8_t *in)
{
    struct state_info info = {.index = le_get(in + 96, 8),
                              .revision = le_get(in + 104, 8),
                              .size = le_get(in + 112, 8)};

    memcpy(info.cluster, in + 16, sizeof info.cluster);
    memcpy(info.node, in + NODE_AT, sizeof info.node);
    memcpy(info.image, in + 120, SHA256_BYTES);
    memcpy(info.state, in + 152, SHA256_BYTES);
    memcpy(info.file, in + NAME_AT, sizeof info.file);
    return info;
}

void state_head_encode(const struct state_info *info,
                       uint8_t ret_bytes[STATE_HEADER_BYTES])
{
    struct state_info unnamed = *info;

    memset(unnamed.file, 0, sizeof unnamed.file);
    memset(ret_bytes, 0, STATE_HEADER_BYTES);
    encode(&unnamed, FILE_MAGIC, ret_bytes);
}

int state_head_decode(const uint8_t bytes[STATE_HEADER_BYTES],
                      struct state_info *ret_info, char why[STATE_WHY])
{
    const char *wrong = wrong_with(bytes, FILE_MAGIC);

    if (wrong == NULL &&
        (!is_zero(bytes + STATE_DESCRIPTOR_BYTES,
                  STATE_HEADER_BYTES - STATE_DESCRIPTOR_BYTES) ||
         !is_zero(bytes + NAME_AT, 64))) {
        wrong = "there are bytes in its header where none belong";
    }
    if (wrong != NULL) {
        (void)snprintf(why, STATE_WHY, "%s", wrong);
        return ERR_INVALID;
    }
    *ret_info = decode(bytes);
    return 0;
}

void state_describe(const struct state_info *info,
                    uint8_t ret_bytes[STATE_DESCRIPTOR_BYTES])
{
    encode(info, DESCRIPTOR_MAGIC, ret_bytes);
}

int state_read_descriptor(const void *bytes, size_t n,
                          struct state_info *ret_info)
{
    if (n != STATE_DESCRIPTOR_BYTES ||
        wrong_with(bytes, DESCRIPTOR_MAGIC) != NULL) {
        return ERR_INVALID;
    }
    *ret_info = decode(bytes);
    return 0;
}
