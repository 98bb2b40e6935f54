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
    utf8_add_escaped(line, field->text, VALUE_MOST);
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
        utf8_add_escaped(&line, str_of(sentence), VALUE_MOST);
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
