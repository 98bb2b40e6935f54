/* The log: a constant sentence and typed fields, one line per event, to stderr.
 * Text on a terminal, JSON otherwise (log_start decides; --log-format forces).
 *
 *     log_info(LOG_RAFT, "became leader", LOG_U64("term", term));
 *
 * Any thread. Only edges log: who raises a fault does not. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

#define LOG_CORE "core"
#define LOG_RAFT "raft"
#define LOG_PEER "peer"
#define LOG_STORE "store"
#define LOG_LEASE "lease"
#define LOG_HTTP "http"
#define LOG_HOOK "hook"
#define LOG_ACCESS "access"
#define LOG_AGENT "agent"
#define LOG_AUDIT "audit"

struct log_field {
    const char *name;
    enum { LOG_IS_U64, LOG_IS_STR } kind;
    uint64_t number;
    struct str text;
};

#define LOG_U64(n, v)                                                          \
    ((struct log_field){.name = (n), .kind = LOG_IS_U64, .number = (v)})
#define LOG_STR(n, v)                                                          \
    ((struct log_field){.name = (n), .kind = LOG_IS_STR, .text = (v)})
#define LOG_TXT(n, v) LOG_STR(n, str_of(v))

void log_start(enum log_level least, enum log_format format);
void log_set_level(enum log_level least);
/* "debug", "info", "warn", "error": 0 or INVALID. */
int log_level_parse(struct str text, enum log_level *ret_level) MUST_USE;

/* `fields` ends with LOG_END. */
void log_write(enum log_level level, const char *room, const char *sentence,
               const struct log_field *fields);

#define LOG_END ((struct log_field){.name = NULL})
#define LOG_FIELDS(level, room, sentence, ...)                                 \
    log_write((level), (room), (sentence),                                     \
              (const struct log_field[]){__VA_ARGS__})
#define LOG_AT(level, room, ...) LOG_FIELDS(level, room, __VA_ARGS__, LOG_END)
#define log_debug(room, ...) LOG_AT(LOG_DEBUG, room, __VA_ARGS__)
#define log_info(room, ...) LOG_AT(LOG_INFO, room, __VA_ARGS__)
#define log_warn(room, ...) LOG_AT(LOG_WARN, room, __VA_ARGS__)
#define log_error(room, ...) LOG_AT(LOG_ERROR, room, __VA_ARGS__)

#endif
