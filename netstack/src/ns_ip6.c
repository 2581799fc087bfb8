/* IPv6 in (RFC 8200): the walk over extension headers. */
#include "ns_internal.h"

#define EXT_HOP 0
#define EXT_ROUTING 43
#define EXT_FRAGMENT 44
#define EXT_ESP 50
#define EXT_AH 51
#define EXT_NONE 59
#define EXT_DEST 60

#define EXT_MAX_HEADERS 8
#define EXT_MAX_BYTES 512u

typedef struct walk {
    ns_pkt *p;
    size_t at;      /* of the next header in the packet */
    size_t next_at; /* of the byte that names it        */
    uint8_t next;
} walk;

static rmr_err malformed(rmr_ns *ns)
{
    ns->stats.discard_malformed++;
    return RMR_E_MALFORMED;
}

/* An answer shows that we are there, so the filter is asked before, about what
 * the rest of the chain leads to.  Where that is unknown, or the packet is a
 * later fragment, there is none. */
static rmr_err complain(rmr_ns *ns, const walk *w, ns_icmp_why why, size_t at)
{
    ns_pkt p = *w->p;
    ns_chain c;
    if (!rmri_ns_chain6(p.ip, p.ip_len, &c) || c.off)
        return malformed(ns);
    p.proto = c.proto;
    p.l4 = p.ip + c.at;
    p.l4_len = p.ip_len - c.at;
    p.piece = c.more;
    if (ns->cb.on_filter && !p.filtered && !p.loop) {
        rmr_err e = rmri_ns_filter_in(ns, &p);
        if (e)
            return e;
    }
    rmri_ns_icmp_error(ns, &p, why, (uint32_t)at);
    return malformed(ns);
}

/* Options of a hop-by-hop or destination header (RFC 8200 4.2). */
static rmr_err options(rmr_ns *ns, const walk *w, size_t from, size_t to)
{
    const uint8_t *h = w->p->ip;
    size_t i = from;
    while (i < to) {
        if (h[i] == 0) { /* Pad1 */
            i++;
            continue;
        }
        if (to - i < 2 || h[i + 1] > to - i - 2)
            return malformed(ns);
        if (h[i] != 1) { /* not PadN: nothing else is known */
            switch (h[i] >> 6) {
            case 0:
                break;
            case 1:
                return malformed(ns);
            default: /* 2, 3: our addresses are never multicast */
                return complain(ns, w, NS_ICMP_PARAM_OPTION, i);
            }
        }
        i += 2u + h[i + 1];
    }
    return RMR_OK;
}

static rmr_err fragment(rmr_ns *ns, walk *w)
{
    const uint8_t *h = w->p->ip + w->at;
    uint16_t off = rmr_load_be16(h + 2);
    ns_frag_in f = {0};
    f.p = w->p;
    f.next = h[0];
    f.id = rmr_load_be32(h + 4);
    f.off = off & 0xfff8u;
    f.more = (off & 1) != 0;
    f.header = w->p->ip;
    f.header_len = w->at;
    f.proto_at = w->next_at;
    w->p->l4 = h + 8;
    w->p->l4_len = w->p->ip_len - w->at - 8;
    /* RFC 8200 4.5; later pieces are never answered. */
    if (f.off == 0 && f.more && w->p->l4_len % 8 != 0)
        return complain(ns, w, NS_ICMP_PARAM_HEADER, 4);
    return rmri_ns_frag_input(ns, &f);
}

/* One extension header: moves on, or ends the packet with *done. */
static rmr_err step(rmr_ns *ns, walk *w, bool first, bool *done)
{
    const uint8_t *h = w->p->ip + w->at;
    size_t left = w->p->ip_len - w->at;
    if (left < 8)
        return malformed(ns);
    size_t len = 8 + 8u * h[1];
    if (w->next == EXT_FRAGMENT)
        len = 8;
    if (len > left || w->at + len > NS_IP6_HEADER + EXT_MAX_BYTES)
        return malformed(ns);
    rmr_err e;
    switch (w->next) {
    case EXT_HOP:
        if (!first)
            return complain(ns, w, NS_ICMP_PARAM_NEXT, w->next_at);
        e = options(ns, w, w->at + 2, w->at + len);
        break;
    case EXT_DEST:
        e = options(ns, w, w->at + 2, w->at + len);
        break;
    case EXT_ROUTING: /* RFC 5095, RFC 8200 4.4 */
        e = RMR_OK;
        if (h[2] == 0 || h[3] != 0)
            return complain(ns, w, NS_ICMP_PARAM_HEADER, w->at + 2);
        break;
    default: /* EXT_FRAGMENT; atomic ones are handled alone (RFC 6946) */
        if ((rmr_load_be16(h + 2) & 0xfff9u) != 0) {
            if (w->p->filtered) /* a piece of what was just put together */
                return malformed(ns);
            *done = true;
            return fragment(ns, w);
        }
        e = RMR_OK;
        break;
    }
    if (e)
        return e;
    w->next_at = w->at;
    w->next = h[0];
    w->at += len;
    return RMR_OK;
}

static bool is_extension(uint8_t next)
{
    return next == EXT_HOP || next == EXT_ROUTING || next == EXT_FRAGMENT ||
           next == EXT_DEST;
}

rmr_err rmri_ns_ip6_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole)
{
    const uint8_t *h = in.ptr;
    if (in.len < NS_IP6_HEADER)
        return malformed(ns);
    size_t total = NS_IP6_HEADER + rmr_load_be16(h + 4);
    if (total == NS_IP6_HEADER || total > in.len)
        return malformed(ns);
    ns_pkt p = {0};
    p.ip = h;
    p.ip_len = total;
    p.family = RMR_AF_INET6;
    p.tos = (uint8_t)(rmr_load_be16(h) >> 4);
    p.loop = loop;
    memcpy(p.src.b, h + 8, 16);
    memcpy(p.dst.b, h + 24, 16);
    if (rmri_ns_bad_addr(p.family, &p.src))
        return malformed(ns);
    p.filtered = whole;
    rmr_err e = rmri_ns_check_addrs(ns, &p, whole);
    if (e)
        return e;

    walk w = {&p, NS_IP6_HEADER, 6, h[6]};
    for (int i = 0; is_extension(w.next); i++) {
        bool done = false;
        if (i == EXT_MAX_HEADERS)
            return malformed(ns);
        e = step(ns, &w, i == 0, &done);
        if (e || done)
            return e;
    }
    if (w.next == EXT_NONE) { /* for nobody, and no fault */
        ns->stats.discard_no_socket++;
        return RMR_OK;
    }
    p.proto = w.next;
    p.l4 = h + w.at;
    p.l4_len = total - w.at;
    p.next_at = (uint16_t)w.next_at;
    return rmri_ns_deliver(ns, &p);
}

/* ---- packets that are not for us to act on ---------------------------- */

bool rmri_ns_chain6(const uint8_t *ip, size_t len, ns_chain *out)
{
    memset(out, 0, sizeof *out);
    out->proto = ip[6];
    out->at = NS_IP6_HEADER;
    for (int i = 0; is_extension(out->proto) && out->off == 0; i++) {
        const uint8_t *h = ip + out->at;
        size_t left = len - out->at;
        if (i == EXT_MAX_HEADERS || left < 8)
            return false;
        size_t n = out->proto == EXT_FRAGMENT ? 8u : 8u + 8u * h[1];
        if (n > left || out->at + n > NS_IP6_HEADER + EXT_MAX_BYTES)
            return false;
        if (out->proto == EXT_FRAGMENT) {
            if (out->fragment)
                return false;
            out->fragment = true;
            out->off = rmr_load_be16(h + 2) & 0xfff8u;
            out->more = (h[3] & 1) != 0;
            out->id = rmr_load_be32(h + 4);
        }
        out->proto = h[0];
        out->at += n;
    }
    return true;
}
