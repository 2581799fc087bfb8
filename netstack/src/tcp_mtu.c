/*
 * The size of a full segment: what the peer takes, what the path takes (RFC
 * 1191, RFC 8201), and what gets through where nobody says that it is too much
 * (a black hole; RFC 4821, RFC 8899).
 */
#include "tcp_internal.h"

/* Sizes that are tried on a path that swallows full segments. */
#define BLACK_HOLE_MSS4 1220u
#define BLACK_HOLE_MSS6 1180u
#define BLACK_HOLE_MSS_LAST 536u
#define BLACK_HOLE_TTL_MIN 10u
/* Time-outs before it is taken for one.  Where full segments got through
 * before, it is more likely that the peer is away. */
#define BLACK_HOLE_TRIES 3u
#define BLACK_HOLE_TRIES_PROVEN 5u

static uint32_t overhead(const tcp_conn *c)
{
    return (uint32_t)ns_ip_header_len(c->tuple.family) + TCP_HEADER +
           (c->flags & CF_TS ? TCP_TS_LEN : 0);
}

static uint16_t minutes(const rmr_ns *ns)
{
    return (uint16_t)(ns->now / (60 * RMR_SEC));
}

static bool cap_is_over(const rmr_ns *ns, const tcp_conn *c)
{
    return (int16_t)(minutes(ns) - c->mss_cap_until) >= 0;
}

static uint16_t mss_now(rmr_ns *ns, tcp_conn *c)
{
    uint32_t path =
        rmri_ns_path_mtu(ns, c->tuple.family, &c->tuple.remote) - overhead(c);
    if (c->mss_cap && cap_is_over(ns, c))
        c->mss_cap = 0;
    uint32_t mss = u32_min(c->mss_peer, path);
    return (uint16_t)(c->mss_cap ? u32_min(mss, c->mss_cap) : mss);
}

void rmri_tcp_mss_init(rmr_ns *ns, tcp_conn *c)
{
    c->mss_snd = mss_now(ns, c);
    if (c->mss_snd < c->mss_peer)
        c->flags |= CF_MSS_LOWERED;
}

/* What is too big goes again at once, and that is no sign of congestion. */
static void cut(rmr_ns *ns, tcp_conn *c)
{
    for (uint32_t i = 0; i < c->segq.n; i++) {
        tcp_sent *t = segq_at(&c->segq, i);
        if (!(t->flags & SENT_CUT))
            continue;
        t->flags = (uint8_t)(t->flags & ~SENT_CUT);
        rmri_tcp_mark_lost(c, t);
    }
    rmri_tcp_want_output(ns, c);
}

void rmri_tcp_mss_fit(rmr_ns *ns, tcp_conn *c)
{
    uint16_t mss = mss_now(ns, c);
    if (!tcp_synced(c))
        return; /* it begins with what is known then */
    if (mss > c->mss_snd)
        c->flags &= ~(uint32_t)CF_MSS_PROVEN;
    if (mss == c->mss_peer)
        c->flags &= ~(uint32_t)CF_MSS_LOWERED;
    else
        c->flags |= CF_MSS_LOWERED;
    if (mss < c->mss_snd) {
        /* Without memory all stays as it is, and the next message, time-out or
         * segment tries again. */
        if (!rmri_tcp_segq_split(&c->segq, &ns->env.alloc, mss))
            return;
        cut(ns, c);
    }
    c->mss_snd = mss;
    c->cwnd = u32_max(c->cwnd, mss);
}

void rmri_tcp_path_lowered(rmr_ns *ns, uint8_t family, const ns_ip *remote)
{
    uint32_t pos = 0;
    uint64_t id;
    for (ns_head *h; (h = rmr_slots_next(&ns->socks, &pos, &id));) {
        tcp_conn *c = (tcp_conn *)(void *)h;
        if ((c->flags & CF_DONE) || !tcp_synced(c) ||
            c->tuple.family != family || !ns_ip_eq(&c->tuple.remote, remote))
            continue;
        c->flags |= CF_MSS_LOWERED;
        rmri_tcp_mss_fit(ns, c);
    }
}

/* The next size to try; 0: there is none. */
static uint32_t smaller(const tcp_conn *c)
{
    uint32_t first =
        c->tuple.family == RMR_AF_INET ? BLACK_HOLE_MSS4 : BLACK_HOLE_MSS6;
    uint32_t options = c->flags & CF_TS ? TCP_TS_LEN : 0;
    if (c->mss_snd > first - options)
        return first - options;
    return c->mss_snd > BLACK_HOLE_MSS_LAST - options
               ? BLACK_HOLE_MSS_LAST - options
               : 0;
}

void rmri_tcp_black_hole(rmr_ns *ns, tcp_conn *c)
{
    uint8_t from =
        c->flags & CF_MSS_PROVEN ? BLACK_HOLE_TRIES_PROVEN : BLACK_HOLE_TRIES;
    uint32_t mss = smaller(c);
    if (c->tries < from || c->tries % 2 == 0 || c->segq.n == 0 ||
        segq_at(&c->segq, 0)->len < c->mss_snd || mss == 0)
        return;
    c->mss_cap = (uint16_t)mss;
    c->mss_cap_until = (uint16_t)(minutes(ns) + BLACK_HOLE_TTL_MIN);
    rmri_tcp_mss_fit(ns, c);
}
