/* Strings, and an address, without <string.h>'s rest: a pure layer calls
 * memcpy, memmove, memset, memcmp and strlen alone. */
#ifndef REMORA_CONTROL_STR_H
#define REMORA_CONTROL_STR_H

#include <remora/addr.h>
#include <remora/base.h>

/* As strcmp. */
int rmri_ctl_compare(const char *a, const char *b);
static inline bool rmri_ctl_same(const char *a, const char *b)
{
    return rmri_ctl_compare(a, b) == 0;
}
/* Does the byte occur in the text? */
bool rmri_ctl_has_byte(rmr_bytes text, uint8_t c);
/* Does the text occur in the other?  ASCII case does not matter. */
bool rmri_ctl_contains(rmr_bytes text, const char *part);
/* Copies what fits, printable ASCII and UTF-8 as it is, control characters as
 * blanks, and a NUL: what a server says goes into logs and messages so. */
void rmri_ctl_copy_clean(char *dst, size_t cap, rmr_bytes text);

/* An address with its padding zeroed, so that memcmp compares it. */
void rmri_ctl_put_addr(rmr_addr *dst, const rmr_addr *src);

#endif
