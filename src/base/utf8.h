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
/* Appends text as what stands between the quotes of a JSON string, in ASCII
 * wherever some reader might see the end of a line or a command to a terminal:
 * quotes, controls, line ends and what is no text are escaped, so that no value
 * can forge a line of its own or spoil one. What is behind `most` bytes is cut,
 * and "..." says so. */
void utf8_add_escaped(struct buf *line, struct str text, size_t most);

#endif
