/* The way through an HTTP proxy: which hosts take it, the CONNECT request, and
 * the answer. */
#include "mc_internal.h"

#include <remora/text.h>
#include <stdio.h>
#include <string.h>

#define MAX_AUTHORIZATION 1024
#define MAX_NO_PROXY 8192

static char *copy(rmr_mc *mc, const char *text, size_t *size)
{
    *size = strlen(text) + 1;
    char *to = rmr_alloc_zero(&mc->env.alloc, *size, 1);
    if (to)
        memcpy(to, text, *size);
    return to;
}

rmr_err rmri_mc_proxy_new(rmr_mc *mc, const rmr_mc_proxy *p)
{
    const char *auth = p->authorization ? p->authorization : "";
    const char *no = p->no_proxy ? p->no_proxy : "";
    if (!p->host || !p->host[0])
        return RMR_OK;
    if (strlen(p->host) >= RMR_HOST_MAX || p->port == 0 ||
        strlen(auth) > MAX_AUTHORIZATION || strlen(no) > MAX_NO_PROXY)
        return RMR_E_INVAL;
    mc->proxy.port = p->port;
    rmr_err err =
        rmr_text_keep(&mc->proxy.host, &mc->env.alloc, rmr_bytes_str(p->host));
    if (err)
        return err;
    mc->proxy.no_proxy = copy(mc, no, &mc->proxy.no_proxy_size);
    if (!mc->proxy.no_proxy)
        return RMR_E_NOMEM;
    if (!auth[0])
        return RMR_OK;
    mc->proxy.authorization_size = RMR_BASE64_LEN(strlen(auth)) + 1;
    mc->proxy.authorization =
        rmr_alloc_zero(&mc->env.alloc, mc->proxy.authorization_size, 1);
    if (!mc->proxy.authorization)
        return RMR_E_NOMEM;
    rmr_base64(mc->proxy.authorization, auth, strlen(auth));
    return RMR_OK;
}

void rmri_mc_proxy_free(rmr_mc *mc)
{
    rmr_release_wiped(&mc->env.alloc, mc->proxy.authorization,
                      mc->proxy.authorization_size);
    rmr_release(&mc->env.alloc, mc->proxy.no_proxy, mc->proxy.no_proxy_size);
    (void)rmr_text_keep(&mc->proxy.host, &mc->env.alloc, rmr_bytes_str(""));
}

/* ---- which hosts ------------------------------------------------------- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

/* A name stands for itself and all names below it; a dot or "*." in front of it
 * changes nothing. */
static bool name_matches(rmr_bytes entry, const char *host)
{
    const char *e = (const char *)entry.ptr;
    size_t len = entry.len, host_len = strlen(host);
    if (len > 1 && e[0] == '*' && e[1] == '.') {
        e++;
        len--;
    }
    if (len > 0 && e[0] == '.') {
        e++;
        len--;
    }
    if (len == 0 || len > host_len || !same(host + host_len - len, e, len))
        return false;
    return len == host_len || host[host_len - len - 1] == '.';
}

static bool entry_matches(rmr_bytes entry, const char *host, const rmr_addr *ip)
{
    rmr_prefix prefix;
    if (rmr_bytes_eq_str(entry, "*"))
        return true;
    if (ip->family != RMR_AF_NONE)
        return rmr_prefix_parse(entry, &prefix) == RMR_OK &&
               rmr_prefix_contains(&prefix, ip);
    return name_matches(entry, host);
}

static bool is_divider(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

bool rmri_mc_proxy_is_for(const rmr_mc *mc, const rmr_dial *to)
{
    rmr_addr ip = {0};
    if (!mc->proxy.host)
        return false;
    if (rmr_addr_parse_ip(rmr_bytes_str(to->host), &ip) != RMR_OK)
        ip = (rmr_addr){0};
    for (const char *at = mc->proxy.no_proxy; *at;) {
        size_t len = 0;
        while (at[len] && !is_divider(at[len]))
            len++;
        if (len > 0 && entry_matches(rmr_bytes_of(at, len), to->host, &ip))
            return false;
        at += len + (at[len] != 0);
    }
    return true;
}

/* ---- CONNECT (RFC 9110 9.3.6) ------------------------------------------ */

/* A host name goes into a header: nothing that could end the line. */
static bool is_plain(const char *host)
{
    for (; *host; host++)
        if ((unsigned char)*host <= ' ' || (unsigned char)*host >= 127)
            return false;
    return true;
}

size_t rmri_mc_proxy_request(const rmr_mc_link *l, rmr_buf dst)
{
    const char *auth = l->mc->proxy.authorization;
    bool six = memchr(l->dial->host, ':', strlen(l->dial->host)) != NULL;
    if (!is_plain(l->dial->host))
        return 0;
    char host[RMR_HOST_MAX + 10];
    snprintf(host, sizeof host, six ? "[%s]:%u" : "%s:%u", l->dial->host,
             (unsigned)l->dial->port);
    int len = snprintf((char *)dst.ptr, dst.len,
                       "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", host,
                       host, auth ? "Proxy-Authorization: Basic " : "",
                       auth ? auth : "", auth ? "\r\n" : "");
    return len > 0 && (size_t)len < dst.len ? (size_t)len : 0;
}

/* "HTTP/1.1 200": 2xx opens the tunnel, and there is no body. */
static rmr_err verdict(const rmr_mc_link *l)
{
    const char *a = l->answer;
    if (l->answer_len < 12 || memcmp(a, "HTTP/1.", 7) != 0 || a[8] != ' ')
        return RMR_E_MALFORMED;
    if (memcmp(a + 9, "407", 3) == 0)
        return RMR_E_DENIED;
    return a[9] == '2' ? RMR_OK : RMR_E_REFUSED;
}

rmr_err rmri_mc_proxy_answer(rmr_mc_link *l, rmr_bytes data, size_t *used)
{
    for (size_t i = 0; i < data.len; i++) {
        char c = (char)data.ptr[i];
        if (l->answer_len < sizeof l->answer)
            l->answer[l->answer_len] = c;
        if (++l->answer_len > MC_PROXY_ANSWER_MAX)
            return RMR_E_TOOBIG;
        /* The head ends with an empty line; CR is optional (RFC 9112 2.2). */
        if (c == '\n')
            l->answer_end++;
        else if (c != '\r')
            l->answer_end = 0;
        if (l->answer_end == 2) {
            *used = i + 1;
            return verdict(l);
        }
    }
    *used = data.len;
    return RMR_E_NOTREADY;
}
