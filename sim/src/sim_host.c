/* Hosts: their addresses, their clocks, and what befalls them. */
#include "sim_internal.h"

#include <string.h>

/* ---- looking ------------------------------------------------------------- */

sim_host *rmri_sim_host(const rmr_sim *s, rmr_sim_host host)
{
    return host && host <= s->n_hosts ? s->hosts[host - 1] : NULL;
}

bool rmri_sim_host_has(const sim_host *h, const rmr_addr *ip)
{
    if (rmr_addr_is_loopback(ip))
        return true;
    for (size_t i = 0; i < h->n_addrs; i++)
        if (rmr_addr_ip_eq(&h->addrs[i], ip))
            return true;
    return false;
}

bool rmri_sim_is_any(const rmr_addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->ip, zero, sizeof zero) == 0;
}

/* The address that packets to `to` leave with; false: there is none. */
bool rmri_sim_source(const sim_host *h, const rmr_addr *to, rmr_addr *src)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    if (rmr_addr_is_loopback(to)) {
        *src = to->family == RMR_AF_INET
                   ? rmr_addr_v4(127, 0, 0, 1, 0)
                   : rmr_addr_from_bytes(rmr_bytes_of(loopback6, 16), 0);
        return true;
    }
    for (size_t i = 0; i < h->n_addrs; i++) {
        if (h->addrs[i].family == to->family) {
            *src = h->addrs[i];
            src->port = 0;
            return true;
        }
    }
    return false;
}

bool rmri_sim_sleeps(const rmr_sim *s, const sim_host *h)
{
    return h->sleeps_until > s->now;
}

uint64_t rmr_sim_host_wall(const rmr_sim *s, rmr_sim_host host)
{
    const sim_host *h = rmri_sim_host(s, host);
    if (!h)
        return 0;
    return s->c.wall_unix_ns + (s->now - s->c.start) + (uint64_t)h->clock_step;
}

rmr_sim_host_stats rmr_sim_host_get_stats(const rmr_sim *s, rmr_sim_host host)
{
    static const rmr_sim_host_stats none;
    const sim_host *h = rmri_sim_host(s, host);
    return h ? h->stats : none;
}

/* ---- making -------------------------------------------------------------- */

void rmr_sim_host_config_init(rmr_sim_host_config *cfg, size_t struct_size)
{
    memset(cfg, 0, sizeof *cfg);
    cfg->struct_size = (uint32_t)struct_size;
}

static bool is_taken(const rmr_sim *s, rmr_sim_net net, const rmr_addr *a,
                     rmr_sim_host but)
{
    rmr_sim_host there = rmri_sim_in_net(s, net, a);
    return (there && there != but) || rmri_sim_gate_at(s, net, a);
}

bool rmri_sim_addrs_ok(const rmr_sim *s, rmr_sim_net net, const rmr_addr *addrs,
                       size_t n, rmr_sim_host but)
{
    for (size_t i = 0; i < n; i++)
        if (is_taken(s, net, &addrs[i], but))
            return false;
    return true;
}

static void set_addrs(sim_host *h, const rmr_addr *addrs, size_t n)
{
    h->n_addrs = n;
    for (size_t i = 0; i < n; i++) {
        h->addrs[i] = addrs[i];
        h->addrs[i].port = 0;
    }
}

static void set_link(rmr_sim *s, rmr_sim_link *l, const rmr_sim_link_config *c)
{
    rmr_sim_link_config own = *c;
    if (!own.seed)
        own.seed = rmri_sim_next(&s->rng);
    rmr_sim_link_init(l, &own);
}

static void fill(rmr_sim *s, sim_host *h, rmr_sim_net net,
                 const rmr_sim_host_config *cfg)
{
    size_t n = cfg->name ? strlen(cfg->name) : 0;
    if (n)
        memcpy(h->name, cfg->name, n);
    h->net = net;
    h->is_up = true;
    h->no_ping = cfg->no_ping;
    h->icmp_denied = cfg->icmp_denied;
    h->no_local_udp = cfg->no_local_udp;
    h->receive_runs = cfg->receive_runs;
    h->rng = rmri_sim_next(&s->rng);
    set_addrs(h, cfg->addrs, cfg->n_addrs);
    h->n_servers = cfg->n_name_servers;
    if (h->n_servers)
        memcpy(h->servers, cfg->name_servers,
               h->n_servers * sizeof h->servers[0]);
    set_link(s, &h->up, &cfg->up);
    set_link(s, &h->down, &cfg->down);
}

rmr_err rmr_sim_host_new(rmr_sim *s, rmr_sim_net net,
                         const rmr_sim_host_config *cfg, rmr_sim_host *out)
{
    *out = 0;
    if (net >= s->n_nets)
        return RMR_E_BADHANDLE;
    if (cfg->n_addrs > SIM_MAX_ADDRS || cfg->n_name_servers > SIM_MAX_SERVERS ||
        (cfg->name && strlen(cfg->name) > sizeof s->hosts[0]->name - 1))
        return RMR_E_INVAL;
    if (!rmri_sim_addrs_ok(s, net, cfg->addrs, cfg->n_addrs, 0))
        return RMR_E_INUSE;
    sim_host *h = NULL;
    if (rmri_sim_grow(s, (void **)&s->hosts, &s->cap_hosts, s->n_hosts + 1,
                      sizeof(sim_host *)))
        h = rmri_sim_alloc(s, sizeof *h);
    if (!h)
        return RMR_E_NOMEM;
    fill(s, h, net, cfg);
    s->hosts[s->n_hosts++] = h;
    *out = (rmr_sim_host)s->n_hosts;
    rmri_sim_where_put(s, net, h->addrs, h->n_addrs, *out, false);
    return s->failed;
}

static void blobs_free(rmr_sim *s, sim_host *h)
{
    while (h->blobs) {
        sim_blob *b = h->blobs;
        h->blobs = b->next;
        rmr_release(&s->c.alloc, b->data, b->cap);
        rmr_release(&s->c.alloc, b, sizeof *b);
    }
}

void rmri_sim_hosts_free(rmr_sim *s)
{
    for (size_t i = 0; i < s->n_hosts; i++) {
        blobs_free(s, s->hosts[i]);
        rmr_release(&s->c.alloc, s->hosts[i], sizeof *s->hosts[i]);
    }
    rmr_release(&s->c.alloc, s->hosts, s->cap_hosts * sizeof(sim_host *));
}

/* ---- faults -------------------------------------------------------------- */

/* WALL or LINKS to the programs of a host; 0: of all. */
void rmri_sim_tell_hosts(rmr_sim *s, rmr_sim_host host, rmr_io_event_kind kind)
{
    for (size_t i = 0; i < s->n_programs; i++)
        if (s->programs[i]->is_running &&
            (!host || s->programs[i]->host == host))
            rmri_sim_answer(s, (uint32_t)i + 1, kind, 0, RMR_OK);
}

rmr_err rmr_sim_host_set_up(rmr_sim *s, rmr_sim_host host, bool is_up)
{
    sim_host *h = rmri_sim_host(s, host);
    if (!h)
        return RMR_E_BADHANDLE;
    h->is_up = is_up;
    return RMR_OK;
}

rmr_err rmr_sim_host_set_link(rmr_sim *s, rmr_sim_host host,
                              const rmr_sim_link_config *up,
                              const rmr_sim_link_config *down)
{
    sim_host *h = rmri_sim_host(s, host);
    if (!h)
        return RMR_E_BADHANDLE;
    set_link(s, &h->up, up);
    set_link(s, &h->down, down);
    return RMR_OK;
}

rmr_err rmr_sim_host_move(rmr_sim *s, rmr_sim_host host, rmr_sim_net net,
                          const rmr_addr *addrs, size_t n_addrs)
{
    sim_host *h = rmri_sim_host(s, host);
    if (!h || net >= s->n_nets)
        return RMR_E_BADHANDLE;
    if (n_addrs > SIM_MAX_ADDRS)
        return RMR_E_INVAL;
    if (!rmri_sim_addrs_ok(s, net, addrs, n_addrs, host))
        return RMR_E_INUSE;
    rmri_sim_where_del(s, h->net, h->addrs, h->n_addrs);
    h->net = net;
    set_addrs(h, addrs, n_addrs);
    rmri_sim_where_put(s, net, h->addrs, n_addrs, host, false);
    rmri_sim_tell_hosts(s, host, RMR_IO_LINKS);
    return s->failed;
}

rmr_err rmr_sim_host_sleep(rmr_sim *s, rmr_sim_host host, rmr_dur d)
{
    sim_host *h = rmri_sim_host(s, host);
    if (!h)
        return RMR_E_BADHANDLE;
    h->sleeps_until = rmr_time_add(s->now, d);
    return RMR_OK;
}

rmr_err rmr_sim_host_step_clock(rmr_sim *s, rmr_sim_host host, int64_t step)
{
    sim_host *h = rmri_sim_host(s, host);
    if (!h)
        return RMR_E_BADHANDLE;
    h->clock_step += step;
    rmri_sim_tell_hosts(s, host, RMR_IO_WALL);
    return s->failed;
}

rmr_err rmr_sim_host_block_sends(rmr_sim *s, rmr_sim_host host, rmr_dur d)
{
    sim_host *h = rmri_sim_host(s, host);
    if (!h)
        return RMR_E_BADHANDLE;
    h->blocked_until = rmr_time_add(s->now, d);
    return RMR_OK;
}
