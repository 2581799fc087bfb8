/* IPv4 in and out (RFC 791). */
#include "ns_internal.h"

#define IP4_DF 0x4000u
#define IP4_MF 0x2000u
#define IP4_OFFSET 0x1fffu

/* Options are skipped; source routes are refused (RFC 7126 4.3, 4.4). */
static bool options_ok(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint8_t type = p[i];
        if (type == 0)
            return true;
        if (type == 1) {
            i++;
            continue;
        }
        if (type == 131 || type == 137)
            return false;
        if (n - i < 2 || p[i + 1] < 2 || p[i + 1] > n - i)
            return false;
        i += p[i + 1];
    }
    return true;
}

static rmr_err malformed(rmr_ns *ns)
{
    ns->stats.discard_malformed++;
    return RMR_E_MALFORMED;
}

static rmr_err fragment(rmr_ns *ns, ns_pkt *p, size_t header_len, uint16_t frag)
{
    ns_frag_in f = {0};
    f.p = p;
    f.header = p->ip;
    f.header_len = header_len;
    f.next = p->proto;
    f.id = rmr_load_be16(p->ip + 4);
    f.off = (frag & IP4_OFFSET) * 8u;
    f.more = (frag & IP4_MF) != 0;
    return rmri_ns_frag_input(ns, &f);
}

static bool sum_ok(const uint8_t *h, size_t hl)
{
    uint64_t sum = hl == NS_IP4_HEADER ? ns_sum_ip4(h) : rmri_ns_sum(0, h, hl);
    return rmri_ns_sum_fold(sum) == 0xffff;
}

rmr_err rmri_ns_ip4_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole)
{
    const uint8_t *h = in.ptr;
    if (in.len < NS_IP4_HEADER)
        return malformed(ns);
    size_t hl = (h[0] & 15u) * 4u, total = rmr_load_be16(h + 2);
    if (hl < NS_IP4_HEADER || hl > total || total > in.len)
        return malformed(ns);
    if (!loop && !whole && !sum_ok(h, hl)) {
        ns->stats.discard_checksum++;
        return RMR_E_MALFORMED;
    }
    if (ns_bad_addr4(h + 12) || !options_ok(h + 20, hl - 20))
        return malformed(ns);

    ns_pkt p = {0};
    p.ip = h;
    p.ip_len = total;
    p.l4 = h + hl;
    p.l4_len = total - hl;
    p.family = RMR_AF_INET;
    p.proto = h[9];
    p.tos = h[1];
    p.loop = loop;
    memcpy(p.src.b, h + 12, 4);
    memcpy(p.dst.b, h + 16, 4);
    p.filtered = whole;
    rmr_err e = rmri_ns_check_addrs(ns, &p, whole);
    if (e)
        return e;
    uint16_t frag = rmr_load_be16(h + 6);
    if (frag & (IP4_MF | IP4_OFFSET))
        return fragment(ns, &p, hl, frag);
    return rmri_ns_deliver(ns, &p);
}

static void write4_sum(uint8_t *h)
{
    h[10] = h[11] = 0;
    rmri_ns_sum_store(h + 10, ns_sum_ip4(h));
}

static size_t write4(uint8_t *h, const ns_ip *src, const ns_ip *to,
                     uint8_t proto, size_t len)
{
    h[0] = 0x45;
    h[1] = 0;
    rmr_store_be16(h + 2, (uint16_t)(NS_IP4_HEADER + len));
    /* Never fragmented, so the id may be 0 (RFC 6864 4.1). */
    rmr_store_be16(h + 4, 0);
    rmr_store_be16(h + 6, IP4_DF);
    h[8] = NS_TTL;
    h[9] = proto;
    memcpy(h + 12, src->b, 4);
    memcpy(h + 16, to->b, 4);
    write4_sum(h);
    return NS_IP4_HEADER;
}

static size_t write6(uint8_t *h, const ns_ip *src, const ns_ip *to,
                     uint8_t proto, size_t len, uint32_t label)
{
    rmr_store_be32(h, 0x60000000u | (label & 0xfffffu));
    rmr_store_be16(h + 4, (uint16_t)len);
    h[6] = proto;
    h[7] = NS_TTL;
    memcpy(h + 8, src->b, 16);
    memcpy(h + 24, to->b, 16);
    return NS_IP6_HEADER;
}

size_t rmri_ns_ip_write(uint8_t *dst, uint8_t family, const ns_ip *src,
                        const ns_ip *to, uint8_t proto, size_t len,
                        uint32_t label)
{
    return family == RMR_AF_INET ? write4(dst, src, to, proto, len)
                                 : write6(dst, src, to, proto, len, label);
}

void rmri_ns_ip_set_tos(uint8_t *h, uint8_t tos)
{
    if (h[0] >> 4 == 4) {
        h[1] = tos;
        write4_sum(h);
        return;
    }
    h[0] = (uint8_t)(0x60u | tos >> 4);
    h[1] = (uint8_t)((h[1] & 0x0fu) | (uint32_t)tos << 4);
}

size_t rmri_ns_ip_write_piece(uint8_t *dst, const ns_tuple *t, uint32_t id,
                              size_t off, size_t len, bool more)
{
    const ns_ip *src = &t->local, *to = &t->remote;
    if (t->family == RMR_AF_INET) {
        (void)write4(dst, src, to, t->proto, len);
        rmr_store_be16(dst + 4, (uint16_t)id);
        rmr_store_be16(dst + 6, (uint16_t)((more ? IP4_MF : 0) | off / 8));
        write4_sum(dst);
        return NS_IP4_HEADER;
    }
    (void)write6(dst, src, to, NS_PROTO_FRAGMENT, len + NS_IP6_FRAGMENT, 0);
    uint8_t *f = dst + NS_IP6_HEADER;
    f[0] = t->proto;
    f[1] = 0;
    rmr_store_be16(f + 2, (uint16_t)(off | more));
    rmr_store_be32(f + 4, id);
    return NS_IP6_HEADER + NS_IP6_FRAGMENT;
}
