#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/text.h"

/* Short work shows nothing: a line that flashes up says nothing. */
enum { FIRST_MS = 400, EVERY_MS = 200 };

void progress_begin(struct progress *progress, const struct cli *cli,
                    const char *what, enum progress_unit unit)
{
    uint64_t now = clock_mono_ms();

    *progress = (struct progress){
        .what = what,
        .unit = unit,
        .shown = !cli->quiet && isatty(STDERR_FILENO) != 0,
        .began_ms = now,
        .next_ms = now + FIRST_MS,
    };
}

static void add_amount(struct buf *line, enum progress_unit unit,
                       uint64_t amount)
{
    if (unit == PROGRESS_BYTES) {
        text_add_bytes(line, amount);
    } else {
        buf_printf(line, "%" PRIu64 " rows", amount);
    }
}

static void write_line(const struct progress *progress, uint64_t done,
                       uint64_t total, uint64_t now)
{
    struct buf line = {0};
    uint64_t spent_ms = now - progress->began_ms + 1;
    uint64_t rate = done * 1000 / spent_ms;

    buf_printf(&line, "\r\033[K%s ", progress->what);
    add_amount(&line, progress->unit, done);
    if (total > 0) {
        buf_add_text(&line, " of ");
        add_amount(&line, progress->unit, total);
        buf_printf(&line, ", %" PRIu64 " %%", done * 100 / total);
    }
    buf_add_text(&line, ", ");
    add_amount(&line, progress->unit, rate);
    buf_add_text(&line, "/s");
    if (total > done && rate > 0) {
        buf_add_text(&line, ", ");
        text_add_time(&line, (total - done) * 1000 / rate);
        buf_add_text(&line, " left");
    }
    (void)fputs(buf_text(&line), stderr);
    (void)fflush(stderr);
    buf_done(&line);
}

void progress_set(struct progress *progress, uint64_t done, uint64_t total)
{
    if (!progress->shown) {
        return;
    }
    uint64_t now = clock_mono_ms();
    if (now >= progress->next_ms) {
        write_line(progress, done, total, now);
        progress->next_ms = now + EVERY_MS;
        progress->written = true;
    }
}

void progress_end(struct progress *progress)
{
    if (progress->written) {
        (void)fputs("\r\033[K", stderr);
    }
    progress->shown = false;
    progress->written = false;
}
