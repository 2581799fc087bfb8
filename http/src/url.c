/*
 * URLs of the two schemes that remora dials.
 *
 * Strict: what RFC 3986 does not allow in a URL is refused, not repaired, so
 * that nothing from a URL can end a header line or name another host than the
 * one that is shown to the user.
 */
#include <remora/addr.h>
#include <remora/http1.h>
#include <remora/text.h>
#include <stdio.h>
#include <string.h>
#include "h1_internal.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static rmr_bytes cut(rmr_bytes *text, size_t n)
{
    rmr_bytes head = rmr_bytes_of(text->ptr, n);
    text->ptr += n;
    text->len -= n;
    return head;
}

static bool has_byte(rmr_bytes text, const char *one)
{
    return rmri_h1_span_until(text, one) < text.len;
}

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static bool is_path_char(uint8_t c)
{
    return c > ' ' && c < 0x7f && !rmri_h1_is_one_of("\"<>\\^`{|}", c);
}

static rmr_err parse_scheme(rmr_bytes *text, rmr_url *u)
{
    size_t n = rmri_h1_span_until(*text, ":");
    if (n == 0 || text->len - n < 3 || memcmp(text->ptr + n, "://", 3) != 0)
        return RMR_E_MALFORMED;
    rmr_bytes scheme = cut(text, n);
    (void)cut(text, 3);
    if (rmr_bytes_eq_nocase(scheme, rmr_bytes_str("https")))
        u->https = true;
    else if (!rmr_bytes_eq_nocase(scheme, rmr_bytes_str("http")))
        return RMR_E_UNSUPPORTED;
    u->port = u->https ? 443 : 80;
    return RMR_OK;
}

static rmr_err set_host(rmr_url *u, rmr_bytes host)
{
    if (host.len == 0)
        return RMR_E_MALFORMED;
    if (host.len >= sizeof u->host)
        return RMR_E_TOOBIG;
    for (size_t i = 0; i < host.len; i++)
        u->host[i] = (char)lower(host.ptr[i]);
    return RMR_OK;
}

static rmr_err parse_name(rmr_bytes *auth, rmr_url *u)
{
    rmr_bytes host = cut(auth, rmri_h1_span_until(*auth, ":"));
    for (size_t i = 0; i < host.len; i++) {
        if (!is_name_char(lower(host.ptr[i])))
            return RMR_E_MALFORMED;
    }
    return set_host(u, host);
}

static rmr_err parse_v6(rmr_bytes *auth, rmr_url *u)
{
    (void)cut(auth, 1);
    size_t n = rmri_h1_span_until(*auth, "]");
    if (n == auth->len)
        return RMR_E_MALFORMED;
    rmr_bytes host = cut(auth, n);
    (void)cut(auth, 1);
    rmr_addr a;
    if (!has_byte(host, ":") || has_byte(host, "%") ||
        rmr_addr_parse_ip(host, &a) != RMR_OK)
        return RMR_E_MALFORMED;
    return set_host(u, host);
}

/* An empty port is the scheme's own (RFC 3986 3.2.3). */
static rmr_err parse_port(rmr_bytes auth, rmr_url *u)
{
    if (auth.len == 0)
        return RMR_OK;
    if (auth.ptr[0] != ':')
        return RMR_E_MALFORMED;
    (void)cut(&auth, 1);
    if (auth.len == 0)
        return RMR_OK;
    uint64_t port;
    if (rmr_parse_u64(auth, UINT16_MAX, &port) != RMR_OK || port == 0)
        return RMR_E_MALFORMED;
    u->port = (uint16_t)port;
    u->port_given = true;
    return RMR_OK;
}

/* A fragment is never sent (RFC 9110 4.2.4). */
static rmr_err parse_path(rmr_bytes path, rmr_url *u)
{
    path.len = rmri_h1_span_until(path, "#");
    bool slash = path.len == 0 || path.ptr[0] != '/';
    if (path.len + slash >= sizeof u->path)
        return RMR_E_TOOBIG;
    for (size_t i = 0; i < path.len; i++) {
        if (!is_path_char(path.ptr[i]))
            return RMR_E_MALFORMED;
    }
    if (slash)
        u->path[0] = '/';
    if (path.len)
        memcpy(u->path + slash, path.ptr, path.len);
    return RMR_OK;
}

rmr_err rmr_url_parse(rmr_bytes text, rmr_url *out)
{
    rmr_url u;
    memset(&u, 0, sizeof u);
    rmr_err e = parse_scheme(&text, &u);
    if (e != RMR_OK)
        return e;
    rmr_bytes auth = cut(&text, rmri_h1_span_until(text, "/?#"));
    if (auth.len == 0 || has_byte(auth, "@"))
        return RMR_E_MALFORMED;
    e = auth.ptr[0] == '[' ? parse_v6(&auth, &u) : parse_name(&auth, &u);
    if (e == RMR_OK)
        e = parse_port(auth, &u);
    if (e == RMR_OK)
        e = parse_path(text, &u);
    if (e == RMR_OK)
        *out = u;
    return e;
}

const char *rmr_url_authority(const rmr_url *u, char dst[272])
{
    bool v6 = has_byte(rmr_bytes_str(u->host), ":");
    const char *open = v6 ? "[" : "";
    const char *shut = v6 ? "]" : "";
    if (u->port == (u->https ? 443 : 80))
        (void)snprintf(dst, 272, "%s%s%s", open, u->host, shut);
    else
        (void)snprintf(dst, 272, "%s%s%s:%u", open, u->host, shut,
                       (unsigned)u->port);
    return dst;
}
