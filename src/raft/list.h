/* The texts that say who forms a cluster: --cluster as people write it, the
 * first members as the node file keeps them, and the cluster's id.
 *
 *   list    n1=HOST:PORT,n2=HOST:PORT        written in the order of the names
 *   first   n1/RAFT-ID/HOST:PORT,…           the same, with who they are
 *
 * The id of a cluster is made of its first members and its domain: nodes that
 * agree on those have agreed on it. Any thread. */
#ifndef RAFT_LIST_H
#define RAFT_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum { LIST_MOST = 9, LIST_ID = 64, LIST_ADDRESS = 128, CLUSTER_HEX = 32 };
#define LIST_WHY 256

struct list {
    size_t n;
    struct list_entry {
        char id[LIST_ID];
        char raft[LIST_ADDRESS];
        uint64_t raft_id; /* 0 in a list that does not say it */
    } entries[LIST_MOST];
};

/* Sorted by name. Names and addresses are syntactically right and none is there
 * twice. Answers: INVALID, `why` says what is wrong. */
int list_parse(const char *text, struct list *ret_list,
               char why[LIST_WHY]) MUST_USE;
/* NULL when it is not in it. */
const struct list_entry *list_find(const struct list *list, const char *id);
/* In its one form; gives. */
char *list_text(const struct list *list) MUST_USE;
/* Answers: INVALID. */
int list_parse_first(struct str text, struct list *ret_list) MUST_USE;
char *list_first_text(const struct list *list) MUST_USE;
void list_cluster(const struct list *list, const char *domain,
                  uint8_t ret_cluster[16]);

/* HOST:PORT or [V6]:PORT with both there and a port that is not 0. */
bool list_is_address(const char *text);

bool cluster_is_none(const uint8_t cluster[16]);
void cluster_hex(const uint8_t cluster[16], char ret_hex[CLUSTER_HEX + 1]);
/* 32 digits and nothing else. */
bool cluster_parse(struct str hex, uint8_t ret_cluster[16]);

#endif
