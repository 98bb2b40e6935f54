#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/utf8.h"

static _Atomic enum log_level threshold = LOG_INFO;
static _Atomic bool as_json = true;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_start(enum log_level least, enum log_format format)
{
    atomic_store(&threshold, least);
    atomic_store(&as_json, format == LOG_AUTO ? isatty(STDERR_FILENO) == 0
                                              : format == LOG_JSON);
}

void log_set_level(enum log_level least)
{
    atomic_store(&threshold, least);
}

int log_level_parse(struct str text, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (str_is(text, level_names[i])) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

/* As much of a value as a person wants to read. A line stays below what a pipe
 * takes in one piece. */
enum { VALUE_MOST = 512 };

static void add_ascii(struct buf *line, unsigned char c)
{
    if (c == '"' || c == '\\') {
        buf_add_char(line, '\\');
        buf_add_char(line, (char)c);
    } else if (c < 0x20 || c == 0x7f) {
        buf_printf(line, "\\u%04x", c);
    } else {
        buf_add_char(line, (char)c);
    }
}

/* U+0080 to U+009F, U+2028 and U+2029: some readers end a line at them, and
 * some terminals obey them. 0: another one. */
static unsigned control_of(struct str character)
{
    const unsigned char *p = (const unsigned char *)character.p;

    if (character.n == 2 && p[0] == 0xc2 && p[1] < 0xa0) {
        return p[1];
    }
    if (character.n == 3 && p[0] == 0xe2 && p[1] == 0x80 &&
        (p[2] == 0xa8 || p[2] == 0xa9)) {
        return 0x2000 + (p[2] & 0x3fU);
    }
    return 0;
}

/* What a log reader must not be fed raw: quotes, controls, line ends and what
 * is no text, so that no value can forge a line of its own or spoil one. */
static void add_escaped(struct buf *line, struct str text)
{
    size_t at = 0;

    while (at < text.n && at < VALUE_MOST) {
        struct str rest = {text.p + at, text.n - at};
        size_t n = utf8_step(rest);
        rest.n = n;
        unsigned control = control_of(rest);
        if (n == 0) {
            buf_add_text(line, "\\ufffd");
        } else if (n == 1) {
            add_ascii(line, (unsigned char)*rest.p);
        } else if (control != 0) {
            buf_printf(line, "\\u%04x", control);
        } else {
            buf_add_str(line, rest);
        }
        at += n == 0 ? 1 : n;
    }
    buf_add_text(line, at < text.n ? "..." : "");
}

static void add_field(struct buf *line, const struct log_field *field,
                      bool json)
{
    if (json) {
        buf_printf(line, ",\"%s\":", field->name);
    } else {
        buf_printf(line, " %s=", field->name);
    }
    if (field->kind == LOG_IS_U64) {
        buf_add_u64(line, field->number);
        return;
    }
    buf_add_char(line, '"');
    add_escaped(line, field->text);
    buf_add_char(line, '"');
}

void log_write(enum log_level level, const char *room, const char *sentence,
               const struct log_field *fields)
{
    if (level < atomic_load(&threshold)) {
        return;
    }
    bool json = atomic_load(&as_json);
    struct buf line = {0};
    struct timespec now;
    struct tm parts;
    char stamp[32];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &parts);
    (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
    if (json) {
        buf_printf(&line,
                   "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"room\":\"%s\","
                   "\"msg\":\"",
                   stamp, now.tv_nsec / 1000000, level_names[level], room);
        add_escaped(&line, str_of(sentence));
        buf_add_char(&line, '"');
    } else {
        buf_printf(&line, "%s.%03ldZ %-5s %-5s %s", stamp,
                   now.tv_nsec / 1000000, level_names[level], room, sentence);
    }
    for (; fields->name != NULL; fields++) {
        add_field(&line, fields, json);
    }
    buf_add_text(&line, json ? "}\n" : "\n");
    /* One write per line keeps lines of several threads whole. */
    ssize_t written = write(STDERR_FILENO, line.p, line.n);
    (void)written;
    buf_done(&line);
}
