#include "proxy.h"

#include <remora/base.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_PORT 1080 /* as curl */

static const char *variable(const char *lower, const char *upper)
{
    const char *v = getenv(lower);
    if (v == NULL || v[0] == '\0') {
        v = getenv(upper);
    }
    return v != NULL && v[0] != '\0' ? v : NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 2.1: a password may have any byte, written %XX; but a NUL. */
static bool unescape(char *dst, size_t cap, const char *src, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = src[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(src[i + 1]) : -1;
            int low = i + 2 < len ? hex_digit(src[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (n + 1 >= cap) {
            return false;
        }
        dst[n++] = c;
    }
    dst[n] = '\0';
    return true;
}

static bool read_port(cli_proxy *p, const char *text)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || v == 0 || v > 65535) {
        return false;
    }
    p->port = (uint16_t)v;
    return true;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static bool read_host(cli_proxy *p, char *text)
{
    char *host = text, *rest;
    if (text[0] == '[') {
        host = text + 1;
        rest = strchr(host, ']');
        if (rest == NULL) {
            return false;
        }
        *rest++ = '\0';
    } else {
        rest = text + strcspn(text, ":");
    }
    if (rest[0] == ':') {
        *rest++ = '\0';
        if (!read_port(p, rest)) {
            return false;
        }
    } else if (rest[0] != '\0') {
        return false;
    }
    if (host[0] == '\0' || strlen(host) >= sizeof p->host) {
        return false;
    }
    memcpy(p->host, host, strlen(host) + 1);
    return true;
}

bool cli_proxy_parse(cli_proxy *p, const char *text)
{
    char rest[300];
    memset(p, 0, sizeof *p);
    p->port = DEFAULT_PORT;
    const char *scheme = strstr(text, "://");
    if (scheme != NULL) {
        if (strncasecmp(text, "http://", 7) != 0) {
            return false;
        }
        text = scheme + 3;
    }
    size_t len = strcspn(text, "/?#");
    if (text[len] != '\0' && strcmp(text + len, "/") != 0) {
        return false;
    }
    const char *at = NULL; /* the last one: passwords are not always escaped */
    for (size_t i = 0; i < len; i++) {
        at = text[i] == '@' ? text + i : at;
    }
    if (at != NULL) {
        if (!unescape(p->auth, sizeof p->auth, text, (size_t)(at - text))) {
            return false;
        }
        len -= (size_t)(at + 1 - text);
        text = at + 1;
    }
    if (len >= sizeof rest) {
        return false;
    }
    memcpy(rest, text, len);
    rest[len] = '\0';
    return read_host(p, rest);
}

bool cli_proxy_find(cli_proxy *p, char *error, size_t cap)
{
    const char *text = variable("https_proxy", "HTTPS_PROXY");
    if (text == NULL) {
        text = variable("all_proxy", "ALL_PROXY");
    }
    memset(p, 0, sizeof *p);
    if (text == NULL) {
        return true;
    }
    if (!cli_proxy_parse(p, text)) {
        cli_proxy_wipe(p);
        (void)snprintf(error, cap,
                       "the proxy in HTTPS_PROXY is none that remora can use; "
                       "write it as http://HOST:PORT, or unset the variable");
        return false;
    }
    p->no_proxy = variable("no_proxy", "NO_PROXY");
    return true;
}

void cli_proxy_wipe(cli_proxy *p)
{
    rmr_wipe(p, sizeof *p);
}
