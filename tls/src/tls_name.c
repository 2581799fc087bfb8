/* Names that a certificate must hold, and whether it does.
 * Source: RFC 6125 6.4, RFC 9525, RFC 5280 4.2.1.6. */
#include <string.h>
#include "tls_cert.h"
#include "tls_der.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_dns_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* Letters, digits, hyphen, underscore; no empty label. */
static rmr_err parse_dns(const char *text, rmri_tls_name *out)
{
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len == 0 || len >= sizeof out->dns)
        return RMR_E_INVAL;
    for (size_t i = 0; i < len; i++) {
        char c = lower(text[i]);
        bool empty = c == '.' && (i == 0 || i + 1 == len || text[i - 1] == '.');
        if (!is_dns_char(c) || empty)
            return RMR_E_INVAL;
        out->dns[i] = c;
    }
    out->dns[len] = '\0';
    return RMR_OK;
}

rmr_err rmri_tls_name_parse(const char *text, rmri_tls_name *out)
{
    memset(out, 0, sizeof *out);
    if (!text)
        return RMR_E_INVAL;
    rmr_bytes t = rmr_bytes_str(text);
    if (t.len > 2 && t.ptr[0] == '[' && t.ptr[t.len - 1] == ']')
        t = rmr_bytes_of(t.ptr + 1, t.len - 2);
    if (rmr_addr_parse_ip(t, &out->ip) == RMR_OK)
        return RMR_OK;
    return parse_dns(text, out);
}

/* The part behind the first label, with its dot; NULL where there is none. */
static const char *after_label(const char *name)
{
    while (*name && *name != '.')
        name++;
    return *name ? name : NULL;
}

bool rmri_tls_dns_match(rmr_bytes pattern, const char *name)
{
    if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '.')
        pattern.len--;
    if (pattern.len > 2 && pattern.ptr[0] == '*' && pattern.ptr[1] == '.') {
        name = after_label(name);
        pattern = rmr_bytes_of(pattern.ptr + 1, pattern.len - 1);
    }
    return name && pattern.len > 0 &&
           rmr_bytes_eq_nocase(pattern, rmr_bytes_str(name));
}

static bool ip_match(rmr_bytes bytes, const rmr_addr *want)
{
    return bytes.len == rmr_addr_ip_len(want) &&
           memcmp(bytes.ptr, want->ip, bytes.len) == 0;
}

bool rmri_tls_cert_has_name(const rmri_tls_cert *c, const rmri_tls_name *n)
{
    rmr_rd names = rmr_rd_of(c->san);
    while (!names.failed && names.left) {
        uint8_t tag;
        rmr_bytes value = rmri_der_next(&names, &tag);
        if (n->ip.family == RMR_AF_NONE) {
            if (tag == 0x82 && rmri_tls_dns_match(value, n->dns))
                return true;
        } else if (tag == 0x87 && ip_match(value, &n->ip)) {
            return true;
        }
    }
    return false;
}
