/* HTTP requests of a netcheck, each on a stream of its own: how long a relay
 * takes to answer one over TLS, and whether somebody between us and a relay
 * answers in its place (a captive portal). */
#include "node_internal.h"

#include <remora/http1.h>
#include <stdio.h>
#include <string.h>

struct nd_probe {
    rmr_node *n;
    nd_probe *next;
    rmr_mc_link *link;
    rmr_h1 *h1;
    bool portal;
    bool over; /* its link is freed with the next pump */
    uint16_t region;
    size_t relay; /* the region's relay that is tried */
    rmr_time deadline, sent_at;
    uint8_t request[512];
    size_t request_len;
    char wanted[128]; /* portal: the answer's header must be this */
};

static void try_next(nd_probe *p, rmr_time now);

/* ---- its end ----------------------------------------------------------- */

static void done_https(nd_probe *p, rmr_time now, rmr_err err, rmr_dur took)
{
    if (p->over)
        return;
    p->over = true;
    p->n->dirty = true;
    rmr_netcheck_https_done(p->n->netcheck, now, p->region, err, took, NULL);
}

static void done_portal(nd_probe *p, rmr_time now, rmr_netcheck_tri found)
{
    if (p->over)
        return;
    p->over = true;
    p->n->dirty = true;
    rmr_netcheck_portal_done(p->n->netcheck, now, found);
}

/* ---- the answer -------------------------------------------------------- */

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    nd_probe *p = user;
    rmr_time now = p->n->now;
    if (!p->portal) {
        bool good = head->status >= 200 && head->status <= 299;
        done_https(p, now, good ? RMR_OK : RMR_E_REFUSED,
                   rmr_time_since(now, p->sent_at));
        return RMR_OK;
    }
    bool echoed = rmr_bytes_eq_str(rmr_h1_header(head, "x-tailscale-response"),
                                   p->wanted);
    done_portal(p, now,
                head->status == 204 && echoed ? RMR_NETCHECK_NO
                                              : RMR_NETCHECK_YES);
    return RMR_OK;
}

static void opened(void *owner, rmr_time now)
{
    nd_probe *p = owner;
    p->sent_at = now;
    rmr_mc_link_output(p->link);
}

static void closed(void *owner, rmr_time now, rmr_err why, const char *text)
{
    nd_probe *p = owner;
    (void)text;
    if (p->portal)
        done_portal(p, now, RMR_NETCHECK_UNKNOWN);
    else if (p->sent_at) /* it answered the call, but not the question */
        done_https(p, now, why ? why : RMR_E_CLOSED, 0);
    else
        try_next(p, now);
}

static rmr_err read(void *owner, rmr_time now, rmr_buf data)
{
    nd_probe *p = owner;
    size_t used = 0;
    rmr_err err = rmr_h1_read(p->h1, rmr_bytes_of(data.ptr, data.len), &used);
    if (err == RMR_OK || p->over)
        return RMR_OK;
    if (p->portal) /* whoever that is, it is no relay */
        done_portal(p, now, RMR_NETCHECK_YES);
    else
        done_https(p, now, err, 0);
    return RMR_OK;
}

static rmr_err write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    nd_probe *p = owner;
    *len = 0;
    if (p->request_len == 0 || dst.len < p->request_len)
        return RMR_OK;
    memcpy(dst.ptr, p->request, p->request_len);
    *len = p->request_len;
    p->request_len = 0;
    p->sent_at = now;
    return RMR_OK;
}

static const rmr_mc_link_ops probe_ops = {
    .opened = opened, .closed = closed, .read = read, .write = write};

/* ---- the question ------------------------------------------------------ */

static nd_probe *probe_new(rmr_node *n, rmr_time now, rmr_dur timeout)
{
    rmr_h1_config cfg;
    nd_probe *p = rmr_alloc_zero(&n->env.alloc, sizeof *p, _Alignof(nd_probe));
    if (!p)
        return NULL;
    memset(&cfg, 0, sizeof cfg);
    cfg.callbacks.user = p;
    cfg.callbacks.on_head = on_head;
    p->n = n;
    p->deadline = rmr_time_add(now, timeout);
    p->link = rmr_mc_link_new(n->mc, &probe_ops, p);
    if (!p->link || rmr_h1_new(&p->h1, &n->env, &cfg) != RMR_OK) {
        rmr_mc_link_free(p->link);
        rmr_release(&n->env.alloc, p, sizeof *p);
        return NULL;
    }
    p->next = n->probes;
    n->probes = p;
    return p;
}

static rmr_dur time_left(const nd_probe *p, rmr_time now)
{
    return p->deadline > now ? p->deadline - now : 1;
}

/* The region's relays one after the other, until one can be reached. */
static void try_next(nd_probe *p, rmr_time now)
{
    rmr_nm_derp_region v;
    if (!rmr_nm_derp_region_by_id(p->n->nm, p->region, &v))
        v.n_nodes = 0;
    while (p->relay < v.n_nodes) {
        const rmr_nm_derp_node *d = &v.nodes[p->relay++];
        static const rmr_header close = {{(const uint8_t *)"Connection", 10},
                                         {(const uint8_t *)"close", 5}};
        rmr_dial dial;
        rmr_nm_derp_dial(d, &dial);
        if (d->stun_only ||
            rmr_h1_build_request(rmr_buf_of(p->request, sizeof p->request),
                                 &p->request_len, "GET", "/derp/latency-check",
                                 dial.host, &close, 1, NULL) != RMR_OK)
            continue;
        dial.timeout = time_left(p, now);
        rmr_mc_link_dial(p->link, now, &dial);
        return; /* closed may have been called, and more of them tried */
    }
    done_https(p, now, RMR_E_UNREACHABLE, 0);
}

void rmri_node_probe_https(rmr_node *n, rmr_time now, uint16_t region,
                           rmr_dur timeout)
{
    nd_probe *p = probe_new(n, now, timeout);
    if (!p) {
        rmr_netcheck_https_done(n->netcheck, now, region, RMR_E_NOMEM, 0, NULL);
        return;
    }
    p->region = region;
    try_next(p, now);
}

void rmri_node_probe_portal(rmr_node *n, rmr_time now,
                            const rmr_netcheck_portal *want)
{
    char ip[RMR_ADDR_TEXT_MAX], host[RMR_ADDR_TEXT_MAX + 2];
    char target[64], challenge[RMR_ADDR_TEXT_MAX + 4];
    rmr_dial dial;
    nd_probe *p = probe_new(n, now, want->timeout);
    if (!p) {
        rmr_netcheck_portal_done(n->netcheck, now, RMR_NETCHECK_UNKNOWN);
        return;
    }
    p->portal = true;
    rmr_addr_ip_text(&want->addr, ip);
    snprintf(host, sizeof host,
             want->addr.family == RMR_AF_INET6 ? "[%s]" : "%s", ip);
    snprintf(challenge, sizeof challenge, "ts_%s", ip);
    snprintf(p->wanted, sizeof p->wanted, "response %s", challenge);
    snprintf(target, sizeof target, "/generate_204?t=%llu",
             (unsigned long long)(rmr_mc_wall(n->mc, now) / RMR_SEC));
    const rmr_header headers[2] = {
        {rmr_bytes_str("X-Tailscale-Challenge"), rmr_bytes_str(challenge)},
        {rmr_bytes_str("Connection"), rmr_bytes_str("close")}};
    memset(&dial, 0, sizeof dial);
    snprintf(dial.host, sizeof dial.host, "%s", ip);
    dial.port = 80;
    dial.addrs[0] = want->addr;
    dial.n_addrs = 1;
    dial.timeout = want->timeout;
    if (rmr_h1_build_request(rmr_buf_of(p->request, sizeof p->request),
                             &p->request_len, "GET", target, host, headers, 2,
                             NULL) != RMR_OK) {
        done_portal(p, now, RMR_NETCHECK_UNKNOWN);
        return;
    }
    rmr_mc_link_dial(p->link, now, &dial);
}

/* ---- every turn -------------------------------------------------------- */

static void probe_free(nd_probe *p)
{
    rmr_node *n = p->n;
    rmr_mc_link_free(p->link);
    rmr_h1_free(p->h1);
    rmr_release(&n->env.alloc, p, sizeof *p);
}

/* Those whose answer came, and those that their run does not wait for. */
void rmri_node_probes_pump(rmr_node *n)
{
    for (nd_probe **at = &n->probes; *at;) {
        nd_probe *p = *at;
        if (!p->over && n->now < p->deadline &&
            rmr_netcheck_is_running(n->netcheck)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        probe_free(p);
    }
}

void rmri_node_probes_free(rmr_node *n)
{
    while (n->probes) {
        nd_probe *p = n->probes;
        n->probes = p->next;
        probe_free(p);
    }
}
