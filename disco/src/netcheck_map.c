/* The map: regions by id, their nodes in one row, all texts in one block.  A
 * new one is built beside the old one and takes its place when it is whole. */
#include "netcheck_internal.h"

#include <string.h>

void rmri_nc_table_free(rmr_netcheck *nc, nc_table *t)
{
    const rmr_alloc *a = &nc->env.alloc;
    rmr_release(a, t->regions, t->cap_regions * sizeof *t->regions);
    rmr_release(a, t->latency, t->cap_regions * sizeof *t->latency);
    rmr_release(a, t->nodes, t->cap_nodes * sizeof *t->nodes);
    rmr_release(a, t->text, t->cap_text);
    memset(t, 0, sizeof *t);
}

static nc_region *find(const nc_table *t, uint16_t id)
{
    size_t lo = 0, hi = t->n_regions;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->regions[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < t->n_regions && t->regions[lo].id == id ? &t->regions[lo]
                                                        : NULL;
}

nc_region *rmri_nc_region(const rmr_netcheck *nc, uint16_t id)
{
    return find(&nc->t, id);
}

static bool has_host(const nc_table *t, const nc_node *n)
{
    return t->text[n->host] != '\0';
}

bool rmri_nc_has_family(const nc_node *n, int family, bool iface)
{
    uint8_t af = family == V4 ? RMR_AF_INET : RMR_AF_INET6;
    /* An address for tests may be on an interface that reaches nowhere. */
    if (n->test_ip.family)
        return n->test_ip.family == af;
    return iface && !n->off[family];
}

/* ---- building ----------------------------------------------------------- */

static size_t clip(const char *s, size_t max)
{
    size_t n = 0;
    while (s[n] && n < max)
        n++;
    return n;
}

#define HOST_MAX 255

static size_t nodes_of(const rmr_netcheck_region *r)
{
    return r->n_nodes < RMR_NETCHECK_MAX_NODES ? r->n_nodes
                                               : RMR_NETCHECK_MAX_NODES;
}

static bool is_valid(const rmr_netcheck_region *r)
{
    if (r->id == 0 || (r->n_nodes && !r->nodes))
        return false;
    for (size_t i = 0; i < nodes_of(r); i++)
        if (!r->nodes[i].name)
            return false;
    return true;
}

static uint32_t add_text(nc_table *t, const char *s, size_t max)
{
    size_t at = t->text_len, n = clip(s, max);
    memcpy(t->text + at, s, n);
    t->text[at + n] = '\0';
    t->text_len = at + n + 1;
    return (uint32_t)at;
}

static rmr_addr with_port(rmr_addr a, uint8_t family, uint16_t port)
{
    static const rmr_addr none;
    if (a.family != family)
        return none;
    a.port = port;
    return a;
}

/* A host name that is an address needs no look-up. */
static void take_literal_host(const nc_table *t, nc_node *n)
{
    rmr_addr a;
    if (rmr_addr_parse_ip(rmr_bytes_str(t->text + n->host), &a) != RMR_OK)
        return;
    int f = a.family == RMR_AF_INET ? V4 : V6;
    if (!n->literal[f].family && !n->off[f])
        n->literal[f] = with_port(a, a.family, (uint16_t)n->stun_port);
    n->off[V4] = n->off[V4] || !n->literal[V4].family;
    n->off[V6] = n->off[V6] || !n->literal[V6].family;
}

static void add_node(nc_table *t, const rmr_netcheck_node *from)
{
    nc_node *n = &t->nodes[t->n_nodes++];
    bool off = from->stun_port < 0 || from->stun_port > UINT16_MAX;
    n->stun_port = off ? -1 : from->stun_port ? from->stun_port : RMR_STUN_PORT;
    uint16_t port = off ? 0 : (uint16_t)n->stun_port;
    n->name = add_text(t, from->name, RMR_NETCHECK_NAME_MAX - 1);
    n->host = add_text(t, from->host ? from->host : "", HOST_MAX);
    n->off[V4] = from->no_v4;
    n->off[V6] = from->no_v6;
    if (!from->no_v4)
        n->literal[V4] = with_port(from->v4, RMR_AF_INET, port);
    if (!from->no_v6)
        n->literal[V6] = with_port(from->v6, RMR_AF_INET6, port);
    n->test_ip = with_port(from->test_ip, from->test_ip.family, port);
    n->stun_only = from->stun_only;
    n->can_port80 = from->can_port80;
    take_literal_host(t, n);
    if (!has_host(t, n)) {
        n->off[V4] = n->off[V4] || !n->literal[V4].family;
        n->off[V6] = n->off[V6] || !n->literal[V6].family;
    }
}

/* Where a region of this id is to be; the ones behind move up.  NULL: it is
 * there already. */
static nc_region *insert(nc_table *t, uint16_t id)
{
    size_t at = t->n_regions;
    if (find(t, id))
        return NULL;
    while (at > 0 && t->regions[at - 1].id > id)
        at--;
    memmove(&t->regions[at + 1], &t->regions[at],
            (t->n_regions - at) * sizeof *t->regions);
    memset(&t->regions[at], 0, sizeof *t->regions);
    t->n_regions++;
    return &t->regions[at];
}

static void add_region(nc_table *t, const rmr_netcheck_region *from)
{
    nc_region *r = insert(t, from->id);
    if (!r)
        return;
    r->id = r->cur.region = r->last.region = from->id;
    r->cur.any = r->cur.v4 = r->cur.v6 = NONE;
    r->last = r->cur;
    r->avoid = from->avoid;
    r->no_measure = from->no_measure_no_home;
    r->score = from->score;
    r->first_node = (uint32_t)t->n_nodes;
    r->n_nodes = (uint8_t)nodes_of(from);
    for (size_t i = 0; i < r->n_nodes; i++) {
        r->has_relay = r->has_relay || !from->nodes[i].stun_only;
        add_node(t, &from->nodes[i]);
    }
}

/* How much room the map takes at most; equal ids are seen later. */
static void measure(const rmr_netcheck_region *regions, size_t n, nc_table *t)
{
    t->cap_regions = n;
    for (size_t i = 0; i < n; i++) {
        size_t k = nodes_of(&regions[i]);
        t->cap_nodes += k;
        for (size_t j = 0; j < k; j++) {
            const rmr_netcheck_node *node = &regions[i].nodes[j];
            t->cap_text += clip(node->name, RMR_NETCHECK_NAME_MAX - 1) + 1;
            t->cap_text += (node->host ? clip(node->host, HOST_MAX) : 0) + 1;
        }
    }
}

static rmr_err take_memory(rmr_netcheck *nc, nc_table *t)
{
    const rmr_alloc *a = &nc->env.alloc;
    size_t n = t->cap_regions, k = t->cap_nodes;
    t->regions = rmr_alloc_zero(a, n * sizeof *t->regions, _Alignof(nc_region));
    t->latency = rmr_alloc_zero(a, n * sizeof *t->latency,
                                _Alignof(rmr_netcheck_latency));
    t->nodes = rmr_alloc_zero(a, k * sizeof *t->nodes, _Alignof(nc_node));
    t->text = rmr_alloc_zero(a, t->cap_text, 1);
    if ((n == 0 || (t->regions && t->latency)) &&
        (k == 0 || (t->nodes && t->text)))
        return RMR_OK;
    rmri_nc_table_free(nc, t);
    return RMR_E_NOMEM;
}

static uint64_t count_left_out(const rmr_netcheck_region *regions, size_t n,
                               size_t kept)
{
    uint64_t out = n - kept;
    for (size_t i = 0; i < kept; i++)
        out += regions[i].n_nodes - nodes_of(&regions[i]);
    return out;
}

/* A whole new table, or none. */
static rmr_err build(rmr_netcheck *nc, const rmr_netcheck_region *regions,
                     size_t n, nc_table *t)
{
    for (size_t i = 0; i < n; i++)
        if (!is_valid(&regions[i]))
            return RMR_E_INVAL;
    measure(regions, n, t);
    rmr_err e = take_memory(nc, t);
    for (size_t i = 0; e == RMR_OK && i < n; i++)
        add_region(t, &regions[i]);
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t j = 0; j < t->regions[i].n_nodes; j++)
            t->nodes[t->regions[i].first_node + j].region = (uint16_t)i;
    return e;
}

/* ---- comparing ---------------------------------------------------------- */

static bool same_text(const nc_table *ta, uint32_t a, const nc_table *tb,
                      uint32_t b)
{
    return rmr_bytes_eq_str(rmr_bytes_str(ta->text + a), tb->text + b);
}

static bool node_eq(const nc_table *ta, const nc_node *a, const nc_table *tb,
                    const nc_node *b)
{
    return a->stun_port == b->stun_port && a->stun_only == b->stun_only &&
           a->can_port80 == b->can_port80 && a->off[V4] == b->off[V4] &&
           a->off[V6] == b->off[V6] &&
           rmr_addr_eq(&a->literal[V4], &b->literal[V4]) &&
           rmr_addr_eq(&a->literal[V6], &b->literal[V6]) &&
           rmr_addr_eq(&a->test_ip, &b->test_ip) &&
           same_text(ta, a->name, tb, b->name) &&
           same_text(ta, a->host, tb, b->host);
}

static bool region_eq(const nc_table *ta, const nc_region *a,
                      const nc_table *tb, const nc_region *b)
{
    if (a->id != b->id || a->avoid != b->avoid ||
        a->no_measure != b->no_measure || a->score != b->score ||
        a->n_nodes != b->n_nodes)
        return false;
    for (size_t i = 0; i < a->n_nodes; i++)
        if (!node_eq(ta, &ta->nodes[a->first_node + i], tb,
                     &tb->nodes[b->first_node + i]))
            return false;
    return true;
}

static bool table_eq(const nc_table *a, const nc_table *b)
{
    if (a->n_regions != b->n_regions)
        return false;
    for (size_t i = 0; i < a->n_regions; i++)
        if (!region_eq(a, &a->regions[i], b, &b->regions[i]))
            return false;
    return true;
}

/* What was learned of a region and its nodes goes over to the new table. */
static void keep(const nc_table *old, nc_table *t, nc_region *r)
{
    const nc_region *o = find(old, r->id);
    if (!o)
        return;
    r->last = o->last;
    r->has_heard = o->has_heard;
    r->heard = o->heard;
    memcpy(r->past, o->past, sizeof r->past);
    r->n_past = o->n_past;
    for (size_t i = 0; i < r->n_nodes && i < o->n_nodes; i++) {
        const nc_node *was = &old->nodes[o->first_node + i];
        nc_node *n = &t->nodes[r->first_node + i];
        if (!was->has_found || !same_text(old, was->host, t, n->host))
            continue;
        n->has_found = true;
        n->found_at = was->found_at;
        memcpy(n->found, was->found, sizeof n->found);
    }
}

/* The report's latencies lie in the table's room. */
static void move_report(rmr_netcheck *nc, nc_table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < nc->report.n_latency; i++)
        if (find(t, nc->report.latency[i].region))
            t->latency[n++] = nc->report.latency[i];
    nc->report.latency = t->latency;
    nc->report.n_latency = n;
}

/* The new table is in place before anything is told. */
static void replace(rmr_netcheck *nc, nc_table *t)
{
    bool running = nc->stage != STAGE_OFF;
    for (size_t i = 0; i < t->n_regions; i++)
        keep(&nc->t, t, &t->regions[i]);
    move_report(nc, t);
    rmri_nc_plan_free(nc);
    rmri_nc_table_free(nc, &nc->t);
    nc->t = *t;
    if (running) {
        nc->stats.stopped_runs++;
        rmri_nc_tell(nc, NULL);
    }
}

rmr_err rmr_netcheck_set_map(rmr_netcheck *nc, rmr_time now,
                             const rmr_netcheck_region *regions, size_t n,
                             bool *changed)
{
    nc_table t;
    size_t kept = n < RMR_NETCHECK_MAX_REGIONS ? n : RMR_NETCHECK_MAX_REGIONS;
    memset(&t, 0, sizeof t);
    if (changed)
        *changed = false;
    rmr_err e = rmri_nc_enter(nc, now);
    if (e == RMR_OK)
        e = build(nc, regions, kept, &t);
    if (e)
        return e;
    if (table_eq(&nc->t, &t)) {
        rmri_nc_table_free(nc, &t);
        return RMR_OK;
    }
    nc->stats.left_out += count_left_out(regions, n, kept);
    if (changed)
        *changed = true;
    replace(nc, &t);
    return RMR_OK;
}
