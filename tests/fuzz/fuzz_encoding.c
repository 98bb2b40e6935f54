/* Accept-Encoding and Accept may hold any bytes: they are read to their end and
 * no further, and a refusal of gzip behind them is obeyed. */
#include "replay.h"
#include "rest/encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct buf text = {0};
    char *copy = mem_dup(bytes, n); /* ends where it ends */

    (void)rest_encoding_is_gzip((struct str){copy, n});
    (void)rest_encoding_is_lines((struct str){copy, n});
    buf_add(&text, copy, n);
    buf_add_text(&text, ",gzip;q=0");
    REQUIRE(!rest_encoding_is_gzip(buf_str(&text)));
    buf_clear(&text);
    buf_add(&text, copy, n);
    buf_add_text(&text, ",gzip");
    REQUIRE(rest_encoding_is_gzip(buf_str(&text)));
    buf_done(&text);
    (void)mem_free(copy);
    return 0;
}
