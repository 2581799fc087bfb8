/* The verdict on one packet: tailscale.com wgengine/filter, RunIn and RunOut.
 */
#include "filter_internal.h"

#include <remora/cursor.h>

#include <string.h>

enum {
    PROTO_ICMP4 = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ICMP6 = 58,
    PROTO_TSMP = 99, /* handled inside a node, never given to the host */
    PROTO_SCTP = 132
};

/* ---- rules ------------------------------------------------------------ */

static bool is_in(const uint8_t *range, const uint8_t *ip, size_t w)
{
    return memcmp(range, ip, w) <= 0 && memcmp(ip, range + w, w) <= 0;
}

/* Sorted, disjoint ranges: the last that begins at or before `ip` decides. */
static bool src_has(const uint8_t *p, size_t n, const uint8_t *ip, size_t w)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(p + mid * 2 * w, ip, w) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && is_in(p + (lo - 1) * 2 * w, ip, w);
}

static bool dst_has(const uint8_t *p, size_t n, const filter_pkt *k,
                    dst_match how)
{
    size_t w = FILTER_WIDTH(k->fam), size = FILTER_DST_SIZE(k->fam);
    for (size_t i = 0; i < n; i++, p += size) {
        uint16_t first = rmr_load_be16(p + 2 * w);
        uint16_t last = rmr_load_be16(p + 2 * w + 2);
        if (!is_in(p, k->dst, w))
            continue;
        if (how == DST_IP_ONLY)
            return true;
        if (how == DST_PORT && first <= k->dst_port && k->dst_port <= last)
            return true;
        if (how == DST_ALL_PORTS && first == 0 && last == 65535)
            return true;
    }
    return false;
}

static bool rule_matches(const rmr_filter *f, const filter_rule *r,
                         const filter_pkt *k, dst_match how)
{
    const filter_span *s = &r->src[k->fam], *d = &r->dst[k->fam];
    if (how != DST_IP_ONLY && !(r->proto[k->proto / 32] >> (k->proto % 32) & 1))
        return false;
    if (s->n == 0 || d->n == 0)
        return false;
    return src_has(f->active.src[k->fam].p + s->off, s->n, k->src,
                   FILTER_WIDTH(k->fam)) &&
           dst_has(f->active.dst[k->fam].p + d->off, d->n, k, how);
}

bool rmri_filter_any_rule(const rmr_filter *f, const filter_pkt *k,
                          dst_match how)
{
    const filter_rule *r = (const filter_rule *)(const void *)f->active.rules.p;
    if (f->active.index)
        return rmri_filter_index_match(f->active.index, k, how);
    for (size_t n = rmr_filter_rule_count(f); n > 0; n--, r++) {
        if (rule_matches(f, r, k, how))
            return true;
    }
    return false;
}

/* ---- addresses -------------------------------------------------------- */

static rmr_addr dst_addr(const filter_pkt *k)
{
    rmr_addr a;
    memset(&a, 0, sizeof a);
    memcpy(a.ip, k->dst, FILTER_WIDTH(k->fam));
    a.family = k->fam == FAM4 ? RMR_AF_INET : RMR_AF_INET6;
    return a;
}

static bool is_local(const rmr_filter *f, const filter_pkt *k)
{
    const rmr_prefix *p = (const rmr_prefix *)(const void *)f->local.p;
    rmr_addr a = dst_addr(k);
    for (size_t n = f->local.len / sizeof *p; n > 0; n--, p++) {
        if (rmr_prefix_contains(p, &a))
            return true;
    }
    return false;
}

static bool is_multicast(const filter_pkt *k)
{
    return k->fam == FAM4 ? (k->dst[0] & 0xf0) == 0xe0 : k->dst[0] == 0xff;
}

static bool is_link_local(const filter_pkt *k)
{
    static const uint8_t metadata[4] = {169, 254, 169, 254};
    if (k->fam == FAM6)
        return k->dst[0] == 0xfe && (k->dst[1] & 0xc0) == 0x80;
    /* The reference lets this one through for cloud name servers behind a
     * subnet router. */
    return k->dst[0] == 169 && k->dst[1] == 254 &&
           memcmp(k->dst, metadata, sizeof metadata) != 0;
}

/* ---- verdict ---------------------------------------------------------- */

static bool is_icmp_answer(const filter_pkt *k)
{
    uint8_t t = k->icmp_type;
    if (!k->icmp_whole)
        return false;
    if (k->fam == FAM4)
        return (t == 0 && k->icmp_code == 0) || t == 3 || t == 11 || t == 12;
    return (t == 129 && k->icmp_code == 0) || (t >= 1 && t <= 4);
}

static void flow_key(uint8_t key[FILTER_KEY_LEN], const filter_pkt *k,
                     bool reversed)
{
    size_t w = FILTER_WIDTH(k->fam);
    memset(key, 0, FILTER_KEY_LEN);
    key[0] = k->proto;
    key[1] = k->fam;
    memcpy(key + 2, reversed ? k->dst : k->src, w);
    memcpy(key + 18, reversed ? k->src : k->dst, w);
    rmr_store_be16(key + 34, reversed ? k->dst_port : k->src_port);
    rmr_store_be16(key + 36, reversed ? k->src_port : k->dst_port);
}

static bool transport_ok(rmr_filter *f, const filter_pkt *k, bool rules)
{
    enum { SYN = 0x02, ACK = 0x10 };
    uint8_t key[FILTER_KEY_LEN];
    if (k->proto == (k->fam == FAM4 ? PROTO_ICMP4 : PROTO_ICMP6))
        return is_icmp_answer(k) ||
               (rules && rmri_filter_any_rule(f, k, DST_IP_ONLY));
    switch (k->proto) {
    case PROTO_TCP:
        return (k->tcp_flags & (SYN | ACK)) != SYN ||
               (rules && rmri_filter_any_rule(f, k, DST_PORT));
    case PROTO_UDP:
    case PROTO_SCTP:
        flow_key(key, k, false);
        return rmri_filter_flows_has(&f->flows, key) ||
               (rules && rmri_filter_any_rule(f, k, DST_PORT));
    case PROTO_TSMP:
        return true;
    default:
        return rules && rmri_filter_any_rule(f, k, DST_ALL_PORTS);
    }
}

/* Steps 1 to 3 of the verdict; they hold in both directions. */
static bool is_sane(const filter_pkt *k)
{
    return k->proto != FILTER_UNKNOWN && !is_multicast(k) && !is_link_local(k);
}

bool rmr_filter_check_in(rmr_filter *f, rmr_bytes ip_packet, bool jailed)
{
    filter_pkt k;
    bool ok;
    if (ip_packet.len == 0)
        return true; /* a keep-alive */
    rmri_filter_parse(ip_packet, &k);
    if (!is_sane(&k))
        ok = false;
    else if (k.proto == FILTER_FRAGMENT)
        ok = true; /* its first fragment was judged */
    else
        ok = is_local(f, &k) && transport_ok(f, &k, !jailed);
    if (!ok)
        f->dropped++;
    return ok;
}

bool rmr_filter_allows_tcp(const rmr_filter *f, const rmr_addr *from,
                           const rmr_addr *to)
{
    filter_pkt k = {0};
    if (from->family != to->family || rmr_addr_ip_len(to) == 0)
        return false;
    k.fam = to->family == RMR_AF_INET ? FAM4 : FAM6;
    k.proto = PROTO_TCP;
    k.src = from->ip;
    k.dst = to->ip;
    k.dst_port = to->port;
    return rmri_filter_any_rule(f, &k, DST_PORT);
}

void rmr_filter_note_out(rmr_filter *f, rmr_bytes ip_packet)
{
    filter_pkt k;
    uint8_t key[FILTER_KEY_LEN];
    rmri_filter_parse(ip_packet, &k);
    if (!is_sane(&k) || (k.proto != PROTO_UDP && k.proto != PROTO_SCTP))
        return;
    flow_key(key, &k, true);
    rmri_filter_flows_note(&f->flows, key);
}
