/* When the network is measured, and what the measurement asks for: STUN by the
 * sockets of the data, names, echo messages, HTTPS requests. */
#include "node_internal.h"

#include <stdio.h>
#include <string.h>

#define MAX_PER_PUMP 256
#define ICMP_QUEUE ((size_t)16 * 1024)
/* Before a run, where the last one could send nothing. */
#define REBIND_EVERY (20 * RMR_SEC)

/* ---- when -------------------------------------------------------------- */

static void conditions(rmr_node *n)
{
    rmr_netcheck_while w;
    memset(&w, 0, sizeof w);
    /* Who measures once is told of a network that is down, too. */
    w.network_up = n->only_netcheck || rmri_node_links_have(n, RMR_AF_INET) ||
                   rmri_node_links_have(n, RMR_AF_INET6);
    w.has_key = true; /* there are no layers before */
    w.has_peers = n->nm && rmr_nm_peer_count(n->nm) > 0;
    w.always_stun = n->nm && rmr_nm_self_has_cap(n->nm, "debug-always-stun");
    rmr_netcheck_sched_set(&n->sched, &w);
}

void rmri_node_netcheck_want(rmr_node *n, rmr_time now, rmr_netcheck_why why)
{
    rmr_netcheck_trigger(&n->sched, now, why);
    n->dirty = true;
}

static bool can_run(const rmr_node *n)
{
    return n->netcheck && n->phase == ND_PHASE_UP &&
           rmr_nm_derp_count(n->nm) > 0;
}

/* The socket is waited for: whether it opens or fails is told. */
static bool is_opening(const rmr_node *n)
{
    return n->udp[0].io && !n->udp[0].bound;
}

rmr_time rmri_node_netcheck_deadline(const rmr_node *n)
{
    if (!can_run(n))
        return RMR_TIME_NEVER;
    rmr_time at = rmr_netcheck_next_deadline(n->netcheck);
    if (!is_opening(n))
        at = rmr_time_min(at, rmr_netcheck_sched_next_deadline(&n->sched));
    return at;
}

void rmri_node_netcheck_handle_deadline(rmr_node *n, rmr_time now)
{
    rmri_node_check(n, now, rmr_netcheck_handle_deadline(n->netcheck, now));
}

/* A run ended: all that hangs on it follows, endpoints before the home, so that
 * control is told of both at once. */
static void on_done(void *user, const rmr_netcheck_report *report)
{
    rmr_node *n = user;
    static const rmr_path_varies varies[] = {
        [RMR_NETCHECK_UNKNOWN] = RMR_PATH_VARIES_UNKNOWN,
        [RMR_NETCHECK_NO] = RMR_PATH_VARIES_NO,
        [RMR_NETCHECK_YES] = RMR_PATH_VARIES_YES,
    };
    n->dirty = true;
    rmri_node_check(n, n->now,
                    rmr_netcheck_sched_ended(&n->sched, n->now, &n->env.rng));
    if (n->icmp)
        rmr_mc_io_close(n->icmp);
    n->icmp = NULL;
    rmr_ring_wipe(&n->icmp_out);
    if (n->only_netcheck) {
        rmri_node_measure_done(n, n->now, report);
        return;
    }
    if (report) {
        bool seen = report->global_v4.family == RMR_AF_INET;
        rmr_paths_set_nat(n->paths, n->now, varies[report->mapping_varies],
                          seen ? &report->global_v4 : NULL);
        rmri_node_regions_choose_home(n, n->now);
        rmri_node_endpoints_update(n, n->now);
    }
    rmri_node_local_report(n, n->now, report);
}

static void start(rmr_node *n, rmr_time now, uint32_t why)
{
    rmr_netcheck_how how;
    memset(&how, 0, sizeof how);
    how.force_full =
        (why & (RMR_NETCHECK_WHY_LINK | RMR_NETCHECK_WHY_MAP |
                RMR_NETCHECK_WHY_USER | RMR_NETCHECK_WHY_REBIND)) != 0;
    how.have_v4 = n->udp[0].io && rmri_node_links_have(n, RMR_AF_INET);
    how.have_v6 = n->udp[1].io && rmri_node_links_have(n, RMR_AF_INET6);
    how.os_has_ipv6 = n->udp[1].bound != 0;
    how.only_tcp_443 = (n->path_switches & RMR_PATHS_NO_UDP) != 0;
    how.no_icmp = n->icmp_denied;
    how.portmap = rmri_node_portmap_probe(n, now);
    rmr_err err = rmr_netcheck_start(n->netcheck, now, &how);
    if (err == RMR_OK)
        return;
    rmri_node_check(n, now, err);
    rmr_netcheck_sched_ended(&n->sched, now, &n->env.rng);
    if (n->only_netcheck)
        rmri_node_fail(n, now, err, NULL);
    rmri_node_local_report(n, now, NULL);
}

/* ---- names ------------------------------------------------------------- */

struct nd_name { /* a look-up that is out */
    rmr_node *n;
    nd_name *next;
    uint64_t id;
    uint16_t region;
    uint8_t node;
};

static void name_free(nd_name *q)
{
    for (nd_name **p = &q->n->names; *p; p = &(*p)->next) {
        if (*p == q) {
            *p = q->next;
            break;
        }
    }
    rmr_release(&q->n->env.alloc, q, sizeof *q);
}

static void on_resolved(void *user, rmr_time now, rmr_err err,
                        const rmr_addr *addrs, size_t count)
{
    nd_name *q = user;
    q->n->dirty = true;
    rmr_netcheck_resolved(q->n->netcheck, now, q->region, q->node, addrs,
                          err == RMR_OK ? count : 0);
    name_free(q);
}

static void ask_name(rmr_node *n, rmr_time now, const rmr_netcheck_name *want)
{
    nd_name *q = rmr_alloc_zero(&n->env.alloc, sizeof *q, _Alignof(nd_name));
    if (q) {
        uint64_t id = 0;
        q->n = n;
        q->region = want->region;
        q->node = want->node;
        q->next = n->names;
        n->names = q;
        if (rmr_mc_resolve(n->mc, now, want->host, on_resolved, q, &id) ==
            RMR_OK) {
            if (n->names == q) /* else it is answered, and gone */
                q->id = id;
            return;
        }
        name_free(q);
    }
    rmr_netcheck_resolved(n->netcheck, now, want->region, want->node, NULL, 0);
}

/* ---- echo messages ----------------------------------------------------- */

static void icmp_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    n->icmp = NULL;
    n->icmp_denied = why == RMR_E_DENIED || why == RMR_E_UNSUPPORTED;
    n->dirty = true;
    rmr_ring_wipe(&n->icmp_out);
    rmr_netcheck_no_icmp(n->netcheck, now);
}

static void icmp_datagrams(void *owner, rmr_time now, const rmr_addr *from,
                           rmr_buf data, uint32_t seg_size)
{
    rmr_node *n = owner;
    size_t step = seg_size ? seg_size : data.len;
    (void)from;
    n->dirty = true;
    for (size_t at = 0; at < data.len; at += step) {
        size_t len = data.len - at < step ? data.len - at : step;
        rmr_netcheck_read_icmp(n->netcheck, now,
                               rmr_bytes_of(data.ptr + at, len));
    }
}

typedef struct icmp_head {
    rmr_addr to;
    size_t len;
} icmp_head;

static bool icmp_produce(void *owner, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    rmr_node *n = owner;
    icmp_head head;
    (void)now;
    if (rmr_ring_read(&n->icmp_out, &head, sizeof head) < sizeof head)
        return false;
    rmr_ring_read(&n->icmp_out, scratch.ptr, head.len);
    op->addr = head.to;
    op->data = rmr_bytes_of(scratch.ptr, head.len);
    return true;
}

static const rmr_mc_io_ops icmp_ops = {
    .failed = icmp_failed,
    .datagrams = icmp_datagrams,
    .produce_udp = icmp_produce,
};

/* false: the host has no such socket. */
static bool icmp_is_open(rmr_node *n)
{
    rmr_addr any = {0};
    any.family = RMR_AF_INET;
    if (!n->icmp && !n->icmp_denied)
        n->icmp = rmr_mc_icmp(n->mc, &any, &icmp_ops, n);
    return n->icmp != NULL;
}

static bool one_echo(rmr_node *n, rmr_time now)
{
    uint8_t buf[sizeof(icmp_head) + RMR_NETCHECK_ICMP_MAX];
    icmp_head head;
    memset(&head, 0, sizeof head);
    if (rmr_netcheck_write_icmp(
            n->netcheck, now,
            rmr_buf_of(buf + sizeof head, RMR_NETCHECK_ICMP_MAX), &head.len,
            &head.to) != RMR_OK ||
        head.len == 0)
        return false;
    if (!icmp_is_open(n)) {
        rmr_netcheck_no_icmp(n->netcheck, now);
        return false;
    }
    memcpy(buf, &head, sizeof head);
    if (rmr_ring_write_all(&n->icmp_out,
                           rmr_bytes_of(buf, sizeof head + head.len)) == RMR_OK)
        rmr_mc_io_output(n->icmp);
    return true;
}

/* ---- STUN -------------------------------------------------------------- */

static bool one_stun(rmr_node *n, rmr_time now)
{
    uint8_t buf[64];
    rmr_addr to;
    size_t len = 0;
    if (rmr_netcheck_write_pkt(n->netcheck, now, rmr_buf_of(buf, sizeof buf),
                               &len, &to) != RMR_OK ||
        len == 0)
        return false;
    if (!rmri_node_udp_send(n, 0, &to, rmr_bytes_of(buf, len), 0))
        rmr_netcheck_send_failed(n->netcheck, &to);
    return true;
}

/* A full queue or a firewall's word is loss; that there is no way is told. */
void rmri_node_netcheck_send_failed(rmr_node *n, const rmr_addr *to,
                                    rmr_err why)
{
    if (n->netcheck && why != RMR_E_TOOBIG && why != RMR_E_DENIED)
        rmr_netcheck_send_failed(n->netcheck, to);
}

/* ---- the map ----------------------------------------------------------- */

static void node_of(const rmr_nm_derp_node *from, rmr_netcheck_node *to)
{
    to->name = from->name;
    to->host = from->host;
    for (size_t i = 0; i < from->n_addrs; i++) {
        if (from->addrs[i].family == RMR_AF_INET)
            to->v4 = from->addrs[i];
        else
            to->v6 = from->addrs[i];
    }
    to->test_ip = from->stun_test_ip;
    to->no_v4 = from->no_v4;
    to->no_v6 = from->no_v6;
    to->stun_port = from->stun_port;
    to->stun_only = from->stun_only;
    to->can_port80 = from->can_port80;
}

static uint32_t thousandths(double score)
{
    double s = score * RMR_NETCHECK_SCORE_ONE;
    return s < 1 ? 1 : s > 1e6 ? 1000000 : (uint32_t)s;
}

static size_t count_nodes(const rmr_node *n)
{
    rmr_nm_derp_region v;
    size_t count = 0;
    for (size_t i = 0; rmr_nm_derp_at(n->nm, i, &v); i++)
        count += v.n_nodes;
    return count;
}

static void fill(const rmr_node *n, rmr_netcheck_region *regions,
                 rmr_netcheck_node *nodes)
{
    rmr_nm_derp_region v;
    for (size_t i = 0; rmr_nm_derp_at(n->nm, i, &v); i++) {
        regions[i].id = v.id;
        regions[i].avoid = v.avoid;
        regions[i].no_measure_no_home = v.no_measure_no_home;
        regions[i].score = thousandths(v.score);
        regions[i].nodes = nodes;
        regions[i].n_nodes = v.n_nodes;
        for (size_t k = 0; k < v.n_nodes; k++)
            node_of(&v.nodes[k], nodes++);
    }
}

void rmri_node_netcheck_map(rmr_node *n, rmr_time now)
{
    size_t n_regions = rmr_nm_derp_count(n->nm), n_nodes = count_nodes(n);
    size_t regions_size = (n_regions + 1) * sizeof(rmr_netcheck_region);
    size_t nodes_size = (n_nodes + 1) * sizeof(rmr_netcheck_node);
    bool changed = false;
    rmr_netcheck_region *regions = rmr_alloc_zero(
        &n->env.alloc, regions_size, _Alignof(rmr_netcheck_region));
    rmr_netcheck_node *nodes =
        rmr_alloc_zero(&n->env.alloc, nodes_size, _Alignof(rmr_netcheck_node));
    if (regions && nodes) {
        fill(n, regions, nodes);
        rmr_netcheck_set_map(n->netcheck, now, regions, n_regions, &changed);
    }
    if (regions)
        rmr_release(&n->env.alloc, regions, regions_size);
    if (nodes)
        rmr_release(&n->env.alloc, nodes, nodes_size);
    if (changed)
        rmri_node_netcheck_want(n, now, RMR_NETCHECK_WHY_MAP);
}

/* ---- every turn -------------------------------------------------------- */

static void serve(rmr_node *n, rmr_time now)
{
    rmr_netcheck_name name;
    rmr_netcheck_portal portal;
    uint16_t region;
    rmr_dur timeout;
    while (rmr_netcheck_wants_name(n->netcheck, now, &name))
        ask_name(n, now, &name);
    for (int i = 0; i < MAX_PER_PUMP && one_stun(n, now); i++)
        ;
    for (int i = 0; i < MAX_PER_PUMP && one_echo(n, now); i++)
        ;
    while (rmr_netcheck_wants_https(n->netcheck, now, &region, &timeout))
        rmri_node_probe_https(n, now, region, timeout);
    if (rmr_netcheck_wants_portal(n->netcheck, now, &portal))
        rmri_node_probe_portal(n, now, &portal);
}

void rmri_node_netcheck_pump(rmr_node *n, rmr_time now)
{
    rmri_node_probes_pump(n);
    if (!can_run(n))
        return;
    conditions(n);
    if (!is_opening(n) && rmr_netcheck_sched_next_deadline(&n->sched) <= now &&
        rmr_netcheck_wants_rebind(n->netcheck) &&
        now >= rmr_time_add(n->rebound_at, REBIND_EVERY))
        rmri_node_rebind(n, now, "nothing could be sent by IPv4");
    uint32_t why =
        is_opening(n) ? 0 : rmr_netcheck_sched_wants_run(&n->sched, now);
    if (why)
        start(n, now, why);
    for (int i = 0; i < 4 && rmr_netcheck_is_running(n->netcheck); i++) {
        serve(n, now);
        /* An answer that came at once may make the next step due. */
        if (rmr_netcheck_next_deadline(n->netcheck) > now)
            break;
        rmri_node_netcheck_handle_deadline(n, now);
    }
}

rmr_err rmri_node_netcheck_new(rmr_node *n)
{
    rmr_netcheck_config cfg;
    rmr_netcheck_callbacks cb;
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = n;
    cb.on_done = on_done;
    rmr_netcheck_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    rmr_netcheck_sched_init(&n->sched);
    rmr_endpoints_init(&n->endpoints, &n->env.alloc);
    rmr_ring_init(&n->icmp_out, &n->env.alloc, ICMP_QUEUE);
    return rmr_netcheck_new(&n->netcheck, &n->env, &cfg);
}

void rmri_node_netcheck_free(rmr_node *n)
{
    rmri_node_probes_free(n);
    while (n->names) {
        rmr_mc_resolve_cancel(n->mc, n->names->id);
        name_free(n->names);
    }
    rmr_netcheck_free(n->netcheck);
    n->netcheck = NULL;
    rmr_endpoints_wipe(&n->endpoints);
    rmr_ring_wipe(&n->icmp_out);
}
