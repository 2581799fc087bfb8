/* What only the whole of the coordinator's settings shows. */
#include "coord_config_keys.h"

#include <stdio.h>
#include <string.h>

#include <remora/http1.h>

/* Of sun_path, on the system that has the least. */
#define SOCKET_PATH_MAX 103

static bool refuse(cli_coord_config *c, const char *why)
{
    return cli_coord_wrong(c, "%.200s: %s", c->file, why);
}

static bool url(cli_coord_config *c, rmr_url *u)
{
    static const char want[] =
        "'server_url' takes the URL by which nodes reach this server, such as "
        "https://coordinator.example.com, without a path";
    char why[400];
    if (c->server_url == NULL) {
        return refuse(c, "'server_url' is missing: the URL by which nodes "
                         "reach this server, such as "
                         "https://coordinator.example.com");
    }
    if (rmr_url_parse(rmr_bytes_str(c->server_url), u) != RMR_OK ||
        strcmp(u->path, "/") != 0) {
        (void)snprintf(why, sizeof why, "%s, not '%.100s'", want,
                       c->server_url);
        return refuse(c, why);
    }
    if (c->tls_cert != NULL && !u->https) {
        return refuse(c, "'server_url' must begin with https://, as "
                         "'tls_cert_path' is set");
    }
    return true;
}

static bool is_in_state_dir(const cli_coord_config *c)
{
    size_t n = strlen(c->state_dir);
    return strncmp(c->unix_socket, c->state_dir, n) == 0 &&
           c->unix_socket[n] == '/';
}

static bool sockets(cli_coord_config *c)
{
    if (c->listen.n == 0) {
        return refuse(c, "'listen_addr' is missing: an address and a port to "
                         "listen at, such as 0.0.0.0:8080");
    }
    if ((c->tls_cert == NULL) != (c->tls_key == NULL)) {
        return refuse(c, "'tls_cert_path' and 'tls_key_path' belong together: "
                         "give both, or none");
    }
    if (strlen(c->unix_socket) > SOCKET_PATH_MAX) {
        return refuse(c, "'unix_socket' has too long a path: 103 bytes are "
                         "allowed");
    }
    if ((c->unix_socket_mode & 077) != 0 && is_in_state_dir(c)) {
        return refuse(c, "'unix_socket_permission' lets others in, who can't "
                         "enter 'state_dir': give 'unix_socket' a directory of "
                         "its own, such as /run/remora/coordinator.sock");
    }
    return true;
}

/* ---- addresses ----------------------------------------------------------- */

static bool prefix(cli_coord_config *c, const char *name, const rmr_prefix *p,
                   const char *range, unsigned longest)
{
    char why[256];
    rmr_prefix all, bare = *p;
    rmr_addr first = rmr_prefix_addr(p);
    (void)rmr_prefix_parse(rmr_bytes_str(range), &all);
    for (unsigned bit = bare.bits; bit < (p->family == RMR_AF_INET ? 32 : 128);
         bit++) {
        bare.ip[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
    }
    if (p->bits >= all.bits && p->bits <= longest &&
        rmr_prefix_contains(&all, &first) && rmr_prefix_eq(&bare, p)) {
        return true;
    }
    (void)snprintf(why, sizeof why,
                   "'prefixes.%s' takes a prefix within %s, of at most %u bits "
                   "and without host bits",
                   name, range, longest);
    return refuse(c, why);
}

/* Where one is named, the other is wanted only if it is named too. */
static bool prefixes(cli_coord_config *c)
{
    bool v4 = cli_coord_key_seen(c, "prefixes.v4");
    bool v6 = cli_coord_key_seen(c, "prefixes.v6");
    if (v4 != v6) {
        memset(v4 ? &c->v6 : &c->v4, 0, sizeof c->v4);
    }
    return (c->v4.family == RMR_AF_NONE ||
            prefix(c, "v4", &c->v4, "100.64.0.0/10", 28)) &&
           (c->v6.family == RMR_AF_NONE ||
            prefix(c, "v6", &c->v6, "fd7a:115c:a1e0::/48", 112));
}

/* ---- names --------------------------------------------------------------- */

static bool ends_with(const char *name, const char *domain)
{
    size_t n = strlen(name), d = strlen(domain);
    for (size_t i = 0; i < d && d <= n; i++) {
        char a = name[n - d + i], b = domain[i];
        if ((a >= 'A' && a <= 'Z' ? a + 32 : a) !=
            (b >= 'A' && b <= 'Z' ? b + 32 : b)) {
            return false;
        }
    }
    return d <= n && (d == n || name[n - d - 1] == '.');
}

static bool labels(const char *domain)
{
    size_t label = 0;
    for (; *domain != '\0'; domain++) {
        char ch = *domain;
        bool is_letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                         (ch >= '0' && ch <= '9');
        if (ch == '.') {
            if (label == 0 || domain[-1] == '-') {
                return false;
            }
            label = 0;
        } else if ((!is_letter && (ch != '-' || label == 0)) || ++label > 63) {
            return false;
        }
    }
    return label > 0 && domain[-1] != '-';
}

static bool names(cli_coord_config *c, const rmr_url *u)
{
    if (c->base_domain[0] == '\0') {
        return true;
    }
    if (strlen(c->base_domain) > 180 || !labels(c->base_domain)) {
        return refuse(c, "'dns.base_domain' takes a domain, such as "
                         "tailnet.example.com");
    }
    if (ends_with(u->host, c->base_domain)) {
        return refuse(c, "'dns.base_domain' must not be, nor contain, the host "
                         "of 'server_url': its nodes would look for the server "
                         "among themselves");
    }
    return true;
}

bool cli_coord_check_records(cli_coord_config *c)
{
    for (size_t i = 0; i < c->n_records; i++) {
        const rmr_coord_dns_record *r = &c->records[i];
        rmr_addr a;
        char why[200];
        bool is_v6 = strcmp(r->type, "AAAA") == 0;
        if (rmr_addr_parse_ip(rmr_bytes_str(r->value), &a) != RMR_OK ||
            (a.family == RMR_AF_INET6) != is_v6) {
            (void)snprintf(
                why, sizeof why,
                "the record of %.80s needs an address of IPv%c as its "
                "value",
                r->name, is_v6 ? '6' : '4');
            return refuse(c, why);
        }
    }
    return true;
}

bool cli_coord_check(cli_coord_config *c)
{
    rmr_url u;
    memset(&u, 0, sizeof u);
    if (!url(c, &u) || !sockets(c) || !prefixes(c) || !names(c, &u) ||
        !cli_coord_check_records(c)) {
        return false;
    }
    if (c->n_records > 0 && c->records_path != NULL) {
        return refuse(c, "give 'dns.extra_records' or "
                         "'dns.extra_records_path', not both");
    }
    if (!cli_coord_key_seen(c, "policy.mode")) {
        c->policy_in_database = c->policy == NULL;
    }
    if (c->policy_in_database && c->policy != NULL) {
        return refuse(c, "'policy.path' names a file, but 'policy.mode' is "
                         "database: leave one out");
    }
    if (c->derp.server.enabled &&
        c->derp.server.listen_addr.family == RMR_AF_NONE) {
        return refuse(c, "'derp.server.enabled' needs "
                         "'derp.server.listen_addr', where nodes reach the "
                         "relay, such as 0.0.0.0:3340");
    }
    if (c->derp.server.enabled && c->derp.server.listen_addr.port == 0) {
        return refuse(c, "'derp.server.listen_addr' needs a port that nodes "
                         "can be told of, not 0");
    }
    if (c->ephemeral_timeout == 0) {
        return refuse(c, "'node.ephemeral.inactivity_timeout' must be more "
                         "than 0");
    }
    return true;
}
