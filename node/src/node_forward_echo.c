/* ICMP echo of peers to addresses behind us, where the host has sockets for
 * that; elsewhere such a ping is not answered. */
#include "node_internal.h"

#include <string.h>

#define HEADER 8
#define PLACES 512 /* that wait to be sent */
#define ECHOES 64  /* under way */
#define TIMEOUT (3 * RMR_SEC)

struct nd_fwd_echo {
    rmr_addr from, to, target;
    uint16_t id, seq; /* of the peer */
    uint16_t tag;     /* of ours; its place is tag % ECHOES */
    uint16_t len;
    rmr_time asked_at;
    bool open;
    uint8_t payload[ND_MTU];
};

/* The host may see replies to others' requests: all must be as we asked. */
static void datagrams(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size)
{
    const nd_icmp_sock *s = owner;
    rmr_node *n = s->n;
    uint16_t tag;
    rmr_bytes payload;
    (void)seg_size; /* one at a time */
    if (!n->fwd_echoes ||
        !rmri_node_icmp_reply(s, rmr_bytes_of(data.ptr, data.len), &tag,
                              &payload))
        return;
    nd_fwd_echo *e = &n->fwd_echoes[tag % ECHOES];
    if (!e->open || e->tag != tag || !rmr_addr_ip_eq(&e->target, from) ||
        e->len != payload.len ||
        (e->len && memcmp(e->payload, payload.ptr, e->len) != 0))
        return;
    e->open = false;
    n->dirty = true;
    (void)rmr_ns_echo_reply(n->ns, now, &e->to, &e->from, e->id, e->seq,
                            payload);
}

static bool produce(void *owner, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    nd_icmp_sock *s = owner;
    uint16_t at;
    (void)now;
    if (!rmri_node_icmp_next(s, &at))
        return false;
    const nd_fwd_echo *e = &s->n->fwd_echoes[at];
    op->addr = e->target;
    op->addr.port = 0;
    op->data = rmr_bytes_of(
        scratch.ptr, rmri_node_icmp_request(
                         s, e->tag, rmr_bytes_of(e->payload, e->len), scratch));
    return true;
}

static const rmr_mc_io_ops echo_ops = {
    .failed = rmri_node_icmp_failed,
    .datagrams = datagrams,
    .produce_udp = produce,
};

static nd_fwd_echo *free_place(rmr_node *n)
{
    if (!n->fwd_echoes)
        n->fwd_echoes = rmr_alloc_zero(
            &n->env.alloc, ECHOES * sizeof(nd_fwd_echo), _Alignof(nd_fwd_echo));
    if (!n->fwd_echoes)
        return NULL;
    uint16_t tag = (uint16_t)(n->fwd_echo_tag + 1);
    nd_fwd_echo *e = &n->fwd_echoes[tag % ECHOES];
    if (e->open && rmr_time_since(n->now, e->asked_at) < TIMEOUT)
        return NULL;
    n->fwd_echo_tag = e->tag = tag;
    return e;
}

void rmri_node_forward_echo(rmr_node *n, const rmr_addr *from,
                            const rmr_addr *to, const rmr_addr *target,
                            uint16_t id, uint16_t seq, rmr_bytes payload)
{
    nd_icmp_sock *s = &n->fwd_echo_socks[target->family == RMR_AF_INET6];
    nd_fwd_echo *e =
        rmri_node_icmp_open(n, s, target->family, PLACES, &echo_ops) &&
                payload.len <= ND_MTU - HEADER
            ? free_place(n)
            : NULL;
    if (!e || !rmri_node_icmp_put(s, (uint16_t)(e->tag % ECHOES))) {
        n->routed_dropped++;
        return;
    }
    e->from = *from;
    e->to = *to;
    e->target = *target;
    e->id = id;
    e->seq = seq;
    e->asked_at = n->now;
    e->open = true;
    e->len = (uint16_t)payload.len;
    if (payload.len)
        memcpy(e->payload, payload.ptr, payload.len);
    n->routed_echo++;
}

void rmri_node_forward_echo_free(rmr_node *n)
{
    for (size_t i = 0; i < 2; i++)
        rmr_ring_wipe(&n->fwd_echo_socks[i].out);
    rmr_release(&n->env.alloc, n->fwd_echoes, ECHOES * sizeof(nd_fwd_echo));
    n->fwd_echoes = NULL;
}
