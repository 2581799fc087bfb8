/* DNS labels of nodes.  The rule is Headscale's: endings of local names go,
 * blanks, dots, underscores and at signs become hyphens, other bytes vanish. */
#include "crd_internal.h"

#include <stdio.h>
#include <string.h>

#define LABEL_MAX 63

static uint8_t lower(uint8_t ch)
{
    return ch >= 'A' && ch <= 'Z' ? (uint8_t)(ch - 'A' + 'a') : ch;
}

static bool is_alnum(uint8_t ch)
{
    ch = lower(ch);
    return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
}

static rmr_bytes strip_ending(rmr_bytes t)
{
    static const char *const endings[] = {".local", ".localdomain", ".lan"};
    for (size_t i = 0; i < 3; i++) {
        rmr_bytes end = rmr_bytes_str(endings[i]);
        if (t.len > end.len &&
            rmr_bytes_eq_nocase(rmr_bytes_of(t.ptr + t.len - end.len, end.len),
                                end))
            return rmr_bytes_of(t.ptr, t.len - end.len);
    }
    return t;
}

static rmr_bytes trim(rmr_bytes t)
{
    while (t.len && !is_alnum(t.ptr[0]))
        t = rmr_bytes_of(t.ptr + 1, t.len - 1);
    while (t.len && !is_alnum(t.ptr[t.len - 1]))
        t.len--;
    return t;
}

void rmri_crd_label(char out[64], rmr_bytes hostname)
{
    size_t n = 0;
    rmr_bytes t = strip_ending(hostname);
    if (t.len > LABEL_MAX)
        t.len = LABEL_MAX;
    t = trim(t);
    for (size_t i = 0; i < t.len; i++) {
        uint8_t ch = t.ptr[i];
        if (ch == ' ' || ch == '.' || ch == '_' || ch == '@')
            ch = '-';
        if (is_alnum(ch) || ch == '-')
            out[n++] = (char)lower(ch);
    }
    out[n] = '\0';
    if (n == 0)
        memcpy(out, "node", 5);
}

bool rmri_crd_is_label(rmr_bytes t)
{
    if (t.len == 0 || t.len > LABEL_MAX || !is_alnum(t.ptr[0]) ||
        !is_alnum(t.ptr[t.len - 1]))
        return false;
    for (size_t i = 0; i < t.len; i++) {
        if (!is_alnum(t.ptr[i]) && t.ptr[i] != '-')
            return false;
    }
    return true;
}

void rmri_crd_label_unique(const rmr_coord *c, char label[64])
{
    char base[64];
    memcpy(base, label, sizeof base);
    for (unsigned i = 1; rmri_crd_node_named(c, rmr_bytes_str(label)); i++) {
        char suffix[16];
        size_t n = (size_t)snprintf(suffix, sizeof suffix, "-%u", i);
        size_t keep = strlen(base);
        if (keep > LABEL_MAX - n)
            keep = LABEL_MAX - n;
        memcpy(label, base, keep);
        memcpy(label + keep, suffix, n + 1);
    }
}
