/* ICMP and ICMPv6: echo, errors about what we sent, errors that we send
 * (RFC 792, RFC 4443, RFC 1122 3.2.2). */
#include "ns_internal.h"

#define ERRORS_PER_SECOND 100u
#define ERRORS_BURST 50u
#define DEST_PER_SECOND 10u

enum {
    V4_ECHO_REPLY = 0,
    V4_UNREACHABLE = 3,
    V4_ECHO = 8,
    V4_TIME = 11,
    V4_PARAM = 12,
    V6_UNREACHABLE = 1,
    V6_TOO_BIG = 2,
    V6_TIME = 3,
    V6_PARAM = 4,
    V6_ECHO = 128,
    V6_ECHO_REPLY = 129
};

/* ---- limits ----------------------------------------------------------- */

bool rmri_ns_bucket_take(ns_bucket *b, rmr_time now, uint32_t per_second,
                         uint32_t burst)
{
    rmr_dur gone = rmr_time_since(now, b->at);
    uint64_t more =
        gone >= 100 * RMR_SEC ? UINT32_MAX : gone / RMR_US * per_second / 1000;
    if (b->at == 0)
        more = UINT32_MAX;
    if (more) {
        uint64_t milli = b->milli + more;
        b->milli = milli > burst * 1000u ? burst * 1000u : (uint32_t)milli;
        b->at = now ? now : 1;
    }
    if (b->milli < 1000)
        return false;
    b->milli -= 1000;
    return true;
}

static bool may_complain(rmr_ns *ns, const ns_ip *to)
{
    uint64_t h = rmr_siphash13(&ns->limit_key, to->b, sizeof to->b);
    if (!ns->icmp_dest)
        ns->icmp_dest = rmr_alloc_zero(&ns->env.alloc,
                                       NS_ICMP_DESTS * sizeof *ns->icmp_dest,
                                       _Alignof(ns_bucket));
    if (!ns->icmp_dest)
        return false;
    ns_bucket *d = &ns->icmp_dest[h % NS_ICMP_DESTS];
    return rmri_ns_bucket_take(d, ns->now, DEST_PER_SECOND, DEST_PER_SECOND) &&
           rmri_ns_bucket_take(&ns->icmp_all, ns->now, ERRORS_PER_SECOND,
                               ERRORS_BURST);
}

/* ---- out -------------------------------------------------------------- */

/* Finishes an ICMP message of `len` bytes behind the IP header at `p`. */
static void seal(uint8_t *p, uint8_t family, const ns_ip *src, const ns_ip *to,
                 size_t len)
{
    uint8_t proto = family == RMR_AF_INET ? NS_PROTO_ICMP : NS_PROTO_ICMP6;
    size_t hl = rmri_ns_ip_write(p, family, src, to, proto, len, 0);
    uint64_t sum = family == RMR_AF_INET
                       ? 0
                       : rmri_ns_sum_pseudo(family, src, to, proto, len);
    p[hl + 2] = p[hl + 3] = 0;
    rmri_ns_sum_store(p + hl + 2, rmri_ns_sum(sum, p + hl, len));
}

static rmr_err echo_out(rmr_ns *ns, uint8_t family, const ns_ip *src,
                        const ns_ip *to, uint8_t type, uint32_t id_seq,
                        rmr_bytes payload)
{
    size_t hl = ns_ip_header_len(family), len = 8 + payload.len;
    if (hl + len > ns->cfg.mtu)
        return RMR_E_TOOBIG;
    uint8_t *p = rmri_ns_pktq_add(ns, hl + len);
    if (!p)
        return RMR_E_FULL;
    p[hl] = type;
    p[hl + 1] = 0;
    rmr_store_be32(p + hl + 4, id_seq);
    if (payload.len)
        memcpy(p + hl + 8, payload.ptr, payload.len);
    seal(p, family, src, to, len);
    return RMR_OK;
}

rmr_err rmr_ns_ping(rmr_ns *ns, rmr_time now, const rmr_addr *to, uint16_t id,
                    uint16_t seq, rmr_bytes payload)
{
    if (now > ns->now)
        ns->now = now;
    if (!to || (to->family != RMR_AF_INET && to->family != RMR_AF_INET6))
        return RMR_E_INVAL;
    ns_ip src, dst = rmri_ns_ip_of(to);
    if (rmri_ns_bad_addr(to->family, &dst) ||
        !rmri_ns_source_for(ns, to->family, &dst, &src))
        return RMR_E_UNREACHABLE;
    uint8_t type = to->family == RMR_AF_INET ? V4_ECHO : V6_ECHO;
    return echo_out(ns, to->family, &src, &dst, type, (uint32_t)id << 16 | seq,
                    payload);
}

rmr_err rmr_ns_echo_reply(rmr_ns *ns, rmr_time now, const rmr_addr *from,
                          const rmr_addr *to, uint16_t id, uint16_t seq,
                          rmr_bytes payload)
{
    if (now > ns->now)
        ns->now = now;
    if (!from || !to || from->family != to->family ||
        (to->family != RMR_AF_INET && to->family != RMR_AF_INET6))
        return RMR_E_INVAL;
    ns_ip src = rmri_ns_ip_of(from), dst = rmri_ns_ip_of(to);
    if (rmri_ns_bad_addr(to->family, &src) ||
        rmri_ns_bad_addr(to->family, &dst) ||
        (!ns->cfg.forward && !rmri_ns_is_local(ns, to->family, &src)))
        return RMR_E_INVAL;
    uint8_t type = to->family == RMR_AF_INET ? V4_ECHO_REPLY : V6_ECHO_REPLY;
    return echo_out(ns, to->family, &src, &dst, type, (uint32_t)id << 16 | seq,
                    payload);
}

static bool is_error(uint8_t family, uint8_t type)
{
    if (family == RMR_AF_INET6)
        return type < 128;
    return type == V4_UNREACHABLE || type == 4 || type == 5 ||
           type == V4_TIME || type == V4_PARAM;
}

static void type_of(uint8_t family, ns_icmp_why why, uint8_t *type,
                    uint8_t *code)
{
    bool v4 = family == RMR_AF_INET;
    switch (why) {
    case NS_ICMP_PORT_UNREACHABLE:
        *type = v4 ? V4_UNREACHABLE : V6_UNREACHABLE;
        *code = v4 ? 3 : 4;
        break;
    case NS_ICMP_HOST_UNREACHABLE: /* v6: address unreachable */
        *type = v4 ? V4_UNREACHABLE : V6_UNREACHABLE;
        *code = v4 ? 1 : 3;
        break;
    case NS_ICMP_PROTO_UNREACHABLE:
        *type = V4_UNREACHABLE;
        *code = 2;
        break;
    case NS_ICMP_PROHIBITED:
        *type = v4 ? V4_UNREACHABLE : V6_UNREACHABLE;
        *code = v4 ? 13 : 1;
        break;
    case NS_ICMP_REASSEMBLY_TIME:
        *type = v4 ? V4_TIME : V6_TIME;
        *code = 1;
        break;
    case NS_ICMP_PARAM_HEADER:
    case NS_ICMP_PARAM_NEXT:
    case NS_ICMP_PARAM_OPTION:
        *type = V6_PARAM;
        *code = (uint8_t)(why - NS_ICMP_PARAM_HEADER);
        break;
    }
}

/* Also of a packet whose chain of extension headers was not walked to its end,
 * or can't be: then nobody knows. */
static bool may_be_error(const ns_pkt *p)
{
    ns_chain c;
    uint8_t proto = p->proto;
    const uint8_t *l4 = p->l4;
    size_t len = p->l4_len;
    if (p->family == RMR_AF_INET6) {
        if (!rmri_ns_chain6(p->ip, p->ip_len, &c))
            return true;
        proto = c.proto;
        l4 = p->ip + c.at;
        len = p->ip_len - c.at;
    }
    return proto ==
               (p->family == RMR_AF_INET ? NS_PROTO_ICMP : NS_PROTO_ICMP6) &&
           (len == 0 || is_error(p->family, l4[0]));
}

void rmri_ns_icmp_error(rmr_ns *ns, const ns_pkt *about, ns_icmp_why why,
                        uint32_t pointer)
{
    uint8_t type = 0, code = 0;
    /* Never about an error (RFC 1122 3.2.2, RFC 4443 2.4 e).  Sources that no
     * host has were refused before. */
    if (may_be_error(about))
        return;
    if (!may_complain(ns, &about->src))
        return;
    type_of(about->family, why, &type, &code);
    size_t hl = ns_ip_header_len(about->family);
    size_t most = about->family == RMR_AF_INET ? 576 : 1280;
    if (most > ns->cfg.mtu)
        most = ns->cfg.mtu;
    size_t quote = most - hl - 8;
    if (quote > about->ip_len)
        quote = about->ip_len;
    uint8_t *p = rmri_ns_pktq_add(ns, hl + 8 + quote);
    if (!p)
        return;
    p[hl] = type;
    p[hl + 1] = code;
    rmr_store_be32(p + hl + 4, pointer);
    memcpy(p + hl + 8, about->ip, quote);
    seal(p, about->family, &about->dst, &about->src, 8 + quote);
}

/* ---- in: errors ------------------------------------------------------- */

/* What an unreachable means; all of them end the opening of a connection. */
static rmr_err unreachable(bool v4, uint8_t code)
{
    if (v4 ? code == 2 || code == 3 : code == 4)
        return RMR_E_REFUSED;
    if (v4 ? code == 9 || code == 10 || code == 13 : code == 1)
        return RMR_E_DENIED;
    return RMR_E_UNREACHABLE;
}

/* What an error means; false: nothing that we know. */
static bool meaning(uint8_t family, const uint8_t *icmp, rmr_ns_error *e,
                    bool *hard)
{
    bool v4 = family == RMR_AF_INET;
    memset(e, 0, sizeof *e);
    e->type = icmp[0];
    e->code = icmp[1];
    *hard = false;
    if (v4 ? e->type == V4_UNREACHABLE && e->code == 4
           : e->type == V6_TOO_BIG) {
        e->why = RMR_E_TOOBIG;
        e->mtu = v4 ? rmr_load_be16(icmp + 6) : rmr_load_be32(icmp + 4);
    } else if (e->type == (v4 ? V4_UNREACHABLE : V6_UNREACHABLE)) {
        e->why = unreachable(v4, e->code);
        *hard = true;
    } else if (e->type == (v4 ? V4_TIME : V6_TIME)) {
        e->why = RMR_E_TIMEOUT;
    } else if (e->type == (v4 ? V4_PARAM : V6_PARAM)) {
        e->why = RMR_E_PROTOCOL;
    } else {
        return false;
    }
    return true;
}

/* Finds the transport header of a quoted packet, which may be the first of
 * some fragments. */
static bool quoted(uint8_t family, rmr_bytes q, ns_tuple *t, rmr_bytes *l4)
{
    memset(t, 0, sizeof *t);
    t->family = family;
    size_t hl = NS_IP6_HEADER;
    if (family == RMR_AF_INET) {
        if (q.len < NS_IP4_HEADER || q.ptr[0] >> 4 != 4)
            return false;
        hl = (q.ptr[0] & 15u) * 4u;
        if (hl < NS_IP4_HEADER || (rmr_load_be16(q.ptr + 6) & 0x1fff) != 0)
            return false;
    } else {
        ns_chain c;
        if (q.len < NS_IP6_HEADER || q.ptr[0] >> 4 != 6 ||
            !rmri_ns_chain6(q.ptr, q.len, &c) || c.off != 0)
            return false;
        hl = c.at;
        t->proto = c.proto;
    }
    if (q.len < hl + 8)
        return false;
    if (family == RMR_AF_INET) {
        memcpy(t->local.b, q.ptr + 12, 4);
        memcpy(t->remote.b, q.ptr + 16, 4);
        t->proto = q.ptr[9];
    } else {
        memcpy(t->local.b, q.ptr + 8, 16);
        memcpy(t->remote.b, q.ptr + 24, 16);
    }
    *l4 = rmr_bytes_of(q.ptr + hl, q.len - hl);
    t->lport = rmr_load_be16(l4->ptr);
    t->rport = rmr_load_be16(l4->ptr + 2);
    return true;
}

/* What nobody here has a use for; no fault of the packet. */
static rmr_err ignore(rmr_ns *ns)
{
    ns->stats.discard_icmp++;
    return RMR_OK;
}

static rmr_err error_input(rmr_ns *ns, const ns_pkt *p)
{
    bool heard = false;
    rmr_ns_error e;
    bool hard;
    ns_tuple t;
    rmr_bytes l4;
    if (!meaning(p->family, p->l4, &e, &hard) ||
        !quoted(p->family, rmr_bytes_of(p->l4 + 8, p->l4_len - 8), &t, &l4))
        return ignore(ns);
    e.to = rmri_ns_addr_of(t.family, &t.remote, t.rport);
    if (t.proto == NS_PROTO_TCP)
        heard =
            rmri_ns_tcp_icmp_error(ns, &t, rmr_load_be32(l4.ptr + 4), &e, hard);
    else if (t.proto == NS_PROTO_UDP)
        heard = rmri_ns_udp_error(ns, &t, &e);
    return heard ? RMR_OK : ignore(ns);
}

/* ---- in --------------------------------------------------------------- */

static rmr_err pong(rmr_ns *ns, const ns_pkt *p)
{
    if (!ns->cb.on_pong)
        return ignore(ns);
    rmr_addr from = rmri_ns_addr_of(p->family, &p->src, 0);
    ns->in_callback = true;
    ns->cb.on_pong(ns->cb.user, &from, rmr_load_be16(p->l4 + 4),
                   rmr_load_be16(p->l4 + 6),
                   rmr_bytes_of(p->l4 + 8, p->l4_len - 8));
    ns->in_callback = false;
    return RMR_OK;
}

/* To a foreign address: the host may answer, or never. */
static rmr_err foreign_echo(rmr_ns *ns, const ns_pkt *p)
{
    if (!ns->cb.on_echo) {
        ns->stats.discard_no_socket++;
        return RMR_E_UNKNOWN;
    }
    rmr_addr from = rmri_ns_addr_of(p->family, &p->src, 0);
    rmr_addr to = rmri_ns_addr_of(p->family, &p->dst, 0);
    ns->in_callback = true;
    ns->cb.on_echo(ns->cb.user, &from, &to, rmr_load_be16(p->l4 + 4),
                   rmr_load_be16(p->l4 + 6),
                   rmr_bytes_of(p->l4 + 8, p->l4_len - 8));
    ns->in_callback = false;
    return RMR_OK;
}

rmr_err rmri_ns_icmp_input(rmr_ns *ns, const ns_pkt *p)
{
    bool v4 = p->family == RMR_AF_INET;
    if (p->l4_len < 8) {
        ns->stats.discard_malformed++;
        return RMR_E_MALFORMED;
    }
    uint64_t sum = v4 ? 0
                      : rmri_ns_sum_pseudo(p->family, &p->src, &p->dst,
                                           NS_PROTO_ICMP6, p->l4_len);
    if (!p->loop &&
        rmri_ns_sum_fold(rmri_ns_sum(sum, p->l4, p->l4_len)) != 0xffff) {
        ns->stats.discard_checksum++;
        return RMR_E_MALFORMED;
    }
    uint8_t type = p->l4[0];
    if (type == (v4 ? V4_ECHO : V6_ECHO) && p->l4[1] == 0) {
        if (p->foreign)
            return foreign_echo(ns, p);
        rmr_err e = echo_out(
            ns, p->family, &p->dst, &p->src, v4 ? V4_ECHO_REPLY : V6_ECHO_REPLY,
            rmr_load_be32(p->l4 + 4), rmr_bytes_of(p->l4 + 8, p->l4_len - 8));
        if (!e)
            ns->stats.icmp_echo_answered++;
        return e == RMR_E_TOOBIG ? ignore(ns) : e;
    }
    if (type == (v4 ? V4_ECHO_REPLY : V6_ECHO_REPLY) && !p->foreign)
        return pong(ns, p);
    if (is_error(p->family, type))
        return error_input(ns, p);
    return ignore(ns); /* redirects, router and neighbour messages, masks */
}
