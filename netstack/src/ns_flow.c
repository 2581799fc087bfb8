/* Requests of clients to foreign addresses: entries that wait for the host's
 * answer, bounded in all and a source, each with a deadline. */
#include "tcp_internal.h"

_Static_assert(sizeof(void *) > 8 || sizeof(ns_pending) <= 128,
               "a pending flow takes 128 bytes");

/* ---- sources ---------------------------------------------------------- */

static ns_source *source_of(uint64_t value)
{
    return (ns_source *)(uintptr_t)value;
}

bool rmri_ns_source_is(const void *user, uint64_t value, const void *key,
                       size_t key_len)
{
    (void)user;
    return memcmp(&source_of(value)->key, key, key_len) == 0;
}

ns_source *rmri_ns_source_get(rmr_ns *ns, uint8_t family, const ns_ip *ip,
                              bool make)
{
    ns_bind key = {*ip, 0, family, 0};
    uint64_t value, id;
    if (rmr_hash_get(&ns->source_table, &key, sizeof key, &value))
        return source_of(value);
    ns_source *s = make ? rmr_slots_new(&ns->sources, &id) : NULL;
    if (!s)
        return NULL;
    s->id = id;
    s->key = key;
    ns_list_init(&s->sessions);
    if (rmr_hash_put(&ns->source_table, &s->key, sizeof s->key,
                     (uint64_t)(uintptr_t)s)) {
        rmr_slots_free(&ns->sources, id);
        return NULL;
    }
    return s;
}

void rmri_ns_source_drop_if_unused(rmr_ns *ns, ns_source *s)
{
    if (s->pending || s->udp)
        return;
    (void)rmr_hash_del(&ns->source_table, &s->key, sizeof s->key);
    rmr_slots_free(&ns->sources, s->id);
}

/* ---- entries ---------------------------------------------------------- */

/* Two thirds of all, so that one client leaves room for others. */
static uint32_t share(const rmr_ns *ns)
{
    uint32_t n = (uint32_t)((uint64_t)ns->cfg.max_flows * 2 / 3);
    return n ? n : 1;
}

static ns_pending *make(rmr_ns *ns, const ns_tuple *t)
{
    uint64_t id;
    ns_pending *p = rmr_slots_new(&ns->pends, &id);
    if (!p)
        return NULL;
    p->head.id = id;
    p->head.kind = NS_KIND_PENDING;
    p->tuple = *t;
    p->timer.kind = NS_TIMER_PENDING;
    p->timer.owner = p;
    if (rmri_ns_reserve_timers(ns) ||
        rmri_ns_add_flow(ns, &p->tuple, &p->head)) {
        rmr_slots_free(&ns->pends, id);
        return NULL;
    }
    return p;
}

static rmr_err admit(rmr_ns *ns, const ns_tuple *t, ns_pending **out)
{
    if (ns->pends.used >= ns->cfg.max_flows)
        return RMR_E_FULL;
    ns_source *s = rmri_ns_source_get(ns, t->family, &t->remote, true);
    if (!s)
        return RMR_E_NOMEM;
    if (s->pending >= share(ns))
        return RMR_E_FULL; /* one that holds some isn't dropped */
    *out = make(ns, t);
    if (!*out) {
        rmri_ns_source_drop_if_unused(ns, s);
        return RMR_E_NOMEM;
    }
    s->pending++;
    return RMR_OK;
}

ns_pending *rmri_ns_pending_new(rmr_ns *ns, const ns_tuple *t, rmr_err *why)
{
    ns_pending *p = NULL;
    *why = admit(ns, t, &p);
    if (*why) {
        ns->stats.discard_flows++;
        return NULL;
    }
    p->end = rmr_time_add(ns->now, NS_PENDING_LIFE);
    (void)rmr_timers_set(&ns->timers, &p->timer, p->end);
    return p;
}

/* The last act of its caller: the host may answer in the callback. */
void rmri_ns_pending_ask(rmr_ns *ns, const ns_pending *p)
{
    const ns_tuple *t = &p->tuple;
    rmr_ns_flow flow = {p->head.id};
    rmr_addr from = rmri_ns_addr_of(t->family, &t->remote, t->rport);
    rmr_addr to = rmri_ns_addr_of(t->family, &t->local, t->lport);
    ns->in_callback = true;
    ns->cb.on_flow(ns->cb.user, flow, t->proto, &from, &to);
    ns->in_callback = false;
}

void rmri_ns_pending_free(rmr_ns *ns, ns_pending *p, bool flow)
{
    ns_source *s =
        rmri_ns_source_get(ns, p->tuple.family, &p->tuple.remote, false);
    if (p->tuple.proto == NS_PROTO_UDP)
        rmri_ns_waiting_drop(ns, &p->u.udp, s);
    if (flow)
        rmri_ns_del_flow(ns, &p->tuple);
    rmr_timers_cancel(&ns->timers, &p->timer);
    rmr_slots_free(&ns->pends, p->head.id);
    s->pending--;
    rmri_ns_source_drop_if_unused(ns, s);
}

void rmri_ns_pending_gone(rmr_ns *ns, ns_pending *p)
{
    rmr_ns_flow flow = {p->head.id};
    void *tag = p->tag;
    rmri_ns_pending_free(ns, p, true);
    if (!ns->cb.on_flow_gone)
        return;
    ns->in_callback = true;
    ns->cb.on_flow_gone(ns->cb.user, tag, flow);
    ns->in_callback = false;
}

/* ---- the host's answers ----------------------------------------------- */

static ns_pending *pending_of(rmr_ns *ns, rmr_time now, rmr_ns_flow flow)
{
    if (now > ns->now)
        ns->now = now;
    return rmr_slots_get(&ns->pends, flow.id);
}

rmr_err rmr_ns_flow_accept(rmr_ns *ns, rmr_time now, rmr_ns_flow flow,
                           void *tag, rmr_ns_sock *out)
{
    ns_pending *p = pending_of(ns, now, flow);
    if (!out)
        return RMR_E_INVAL;
    if (!p)
        return RMR_E_BADHANDLE;
    if (p->tuple.proto == NS_PROTO_TCP)
        return rmri_tcp_pending_accept(ns, p, tag, out);
    return rmri_ns_session_open(ns, p, tag, out);
}

rmr_err rmr_ns_flow_refuse(rmr_ns *ns, rmr_time now, rmr_ns_flow flow,
                           rmr_err why)
{
    ns_pending *p = pending_of(ns, now, flow);
    if (!p)
        return RMR_E_BADHANDLE;
    ns_icmp_why icmp = why == RMR_E_REFUSED  ? NS_ICMP_PORT_UNREACHABLE
                       : why == RMR_E_DENIED ? NS_ICMP_PROHIBITED
                                             : NS_ICMP_HOST_UNREACHABLE;
    if (p->tuple.proto == NS_PROTO_TCP) {
        rmri_tcp_pending_refuse(ns, p, why);
    } else if (why == RMR_E_REFUSED || why == RMR_E_DENIED ||
               why == RMR_E_UNREACHABLE) {
        ns_pkt about;
        rmri_ns_waiting_pkt(p->u.udp, &p->tuple, &about);
        rmri_ns_icmp_error(ns, &about, icmp, 0);
    }
    rmri_ns_pending_free(ns, p, true);
    return RMR_OK;
}

rmr_err rmr_ns_flow_set_tag(rmr_ns *ns, rmr_ns_flow flow, void *tag)
{
    ns_pending *p = rmr_slots_get(&ns->pends, flow.id);
    if (!p)
        return RMR_E_BADHANDLE;
    p->tag = tag;
    return RMR_OK;
}
