/* Whom the node asks for names: what the netmap's DNSConfig says, the exit node,
 * the user's wish (accept_dns), and the system's own servers. */
#include "node_dns.h"

#include <string.h>

#define CAP_PEERAPI_DNS 26 /* from here on an exit node answers DNS */

/* ---- the exit node ----------------------------------------------------- */

static uint16_t port_of(const rmr_nm_node *peer, rmr_nm_proto proto)
{
    for (size_t i = 0; i < peer->n_services; i++)
        if (peer->services[i].proto == proto)
            return peer->services[i].port;
    return 0;
}

static bool has_family(const rmr_node *n, uint8_t family)
{
    for (size_t i = 0; i < n->n_ips; i++)
        if (n->ips[i].family == family)
            return true;
    return false;
}

/* The address at which the exit node answers for its users; false: it does not,
 * or there is none. */
static bool exit_resolver(const rmr_node *n, rmr_addr *out)
{
    rmr_nm_node peer;
    uint64_t id = n->routes.exit_peer;
    if (!id || !rmr_nm_peer(n->nm, id, &peer) ||
        (peer.cap < CAP_PEERAPI_DNS &&
         !port_of(&peer, RMR_NM_PROTO_PEERAPI_DNS)))
        return false;
    for (size_t i = 0; i < peer.n_addrs; i++) {
        *out = rmr_prefix_addr(&peer.addrs[i]);
        out->port =
            port_of(&peer, out->family == RMR_AF_INET ? RMR_NM_PROTO_PEERAPI4
                                                      : RMR_NM_PROTO_PEERAPI6);
        if (out->port && has_family(n, out->family))
            return true;
    }
    return false;
}

/* ---- resolvers --------------------------------------------------------- */

typedef struct nd_table { /* room for what rmr_md_set copies */
    rmr_md_record *records;
    rmr_md_route *routes;
    rmr_addr *addrs; /* RMR_MD_MAX_RESOLVERS for each route */
    size_t n_records, n_routes;
    rmr_addr http[RMR_MD_MAX_RESOLVERS];
    size_t n_http;
    bool has_exit;      /* an exit node is wished for, there or not */
    bool is_exit_asked; /* it answers all but what is marked */
} nd_table;

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

static void add_http(nd_table *t, const rmr_addr *a)
{
    for (size_t i = 0; i < t->n_http; i++)
        if (rmr_addr_eq(&t->http[i], a))
            return;
    if (t->n_http < RMR_MD_MAX_RESOLVERS)
        t->http[t->n_http++] = *a;
}

/* What is asked over HTTPS is left out, and by HTTP another path than that of
 * peers. */
static bool is_usable(nd_table *t, const rmr_nm_resolver *r)
{
    if (rmri_node_dns_is_quad(&r->addr) || r->addr.family == RMR_AF_NONE ||
        (t->is_exit_asked && !r->with_exit_node))
        return false;
    if (r->kind == RMR_NM_RESOLVER_DNS)
        return true;
    if (r->kind != RMR_NM_RESOLVER_HTTP || !ends_with(r->text, "/dns-query"))
        return false;
    add_http(t, &r->addr);
    return true;
}

static size_t usable(nd_table *t, const rmr_nm_resolver *from, size_t n,
                     rmr_addr *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < RMR_MD_MAX_RESOLVERS; i++)
        if (is_usable(t, &from[i]))
            out[kept++] = from[i].addr;
    return kept;
}

/* ---- the table --------------------------------------------------------- */

static void *room(const rmr_node *n, size_t count, size_t size, bool *ok)
{
    void *p = count ? rmr_alloc_zero(&n->env.alloc, count * size, 16) : NULL;
    *ok = *ok && (p || count == 0);
    return p;
}

static void give_back(const rmr_node *n, void *p, size_t size)
{
    if (p)
        rmr_release(&n->env.alloc, p, size);
}

static void fill(const rmr_nm_dns_config *c, nd_table *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n_records; i++)
        t->records[i] = (rmr_md_record){c->records[i].name, c->records[i].addr};
    for (size_t i = 0; i < t->n_routes; i++) {
        const rmr_nm_dns_route *r = &c->routes[i];
        rmr_addr *at = t->addrs + kept * RMR_MD_MAX_RESOLVERS;
        rmr_md_route *to = &t->routes[kept];
        to->suffix = r->suffix;
        to->resolvers = at;
        to->n_resolvers = usable(t, r->resolvers, r->n_resolvers, at);
        to->is_own = r->n_resolvers == 0;
        /* Its names go to the exit node, with all others. */
        if (!t->is_exit_asked || to->is_own || to->n_resolvers)
            kept++;
    }
    t->n_routes = kept;
}

/* For names that no route takes.  With an exit node the system's servers are
 * not asked: what they see would be out of the tunnel. */
static void fill_rest(nd_dns *d, const rmr_addr *exit, nd_table *own,
                      rmr_addr all[RMR_MD_MAX_RESOLVERS],
                      rmr_addr last[RMR_MD_MAX_RESOLVERS], rmr_md_table *t)
{
    const rmr_nm_dns_config *c = rmr_nm_dns(d->n->nm);
    bool accept = d->n->keys.prefs.accept_dns;
    t->resolvers = all;
    t->n_resolvers =
        accept ? usable(own, c->resolvers, c->n_resolvers, all) : 0;
    if (own->is_exit_asked && t->n_resolvers == 0) {
        all[t->n_resolvers++] = *exit;
        add_http(own, exit);
    }
    t->system = last;
    t->n_system = accept ? usable(own, c->fallback, c->n_fallback, last) : 0;
    if (own->has_exit && t->n_resolvers == 0) {
        t->resolvers = last;
        t->n_resolvers = t->n_system;
    }
    if (own->has_exit) {
        t->n_system = 0;
    } else if (d->n_system) {
        t->system = d->system;
        t->n_system = d->n_system;
    }
}

static rmr_err set_names(nd_dns *d)
{
    const rmr_node *n = d->n;
    const rmr_nm_dns_config *c = rmr_nm_dns(n->nm);
    bool accept = n->keys.prefs.accept_dns, ok = true;
    nd_table own = {.n_records = c->n_records,
                    .n_routes = accept ? c->n_routes : 0};
    const size_t n_routes = own.n_routes;
    rmr_addr all[RMR_MD_MAX_RESOLVERS], last[RMR_MD_MAX_RESOLVERS], exit = {0};
    const size_t per_route = RMR_MD_MAX_RESOLVERS * sizeof(rmr_addr);
    rmr_md_table t = {0};
    rmr_err err = RMR_E_NOMEM;
    own.has_exit = rmri_node_exit_text(n)[0] != 0;
    own.is_exit_asked = accept && own.has_exit && exit_resolver(n, &exit);
    own.records = room(n, own.n_records, sizeof *own.records, &ok);
    own.routes = room(n, n_routes, sizeof *own.routes, &ok);
    own.addrs = room(n, n_routes, per_route, &ok);
    if (ok) {
        fill(c, &own);
        fill_rest(d, &exit, &own, all, last, &t);
        t.proxied = accept && c->proxied;
        t.suffix = rmr_nm_magic_suffix(n->nm);
        t.records = own.records;
        t.n_records = own.n_records;
        t.routes = own.routes;
        t.n_routes = own.n_routes;
        t.http = own.http;
        t.n_http = own.n_http;
        err = rmr_md_set(d->md, &t);
    }
    give_back(n, own.records, own.n_records * sizeof *own.records);
    give_back(n, own.routes, n_routes * sizeof *own.routes);
    give_back(n, own.addrs, n_routes * per_route);
    return err;
}

/* As /etc/resolv.conf would have them, for names of one label. */
static rmr_err set_search(nd_dns *d)
{
    const rmr_nm_dns_config *c = rmr_nm_dns(d->n->nm);
    size_t n_domains = d->n->keys.prefs.accept_dns ? c->n_domains : 0;
    char search[RMR_DNS_MAX_SEARCH];
    rmr_addr quad = rmr_addr_v4(100, 100, 100, 100, 53);
    size_t len = 0;
    for (size_t i = 0; i < n_domains; i++) {
        size_t more = strlen(c->domains[i]);
        if (more == 0 || len + more + 1 > sizeof search)
            break;
        memcpy(search + len, c->domains[i], more);
        len += more;
        search[len++] = ' ';
    }
    return rmr_dns_set_servers(d->stub, &quad, 1, rmr_bytes_of(NULL, 0),
                               rmr_bytes_of(search, len));
}

rmr_err rmri_node_dns_table(nd_dns *d)
{
    rmr_err err = set_names(d);
    return err == RMR_OK ? set_search(d) : err;
}
