/* What is tried where STUN does not get through: HTTPS and ICMP echo; and the
 * look for a captive portal. */
#include "netcheck_internal.h"

#include <remora/cursor.h>

#include <string.h>

#define ICMP_FOR RMR_SEC
#define PORTAL_FOR (3 * RMR_SEC)
#define LATENCY_MAX (60 * RMR_SEC)

enum { ECHO_REPLY = 0, ECHO_REQUEST = 8, ECHO_HEADER = 8 };

static rmr_dur left_of_run(const rmr_netcheck *nc)
{
    return rmr_time_since(rmr_time_add(nc->cur.started, RUN_FOR), nc->now);
}

/* ---- HTTPS --------------------------------------------------------------- */

static void icmp_begin(rmr_netcheck *nc, nc_region *r)
{
    nc_node *n = &nc->t.nodes[r->first_node];
    bool wait;
    /* Only IPv4 echoes are sent, as in the reference. */
    if (rmri_nc_addr(nc, n, V4, &wait).family || wait) {
        r->icmp = WANTED;
        nc->icmp_open++;
    }
}

void rmri_nc_fallback_begin(rmr_netcheck *nc)
{
    bool icmp = !nc->how.no_icmp && !nc->how.only_tcp_443;
    for (size_t i = 0; i < nc->t.n_regions; i++) {
        nc_region *r = &nc->t.regions[i];
        if (r->cur.any != NONE || r->avoid || r->no_measure || !r->has_relay)
            continue;
        if (!nc->how.no_https) {
            r->https = WANTED;
            nc->https_wanted++;
        }
        if (icmp)
            icmp_begin(nc, r);
    }
    if (nc->icmp_open)
        nc->icmp_until = rmr_time_add(nc->now, ICMP_FOR);
}

bool rmr_netcheck_wants_https(rmr_netcheck *nc, rmr_time now, uint16_t *region,
                              rmr_dur *timeout)
{
    if (now > nc->now)
        nc->now = now;
    if (nc->stage != STAGE_FALLBACK || nc->https_wanted == 0 ||
        nc->https_asked >= nc->max_https || left_of_run(nc) == 0)
        return false;
    nc_region *r = nc->t.regions;
    while (r->https != WANTED)
        r++;
    r->https = ASKED;
    nc->https_wanted--;
    nc->https_asked++;
    nc->stats.https_asked++;
    *region = r->id;
    *timeout = left_of_run(nc);
    return true;
}

rmr_err rmr_netcheck_https_done(rmr_netcheck *nc, rmr_time now, uint16_t region,
                                rmr_err err, rmr_dur latency,
                                const rmr_addr *remote)
{
    rmr_err e = rmri_nc_enter(nc, now);
    if (e)
        return e;
    nc_region *r = rmri_nc_region(nc, region);
    if (nc->stage != STAGE_FALLBACK || !r || r->https != ASKED)
        return RMR_E_UNKNOWN;
    r->https = IDLE;
    nc->https_asked--;
    if (err) {
        nc->stats.https_failed++;
    } else {
        rmri_nc_answer(nc, r, latency < LATENCY_MAX ? latency : LATENCY_MAX);
        nc->cur.ipv4 |= remote && remote->family == RMR_AF_INET;
        nc->cur.ipv6 |= remote && remote->family == RMR_AF_INET6;
    }
    rmri_nc_advance(nc);
    return RMR_OK;
}

/* ---- ICMP ---------------------------------------------------------------- */

static void icmp_close(rmr_netcheck *nc, nc_region *r)
{
    r->icmp = IDLE;
    if (--nc->icmp_open == 0)
        nc->icmp_until = RMR_TIME_NEVER;
}

void rmri_nc_icmp_end(rmr_netcheck *nc)
{
    for (size_t i = 0; nc->icmp_open && i < nc->t.n_regions; i++)
        if (nc->t.regions[i].icmp != IDLE)
            icmp_close(nc, &nc->t.regions[i]);
}

/* A name was found, or not. */
void rmri_nc_icmp_settle(rmr_netcheck *nc)
{
    for (size_t i = 0; nc->icmp_open && i < nc->t.n_regions; i++) {
        nc_region *r = &nc->t.regions[i];
        bool wait;
        if (r->icmp == WANTED &&
            !rmri_nc_addr(nc, &nc->t.nodes[r->first_node], V4, &wait).family &&
            !wait)
            icmp_close(nc, r);
    }
}

/* RFC 1071, over at most RMR_NETCHECK_ICMP_MAX bytes. */
static uint16_t checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The sequence number is the region's place, the identifier the run's mask. */
static rmr_err build_echo(const rmr_netcheck *nc, const nc_region *r,
                          rmr_buf dst, size_t *len)
{
    const char *name = nc->t.text + nc->t.nodes[r->first_node].name;
    rmr_wr w = rmr_wr_of(dst);
    if (dst.len < RMR_NETCHECK_ICMP_MAX)
        return RMR_E_BUFSIZE;
    rmr_wr_u8(&w, ECHO_REQUEST);
    rmr_wr_zero(&w, 3);
    rmr_wr_be16(&w, nc->mask);
    rmr_wr_be16(&w, (uint16_t)(r - nc->t.regions));
    rmr_wr_str(&w, name);
    uint16_t sum = checksum(dst.ptr, w.len);
    dst.ptr[2] = (uint8_t)(sum >> 8);
    dst.ptr[3] = (uint8_t)sum;
    *len = w.len;
    return RMR_OK;
}

rmr_err rmr_netcheck_write_icmp(rmr_netcheck *nc, rmr_time now, rmr_buf dst,
                                size_t *len, rmr_addr *to)
{
    *len = 0;
    rmr_err e = rmri_nc_enter(nc, now);
    if (e || nc->stage != STAGE_FALLBACK)
        return e;
    for (size_t i = 0; nc->icmp_open && i < nc->t.n_regions; i++) {
        nc_region *r = &nc->t.regions[i];
        bool wait;
        if (r->icmp != WANTED)
            continue;
        rmr_addr a = rmri_nc_addr(nc, &nc->t.nodes[r->first_node], V4, &wait);
        if (!a.family)
            continue;
        e = build_echo(nc, r, dst, len);
        if (e)
            return e;
        a.port = 0;
        *to = a;
        r->icmp = ASKED;
        r->icmp_sent = nc->now;
        nc->stats.icmp_sent++;
        return RMR_OK;
    }
    return RMR_OK;
}

static nc_region *region_of_echo(const rmr_netcheck *nc, rmr_bytes d)
{
    size_t i = rmr_load_be16(d.ptr + 6);
    if (nc->stage != STAGE_FALLBACK || i >= nc->t.n_regions ||
        nc->t.regions[i].icmp != ASKED)
        return NULL;
    nc_region *r = &nc->t.regions[i];
    rmr_bytes payload = rmr_bytes_of(d.ptr + ECHO_HEADER, d.len - ECHO_HEADER);
    return rmr_bytes_eq_str(payload,
                            nc->t.text + nc->t.nodes[r->first_node].name)
               ? r
               : NULL;
}

rmr_err rmr_netcheck_read_icmp(rmr_netcheck *nc, rmr_time now,
                               rmr_bytes datagram)
{
    rmr_err e = rmri_nc_enter(nc, now);
    if (e)
        return e;
    if (datagram.len < ECHO_HEADER || datagram.ptr[0] != ECHO_REPLY ||
        datagram.ptr[1] != 0) {
        nc->stats.malformed++;
        return RMR_E_MALFORMED;
    }
    nc_region *r = region_of_echo(nc, datagram);
    if (!r) {
        nc->stats.unknown++;
        return RMR_E_UNKNOWN;
    }
    nc->stats.icmp_answers++;
    rmri_nc_answer(nc, r, rmr_time_since(nc->now, r->icmp_sent));
    nc->cur.ipv4 = nc->cur.icmpv4 = true;
    icmp_close(nc, r);
    rmri_nc_advance(nc);
    return RMR_OK;
}

rmr_err rmr_netcheck_no_icmp(rmr_netcheck *nc, rmr_time now)
{
    rmr_err e = rmri_nc_enter(nc, now);
    if (e)
        return e;
    nc->how.no_icmp = true;
    rmri_nc_icmp_end(nc);
    rmri_nc_advance(nc);
    return RMR_OK;
}

/* ---- captive portals ----------------------------------------------------- */

static bool is_good(const nc_node *n)
{
    return n->can_port80 && n->literal[V4].family;
}

static bool portal_in(const rmr_netcheck *nc, const nc_region *r,
                      rmr_netcheck_portal *out)
{
    if (r->avoid || r->no_measure)
        return false;
    for (size_t i = 0; i < r->n_nodes; i++) {
        const nc_node *n = &nc->t.nodes[r->first_node + i];
        if (!is_good(n))
            continue;
        out->region = r->id;
        out->node = (uint8_t)i;
        out->addr = n->literal[V4];
        out->addr.port = 80;
        return true;
    }
    return false;
}

/* Of the last home, else of any region, from a random one on. */
bool rmri_nc_find_portal(const rmr_netcheck *nc, rmr_netcheck_portal *out)
{
    const nc_region *home = rmri_nc_region(nc, nc->report.preferred_derp);
    if (home && portal_in(nc, home, out))
        return true;
    for (size_t i = 0; i < nc->t.n_regions; i++)
        if (portal_in(nc, &nc->t.regions[(nc->seed + i) % nc->t.n_regions],
                      out))
            return true;
    return false;
}

bool rmr_netcheck_wants_portal(rmr_netcheck *nc, rmr_time now,
                               rmr_netcheck_portal *out)
{
    if (now > nc->now)
        nc->now = now;
    if (nc->stage == STAGE_OFF || nc->portal != WANTED ||
        left_of_run(nc) == 0 || !rmri_nc_find_portal(nc, out))
        return false;
    nc->portal = ASKED;
    out->timeout = left_of_run(nc) < PORTAL_FOR ? left_of_run(nc) : PORTAL_FOR;
    return true;
}

rmr_err rmr_netcheck_portal_done(rmr_netcheck *nc, rmr_time now,
                                 rmr_netcheck_tri found)
{
    rmr_err e = rmri_nc_enter(nc, now);
    if (e)
        return e;
    if (nc->stage == STAGE_OFF || nc->portal != ASKED)
        return RMR_E_STATE;
    nc->portal = IDLE;
    nc->cur.captive_portal = found;
    rmri_nc_advance(nc);
    return RMR_OK;
}

rmr_err rmr_netcheck_portmap_done(rmr_netcheck *nc, rmr_time now, bool upnp,
                                  bool pmp, bool pcp)
{
    rmr_err e = rmri_nc_enter(nc, now);
    if (e)
        return e;
    if (nc->stage == STAGE_OFF || !nc->portmap_open)
        return RMR_E_STATE;
    nc->portmap_open = false;
    nc->cur.upnp = upnp ? RMR_NETCHECK_YES : RMR_NETCHECK_NO;
    nc->cur.pmp = pmp ? RMR_NETCHECK_YES : RMR_NETCHECK_NO;
    nc->cur.pcp = pcp ? RMR_NETCHECK_YES : RMR_NETCHECK_NO;
    rmri_nc_advance(nc);
    return RMR_OK;
}
