/* Packets: stack -> WireGuard -> path, and back.  Also the node's UDP sockets,
 * on which disco and WireGuard share a port. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <string.h>

#define MAX_WG_PEERS 16384
#define UDP_QUEUE ((size_t)256 * 1024)
#define PKT_BUF (RMR_PKT_HEADROOM + ND_MTU + RMR_PKT_TAILROOM)
/* Packets taken from the stack in one pump: bounds a turn. */
#define MAX_PER_PUMP 512

/* ---- out --------------------------------------------------------------- */

typedef struct udp_record { /* before each datagram in udp_out */
    rmr_addr to;
    uint32_t len;
} udp_record;

bool rmri_node_data_send_udp(rmr_node *n, const rmr_addr *to, rmr_bytes data)
{
    udp_record rec = {*to, (uint32_t)data.len};
    rmr_mc_io *io = n->udp[to->family == RMR_AF_INET6];
    if (!io || rmr_ring_space(&n->udp_out) < sizeof rec + data.len ||
        rmr_ring_write_all(&n->udp_out, rmr_bytes_of(&rec, sizeof rec)) !=
            RMR_OK)
        return false;
    if (rmr_ring_write_all(&n->udp_out, data) != RMR_OK) {
        /* A record without its bytes would spoil all that follow. */
        rmr_ring_wipe(&n->udp_out);
        return false;
    }
    rmr_mc_io_output(io);
    return true;
}

/* false: it is none of UDP */
static bool udp_of(const rmr_wg_endpoint *e, rmr_addr *to)
{
    size_t ip_len = e->bytes[0] == '6' ? 16 : 4;
    if ((e->bytes[0] != '4' && e->bytes[0] != '6') || e->len != 1 + ip_len + 2)
        return false;
    *to = rmr_addr_from_bytes(rmr_bytes_of(e->bytes + 1, ip_len),
                              rmr_load_be16(e->bytes + 1 + ip_len));
    return true;
}

static void transmit(rmr_node *n, rmr_time now, const rmr_wg_endpoint *to,
                     rmr_bytes datagram)
{
    rmr_addr addr;
    bool sent = false;
    if (to->len == 3 + RMR_KEY_LEN && to->bytes[0] == 'D') {
        uint16_t region = rmr_load_be16(to->bytes + 1);
        sent = rmri_node_regions_send(n, now, region, to->bytes + 3, datagram);
    } else if (udp_of(to, &addr)) {
        /* A peer that came by UDP, and proved who it is, is answered so. */
        sent = rmri_node_data_send_udp(n, &addr, datagram);
    }
    if (!sent)
        n->dropped_no_path++;
}

static bool from_stack(rmr_node *n, rmr_time now)
{
    rmr_pkt pkt = rmr_pkt_of(rmr_buf_of(n->pkt_buf, PKT_BUF), RMR_PKT_HEADROOM);
    size_t len = 0;
    rmr_err err = rmr_ns_write_pkt(
        n->ns, now, rmr_buf_of(rmr_pkt_data(&pkt), ND_MTU), &len);
    rmri_node_check(n, now, err);
    if (err != RMR_OK || len == 0)
        return false;
    rmr_pkt_put(&pkt, len);
    rmr_wg_endpoint to;
    rmr_wg_peer peer = rmri_node_peers_route(n, now, rmr_pkt_bytes(&pkt));
    if (!peer.id) {
        n->dropped_no_path++;
        return true;
    }
    rmr_filter_note_out(rmr_nm_filter(n->nm), rmr_pkt_bytes(&pkt));
    err = rmr_wg_seal(n->wg, now, peer, &pkt, &to);
    rmri_node_check(n, now, err);
    if (err == RMR_OK)
        transmit(n, now, &to, rmr_pkt_bytes(&pkt));
    return true; /* NOTREADY: staged, comes by write_pkt */
}

static bool from_wg(rmr_node *n, rmr_time now)
{
    size_t len = 0;
    rmr_wg_pkt_info info;
    rmr_err err = rmr_wg_write_pkt(n->wg, now, rmr_buf_of(n->pkt_buf, PKT_BUF),
                                   &len, &info);
    rmri_node_check(n, now, err);
    if (err != RMR_OK || len == 0)
        return false;
    transmit(n, now, &info.to, rmr_bytes_of(n->pkt_buf, len));
    return true;
}

void rmri_node_data_pump(rmr_node *n, rmr_time now)
{
    for (int i = 0; i < MAX_PER_PUMP && from_wg(n, now); i++)
        ;
    rmri_node_peers_forget_expired(n, now);
    for (int i = 0; i < MAX_PER_PUMP; i++) {
        /* TCP waits in the stack, where it is flow-controlled, rather than be
         * dropped in a relay's queue. */
        if (rmri_node_regions_congested(n, now))
            return;
        if (!from_stack(n, now))
            break;
        if (i == MAX_PER_PUMP - 1)
            n->dirty = true;
    }
    for (int i = 0; i < MAX_PER_PUMP && from_wg(n, now); i++)
        ;
}

/* ---- in ---------------------------------------------------------------- */

static bool is_jailed(rmr_node *n, rmr_wg_peer peer)
{
    rmr_wg_peer_stats st;
    rmr_nm_node view;
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
    if (!rmr_filter_check_in(rmr_nm_filter(n->nm), pkt, is_jailed(n, peer))) {
        n->dropped_filter++;
        return;
    }
    rmr_ns_read_pkt(n->ns, n->now, pkt);
}

void rmri_node_data_from_derp(rmr_node *n, rmr_time now, uint16_t region,
                              const uint8_t src[RMR_KEY_LEN], rmr_buf data)
{
    rmr_bytes in = rmr_bytes_of(data.ptr, data.len);
    n->dirty = true;
    switch (rmr_disco_classify(in)) {
    case RMR_DATAGRAM_DISCO:
        rmri_node_disco_from_derp(n, now, region, src, in);
        break;
    case RMR_DATAGRAM_WIREGUARD: {
        rmr_wg_endpoint from = rmri_node_endpoint_derp(region, src);
        rmr_wg_read_pkt(n->wg, now, &from, data);
        break;
    }
    default:
        break;
    }
}

static rmr_wg_endpoint endpoint_udp(const rmr_addr *a)
{
    rmr_wg_endpoint e = {0};
    size_t ip_len = rmr_addr_ip_len(a);
    e.bytes[0] = a->family == RMR_AF_INET6 ? '6' : '4';
    memcpy(e.bytes + 1, a->ip, ip_len);
    rmr_store_be16(e.bytes + 1 + ip_len, a->port);
    e.len = (uint8_t)(1 + ip_len + 2);
    /* An IPv6 sender has a /64 of addresses. */
    e.bucket_len = (uint8_t)(1 + (ip_len == 16 ? 8 : ip_len));
    return e;
}

static void udp_one(rmr_node *n, rmr_time now, const rmr_addr *from,
                    rmr_buf data)
{
    rmr_bytes in = rmr_bytes_of(data.ptr, data.len);
    n->rx_udp++;
    switch (rmr_disco_classify(in)) {
    case RMR_DATAGRAM_DISCO:
        rmri_node_disco_from_udp(n, now, from, in);
        break;
    case RMR_DATAGRAM_WIREGUARD: {
        rmr_wg_endpoint ep = endpoint_udp(from);
        rmr_wg_read_pkt(n->wg, now, &ep, data);
        break;
    }
    default:
        break;
    }
}

static void udp_datagrams(void *owner, rmr_time now, const rmr_addr *from,
                          rmr_buf data, uint32_t seg_size)
{
    rmr_node *n = owner;
    size_t step = seg_size ? seg_size : data.len;
    n->dirty = true;
    for (size_t at = 0; at < data.len; at += step) {
        size_t len = data.len - at < step ? data.len - at : step;
        udp_one(n, now, from, rmr_buf_of(data.ptr + at, len));
    }
}

static bool udp_produce(void *owner, rmr_time now, rmr_buf scratch,
                        rmr_io_op *op)
{
    rmr_node *n = owner;
    udp_record rec;
    (void)now;
    rmr_mc_io *io = NULL;
    do { /* those whose socket went away meanwhile are dropped */
        if (n->udp_out.len < sizeof rec)
            return false;
        rmr_ring_read(&n->udp_out, &rec, sizeof rec);
        rmr_ring_read(&n->udp_out, scratch.ptr, rec.len);
        io = n->udp[rec.to.family == RMR_AF_INET6];
    } while (!io || !rmr_mc_io_is_open(io));
    op->addr = rec.to;
    op->id = rmr_mc_io_id(io);
    op->data = rmr_bytes_of(scratch.ptr, rec.len);
    n->tx_udp++;
    return true;
}

/* ---- sockets ----------------------------------------------------------- */

static void open_udp(rmr_node *n, uint8_t family, uint16_t port);

static void udp_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    rmr_node *n = owner;
    (void)now;
    if (n->udp_bound == 0)
        n->udp_bound = local->port;
}

static void udp_failed_of(rmr_node *n, uint8_t family, rmr_err why)
{
    rmr_mc_io **slot = &n->udp[family == RMR_AF_INET6];
    *slot = NULL;
    bool first_try = !n->udp_any[family == RMR_AF_INET6];
    n->udp_any[family == RMR_AF_INET6] = true;
    if (first_try && why == RMR_E_INUSE)
        open_udp(n, family, 0);
    else if (family == RMR_AF_INET)
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "no UDP socket (%s): relays alone carry the traffic",
                 rmr_err_name(why));
}

static void udp4_failed(void *owner, rmr_time now, rmr_err why)
{
    (void)now;
    udp_failed_of(owner, RMR_AF_INET, why);
}

static void udp6_failed(void *owner, rmr_time now, rmr_err why)
{
    (void)now;
    udp_failed_of(owner, RMR_AF_INET6, why);
}

static const rmr_mc_io_ops udp4_ops = {
    .opened = udp_opened,
    .failed = udp4_failed,
    .datagrams = udp_datagrams,
    .produce_udp = udp_produce,
};

static const rmr_mc_io_ops udp6_ops = {
    .failed = udp6_failed,
    .datagrams = udp_datagrams,
    .produce_udp = udp_produce,
};

static void open_udp(rmr_node *n, uint8_t family, uint16_t port)
{
    bool six = family == RMR_AF_INET6;
    rmr_addr any = {0};
    any.family = family;
    any.port = port;
    n->udp[six] = rmr_mc_udp(n->mc, &any, six ? &udp6_ops : &udp4_ops, n);
}

rmr_err rmri_node_data_start(rmr_node *n, rmr_time now)
{
    rmr_wg_config wc;
    rmr_wg_callbacks wcb = {0};
    rmr_ns_config nc;
    rmr_ns_callbacks ncb = {0};
    n->pkt_buf = rmr_alloc_zero(&n->env.alloc, PKT_BUF, 16);
    if (!n->pkt_buf)
        return RMR_E_NOMEM;
    rmr_ring_init(&n->udp_out, &n->env.alloc, UDP_QUEUE);
    rmr_ring_init(&n->expired, &n->env.alloc,
                  MAX_WG_PEERS * sizeof(rmr_wg_peer));
    wcb.struct_size = sizeof wcb;
    wcb.user = n;
    wcb.on_packet = on_packet;
    rmri_node_peers_wg_callbacks(&wcb);
    rmr_wg_config_init(&wc, sizeof wc);
    wc.max_peers = MAX_WG_PEERS;
    wc.mtu = ND_MTU;
    memcpy(wc.private_key, n->keys.node, RMR_KEY_LEN);
    wc.wall_unix_ns = rmr_mc_wall(n->mc, now);
    wc.wall_floor_unix_ns = n->keys.wg_floor_unix_ns;
    wc.callbacks = &wcb;
    rmr_err err = rmr_wg_new(&n->wg, &n->env, &wc, now);
    rmr_wipe(wc.private_key, sizeof wc.private_key);
    if (err != RMR_OK)
        return err;
    ncb.struct_size = sizeof ncb;
    rmri_node_conn_ns_callbacks(&ncb, n);
    rmr_ns_config_init(&nc, sizeof nc);
    nc.mtu = ND_MTU;
    nc.tcp_recv_max = nc.tcp_send_max = n->tcp_buffer;
    nc.no_nagle = true;
    nc.callbacks = &ncb;
    err = rmr_ns_new(&n->ns, &n->env, &nc, now);
    if (err != RMR_OK)
        return err;
    open_udp(n, RMR_AF_INET, n->udp_port);
    open_udp(n, RMR_AF_INET6, n->udp_port);
    return RMR_OK;
}

void rmri_node_data_free(rmr_node *n)
{
    rmr_ns_free(n->ns);
    rmr_wg_free(n->wg);
    n->ns = NULL;
    n->wg = NULL;
    rmr_ring_wipe(&n->udp_out);
    rmr_ring_wipe(&n->expired);
    rmr_release(&n->env.alloc, n->pkt_buf, PKT_BUF);
    n->pkt_buf = NULL;
}
