/* Packets in: paths -> WireGuard -> filter -> stack, a run at a time; and the
 * two layers' beginning and end.  Packets out: node_out.c. */
#include "node_internal.h"

#include <string.h>

#define MAX_WG_PEERS 16384
#define MAX_UDP_FLOWS 1024 /* a socket of the host each */
#define MAX_BATCH 64       /* datagrams opened together */

static bool is_jailed(rmr_node *n, rmr_wg_peer peer)
{
    rmr_wg_peer_stats st;
    rmr_nm_node view;
    if (n->keys.prefs.shields_up)
        return true;
    if (!n->has_jailed)
        return false;
    /* A peer that the netmap has no more gets no rule's favour. */
    return rmr_wg_peer_get_stats(n->wg, n->now, peer, &st) != RMR_OK ||
           !rmr_nm_peer(n->nm, st.user, &view) || view.jailed;
}

static void on_packet(void *user, rmr_wg_peer peer, rmr_buf ip_packet)
{
    rmr_node *n = user;
    rmr_bytes pkt = rmr_bytes_of(ip_packet.ptr, ip_packet.len);
    if (n->captures)
        rmri_node_capture_packet(n, n->now, pkt);
    bool jailed = is_jailed(n, peer);
    bool to_us = !jailed && rmri_node_peerapi_is_for(n, pkt);
    if (rmri_node_dns_is_for_quad(pkt) ||
        (!to_us && !rmr_filter_check_in(rmr_nm_filter(n->nm), pkt, jailed))) {
        n->dropped_filter++;
        return;
    }
    if (!rmri_node_routes_source(n, peer, pkt)) {
        n->dropped_source++;
        return;
    }
    if (rmri_node_tsmp_is(pkt)) {
        rmri_node_tsmp_in(n, n->now, pkt);
        return;
    }
    rmr_netcheck_sched_traffic(&n->sched, n->now);
    if (to_us || !rmri_node_packets_give(n, pkt))
        rmr_ns_read_pkt(n->ns, n->now, pkt);
}

/* A run of WireGuard's datagrams from one place: opened where they lie. */
typedef struct nd_batch {
    const rmr_path_to *from;
    rmr_path_peer claimed; /* whose the place is known to be; id 0: nobody's */
    rmr_wg_endpoint token;
    rmr_wg_in in[MAX_BATCH];
    size_t n;
} nd_batch;

static void on_endpoint(void *user, rmr_wg_peer peer,
                        const rmr_wg_endpoint *seen_at)
{
    rmr_node *n = user;
    (void)seen_at;
    n->rx_moved = peer;
}

/* Is one of them authentic, whatever was inside? */
static bool is_proven(const rmr_wg_in *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (in[i].err == RMR_OK || in[i].err == RMR_E_DENIED)
            return true;
    return false;
}

static void open_batch(rmr_node *n, rmr_time now, nd_batch *b)
{
    if (b->n == 0)
        return;
    n->rx_moved.id = 0;
    rmri_node_check(n, now, rmr_wg_read_pkts(n->wg, now, b->in, b->n));
    if (is_proven(b->in, b->n))
        rmri_node_paths_received(n, now, b->from, b->claimed, n->rx_moved);
    b->n = 0;
}

static void append(rmr_node *n, rmr_time now, nd_batch *b, rmr_buf data)
{
    if (b->n == MAX_BATCH)
        open_batch(n, now, b);
    b->in[b->n++] = (rmr_wg_in){.from = &b->token, .datagram = data};
}

void rmri_node_data_derp_begin(rmr_node *n)
{
    n->rx_sender.peer.id = 0;
}

/* NULL: a stranger.  A record of TLS mostly has packets of one sender. */
static nd_sender *sender_of(rmr_node *n, rmr_time now, uint16_t region,
                            const uint8_t src[RMR_KEY_LEN])
{
    nd_sender *s = &n->rx_sender;
    if (s->peer.id && memcmp(s->key, src, RMR_KEY_LEN) == 0)
        return s;
    s->peer.id = 0;
    if (!rmri_node_paths_want(n, src, &s->peer))
        return NULL;
    memcpy(s->key, src, RMR_KEY_LEN);
    s->token = rmri_node_endpoint_peer(src);
    s->is_heard = false;
    rmr_paths_note_derp_source(n->paths, now, src, region);
    return s;
}

/* What comes by a relay has no place of its own to be learnt: that the peer
 * was heard is told once a read, that another one sent it each time. */
static void open_from(rmr_node *n, rmr_time now, nd_sender *s,
                      const rmr_path_to *from, rmr_buf datagram)
{
    rmr_wg_in in = {.from = &s->token, .datagram = datagram};
    n->rx_moved.id = 0;
    rmri_node_check(n, now, rmr_wg_read_pkts(n->wg, now, &in, 1));
    if (!is_proven(&in, 1) || (s->is_heard && !n->rx_moved.id))
        return;
    s->is_heard = !n->rx_moved.id;
    rmri_node_paths_received(n, now, from, s->peer, n->rx_moved);
}

void rmri_node_data_from_derp(rmr_node *n, rmr_time now, uint16_t region,
                              const uint8_t src[RMR_KEY_LEN], rmr_buf data)
{
    rmr_bytes in = rmr_bytes_of(data.ptr, data.len);
    rmr_path_to from = {0};
    nd_sender *s = sender_of(n, now, region, src);
    n->dirty = true;
    if (!s) {
        n->dropped_stranger++;
        return;
    }
    from.region = region;
    memcpy(from.key, src, RMR_KEY_LEN);
    switch (rmr_disco_split(in, true).cls) {
    case RMR_DATAGRAM_DISCO:
        rmri_node_check(n, now, rmr_paths_read(n->paths, now, &from, data));
        break;
    case RMR_DATAGRAM_WIREGUARD:
        open_from(n, now, s, &from, data);
        break;
    default:
        break;
    }
}

static void udp_one(rmr_node *n, rmr_time now, nd_batch *b, rmr_buf data)
{
    rmr_bytes in = rmr_bytes_of(data.ptr, data.len);
    n->rx_udp++;
    switch (rmr_disco_classify(in)) {
    case RMR_DATAGRAM_STUN:
        rmr_netcheck_read_pkt(n->netcheck, now, in);
        break;
    case RMR_DATAGRAM_DISCO:
        rmri_node_paths_want_sender(n, in);
        rmri_node_check(n, now, rmr_paths_read(n->paths, now, b->from, data));
        break;
    case RMR_DATAGRAM_WIREGUARD:
        append(n, now, b, data);
        break;
    default:
        break;
    }
}

void rmri_node_data_from_udp(rmr_node *n, rmr_time now, uint16_t socket,
                             const rmr_addr *from, rmr_buf data,
                             uint32_t seg_size)
{
    size_t step = seg_size ? seg_size : data.len;
    rmr_path_to at = {0};
    uint8_t key[RMR_KEY_LEN];
    nd_batch b;
    at.udp = *from;
    at.socket = socket;
    b.n = 0;
    b.from = &at;
    b.claimed.id = 0;
    /* A hint, which WireGuard proves or refutes. */
    bool known = rmr_paths_source(n->paths, from, &b.claimed) &&
                 rmr_paths_node_key(n->paths, b.claimed, key);
    b.token =
        known ? rmri_node_endpoint_peer(key) : rmri_node_endpoint_udp(&at);
    n->dirty = true;
    for (size_t off = 0; off < data.len; off += step) {
        size_t len = data.len - off < step ? data.len - off : step;
        udp_one(n, now, &b, rmr_buf_of(data.ptr + off, len));
    }
    open_batch(n, now, &b);
}

/* ---- the layers -------------------------------------------------------- */

rmr_err rmri_node_data_start(rmr_node *n, rmr_time now)
{
    rmr_wg_config wc;
    rmr_wg_callbacks wcb = {0};
    rmr_ns_config nc;
    rmr_ns_callbacks ncb = {0};
    rmri_node_packets_init(n);
    rmr_ring_init(&n->expired, &n->env.alloc,
                  MAX_WG_PEERS * sizeof(rmr_wg_peer));
    wcb.struct_size = sizeof wcb;
    wcb.user = n;
    wcb.on_packet = on_packet;
    wcb.on_endpoint = on_endpoint;
    rmri_node_peers_wg_callbacks(&wcb);
    rmr_wg_config_init(&wc, sizeof wc);
    wc.max_peers = MAX_WG_PEERS;
    wc.mtu = ND_MTU;
    memcpy(wc.private_key, n->node_private, RMR_KEY_LEN);
    wc.wall_unix_ns = rmr_mc_wall(n->mc, now);
    wc.wall_floor_unix_ns = n->keys.wg_floor_unix_ns;
    wc.aead = n->aead;
    wc.callbacks = &wcb;
    rmr_err err = rmr_wg_new(&n->wg, &n->env, &wc, now);
    rmr_wipe(wc.private_key, sizeof wc.private_key);
    if (err != RMR_OK)
        return err;
    ncb.struct_size = sizeof ncb;
    rmri_node_conn_ns_callbacks(&ncb, n);
    rmri_node_forward_ns_callbacks(&ncb);
    rmr_ns_config_init(&nc, sizeof nc);
    nc.mtu = ND_MTU;
    nc.tcp_recv_max = nc.tcp_send_max = n->tcp_buffer;
    nc.no_nagle = true;
    /* The filter decides what comes in for others' addresses. */
    nc.forward = true;
    nc.max_udp_flows = MAX_UDP_FLOWS;
    nc.callbacks = &ncb;
    err = rmr_ns_new(&n->ns, &n->env, &nc, now);
    if (err != RMR_OK)
        return err;
    rmri_node_udp_open(n);
    return RMR_OK;
}

void rmri_node_data_free(rmr_node *n)
{
    rmr_ns_free(n->ns);
    rmr_wg_free(n->wg);
    n->ns = NULL;
    n->wg = NULL;
    rmr_ring_wipe(&n->expired);
    rmri_node_packets_wipe(n);
    rmr_release(&n->env.alloc, n->pkt_buf, ND_MTU);
    n->pkt_buf = NULL;
}
