#include "cli/known.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

enum { SUM = 16 };

/* ---- types ---- */

void known_types_put(struct known_types *known, const json_t *type)
{
    const char *name = json_string_value(json_object_get(type, "name"));

    if (known->types == NULL) {
        known->types = json_object();
    }
    if (name != NULL) {
        (void)json_object_set(known->types, name, (json_t *)(uintptr_t)type);
    }
}

void known_types_set(struct known_types *known, const json_t *array)
{
    size_t i = 0;
    const json_t *type = NULL;

    json_array_foreach(array, i, type)
    {
        known_types_put(known, type);
    }
}

void known_types_done(struct known_types *known)
{
    json_decref(known->types);
    known->types = NULL;
}

const char *known_key(const struct known_types *known, const char *type)
{
    const json_t *definition = json_object_get(known->types, type);

    return definition == NULL
               ? "name"
               : json_string_value(json_object_get(definition, "key"));
}

static bool is_secret(const json_t *definition, const char *field)
{
    size_t i = 0;
    const json_t *secret = NULL;

    json_array_foreach(json_object_get(definition, "secret"), i, secret)
    {
        if (strcmp(json_string_value(secret), field) == 0) {
            return true;
        }
    }
    return false;
}

bool known_is_mask(const struct known_types *known, const char *type,
                   const char *field, const json_t *value)
{
    const json_t *definition = json_object_get(known->types, type);
    const char *text = json_string_value(value);

    return text != NULL && strcmp(text, "***") == 0 &&
           (definition == NULL || is_secret(definition, field));
}

/* ---- rows ---- */

struct sums {
    uint8_t (*sum)[SUM]; /* in order */
    uint32_t *used;      /* at the first of equal ones: how many of them */
    size_t n;
    size_t room;
};

struct known_rows {
    json_t *lists; /* "ns type" -> its place */
    struct sums *sums;
    size_t n;
};

struct known_rows *known_rows_new(void)
{
    struct known_rows *rows = mem_zero(sizeof *rows);

    rows->lists = json_object();
    return rows;
}

struct known_rows *known_rows_free(struct known_rows *rows)
{
    if (rows == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < rows->n; i++) {
        (void)mem_free(rows->sums[i].sum);
        (void)mem_free(rows->sums[i].used);
    }
    (void)mem_free(rows->sums);
    json_decref(rows->lists);
    return mem_free(rows);
}

/* Of the row as readers see it: without what the registry adds, secrets
 * masked. */
static void sum_of(const struct known_types *types, const char *type,
                   const json_t *resource, uint8_t ret_sum[SUM])
{
    json_t *row = json_copy((json_t *)(uintptr_t)resource);
    const json_t *definition = json_object_get(types->types, type);
    uint8_t digest[SHA256_BYTES];
    size_t i = 0;
    const json_t *secret = NULL;

    (void)json_object_del(row, "_id");
    (void)json_object_del(row, "_rev");
    json_array_foreach(json_object_get(definition, "secret"), i, secret)
    {
        const char *field = json_string_value(secret);
        if (json_object_get(row, field) != NULL) {
            (void)json_object_set_new(row, field, json_string("***"));
        }
    }
    char *text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS);
    struct sha256 *hash = sha256_new();
    sha256_add(hash, text, strlen(text));
    (void)sha256_end(hash, digest);
    memcpy(ret_sum, digest, SUM);
    free(text);
    json_decref(row);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, SUM);
}

static void add_page(struct sums *sums, const struct known_types *types,
                     const char *type, const json_t *page)
{
    const char *key = known_key(types, type);
    size_t i = 0;
    const json_t *row = NULL;

    json_array_foreach(page, i, row)
    {
        if (key != NULL && json_object_get(row, key) != NULL) {
            continue;
        }
        if (sums->n == sums->room) {
            sums->room = sums->room == 0 ? 64 : 2 * sums->room;
            sums->sum = mem_grow(sums->sum, sums->room * sizeof *sums->sum);
        }
        sum_of(types, type, row, sums->sum[sums->n++]);
    }
}

static enum roster_result read_page(struct roster *roster, char **path,
                                    const char *query, json_t **ret_page)
{
    struct roster_request request = {
        .method = "GET", .path = *path, .query = query};
    struct roster_response response = {0};
    enum roster_result result = roster_send(roster, &request, &response);

    if (result == ROSTER_OK) {
        *ret_page =
            json_loadb(response.body, response.body_size, JSON_ALLOW_NUL, NULL);
        free(*path);
        *path = mem_text(response.next);
    }
    roster_response_done(&response);
    return result;
}

/* A namespace that is not there yet has no rows. */
static enum roster_result read_list(struct sums *sums,
                                    const struct known_types *types,
                                    struct roster *roster, const char *ns,
                                    const char *type)
{
    char *path = roster_path("v1", "ns", ns, type, NULL);
    const char *query = "limit=5000";
    enum roster_result result = ROSTER_OK;

    while (result == ROSTER_OK && path[0] != '\0') {
        json_t *page = NULL;
        result = read_page(roster, &path, query, &page);
        add_page(sums, types, type, page);
        json_decref(page);
        query = NULL;
    }
    free(path);
    if (result == ROSTER_REFUSED && roster_error(roster)->status == 404) {
        result = ROSTER_OK;
    }
    if (sums->n > 0) {
        qsort(sums->sum, sums->n, sizeof *sums->sum, compare);
        sums->used = mem_zero(sums->n * sizeof *sums->used);
    }
    return result;
}

static bool take(struct sums *sums, const uint8_t sum[SUM])
{
    size_t low = 0;
    size_t high = sums->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(sums->sum[middle], sum, SUM) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == sums->n) {
        return false;
    }
    size_t at = low + sums->used[low];
    if (at >= sums->n || memcmp(sums->sum[at], sum, SUM) != 0) {
        return false;
    }
    sums->used[low]++;
    return true;
}

enum roster_result known_rows_take(struct known_rows *rows,
                                   const struct known_types *types,
                                   struct roster *roster, const char *ns,
                                   const char *type, const json_t *resource,
                                   bool *ret_there)
{
    struct buf name = {0};
    uint8_t sum[SUM];
    enum roster_result result = ROSTER_OK;

    buf_printf(&name, "%s %s", ns, type);
    const json_t *place = json_object_get(rows->lists, buf_text(&name));
    size_t at = place == NULL ? rows->n : (size_t)json_integer_value(place);
    if (place == NULL) {
        struct sums sums = {0};
        result = read_list(&sums, types, roster, ns, type);
        rows->sums = mem_grow(rows->sums, (rows->n + 1) * sizeof *rows->sums);
        rows->sums[rows->n++] = sums;
        (void)json_object_set_new(rows->lists, buf_text(&name),
                                  json_integer((json_int_t)at));
    }
    buf_done(&name);
    if (result == ROSTER_OK) {
        sum_of(types, type, resource, sum);
        *ret_there = take(&rows->sums[at], sum);
    }
    return result;
}
