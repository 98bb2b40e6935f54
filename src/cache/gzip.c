#include "cache/gzip.h"

#include <libdeflate.h>

/* Made once, sent often: the level where more effort gains no more than one
 * percent on rows of JSON. */
enum { LEVEL = 6 };

bool gzip_make(struct str from, struct buf *out)
{
    struct libdeflate_compressor *compressor =
        libdeflate_alloc_compressor(LEVEL);

    if (compressor == NULL) {
        return false;
    }
    /* Room for what is worth having: the library says 0 when it needs more. */
    buf_reserve(out, from.n - from.n / 8);
    out->n = libdeflate_gzip_compress(compressor, from.p, from.n, out->p,
                                      from.n - from.n / 8);
    libdeflate_free_compressor(compressor);
    return out->n > 0;
}
