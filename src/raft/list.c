#include "raft/list.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/address.h"
#include "base/err.h"
#include "base/sha256.h"
#include "model/name.h"

bool list_is_address(const char *text)
{
    char host[ADDRESS_HOST];
    char port[16];
    uint64_t number;

    return strlen(text) < LIST_ADDRESS &&
           address_split(text, host, port) == 0 && host[0] != '\0' &&
           str_number(str_of(port), 65535, &number) == 0 && number != 0;
}

/* The part up to `mark`, which is taken off `rest` with it. */
static struct str cut(struct str *rest, char mark)
{
    const char *at = rest->n == 0 ? NULL : memchr(rest->p, mark, rest->n);
    struct str part = *rest;

    if (at == NULL) {
        *rest = STR_NONE;
        return part;
    }
    part.n = (size_t)(at - part.p);
    *rest = (struct str){at + 1, rest->n - part.n - 1};
    return part;
}

static bool set(char *field, size_t size, struct str text)
{
    if (text.n == 0 || text.n >= size || memchr(text.p, '\0', text.n) != NULL) {
        return false;
    }
    memcpy(field, text.p, text.n);
    field[text.n] = '\0';
    return true;
}

static bool is_entry(const struct list_entry *entry)
{
    return name_is_host(str_of(entry->id)) && list_is_address(entry->raft);
}

static int by_id(const void *a, const void *b)
{
    const struct list_entry *one = a, *other = b;
    return strcmp(one->id, other->id);
}

/* The one that has something of `entry`, or NULL. */
static const struct list_entry *clash(const struct list *list,
                                      const struct list_entry *entry)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct list_entry *other = &list->entries[i];
        if (strcmp(other->id, entry->id) == 0 ||
            strcmp(other->raft, entry->raft) == 0 ||
            (entry->raft_id != 0 && other->raft_id == entry->raft_id)) {
            return other;
        }
    }
    return NULL;
}

static int add(struct list *list, const struct list_entry *entry,
               char why[LIST_WHY])
{
    const struct list_entry *other = clash(list, entry);

    if (other != NULL) {
        (void)snprintf(why, LIST_WHY, "has both %s=%.40s and %s=%.40s",
                       other->id, other->raft, entry->id, entry->raft);
        return ERR_INVALID;
    }
    if (list->n == LIST_MOST) {
        (void)snprintf(why, LIST_WHY,
                       "has more than %d nodes: form the cluster with fewer, "
                       "and let the others --join it",
                       LIST_MOST);
        return ERR_INVALID;
    }
    list->entries[list->n++] = *entry;
    qsort(list->entries, list->n, sizeof *entry, by_id);
    return 0;
}

int list_parse(const char *text, struct list *ret_list, char why[LIST_WHY])
{
    struct list list = {.n = 0};
    struct str rest = str_of(text);

    do {
        struct list_entry entry = {.raft_id = 0};
        struct str part = str_trim(cut(&rest, ','));
        struct str address = part;
        struct str id = cut(&address, '=');
        if (!set(entry.id, sizeof entry.id, id) ||
            !set(entry.raft, sizeof entry.raft, address) || !is_entry(&entry)) {
            (void)snprintf(why, LIST_WHY,
                           "has '%.*s', which is no ID=HOST:PORT",
                           (int)(part.n > 150 ? 150 : part.n), part.p);
            return ERR_INVALID;
        }
        int r = add(&list, &entry, why);
        if (r != 0) {
            return r;
        }
    } while (rest.p != NULL);
    *ret_list = list;
    return 0;
}

const struct list_entry *list_find(const struct list *list, const char *id)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->entries[i].id, id) == 0) {
            return &list->entries[i];
        }
    }
    return NULL;
}

char *list_text(const struct list *list)
{
    struct buf text = {0};

    for (size_t i = 0; i < list->n; i++) {
        buf_printf(&text, "%s%s=%s", i == 0 ? "" : ",", list->entries[i].id,
                   list->entries[i].raft);
    }
    return buf_text(&text);
}

int list_parse_first(struct str text, struct list *ret_list)
{
    struct list list = {.n = 0};
    struct str rest = text;
    char why[LIST_WHY];

    do {
        struct list_entry entry = {.raft_id = 0};
        struct str address = cut(&rest, ',');
        struct str id = cut(&address, '/');
        struct str raft_id = cut(&address, '/');
        if (!set(entry.id, sizeof entry.id, id) ||
            !set(entry.raft, sizeof entry.raft, address) ||
            str_number(raft_id, UINT64_MAX, &entry.raft_id) != 0 ||
            entry.raft_id == 0 || !is_entry(&entry) ||
            add(&list, &entry, why) != 0) {
            return ERR_INVALID;
        }
    } while (rest.p != NULL);
    *ret_list = list;
    return 0;
}

char *list_first_text(const struct list *list)
{
    struct buf text = {0};

    for (size_t i = 0; i < list->n; i++) {
        buf_printf(&text, "%s%s/%llu/%s", i == 0 ? "" : ",",
                   list->entries[i].id,
                   (unsigned long long)list->entries[i].raft_id,
                   list->entries[i].raft);
    }
    return buf_text(&text);
}

void list_cluster(const struct list *list, const char *domain,
                  uint8_t ret_cluster[16])
{
    struct sha256 *hash = sha256_new();
    uint8_t digest[SHA256_BYTES];
    char *text = list_first_text(list);

    /* The NULs keep apart what is hashed in a row. */
    sha256_add(hash, "roster cluster 1", sizeof "roster cluster 1");
    sha256_add(hash, domain, strlen(domain) + 1);
    sha256_add(hash, text, strlen(text) + 1);
    sha256_end(hash, digest);
    memcpy(ret_cluster, digest, 16);
    mem_free(text);
}

bool cluster_is_none(const uint8_t cluster[16])
{
    static const uint8_t none[16];
    return memcmp(cluster, none, sizeof none) == 0;
}

void cluster_hex(const uint8_t cluster[16], char ret_hex[CLUSTER_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < 16; i++) {
        ret_hex[2 * i] = digits[cluster[i] >> 4];
        ret_hex[2 * i + 1] = digits[cluster[i] & 15];
    }
    ret_hex[CLUSTER_HEX] = '\0';
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

bool cluster_parse(struct str hex, uint8_t ret_cluster[16])
{
    uint8_t cluster[16];

    for (size_t i = 0; hex.n == CLUSTER_HEX && i < 16; i++) {
        int high = digit(hex.p[2 * i]);
        int low = digit(hex.p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        cluster[i] = (uint8_t)(high << 4 | low);
    }
    if (hex.n != CLUSTER_HEX) {
        return false;
    }
    memcpy(ret_cluster, cluster, sizeof cluster);
    return true;
}
