/* What the sources of settings share. Each complains to stderr, in the name of
 * the program, and says false. */
#ifndef BASE_OPTIONS_INSIDE_H
#define BASE_OPTIONS_INSIDE_H

#include "base/options.h"

#define OPTIONS_ENV "ROSTER_"

__attribute__((format(printf, 2, 3))) void
options_complain(const struct options *options, const char *format, ...);
/* NULL: there is none. */
const struct option *options_find(const struct option *table, struct str name);
/* The name that was probably meant, NULL when nothing is near. */
const char *options_nearest(const struct options *options, struct str wrong);

/* ---- options_value.c ---- */
/* Puts `text` into the option's target. `where` starts the complaint. */
bool options_set(const struct options *options, const struct option *option,
                 const char *where, struct str text) MUST_USE;
void options_map_set(struct option_map *map, struct str name, struct str value);

/* ---- options_file.c, options_env.c ---- */
bool options_read_file(const struct options *options,
                       const char *path) MUST_USE;
bool options_read_environment(const struct options *options) MUST_USE;
/* "data-dir": appends ROSTER_DATA_DIR. */
void options_env_name(struct buf *out, const char *option);

#endif
