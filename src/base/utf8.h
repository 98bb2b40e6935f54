/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above
 * U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

#define UTF8_MAX 4 /* bytes of one character */

/* Length of the character that `text` starts with; 0 when it is none. */
size_t utf8_step(struct str text);
bool utf8_is_valid(struct str text);
/* Writes a character that is no surrogate; its length. */
size_t utf8_put(char *ret_bytes, uint32_t character);

#endif
