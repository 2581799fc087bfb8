/*
 * Reassembly (RFC 791 3.2, RFC 8200 4.5), bounded in datagrams, bytes and
 * time.  Pieces lie in a list ordered by offset; a piece that overlaps another
 * one without being its copy drops the datagram (RFC 5722).
 */
#include "ns_internal.h"

#define LIFE_V4 (30 * RMR_SEC)
#define LIFE_V6 (60 * RMR_SEC)
#define DGRAM_MAX 65535u
/* The largest datagram over links of 576 bytes has 119. */
#define PIECES_MAX 256u
#define QUOTE_MAX 1280u

static rmr_err refuse(rmr_ns *ns)
{
    ns->stats.discard_fragment++;
    return RMR_E_MALFORMED;
}

/* Gives back what it holds; it stays known. */
static void empty(rmr_ns *ns, ns_frag_dgram *d)
{
    const rmr_alloc *a = &ns->env.alloc;
    while (d->pieces) {
        ns_frag_piece *f = d->pieces;
        d->pieces = f->next;
        rmr_release(a, f, sizeof *f + f->len);
    }
    if (d->header)
        rmr_release(a, d->header, d->header_len);
    d->header = NULL;
    ns->frags.bytes -= d->bytes;
    d->bytes = d->have = 0;
}

static void drop(rmr_ns *ns, ns_frag_dgram *d)
{
    empty(ns, d);
    memset(d, 0, sizeof *d);
}

static void rearm(rmr_ns *ns)
{
    rmr_time at = RMR_TIME_NEVER;
    for (uint32_t i = 0; ns->frags.d && i < NS_FRAG_DATAGRAMS; i++)
        if (ns->frags.d[i].family)
            at = rmr_time_min(at, ns->frags.d[i].deadline);
    ns->frags.timer.kind = NS_TIMER_FRAG;
    (void)rmr_timers_set(&ns->timers, &ns->frags.timer, at);
}

/* ICMP time exceeded, when the first fragment is there to be quoted. */
static void expire(rmr_ns *ns, ns_frag_dgram *d)
{
    if (!d->denied)
        ns->stats.discard_fragment++;
    if (d->header && d->pieces && d->pieces->off == 0) {
        uint8_t quote[QUOTE_MAX];
        if (d->header_len < sizeof quote) {
            size_t n = sizeof quote - d->header_len;
            n = d->pieces->len < n ? d->pieces->len : n;
            memcpy(quote, d->header, d->header_len);
            memcpy(quote + d->header_len, d->pieces + 1, n);
            ns_pkt p = {0};
            p.ip = quote;
            p.ip_len = d->header_len + n;
            p.l4 = quote + d->header_len;
            p.l4_len = n;
            p.src = d->src;
            p.dst = d->dst;
            p.family = d->family;
            p.proto = d->proto;
            rmri_ns_icmp_error(ns, &p, NS_ICMP_REASSEMBLY_TIME, 0);
        }
    }
    drop(ns, d);
}

void rmri_ns_frag_expire(rmr_ns *ns)
{
    for (uint32_t i = 0; ns->frags.d && i < NS_FRAG_DATAGRAMS; i++) {
        ns_frag_dgram *d = &ns->frags.d[i];
        if (d->family && d->deadline <= ns->now)
            expire(ns, d);
    }
    rearm(ns);
}

void rmri_ns_frag_wipe(rmr_ns *ns)
{
    if (!ns->frags.d)
        return;
    for (uint32_t i = 0; i < NS_FRAG_DATAGRAMS; i++)
        drop(ns, &ns->frags.d[i]);
    rmr_release(&ns->env.alloc, ns->frags.d,
                NS_FRAG_DATAGRAMS * sizeof *ns->frags.d);
    ns->frags.d = NULL;
}

static bool same(const ns_frag_dgram *d, const ns_frag_in *f)
{
    /* IPv6 leaves the protocol out of the key (RFC 8200 4.5). */
    return d->family == f->p->family && d->id == f->id &&
           (d->family == RMR_AF_INET6 || d->proto == f->next) &&
           ns_ip_eq(&d->src, &f->p->src) && ns_ip_eq(&d->dst, &f->p->dst);
}

static void drop_oldest(rmr_ns *ns, const ns_frag_dgram *keep)
{
    ns_frag_dgram *old = NULL;
    for (uint32_t i = 0; i < NS_FRAG_DATAGRAMS; i++) {
        ns_frag_dgram *d = &ns->frags.d[i];
        if (d->family && d != keep && (!old || d->seq < old->seq))
            old = d;
    }
    if (old) {
        ns->stats.discard_fragment++;
        drop(ns, old);
    }
}

/* What a source holds: datagrams and bytes of them.  The largest datagram must
 * fit, so the pieces' own memory isn't counted; PIECES_MAX bounds that. */
static void share_of(const rmr_ns *ns, const ns_ip *src, uint32_t *dgrams,
                     size_t *bytes)
{
    *dgrams = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < NS_FRAG_DATAGRAMS; i++) {
        const ns_frag_dgram *d = &ns->frags.d[i];
        if (d->family && ns_ip_eq(&d->src, src)) {
            *dgrams += 1;
            *bytes += d->have;
        }
    }
}

static ns_frag_dgram *open_dgram(rmr_ns *ns, const ns_frag_in *f)
{
    uint32_t n, used = 0;
    size_t bytes;
    share_of(ns, &f->p->src, &n, &bytes);
    if (n >= NS_FRAG_DATAGRAMS / 4)
        return NULL;
    for (uint32_t i = 0; i < NS_FRAG_DATAGRAMS; i++)
        used += ns->frags.d[i].family != 0;
    if (used == NS_FRAG_DATAGRAMS)
        drop_oldest(ns, NULL);
    ns_frag_dgram *d = ns->frags.d;
    while (d->family)
        d++;
    d->src = f->p->src;
    d->dst = f->p->dst;
    d->id = f->id;
    d->family = f->p->family;
    d->proto = f->next;
    d->ecn = f->p->tos & 3;
    d->loop = f->p->loop;
    d->born = ns->now;
    d->deadline =
        rmr_time_add(ns->now, d->family == RMR_AF_INET ? LIFE_V4 : LIFE_V6);
    d->seq = ++ns->frags.seq;
    return d;
}

static ns_frag_dgram *find(rmr_ns *ns, const ns_frag_in *f)
{
    for (uint32_t i = 0; i < NS_FRAG_DATAGRAMS; i++)
        if (same(&ns->frags.d[i], f))
            return &ns->frags.d[i];
    return open_dgram(ns, f);
}

static bool is_ext(uint8_t proto)
{
    return proto == 0 || proto == 43 || proto == 44 || proto == 60;
}

/* The first fragment holds the whole chain and the transport header (RFC 1858,
 * RFC 7112), so that a filter sees the ports.  *out: the packet from there. */
static bool first_ok(const ns_frag_in *f, ns_pkt *out)
{
    const uint8_t *h = f->p->l4;
    size_t left = f->p->l4_len;
    uint8_t proto = f->next;
    while (f->p->family == RMR_AF_INET6 && is_ext(proto)) {
        size_t len = left < 8 ? 0 : proto == 44 ? 8 : 8 + 8u * h[1];
        if (len == 0 || len > left)
            return false;
        proto = h[0];
        h += len;
        left -= len;
    }
    *out = *f->p;
    out->proto = proto;
    out->l4 = h;
    out->l4_len = left;
    out->piece = true;
    return left >= (proto == NS_PROTO_TCP ? 20u : 8u);
}

/* Later pieces follow the first one's verdict: a datagram that was denied is
 * remembered, without its bytes. */
static rmr_err ask_filter(rmr_ns *ns, const ns_frag_in *f, const ns_pkt *first)
{
    ns_frag_dgram *d = find(ns, f);
    if (d && (d->denied || d->header))
        return RMR_OK; /* it was asked before */
    rmr_err e = rmri_ns_filter_in(ns, first);
    if (e && d) {
        empty(ns, d);
        d->denied = true;
    }
    rearm(ns);
    return e;
}

/* Links a copy of the piece; *dup when it is known already. */
static rmr_err insert(rmr_ns *ns, ns_frag_dgram *d, const ns_frag_in *f,
                      bool *dup)
{
    uint32_t off = f->off, len = (uint32_t)f->p->l4_len;
    ns_frag_piece **at = &d->pieces;
    while (*at && (*at)->off + (*at)->len <= off)
        at = &(*at)->next;
    ns_frag_piece *n = *at;
    if (n && n->off < off + len) {
        *dup =
            n->off == off && n->len == len && memcmp(n + 1, f->p->l4, len) == 0;
        return *dup ? RMR_OK : RMR_E_MALFORMED;
    }
    if (d->n_pieces >= PIECES_MAX)
        return RMR_E_MALFORMED;
    ns_frag_piece *x =
        ns->env.alloc.alloc(ns->env.alloc.user, sizeof *x + len, 8);
    if (!x)
        return RMR_E_NOMEM;
    x->off = off;
    x->len = len;
    memcpy(x + 1, f->p->l4, len);
    x->next = n;
    *at = x;
    uint32_t cost = len + (uint32_t)sizeof *x;
    d->bytes += cost;
    d->have += len;
    d->n_pieces++;
    ns->frags.bytes += cost;
    return RMR_OK;
}

static rmr_err keep_header(rmr_ns *ns, ns_frag_dgram *d, const ns_frag_in *f)
{
    if (d->header || f->off != 0)
        return RMR_OK;
    d->header = ns->env.alloc.alloc(ns->env.alloc.user, f->header_len, 8);
    if (!d->header)
        return RMR_E_NOMEM;
    d->header_len = (uint32_t)f->header_len;
    d->proto = f->next;
    memcpy(d->header, f->header, f->header_len);
    d->bytes += d->header_len;
    ns->frags.bytes += d->header_len;
    if (d->family == RMR_AF_INET)
        rmr_store_be16(d->header + 6, 0);
    else
        d->header[f->proto_at] = f->next;
    return RMR_OK;
}

/* The header of the first piece becomes that of the whole, `n` bytes. */
static void mend_header(uint8_t *h, const ns_frag_dgram *d, size_t n)
{
    if (d->family == RMR_AF_INET) {
        rmr_store_be16(h + 2, (uint16_t)n);
        h[1] = (uint8_t)((h[1] & ~3u) | d->ecn);
        h[10] = h[11] = 0;
        rmri_ns_sum_store(h + 10, rmri_ns_sum(0, h, d->header_len));
    } else {
        rmr_store_be16(h + 4, (uint16_t)(n - NS_IP6_HEADER));
        h[1] = (uint8_t)((h[1] & ~0x30u) | (uint32_t)d->ecn << 4);
    }
}

/* The piece was not kept after all.  The filter's verdict goes with it: the
 * next first fragment may name other ports. */
static void forget_header(rmr_ns *ns, ns_frag_dgram *d)
{
    rmr_release(&ns->env.alloc, d->header, d->header_len);
    d->header = NULL;
    d->bytes -= d->header_len;
    ns->frags.bytes -= d->header_len;
}

static rmr_err assemble(rmr_ns *ns, ns_frag_dgram *d)
{
    size_t n = d->header_len + d->total;
    const rmr_alloc *a = &ns->env.alloc;
    uint8_t *whole = a->alloc(a->user, n, 8);
    if (!whole) {
        ns->stats.discard_full++;
        drop(ns, d);
        rearm(ns);
        return RMR_E_NOMEM;
    }
    memcpy(whole, d->header, d->header_len);
    for (ns_frag_piece *f = d->pieces; f; f = f->next)
        memcpy(whole + d->header_len + f->off, f + 1, f->len);
    mend_header(whole, d, n);
    bool loop = d->loop;
    drop(ns, d);
    rearm(ns);
    rmr_err e = rmri_ns_input(ns, rmr_bytes_of(whole, n), loop, true);
    rmr_release(a, whole, n);
    return e;
}

static rmr_err take_piece(rmr_ns *ns, ns_frag_dgram *d, const ns_frag_in *f)
{
    uint32_t end = f->off + (uint32_t)f->p->l4_len, n;
    size_t bytes;
    if (d->last_seen && (end > d->total || (!f->more && end != d->total)))
        return RMR_E_MALFORMED;
    if (!f->more && d->have && !d->last_seen) {
        /* Nothing may lie behind the end. */
        for (const ns_frag_piece *x = d->pieces; x; x = x->next)
            if (x->off + x->len > end)
                return RMR_E_MALFORMED;
    }
    share_of(ns, &d->src, &n, &bytes);
    if (bytes + f->p->l4_len > NS_FRAG_BYTES / 4)
        return RMR_E_FULL;
    while (ns->frags.bytes + f->p->l4_len + f->header_len > NS_FRAG_BYTES)
        drop_oldest(ns, d);
    rmr_err e = keep_header(ns, d, f);
    bool dup = false;
    if (!e)
        e = insert(ns, d, f, &dup);
    if (e && f->off == 0 && d->header)
        forget_header(ns, d);
    if (e || dup)
        return e;
    if (!f->more) {
        d->last_seen = 1;
        d->total = end;
    }
    /* RFC 3168 5.3: any CE makes CE. */
    if ((f->p->tos & 3) == 3)
        d->ecn = 3;
    return RMR_OK;
}

/* What no datagram can be made of. */
static bool piece_ok(const ns_frag_in *f)
{
    size_t len = f->p->l4_len;
    /* IPv6 doesn't count its own header (RFC 8200 4.5). */
    size_t header = f->header_len;
    if (f->p->family == RMR_AF_INET6)
        header -= NS_IP6_HEADER;
    return len != 0 && !(f->more && len % 8 != 0) &&
           f->off + len + header <= DGRAM_MAX;
}

static rmr_err reserve(rmr_ns *ns)
{
    if (!ns->frags.d)
        ns->frags.d = rmr_alloc_zero(
            &ns->env.alloc, NS_FRAG_DATAGRAMS * sizeof *ns->frags.d, 8);
    if (ns->frags.d)
        return RMR_OK;
    ns->stats.discard_full++;
    return RMR_E_NOMEM;
}

rmr_err rmri_ns_frag_input(rmr_ns *ns, const ns_frag_in *f)
{
    ns_pkt first;
    if (!piece_ok(f) || (f->off == 0 && !first_ok(f, &first)))
        return refuse(ns);
    rmr_err e = reserve(ns);
    if (!e && f->off == 0 && ns->cb.on_filter && !f->p->loop)
        e = ask_filter(ns, f, &first);
    if (e)
        return e;
    ns_frag_dgram *d = find(ns, f);
    if (!d) {
        ns->stats.discard_full++;
        return RMR_E_FULL;
    }
    if (d->denied) {
        ns->stats.discard_filtered++;
        return RMR_E_DENIED;
    }
    e = take_piece(ns, d, f);
    if (e == RMR_E_MALFORMED) {
        drop(ns, d);
        rearm(ns);
        return refuse(ns);
    }
    if (e) {
        /* As a loss: the datagram stays and times out. */
        ns->stats.discard_full++;
        rearm(ns);
        return e;
    }
    if (d->last_seen && d->header && d->have == d->total)
        return assemble(ns, d);
    rearm(ns);
    return RMR_OK;
}
