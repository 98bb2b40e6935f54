/* An inventory on its way to a resource: items are added in any order and come
 * out as one object of strings that is within the limits of a resource, the
 * same for the same items.
 *
 * An item belongs under a key, which becomes a field; the texts of one key
 * stand in it sorted, each once, a blank between. What does not fit is counted
 * in the field `truncated`. Whatever bytes come in, UTF-8 goes out: control
 * characters and what is no UTF-8 as \xNN. One thread. */
#ifndef AGENT_SHEET_H
#define AGENT_SHEET_H

#include <jansson.h>

#include "base/mem.h"

enum {
    SHEET_ITEMS_MAX = 100000,
    SHEET_ITEM_BYTES_MAX = 4096, /* of a key, of a text; the rest is cut */
    SHEET_FIELDS_MAX = 120,      /* a resource may have 128 */
    SHEET_BYTES_MAX = 240 << 10, /* as sent; a resource may have 256 KiB */
};

struct sheet; /* opaque */

/* `noun` is what an item is: "interface". Lent as long as the sheet is. */
struct sheet *sheet_new(const char *noun) MUST_USE;
struct sheet *sheet_free(struct sheet *sheet);

/* Items of a lower `rank` come first and are cut last. An empty key adds
 * nothing; a key that is the sheet's own (or the server's, with an underscore)
 * gets the noun in front. */
void sheet_add(struct sheet *sheet, unsigned rank, struct str key,
               struct str text);
/* A field about the inventory as a whole: `hidden`, `unavailable`. `text` is a
 * constant. */
void sheet_note(struct sheet *sheet, const char *name, const char *text);
size_t sheet_count(const struct sheet *sheet) MUST_USE;

/* Gives (json_decref) an object with sorted keys when dumped; no `name` yet. */
json_t *sheet_json(struct sheet *sheet) MUST_USE;

#endif
