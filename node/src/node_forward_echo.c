/* ICMP echo of peers to addresses behind us, where the host has sockets for
 * that; elsewhere such a ping is not answered. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <string.h>

enum { REQUEST4 = 8, REPLY4 = 0, REQUEST6 = 128, REPLY6 = 129 };

#define HEADER 8
#define QUEUE ((size_t)1024)
#define ECHOES 64 /* under way */
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

static void failed(void *owner, rmr_time now, rmr_err why)
{
    nd_fwd_echo_sock *s = owner;
    (void)now;
    s->io = NULL;
    s->denied = why == RMR_E_DENIED || why == RMR_E_UNSUPPORTED;
    rmr_ring_wipe(&s->out);
}

/* The host may see replies to others' requests: all must be as we asked. */
static void datagrams(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size)
{
    const nd_fwd_echo_sock *s = owner;
    rmr_node *n = s->n;
    (void)seg_size; /* one at a time */
    if (data.len < HEADER || !n->fwd_echoes ||
        data.ptr[0] != (s->family == RMR_AF_INET6 ? REPLY6 : REPLY4))
        return;
    uint16_t tag = rmr_load_be16(data.ptr + 6);
    nd_fwd_echo *e = &n->fwd_echoes[tag % ECHOES];
    rmr_bytes payload = rmr_bytes_of(data.ptr + HEADER, data.len - HEADER);
    if (!e->open || e->tag != tag || !rmr_addr_ip_eq(&e->target, from) ||
        e->len != payload.len ||
        (e->len && memcmp(e->payload, payload.ptr, e->len) != 0))
        return;
    e->open = false;
    n->dirty = true;
    (void)rmr_ns_echo_reply(n->ns, now, &e->to, &e->from, e->id, e->seq,
                            payload);
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += rmr_load_be16(p + i);
    if (len % 2)
        sum += (uint32_t)p[len - 1] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static bool produce(void *owner, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    nd_fwd_echo_sock *s = owner;
    uint16_t at;
    (void)now;
    if (rmr_ring_read(&s->out, &at, sizeof at) < sizeof at)
        return false;
    const nd_fwd_echo *e = &s->n->fwd_echoes[at];
    size_t len = HEADER + (size_t)e->len;
    memset(scratch.ptr, 0, HEADER);
    scratch.ptr[0] = s->family == RMR_AF_INET6 ? REQUEST6 : REQUEST4;
    rmr_store_be16(scratch.ptr + 6, e->tag);
    memcpy(scratch.ptr + HEADER, e->payload, e->len);
    if (s->family == RMR_AF_INET) /* of IPv6 it is the host's work */
        rmr_store_be16(scratch.ptr + 2, checksum(scratch.ptr, len));
    op->addr = e->target;
    op->addr.port = 0;
    op->data = rmr_bytes_of(scratch.ptr, len);
    return true;
}

static const rmr_mc_io_ops echo_ops = {
    .failed = failed,
    .datagrams = datagrams,
    .produce_udp = produce,
};

/* NULL: the host has none for us, or is short of something. */
static nd_fwd_echo_sock *sock_of(rmr_node *n, uint8_t family)
{
    nd_fwd_echo_sock *s = &n->fwd_echo_socks[family == RMR_AF_INET6];
    rmr_addr any = {0};
    any.family = s->family = family;
    s->n = n;
    if (!s->io && !s->denied) {
        rmr_ring_init(&s->out, &n->env.alloc, QUEUE);
        s->io = rmr_mc_icmp(n->mc, &any, &echo_ops, s);
    }
    return s->io ? s : NULL;
}

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
    nd_fwd_echo_sock *s = sock_of(n, target->family);
    nd_fwd_echo *e = s && payload.len <= ND_MTU - HEADER ? free_place(n) : NULL;
    uint16_t at = e ? (uint16_t)(e->tag % ECHOES) : 0;
    if (!e ||
        rmr_ring_write_all(&s->out, rmr_bytes_of(&at, sizeof at)) != RMR_OK) {
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
    rmr_mc_io_output(s->io);
}

void rmri_node_forward_echo_free(rmr_node *n)
{
    for (size_t i = 0; i < 2; i++)
        rmr_ring_wipe(&n->fwd_echo_socks[i].out);
    rmr_release(&n->env.alloc, n->fwd_echoes, ECHOES * sizeof(nd_fwd_echo));
    n->fwd_echoes = NULL;
}
