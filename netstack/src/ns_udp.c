/* UDP in (RFC 768, RFC 8200 8.1), and the life of its sockets.  A datagram is
 * for the socket that is connected with its sender, else for that of its
 * address and port, else for that of the port, else a flow. */
#include "ns_internal.h"

#define UDP_HEADER 8u

/* ---- the table of datagram sockets ------------------------------------ */

void *rmri_ns_dgram_get(const rmr_ns *ns, uint64_t id)
{
    if (!(id & NS_DGRAM_BIT))
        return NULL;
    return rmr_slots_get(&ns->dgrams, id & ~(uint64_t)NS_DGRAM_BIT);
}

ns_udp *rmri_ns_udp_get(const rmr_ns *ns, uint64_t id)
{
    ns_head *h = rmri_ns_dgram_get(ns, id);
    if (!h || h->kind != NS_KIND_UDP)
        return NULL;
    ns_udp *u = (ns_udp *)(void *)h;
    return u->dead ? NULL : u;
}

void *rmri_ns_dgram_new(rmr_ns *ns, ns_kind kind)
{
    uint64_t id;
    ns_head *h = rmr_slots_new(&ns->dgrams, &id);
    if (h) {
        h->id = id | NS_DGRAM_BIT;
        h->kind = (uint8_t)kind;
    }
    return h;
}

void rmri_ns_dgram_free(rmr_ns *ns, ns_head *h)
{
    rmr_slots_free(&ns->dgrams, h->id & ~(uint64_t)NS_DGRAM_BIT);
}

bool rmri_ns_dgram_set_tag(rmr_ns *ns, rmr_ns_sock s, void *tag)
{
    ns_head *h = rmri_ns_dgram_get(ns, s.id);
    if (!h)
        return false;
    if (h->kind == NS_KIND_UDP)
        ((ns_udp *)(void *)h)->tag = tag;
    else
        ((ns_raw *)(void *)h)->tag = tag;
    return true;
}

/* Its on_closed is still owed: nothing but that is left of it. */
static void forget_dead(rmr_ns *ns, ns_udp *u)
{
    ns_list_unlink(&u->ev);
    ns->n_dying--;
    rmri_ns_dgram_free(ns, &u->head);
}

bool rmri_ns_dgram_close(rmr_ns *ns, rmr_ns_sock s, bool abort)
{
    ns_head *h = rmri_ns_dgram_get(ns, s.id);
    ns_udp *u = rmri_ns_udp_get(ns, s.id);
    if (u && u->source && abort)
        rmri_ns_session_refuse(ns, u);
    if (u)
        rmri_ns_udp_close(ns, u);
    else if (h && h->kind == NS_KIND_UDP)
        forget_dead(ns, (ns_udp *)(void *)h);
    else if (h && h->kind == NS_KIND_RAW)
        rmri_ns_raw_close(ns, (ns_raw *)(void *)h);
    else
        return false;
    return true;
}

static ns_bind bind_of(const ns_udp *u)
{
    ns_bind b = {u->tuple.local, u->tuple.lport, u->tuple.family, NS_PROTO_UDP};
    return b;
}

void rmri_ns_udp_close(rmr_ns *ns, ns_udp *u)
{
    ns_bind b = bind_of(u);
    if (u->connected)
        rmri_ns_del_flow(ns, &u->tuple);
    else
        (void)rmr_hash_del(&ns->binds, &b, sizeof b);
    rmri_ns_session_unlink(ns, u);
    ns_list_unlink(&u->ev);
    rmri_ns_dgram_free(ns, &u->head);
}

/* ---- in --------------------------------------------------------------- */

void rmri_ns_udp_tell(rmr_ns *ns, const ns_udp *u, const ns_pkt *p,
                      rmr_bytes data)
{
    rmr_ns_sock s = {u->head.id};
    if (!ns->cb.on_datagram)
        return;
    rmr_addr from = rmri_ns_addr_of(p->family, &p->src, rmr_load_be16(p->l4));
    rmr_addr to = rmri_ns_addr_of(p->family, &p->dst, rmr_load_be16(p->l4 + 2));
    ns->dgram_tos = p->tos;
    ns->in_callback = true;
    ns->cb.on_datagram(ns->cb.user, u->tag, s, &from, &to, data);
    ns->in_callback = false;
    ns->dgram_tos = 0;
}

uint8_t rmr_ns_datagram_tos(const rmr_ns *ns)
{
    return ns->dgram_tos;
}

/* Length and sum; 0: dropped. */
static size_t check(rmr_ns *ns, const ns_pkt *p)
{
    const uint8_t *h = p->l4;
    size_t len = p->l4_len < UDP_HEADER ? 0 : rmr_load_be16(h + 4);
    if (len < UDP_HEADER || len > p->l4_len) {
        ns->stats.discard_malformed++;
        return 0;
    }
    bool none = h[6] == 0 && h[7] == 0;
    bool bad = none ? p->family == RMR_AF_INET6
                    : rmri_ns_sum_fold(rmri_ns_sum(
                          rmri_ns_sum_pseudo(p->family, &p->src, &p->dst,
                                             NS_PROTO_UDP, len),
                          h, len)) != 0xffff;
    if (bad && !p->loop) {
        ns->stats.discard_checksum++;
        return 0;
    }
    return len;
}

/* The first datagram of a flow, or a further one before the answer. */
static rmr_err request(rmr_ns *ns, ns_pending *q, const ns_tuple *t,
                       const ns_pkt *p)
{
    rmr_err e = RMR_OK;
    bool fresh = !q;
    if (fresh)
        q = rmri_ns_pending_new(ns, t, &e);
    if (!q)
        return e;
    e = rmri_ns_wait(ns, q, p);
    if (e) {
        ns->stats.discard_flows++;
        if (fresh)
            rmri_ns_pending_free(ns, q, true);
        return e;
    }
    if (fresh)
        rmri_ns_pending_ask(ns, q);
    return RMR_OK;
}

static rmr_err nobody(rmr_ns *ns, const ns_tuple *t, const ns_pkt *p)
{
    if (p->foreign && ns->cb.on_flow)
        return request(ns, NULL, t, p);
    ns->stats.discard_no_socket++;
    if (!p->foreign)
        rmri_ns_icmp_error(ns, p, NS_ICMP_PORT_UNREACHABLE, 0);
    return RMR_E_UNKNOWN;
}

static void tuple_of(const ns_pkt *p, ns_tuple *t)
{
    memset(t, 0, sizeof *t);
    t->local = p->dst;
    t->remote = p->src;
    t->rport = rmr_load_be16(p->l4);
    t->lport = rmr_load_be16(p->l4 + 2);
    t->family = p->family;
    t->proto = NS_PROTO_UDP;
}

rmr_err rmri_ns_udp_input(rmr_ns *ns, const ns_pkt *p)
{
    ns_tuple t;
    size_t len = check(ns, p);
    if (!len)
        return RMR_E_MALFORMED;
    tuple_of(p, &t);
    void *found = rmri_ns_find_flow(ns, &t);
    const ns_head *h = found;
    if (h && h->kind == NS_KIND_PENDING)
        return request(ns, found, &t, p);
    if (!h)
        found = rmri_ns_find_bind(ns, NS_PROTO_UDP, p->family, &p->dst, t.lport,
                                  p->foreign);
    ns_udp *u = found;
    if (!u)
        return nobody(ns, &t, p);
    if (u->waiting) { /* they came before this one */
        uint64_t id = u->head.id;
        rmri_ns_udp_run(ns, u);
        u = rmri_ns_udp_get(ns, id);
        if (!u) {
            ns->stats.discard_no_socket++;
            return RMR_E_UNKNOWN;
        }
    }
    if (u->source)
        rmri_ns_session_touch(ns, u);
    rmri_ns_udp_tell(ns, u, p,
                     rmr_bytes_of(p->l4 + UDP_HEADER, len - UDP_HEADER));
    return RMR_OK;
}

bool rmri_ns_udp_error(rmr_ns *ns, const ns_tuple *t, const rmr_ns_error *e)
{
    bool foreign = !rmri_ns_is_local(ns, t->family, &t->local);
    ns_head *h = rmri_ns_find_flow(ns, t);
    if (!h)
        h = rmri_ns_find_bind(ns, NS_PROTO_UDP, t->family, &t->local, t->lport,
                              foreign);
    if (!h || h->kind != NS_KIND_UDP)
        return false;
    rmr_ns_sock s = {h->id};
    rmr_ns_error told = *e;
    if (e->why == RMR_E_TOOBIG) {
        /* Anybody can name the port of a socket that is not connected: the
         * path is all sockets', so there must have been such a datagram. */
        if (((ns_udp *)(void *)h)->connected || rmri_ns_path_noted(ns, t))
            (void)rmri_ns_path_lower(ns, t->family, &t->remote, e->mtu);
        told.mtu = rmri_ns_path_mtu(ns, t->family, &t->remote);
    }
    if (!ns->cb.on_error)
        return true;
    ns->in_callback = true;
    ns->cb.on_error(ns->cb.user, ((ns_udp *)(void *)h)->tag, s, &told);
    ns->in_callback = false;
    return true;
}

/* ---- opening ---------------------------------------------------------- */

static rmr_err new_socket(rmr_ns *ns, void *tag, ns_udp **out)
{
    if (rmri_ns_sockets_full(ns))
        return RMR_E_FULL;
    *out = rmri_ns_dgram_new(ns, NS_KIND_UDP);
    if (!*out)
        return RMR_E_NOMEM;
    (*out)->tag = tag;
    return RMR_OK;
}

rmr_err rmr_ns_udp_bind(rmr_ns *ns, const rmr_addr *local, void *tag,
                        rmr_ns_sock *out)
{
    ns_bind b;
    ns_udp *u;
    if (!out)
        return RMR_E_INVAL;
    rmr_err e = rmri_ns_bind_of(ns, local, NS_PROTO_UDP, &b);
    if (e)
        return e;
    if (b.port == 0 && !rmri_ns_pick_udp_port(ns, &b))
        return RMR_E_INUSE;
    if (rmri_ns_bind_exact(ns, &b))
        return RMR_E_INUSE;
    e = new_socket(ns, tag, &u);
    if (e)
        return e;
    u->tuple.local = b.ip;
    u->tuple.lport = b.port;
    u->tuple.family = b.family;
    u->tuple.proto = NS_PROTO_UDP;
    e = rmr_hash_put(&ns->binds, &b, sizeof b, (uint64_t)(uintptr_t)&u->head);
    if (e) {
        rmri_ns_dgram_free(ns, &u->head);
        return e;
    }
    out->id = u->head.id;
    return RMR_OK;
}

rmr_err rmr_ns_udp_connect(rmr_ns *ns, const rmr_addr *local,
                           const rmr_addr *remote, void *tag, rmr_ns_sock *out)
{
    ns_tuple t;
    ns_udp *u;
    if (!out)
        return RMR_E_INVAL;
    rmr_err e = rmri_ns_dial_tuple(ns, local, remote, NS_PROTO_UDP, &t);
    if (e)
        return e;
    if (t.lport == 0 && !rmri_ns_pick_udp_flow(ns, &t))
        return RMR_E_INUSE;
    if (rmri_ns_find_flow(ns, &t))
        return RMR_E_INUSE;
    e = new_socket(ns, tag, &u);
    if (e)
        return e;
    u->tuple = t;
    u->connected = true;
    e = rmri_ns_add_flow(ns, &u->tuple, &u->head);
    if (e) {
        rmri_ns_dgram_free(ns, &u->head);
        return e;
    }
    out->id = u->head.id;
    return RMR_OK;
}
