/* The values of options: each checked here, with a sentence that says how it
 * has to look.  Values that may be secret are never repeated. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remora/node.h>
#include <remora/text.h>

#include "args.h"
#include "secret.h"

#define CLI_MAX_ROUTES 64   /* as the node takes */
#define SOCKS5_TEXT_MAX 255 /* RFC 1929 2: lengths of one byte */

static bool parse_port(const char *v, uint64_t least, uint16_t *out)
{
    uint64_t n;
    if (rmr_parse_u64(rmr_bytes_str(v), 65535, &n) != RMR_OK || n < least) {
        return false;
    }
    *out = (uint16_t)n;
    return true;
}

bool cli_value_url(cli_args *a, const char *v)
{
    const char *host = NULL;
    if (strncmp(v, "http://", 7) == 0) {
        host = v + 7;
    } else if (strncmp(v, "https://", 8) == 0) {
        host = v + 8;
    }
    if (host == NULL || host[0] == '\0' || host[0] == '/') {
        return cli_usage(a, "--control-url takes the address of the control "
                            "server, such as https://headscale.example.com");
    }
    a->control_url = v;
    return true;
}

bool cli_value_auth_key(cli_args *a, char *v)
{
    if (*v == '\0') {
        return cli_usage(a, "--auth-key takes a key that the control server "
                            "made, not nothing");
    }
    cli_secret_free(a->auth_key);
    a->auth_key = cli_secret_take(v);
    return a->auth_key != NULL || cli_usage(a, "out of memory");
}

/* A DNS label (RFC 1123 2.1): the control server makes the node's name of it. */
bool cli_value_hostname(cli_args *a, const char *v)
{
    size_t n = strlen(v);
    bool ok = n >= 1 && n <= 63 && v[0] != '-' && v[n - 1] != '-';
    for (size_t i = 0; ok && i < n; i++) {
        char c = v[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             (c >= '0' && c <= '9') || c == '-';
    }
    if (!ok) {
        return cli_usage(a, "--hostname takes one to 63 letters, digits and "
                            "inner hyphens, such as laptop-2");
    }
    a->hostname = v;
    return true;
}

bool cli_value_socks5(cli_args *a, const char *v)
{
    if (rmr_addr_parse(rmr_bytes_str(v), &a->socks5) != RMR_OK ||
        a->socks5.port == 0) {
        return cli_usage(a,
                         "--socks5 takes an address and a port to listen "
                         "on, such as 127.0.0.1:1055, not '%s'",
                         v);
    }
    return true;
}

bool cli_value_metrics(cli_args *a, const char *v)
{
    if (rmr_addr_parse(rmr_bytes_str(v), &a->metrics) != RMR_OK ||
        a->metrics.port == 0) {
        return cli_usage(a,
                         "--metrics takes an address and a port to listen on, "
                         "such as 127.0.0.1:9090, not '%s'",
                         v);
    }
    return true;
}

bool cli_value_socks5_auth(cli_args *a, char *v)
{
    char *colon = strchr(v, ':');
    a->has_socks5_auth = true;
    if (strcmp(v, "none") == 0) {
        return true;
    }
    if (colon == NULL || colon == v || colon[1] == '\0' ||
        colon - v > SOCKS5_TEXT_MAX || strlen(colon + 1) > SOCKS5_TEXT_MAX) {
        rmr_wipe(v, strlen(v));
        return cli_usage(a, "--socks5-auth takes USER:PASS, each of 1 to 255 "
                            "bytes, or none");
    }
    *colon = '\0';
    cli_secret_free(a->socks5_user);
    cli_secret_free(a->socks5_password);
    a->socks5_user = cli_secret_take(v);
    a->socks5_password = cli_secret_take(colon + 1);
    return (a->socks5_user != NULL && a->socks5_password != NULL) ||
           cli_usage(a, "out of memory");
}

bool cli_value_forward(cli_args *a, const char *v)
{
    if (rmr_forward_parse(rmr_bytes_str(v), &a->forwards[a->n_forwards]) !=
        RMR_OK) {
        return cli_usage(a,
                         "--forward takes [ADDR:]PORT=PEER:PORT, such as "
                         "8080=n2:80, not '%s'",
                         v);
    }
    a->n_forwards++;
    return true;
}

bool cli_value_serve(cli_args *a, const char *v)
{
    if (rmr_serve_parse(rmr_bytes_str(v), &a->serves[a->n_serves]) != RMR_OK) {
        return cli_usage(a,
                         "--serve takes PORT=ADDR:PORT, such as "
                         "80=127.0.0.1:8080, not '%s'",
                         v);
    }
    for (size_t i = 0; i < a->n_serves; i++) {
        if (a->serves[i].port == a->serves[a->n_serves].port) {
            return cli_usage(a, "--serve names port %u twice",
                             (unsigned)a->serves[i].port);
        }
    }
    a->n_serves++;
    return true;
}

bool cli_value_udp_port(cli_args *a, const char *v)
{
    a->has_udp_port = true;
    return parse_port(v, 0, &a->udp_port) ||
           cli_usage(a,
                     "--udp-port takes a number from 0 (any) to 65535, "
                     "not '%s'",
                     v);
}

bool cli_value_endpoint(cli_args *a, const char *v)
{
    rmr_addr *at = &a->endpoints[a->n_endpoints];
    if (rmr_addr_parse(rmr_bytes_str(v), at) != RMR_OK || at->port == 0) {
        return cli_usage(a,
                         "--static-endpoint takes an address and a port at "
                         "which peers reach this node, such as "
                         "203.0.113.7:41641, not '%s'",
                         v);
    }
    a->n_endpoints++;
    return true;
}

static bool one_route(cli_args *a, const char *v, size_t len)
{
    rmr_prefix *p = &a->routes[a->n_routes];
    if (a->n_routes == CLI_MAX_ROUTES) {
        return cli_usage(a, "--advertise-routes takes %d subnets at most",
                         CLI_MAX_ROUTES);
    }
    if (rmr_prefix_parse(rmr_bytes_of((const uint8_t *)v, len), p) != RMR_OK ||
        !rmr_node_can_advertise(p)) {
        return cli_usage(a,
                         "--advertise-routes takes subnets without host bits, "
                         "such as 192.168.5.0/24, not '%.*s' (for everything: "
                         "--advertise-exit-node)",
                         (int)(len < 64 ? len : 64), v);
    }
    a->n_routes++;
    return true;
}

bool cli_value_routes(cli_args *a, const char *v)
{
    if (a->routes == NULL) {
        a->routes = calloc(CLI_MAX_ROUTES, sizeof *a->routes);
    }
    if (a->routes == NULL) {
        return cli_usage(a, "out of memory");
    }
    if (*v == '\0' && a->command == CLI_SET) {
        return true; /* none are offered any more */
    }
    for (;;) {
        size_t n = strcspn(v, ",");
        if (!one_route(a, v, n)) {
            return false;
        }
        if (v[n] == '\0') {
            return true;
        }
        v += n + 1;
    }
}

/* A letter, then letters, digits and hyphens; "tag:" in front may be left out. */
static bool one_tag(cli_args *a, const char *v, size_t n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu"
                               "vwxyz0123456789-";
    cli_tags *t = a->tags;
    size_t at = t->n > 0 ? (size_t)(t->at[t->n - 1] - t->text) +
                               strlen(t->at[t->n - 1]) + 1
                         : 0;
    if (n > 4 && strncmp(v, "tag:", 4) == 0) {
        v += 4;
        n -= 4;
    }
    if (n == 0 || strspn(v, letters) == 0 || strspn(v, rest) < n) {
        return cli_usage(a,
                         "--advertise-tags takes tags such as tag:server, with "
                         "commas between them, not '%.*s'",
                         (int)n, v);
    }
    /* The node wants a byte behind them. */
    if (t->n == CLI_TAGS_MAX || at + n + 6 > sizeof t->text) {
        return cli_usage(a, "--advertise-tags takes 32 tags, of 1 KB, at most");
    }
    t->at[t->n++] = t->text + at;
    (void)snprintf(t->text + at, sizeof t->text - at, "tag:%.*s", (int)n, v);
    return true;
}

bool cli_value_tags(cli_args *a, const char *v)
{
    free(a->tags); /* the last one counts */
    a->tags = calloc(1, sizeof *a->tags);
    if (a->tags == NULL) {
        return cli_usage(a, "out of memory");
    }
    if (*v == '\0') {
        return true; /* none are asked for any more */
    }
    for (;;) {
        size_t n = strcspn(v, ",");
        if (!one_tag(a, v, n)) {
            return false;
        }
        if (v[n] == '\0') {
            return true;
        }
        v += n + 1;
    }
}

/* "5", "5s" or "500ms". */
bool cli_value_timeout(cli_args *a, const char *v)
{
    static const struct {
        const char *name;
        rmr_dur unit;
    } units[] = {{"ms", RMR_MS}, {"s", RMR_SEC}, {"", RMR_SEC}};
    size_t digits = strspn(v, "0123456789");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        uint64_t n;
        if (strcmp(v + digits, units[i].name) == 0 &&
            rmr_parse_u64(rmr_bytes_of(v, digits), 3600000, &n) == RMR_OK &&
            n > 0 && n * units[i].unit <= 3600 * RMR_SEC) {
            a->timeout = n * units[i].unit;
            return true;
        }
    }
    return cli_usage(a,
                     "--timeout takes seconds or milliseconds up to an hour, "
                     "such as 5s or 500ms, not '%s'",
                     v);
}

bool cli_value_log_level(cli_args *a, const char *v)
{
    static const char *const names[] = {"off",  "error", "warn",
                                        "info", "debug", "trace"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(v, names[i]) == 0) {
            a->log_level = (rmr_log_level)i;
            return true;
        }
    }
    return cli_usage(a,
                     "--log-level takes off, error, warn, info, debug or "
                     "trace, not '%s'",
                     v);
}

bool cli_value_count(cli_args *a, const char *v)
{
    uint64_t n;
    if (rmr_parse_u64(rmr_bytes_str(v), 100000, &n) != RMR_OK || n == 0) {
        return cli_usage(a,
                         "-c takes a number of probes from 1 to 100000, "
                         "not '%s'",
                         v);
    }
    a->count = (uint32_t)n;
    return true;
}

bool cli_value_port(cli_args *a, const char *v)
{
    return parse_port(v, 1, &a->port) ||
           cli_usage(a, "the port is a number from 1 to 65535, not '%s'", v);
}
