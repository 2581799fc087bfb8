/* Packets out: stack -> WireGuard -> path, in runs.  Packets of one peer and
 * one size are cut back to back into the scratch of the operation that sends
 * them, and sealed there: nothing is copied, and the host sends the run in one
 * piece.
 *
 * A packet is taken from the stack only when it can go at once, so that TCP
 * waits where it is flow-controlled: while a socket is full none is taken, and
 * a relay that is full holds back those connections alone whose packets go to
 * it (rmr_ns_hold). */
#include "node_internal.h"

#include <string.h>

#define MAX_RUN_PKTS 64
#define MAX_RUN_BYTES ((size_t)65507) /* a UDP datagram's, RFC 768 */
/* Runs taken in one call that make no operation (they went to relays, or were
 * dropped): bounds a turn. */
#define MAX_RUNS 16

_Static_assert(MAX_RUN_BYTES + RMR_WG_OVERHEAD + ND_MTU <= RMR_IO_SCRATCH_MIN,
               "a packet is cut behind the longest run to see whether it fits");

typedef struct nd_run { /* packets of one peer, back to back in scratch */
    rmr_wg_peer peer;
    rmr_wg_out out[MAX_RUN_PKTS];
    size_t n, len, seg_size;
    bool is_full; /* the last one is shorter: nothing may follow */
} nd_run;

/* ---- a run from the stack ---------------------------------------------- */

/* One packet to `at`: what the last run had to leave, else the next of the host
 * with a tunnel interface, else the stack's. */
static size_t take_packet(rmr_node *n, rmr_time now, uint8_t *at)
{
    size_t len = n->left_len;
    if (len) {
        memcpy(at, n->pkt_buf, len);
        n->left_len = 0;
        return len;
    }
    len = rmri_node_packets_take(n, at);
    if (len)
        return len;
    if (n->n_tsmp)
        return rmri_node_tsmp_out(n, at);
    rmr_err err = rmr_ns_write_pkt(n->ns, now, rmr_buf_of(at, ND_MTU), &len);
    rmri_node_check(n, now, err);
    return err == RMR_OK ? len : 0;
}

static bool same_destination(const uint8_t *a, const uint8_t *b)
{
    if (a[0] >> 4 != b[0] >> 4)
        return false;
    return a[0] >> 4 == 4 ? memcmp(a + 16, b + 16, 4) == 0
                          : memcmp(a + 24, b + 24, 16) == 0;
}

/* Of the datagram: WireGuard pads to 16, but not beyond the MTU. */
static size_t sealed_len(size_t len)
{
    size_t padded = (len + 15) & ~(size_t)15;
    return RMR_WG_OVERHEAD + (padded < ND_MTU ? padded : ND_MTU);
}

/* The peer of the packet at r->len; those of a run mostly go to one place. */
static rmr_wg_peer peer_of(rmr_node *n, rmr_time now, const nd_run *r,
                           rmr_buf scratch, size_t len)
{
    const uint8_t *at = scratch.ptr + r->len + RMR_WG_HEADER_LEN;
    if (r->n && same_destination(rmr_pkt_data(&r->out[0].pkt), at))
        return r->peer;
    return rmri_node_peers_route(n, now, rmr_bytes_of(at, len));
}

/* To the host's own subnets, beside an exit node: as a flow of ourselves, that
 * the adapter carries. */
static bool to_lan(rmr_node *n, rmr_time now, rmr_bytes pkt)
{
    rmr_addr to;
    if (!rmri_node_peers_destination(pkt, &to) ||
        !rmri_node_routes_is_lan(n, &to))
        return false;
    rmr_err err = rmr_ns_return_pkt(n->ns, now, pkt);
    rmri_node_check(n, now, err);
    n->dirty = true;
    return true;
}

static void append(nd_run *r, rmr_buf scratch, size_t len)
{
    size_t size = sealed_len(len);
    rmr_wg_out *o = &r->out[r->n++];
    o->peer = r->peer;
    o->pkt = rmr_pkt_of(rmr_buf_of(scratch.ptr + r->len, scratch.len - r->len),
                        RMR_WG_HEADER_LEN);
    rmr_pkt_put(&o->pkt, len);
    r->seg_size = r->n == 1 ? size : r->seg_size;
    r->is_full = size < r->seg_size;
    r->len += size;
}

static bool has_room(const nd_run *r)
{
    return !r->is_full && r->n < MAX_RUN_PKTS &&
           r->len + r->seg_size <= MAX_RUN_BYTES;
}

/* The packet is for the next run. */
static void leave(rmr_node *n, rmr_bytes pkt)
{
    if (!n->pkt_buf)
        n->pkt_buf = rmr_alloc_raw(&n->env.alloc, ND_MTU, 16);
    if (!n->pkt_buf) {
        n->dropped_no_path++;
        return;
    }
    memcpy(n->pkt_buf, pkt.ptr, pkt.len);
    n->left_len = pkt.len;
}

/* Takes packets while they belong together; false: the stack has none. */
static bool collect(rmr_node *n, rmr_time now, rmr_buf scratch, nd_run *r)
{
    r->n = r->len = r->seg_size = 0;
    r->is_full = false;
    for (int dropped = 0; has_room(r) && dropped < MAX_RUN_PKTS;) {
        uint8_t *at = scratch.ptr + r->len + RMR_WG_HEADER_LEN;
        size_t len = take_packet(n, now, at);
        if (len == 0)
            return r->n != 0;
        rmr_wg_peer peer = peer_of(n, now, r, scratch, len);
        if (!peer.id) {
            if (!rmri_node_packets_answer(n, rmr_bytes_of(at, len)) &&
                !to_lan(n, now, rmr_bytes_of(at, len)))
                n->dropped_no_path++;
            dropped++;
            continue;
        }
        if (r->n && (peer.id != r->peer.id || sealed_len(len) > r->seg_size)) {
            leave(n, rmr_bytes_of(at, len));
            break;
        }
        r->peer = peer;
        rmr_filter_note_out(rmr_nm_filter(n->nm), rmr_bytes_of(at, len));
        if (n->captures)
            rmri_node_capture_packet(n, now, rmr_bytes_of(at, len));
        append(r, scratch, len);
    }
    return true;
}

/* Seals what was collected; the number of datagrams.  Those that WireGuard has
 * no key for are staged in it, and come by rmr_wg_write_run. */
static size_t seal(rmr_node *n, rmr_time now, nd_run *r)
{
    size_t sealed = 0;
    rmri_node_check(n, now, rmr_wg_seal_n(n->wg, now, r->out, r->n));
    r->len = 0;
    while (sealed < r->n && r->out[sealed].err == RMR_OK)
        r->len += r->out[sealed++].pkt.len;
    return sealed;
}

/* ---- where it goes ----------------------------------------------------- */

static void send_derp(rmr_node *n, rmr_time now, const nd_route *to,
                      rmr_bytes run, size_t seg_size)
{
    for (size_t at = 0; at < run.len; at += seg_size) {
        size_t len = run.len - at < seg_size ? run.len - at : seg_size;
        if (!rmri_node_regions_send(n, now, to->region, to->key,
                                    rmr_bytes_of(run.ptr + at, len)) &&
            !to->has_udp)
            n->dropped_no_path++;
    }
}

/* By `op`, or by the queue of a socket that can't take it now. */
static void send_udp(rmr_node *n, const nd_route *to, rmr_bytes run,
                     size_t seg_size, rmr_io_op *op)
{
    size_t pkts = (run.len + seg_size - 1) / seg_size;
    uint32_t cut = pkts > 1 ? (uint32_t)seg_size : 0;
    rmr_mc_io *io = rmri_node_udp_ready(n, to->socket, to->udp.family);
    if (!io) {
        if (!rmri_node_udp_send(n, to->socket, &to->udp, run, cut) &&
            !to->has_derp)
            n->dropped_no_path += pkts;
        return;
    }
    op->kind = RMR_IO_UDP_SEND;
    op->id = rmr_mc_io_id(io);
    op->addr = to->udp;
    op->data = run;
    op->seg_size = cut;
    n->tx_udp += pkts;
}

/* While a path is not trusted a copy goes each way.  The relay's region, where
 * it goes by that alone; else 0. */
static uint16_t transmit(rmr_node *n, rmr_time now, const rmr_wg_endpoint *to,
                         rmr_bytes run, size_t seg_size, rmr_io_op *op)
{
    nd_route way;
    if (!rmri_node_path_route(n, now, to, &way)) {
        n->dropped_no_path += (run.len + seg_size - 1) / seg_size;
        return 0;
    }
    if (way.has_derp)
        send_derp(n, now, &way, run, seg_size);
    if (way.has_udp)
        send_udp(n, &way, run, seg_size, op);
    return way.has_udp ? 0 : way.region;
}

/* ---- the turn ---------------------------------------------------------- */

/* Handshakes, keepalives, what was staged; false: there is nothing. */
static bool from_wg(rmr_node *n, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    size_t len = 0, seg_size = 0;
    rmr_wg_pkt_info info;
    rmr_err err = rmr_wg_write_run(n->wg, now, scratch, &len, &seg_size, &info);
    rmri_node_check(n, now, err);
    if (err != RMR_OK || len == 0)
        return false;
    transmit(n, now, &info.to, rmr_bytes_of(scratch.ptr, len), seg_size, op);
    return true;
}

static bool from_stack(rmr_node *n, rmr_time now, rmr_buf scratch,
                       rmr_io_op *op)
{
    nd_run r;
    if (!collect(n, now, scratch, &r))
        return false;
    rmr_netcheck_sched_traffic(&n->sched, now);
    if (r.n == 0 || seal(n, now, &r) == 0)
        return true;
    uint16_t region = transmit(
        n, now, r.out[0].to, rmr_bytes_of(scratch.ptr, r.len), r.seg_size, op);
    /* A packet that was left over is from another connection, maybe. */
    if (region && n->left_len == 0)
        rmri_node_region_hold(n, now, region);
    return true;
}

bool rmri_node_data_next(rmr_node *n, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    if (!n->data_due || !n->wg)
        return false;
    for (int i = 0; i < MAX_RUNS; i++) {
        /* What is staged is older, and a packet of the stack may stage. */
        if (!from_wg(n, now, scratch, op) &&
            (rmri_node_udp_congested(n) || !from_stack(n, now, scratch, op))) {
            n->data_due = false;
            return false;
        }
        if (op->kind != RMR_IO_NONE)
            return true;
    }
    n->dirty = true; /* others first */
    return false;
}
