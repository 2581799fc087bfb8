/* Our place in the network, as the server and the peers are told of it. */
#include "ctl_internal.h"

#include <stdio.h>
#include <string.h>

/* In the order of NetInfo's members, which is that of ctl_net.tri. */
static const char *const tri_names[CTL_TRI] = {
    "MappingVariesByDestIP", "WorkingIPv6", "OSHasIPv6", "WorkingUDP",
    "WorkingICMPv4",         "UPnP",        "PMP",       "PCP"};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The caller's struct may be an older and shorter one. */
void rmr_ctl_net_init(rmr_ctl_net *net, size_t struct_size)
{
    rmr_ctl_net n = {0};
    n.struct_size = (uint32_t)struct_size;
    n.mapping_varies = n.working_ipv6 = n.os_has_ipv6 = n.working_udp = -1;
    n.working_icmpv4 = n.upnp = n.pmp = n.pcp = -1;
    memset(net, 0, struct_size);
    memcpy(net, &n, smaller(struct_size, sizeof n));
}

void rmri_ctl_net_init(ctl_net *net)
{
    memset(net, 0, sizeof *net);
    memset(net->tri, -1, sizeof net->tri);
}

void rmri_ctl_net_free(ctl_net *net, const rmr_alloc *a)
{
    rmri_ctl_vec_free(&net->endpoints, a);
    rmri_ctl_vec_free(&net->latencies, a);
}

/* ---- taking it --------------------------------------------------------- */

static bool copy_text(char *dst, size_t cap, const char *src)
{
    size_t len = src ? strlen(src) : 0;
    if (len >= cap)
        return false;
    if (len)
        memcpy(dst, src, len);
    return true;
}

static rmr_err take_lists(ctl_net *to, const rmr_alloc *a,
                          const rmr_ctl_net *from)
{
    size_t n = smaller(from->n_endpoints, CTL_MAX_ENDPOINTS);
    for (size_t i = 0; i < n; i++) {
        rmr_ctl_endpoint *e =
            rmri_ctl_vec_add(&to->endpoints, a, sizeof *e, SIZE_MAX);
        if (!e)
            return RMR_E_NOMEM;
        rmri_ctl_put_addr(&e->addr, &from->endpoints[i].addr);
        e->type = from->endpoints[i].type;
    }
    n = smaller(from->n_latencies, CTL_MAX_LATENCIES);
    for (size_t i = 0; i < n; i++) {
        rmr_ctl_latency *l =
            rmri_ctl_vec_add(&to->latencies, a, sizeof *l, SIZE_MAX);
        if (!l)
            return RMR_E_NOMEM;
        l->region = from->latencies[i].region;
        l->v6 = from->latencies[i].v6;
        l->latency = from->latencies[i].latency;
    }
    return RMR_OK;
}

static rmr_err take(ctl_net *to, const rmr_alloc *a, const rmr_ctl_net *from)
{
    const int8_t tri[CTL_TRI] = {from->mapping_varies,
                                 from->working_ipv6,
                                 from->os_has_ipv6,
                                 from->working_udp,
                                 from->working_icmpv4,
                                 from->upnp,
                                 from->pmp,
                                 from->pcp};
    rmri_ctl_net_init(to);
    to->home_derp = from->home_derp;
    to->have_port_map = from->have_port_map;
    memcpy(to->tri, tri, sizeof tri);
    if (!copy_text(to->link_type, sizeof to->link_type, from->link_type) ||
        !copy_text(to->firewall_mode, sizeof to->firewall_mode,
                   from->firewall_mode))
        return RMR_E_INVAL;
    return take_lists(to, a, from);
}

/* The set of endpoints counts, not its order; each is in the list once. */
static bool same_endpoints(const ctl_net *a, const ctl_net *b)
{
    const rmr_ctl_endpoint *x =
        (const rmr_ctl_endpoint *)(const void *)a->endpoints.p;
    const rmr_ctl_endpoint *y =
        (const rmr_ctl_endpoint *)(const void *)b->endpoints.p;
    size_t n = a->endpoints.len / sizeof *x;
    if (a->endpoints.len != b->endpoints.len)
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (j < n &&
               (x[i].type != y[j].type || !rmr_addr_eq(&x[i].addr, &y[j].addr)))
            j++;
        if (j == n)
            return false;
    }
    return true;
}

static bool same_net(const ctl_net *a, const ctl_net *b)
{
    return a->home_derp == b->home_derp &&
           a->have_port_map == b->have_port_map &&
           memcmp(a->tri, b->tri, sizeof a->tri) == 0 &&
           rmri_ctl_same(a->link_type, b->link_type) &&
           rmri_ctl_same(a->firewall_mode, b->firewall_mode) &&
           same_endpoints(a, b);
}

rmr_err rmr_ctl_set_net(rmr_ctl *c, rmr_time now, const rmr_ctl_net *net)
{
    rmr_ctl_net in;
    ctl_net v;
    if (net->struct_size < sizeof net->struct_size)
        return RMR_E_INVAL;
    rmr_ctl_net_init(&in, sizeof in);
    memcpy(&in, net, smaller(net->struct_size, sizeof in));
    if ((in.n_endpoints && !in.endpoints) || (in.n_latencies && !in.latencies))
        return RMR_E_INVAL;
    c->now = now > c->now ? now : c->now;
    rmr_err err = take(&v, &c->env.alloc, &in);
    if (err != RMR_OK) {
        rmri_ctl_net_free(&v, &c->env.alloc);
        return err;
    }
    bool same = same_net(&v, &c->net);
    rmri_ctl_net_free(&c->net, &c->env.alloc);
    c->net = v;
    if (same)
        return RMR_OK;
    c->update_due = true;
    c->update_at = c->now;
    c->update_failures = 0;
    return RMR_OK;
}

rmr_err rmr_ctl_set_host(rmr_ctl *c, rmr_time now, const char *hostname,
                         bool shields_up)
{
    size_t len = hostname ? strlen(hostname) : 0;
    if (len == 0 || len >= NM_TEXT_MAX)
        return RMR_E_INVAL;
    c->now = now > c->now ? now : c->now;
    if (rmr_bytes_eq_str(rmr_bytes_str(hostname), rmr_text_kept(c->hostname)) &&
        c->shields_up == shields_up)
        return RMR_OK;
    rmr_err e =
        rmr_text_keep(&c->hostname, &c->env.alloc, rmr_bytes_str(hostname));
    if (e)
        return e;
    c->shields_up = shields_up;
    c->update_due = true;
    c->update_at = c->now;
    c->update_failures = 0;
    return RMR_OK;
}

/* ---- saying it --------------------------------------------------------- */

void rmri_ctl_net_put_endpoints(rmr_jw *w, const ctl_net *net)
{
    const rmr_ctl_endpoint *e =
        (const rmr_ctl_endpoint *)(const void *)net->endpoints.p;
    size_t n = net->endpoints.len / sizeof *e;
    char text[RMR_ADDR_TEXT_MAX];
    if (n == 0)
        return;
    rmr_jw_key(w, "Endpoints");
    rmr_jw_array(w);
    for (size_t i = 0; i < n; i++)
        rmr_jw_str(w, rmr_addr_text(&e[i].addr, text));
    rmr_jw_array_end(w);
    rmr_jw_key(w, "EndpointTypes");
    rmr_jw_array(w);
    for (size_t i = 0; i < n; i++)
        rmr_jw_int(w, e[i].type);
    rmr_jw_array_end(w);
}

/* A JSON number of exact decimals. */
static void put_seconds(rmr_jw *w, rmr_dur d)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%llu.%09llu",
                     (unsigned long long)(d / RMR_SEC),
                     (unsigned long long)(d % RMR_SEC));
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    rmr_jw_raw(w, rmr_bytes_of(text, (size_t)n));
}

static void put_latencies(rmr_jw *w, const ctl_net *net)
{
    const rmr_ctl_latency *l =
        (const rmr_ctl_latency *)(const void *)net->latencies.p;
    size_t n = net->latencies.len / sizeof *l;
    char key[16];
    if (n == 0)
        return;
    rmr_jw_key(w, "DERPLatency");
    rmr_jw_object(w);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(key, sizeof key, "%u-%s", l[i].region,
                       l[i].v6 ? "v6" : "v4");
        rmr_jw_key(w, key);
        put_seconds(w, l[i].latency);
    }
    rmr_jw_object_end(w);
}

static bool is_blank(const ctl_net *net)
{
    ctl_net none;
    rmri_ctl_net_init(&none);
    return net->home_derp == 0 && !net->have_port_map &&
           net->latencies.len == 0 && !net->link_type[0] &&
           !net->firewall_mode[0] &&
           memcmp(net->tri, none.tri, sizeof none.tri) == 0;
}

void rmri_ctl_net_put_info(rmr_jw *w, const ctl_net *net)
{
    if (is_blank(net)) /* a server may keep the old one */
        return;
    rmr_jw_key(w, "NetInfo");
    rmr_jw_object(w);
    for (size_t i = 0; i < CTL_TRI; i++)
        if (net->tri[i] >= 0)
            rmr_jw_kbool(w, tri_names[i], net->tri[i] > 0);
    if (net->have_port_map)
        rmr_jw_kbool(w, "HavePortMap", true);
    if (net->home_derp)
        rmr_jw_kint(w, "PreferredDERP", net->home_derp);
    if (net->link_type[0])
        rmr_jw_kstr(w, "LinkType", net->link_type);
    if (net->firewall_mode[0])
        rmr_jw_kstr(w, "FirewallMode", net->firewall_mode);
    put_latencies(w, net);
    rmr_jw_object_end(w);
}
