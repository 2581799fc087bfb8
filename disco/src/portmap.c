/* The port mapper: what is known of the gateway, which way a mapping is made,
 * and how long it lasts. */
#include "portmap_internal.h"

#include <string.h>

#define TRUST_FOR (600 * RMR_SEC)
#define WAIT (250 * RMR_MS)
#define DESCRIBE_FOR RMR_SEC
#define RETRY_MIN (30 * RMR_SEC)
/* A mapping lasts so long, whatever the gateway says: each change has the whole
 * network measured anew. */
#define PACE (5 * RMR_SEC)

/* ---- life ---------------------------------------------------------------- */

rmr_err rmr_portmap_new(rmr_portmap **out, const rmr_env *env,
                        const rmr_portmap_callbacks *cb)
{
    rmr_portmap *pm =
        rmr_alloc_zero(&env->alloc, sizeof *pm, _Alignof(rmr_portmap));
    *out = pm;
    if (!pm)
        return RMR_E_NOMEM;
    pm->env = *env;
    if (cb)
        pm->cb = *cb;
    pm->until = pm->probe_until = RMR_TIME_NEVER;
    return RMR_OK;
}

void rmr_portmap_free(rmr_portmap *pm)
{
    if (!pm)
        return;
    rmr_h1_free(pm->h1);
    rmr_alloc a = pm->env.alloc;
    rmr_release(&a, pm->u, sizeof *pm->u);
    rmr_release(&a, pm, sizeof *pm);
}

static rmr_err enter(rmr_portmap *pm, rmr_time now)
{
    if (pm->busy)
        return RMR_E_REENTRANT;
    if (now > pm->now)
        pm->now = now;
    return RMR_OK;
}

static void tell_mapping(rmr_portmap *pm, const rmr_addr *a)
{
    bool was = pm->busy;
    pm->busy = true;
    if (pm->cb.on_mapping)
        pm->cb.on_mapping(pm->cb.user, a);
    pm->busy = was;
}

/* ---- the gateway --------------------------------------------------------- */

bool rmri_pm_is_fresh(const rmr_portmap *pm, int s)
{
    return pm->has_seen[s] && rmr_time_since(pm->now, pm->seen[s]) < TRUST_FOR;
}

void rmri_pm_see(rmr_portmap *pm, int s)
{
    pm->has_seen[s] = true;
    pm->seen[s] = pm->now;
}

bool rmri_pm_is_public(const rmr_addr *a)
{
    static const uint8_t zero[4];
    return a->family == RMR_AF_INET && memcmp(a->ip, zero, 4) != 0 &&
           !rmr_addr_is_loopback(a) && a->ip[0] < 224;
}

/* The mapping is no more; nothing is to be taken back. */
static void lose(rmr_portmap *pm)
{
    if (pm->map.kind == RMR_PORTMAP_NONE)
        return;
    memset(&pm->map, 0, sizeof pm->map);
    pm->stats.lost++;
    tell_mapping(pm, NULL);
}

/* A gateway that restarted has forgotten what it mapped. */
void rmri_pm_epoch(rmr_portmap *pm, int s, uint32_t epoch)
{
    rmr_portmap_kind kind = s == PM_PCP ? RMR_PORTMAP_PCP : RMR_PORTMAP_NATPMP;
    bool back = pm->has_epoch[s] && epoch < pm->epoch[s];
    pm->has_epoch[s] = true;
    pm->epoch[s] = epoch;
    if (!back || pm->map.kind != kind)
        return;
    /* Made again by the next deadline, unless that is under way. */
    rmr_time end = rmr_time_add(pm->map.made_at, PACE);
    pm->map.ends_at =
        rmr_time_min(pm->map.ends_at, end > pm->now ? end : pm->now);
}

/* ---- making -------------------------------------------------------------- */

static void idle(rmr_portmap *pm)
{
    pm->stage = PM_IDLE;
    pm->until = RMR_TIME_NEVER;
    pm->out &= ~(uint32_t)(OUT_PMP_MAP | OUT_PCP_MAP);
}

static void ask(rmr_portmap *pm, pm_stage stage, uint32_t out)
{
    pm->stage = stage;
    pm->until = rmr_time_add(pm->now, WAIT);
    pm->out |= out;
}

static void ask_pmp(rmr_portmap *pm)
{
    pm->has_pmp_addr = pm->has_pmp_map = false;
    ask(pm, PM_ASK_PMP, OUT_PMP_ADDR | OUT_PMP_MAP);
}

static rmr_err begin(rmr_portmap *pm)
{
    bool pmp = rmri_pm_is_fresh(pm, PM_PMP), pcp = rmri_pm_is_fresh(pm, PM_PCP);
    bool renew_pcp = pm->map.kind == RMR_PORTMAP_PCP;
    /* The owner of a PCP mapping is who knows its nonce (RFC 6887 11.2). */
    if (renew_pcp)
        memcpy(pm->nonce, pm->map.nonce, NONCE_LEN);
    else if (rmr_rng_fill(&pm->env.rng, pm->nonce, NONCE_LEN) != RMR_OK)
        return RMR_E_RNG;
    if (pm->u)
        pm->u->tries = 0;
    if (renew_pcp || (pcp && !pmp && pm->map.kind == RMR_PORTMAP_NONE))
        ask(pm, PM_ASK_PCP, OUT_PCP_MAP);
    else if (pm->map.kind == RMR_PORTMAP_UPNP)
        rmri_pm_upnp_begin(pm);
    else
        ask_pmp(pm);
    return RMR_OK;
}

/* Nothing worked.  A mapping that is there is tried to keep again. */
static void give_up(rmr_portmap *pm)
{
    rmr_dur left = rmr_time_since(pm->map.ends_at, pm->now) / 2;
    idle(pm);
    if (pm->map.kind)
        pm->map.renew_at =
            rmr_time_add(pm->now, left > RETRY_MIN ? left : RETRY_MIN);
}

void rmri_pm_next_way(rmr_portmap *pm)
{
    pm_stage was = pm->stage;
    pm->out &= ~(uint32_t)(OUT_PMP_MAP | OUT_PCP_MAP);
    if (was == PM_ASK_PMP && rmri_pm_is_fresh(pm, PM_PCP))
        ask(pm, PM_ASK_PCP, OUT_PCP_MAP);
    else if (was == PM_ASK_PMP || was == PM_ASK_PCP)
        rmri_pm_upnp_begin(pm);
    else
        give_up(pm);
}

void rmri_pm_made(rmr_portmap *pm, rmr_portmap_kind kind, rmr_addr ext,
                  uint32_t life_s)
{
    pm_mapping *m = &pm->map;
    bool same = m->kind != RMR_PORTMAP_NONE && rmr_addr_eq(&m->ext, &ext);
    if (life_s < LEASE_MIN_S)
        life_s = LEASE_MIN_S;
    rmr_dur life = (life_s < LEASE_MAX_S ? life_s : LEASE_MAX_S) * RMR_SEC;
    idle(pm);
    m->kind = kind;
    m->ext = ext;
    m->local_port = pm->port;
    memcpy(m->nonce, pm->nonce, NONCE_LEN);
    m->made_at = pm->now;
    m->renew_at = rmr_time_add(pm->now, life / 2);
    m->ends_at = rmr_time_add(pm->now, life);
    if (same) {
        pm->stats.renewed++;
        return;
    }
    pm->stats.made++;
    tell_mapping(pm, &m->ext);
}

/* ---- wishes -------------------------------------------------------------- */

/* The mapping is to be taken back; what makes one stops. */
static void take_back(rmr_portmap *pm)
{
    rmri_pm_http_end(pm);
    idle(pm);
    if (pm->map.kind == RMR_PORTMAP_NONE)
        return;
    pm->gone = pm->map;
    if (pm->gone.kind == RMR_PORTMAP_NATPMP)
        pm->out |= OUT_PMP_DELETE;
    else if (pm->gone.kind == RMR_PORTMAP_PCP)
        pm->out |= OUT_PCP_DELETE;
    else
        rmri_pm_http(pm, PM_DELETE, DESCRIBE_FOR);
}

static rmr_addr bare(const rmr_addr *a)
{
    static const rmr_addr none;
    rmr_addr b = a && a->family == RMR_AF_INET ? *a : none;
    b.port = 0;
    return b;
}

static void forget_gateway(rmr_portmap *pm)
{
    rmri_pm_http_end(pm);
    idle(pm);
    pm->out = 0;
    memset(pm->has_seen, 0, sizeof pm->has_seen);
    memset(pm->has_epoch, 0, sizeof pm->has_epoch);
    rmr_release(&pm->env.alloc, pm->u, sizeof *pm->u);
    pm->u = NULL;
}

rmr_err rmr_portmap_set_network(rmr_portmap *pm, rmr_time now,
                                const rmr_addr *gateway, const rmr_addr *own,
                                uint16_t local_port)
{
    rmr_addr g = bare(gateway), o = bare(own);
    rmr_err e = enter(pm, now);
    if (e)
        return e;
    bool moved = !rmr_addr_eq(&g, &pm->gateway) || !rmr_addr_eq(&o, &pm->own);
    if (!moved && local_port == pm->port)
        return RMR_OK;
    if (moved)
        forget_gateway(pm);
    else
        take_back(pm);
    pm->gateway = g;
    pm->own = o;
    pm->port = local_port;
    pm->has_net = g.family && o.family && local_port &&
                  rmr_addr_is_private(&g) && !rmr_addr_is_loopback(&g);
    lose(pm);
    return RMR_OK;
}

void rmr_portmap_probe(rmr_portmap *pm, rmr_time now)
{
    if (now > pm->now)
        pm->now = now;
    if (pm->probing)
        return;
    pm->probing = true;
    pm->probe_until = pm->now;
    if (!pm->has_net)
        return;
    uint32_t out = 0;
    if (!rmri_pm_is_fresh(pm, PM_PMP))
        out |= OUT_PMP_ADDR;
    if (!rmri_pm_is_fresh(pm, PM_PCP))
        out |= OUT_PCP_ANNOUNCE;
    if (!rmri_pm_is_fresh(pm, PM_UPNP))
        out |= OUT_SSDP;
    pm->out |= out;
    if (out)
        pm->probe_until = rmr_time_add(pm->now, WAIT);
}

rmr_err rmr_portmap_want(rmr_portmap *pm, rmr_time now, bool on)
{
    if (now > pm->now)
        pm->now = now;
    if (!on) {
        if (pm->want)
            take_back(pm);
        pm->want = false;
        pm->map.kind = RMR_PORTMAP_NONE;
        return RMR_OK;
    }
    if (pm->has_net && pm->stage == PM_IDLE &&
        pm->map.kind == RMR_PORTMAP_NONE) {
        rmr_err e = begin(pm);
        if (e)
            return e;
    }
    pm->want = true;
    return RMR_OK;
}

/* ---- datagrams ----------------------------------------------------------- */

bool rmr_portmap_wants_socket(const rmr_portmap *pm)
{
    return pm->has_net && (pm->probing || pm->want || pm->out);
}

rmr_err rmr_portmap_write_pkt(rmr_portmap *pm, rmr_time now, rmr_buf dst,
                              size_t *len, rmr_addr *to)
{
    *len = 0;
    rmr_err e = enter(pm, now);
    if (e || pm->out == 0 || !pm->has_net)
        return e;
    uint32_t what = pm->out & (~pm->out + 1);
    rmr_addr a = pm->gateway;
    if (what & (OUT_SSDP_ALL | OUT_SSDP_IGD))
        a = rmr_addr_v4(239, 255, 255, 250, 0);
    a.port = what & OUT_SSDP ? SSDP_PORT : PM_PORT;
    if (dst.len < RMR_PORTMAP_PKT_MAX)
        return RMR_E_BUFSIZE;
    e = what & OUT_SSDP ? rmri_pm_ssdp_build(what, dst, len)
                        : rmri_pm_build(pm, what, dst, len);
    if (e)
        return e;
    *to = a;
    pm->out &= ~what;
    pm->stats.pkts_out++;
    return RMR_OK;
}

static void end_probe(rmr_portmap *pm)
{
    rmr_portmap_services s = {.upnp = rmri_pm_is_fresh(pm, PM_UPNP),
                              .pmp = rmri_pm_is_fresh(pm, PM_PMP),
                              .pcp = rmri_pm_is_fresh(pm, PM_PCP)};
    pm->probing = false;
    pm->probe_until = RMR_TIME_NEVER;
    if (!pm->cb.on_probed)
        return;
    pm->busy = true;
    pm->cb.on_probed(pm->cb.user, s);
    pm->busy = false;
}

static void check_probe(rmr_portmap *pm)
{
    if (pm->probing &&
        (pm->now >= pm->probe_until ||
         (rmri_pm_is_fresh(pm, PM_UPNP) && rmri_pm_is_fresh(pm, PM_PMP) &&
          rmri_pm_is_fresh(pm, PM_PCP))))
        end_probe(pm);
}

rmr_err rmr_portmap_read_pkt(rmr_portmap *pm, rmr_time now,
                             const rmr_addr *from, rmr_bytes datagram)
{
    rmr_err e = enter(pm, now);
    if (e)
        return e;
    pm->stats.pkts_in++;
    /* SSDP answers come from any port of the gateway (some from a fresh one),
     * the others from theirs. */
    if (!pm->has_net || !rmr_addr_ip_eq(from, &pm->gateway))
        e = RMR_E_UNKNOWN;
    else if (from->port == PM_PORT)
        e = rmri_pm_read(pm, datagram);
    else
        e = rmri_pm_ssdp_read(pm, datagram);
    if (e) {
        pm->stats.dropped++;
        return e;
    }
    check_probe(pm);
    return RMR_OK;
}

/* ---- time ---------------------------------------------------------------- */

rmr_time rmr_portmap_next_deadline(const rmr_portmap *pm)
{
    rmr_time t = rmr_time_min(pm->until, pm->probe_until);
    if (pm->map.kind == RMR_PORTMAP_NONE)
        return t;
    t = rmr_time_min(t, pm->map.ends_at);
    return pm->stage == PM_IDLE ? rmr_time_min(t, pm->map.renew_at) : t;
}

static void stage_over(rmr_portmap *pm)
{
    if (pm->stage >= PM_DESCRIBE) {
        pm->stats.http_failed++;
        rmri_pm_http_end(pm);
    }
    if (pm->stage == PM_FIND_UPNP && pm->u && pm->u->n_at)
        rmri_pm_http(pm, PM_DESCRIBE, DESCRIBE_FOR);
    else
        rmri_pm_next_way(pm);
}

rmr_err rmr_portmap_handle_deadline(rmr_portmap *pm, rmr_time now)
{
    rmr_err e = enter(pm, now);
    if (e)
        return e;
    check_probe(pm);
    if (pm->now >= pm->until)
        stage_over(pm);
    bool ended = pm->map.kind && pm->now >= pm->map.ends_at;
    if (ended)
        lose(pm);
    bool due = ended || (pm->map.kind && pm->now >= pm->map.renew_at);
    if (pm->stage != PM_IDLE || !due || !pm->want)
        return RMR_OK;
    e = begin(pm);
    if (e && pm->map.kind)
        give_up(pm);
    return e;
}

/* ---- looking ------------------------------------------------------------- */

bool rmr_portmap_get_mapping(const rmr_portmap *pm, rmr_addr *addr,
                             rmr_portmap_kind *kind)
{
    if (pm->map.kind == RMR_PORTMAP_NONE)
        return false;
    *addr = pm->map.ext;
    if (kind)
        *kind = pm->map.kind;
    return true;
}

bool rmr_portmap_is_idle(const rmr_portmap *pm)
{
    return !pm->probing && pm->out == 0 && pm->stage == PM_IDLE &&
           pm->stream == NO_STREAM;
}

void rmr_portmap_get_stats(const rmr_portmap *pm, rmr_portmap_stats *out)
{
    *out = pm->stats;
}
