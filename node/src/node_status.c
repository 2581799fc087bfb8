/* The status object, with the names of `tailscale status --json` where they
 * mean the same.  It is made a piece at a time, so that a tailnet of any size
 * needs no buffer of its size. */
#include "node_internal.h"

#include <remora/text.h>
#include <stdio.h>
#include <string.h>

#define PIECE_MIN ((size_t)16 * 1024) /* room that one peer may need */
#define MAX_PREFIXES 64               /* of each kind that are shown */

enum { STEP_HEAD, STEP_PEERS, STEP_USERS, STEP_TAIL, STEP_DONE };

static void put_time(rmr_jw *w, const char *key, uint64_t unix_ns)
{
    char text[RMR_TIME_TEXT_MAX];
    rmr_jw_kstr(w, key,
                unix_ns ? rmr_time_text(unix_ns, text)
                        : "0001-01-01T00:00:00Z");
}

static void put_key(rmr_jw *w, const char *key, const uint8_t *pub)
{
    char text[8 + 2 * RMR_KEY_LEN + 1];
    memcpy(text, "nodekey:", 8);
    rmr_hex(text + 8, pub, RMR_KEY_LEN);
    if (key)
        rmr_jw_kstr(w, key, text);
    else
        rmr_jw_key(w, text);
}

static void put_prefixes(rmr_jw *w, const char *key, const rmr_prefix *list,
                         size_t n)
{
    char text[RMR_PREFIX_TEXT_MAX];
    rmr_jw_key(w, key);
    rmr_jw_array(w);
    for (size_t i = 0; i < n && i < MAX_PREFIXES; i++)
        rmr_jw_str(w, rmr_prefix_text(&list[i], text));
    rmr_jw_array_end(w);
}

/* All of the Internet may be reached by it. */
static bool offers_exit(const rmr_nm_node *v)
{
    bool v4 = false, v6 = false;
    for (size_t i = 0; i < v->n_allowed_ips; i++) {
        v4 = v4 || (v->allowed_ips[i].bits == 0 &&
                    v->allowed_ips[i].family == RMR_AF_INET);
        v6 = v6 || (v->allowed_ips[i].bits == 0 &&
                    v->allowed_ips[i].family == RMR_AF_INET6);
    }
    return v4 && v6;
}

static void put_node(rmr_node *n, rmr_jw *w, const rmr_nm_node *v)
{
    char text[RMR_ADDR_TEXT_MAX], dns[256];
    snprintf(dns, sizeof dns, "%s.", v->name);
    rmr_jw_kstr(w, "ID", v->stable_id);
    put_key(w, "PublicKey", v->key);
    rmr_jw_kstr(w, "HostName", v->hostname);
    rmr_jw_kstr(w, "DNSName", dns);
    rmr_jw_kstr(w, "OS", v->os);
    rmr_jw_kint(w, "UserID", v->user);
    rmr_jw_key(w, "TailscaleIPs");
    rmr_jw_array(w);
    for (size_t i = 0; i < v->n_addrs; i++) {
        rmr_addr a = rmr_prefix_addr(&v->addrs[i]);
        rmr_jw_str(w, rmr_addr_ip_text(&a, text));
    }
    rmr_jw_array_end(w);
    put_prefixes(w, "AllowedIPs", v->allowed_ips, v->n_allowed_ips);
    if (v->n_primary_routes)
        put_prefixes(w, "PrimaryRoutes", v->primary_routes,
                     v->n_primary_routes);
    if (v->n_tags)
        rmri_node_put_tags(w, v);
    rmr_jw_kstr(w, "Relay", rmri_node_region_code(n, v->home_derp));
    rmr_jw_kstr(w, "PeerRelay", ""); /* not used */
    rmr_jw_kbool(w, "ExitNode", n->routes.exit_peer == v->id && v->id);
    rmr_jw_kbool(w, "ExitNodeOption", offers_exit(v));
    rmr_jw_kbool(w, "InNetworkMap", true);
    put_time(w, "Created", v->created_unix_ns);
    put_time(w, "LastSeen", v->online == 1 ? 0 : v->last_seen_unix_ns);
    if (v->key_expiry_unix_ns)
        put_time(w, "KeyExpiry", v->key_expiry_unix_ns);
    if (v->expired)
        rmr_jw_kbool(w, "Expired", true);
}

/* The one in use, where it is in the netmap. */
static void put_exit_node(rmr_node *n, rmr_jw *w)
{
    rmr_nm_node v;
    if (!n->nm || !n->routes.exit_peer ||
        !rmr_nm_peer(n->nm, n->routes.exit_peer, &v))
        return;
    rmr_jw_key(w, "ExitNodeStatus");
    rmr_jw_object(w);
    rmr_jw_kstr(w, "ID", v.stable_id);
    rmr_jw_kbool(w, "Online", v.online == 1);
    put_prefixes(w, "TailscaleIPs", v.addrs, v.n_addrs);
    rmr_jw_object_end(w);
}

/* When something happened, as unix time; 0: never. */
static uint64_t wall_of(const rmr_node *n, rmr_time now, rmr_time at)
{
    return at ? rmr_mc_wall(n->mc, now) - rmr_time_since(now, at) : 0;
}

typedef struct traffic { /* zero: none, as of this node itself */
    const char *addr;    /* where packets go directly; "": nowhere */
    rmr_wg_peer_stats wg;
    bool in_paths, in_wg;
} traffic;

static void put_traffic(const rmr_node *n, rmr_jw *w, rmr_time now,
                        const traffic *t)
{
    rmr_jw_kstr(w, "CurAddr", t->addr);
    rmr_jw_ku64(w, "RxBytes", t->wg.rx_bytes);
    rmr_jw_ku64(w, "TxBytes", t->wg.tx_bytes);
    put_time(w, "LastWrite", wall_of(n, now, t->wg.last_tx));
    put_time(w, "LastHandshake", t->wg.last_handshake_unix_ns);
    rmr_jw_kbool(w, "Active",
                 t->wg.last_rx &&
                     rmr_time_since(now, t->wg.last_rx) < 120 * RMR_SEC);
    rmr_jw_kbool(w, "InMagicSock", t->in_paths);
    rmr_jw_kbool(w, "InEngine", t->in_wg);
}

static void put_peer_traffic(rmr_node *n, rmr_jw *w, rmr_time now,
                             const rmr_nm_node *v)
{
    traffic t = {.addr = ""};
    rmr_path_info path;
    rmr_path_peer pp;
    char addr[RMR_ADDR_TEXT_MAX];
    rmr_wg_peer wp = rmr_wg_peer_find(n->wg, v->key);
    memset(&path, 0, sizeof path);
    t.in_wg = wp.id != 0;
    if (t.in_wg)
        (void)rmr_wg_peer_get_stats(n->wg, now, wp, &t.wg);
    t.in_paths = rmr_paths_find(n->paths, v->key, &pp);
    if (t.in_paths)
        (void)rmr_paths_info(n->paths, now, pp, &path);
    /* One that is not proved now shares its packets with the relay. */
    if (path.has_best && path.trusted)
        t.addr = rmr_addr_text(&path.udp, addr);
    rmr_jw_key(w, "Addrs"); /* told of this node alone */
    rmr_jw_null(w);
    put_traffic(n, w, now, &t);
    rmr_jw_kbool(w, "Online", v->online == 1);
}

static void put_self(rmr_node *n, rmr_jw *w, rmr_time now)
{
    static const traffic none = {.addr = ""};
    char text[RMR_ADDR_TEXT_MAX];
    rmr_nm_node self;
    rmr_jw_key(w, "Self");
    rmr_jw_object(w);
    if (n->nm && rmr_nm_self(n->nm, &self)) {
        put_node(n, w, &self);
    } else { /* no netmap yet: what we know of ourselves */
        put_key(w, "PublicKey", n->node_public);
        rmr_jw_kstr(w, "HostName", n->keys.prefs.hostname);
    }
    rmr_jw_key(w, "Addrs"); /* where peers may reach us */
    rmr_jw_array(w);
    for (size_t i = 0; i < n->endpoints.n; i++)
        rmr_jw_str(w, rmr_addr_text(&n->endpoints.list[i].addr, text));
    rmr_jw_array_end(w);
    put_traffic(n, w, now, &none);
    rmr_jw_kbool(w, "Online", n->ctl_state == RMR_CTL_CONNECTED);
    rmr_jw_object_end(w);
}

static void put_tailnet(rmr_node *n, rmr_jw *w)
{
    const char *suffix = n->nm ? rmr_nm_magic_suffix(n->nm) : "";
    rmr_jw_kstr(w, "MagicDNSSuffix", suffix);
    rmr_jw_key(w, "CurrentTailnet");
    rmr_jw_object(w);
    rmr_jw_kstr(w, "Name", n->nm ? rmr_nm_domain(n->nm) : "");
    rmr_jw_kstr(w, "MagicDNSSuffix", suffix);
    rmr_jw_kbool(w, "MagicDNSEnabled",
                 n->nm && rmr_nm_magic_dns_enabled(n->nm));
    rmr_jw_object_end(w);
}

static void put_exit_health(rmr_node *n, rmr_jw *w)
{
    char text[RMR_NODE_MAX_EXIT_NODE + 100];
    if (!rmri_node_exit_text(n)[0] || n->routes.exit_peer)
        return;
    snprintf(text, sizeof text,
             "the exit node %s is not there: what would go through it is "
             "dropped",
             rmri_node_exit_text(n));
    rmr_jw_str(w, text);
}

static void put_health(rmr_node *n, rmr_jw *w)
{
    rmr_jw_key(w, "Health");
    rmr_jw_array(w);
    if (n->ctl_state == RMR_CTL_DOWN || n->ctl_state == RMR_CTL_FAILED)
        rmr_jw_str(w, rmr_text_kept(n->ctl_text));
    for (size_t i = 0; n->nm && i < rmr_nm_health_count(n->nm) && i < 16; i++)
        rmr_jw_str(w, rmr_nm_health_at(n->nm, i));
    put_exit_health(n, w);
    rmri_node_regions_put_health(n, w);
    rmr_jw_array_end(w);
}

static void put_head(rmr_node *n, rmr_jw *w, rmr_time now)
{
    char text[RMR_ADDR_TEXT_MAX];
    rmr_jw_object(w);
    rmr_jw_kstr(w, "Version", rmr_text_kept(n->product));
    rmr_jw_kbool(w, "TUN", false);
    rmr_jw_kstr(w, "BackendState", rmr_node_state_name(n->state));
    rmr_jw_kbool(w, "HaveNodeKey", n->keys.registered);
    rmr_jw_kstr(w, "AuthURL", rmr_text_kept(n->keys.auth_url));
    rmr_jw_kstr(w, "ControlURL", rmr_text_kept(n->url));
    rmr_jw_key(w, "TailscaleIPs");
    rmr_jw_array(w);
    for (size_t i = 0; i < n->n_ips; i++)
        rmr_jw_str(w, rmr_addr_ip_text(&n->ips[i], text));
    rmr_jw_array_end(w);
    rmr_jw_ku64(w, "UDPPort", rmri_node_udp_port(n));
    put_self(n, w, now);
    put_exit_node(n, w);
    put_health(n, w);
    put_tailnet(n, w);
    rmr_jw_key(w, "Peer");
    rmr_jw_object(w);
}

/* A piece has its own writer; the braces of the whole are placed by hand, since
 * a writer sees its piece alone. */
static size_t head_piece(rmr_node *n, rmr_time now, rmr_buf dst)
{
    rmr_jw w;
    rmr_jw_init(&w, dst);
    put_head(n, &w, now);
    return w.failed ? 0 : w.len;
}

static size_t peer_piece(rmr_node *n, rmr_time now, const rmr_nm_node *v,
                         bool first, rmr_buf dst)
{
    rmr_jw w;
    size_t len = 0;
    rmr_jw_init(&w, dst);
    rmr_jw_object(&w); /* its brace is replaced by the comma */
    put_key(&w, NULL, v->key);
    rmr_jw_object(&w);
    put_node(n, &w, v);
    put_peer_traffic(n, &w, now, v);
    rmr_jw_object_end(&w);
    len = w.len;
    if (w.failed || len == 0)
        return 0;
    dst.ptr[0] = ',';
    if (first)
        memmove(dst.ptr, dst.ptr + 1, --len);
    return len;
}

static size_t peers_piece(rmr_node *n, rmr_time now, nd_local *l, rmr_buf dst)
{
    size_t len = 0;
    rmr_nm_node v;
    while (dst.len - len >= PIECE_MIN) {
        if (!n->nm || !n->wg || !rmr_nm_next_peer(n->nm, &l->status_pos, &v)) {
            l->status_step = STEP_USERS;
            l->status_pos = 0;
            l->status_any = false;
            break;
        }
        size_t got = peer_piece(n, now, &v, !l->status_any,
                                rmr_buf_of(dst.ptr + len, dst.len - len));
        l->status_any = l->status_any || got > 0;
        len += got;
    }
    return len;
}

static void put_user(rmr_jw *w, const rmr_nm_user *u)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)u->id);
    rmr_jw_key(w, id);
    rmr_jw_object(w);
    rmr_jw_kint(w, "ID", u->id);
    rmr_jw_kstr(w, "LoginName", u->login);
    rmr_jw_kstr(w, "DisplayName", u->display);
    rmr_jw_object_end(w);
}

/* As peer_piece: the first brace is none, or a comma. */
static size_t user_piece(const rmr_nm_user *u, bool first, rmr_buf dst)
{
    rmr_jw w;
    rmr_jw_init(&w, dst);
    rmr_jw_object(&w);
    put_user(&w, u);
    size_t len = w.len;
    if (w.failed || len == 0)
        return 0;
    dst.ptr[0] = ',';
    if (first)
        memmove(dst.ptr, dst.ptr + 1, --len);
    return len;
}

static size_t users_piece(rmr_node *n, nd_local *l, rmr_buf dst)
{
    static const char head[] = "},\"User\":{";
    size_t len = 0, pos = (size_t)l->status_pos;
    rmr_nm_user u;
    if (pos == 0) {
        len = sizeof head - 1;
        memcpy(dst.ptr, head, len);
    }
    while (dst.len - len >= PIECE_MIN) {
        if (!n->nm || !rmr_nm_next_user(n->nm, &pos, &u)) {
            l->status_step = STEP_TAIL;
            break;
        }
        size_t got = user_piece(&u, !l->status_any,
                                rmr_buf_of(dst.ptr + len, dst.len - len));
        l->status_any = l->status_any || got > 0;
        len += got;
    }
    l->status_pos = pos;
    return len;
}

/* Each step writes something, but the one of the peers where there are none. */
size_t rmri_node_status_piece(rmr_node *n, rmr_time now, nd_local *l,
                              rmr_buf dst)
{
    static const char tail[] = "},\"ClientVersion\":null}\n";
    size_t len = 0;
    if (dst.len < 2 * PIECE_MIN)
        return 0;
    switch (l->status_step) {
    case STEP_HEAD:
        l->status_step = STEP_PEERS;
        return head_piece(n, now, dst);
    case STEP_PEERS:
        len = peers_piece(n, now, l, dst);
        if (len || l->status_step == STEP_PEERS)
            return len;
        return users_piece(n, l, dst);
    case STEP_USERS:
        return users_piece(n, l, dst);
    case STEP_TAIL:
        l->status_step = STEP_DONE;
        memcpy(dst.ptr, tail, sizeof tail - 1);
        return sizeof tail - 1;
    default:
        return 0;
    }
}
