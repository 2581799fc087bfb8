/* UDP flows to foreign addresses: datagrams that wait for the host's answer,
 * and the sockets of accepted flows, which end when nothing passes. */
#include "ns_internal.h"

#define IDLE (120 * RMR_SEC)
#define IDLE_DNS (30 * RMR_SEC)

_Static_assert(sizeof(void *) > 8 || sizeof(ns_udp) <= 160,
               "a UDP flow takes 160 bytes");

/* ---- what waits ------------------------------------------------------- */

/* The first, which is the caller's to release then. */
static ns_waiting *take_first(rmr_ns *ns, ns_waiting **list, ns_source *s)
{
    ns_waiting *w = *list;
    *list = w->next;
    ns->waiting_bytes -= w->ip_len;
    if (s)
        s->bytes -= w->ip_len;
    return w;
}

static void release(rmr_ns *ns, ns_waiting *w)
{
    rmr_release(&ns->env.alloc, w, sizeof *w + w->ip_len);
}

void rmri_ns_waiting_drop(rmr_ns *ns, ns_waiting **list, ns_source *s)
{
    while (*list) {
        release(ns, take_first(ns, list, s));
        ns->stats.discard_flows++;
    }
}

rmr_err rmri_ns_wait(rmr_ns *ns, ns_pending *p, const ns_pkt *pkt)
{
    ns_source *s =
        rmri_ns_source_get(ns, p->tuple.family, &p->tuple.remote, false);
    ns_waiting **at = &p->u.udp;
    uint32_t n = 0;
    while (*at) {
        at = &(*at)->next;
        n++;
    }
    /* A client has two thirds of all, as with the entries. */
    size_t len = pkt->ip_len;
    if (n >= NS_WAITING_FLOW || ns->waiting_bytes + len > NS_WAITING_BYTES ||
        s->bytes + len > NS_WAITING_BYTES / 3 * 2)
        return RMR_E_FULL;
    ns_waiting *w = ns->env.alloc.alloc(ns->env.alloc.user, sizeof *w + len, 8);
    if (!w)
        return RMR_E_NOMEM;
    w->next = NULL;
    w->ip_len = (uint32_t)len;
    w->l4_off = (uint32_t)(pkt->l4 - pkt->ip);
    w->l4_len = (uint32_t)pkt->l4_len;
    w->tos = pkt->tos;
    memcpy(w + 1, pkt->ip, len);
    *at = w;
    ns->waiting_bytes += len;
    s->bytes += len;
    return RMR_OK;
}

void rmri_ns_waiting_pkt(const ns_waiting *w, const ns_tuple *t, ns_pkt *out)
{
    memset(out, 0, sizeof *out);
    out->ip = (const uint8_t *)(w + 1);
    out->ip_len = w->ip_len;
    out->l4 = out->ip + w->l4_off;
    out->l4_len = w->l4_len;
    out->src = t->remote;
    out->dst = t->local;
    out->family = t->family;
    out->proto = t->proto;
    out->tos = w->tos;
}

/* ---- idle times ------------------------------------------------------- */

static int kind_of(const ns_udp *u)
{
    return u->tuple.lport == 53;
}

static rmr_time end_of(const ns_udp *u)
{
    return rmr_time_add(u->used, kind_of(u) ? IDLE_DNS : IDLE);
}

static ns_udp *first(ns_node *list)
{
    return ns_list_empty(list) ? NULL : NS_OWNER(list->next, ns_udp, idle);
}

static void arm(rmr_ns *ns)
{
    rmr_time at = RMR_TIME_NEVER;
    for (int i = 0; i < 2; i++) {
        const ns_udp *u = first(&ns->sessions[i]);
        if (u)
            at = rmr_time_min(at, end_of(u));
    }
    ns->udp_timer.kind = NS_TIMER_UDP;
    (void)rmr_timers_set(&ns->timers, &ns->udp_timer, at);
}

void rmri_ns_session_touch(rmr_ns *ns, ns_udp *u)
{
    u->used = ns->now;
    ns_list_unlink(&u->idle);
    ns_list_push(&ns->sessions[kind_of(u)], &u->idle);
    ns_list_unlink(&u->of_source);
    ns_list_push(&u->source->sessions, &u->of_source);
}

/* ---- life ------------------------------------------------------------- */

void rmri_ns_session_unlink(rmr_ns *ns, ns_udp *u)
{
    ns_source *s = u->source;
    if (!s)
        return;
    rmri_ns_waiting_drop(ns, &u->waiting, s);
    ns_list_unlink(&u->idle);
    ns_list_unlink(&u->of_source);
    u->source = NULL;
    s->udp--;
    ns->n_sessions--;
    rmri_ns_source_drop_if_unused(ns, s);
    if (ns->n_sessions == 0)
        arm(ns);
}

/* on_closed comes by the next dispatch. */
static void end(rmr_ns *ns, ns_udp *u, rmr_err why)
{
    rmri_ns_del_flow(ns, &u->tuple);
    rmri_ns_session_unlink(ns, u);
    u->dead = true;
    u->why = why;
    ns->n_dying++;
    if (!ns_node_linked(&u->ev))
        ns_list_push(&ns->udp_events, &u->ev);
}

void rmri_ns_session_timer(rmr_ns *ns)
{
    for (int i = 0; i < 2; i++)
        for (ns_udp *u; (u = first(&ns->sessions[i])) && end_of(u) <= ns->now;)
            end(ns, u, RMR_E_TIMEOUT);
    arm(ns);
}

/* The longest idle of a source that holds a quarter, or else of all. */
static void make_room(rmr_ns *ns, const ns_source *s)
{
    uint32_t share = ns->cfg.max_udp_flows / 4;
    ns_udp *old = NULL;
    if (s->udp >= (share ? share : 1)) {
        old = NS_OWNER(s->sessions.next, ns_udp, of_source);
    } else if (ns->n_sessions >= ns->cfg.max_udp_flows) {
        ns_udp *a = first(&ns->sessions[0]), *b = first(&ns->sessions[1]);
        old = !b || (a && a->used <= b->used) ? a : b;
    }
    if (old)
        end(ns, old, RMR_E_FULL);
}

rmr_err rmri_ns_session_open(rmr_ns *ns, ns_pending *p, void *tag,
                             rmr_ns_sock *out)
{
    ns_source *s =
        rmri_ns_source_get(ns, p->tuple.family, &p->tuple.remote, false);
    if (ns->cfg.max_udp_flows == 0)
        return RMR_E_FULL;
    ns_udp *u = rmri_ns_dgram_new(ns, NS_KIND_UDP);
    if (!u)
        return RMR_E_NOMEM;
    make_room(ns, s);
    u->tag = tag;
    u->tuple = p->tuple;
    u->connected = true;
    u->source = s;
    s->udp++;
    ns->n_sessions++;
    /* The entry's place in the table is there already: this can't fail. */
    (void)rmri_ns_add_flow(ns, &u->tuple, &u->head);
    u->waiting = p->u.udp;
    p->u.udp = NULL;
    rmri_ns_pending_free(ns, p, false);
    rmri_ns_session_touch(ns, u);
    if (!rmr_timer_is_armed(&ns->udp_timer) || ns->udp_timer.at > end_of(u))
        arm(ns);
    ns_list_push(&ns->udp_events, &u->ev);
    out->id = u->head.id;
    return RMR_OK;
}

/* No datagram of it is kept, so one without data stands for them. */
void rmri_ns_session_refuse(rmr_ns *ns, const ns_udp *u)
{
    const ns_tuple *t = &u->tuple;
    uint8_t buf[NS_HEADERS_MAX];
    ns_pkt p;
    size_t hl = rmri_ns_ip_write(buf, t->family, &t->remote, &t->local,
                                 NS_PROTO_UDP, 8, 0);
    rmr_store_be16(buf + hl, t->rport);
    rmr_store_be16(buf + hl + 2, t->lport);
    rmr_store_be32(buf + hl + 4, 8u << 16); /* its length, and no sum */
    memset(&p, 0, sizeof p);
    p.ip = buf;
    p.ip_len = hl + 8;
    p.l4 = buf + hl;
    p.l4_len = 8;
    p.src = t->remote;
    p.dst = t->local;
    p.family = t->family;
    p.proto = NS_PROTO_UDP;
    rmri_ns_icmp_error(ns, &p, NS_ICMP_PORT_UNREACHABLE, 0);
}

/* ---- callbacks -------------------------------------------------------- */

/* One waiting datagram; false: there is none. */
static bool deliver_one(rmr_ns *ns, ns_udp *u)
{
    ns_pkt p;
    if (!u->waiting)
        return false;
    ns_waiting *w = take_first(ns, &u->waiting, u->source);
    rmri_ns_waiting_pkt(w, &u->tuple, &p);
    size_t len = rmr_load_be16(p.l4 + 4); /* was checked before it waited */
    rmri_ns_udp_tell(ns, u, &p, rmr_bytes_of(p.l4 + 8, len - 8));
    release(ns, w);
    return true;
}

void rmri_ns_udp_run(rmr_ns *ns, ns_udp *u)
{
    uint64_t id = u->head.id;
    ns_list_unlink(&u->ev);
    while (u && !u->dead && deliver_one(ns, u))
        u = rmri_ns_dgram_get(ns, id); /* a callback may have closed it */
    if (!u || !u->dead)
        return;
    rmr_ns_sock s = {id};
    void *tag = u->tag;
    rmr_err why = u->why;
    ns_list_unlink(&u->ev); /* it may have ended in its own callback */
    rmri_ns_dgram_free(ns, &u->head);
    ns->n_dying--;
    if (ns->cb.on_closed) {
        ns->in_callback = true;
        ns->cb.on_closed(ns->cb.user, tag, s, why);
        ns->in_callback = false;
    }
}
