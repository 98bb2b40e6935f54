/* Problems as JSON (RFC 9457). Private to answer.c. */
#ifndef REST_PROBLEM_H
#define REST_PROBLEM_H

#include "registry/registry.h"

/* In the arena. */
struct str rest_problem_render(struct arena *arena, unsigned status,
                               const struct op_answer *answer);

#endif
