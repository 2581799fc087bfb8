/* ICMP echoes to the endpoints of WireGuard-only peers: the path layer asks for
 * them and chooses the nearest.  Where the host gives no such sockets nothing is
 * sent, and the choice stays random. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <string.h>

enum { REQUEST4 = 8, REPLY4 = 0, REQUEST6 = 128, REPLY6 = 129 };

#define HEADER 8
#define ECHO_LEN (HEADER + ND_ECHO_NONCE)
#define QUEUE ((size_t)8 * 1024)
#define TIMEOUT (5 * RMR_SEC)

static void failed(void *owner, rmr_time now, rmr_err why)
{
    nd_echo_sock *s = owner;
    (void)now;
    s->io = NULL;
    s->denied = why == RMR_E_DENIED || why == RMR_E_UNSUPPORTED;
    rmr_ring_wipe(&s->out);
}

/* Who answers is told by the nonce; the host may see others' replies. */
static nd_echo *find(rmr_node *n, uint8_t family, rmr_bytes reply)
{
    if (reply.len < ECHO_LEN || !n->echoes ||
        reply.ptr[0] != (family == RMR_AF_INET6 ? REPLY6 : REPLY4))
        return NULL;
    nd_echo *e = &n->echoes[rmr_load_be16(reply.ptr + 6) % ND_ECHOES];
    return e->open && e->to.family == family &&
                   memcmp(e->nonce, reply.ptr + HEADER, ND_ECHO_NONCE) == 0
               ? e
               : NULL;
}

static void datagrams(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size)
{
    nd_echo_sock *s = owner;
    (void)seg_size; /* one at a time */
    nd_echo *e = find(s->n, s->family, rmr_bytes_of(data.ptr, data.len));
    if (!e || !rmr_addr_ip_eq(&e->to, from))
        return;
    rmr_dur took = rmr_time_since(now, e->sent_at);
    e->open = false;
    if (took <= TIMEOUT)
        (void)rmr_paths_echo_done(s->n->paths, now, e->peer, &e->to, took);
}

static bool produce(void *owner, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    nd_echo_sock *s = owner;
    uint16_t at;
    if (rmr_ring_read(&s->out, &at, sizeof at) < sizeof at)
        return false;
    nd_echo *e = &s->n->echoes[at];
    memset(scratch.ptr, 0, HEADER);
    scratch.ptr[0] = s->family == RMR_AF_INET6 ? REQUEST6 : REQUEST4;
    rmr_store_be16(scratch.ptr + 6, at);
    memcpy(scratch.ptr + HEADER, e->nonce, ND_ECHO_NONCE);
    if (s->family == RMR_AF_INET) { /* of IPv6 it is the host's work */
        uint32_t sum = 0;
        for (size_t i = 0; i < ECHO_LEN; i += 2)
            sum += rmr_load_be16(scratch.ptr + i);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        rmr_store_be16(scratch.ptr + 2, (uint16_t)~sum);
    }
    e->sent_at = now;
    op->addr = e->to;
    op->addr.port = 0;
    op->data = rmr_bytes_of(scratch.ptr, ECHO_LEN);
    return true;
}

static const rmr_mc_io_ops echo_ops = {
    .failed = failed,
    .datagrams = datagrams,
    .produce_udp = produce,
};

/* NULL: the host has none for us, or is short of something. */
static nd_echo_sock *sock_of(rmr_node *n, uint8_t family)
{
    nd_echo_sock *s = &n->echo_socks[family == RMR_AF_INET6];
    rmr_addr any = {0};
    any.family = s->family = family;
    s->n = n;
    if (!n->echoes)
        n->echoes = rmr_alloc_zero(&n->env.alloc, ND_ECHOES * sizeof(nd_echo),
                                   _Alignof(nd_echo));
    if (n->echoes && !s->io && !s->denied) {
        rmr_ring_init(&s->out, &n->env.alloc, QUEUE);
        s->io = rmr_mc_icmp(n->mc, &any, &echo_ops, s);
    }
    return n->echoes && s->io ? s : NULL;
}

void rmri_node_echo_pump(rmr_node *n)
{
    rmr_path_peer peer;
    rmr_addr to;
    while (rmr_paths_next_echo(n->paths, &peer, &to)) {
        nd_echo_sock *s = sock_of(n, to.family);
        uint16_t at = n->next_echo;
        nd_echo *e = s ? &n->echoes[at] : NULL;
        if (!e ||
            rmr_rng_fill(&n->env.rng, e->nonce, ND_ECHO_NONCE) != RMR_OK ||
            rmr_ring_write_all(&s->out, rmr_bytes_of(&at, sizeof at)) != RMR_OK)
            continue;
        n->next_echo = (uint16_t)((at + 1) % ND_ECHOES);
        e->peer = peer;
        e->to = to;
        e->sent_at = n->now;
        e->open = true;
        rmr_mc_io_output(s->io);
    }
}

void rmri_node_echo_free(rmr_node *n)
{
    rmr_ring_wipe(&n->echo_socks[0].out);
    rmr_ring_wipe(&n->echo_socks[1].out);
    rmr_release(&n->env.alloc, n->echoes, ND_ECHOES * sizeof(nd_echo));
    n->echoes = NULL;
}
