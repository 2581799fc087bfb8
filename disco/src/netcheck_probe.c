/* STUN probes: due, sent, answered. */
#include "netcheck_internal.h"

#include <remora/cursor.h>

#include <string.h>

#define ENOUGH_REGIONS 3
#define NAME_GOOD_FOR (600 * RMR_SEC)

static nc_region *region_of(rmr_netcheck *nc, const nc_probe *p)
{
    return &nc->t.regions[p->region];
}

static bool is_open(const rmr_netcheck *nc, const nc_probe *p)
{
    return nc->t.regions[p->region].set[p->family].open;
}

static void close_set(rmr_netcheck *nc, nc_set *s)
{
    if (s->open)
        nc->open_sets--;
    s->open = false;
}

/* ---- where to ------------------------------------------------------------ */

static void want_name(rmr_netcheck *nc, nc_node *n)
{
    if (n->asking == IDLE && !n->failed) {
        n->asking = WANTED;
        nc->names_wanted++;
    }
}

rmr_addr rmri_nc_addr(rmr_netcheck *nc, nc_node *n, int family, bool *wait)
{
    static const rmr_addr none;
    *wait = false;
    if (n->stun_port < 0)
        return none;
    if (n->test_ip.family)
        return rmri_nc_has_family(n, family, true) ? n->test_ip : none;
    if (n->literal[family].family || n->off[family])
        return n->literal[family];
    if (!n->has_found || rmr_time_since(nc->now, n->found_at) >= NAME_GOOD_FOR)
        want_name(nc, n);
    *wait = !n->has_found && n->asking != IDLE;
    return n->found[family];
}

/* ---- due ----------------------------------------------------------------- */

/* Would an answer tell something that no other has told? */
static bool would_help(const rmr_netcheck *nc, const nc_probe *p)
{
    const nc_region *r = &nc->t.regions[p->region];
    if (r->cur.any == NONE)
        return true;
    if (p->family == V6)
        return !nc->cur.ipv6;
    return nc->cur.mapping_varies == RMR_NETCHECK_UNKNOWN;
}

/* No answer will come: its set need not wait for one. */
static void give_up(rmr_netcheck *nc, nc_probe *p)
{
    nc_set *s = &region_of(nc, p)->set[p->family];
    p->state = GONE;
    if (--s->left == 0)
        close_set(nc, s);
}

void rmri_nc_settle(rmr_netcheck *nc)
{
    for (size_t i = nc->ready; i < nc->next; i++) {
        nc_probe *p = &nc->probes[i];
        nc_region *r = region_of(nc, p);
        bool wait;
        if (p->state != READY)
            continue;
        if (rmri_nc_addr(nc, &nc->t.nodes[r->first_node + p->node], p->family,
                         &wait)
                .family ||
            wait)
            continue;
        give_up(nc, p);
    }
    nc->write_at = nc->ready;
}

void rmri_nc_promote(rmr_netcheck *nc)
{
    size_t first = nc->next;
    for (; nc->next < nc->n_probes && nc->probes[nc->next].at <= nc->now;
         nc->next++) {
        nc_probe *p = &nc->probes[nc->next];
        p->state = GONE;
        if (!is_open(nc, p))
            continue;
        if (would_help(nc, p))
            p->state = READY;
        else
            close_set(nc, &region_of(nc, p)->set[p->family]);
    }
    if (nc->next != first)
        rmri_nc_settle(nc);
}

rmr_time rmri_nc_probe_due(const rmr_netcheck *nc)
{
    for (size_t i = nc->next; i < nc->n_probes; i++)
        if (is_open(nc, &nc->probes[i]))
            return nc->probes[i].at;
    return RMR_TIME_NEVER;
}

/* ---- out ----------------------------------------------------------------- */

/* The next probe that can go, or NULL. */
static nc_probe *next_ready(rmr_netcheck *nc, rmr_addr *to)
{
    while (nc->ready < nc->next && nc->probes[nc->ready].state != READY)
        nc->ready++;
    if (nc->write_at < nc->ready)
        nc->write_at = nc->ready;
    for (; nc->write_at < nc->next; nc->write_at++) {
        nc_probe *p = &nc->probes[nc->write_at];
        nc_region *r = region_of(nc, p);
        bool wait;
        if (p->state != READY || !is_open(nc, p))
            continue;
        *to = rmri_nc_addr(nc, &nc->t.nodes[r->first_node + p->node], p->family,
                           &wait);
        if (to->family)
            return p;
    }
    return NULL;
}

rmr_err rmr_netcheck_write_pkt(rmr_netcheck *nc, rmr_time now, rmr_buf dst,
                               size_t *len, rmr_addr *to)
{
    rmr_addr where;
    *len = 0;
    rmr_err e = rmri_nc_enter(nc, now);
    if (e || nc->stage != STAGE_STUN)
        return e;
    nc_probe *p = next_ready(nc, &where);
    if (!p)
        return RMR_OK;
    e = rmr_stun_build_request(dst, len, p->txid);
    if (e)
        return e;
    *to = where;
    p->state = SENT;
    p->sent_at = nc->now;
    nc->sent[p->family]++;
    nc->stats.stun_sent++;
    return RMR_OK;
}

/* Its set need not wait for the answer. */
void rmr_netcheck_send_failed(rmr_netcheck *nc, const rmr_addr *to)
{
    for (size_t i = 0; i < nc->next && nc->stage != STAGE_OFF; i++) {
        nc_probe *p = &nc->probes[i];
        bool wait;
        if (p->state != SENT)
            continue;
        nc_region *r = region_of(nc, p);
        rmr_addr a = rmri_nc_addr(nc, &nc->t.nodes[r->first_node + p->node],
                                  p->family, &wait);
        if (!rmr_addr_eq(&a, to))
            continue;
        nc->stats.send_failures++;
        nc->failed[p->family]++;
        give_up(nc, p);
    }
}

/* ---- in ------------------------------------------------------------------ */

static void take_least(rmr_dur *least, rmr_dur d)
{
    if (d < *least)
        *least = d;
}

void rmri_nc_answer(rmr_netcheck *nc, nc_region *r, rmr_dur d)
{
    if (r->cur.any == NONE)
        nc->n_answered++;
    take_least(&r->cur.any, d);
}

/* The third region is enough: the others have twice as long as the slowest of
 * these three, or just as long when little is at stake. */
static void stop_soon(rmr_netcheck *nc)
{
    rmr_dur slowest = 0;
    if (nc->n_answered != ENOUGH_REGIONS || nc->stop_at != RMR_TIME_NEVER)
        return;
    for (size_t i = 0; i < nc->t.n_regions; i++) {
        rmr_dur d = nc->t.regions[i].cur.any;
        if (d != NONE && d > slowest)
            slowest = d;
    }
    nc->stop_at = rmr_time_add(nc->now, nc->cur.full ? 2 * slowest : slowest);
}

bool rmri_nc_globals_reserve(rmr_netcheck *nc, nc_globals *g, size_t n)
{
    if (n <= g->cap)
        return true;
    size_t cap = g->cap * 2 > n ? g->cap * 2 : n;
    rmr_netcheck_global *list = rmr_alloc_raw(
        &nc->env.alloc, cap * sizeof *list, _Alignof(rmr_netcheck_global));
    if (!list)
        return false;
    if (g->n)
        memcpy(list, g->list, g->n * sizeof *list);
    rmr_release(&nc->env.alloc, g->list, g->cap * sizeof *list);
    g->list = list;
    g->cap = cap;
    return true;
}

static void count_global(rmr_netcheck *nc, int family, const rmr_addr *a)
{
    nc_globals *g = &nc->seen[family];
    for (size_t i = 0; i < g->n; i++) {
        if (rmr_addr_eq(&g->list[i].addr, a)) {
            g->list[i].seen++;
            return;
        }
    }
    if (g->n == RMR_NETCHECK_MAX_GLOBALS ||
        !rmri_nc_globals_reserve(nc, g, g->n + 1)) {
        nc->stats.globals_dropped++;
        return;
    }
    g->list[g->n].addr = *a;
    g->list[g->n++].seen = 1;
}

static void saw_v4(rmr_netcheck *nc, const rmr_addr *mapped)
{
    rmr_netcheck_report *c = &nc->cur;
    c->ipv4 = true;
    if (c->global_v4.family == RMR_AF_NONE)
        c->global_v4 = *mapped;
    else if (!rmr_addr_eq(&c->global_v4, mapped))
        c->mapping_varies = RMR_NETCHECK_YES;
    else if (c->mapping_varies == RMR_NETCHECK_UNKNOWN)
        c->mapping_varies = RMR_NETCHECK_NO;
}

/* The family is that of the address which was seen, not of the probe. */
static void take_answer(rmr_netcheck *nc, nc_probe *p, const rmr_addr *mapped)
{
    nc_region *r = region_of(nc, p);
    rmr_dur d = rmr_time_since(nc->now, p->sent_at);
    int f = mapped->family == RMR_AF_INET ? V4 : V6;
    p->state = GONE;
    nc->stats.stun_answers++;
    nc->cur.udp = true;
    rmri_nc_answer(nc, r, d);
    take_least(f == V4 ? &r->cur.v4 : &r->cur.v6, d);
    count_global(nc, f, mapped);
    if (f == V4) {
        saw_v4(nc, mapped);
    } else {
        nc->cur.ipv6 = true;
        nc->cur.global_v6 = *mapped;
    }
    close_set(nc, &r->set[p->family]);
    stop_soon(nc);
}

static nc_probe *probe_of(rmr_netcheck *nc,
                          const uint8_t txid[RMR_STUN_TXID_LEN])
{
    size_t i = rmr_load_be16(txid) ^ nc->mask;
    if (nc->stage == STAGE_OFF || i >= nc->n_probes)
        return NULL;
    nc_probe *p = &nc->probes[i];
    bool is_it = memcmp(p->txid, txid, RMR_STUN_TXID_LEN) == 0;
    return p->state == SENT && is_it ? p : NULL;
}

/* What no host on the Internet can have: a server that says so is broken, or
 * would have our peers send elsewhere. */
static bool is_usable(const rmr_addr *a)
{
    static const uint8_t zero[16];
    bool multicast =
        a->family == RMR_AF_INET ? a->ip[0] >= 224 : a->ip[0] == 0xff;
    return a->port != 0 && !multicast && memcmp(a->ip, zero, 16) != 0;
}

rmr_err rmr_netcheck_read_pkt(rmr_netcheck *nc, rmr_time now,
                              rmr_bytes datagram)
{
    uint8_t txid[RMR_STUN_TXID_LEN];
    rmr_addr mapped;
    rmr_err e = rmri_nc_enter(nc, now);
    if (e)
        return e;
    if (rmr_stun_parse_response(datagram, txid, &mapped) != RMR_OK ||
        !is_usable(&mapped)) {
        nc->stats.malformed++;
        return RMR_E_MALFORMED;
    }
    nc_probe *p = probe_of(nc, txid);
    if (!p) {
        nc->stats.unknown++;
        return RMR_E_UNKNOWN;
    }
    take_answer(nc, p, &mapped);
    rmri_nc_advance(nc);
    return RMR_OK;
}

/* ---- names --------------------------------------------------------------- */

bool rmr_netcheck_wants_name(rmr_netcheck *nc, rmr_time now,
                             rmr_netcheck_name *out)
{
    if (now > nc->now)
        nc->now = now;
    if (nc->stage == STAGE_OFF || nc->names_wanted == 0)
        return false;
    size_t i = nc->name_at;
    while (nc->t.nodes[i % nc->t.n_nodes].asking != WANTED)
        i++;
    i %= nc->t.n_nodes;
    nc_node *n = &nc->t.nodes[i];
    const nc_region *r = &nc->t.regions[n->region];
    n->asking = ASKED;
    nc->names_wanted--;
    nc->name_at = i;
    nc->stats.names_asked++;
    out->region = r->id;
    out->node = (uint8_t)(i - r->first_node);
    out->v4 = !n->off[V4] && !n->literal[V4].family;
    out->v6 = !n->off[V6] && !n->literal[V6].family;
    out->host = nc->t.text + n->host;
    return true;
}

static void take_names(rmr_netcheck *nc, nc_node *n, const rmr_addr *addrs,
                       size_t n_addrs)
{
    rmr_addr found[FAMILIES];
    memset(found, 0, sizeof found);
    n->asking = IDLE;
    for (size_t i = 0; i < n_addrs; i++) {
        rmr_addr a = addrs[i];
        int f = a.family == RMR_AF_INET ? V4 : V6;
        a.port = n->stun_port < 0 ? 0 : (uint16_t)n->stun_port;
        if (a.family && !found[f].family)
            found[f] = a;
    }
    if (!found[V4].family && !found[V6].family) {
        n->failed = true; /* what was found before is still better */
        nc->stats.names_failed++;
        return;
    }
    memcpy(n->found, found, sizeof found);
    n->has_found = true;
    n->found_at = nc->now;
}

rmr_err rmr_netcheck_resolved(rmr_netcheck *nc, rmr_time now, uint16_t region,
                              uint8_t node, const rmr_addr *addrs, size_t n)
{
    rmr_err e = rmri_nc_enter(nc, now);
    if (e)
        return e;
    nc_region *r = rmri_nc_region(nc, region);
    if (!r || node >= r->n_nodes ||
        nc->t.nodes[r->first_node + node].asking != ASKED)
        return RMR_E_UNKNOWN;
    take_names(nc, &nc->t.nodes[r->first_node + node], addrs, n);
    if (nc->stage == STAGE_OFF)
        return RMR_OK;
    rmri_nc_settle(nc);
    rmri_nc_icmp_settle(nc);
    rmri_nc_advance(nc);
    return RMR_OK;
}
