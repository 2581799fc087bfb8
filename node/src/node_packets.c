/* Packets of a host that has a tunnel interface: what peers send to this node
 * goes there instead of into the stack, and what comes from there goes out as
 * the stack's packets do.  The stack keeps what is the node's own: the names
 * under 100.100.100.100. */
#include "node_dns.h"
#include "node_internal.h"

#include <string.h>

#define QUEUE ((size_t)256 * 1024) /* of the host's packets, with lengths */

typedef struct nd_queued { /* in the queue */
    uint16_t len;
    uint8_t pkt[ND_MTU]; /* so many of it */
} nd_queued;

void rmri_node_packets_init(rmr_node *n)
{
    rmr_ring_init(&n->host_pkts, &n->env.alloc, QUEUE);
}

void rmri_node_packets_wipe(rmr_node *n)
{
    rmr_ring_wipe(&n->host_pkts);
}

bool rmri_node_packets_give(rmr_node *n, rmr_bytes pkt)
{
    if (!n->cb.on_packet)
        return false;
    n->host_rx_pkts++;
    n->host_rx_bytes += pkt.len;
    n->cb.on_packet(n->cb.user, pkt);
    return true;
}

static bool is_own(const rmr_node *n, const uint8_t *ip, size_t len)
{
    for (size_t i = 0; i < n->n_ips; i++)
        if (rmr_addr_ip_len(&n->ips[i]) == len &&
            memcmp(n->ips[i].ip, ip, len) == 0)
            return true;
    return false;
}

bool rmri_node_packets_answer(rmr_node *n, rmr_bytes pkt)
{
    bool is_six = pkt.ptr[0] >> 4 == 6;
    return n->cb.on_packet &&
           is_own(n, pkt.ptr + (is_six ? 24 : 16), is_six ? 16 : 4) &&
           rmri_node_packets_give(n, pkt);
}

size_t rmri_node_packets_take(rmr_node *n, uint8_t *at)
{
    uint16_t len = 0;
    if (rmr_ring_read(&n->host_pkts, &len, sizeof len) != sizeof len)
        return 0;
    n->host_tx_pkts++;
    n->host_tx_bytes += len;
    return rmr_ring_read(&n->host_pkts, at, len);
}

/* A whole packet whose source is ours. */
static rmr_err check(const rmr_node *n, rmr_bytes pkt)
{
    size_t len = 0;
    if (pkt.len > ND_MTU)
        return RMR_E_TOOBIG;
    uint8_t version = pkt.len ? pkt.ptr[0] >> 4 : 0;
    if (version == 4 && pkt.len >= 20)
        len = (size_t)pkt.ptr[2] << 8 | pkt.ptr[3];
    else if (version == 6 && pkt.len >= 40)
        len = 40 + ((size_t)pkt.ptr[4] << 8 | pkt.ptr[5]);
    if (len == 0 || len != pkt.len)
        return RMR_E_MALFORMED;
    bool is_six = version == 6;
    return is_own(n, pkt.ptr + (is_six ? 8 : 12), is_six ? 16 : 4)
               ? RMR_OK
               : RMR_E_DENIED;
}

rmr_err rmr_node_send_packet(rmr_node *n, rmr_time now, rmr_bytes pkt)
{
    nd_queued q;
    if (!n->cb.on_packet)
        return RMR_E_STATE;
    if (!n->ns || n->n_ips == 0)
        return RMR_E_NOTREADY;
    rmr_err err = check(n, pkt);
    if (err != RMR_OK)
        return err;
    n->now = now > n->now ? now : n->now;
    n->dirty = true;
    if (rmri_node_dns_is_for_quad(pkt)) {
        return rmr_ns_read_pkt(n->ns, n->now, pkt);
    }
    q.len = (uint16_t)pkt.len;
    memcpy(q.pkt, pkt.ptr, pkt.len);
    err = rmr_ring_write_all(&n->host_pkts,
                             rmr_bytes_of(&q, sizeof q.len + pkt.len));
    n->dropped_host += err != RMR_OK;
    return err;
}
