/* hosts(5) text: an address, then its names; '#' begins a comment. */
#include "dns_internal.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

rmr_bytes rmri_dns_next_word(rmr_bytes *text)
{
    const uint8_t *p = text->ptr;
    size_t n = 0, left = text->len;
    while (left && is_blank(*p)) {
        p++;
        left--;
    }
    while (n < left && !is_blank(p[n]))
        n++;
    rmr_bytes word = rmr_bytes_of(p, n);
    *text = rmr_bytes_of(n ? p + n : p, left - n);
    return word;
}

static rmr_bytes next_line(rmr_bytes *text)
{
    size_t n = 0, end;
    while (n < text->len && text->ptr[n] != '\n' && text->ptr[n] != '#')
        n++;
    rmr_bytes line = rmr_bytes_of(text->ptr, n);
    for (end = n; end < text->len && text->ptr[end] != '\n'; end++)
        ;
    if (end < text->len)
        end++;
    *text = rmr_bytes_of(text->ptr + end, text->len - end);
    return line;
}

static rmr_bytes without_dot(rmr_bytes name)
{
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    return name;
}

size_t rmri_dns_find_host(rmr_bytes hosts, rmr_bytes name, rmr_addr *out,
                          size_t cap)
{
    size_t n = 0;
    name = without_dot(name);
    while (hosts.len && n < cap) {
        rmr_bytes line = next_line(&hosts), word;
        rmr_addr a;
        if (rmr_addr_parse_ip(rmri_dns_next_word(&line), &a) != RMR_OK)
            continue;
        while ((word = rmri_dns_next_word(&line)).len) {
            if (!rmr_bytes_eq_nocase(without_dot(word), name))
                continue;
            out[n++] = a;
            break;
        }
    }
    return n;
}

size_t rmri_dns_cut(rmr_bytes text, size_t max, const char *ends)
{
    if (text.len <= max)
        return text.len;
    for (size_t n = max; n > 0; n--)
        for (const char *p = ends; *p; p++)
            if (text.ptr[n - 1] == (uint8_t)*p)
                return n;
    return 0;
}
