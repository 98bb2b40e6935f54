/* What creating and changing a namespace share. Private to the room. */
#ifndef REGISTRY_TREE_BODY_H
#define REGISTRY_TREE_BODY_H

#include "model/json.h"
#include "registry/room.h"

/* Each is 0, or ANSWERED with a problem. */
int tree_check_label(struct op_state *s, struct str name) MUST_USE;
/* A string, null (then *ret_has is 0), or absent (then *ret_given is false). */
int tree_read_match(struct op_state *s, const struct json *body,
                    bool *ret_given, uint8_t *ret_has,
                    struct str *ret_match) MUST_USE;
int tree_read_comment(struct op_state *s, const struct json *body,
                      bool *ret_given, struct str *ret_comment) MUST_USE;
/* Only leaves match hostnames: always ANSWERED. */
int tree_refuse_match(struct op_state *s);

/* The node as it is now, as body and ETag; without a body when it has gone
 * since (then *ret_path is empty). */
int tree_answer_node(struct op_state *s, uint64_t id, uint64_t revision,
                     struct str *ret_path) MUST_USE;

#endif
