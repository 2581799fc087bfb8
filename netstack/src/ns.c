/* The stack object: life, addresses, the pump calls and their order. */
#include "tcp_internal.h"

#define MTU_MIN 576u
#define MTU_MAX 65535u
#define HALF_OPEN_MAX 4096u

void rmr_ns_config_init(rmr_ns_config *cfg, size_t struct_size)
{
    rmr_ns_config d = {0};
    d.struct_size = (uint32_t)struct_size;
    d.mtu = 1280;
    d.max_sockets = 4096;
    d.max_time_wait = 16384;
    d.tcp_recv_max = 4u << 20;
    d.tcp_send_max = 4u << 20;
    d.memory_max = 64u << 20;
    d.backlog = 128;
    d.unaccepted = 128;
    d.time_wait = 60 * RMR_SEC;
    d.max_flows = 1024;
    d.max_udp_flows = 4096;
    memcpy(cfg, &d, struct_size < sizeof d ? struct_size : sizeof d);
}

static bool config_ok(const rmr_ns_config *c)
{
    return c->mtu >= MTU_MIN && c->mtu <= MTU_MAX && c->max_sockets > 0 &&
           c->max_sockets <= 1u << 24 && c->max_time_wait <= 1u << 24 &&
           c->tcp_recv_max > 0 && c->tcp_recv_max <= TCP_WINDOW_MAX &&
           c->tcp_send_max > 0 && c->tcp_send_max <= TCP_WINDOW_MAX &&
           c->backlog > 0 && c->time_wait > 0 &&
           c->congestion <= RMR_NS_CC_NEWRENO && c->max_flows <= 1u << 20 &&
           c->max_udp_flows <= 1u << 24;
}

static uint32_t foreign_max(const rmr_ns *ns)
{
    return ns->cfg.forward ? ns->cfg.max_flows + ns->cfg.max_udp_flows : 0;
}

static rmr_err init_tables(rmr_ns *ns)
{
    const rmr_alloc *a = &ns->env.alloc;
    uint32_t flows = ns->cfg.max_sockets + ns->cfg.max_time_wait +
                     HALF_OPEN_MAX + foreign_max(ns);
    rmr_err e =
        rmr_slots_init(&ns->socks, a, sizeof(tcp_conn), ns->cfg.max_sockets);
    if (!e)
        e = rmr_slots_init(&ns->halves, a, sizeof(tcp_half), HALF_OPEN_MAX);
    if (!e)
        e = rmr_slots_init(&ns->tws, a, sizeof(tcp_tw), ns->cfg.max_time_wait);
    if (!e)
        e = rmr_hash_init(&ns->flows, a, &ns->env.rng, flows, rmri_ns_flow_is,
                          NULL);
    if (!e)
        e = rmr_hash_init(&ns->binds, a, &ns->env.rng, ns->cfg.max_sockets,
                          rmri_ns_bind_is, NULL);
    if (!e)
        e = rmri_ns_paths_init(ns);
    if (!e)
        e = rmr_timers_init(&ns->timers, a, 4); /* those without a socket */
    return e;
}

static rmr_err init_datagrams(rmr_ns *ns)
{
    const rmr_alloc *a = &ns->env.alloc;
    bool fwd = ns->cfg.forward;
    size_t item = sizeof(ns_udp);
    item = sizeof(tcp_listener) > item ? sizeof(tcp_listener) : item;
    rmr_err e =
        rmr_slots_init(&ns->dgrams, a, item,
                       ns->cfg.max_sockets + (fwd ? ns->cfg.max_udp_flows : 0));
    if (!e)
        e = rmr_slots_init(&ns->pends, a, sizeof(ns_pending),
                           fwd ? ns->cfg.max_flows : 0);
    if (!e)
        e = rmr_slots_init(&ns->sources, a, sizeof(ns_source), foreign_max(ns));
    if (!e)
        e = rmr_hash_init(&ns->source_table, a, &ns->env.rng, foreign_max(ns),
                          rmri_ns_source_is, NULL);
    return e;
}

static rmr_err draw_secrets(rmr_ns *ns)
{
    rmr_hash_key keys[6];
    rmr_err e = rmr_rng_fill(&ns->env.rng, keys, sizeof keys);
    if (e)
        return e;
    ns->isn_key = keys[0];
    ns->port_key = keys[1];
    ns->ts_key = keys[2];
    ns->limit_key = keys[3];
    ns->cookie_key[0] = keys[4];
    ns->cookie_key[1] = keys[5];
    rmr_wipe(keys, sizeof keys);
    return rmr_rng_fill(&ns->env.rng, &ns->frag_key, sizeof ns->frag_key);
}

static void copy_config(rmr_ns *ns, const rmr_ns_config *cfg)
{
    rmr_ns_config_init(&ns->cfg, sizeof ns->cfg);
    size_t n = cfg->struct_size;
    memcpy(&ns->cfg, cfg, n < sizeof ns->cfg ? n : sizeof ns->cfg);
    const rmr_ns_callbacks *cb = ns->cfg.callbacks;
    if (cb) {
        n = cb->struct_size;
        memcpy(&ns->cb, cb, n < sizeof ns->cb ? n : sizeof ns->cb);
    }
    ns->cfg.callbacks = NULL;
}

rmr_err rmr_ns_new(rmr_ns **out, const rmr_env *env, const rmr_ns_config *cfg,
                   rmr_time now)
{
    if (!out || !env || !cfg)
        return RMR_E_INVAL;
    rmr_ns *ns = rmr_alloc_zero(&env->alloc, sizeof *ns, _Alignof(rmr_ns));
    if (!ns)
        return RMR_E_NOMEM;
    ns->env = *env;
    ns->now = now;
    ns->resume_at = RMR_TIME_NEVER;
    ns_list_init(&ns->out);
    ns_list_init(&ns->held);
    ns_list_init(&ns->events);
    ns_list_init(&ns->tw_list);
    ns_list_init(&ns->udp_events);
    ns_list_init(&ns->raws);
    ns_list_init(&ns->sessions[0]);
    ns_list_init(&ns->sessions[1]);
    ns->raw_next = &ns->raws;
    copy_config(ns, cfg);
    ns->pool.alloc = env->alloc;
    ns->pool.max = ns->cfg.memory_max;
    ns->pool.shift = NS_CHUNK_SHIFT;
    rmr_err e = config_ok(&ns->cfg) ? RMR_OK : RMR_E_INVAL;
    while (!e && ns_chunk_size(&ns->pool) < ns->cfg.mtu + 64u)
        ns->pool.shift++;
    if (!e)
        e = init_tables(ns);
    if (!e)
        e = draw_secrets(ns);
    if (!e)
        e = init_datagrams(ns);
    if (e) {
        rmr_ns_free(ns);
        return e;
    }
    *out = ns;
    return RMR_OK;
}

void rmr_ns_free(rmr_ns *ns)
{
    if (!ns || ns->in_callback)
        return;
    uint32_t pos = 0;
    uint64_t id;
    for (ns_head *h; (h = rmr_slots_next(&ns->socks, &pos, &id));)
        rmri_tcp_conn_wipe(ns, (tcp_conn *)(void *)h);
    pos = 0;
    for (ns_head *h; (h = rmr_slots_next(&ns->dgrams, &pos, &id));)
        if (h->kind == NS_KIND_UDP)
            rmri_ns_waiting_drop(ns, &((ns_udp *)(void *)h)->waiting, NULL);
    pos = 0;
    for (ns_pending *p; (p = rmr_slots_next(&ns->pends, &pos, &id));)
        if (p->tuple.proto == NS_PROTO_UDP)
            rmri_ns_waiting_drop(ns, &p->u.udp, NULL);
    rmri_ns_pktq_wipe(ns);
    rmri_ns_frag_wipe(ns);
    rmri_ns_paths_wipe(ns);
    rmri_ns_pool_wipe(&ns->pool);
    rmri_ns_numbers_wipe(ns);
    rmr_release(&ns->env.alloc, ns->icmp_dest,
                NS_ICMP_DESTS * sizeof *ns->icmp_dest);
    rmr_slots_wipe(&ns->socks);
    rmr_slots_wipe(&ns->halves);
    rmr_slots_wipe(&ns->tws);
    rmr_slots_wipe(&ns->dgrams);
    rmr_slots_wipe(&ns->pends);
    rmr_slots_wipe(&ns->sources);
    rmr_hash_wipe(&ns->source_table);
    rmr_hash_wipe(&ns->flows);
    rmr_hash_wipe(&ns->binds);
    rmr_timers_wipe(&ns->timers);
    rmr_alloc a = ns->env.alloc;
    rmr_release_wiped(&a, ns, sizeof *ns);
}

/* ---- addresses -------------------------------------------------------- */

ns_ip rmri_ns_ip_of(const rmr_addr *a)
{
    ns_ip ip = {{0}};
    memcpy(ip.b, a->ip, ns_ip_len(a->family));
    return ip;
}

rmr_addr rmri_ns_addr_of(uint8_t family, const ns_ip *ip, uint16_t port)
{
    rmr_addr a;
    memset(&a, 0, sizeof a);
    memcpy(a.ip, ip->b, sizeof a.ip);
    a.family = family;
    a.port = port;
    return a;
}

static inline bool is_local(const rmr_ns *ns, uint8_t family, const ns_ip *ip)
{
    for (uint32_t i = 0; i < ns->n_addrs; i++)
        if (ns->families[i] == family && ns_ip_eq(&ns->addrs[i], ip))
            return true;
    return false;
}

bool rmri_ns_is_local(const rmr_ns *ns, uint8_t family, const ns_ip *ip)
{
    return is_local(ns, family, ip);
}

bool rmri_ns_own_addr(const rmr_ns *ns, uint8_t family, ns_ip *out)
{
    for (uint32_t i = 0; i < ns->n_addrs; i++) {
        if (ns->families[i] == family) {
            *out = ns->addrs[i];
            return true;
        }
    }
    return false;
}

static bool bad6(const uint8_t *a)
{
    static const uint8_t zero[15] = {0};
    if (a[0] == 0xff)
        return true;
    if (memcmp(a, zero, 10) != 0)
        return false;
    if (a[10] == 0xff && a[11] == 0xff)
        return true;
    return memcmp(a, zero, 15) == 0 && a[15] <= 1;
}

bool rmri_ns_bad_addr(uint8_t family, const ns_ip *ip)
{
    const uint8_t *a = ip->b;
    if (family == RMR_AF_INET6)
        return bad6(a);
    return ns_bad_addr4(a);
}

rmr_err rmri_ns_check_addrs(rmr_ns *ns, ns_pkt *p, bool whole)
{
    p->foreign = !is_local(ns, p->family, &p->dst);
    if (p->foreign &&
        (!ns->cfg.forward || rmri_ns_bad_addr(p->family, &p->dst))) {
        ns->stats.discard_not_local++;
        return RMR_E_UNKNOWN;
    }
    /* What came over the link can't be from us, nor go to where it came from
     * ("land" and its kin). */
    if (!p->loop && !whole &&
        (is_local(ns, p->family, &p->src) ||
         (p->foreign && ns_ip_eq(&p->src, &p->dst)))) {
        ns->stats.discard_malformed++;
        return RMR_E_MALFORMED;
    }
    return RMR_OK;
}

rmr_err rmr_ns_addr_add(rmr_ns *ns, const rmr_addr *ip)
{
    if (!ip || (ip->family != RMR_AF_INET && ip->family != RMR_AF_INET6))
        return RMR_E_INVAL;
    ns_ip a = rmri_ns_ip_of(ip);
    if (rmri_ns_bad_addr(ip->family, &a))
        return RMR_E_INVAL;
    if (rmri_ns_is_local(ns, ip->family, &a))
        return RMR_OK;
    if (ns->n_addrs == RMR_NS_MAX_ADDRS)
        return RMR_E_FULL;
    ns->addrs[ns->n_addrs] = a;
    ns->families[ns->n_addrs++] = ip->family;
    return RMR_OK;
}

rmr_err rmr_ns_addr_remove(rmr_ns *ns, rmr_time now, const rmr_addr *ip)
{
    if (now > ns->now)
        ns->now = now;
    if (!ip)
        return RMR_E_INVAL;
    ns_ip a = rmri_ns_ip_of(ip);
    for (uint32_t i = 0; i < ns->n_addrs; i++) {
        if (ns->families[i] != ip->family || !ns_ip_eq(&ns->addrs[i], &a))
            continue;
        rmri_tcp_addr_gone(ns, ip->family, &a);
        ns->n_addrs--;
        memmove(&ns->addrs[i], &ns->addrs[i + 1],
                (ns->n_addrs - i) * sizeof ns->addrs[0]);
        memmove(&ns->families[i], &ns->families[i + 1], ns->n_addrs - i);
        return RMR_OK;
    }
    return RMR_E_INVAL;
}

/* ---- pump ------------------------------------------------------------- */

rmr_err rmri_ns_reserve_timers(rmr_ns *ns)
{
    /* Each socket, half-open and pending entry; TIME-WAIT, UDP flows and
     * fragments have one each. */
    uint32_t need = ns->socks.used + ns->halves.used + ns->pends.used + 3;
    if (need <= ns->timers.cap)
        return RMR_OK;
    return rmr_timers_reserve(&ns->timers, need * 2);
}

static uint32_t sockets(const rmr_ns *ns)
{
    return ns->socks.used + ns->dgrams.used - ns->n_sessions - ns->n_dying;
}

bool rmri_ns_sockets_full(const rmr_ns *ns)
{
    return sockets(ns) >= ns->cfg.max_sockets;
}

static void run_due(rmr_ns *ns)
{
    while (!ns_list_empty(&ns->udp_events))
        rmri_ns_udp_run(ns, NS_OWNER(ns->udp_events.next, ns_udp, ev));
    while (!ns_list_empty(&ns->events)) {
        tcp_conn *c = NS_OWNER(ns->events.next, tcp_conn, ev);
        ns_list_unlink(&c->ev);
        rmri_tcp_run_events(ns, c);
    }
}

void rmri_ns_dispatch(rmr_ns *ns)
{
    /* Most packets call for nothing. */
    if (!ns_list_empty(&ns->events) || !ns_list_empty(&ns->udp_events))
        run_due(ns);
}

static rmr_err enter(rmr_ns *ns, rmr_time now)
{
    if (ns->in_callback)
        return RMR_E_REENTRANT;
    if (now > ns->now)
        ns->now = now;
    else if (now < ns->now)
        ns->stats.clock_back++;
    return RMR_OK;
}

/* A protocol that the stack has no part for. */
static rmr_err unknown(rmr_ns *ns, const ns_pkt *p, bool taken)
{
    if (taken)
        return RMR_OK;
    ns->stats.discard_no_socket++;
    if (p->foreign)
        return RMR_E_UNKNOWN;
    if (p->family == RMR_AF_INET)
        rmri_ns_icmp_error(ns, p, NS_ICMP_PROTO_UNREACHABLE, 0);
    else
        rmri_ns_icmp_error(ns, p, NS_ICMP_PARAM_NEXT, p->next_at);
    return RMR_E_UNKNOWN;
}

static rmr_err hand_out(rmr_ns *ns, const ns_pkt *p, bool taken)
{
    uint8_t icmp = p->family == RMR_AF_INET ? NS_PROTO_ICMP : NS_PROTO_ICMP6;
    if (p->proto == NS_PROTO_TCP)
        return rmri_ns_tcp_input(ns, p);
    if (p->proto == NS_PROTO_UDP)
        return rmri_ns_udp_input(ns, p);
    if (p->proto == icmp)
        return rmri_ns_icmp_input(ns, p);
    return unknown(ns, p, taken);
}

static rmr_err show_and_hand_out(rmr_ns *ns, const ns_pkt *p)
{
    if (!p->filtered && !p->loop && ns->cb.on_filter) {
        rmr_err e = rmri_ns_filter_in(ns, p);
        if (e)
            return e;
    }
    return hand_out(ns, p, !p->foreign && rmri_ns_raw_input(ns, p));
}

rmr_err rmri_ns_deliver(rmr_ns *ns, const ns_pkt *p)
{
    if (ns->cb.on_filter || !ns_list_empty(&ns->raws))
        return show_and_hand_out(ns, p);
    return hand_out(ns, p, false);
}

rmr_err rmri_ns_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole)
{
    if (in.len && in.ptr[0] >> 4 == 4)
        return rmri_ns_ip4_input(ns, in, loop, whole);
    if (in.len && in.ptr[0] >> 4 == 6)
        return rmri_ns_ip6_input(ns, in, loop, whole);
    ns->stats.discard_malformed++;
    return RMR_E_MALFORMED;
}

rmr_err rmr_ns_read_pkt(rmr_ns *ns, rmr_time now, rmr_bytes ip_packet)
{
    rmr_err e = enter(ns, now);
    if (e)
        return e;
    ns->stats.rx_pkts++;
    ns->stats.rx_bytes += ip_packet.len;
    e = rmri_ns_input(ns, ip_packet, false, false);
    rmri_ns_dispatch(ns);
    return e;
}

rmr_err rmr_ns_return_pkt(rmr_ns *ns, rmr_time now, rmr_bytes ip_packet)
{
    rmr_err e = enter(ns, now);
    if (e)
        return e;
    e = rmri_ns_input(ns, ip_packet, true, false);
    rmri_ns_dispatch(ns);
    return e;
}

/* A packet of any source, written to dst; 0 when nobody has one. */
static size_t next_pkt(rmr_ns *ns, uint8_t *dst)
{
    size_t n = rmri_ns_pktq_take(ns, dst);
    ns->last_out = 0;
    while (!n && !ns_list_empty(&ns->out)) {
        tcp_conn *c = NS_OWNER(ns->out.next, tcp_conn, out);
        n = rmri_tcp_build(ns, c, dst);
        ns->last_out = n ? c->head.id : 0;
        if (n && c->head.tos)
            rmri_ns_ip_set_tos(dst, c->head.tos);
        if (!n || ++ns->burst >= NS_BURST_MAX) {
            ns->burst = 0;
            ns_list_unlink(&c->out);
            if (n)
                ns_list_push(&ns->out, &c->out);
        }
        if (!n)
            rmri_tcp_arm(ns, c);
    }
    return n;
}

static bool to_self(const rmr_ns *ns, const uint8_t *pkt)
{
    ns_ip to = {{0}};
    if (pkt[0] >> 4 == 4) {
        memcpy(to.b, pkt + 16, 4);
        return rmri_ns_is_local(ns, RMR_AF_INET, &to);
    }
    memcpy(to.b, pkt + 24, 16);
    return rmri_ns_is_local(ns, RMR_AF_INET6, &to);
}

rmr_err rmr_ns_write_pkt(rmr_ns *ns, rmr_time now, rmr_buf dst, size_t *len)
{
    rmr_err e = enter(ns, now);
    if (e)
        return e;
    *len = 0;
    if (dst.len < ns->cfg.mtu)
        return RMR_E_BUFSIZE;
    rmri_ns_dispatch(ns);
    for (int loops = 0; loops < NS_LOOP_MAX; loops++) {
        size_t n = next_pkt(ns, dst.ptr);
        if (!n)
            return RMR_OK;
        if (to_self(ns, dst.ptr)) {
            (void)rmri_ns_input(ns, rmr_bytes_of(dst.ptr, n), true, false);
        } else if (!ns->cb.on_filter || rmri_ns_filter_out(ns, dst.ptr, n)) {
            ns->stats.tx_pkts++;
            ns->stats.tx_bytes += n;
            *len = n;
            return RMR_OK;
        }
        rmri_ns_dispatch(ns);
    }
    /* Two own sockets that talk for ever must not hold the caller (B1). */
    ns->resume_at = rmr_time_add(ns->now, 1);
    return RMR_OK;
}

rmr_time rmr_ns_next_deadline(const rmr_ns *ns)
{
    return rmr_time_min(rmr_timers_next(&ns->timers), ns->resume_at);
}

rmr_err rmr_ns_handle_deadline(rmr_ns *ns, rmr_time now)
{
    rmr_err e = enter(ns, now);
    if (e)
        return e;
    if (ns->resume_at <= ns->now)
        ns->resume_at = RMR_TIME_NEVER;
    for (rmr_timer *t; (t = rmr_timers_pop(&ns->timers, ns->now));) {
        switch (t->kind) {
        case NS_TIMER_CONN:
            rmri_tcp_timer(ns, t->owner);
            break;
        case NS_TIMER_HALF_OPEN:
            rmri_tcp_half_timer(ns, t->owner);
            break;
        case NS_TIMER_TIME_WAIT:
            rmri_tcp_tw_timer(ns);
            break;
        case NS_TIMER_PENDING:
            rmri_ns_pending_gone(ns, t->owner);
            break;
        case NS_TIMER_UDP:
            rmri_ns_session_timer(ns);
            break;
        default:
            rmri_ns_frag_expire(ns);
            break;
        }
    }
    rmri_ns_dispatch(ns);
    return RMR_OK;
}

void rmr_ns_get_stats(const rmr_ns *ns, rmr_ns_stats *out)
{
    *out = ns->stats;
    out->sockets = sockets(ns);
    out->flows = ns->pends.used;
    out->udp_flows = ns->n_sessions;
    out->time_wait = ns->tws.used;
    out->half_open = ns->halves.used;
    out->buffer_bytes = ns->pool.used;
}
