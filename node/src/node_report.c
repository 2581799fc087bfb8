/* A netcheck's report with the names of `tailscale netcheck --format=json`, and
 * the DERP map as control told it. */
#include "node_internal.h"

#include <remora/text.h>
#include <stdio.h>
#include <string.h>

/* ---- the report -------------------------------------------------------- */

static void put_tri(rmr_jw *w, const char *key, rmr_netcheck_tri t)
{
    rmr_jw_key(w, key);
    if (t == RMR_NETCHECK_UNKNOWN)
        rmr_jw_null(w);
    else
        rmr_jw_bool(w, t == RMR_NETCHECK_YES);
}

static void put_addr(rmr_jw *w, const char *key, const rmr_addr *a)
{
    char text[RMR_ADDR_TEXT_MAX];
    rmr_jw_kstr(w, key, a->family == RMR_AF_NONE ? "" : rmr_addr_text(a, text));
}

static void put_id(rmr_jw *w, uint16_t id)
{
    char text[8];
    (void)snprintf(text, sizeof text, "%u", id);
    rmr_jw_key(w, text);
}

enum { ANY, V4, V6 };

/* Nanoseconds, as Go writes durations. */
static void put_latencies(rmr_jw *w, const char *key,
                          const rmr_netcheck_report *r, int which)
{
    rmr_jw_key(w, key);
    rmr_jw_object(w);
    for (size_t i = 0; i < r->n_latency; i++) {
        const rmr_netcheck_latency *l = &r->latency[i];
        rmr_dur d = which == ANY ? l->any : which == V4 ? l->v4 : l->v6;
        if (d == RMR_NETCHECK_NO_LATENCY)
            continue;
        put_id(w, l->region);
        rmr_jw_u64(w, d);
    }
    rmr_jw_object_end(w);
}

static void put_globals(rmr_jw *w, const char *key,
                        const rmr_netcheck_global *g, size_t count)
{
    char text[RMR_ADDR_TEXT_MAX];
    rmr_jw_key(w, key);
    rmr_jw_object(w);
    for (size_t i = 0; i < count; i++)
        rmr_jw_ku64(w, rmr_addr_text(&g[i].addr, text), g[i].seen);
    rmr_jw_object_end(w);
}

static void put_regions(const rmr_node *n, rmr_jw *w)
{
    rmr_nm_derp_region v;
    rmr_jw_key(w, "Regions");
    rmr_jw_object(w);
    for (size_t i = 0; rmr_nm_derp_at(n->nm, i, &v); i++) {
        put_id(w, v.id);
        rmr_jw_object(w);
        rmr_jw_kstr(w, "RegionCode", v.code);
        rmr_jw_kstr(w, "RegionName", v.name);
        rmr_jw_object_end(w);
    }
    rmr_jw_object_end(w);
}

rmr_err rmri_node_report_json(const rmr_node *n, rmr_time now,
                              const rmr_netcheck_report *r, rmr_buf dst,
                              size_t *len)
{
    char text[RMR_TIME_TEXT_MAX];
    rmr_jw w;
    rmr_jw_init(&w, dst);
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "Now", rmr_time_text(rmr_mc_wall(n->mc, now), text));
    rmr_jw_kbool(&w, "UDP", r->udp);
    rmr_jw_kbool(&w, "IPv6", r->ipv6);
    rmr_jw_kbool(&w, "IPv4", r->ipv4);
    rmr_jw_kbool(&w, "IPv6CanSend", r->ipv6_can_send);
    rmr_jw_kbool(&w, "IPv4CanSend", r->ipv4_can_send);
    rmr_jw_kbool(&w, "OSHasIPv6", r->os_has_ipv6);
    rmr_jw_kbool(&w, "ICMPv4", r->icmpv4);
    put_tri(&w, "MappingVariesByDestIP", r->mapping_varies);
    put_tri(&w, "UPnP", r->upnp);
    put_tri(&w, "PMP", r->pmp);
    put_tri(&w, "PCP", r->pcp);
    rmr_jw_kint(&w, "PreferredDERP",
                n->only_netcheck ? r->preferred_derp : n->home);
    put_latencies(&w, "RegionLatency", r, ANY);
    put_latencies(&w, "RegionV4Latency", r, V4);
    put_latencies(&w, "RegionV6Latency", r, V6);
    put_globals(&w, "GlobalV4Counters", r->globals_v4, r->n_globals_v4);
    put_globals(&w, "GlobalV6Counters", r->globals_v6, r->n_globals_v6);
    put_addr(&w, "GlobalV4", &r->global_v4);
    put_addr(&w, "GlobalV6", &r->global_v6);
    put_tri(&w, "CaptivePortal", r->captive_portal);
    put_regions(n, &w);
    rmr_jw_object_end(&w);
    return rmr_jw_end(&w, len);
}

/* ---- the DERP map ------------------------------------------------------ */

static void put_family(rmr_jw *w, const rmr_nm_derp_node *d, uint8_t family,
                       const char *key, bool none)
{
    char text[RMR_ADDR_TEXT_MAX];
    if (none)
        rmr_jw_kstr(w, key, "none");
    for (size_t i = 0; i < d->n_addrs && !none; i++)
        if (d->addrs[i].family == family)
            rmr_jw_kstr(w, key, rmr_addr_ip_text(&d->addrs[i], text));
}

static void put_node(rmr_jw *w, uint16_t region, const rmr_nm_derp_node *d)
{
    char text[RMR_ADDR_TEXT_MAX];
    rmr_jw_object(w);
    rmr_jw_kstr(w, "Name", d->name);
    rmr_jw_kint(w, "RegionID", region);
    rmr_jw_kstr(w, "HostName", d->host);
    if (d->cert_name[0])
        rmr_jw_kstr(w, "CertName", d->cert_name);
    put_family(w, d, RMR_AF_INET, "IPv4", d->no_v4);
    put_family(w, d, RMR_AF_INET6, "IPv6", d->no_v6);
    rmr_jw_kint(w, "STUNPort", d->stun_port);
    rmr_jw_kint(w, "DERPPort", d->port);
    if (d->stun_only)
        rmr_jw_kbool(w, "STUNOnly", true);
    if (d->insecure)
        rmr_jw_kbool(w, "InsecureForTests", true);
    if (d->stun_test_ip.family != RMR_AF_NONE)
        rmr_jw_kstr(w, "STUNTestIP", rmr_addr_ip_text(&d->stun_test_ip, text));
    if (d->can_port80)
        rmr_jw_kbool(w, "CanPort80", true);
    rmr_jw_object_end(w);
}

static void put_region(rmr_jw *w, const rmr_nm_derp_region *v)
{
    put_id(w, v->id);
    rmr_jw_object(w);
    rmr_jw_kint(w, "RegionID", v->id);
    rmr_jw_kstr(w, "RegionCode", v->code);
    rmr_jw_kstr(w, "RegionName", v->name);
    if (v->latitude != 0 || v->longitude != 0) {
        rmr_jw_key(w, "Latitude");
        rmr_jw_double(w, v->latitude);
        rmr_jw_key(w, "Longitude");
        rmr_jw_double(w, v->longitude);
    }
    if (v->avoid)
        rmr_jw_kbool(w, "Avoid", true);
    if (v->no_measure_no_home)
        rmr_jw_kbool(w, "NoMeasureNoHome", true);
    rmr_jw_key(w, "Nodes");
    rmr_jw_array(w);
    for (size_t i = 0; i < v->n_nodes; i++)
        put_node(w, v->id, &v->nodes[i]);
    rmr_jw_array_end(w);
    rmr_jw_object_end(w);
}

/* A region has its own writer, whose brace becomes the comma before it. */
static size_t region_piece(const rmr_nm_derp_region *v, bool first, rmr_buf dst)
{
    rmr_jw w;
    rmr_jw_init(&w, dst);
    rmr_jw_object(&w);
    put_region(&w, v);
    size_t len = w.len;
    if (w.failed || len == 0)
        return 0;
    dst.ptr[0] = ',';
    if (first)
        memmove(dst.ptr, dst.ptr + 1, --len);
    return len;
}

size_t rmri_node_derp_map_piece(const rmr_node *n, uint64_t *pos, rmr_buf dst)
{
    static const char head[] = "{\"Regions\":{", tail[] = "}}\n";
    rmr_nm_derp_region v;
    size_t len = 0;
    if (*pos == 0) {
        memcpy(dst.ptr, head, sizeof head - 1);
        *pos = 1;
        return sizeof head - 1;
    }
    if (*pos == UINT64_MAX)
        return 0;
    while (len == 0 && n->nm && rmr_nm_derp_at(n->nm, *pos - 1, &v)) {
        len = region_piece(&v, *pos == 1, dst); /* 0: it is too large */
        ++*pos;
    }
    if (len > 0)
        return len;
    memcpy(dst.ptr, tail, sizeof tail - 1);
    *pos = UINT64_MAX;
    return sizeof tail - 1;
}
