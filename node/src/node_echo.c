/* ICMP echoes to the endpoints of WireGuard-only peers: the path layer asks for
 * them and chooses the nearest.  Where the host gives no such sockets nothing is
 * sent, and the choice stays random. */
#include "node_internal.h"

#include <string.h>

#define PLACES 4096 /* that wait to be sent */
#define TIMEOUT (5 * RMR_SEC)

/* Who answers is told by the nonce; the host may see others' replies. */
static nd_echo *find(const nd_icmp_sock *s, rmr_bytes reply)
{
    uint16_t at;
    rmr_bytes payload;
    if (!s->n->echoes || !rmri_node_icmp_reply(s, reply, &at, &payload) ||
        payload.len < ND_ECHO_NONCE)
        return NULL;
    nd_echo *e = &s->n->echoes[at % ND_ECHOES];
    return e->open && e->to.family == s->family &&
                   memcmp(e->nonce, payload.ptr, ND_ECHO_NONCE) == 0
               ? e
               : NULL;
}

static void datagrams(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size)
{
    nd_icmp_sock *s = owner;
    (void)seg_size; /* one at a time */
    nd_echo *e = find(s, rmr_bytes_of(data.ptr, data.len));
    if (!e || !rmr_addr_ip_eq(&e->to, from))
        return;
    rmr_dur took = rmr_time_since(now, e->sent_at);
    e->open = false;
    if (took <= TIMEOUT)
        (void)rmr_paths_echo_done(s->n->paths, now, e->peer, &e->to, took);
}

static bool produce(void *owner, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    nd_icmp_sock *s = owner;
    uint16_t at;
    if (!rmri_node_icmp_next(s, &at))
        return false;
    nd_echo *e = &s->n->echoes[at];
    e->sent_at = now;
    op->addr = e->to;
    op->addr.port = 0;
    op->data = rmr_bytes_of(
        scratch.ptr,
        rmri_node_icmp_request(s, at, rmr_bytes_of(e->nonce, ND_ECHO_NONCE),
                               scratch));
    return true;
}

static const rmr_mc_io_ops echo_ops = {
    .failed = rmri_node_icmp_failed,
    .datagrams = datagrams,
    .produce_udp = produce,
};

static bool has_room(rmr_node *n)
{
    if (!n->echoes)
        n->echoes = rmr_alloc_zero(&n->env.alloc, ND_ECHOES * sizeof(nd_echo),
                                   _Alignof(nd_echo));
    return n->echoes != NULL;
}

void rmri_node_echo_pump(rmr_node *n)
{
    rmr_path_peer peer;
    rmr_addr to;
    while (rmr_paths_next_echo(n->paths, &peer, &to)) {
        nd_icmp_sock *s = &n->echo_socks[to.family == RMR_AF_INET6];
        uint16_t at = n->next_echo;
        nd_echo *e = has_room(n) ? &n->echoes[at] : NULL;
        if (!e || !rmri_node_icmp_open(n, s, to.family, PLACES, &echo_ops) ||
            rmr_rng_fill(&n->env.rng, e->nonce, ND_ECHO_NONCE) != RMR_OK ||
            !rmri_node_icmp_put(s, at))
            continue;
        n->next_echo = (uint16_t)((at + 1) % ND_ECHOES);
        e->peer = peer;
        e->to = to;
        e->sent_at = n->now;
        e->open = true;
    }
}

void rmri_node_echo_free(rmr_node *n)
{
    rmr_ring_wipe(&n->echo_socks[0].out);
    rmr_ring_wipe(&n->echo_socks[1].out);
    rmr_release(&n->env.alloc, n->echoes, ND_ECHOES * sizeof(nd_echo));
    n->echoes = NULL;
}
