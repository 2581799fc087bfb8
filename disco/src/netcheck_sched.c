/* When to run a netcheck, and whether control is to be told what it found. */
#include <remora/netcheck.h>

#include <remora/cursor.h>

#include <string.h>

#define PERIODIC_MIN (20 * RMR_SEC)
#define PERIODIC_SPREAD (6 * RMR_SEC)
#define IDLE_AFTER (45 * RMR_SEC)

void rmr_netcheck_sched_init(rmr_netcheck_sched *s)
{
    memset(s, 0, sizeof *s);
    s->periodic_at = RMR_TIME_NEVER;
}

void rmr_netcheck_sched_set(rmr_netcheck_sched *s,
                            const rmr_netcheck_while *cond)
{
    s->cond = *cond;
}

void rmr_netcheck_sched_traffic(rmr_netcheck_sched *s, rmr_time now)
{
    if (!s->has_traffic || now > s->traffic_at)
        s->traffic_at = now;
    s->has_traffic = true;
    s->rests = false;
}

void rmr_netcheck_trigger(rmr_netcheck_sched *s, rmr_time now,
                          rmr_netcheck_why why)
{
    (void)now;
    s->pending |= (uint32_t)why;
}

/* Is there any use in a periodic run at this time? */
static bool is_useful(const rmr_netcheck_sched *s, rmr_time at)
{
    const rmr_netcheck_while *c = &s->cond;
    return c->network_up && !c->homeless && c->has_key && c->has_peers &&
           (c->always_stun ||
            (s->has_traffic &&
             rmr_time_since(at, s->traffic_at) <= IDLE_AFTER));
}

uint32_t rmr_netcheck_sched_wants_run(rmr_netcheck_sched *s, rmr_time now)
{
    if (s->running || !s->cond.network_up)
        return 0;
    uint32_t why = s->pending;
    /* The clock may have gone far beyond it: a host that slept. */
    s->rests = now >= s->periodic_at && !is_useful(s, now);
    if (now >= s->periodic_at && !s->rests)
        why |= RMR_NETCHECK_WHY_PERIODIC;
    if (why == 0)
        return 0;
    s->pending = 0;
    s->running = true;
    s->periodic_at = RMR_TIME_NEVER;
    s->runs++;
    return why;
}

rmr_err rmr_netcheck_sched_ended(rmr_netcheck_sched *s, rmr_time now,
                                 const rmr_rng *rng)
{
    uint8_t b[4];
    rmr_dur spread = PERIODIC_SPREAD;
    rmr_err e = rmr_rng_fill(rng, b, sizeof b);
    if (e == RMR_OK) /* 2^30 steps, so that the product fits */
        spread = (rmr_dur)(rmr_load_be32(b) >> 2) * PERIODIC_SPREAD >> 30;
    s->running = s->rests = false;
    s->periodic_at = rmr_time_add(now, PERIODIC_MIN + spread);
    return e ? RMR_E_RNG : RMR_OK;
}

rmr_time rmr_netcheck_sched_next_deadline(const rmr_netcheck_sched *s)
{
    if (s->running || s->rests || s->periodic_at == RMR_TIME_NEVER ||
        !is_useful(s, s->periodic_at))
        return RMR_TIME_NEVER;
    return s->periodic_at;
}

/* ---- NetInfo ------------------------------------------------------------- */

static rmr_netcheck_tri tri(bool b)
{
    return b ? RMR_NETCHECK_YES : RMR_NETCHECK_NO;
}

void rmr_netcheck_info_of(const rmr_netcheck_report *r, uint16_t home,
                          bool have_portmap, rmr_netcheck_info *out)
{
    memset(out, 0, sizeof *out);
    out->mapping_varies = r->mapping_varies;
    out->working_ipv6 = tri(r->ipv6);
    out->os_has_ipv6 = tri(r->os_has_ipv6);
    out->working_udp = tri(r->udp);
    out->working_icmpv4 = tri(r->icmpv4);
    out->upnp = r->upnp;
    out->pmp = r->pmp;
    out->pcp = r->pcp;
    out->have_portmap = have_portmap;
    out->preferred_derp = home;
}

static bool text_eq(const char *a, const char *b)
{
    return rmr_bytes_eq(rmr_bytes_str(a), rmr_bytes_str(b));
}

bool rmr_netcheck_info_eq(const rmr_netcheck_info *a,
                          const rmr_netcheck_info *b)
{
    return a->mapping_varies == b->mapping_varies &&
           a->working_ipv6 == b->working_ipv6 &&
           a->os_has_ipv6 == b->os_has_ipv6 &&
           a->working_udp == b->working_udp &&
           a->working_icmpv4 == b->working_icmpv4 && a->upnp == b->upnp &&
           a->pmp == b->pmp && a->pcp == b->pcp &&
           a->have_portmap == b->have_portmap &&
           a->preferred_derp == b->preferred_derp &&
           text_eq(a->firewall_mode, b->firewall_mode) &&
           text_eq(a->link_type, b->link_type);
}
