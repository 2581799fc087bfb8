/* Small helpers on strings and addresses. */
#include "str.h"

#include <string.h>

int rmri_ctl_compare(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

bool rmri_ctl_has_byte(rmr_bytes text, uint8_t c)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == c)
            return true;
    }
    return false;
}

bool rmri_ctl_contains(rmr_bytes text, const char *part)
{
    rmr_bytes p = rmr_bytes_str(part);
    for (size_t i = 0; i + p.len <= text.len; i++) {
        if (rmr_bytes_eq_nocase(rmr_bytes_of(text.ptr + i, p.len), p))
            return true;
    }
    return false;
}

void rmri_ctl_copy_clean(char *dst, size_t cap, rmr_bytes text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n + 1 < cap; i++) {
        uint8_t c = text.ptr[i];
        if (c < 0x20 || c == 0x7f)
            c = ' ';
        if (c == ' ' && (n == 0 || dst[n - 1] == ' '))
            continue;
        dst[n++] = (char)c;
    }
    while (n && dst[n - 1] == ' ')
        n--;
    dst[n] = '\0';
}

void rmri_ctl_put_addr(rmr_addr *dst, const rmr_addr *src)
{
    memset(dst, 0, sizeof *dst);
    memcpy(dst->ip, src->ip, sizeof dst->ip);
    dst->zone = src->zone;
    dst->port = src->port;
    dst->family = src->family;
}
