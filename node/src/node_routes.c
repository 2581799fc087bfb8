/* The routes of peers that we use, and the exit node: a table of its own, for
 * WireGuard peers are made only when they are needed, and the longest prefix of
 * all peers must win. */
#include "node_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- the table --------------------------------------------------------- */

static bool is_own(const rmr_nm_node *peer, const rmr_prefix *p)
{
    for (size_t i = 0; i < peer->n_addrs; i++)
        if (rmr_prefix_eq(&peer->addrs[i], p))
            return true;
    return false;
}

static bool is_candidate(const rmr_node *n, const rmr_nm_node *peer,
                         const rmr_prefix *p)
{
    if (peer->expired || !rmri_node_prefix_is_clean(p) || is_own(peer, p))
        return false;
    if (p->bits == 0)
        return n->routes.exit_peer == peer->id;
    return n->routes.accept ||
           rmri_node_prefix_is_tailnet_ip(p); /* a service's address */
}

/* The longest first; of equal ones the peer that is older. */
static bool goes_before(const nd_peer_route *a, const nd_peer_route *b)
{
    if (a->to.bits != b->to.bits)
        return a->to.bits > b->to.bits;
    if (a->to.family != b->to.family)
        return a->to.family < b->to.family;
    int c = memcmp(a->to.ip, b->to.ip, sizeof a->to.ip);
    return c ? c < 0 : a->peer < b->peer;
}

static void sort(nd_peer_route *t, size_t n) /* Shell's */
{
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            nd_peer_route x = t[i];
            size_t k = i;
            for (; k >= gap && goes_before(&x, &t[k - gap]); k -= gap)
                t[k] = t[k - gap];
            t[k] = x;
        }
}

static rmr_err add_route(rmr_node *n, nd_routes *r, const rmr_prefix *p,
                         uint64_t peer)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        nd_peer_route *more =
            cap > ND_MAX_ROUTES
                ? NULL
                : rmr_alloc_zero(&n->env.alloc, cap * sizeof *more,
                                 _Alignof(nd_peer_route));
        if (!more)
            return RMR_E_NOMEM;
        if (r->n)
            memcpy(more, r->table, r->n * sizeof *more);
        rmr_release(&n->env.alloc, r->table, r->cap * sizeof *more);
        r->table = more;
        r->cap = cap;
    }
    r->table[r->n++] = (nd_peer_route){*p, peer};
    return RMR_OK;
}

/* What a peer lost must leave WireGuard too, and what it got enter it. */
static void reconfigure(rmr_node *n, const nd_peer_route *t, size_t count)
{
    uint64_t last = 0;
    rmr_nm_node peer;
    for (size_t i = 0; i < count; i++) {
        if (t[i].peer == last || !rmr_nm_peer(n->nm, t[i].peer, &peer))
            continue;
        last = t[i].peer;
        rmri_node_peers_reroute(n, &peer);
    }
}

static bool same_table(const nd_peer_route *t, size_t n, const nd_routes *r)
{
    for (size_t i = 0; n == r->n && i < n; i++)
        if (t[i].peer != r->table[i].peer ||
            !rmr_prefix_eq(&t[i].to, &r->table[i].to))
            return false;
    return n == r->n;
}

static void rebuild(rmr_node *n)
{
    nd_routes *r = &n->routes;
    nd_peer_route *old = r->table;
    size_t old_n = r->n, old_cap = r->cap;
    rmr_nm_node peer;
    rmr_err err = RMR_OK;
    r->table = NULL;
    r->n = r->cap = 0;
    for (uint64_t pos = 0; !err && rmr_nm_next_peer(n->nm, &pos, &peer);)
        for (size_t i = 0; !err && i < peer.n_allowed_ips; i++)
            if (is_candidate(n, &peer, &peer.allowed_ips[i]))
                err = add_route(n, r, &peer.allowed_ips[i], peer.id);
    if (err != RMR_OK)
        rmri_node_trouble(n, err, "not all routes of peers are used");
    sort(r->table, r->n);
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++)
        if (kept == 0 ||
            !rmr_prefix_eq(&r->table[kept - 1].to, &r->table[i].to))
            r->table[kept++] = r->table[i];
    r->n = kept;
    r->seen_peer.id = 0;
    if (!same_table(old, old_n, r)) {
        reconfigure(n, old, old_n);
        reconfigure(n, r->table, r->n);
    }
    rmr_release(&n->env.alloc, old, old_cap * sizeof *old);
}

/* An address of the tailnet that nobody has is not the exit node's. */
const nd_peer_route *rmri_node_routes_find(const rmr_node *n,
                                           const rmr_addr *to)
{
    for (size_t i = 0; i < n->routes.n; i++) {
        const nd_peer_route *r = &n->routes.table[i];
        if (rmr_prefix_contains(&r->to, to))
            return r->to.bits == 0 && rmri_node_ip_is_tailnet(to) ? NULL : r;
    }
    return NULL;
}

bool rmri_node_routes_may(const rmr_node *n, const rmr_nm_node *peer,
                          const rmr_prefix *p)
{
    if (!rmri_node_prefix_is_clean(p))
        return false;
    if (is_own(peer, p))
        return true;
    for (size_t i = 0; i < n->routes.n; i++)
        if (rmr_prefix_eq(&n->routes.table[i].to, p))
            return n->routes.table[i].peer == peer->id;
    return false;
}

/* ---- the exit node ----------------------------------------------------- */

static bool is_exit(const rmr_node *n, const rmr_nm_node *peer)
{
    const nd_routes *r = &n->routes;
    rmr_addr ip;
    rmr_nm_node other;
    if (r->exit_id[0])
        return rmri_node_same_text(peer->stable_id, r->exit_id);
    if (rmri_node_same_text(peer->stable_id, rmri_node_exit_text(n)))
        return true;
    if (rmr_addr_parse_ip(rmr_bytes_str(rmri_node_exit_text(n)), &ip) == RMR_OK)
        return rmr_nm_peer_by_ip(n->nm, &ip, &other) && other.id == peer->id;
    return rmr_nm_peer_by_name(n->nm, rmri_node_exit_text(n), &other) &&
           other.id == peer->id;
}

static bool is_exit_id(const rmr_node *n, uint64_t id)
{
    rmr_nm_node peer;
    return id && rmr_nm_peer(n->nm, id, &peer) && is_exit(n, &peer);
}

static void resolve_exit(rmr_node *n)
{
    nd_routes *r = &n->routes;
    rmr_nm_node peer;
    uint64_t found = 0;
    if (rmri_node_exit_text(n)[0] && is_exit_id(n, r->exit_peer))
        return;
    for (uint64_t pos = 0; rmri_node_exit_text(n)[0] && !found &&
                           rmr_nm_next_peer(n->nm, &pos, &peer);)
        if (is_exit(n, &peer))
            found = peer.id;
    r->is_stale = r->is_stale || found != r->exit_peer;
    r->exit_peer = found;
    if (!found || !rmr_nm_peer(n->nm, found, &peer))
        return;
    (void)snprintf(r->exit_id, sizeof r->exit_id, "%s", peer.stable_id);
    rmri_node_prefs_exit_found(n);
    rmri_node_routes_tell(n);
}

/* ---- what others ask --------------------------------------------------- */

/* Inside a frame: the table follows when it is over. */
void rmri_node_routes_peer(rmr_node *n, const rmr_nm_node *peer)
{
    nd_routes *r = &n->routes;
    for (size_t i = 0; i < r->n && !r->is_stale; i++)
        r->is_stale = r->table[i].peer == peer->id;
    for (size_t i = 0; i < peer->n_allowed_ips && !r->is_stale; i++)
        r->is_stale = !is_own(peer, &peer->allowed_ips[i]);
}

void rmri_node_routes_frame(rmr_node *n, uint32_t changed)
{
    if (changed & (RMR_NM_SELF | RMR_NM_FILTER))
        rmri_node_routes_local(n);
    if (changed & RMR_NM_PEERS)
        resolve_exit(n);
    if (n->routes.is_stale)
        rebuild(n);
    n->routes.is_stale = false;
}

rmr_err rmri_node_routes_reach(const rmr_node *n, const rmr_addr *to)
{
    if (rmri_node_ip_is_forbidden(to))
        return RMR_E_NOTFOUND;
    if (rmri_node_routes_is_lan(n, to))
        return RMR_OK;
    if (rmri_node_routes_find(n, to))
        return RMR_OK;
    return rmri_node_exit_text(n)[0] && !rmri_node_ip_is_tailnet(to)
               ? RMR_E_UNREACHABLE
               : RMR_E_NOTFOUND;
}

rmr_err rmri_node_routes_peer_to(const rmr_node *n, const char *text,
                                 rmr_nm_node *peer, rmr_addr *ip)
{
    if (rmr_addr_parse_ip(rmr_bytes_str(text), ip) != RMR_OK &&
        !rmri_node_routes_name(n, text, ip))
        return RMR_E_NOTFOUND;
    rmr_err err = rmri_node_routes_reach(n, ip);
    const nd_peer_route *r = rmri_node_routes_find(n, ip);
    if (err != RMR_OK)
        return err;
    /* The host reaches its own subnets without a peer. */
    return r && !rmri_node_routes_is_lan(n, ip) &&
                   rmr_nm_peer(n->nm, r->peer, peer)
               ? RMR_OK
               : RMR_E_NOTFOUND;
}

static bool source_of(rmr_bytes pkt, rmr_addr *from)
{
    if (pkt.len >= 20 && pkt.ptr[0] >> 4 == 4)
        *from = rmr_addr_from_bytes(rmr_bytes_of(pkt.ptr + 12, 4), 0);
    else if (pkt.len >= 40 && pkt.ptr[0] >> 4 == 6)
        *from = rmr_addr_from_bytes(rmr_bytes_of(pkt.ptr + 8, 16), 0);
    else
        return false;
    return from->family != RMR_AF_NONE;
}

/* WireGuard knows only the peers that were needed: a router could send in the
 * name of one that it does not know yet, whose prefix is longer. */
bool rmri_node_routes_source(rmr_node *n, rmr_wg_peer wp, rmr_bytes pkt)
{
    nd_routes *r = &n->routes;
    rmr_wg_peer_stats st;
    rmr_nm_node peer;
    rmr_addr from;
    if (r->n == 0 || !source_of(pkt, &from))
        return true;
    if (wp.id == r->seen_peer.id && rmr_addr_ip_eq(&from, &r->seen_source))
        return true;
    if (rmr_wg_peer_get_stats(n->wg, n->now, wp, &st) != RMR_OK)
        return false;
    if (rmr_nm_peer_by_ip(n->nm, &from, &peer)) {
        if (peer.id != st.user)
            return false;
    } else {
        const nd_peer_route *e = rmri_node_routes_find(n, &from);
        if (!e || e->peer != st.user)
            return false;
    }
    r->seen_peer = wp;
    r->seen_source = from;
    return true;
}

/* ---- settings ---------------------------------------------------------- */

rmr_err rmri_node_routes_check(const rmr_prefix *routes, size_t n,
                               const char *exit_node)
{
    if (n > ND_MAX_OFFERED || (n && !routes) ||
        strlen(rmr_text_kept(exit_node)) > RMR_NODE_MAX_EXIT_NODE)
        return RMR_E_INVAL;
    for (size_t i = 0; i < n; i++)
        if (!rmr_node_can_advertise(&routes[i]))
            return RMR_E_INVAL;
    return RMR_OK;
}

void rmri_node_routes_set(rmr_node *n, bool other_exit)
{
    nd_routes *r = &n->routes;
    const nd_prefs *p = &n->keys.prefs;
    r->is_set = true;
    r->n_offered = p->n_routes;
    r->exit_offered = p->advertise_exit_node;
    r->accept = p->accept_routes;
    r->allow_lan = p->exit_node_allow_lan;
    if (other_exit) {
        r->exit_id[0] = 0;
        r->exit_peer = 0;
    }
    if (!n->nm)
        return;
    r->is_stale = true;
    rmri_node_routes_tell(n);
    rmri_node_routes_frame(n, RMR_NM_SELF | RMR_NM_PEERS);
    n->dirty = true;
}

void rmri_node_routes_free(rmr_node *n)
{
    nd_routes *r = &n->routes;
    rmri_node_prefixes_free(&r->local, &n->env.alloc);
    rmr_release(&n->env.alloc, r->table, r->cap * sizeof *r->table);
    r->table = NULL;
    r->n = r->cap = 0;
}
