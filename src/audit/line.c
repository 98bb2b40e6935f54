#include "audit/line.h"

#include <time.h>

#include "base/utf8.h"

enum { VALUE_MOST = 1 << 10, ABOUT_MOST = 16 << 10 };

/* Taking a second apart costs more than the rest of a line: each thread knows
 * the last one it wrote. */
static const char *second_text(uint64_t second)
{
    static _Thread_local struct {
        uint64_t second;
        char text[40];
    } known;
    time_t when = (time_t)second;
    struct tm tm;

    if (known.second == second && known.text[0] != '\0') {
        return known.text;
    }
    if (gmtime_r(&when, &tm) == NULL) {
        tm = (struct tm){.tm_year = 70, .tm_mday = 1};
    }
    (void)strftime(known.text, sizeof known.text,
                   "\"time\":\"%Y-%m-%dT%H:%M:%S.", &tm);
    known.second = second;
    return known.text;
}

static void add_time(struct buf *out, uint64_t now_ms)
{
    unsigned ms = (unsigned)(now_ms % 1000);
    const char rest[] = {(char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                         (char)('0' + ms % 10), 'Z', '"'};

    buf_add_text(out, second_text(now_ms / 1000));
    buf_add(out, rest, sizeof rest);
}

static void add_value(struct buf *out, const char *name, struct str value,
                      size_t most)
{
    if (value.n == 0) {
        return;
    }
    buf_add_text(out, ",\"");
    buf_add_text(out, name);
    buf_add_text(out, "\":\"");
    utf8_add_escaped(out, value, most);
    buf_add_char(out, '"');
}

static void add_text(struct buf *out, const char *name, struct str value)
{
    add_value(out, name, value, VALUE_MOST);
}

static void add_number(struct buf *out, const char *name, uint64_t value)
{
    if (value == 0) {
        return;
    }
    buf_add_text(out, ",\"");
    buf_add_text(out, name);
    buf_add_text(out, "\":");
    buf_add_u64(out, value);
}

void audit_line_add(struct buf *out, const struct audit_line *line,
                    struct str node, uint64_t now_ms)
{
    buf_reserve(out, 512);
    add_time(out, now_ms);
    add_text(out, "node", node);
    add_text(out, "who", line->who);
    add_text(out, "token", line->token);
    add_text(out, "from", line->from);
    add_text(out, "request", line->request);
    add_text(out, "op", line->op);
    add_text(out, "ns", line->ns);
    add_text(out, "type", line->type);
    add_text(out, "id", line->id);
    add_value(out, "about", line->about, ABOUT_MOST);
    add_text(out, "outcome", line->outcome);
    add_text(out, "detail", line->detail);
    add_number(out, "status", line->status);
    add_number(out, "revision", line->revision);
}
