/* Looking things up in a head, and what names and values may hold. */
#include "h1_internal.h"

bool rmri_h1_is_one_of(const char *set, uint8_t c)
{
    for (; *set; set++) {
        if ((uint8_t)*set == c)
            return true;
    }
    return false;
}

size_t rmri_h1_span_until(rmr_bytes text, const char *stops)
{
    for (size_t i = 0; i < text.len; i++) {
        if (rmri_h1_is_one_of(stops, text.ptr[i]))
            return i;
    }
    return text.len;
}

rmr_bytes rmr_h1_header(const rmr_h1_head *head, const char *name)
{
    rmr_bytes want = rmr_bytes_str(name);
    for (size_t i = 0; i < head->n_headers; i++) {
        if (rmr_bytes_eq_nocase(head->headers[i].name, want))
            return head->headers[i].value;
    }
    return rmr_bytes_of(NULL, 0);
}

static rmr_bytes trim(rmr_bytes b)
{
    while (b.len && (b.ptr[0] == ' ' || b.ptr[0] == '\t')) {
        b.ptr++;
        b.len--;
    }
    while (b.len && (b.ptr[b.len - 1] == ' ' || b.ptr[b.len - 1] == '\t'))
        b.len--;
    return b;
}

static bool list_has(rmr_bytes list, rmr_bytes token)
{
    while (list.len) {
        size_t n = rmri_h1_span_until(list, ",");
        if (rmr_bytes_eq_nocase(trim(rmr_bytes_of(list.ptr, n)), token))
            return true;
        if (n == list.len)
            break;
        list.ptr += n + 1;
        list.len -= n + 1;
    }
    return false;
}

bool rmr_h1_header_has(const rmr_h1_head *head, const char *name,
                       const char *token)
{
    rmr_bytes want = rmr_bytes_str(name);
    rmr_bytes tok = rmr_bytes_str(token);
    for (size_t i = 0; i < head->n_headers; i++) {
        const rmr_header *h = &head->headers[i];
        if (rmr_bytes_eq_nocase(h->name, want) && list_has(h->value, tok))
            return true;
    }
    return false;
}

bool rmri_h1_is_token(rmr_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  (c >= '0' && c <= '9') ||
                  rmri_h1_is_one_of("!#$%&'*+-.^_`|~", c);
        if (!ok)
            return false;
    }
    return text.len > 0;
}

bool rmri_h1_is_value(rmr_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '\r' || c == '\n' || c == 0)
            return false;
    }
    return true;
}
