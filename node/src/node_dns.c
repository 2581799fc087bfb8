/* The node's DNS: its life, what it knows of the netmap, and look-ups. */
#include "node_dns.h"

#include <stdio.h>
#include <string.h>

struct nd_lookup {
    nd_lookup *next;
    uint64_t id;
    nd_conn *conn; /* a dial that waits; NULL: the program's */
    uint16_t port;
    rmr_node_resolved_fn done;
    void *user;
};

/* ---- the netmap's words ------------------------------------------------ */

static bool is_served(const rmr_node *n, rmr_nm_node *self)
{
    return n->nm && rmr_nm_self(n->nm, self) && !self->expired;
}

static bool has_v4(const rmr_nm_node *v)
{
    for (size_t i = 0; i < v->n_addrs; i++)
        if (v->addrs[i].family == RMR_AF_INET)
            return true;
    return false;
}

static bool is_named(const rmr_nm_node *v, const char *name)
{
    rmr_bytes full = rmr_bytes_str(v->name);
    if (full.len && full.ptr[full.len - 1] == '.')
        full.len--;
    return rmr_bytes_eq_str(full, name);
}

static bool has_dot(const char *name)
{
    return memchr(name, '.', strlen(name)) != NULL;
}

/* One family for all programs, also for those that try IPv6 first and wait. */
static bool is_offered(const rmr_node *n, const rmr_nm_node *self,
                       const rmr_nm_node *v, uint8_t family)
{
    if (family == RMR_AF_INET)
        return has_v4(self);
    return !has_v4(self) || !has_v4(v) ||
           rmr_nm_self_has_cap(n->nm, "magicdns-aaaa");
}

static bool find_name(void *user, const char *name, rmr_md_host *out)
{
    const rmr_node *n = user;
    rmr_nm_node self, v;
    if (!is_served(n, &self) || !has_dot(name))
        return false;
    bool own = is_named(&self, name);
    if (own)
        v = self;
    else if (!rmr_nm_peer_by_name(n->nm, name, &v) || !is_named(&v, name))
        return false;
    for (size_t i = 0; i < v.n_addrs && out->n_addrs < RMR_MD_MAX_ADDRS; i++)
        if (is_offered(n, &self, &v, v.addrs[i].family))
            out->addrs[out->n_addrs++] = rmr_prefix_addr(&v.addrs[i]);
    out->with_subdomains =
        own ? rmr_nm_self_has_cap(n->nm, "dns-subdomain-resolve")
            : rmr_nm_peer_has_cap(n->nm, v.id, "dns-subdomain-resolve");
    return true;
}

static bool find_addr(void *user, const rmr_addr *ip,
                      char name[RMR_MD_NAME_MAX])
{
    const rmr_node *n = user;
    rmr_nm_node self, v;
    if (!is_served(n, &self))
        return false;
    bool own = false;
    for (size_t i = 0; i < n->n_ips; i++)
        own = own || rmr_addr_ip_eq(&n->ips[i], ip);
    if (own)
        v = self;
    else if (!rmr_nm_peer_by_ip(n->nm, ip, &v))
        return false;
    int len = snprintf(name, RMR_MD_NAME_MAX, "%s", v.name);
    return len > 0 && len < RMR_MD_NAME_MAX;
}

/* Without memory the old ones stay, until something changes again. */
static void set_table(nd_dns *d)
{
    d->table_due = false;
    if (rmri_node_dns_table(d) != RMR_OK)
        rmr_logf(&d->n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "the tailnet's DNS settings were not taken over: out of "
                 "memory");
}

void rmri_node_dns_changed(rmr_node *n)
{
    if (!n->dns)
        return;
    n->dns->table_due = true;
    n->dirty = true;
}

void rmri_node_dns_links(rmr_node *n, const rmr_io_links *l)
{
    nd_dns *d = n->dns;
    d->n_system = 0;
    for (size_t i = 0;
         i < l->n_name_servers && d->n_system < RMR_MD_MAX_RESOLVERS; i++)
        /* A host whose resolver is a node's own would ask itself. */
        if (!rmri_node_dns_is_quad(&l->name_servers[i]))
            d->system[d->n_system++] = l->name_servers[i];
    rmri_node_dns_changed(n);
}

/* ---- clients ----------------------------------------------------------- */

static bool more_clients(nd_dns *d)
{
    const rmr_alloc *a = &d->n->env.alloc;
    size_t cap = d->cap_clients ? d->cap_clients * 2 : 4;
    cap = cap < ND_DNS_CLIENTS ? cap : ND_DNS_CLIENTS;
    if (cap == d->cap_clients)
        return false;
    nd_dns_client *list =
        rmr_alloc_zero(a, cap * sizeof *list, _Alignof(nd_dns_client));
    if (!list)
        return false;
    if (d->cap_clients)
        memcpy(list, d->clients, d->cap_clients * sizeof *list);
    rmr_release(a, d->clients, d->cap_clients * sizeof *list);
    d->clients = list;
    d->cap_clients = cap;
    return true;
}

nd_dns_client *rmri_node_dns_client(nd_dns *d, nd_dns_kind kind)
{
    size_t i = 0;
    while (i < d->cap_clients && d->clients[i].kind != ND_DNS_FREE)
        i++;
    if (i == d->cap_clients && !more_clients(d))
        return NULL;
    nd_dns_client *c = &d->clients[i];
    memset(c, 0, sizeof *c);
    c->kind = kind;
    return c;
}

void rmri_node_dns_ask(nd_dns *d, nd_dns_client *c, bool tcp, rmr_bytes msg)
{
    uint64_t number = (uint64_t)(c - d->clients);
    if (rmr_md_ask(d->md, d->n->now, number, tcp, msg) != RMR_OK)
        d->clients[number].kind = ND_DNS_FREE;
    d->n->dirty = true;
}

static void on_answer(void *user, uint64_t client, rmr_bytes msg)
{
    nd_dns *d = user;
    nd_dns_client c = d->clients[client];
    rmr_addr quad = rmr_addr_v4(100, 100, 100, 100, 53);
    d->clients[client].kind = ND_DNS_FREE;
    d->n->dirty = true;
    if (c.kind == ND_DNS_STUB)
        (void)rmr_dns_read_pkt(d->stub, d->n->now, &quad, msg);
    else if (c.kind == ND_DNS_PEER)
        rmri_node_peerapi_answer(d->n, c.conn, msg);
    else
        rmri_node_dns_quad_answer(d, &c, msg);
}

static bool md_find_name(void *user, const char *name, rmr_md_host *out)
{
    return find_name(((nd_dns *)user)->n, name, out);
}

static bool md_find_addr(void *user, const rmr_addr *ip,
                         char name[RMR_MD_NAME_MAX])
{
    return find_addr(((nd_dns *)user)->n, ip, name);
}

/* ---- look-ups ---------------------------------------------------------- */

static nd_lookup *take(nd_dns *d, uint64_t id)
{
    for (nd_lookup **p = &d->lookups; *p; p = &(*p)->next) {
        nd_lookup *l = *p;
        if (l->id == id) {
            *p = l->next;
            return l;
        }
    }
    return NULL;
}

static void drop(nd_dns *d, nd_lookup *l)
{
    rmr_release(&d->n->env.alloc, l, sizeof *l);
}

/* The dial goes on with the first address that there is a way to. */
static void dial_on(nd_conn *c, uint16_t port, rmr_err err,
                    const rmr_addr *addrs, size_t count)
{
    rmr_node *n = c->n;
    c->lookup = 0;
    for (size_t i = 0; i < count; i++) {
        err = rmri_node_conn_dial(c, n->now, NULL, &addrs[i], port);
        if (err == RMR_OK)
            return;
    }
    rmri_node_conn_failed(c, n->now, err);
}

static void on_resolved(void *user, uint64_t id, rmr_err err,
                        const rmr_addr *addrs, size_t count)
{
    nd_dns *d = user;
    rmr_node *n = d->n;
    nd_lookup *l = take(d, id);
    if (!l)
        return;
    nd_lookup own = *l;
    drop(d, l);
    n->dirty = true;
    if (own.conn) {
        dial_on(own.conn, own.port, err, addrs, count);
        return;
    }
    n->in_callback++;
    own.done(own.user, err, addrs, count);
    n->in_callback--;
}

/* Errors as of rmr_dns_query: no answer follows then. */
static rmr_err begin(nd_dns *d, const char *name, const nd_lookup *what,
                     uint64_t *id)
{
    nd_lookup *l =
        rmr_alloc_zero(&d->n->env.alloc, sizeof *l, _Alignof(nd_lookup));
    if (!l)
        return RMR_E_NOMEM;
    *l = *what;
    l->id = *id = ++d->last_lookup;
    l->next = d->lookups;
    d->lookups = l;
    d->n->dirty = true;
    uint64_t asked = l->id;
    rmr_err err = rmr_dns_query(d->stub, d->n->now, asked, name);
    if (err != RMR_OK && (l = take(d, asked)))
        drop(d, l);
    return err;
}

/* Would anybody know this name: a record, a route, resolvers of the tailnet? */
static bool is_known(const nd_dns *d, const char *name)
{
    char full[RMR_MD_NAME_MAX];
    const char *domain;
    rmr_md_place p = rmr_md_look(d->md, name);
    if (p == RMR_MD_OWN || p == RMR_MD_ROUTE || p == RMR_MD_RESOLVERS)
        return true;
    if (!d->n->keys.prefs.accept_dns)
        return false;
    for (size_t i = 0;
         !has_dot(name) && (domain = rmr_nm_dns_domain_at(d->n->nm, i)); i++) {
        int len = snprintf(full, sizeof full, "%s.%s", name, domain);
        p = len > 0 && len < (int)sizeof full ? rmr_md_look(d->md, full)
                                              : RMR_MD_NOWHERE;
        if (p == RMR_MD_OWN || p == RMR_MD_ROUTE || p == RMR_MD_RESOLVERS)
            return true;
    }
    return false;
}

rmr_err rmri_node_dns_dial(nd_conn *c, const char *name, uint16_t port)
{
    nd_dns *d = c->n->dns;
    nd_lookup what = {.conn = c, .port = port};
    if (d->table_due)
        set_table(d);
    if (!is_known(d, name))
        return RMR_E_NOTFOUND;
    rmr_err err = begin(d, name, &what, &c->lookup);
    if (err != RMR_OK)
        c->lookup = 0;
    return err == RMR_E_INVAL ? RMR_E_NOTFOUND : err;
}

void rmri_node_dns_dial_cancel(nd_conn *c)
{
    if (c->lookup)
        rmr_node_resolve_cancel(c->n, c->lookup);
    c->lookup = 0;
}

rmr_err rmr_node_resolve(rmr_node *n, rmr_time now, const char *name,
                         rmr_node_resolved_fn done, void *user, uint64_t *id)
{
    nd_lookup what = {.done = done, .user = user};
    rmr_nm_node peer;
    rmr_addr ip;
    *id = 0;
    if (now > n->now)
        n->now = now;
    if (!done)
        return RMR_E_INVAL;
    if (!n->dns || !n->nm)
        return RMR_E_NOTREADY;
    if (!has_dot(name) && rmri_node_peers_find(n, name, &peer, &ip) == RMR_OK) {
        ip.port = 0;
        n->in_callback++;
        done(user, RMR_OK, &ip, 1);
        n->in_callback--;
        return RMR_OK;
    }
    if (n->dns->table_due)
        set_table(n->dns);
    return begin(n->dns, name, &what, id);
}

void rmr_node_resolve_cancel(rmr_node *n, uint64_t id)
{
    nd_lookup *l = n->dns ? take(n->dns, id) : NULL;
    if (!l)
        return;
    rmr_dns_cancel(n->dns->stub, id);
    drop(n->dns, l);
    n->dirty = true;
}

/* ---- life -------------------------------------------------------------- */

rmr_err rmri_node_dns_new(rmr_node *n)
{
    rmr_dns_config cfg = {0};
    rmr_md_callbacks cb = {NULL, md_find_name, md_find_addr, on_answer};
    rmr_addr quad = rmr_addr_v4(100, 100, 100, 100, 53);
    nd_dns *d = rmr_alloc_zero(&n->env.alloc, sizeof *d, _Alignof(nd_dns));
    if (!d)
        return RMR_E_NOMEM;
    n->dns = d;
    d->n = n;
    cb.user = d;
    for (int i = 0; i < 2; i++) {
        d->outside[i].n = n;
        rmr_ring_init(&d->outside[i].out, &n->env.alloc, (size_t)64 * 1024);
    }
    cfg.callbacks.user = d;
    cfg.callbacks.on_answer = on_resolved;
    /* The responder has its own time-outs, and answers after the last. */
    cfg.try_timeout = 30 * RMR_SEC;
    cfg.tries = 1;
    rmr_err err = rmr_md_new(&d->md, &n->env, &cb);
    if (err == RMR_OK)
        err = rmr_dns_new(&d->stub, &n->env, &cfg);
    if (err == RMR_OK)
        err = rmr_dns_set_servers(d->stub, &quad, 1, rmr_bytes_of(NULL, 0),
                                  rmr_bytes_of(NULL, 0));
    return err;
}

void rmri_node_dns_free(rmr_node *n)
{
    nd_dns *d = n->dns;
    if (!d)
        return;
    rmr_dns_free(d->stub);
    rmr_md_free(d->md);
    while (d->lookups)
        drop(d, take(d, d->lookups->id));
    for (int i = 0; i < 2; i++)
        rmr_ring_wipe(&d->outside[i].out);
    n->dns = NULL;
    rmr_release(&n->env.alloc, d->clients, d->cap_clients * sizeof *d->clients);
    rmr_release(&n->env.alloc, d, sizeof *d);
}

void rmri_node_dns_stop(rmr_node *n)
{
    if (!n->dns)
        return;
    rmri_node_dns_quad_close(n->dns);
    rmri_node_dns_out_close(n->dns);
}

/* The stub's questions go to the responder without a packet. */
static void stub_pump(nd_dns *d, rmr_time now)
{
    uint8_t dst[RMR_DNS_MAX_QUERY];
    size_t len;
    rmr_addr to;
    nd_dns_client *c;
    while ((c = rmri_node_dns_client(d, ND_DNS_STUB))) {
        rmr_err err = rmr_dns_write_pkt(d->stub, now,
                                        rmr_buf_of(dst, sizeof dst), &len, &to);
        if (err != RMR_OK || len == 0) {
            c->kind = ND_DNS_FREE;
            return;
        }
        rmri_node_dns_ask(d, c, true, rmr_bytes_of(dst, len));
    }
}

void rmri_node_dns_pump(rmr_node *n, rmr_time now)
{
    nd_dns *d = n->dns;
    if (n->phase != ND_PHASE_UP)
        return;
    if (d->table_due)
        set_table(d);
    stub_pump(d, now);
    rmri_node_dns_out_pump(d, now);
}

rmr_time rmri_node_dns_deadline(const rmr_node *n)
{
    const nd_dns *d = n->dns;
    if (!d || !d->stub)
        return RMR_TIME_NEVER;
    return rmr_time_min(rmr_dns_next_deadline(d->stub),
                        rmr_md_next_deadline(d->md));
}

void rmri_node_dns_handle_deadline(rmr_node *n, rmr_time now)
{
    nd_dns *d = n->dns;
    if (!d || !d->stub)
        return;
    rmri_node_check(n, now, rmr_md_handle_deadline(d->md, now));
    rmri_node_check(n, now, rmr_dns_handle_deadline(d->stub, now));
}
