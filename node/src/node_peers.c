/* From the netmap to the data plane: own addresses, and WireGuard peers, which
 * are made when a packet goes to them or an initiation comes from them, and
 * forgotten when their keys were erased. */
#include "node_internal.h"

#include <string.h>

static bool is_usable(const rmr_node *n, const rmr_nm_node *peer)
{
    if (peer->expired || n->barred)
        return false;
    uint64_t wall = rmr_nm_server_time(n->nm, rmr_mc_wall(n->mc, n->now));
    return peer->key_expiry_unix_ns == 0 || wall == 0 ||
           peer->key_expiry_unix_ns > wall;
}

static rmr_err configure(rmr_node *n, rmr_wg_peer wp, const rmr_nm_node *peer)
{
    size_t cap = peer->n_allowed_ips * sizeof(rmr_prefix), count = 0;
    rmr_prefix *allowed =
        cap ? rmr_alloc_zero(&n->env.alloc, cap, _Alignof(rmr_prefix)) : NULL;
    if (cap && !allowed)
        return RMR_E_NOMEM;
    for (size_t i = 0; i < peer->n_allowed_ips; i++)
        if (rmri_node_routes_may(n, peer, &peer->allowed_ips[i]))
            allowed[count++] = peer->allowed_ips[i];
    rmr_wg_endpoint ep = rmri_node_endpoint_peer(peer->key);
    rmr_err err = rmr_wg_peer_set_allowed_ips(n->wg, wp, allowed, count);
    rmr_release(&n->env.alloc, allowed, cap);
    if (err == RMR_OK)
        err = rmr_wg_peer_set_endpoint(n->wg, wp, &ep);
    return err;
}

void rmri_node_peers_reroute(rmr_node *n, const rmr_nm_node *peer)
{
    rmr_wg_peer wp = rmr_wg_peer_find(n->wg, peer->key);
    if (wp.id && configure(n, wp, peer) != RMR_OK)
        rmri_node_trouble(n, RMR_E_NOMEM,
                          "a peer's routes were not taken over");
}

static rmr_wg_peer add_peer(rmr_node *n, rmr_time now, const rmr_nm_node *peer)
{
    rmr_wg_peer wp = {0}, none = {0};
    rmr_wg_peer_config pc;
    if (!is_usable(n, peer))
        return none;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memcpy(pc.public_key, peer->key, RMR_KEY_LEN);
    pc.user = peer->id;
    rmri_node_stamps_get(n, peer->key, pc.last_tai64n);
    if (rmr_wg_peer_add(n->wg, now, &pc, &wp) != RMR_OK)
        return none;
    if (configure(n, wp, peer) != RMR_OK) {
        rmr_wg_peer_remove(n->wg, now, wp);
        return none;
    }
    return wp;
}

bool rmri_node_peers_destination(rmr_bytes pkt, rmr_addr *to)
{
    if (pkt.len >= 20 && pkt.ptr[0] >> 4 == 4)
        *to = rmr_addr_from_bytes(rmr_bytes_of(pkt.ptr + 16, 4), 0);
    else if (pkt.len >= 40 && pkt.ptr[0] >> 4 == 6)
        *to = rmr_addr_from_bytes(rmr_bytes_of(pkt.ptr + 24, 16), 0);
    else
        return false;
    return to->family != RMR_AF_NONE;
}

/* An own address of a peer; else the longest prefix of all peers that routes
 * are taken of, whether WireGuard knows them already or not. */
static bool owner_of(rmr_node *n, const rmr_addr *to, rmr_nm_node *peer)
{
    if (rmr_nm_peer_by_ip(n->nm, to, peer))
        return true;
    const nd_peer_route *r = rmri_node_routes_find(n, to);
    return r && rmr_nm_peer(n->nm, r->peer, peer);
}

rmr_wg_peer rmri_node_peers_route(rmr_node *n, rmr_time now, rmr_bytes pkt)
{
    rmr_wg_peer wp = {0};
    rmr_nm_node peer;
    rmr_addr to;
    if (n->routes.n == 0)
        wp = rmr_wg_route(n->wg, pkt);
    if (wp.id || !rmri_node_peers_destination(pkt, &to) ||
        rmri_node_routes_is_lan(n, &to) || !owner_of(n, &to, &peer))
        return wp;
    wp = rmr_wg_peer_find(n->wg, peer.key);
    return wp.id ? wp : add_peer(n, now, &peer);
}

rmr_err rmri_node_peers_find(rmr_node *n, const char *text, rmr_nm_node *out,
                             rmr_addr *ip)
{
    if (!n->nm || rmr_nm_peer_count(n->nm) + (n->live ? 1u : 0u) == 0)
        return RMR_E_NOTREADY;
    if (rmr_addr_parse_ip(rmr_bytes_str(text), ip) == RMR_OK)
        return rmr_nm_peer_by_ip(n->nm, ip, out) ? RMR_OK : RMR_E_NOTFOUND;
    if (!rmr_nm_peer_by_name(n->nm, text, out) || out->n_addrs == 0)
        return RMR_E_NOTFOUND;
    *ip = rmr_prefix_addr(&out->addrs[0]);
    for (size_t i = 0; i < out->n_addrs; i++) {
        if (out->addrs[i].family == RMR_AF_INET) {
            *ip = rmr_prefix_addr(&out->addrs[i]);
            break;
        }
    }
    return RMR_OK;
}

/* ---- the netmap's words ------------------------------------------------ */

static void on_peer(void *user, rmr_nm_change change, const rmr_nm_node *peer,
                    const uint8_t old_key[RMR_KEY_LEN])
{
    rmr_node *n = user;
    n->dirty = true;
    if (peer->jailed)
        n->has_jailed = true;
    rmri_node_expiry_peer(n, peer);
    rmri_node_routes_peer(n, peer);
    rmr_wg_peer wp = rmr_wg_peer_find(n->wg, old_key ? old_key : peer->key);
    rmri_node_paths_peer(n, change, peer, old_key);
    if (change == RMR_NM_PEER_REMOVED)
        rmri_node_stamps_drop(n, peer->key);
    else if (change == RMR_NM_PEER_ADDED && rmr_nm_peer_count(n->nm) == 1)
        rmri_node_netcheck_want(n, n->now, RMR_NETCHECK_WHY_PEERS);
    bool rotated = old_key && memcmp(old_key, peer->key, RMR_KEY_LEN) != 0;
    n->peers_differ |= change != RMR_NM_PEER_CHANGED || rotated;
    if (!wp.id)
        return;
    if (change == RMR_NM_PEER_REMOVED || rotated || !is_usable(n, peer))
        rmr_wg_peer_remove(n->wg, n->now, wp);
    else if (configure(n, wp, peer) != RMR_OK)
        rmri_node_trouble(n, RMR_E_NOMEM, "a peer's change was not taken over");
}

/* It has lost its sessions: the next packet begins a handshake, instead of
 * going where nobody can open it until a timer ends. */
static void on_peer_restarted(void *user, const rmr_nm_node *peer)
{
    rmr_node *n = user;
    rmr_wg_peer wp = rmr_wg_peer_find(n->wg, peer->key);
    n->dirty = true;
    if (wp.id)
        rmr_wg_peer_expire(n->wg, n->now, wp);
}

/* Own addresses of the stack follow the self node. */
static void self_changed(rmr_node *n)
{
    rmr_nm_node self;
    if (!rmr_nm_self(n->nm, &self))
        return;
    for (size_t i = 0; i < n->n_ips; i++) {
        bool still = false;
        for (size_t j = 0; j < self.n_addrs && !still; j++) {
            rmr_addr a = rmr_prefix_addr(&self.addrs[j]);
            still = rmr_addr_ip_eq(&a, &n->ips[i]);
        }
        if (!still)
            rmr_ns_addr_remove(n->ns, n->now, &n->ips[i]);
    }
    if (!rmr_bytes_eq_str(rmr_bytes_str(self.stable_id), n->keys.stable_id) &&
        strlen(self.stable_id) < sizeof n->keys.stable_id) {
        memcpy(n->keys.stable_id, self.stable_id, strlen(self.stable_id) + 1);
        rmri_node_state_soon(n);
    }
    n->n_ips = 0;
    for (size_t j = 0; j < self.n_addrs && n->n_ips < ND_MAX_IPS; j++) {
        n->ips[n->n_ips] = rmr_prefix_addr(&self.addrs[j]);
        if (!n->cb.on_packet) /* else they are the host's */
            rmr_ns_addr_add(n->ns, &n->ips[n->n_ips]);
        n->n_ips++;
    }
    rmri_node_dns_addrs(n);
}

/* Peers look for us where we were, until the server tells them otherwise.  The
 * cached self node may be older than what the server was told. */
static void home_as_told(rmr_node *n)
{
    if (!n->from_server && !n->only_netcheck && !n->home)
        n->home = n->keys.home; /* dialled with the map, if it has it */
}

void rmri_node_peers_tell_expired(rmr_node *n)
{
    rmri_node_set_state(n, RMR_NODE_NEEDS_LOGIN, "");
    if (!n->expiry_told)
        rmri_node_trouble(n, RMR_E_CTL_KEY_EXPIRED,
                          rmr_node_err_text(RMR_E_CTL_KEY_EXPIRED));
    n->expiry_told = true;
}

/* May this node take part, as far as the netmap says?  Tells once what is in
 * the way. */
static bool is_admitted(rmr_node *n, const rmr_nm_node *self)
{
    if (self->expired) {
        rmri_node_peers_tell_expired(n);
        return false;
    }
    if (!self->machine_authorized) {
        if (!n->approval_told) /* once, not with every frame */
            rmri_node_trouble(n, RMR_E_NOTREADY,
                              "this node waits for approval: approve it at "
                              "the control server");
        n->approval_told = true;
        rmri_node_set_state(n, RMR_NODE_NEEDS_APPROVAL, "");
        return false;
    }
    n->approval_told = n->expiry_told = false;
    return true;
}

static void say_running(rmr_node *n, const rmr_nm_node *self, bool from_cache)
{
    rmr_node_event ev = {0};
    rmri_node_set_state(n, RMR_NODE_RUNNING, "");
    ev.kind = RMR_NODE_EV_RUNNING;
    ev.state = RMR_NODE_RUNNING;
    ev.text = "";
    ev.ips = n->ips;
    ev.n_ips = n->n_ips;
    ev.from_cache = from_cache;
    ev.hostname = self->name;
    ev.took = rmr_time_since(n->now, n->started);
    rmri_node_tell(n, &ev);
}

static void tell_running(rmr_node *n)
{
    rmr_nm_node self;
    if (!rmr_nm_self(n->nm, &self) || !is_admitted(n, &self))
        return;
    rmri_node_set_state(n, RMR_NODE_RUNNING, "");
    if (n->running_told)
        return;
    n->running_told = true;
    say_running(n, &self, false);
}

/* Both the cached netmap is there and the server is not. */
void rmri_node_peers_stopgap(rmr_node *n)
{
    rmr_nm_node self;
    if (n->live || n->stopgap_told || n->only_netcheck || n->cache_io ||
        n->cache_step || n->ctl_state != RMR_CTL_DOWN ||
        !rmr_nm_self(n->nm, &self))
        return;
    n->stopgap_told = true;
    if (!is_admitted(n, &self))
        return;
    rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
             "the control server does not answer: running from the cached "
             "netmap");
    say_running(n, &self, true);
}

/* The server's clock was told, maybe: keys end by that. */
static void keys_end(rmr_node *n)
{
    if (!n->from_server)
        return;
    rmri_node_expiry_self(n, n->now);
    rmri_node_expiry_plan(n, n->now);
}

static void on_frame(void *user, uint32_t changed)
{
    rmr_node *n = user;
    if (changed == RMR_NM_KEEPALIVE) { /* it has no news for anybody */
        keys_end(n);
        return;
    }
    n->dirty = true;
    if (changed & RMR_NM_SELF) {
        self_changed(n);
        home_as_told(n);
        rmri_node_paths_attributes(n, n->now);
    }
    rmri_node_routes_frame(n, changed);
    /* An exit node may answer DNS for us. */
    if (changed & (RMR_NM_SELF | RMR_NM_DNS) ||
        (changed & RMR_NM_PEERS && rmri_node_exit_text(n)[0]))
        rmri_node_dns_changed(n);
    if (changed & RMR_NM_DERP_MAP)
        rmri_node_regions_map_changed(n, n->now);
    if (!n->from_server)
        return;
    /* The server's first frame may say what the cache said, and nothing else. */
    if (!(changed & RMR_NM_KEEPALIVE)) {
        n->live = true;
        if (changed)
            rmri_node_cache_changed(n, n->now,
                                    changed != RMR_NM_PEERS || n->peers_differ);
        n->peers_differ = false;
        tell_running(n);
        rmri_node_login_check(n, n->now);
    }
    keys_end(n);
}

static void on_ping_request(void *user, const rmr_nm_ping *ping)
{
    rmr_node *n = user;
    if (n->from_server) /* not of a cached netmap */
        rmri_node_ping_asked(n, ping);
}

rmr_err rmri_node_peers_nm_new(rmr_node *n)
{
    rmr_nm_config cfg;
    rmr_nm_callbacks cb = {0};
    cb.struct_size = sizeof cb;
    cb.user = n;
    cb.on_peer = on_peer;
    cb.on_frame = on_frame;
    cb.on_peer_restarted = on_peer_restarted;
    cb.on_ping_request = on_ping_request;
    rmr_nm_config_init(&cfg, sizeof cfg);
    cfg.max_peers = ND_MAX_PEERS;
    cfg.callbacks = &cb;
    return rmr_nm_new(&n->nm, &n->env, &cfg);
}

/* ---- WireGuard's words ------------------------------------------------- */

/* A claim only: it decides nothing but that a known peer's state is made. */
static void on_unknown(void *user, const uint8_t public_key[RMR_KEY_LEN],
                       const rmr_wg_endpoint *from)
{
    rmr_node *n = user;
    rmr_nm_node peer;
    (void)from;
    if (rmr_nm_peer_by_key(n->nm, public_key, &peer))
        add_peer(n, n->now, &peer);
}

static void on_state(void *user, rmr_wg_peer peer, rmr_wg_state state)
{
    rmr_node *n = user;
    n->dirty = true;
    /* Not removed inside the callback.  Without memory for the note it keeps
     * its own until it expires again. */
    if (state == RMR_WG_EXPIRED)
        (void)rmr_ring_write_all(&n->expired, rmr_bytes_of(&peer, sizeof peer));
}

void rmri_node_peers_forget_expired(rmr_node *n, rmr_time now)
{
    rmr_wg_peer wp;
    while (rmr_ring_read(&n->expired, &wp, sizeof wp) == sizeof wp) {
        rmr_wg_peer_stats st;
        rmr_nm_node peer;
        if (rmr_wg_peer_get_stats(n->wg, now, wp, &st) == RMR_OK &&
            rmr_nm_peer(n->nm, st.user, &peer))
            rmri_node_stamps_keep(n, peer.key, st.last_tai64n);
        rmr_wg_peer_remove(n->wg, now, wp);
    }
    rmr_ring_shrink(&n->expired);
}

void rmri_node_peers_wg_callbacks(rmr_wg_callbacks *cb)
{
    cb->on_unknown = on_unknown;
    cb->on_state = on_state;
}
