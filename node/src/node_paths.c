/* The path layer and the node: which peers there are, where a run of datagrams
 * goes, and what the path layer has to say and to ask. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <string.h>

/* Datagrams of discovery in one pump: bounds a turn. */
#define MAX_PER_PUMP 1024

/* ---- tokens for WireGuard ---------------------------------------------- */

/* "This peer, by whichever way the path layer says": WireGuard's roaming never
 * overrides it. */
rmr_wg_endpoint rmri_node_endpoint_peer(const uint8_t key[RMR_KEY_LEN])
{
    rmr_wg_endpoint e = {0};
    e.bytes[0] = 'P';
    memcpy(e.bytes + 1, key, RMR_KEY_LEN);
    e.len = e.bucket_len = 1 + RMR_KEY_LEN;
    return e;
}

/* A bare address: who sends from there is not known yet. */
rmr_wg_endpoint rmri_node_endpoint_udp(const rmr_path_to *from)
{
    rmr_wg_endpoint e = {0};
    size_t ip_len = rmr_addr_ip_len(&from->udp);
    e.bytes[0] = from->udp.family == RMR_AF_INET6 ? '6' : '4';
    memcpy(e.bytes + 1, from->udp.ip, ip_len);
    rmr_store_be16(e.bytes + 1 + ip_len, from->udp.port);
    rmr_store_be16(e.bytes + 3 + ip_len, from->socket);
    e.len = (uint8_t)(1 + ip_len + 4);
    /* An IPv6 sender has a /64 of addresses. */
    e.bucket_len = (uint8_t)(1 + (ip_len == 16 ? 8 : ip_len));
    return e;
}

/* false: it is none of UDP */
static bool udp_of(const rmr_wg_endpoint *e, nd_route *out)
{
    size_t ip_len = e->bytes[0] == '6' ? 16 : 4;
    if ((e->bytes[0] != '4' && e->bytes[0] != '6') || e->len != 1 + ip_len + 4)
        return false;
    out->udp = rmr_addr_from_bytes(rmr_bytes_of(e->bytes + 1, ip_len),
                                   rmr_load_be16(e->bytes + 1 + ip_len));
    out->socket = rmr_load_be16(e->bytes + 3 + ip_len);
    out->has_udp = true;
    return true;
}

/* ---- where a run goes -------------------------------------------------- */

bool rmri_node_path_route(rmr_node *n, rmr_time now, const rmr_wg_endpoint *to,
                          nd_route *out)
{
    rmr_path_peer peer;
    rmr_path_route r;
    memset(out, 0, sizeof *out);
    if (to->len != 1 + RMR_KEY_LEN || to->bytes[0] != 'P')
        return udp_of(to, out);
    if (!rmri_node_paths_want(n, to->bytes + 1, &peer))
        return false;
    rmr_err err = rmr_paths_route(n->paths, now, peer, &r);
    rmri_node_check(n, now, err);
    /* A path that is not trusted alone begins discovery. */
    n->dirty = n->dirty || err != RMR_OK || r.has_derp;
    rmri_node_echo_pump(n);
    if (err != RMR_OK)
        return false;
    out->has_udp = r.has_udp;
    out->udp = r.udp;
    out->socket = r.socket;
    out->has_derp = r.has_derp;
    out->region = r.region;
    memcpy(out->key, to->bytes + 1, RMR_KEY_LEN);
    return true;
}

/* ---- who sent it ------------------------------------------------------- */

static bool path_peer_of_wg(rmr_node *n, rmr_time now, rmr_wg_peer wp,
                            rmr_path_peer *out)
{
    rmr_wg_peer_stats st;
    rmr_nm_node peer;
    return rmr_wg_peer_get_stats(n->wg, now, wp, &st) == RMR_OK &&
           rmr_nm_peer(n->nm, st.user, &peer) &&
           rmri_node_paths_want(n, peer.key, out);
}

void rmri_node_paths_received(rmr_node *n, rmr_time now,
                              const rmr_path_to *from, rmr_path_peer claimed,
                              rmr_wg_peer moved)
{
    rmr_path_peer peer = claimed;
    if (moved.id && !path_peer_of_wg(n, now, moved, &peer))
        return;
    if (!peer.id)
        return;
    rmr_paths_note_received(n->paths, now, peer, from);
    n->dirty = true;
}

/* ---- the netmap's words ------------------------------------------------ */

static void config_of(const rmr_nm_node *v, rmr_path_peer_config *pc)
{
    memset(pc, 0, sizeof *pc);
    pc->struct_size = sizeof *pc;
    memcpy(pc->node_key, v->key, RMR_KEY_LEN);
    memcpy(pc->disco_key, v->disco_key, RMR_KEY_LEN);
    pc->home = v->home_derp;
    pc->wireguard_only = v->wireguard_only;
    pc->expired = v->expired;
    pc->endpoints = v->endpoints;
    pc->n_endpoints = v->n_endpoints;
}

static rmr_err tell_trouble(rmr_node *n, const rmr_nm_node *v, rmr_err err)
{
    if (err != RMR_OK)
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER, "no paths to peer %s: %s",
                 v->name, rmr_err_name(err));
    return err;
}

/* The path layer is told of a peer when something is sent to it or comes from
 * it: a cold one costs what the netmap keeps, and nothing more. */
bool rmri_node_paths_want(rmr_node *n, const uint8_t key[RMR_KEY_LEN],
                          rmr_path_peer *out)
{
    rmr_path_peer_config pc;
    rmr_nm_node v;
    if (n->barred)
        return false;
    if (rmr_paths_find(n->paths, key, out))
        return true;
    if (!n->nm || !rmr_nm_peer_by_key(n->nm, key, &v))
        return false;
    config_of(&v, &pc);
    return tell_trouble(
               n, &v, rmr_paths_peer_add(n->paths, n->now, &pc, out)) == RMR_OK;
}

/* The same for the sender of a disco message, which names its disco key.  That
 * it is the sender is proven when the path layer opens the message. */
void rmri_node_paths_want_sender(rmr_node *n, rmr_bytes datagram)
{
    uint8_t key[RMR_KEY_LEN];
    rmr_path_peer peer;
    rmr_nm_node v;
    if (n->nm && rmr_disco_sender(datagram, key) == RMR_OK &&
        rmr_nm_peer_by_disco(n->nm, key, &v))
        (void)rmri_node_paths_want(n, v.key, &peer);
}

static void peer_gone(rmr_node *n, const uint8_t key[RMR_KEY_LEN])
{
    rmr_path_peer peer;
    if (rmr_paths_find(n->paths, key, &peer))
        rmr_paths_peer_remove(n->paths, n->now, peer);
}

void rmri_node_paths_peer(rmr_node *n, rmr_nm_change change,
                          const rmr_nm_node *v,
                          const uint8_t old_key[RMR_KEY_LEN])
{
    rmr_path_peer_config pc;
    rmr_path_peer peer;
    rmr_path_info info;
    if (old_key && memcmp(old_key, v->key, RMR_KEY_LEN) != 0)
        peer_gone(n, old_key); /* another node key is another peer */
    if (change == RMR_NM_PEER_REMOVED) {
        peer_gone(n, v->key);
        return;
    }
    config_of(v, &pc);
    if (rmr_paths_find(n->paths, v->key, &peer) &&
        rmr_paths_info(n->paths, n->now, peer, &info) == RMR_OK &&
        info.wireguard_only != v->wireguard_only)
        peer_gone(n, v->key); /* never changes in a peer's life */
    if (rmr_paths_find(n->paths, v->key, &peer))
        tell_trouble(
            n, v,
            rmr_paths_peer_set(n->paths, n->now, peer, RMR_PATH_SET_ALL, &pc));
    else if (v->wireguard_only && !n->barred)
        /* Nothing but its address says who it is. */
        tell_trouble(n, v, rmr_paths_peer_add(n->paths, n->now, &pc, &peer));
}

/* Where many nodes are behind one address, one port for all is in the way. */
static void port_attribute(rmr_node *n, rmr_time now)
{
    bool random = rmr_nm_self_has_cap(n->nm, "randomize-client-port");
    if (random == n->random_port)
        return;
    n->random_port = random;
    n->udp[0].last = n->udp[0].bound = 0; /* not the same one again */
    n->udp[1].last = n->udp[1].bound = 0;
    rmri_node_rebind(n, now, "control asks for another port");
}

/* Attributes that control gave this node. */
void rmri_node_paths_attributes(rmr_node *n, rmr_time now)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } attributes[] = {
        {"silent-disco", RMR_PATHS_SILENT_DISCO},
        {"probe-udp-lifetime", RMR_PATHS_PROBE_LIFETIME},
        {"only-tcp-443", RMR_PATHS_NO_UDP},
    };
    uint32_t switches = RMR_PATHS_BIRTHDAY;
    if (!n->nm)
        return; /* a socket was faster than the layers */
    bool probe = rmr_nm_self_has_cap(n->nm, "peer-mtu-enable");
    port_attribute(n, now);
    /* Sized pings say something where nothing is cut. */
    if (probe && n->probe_mtu && rmri_node_udp_is_whole(n))
        switches |= RMR_PATHS_PEER_MTU;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (rmr_nm_self_has_cap(n->nm, attributes[i].name))
            switches |= attributes[i].bit;
    if (n->no_udp)
        switches |= RMR_PATHS_NO_UDP;
    if (switches != n->path_switches) {
        n->path_switches = switches;
        rmr_paths_set_switches(n->paths, now, switches);
    }
    if (probe == n->probe_mtu)
        return;
    n->probe_mtu = probe;
    rmri_node_rebind(n, now, "control changed the probing of path MTUs");
}

/* ---- what the path layer says ------------------------------------------ */

typedef struct way { /* of which packets were lost, maybe */
    const rmr_wg *wg;
    rmr_wg_peer peer;
} way;

/* Subnets behind the peer are told as well: WireGuard knows them. */
static bool is_for(void *user, const rmr_addr *remote)
{
    const way *w = user;
    bool v4 = remote->family == RMR_AF_INET;
    uint8_t header[40] = {0};
    header[0] = v4 ? 0x45 : 0x60;
    header[v4 ? 3 : 5] = v4 ? 20 : 0; /* all of it */
    memcpy(header + (v4 ? 16 : 24), remote->ip, v4 ? 4 : 16);
    rmr_bytes pkt = rmr_bytes_of(header, v4 ? 20 : sizeof header);
    return rmr_wg_route(w->wg, pkt).id == w->peer.id;
}

/* TCP doubles its wait with each repeat on a dead path: it tries again now. */
static void try_again(rmr_node *n, rmr_path_peer peer)
{
    way w = {.wg = n->wg};
    uint8_t key[RMR_KEY_LEN];
    if (!n->ns || !rmr_paths_node_key(n->paths, peer, key))
        return;
    w.peer = rmr_wg_peer_find(n->wg, key);
    if (w.peer.id)
        rmr_ns_path_changed(n->ns, n->now, is_for, &w);
}

static void on_path(void *user, rmr_path_peer peer)
{
    rmr_node *n = user;
    rmr_path_info info;
    char text[RMR_ADDR_TEXT_MAX];
    n->dirty = true;
    try_again(n, peer);
    if (rmr_paths_info(n->paths, n->now, peer, &info) != RMR_OK)
        return;
    if (info.has_best && !info.trusted) {
        rmr_logf(&n->env.log, RMR_LOG_DEBUG, ND_LAYER,
                 "no answer from %s: its relay %u gets all as well",
                 rmr_addr_text(&info.udp, text), info.home);
        /* A router that forgot the path may have forgotten this as well. */
        rmri_node_regions_check(n, n->now);
    } else if (info.has_best)
        rmr_logf(&n->env.log, RMR_LOG_DEBUG, ND_LAYER,
                 "a peer is reached at %s, %lu us away",
                 rmr_addr_text(&info.udp, text),
                 (unsigned long)(info.latency / RMR_US));
    else
        rmr_logf(&n->env.log, RMR_LOG_DEBUG, ND_LAYER,
                 "a peer is reached by its relay %u", info.home);
}

static void on_pong(void *user, rmr_path_peer peer, uint64_t tag,
                    const rmr_path_pong *pong)
{
    rmr_node *n = user;
    (void)peer;
    n->dirty = true;
    rmri_node_local_pong(n, n->now, tag, pong);
    rmri_node_ping_pong(n, n->now, tag, pong);
}

rmr_err rmri_node_paths_new(rmr_node *n, rmr_time now)
{
    rmr_paths_config cfg;
    rmr_path_callbacks cb = {0};
    cb.struct_size = sizeof cb;
    cb.user = n;
    cb.on_path = on_path;
    cb.on_pong = on_pong;
    rmr_paths_config_init(&cfg, sizeof cfg);
    cfg.max_peers = ND_MAX_PEERS;
    if (n->no_udp)
        cfg.switches |= RMR_PATHS_NO_UDP;
    n->path_switches = cfg.switches;
    memcpy(cfg.node_key, n->node_public, RMR_KEY_LEN);
    memcpy(cfg.disco_private, n->disco_private, RMR_KEY_LEN);
    cfg.callbacks = &cb;
    rmr_err err = rmr_paths_new(&n->paths, &n->env, &cfg, now);
    rmr_wipe(cfg.disco_private, sizeof cfg.disco_private);
    return err;
}

/* ---- every turn -------------------------------------------------------- */

static void socket_ops(rmr_node *n, rmr_time now)
{
    rmr_path_socket_op op;
    while (rmr_paths_next_socket_op(n->paths, &op)) {
        if (op.kind == RMR_PATH_SOCKET_CLOSE) {
            rmri_node_udp_extra_close(n, op.socket);
            continue;
        }
        rmr_err err = rmri_node_udp_extra_open(n, op.socket);
        if (err != RMR_OK)
            rmr_paths_socket_opened(n->paths, now, op.socket, err);
    }
}

static bool one_out(rmr_node *n, rmr_time now)
{
    uint8_t buf[RMR_PATHS_MAX_DATAGRAM_MTU];
    rmr_path_to to;
    size_t len = 0;
    rmr_err err = rmr_paths_write_pkt(n->paths, now,
                                      rmr_buf_of(buf, sizeof buf), &len, &to);
    rmri_node_check(n, now, err);
    if (err != RMR_OK || len == 0)
        return false;
    rmr_bytes pkt = rmr_bytes_of(buf, len);
    if (to.udp.family == RMR_AF_NONE)
        rmri_node_regions_send(n, now, to.region, to.key, pkt);
    else if (!rmri_node_udp_send(n, to.socket, &to.udp, pkt, 0))
        rmr_paths_send_failed(n->paths, now, &to, RMR_E_IO);
    return true;
}

void rmri_node_paths_pump(rmr_node *n, rmr_time now)
{
    int i = 0;
    socket_ops(n, now);
    while (i < MAX_PER_PUMP && one_out(n, now))
        i++;
    if (i == MAX_PER_PUMP)
        n->dirty = true;
    if (rmr_paths_wants_endpoints(n->paths))
        rmri_node_netcheck_want(n, now, RMR_NETCHECK_WHY_STALE);
}

void rmri_node_paths_free(rmr_node *n)
{
    rmr_paths_free(n->paths);
    n->paths = NULL;
}
