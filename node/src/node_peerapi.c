/* DNS for those who use us as exit node: tailscaled asks its exit node for all
 * names that are not the tailnet's, at a port of the node's own on the tailnet.
 * Such a peer need not be allowed that port: what is looked at is whether it may
 * use us for what is outside. */
#include "node_peerapi.h"

#include <remora/cursor.h>

#include <string.h>

#define REQUEST_TIMEOUT (10 * RMR_SEC)
#define ANSWER_TIMEOUT (30 * RMR_SEC) /* the responder's own is 20 s */
#define CONNS_SIZE (ND_PEERAPI_CONNS * sizeof(uint64_t))
#define MAX_OF_PEER 16
#define MAX_DENIED 4 /* connections of who gets 403 */
#define PORT_FIRST 32768u
#define PORT_COUNT 16384u
#define PORT_TRIES 4
#define LISTEN_REST (10 * RMR_SEC)

/* ---- who --------------------------------------------------------------- */

/* The rules speak of "the Internet" as of this one address, by custom. */
static rmr_addr internet(uint8_t family)
{
    static const uint8_t six[16] = {0x20, 0};
    if (family == RMR_AF_INET)
        return rmr_addr_v4(0, 0, 0, 0, 53);
    return rmr_addr_from_bytes(rmr_bytes_of(six, 16), 53);
}

bool rmri_node_peerapi_may_ask(const rmr_node *n, const rmr_addr *from)
{
    rmr_nm_node peer;
    rmr_addr to = internet(from->family);
    return n->routes.exit_offered && !n->keys.prefs.shields_up && !n->barred &&
           rmr_nm_peer_by_ip(n->nm, from, &peer) && !peer.jailed &&
           rmr_filter_allows_tcp(rmr_nm_filter(n->nm), from, &to);
}

bool rmri_node_peerapi_is_for(const rmr_node *n, rmr_bytes pkt)
{
    bool six = pkt.len > 0 && pkt.ptr[0] >> 4 == 6;
    size_t head = six ? 40 : 20, width = six ? 16 : 4;
    if (!n->peerapi.listener[six] || pkt.len < head)
        return false;
    /* As the filter: a first part, without options or extension headers. */
    if (six ? pkt.ptr[6] != 6
            : pkt.ptr[0] != 0x45 || pkt.ptr[9] != 6 ||
                  rmr_load_be16(pkt.ptr + 6) & 0x3fff)
        return false;
    return pkt.len >= head + 20 &&
           memcmp(pkt.ptr + head - width, n->peerapi.at[six].ip, width) == 0 &&
           rmr_load_be16(pkt.ptr + head + 2) == n->peerapi.port;
}

/* ---- where ------------------------------------------------------------- */

static nd_conn *listener_of(const rmr_node *n, int i)
{
    uint64_t h = n->peerapi.listener[i];
    return h ? rmr_slots_get(&n->conns, h) : NULL;
}

static const rmr_addr *wanted(const rmr_node *n, int i)
{
    uint8_t family = i ? RMR_AF_INET6 : RMR_AF_INET;
    if (!n->routes.exit_offered || n->keys.prefs.shields_up || !n->dns)
        return NULL;
    for (size_t k = 0; k < n->n_ips; k++)
        if (n->ips[k].family == family)
            return &n->ips[k];
    return NULL;
}

static bool choose_port(rmr_node *n)
{
    uint16_t r = 0;
    if (n->peerapi.port)
        return true;
    if (rmr_rng_fill(&n->env.rng, &r, sizeof r) != RMR_OK)
        return false;
    n->peerapi.port = (uint16_t)(PORT_FIRST + r % PORT_COUNT);
    return true;
}

static rmr_err listen_at(rmr_node *n, int i, rmr_addr at)
{
    at.port = n->peerapi.port;
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_PEERAPI_LISTEN);
    if (!c)
        return RMR_E_NOMEM;
    rmr_err err = rmr_ns_tcp_listen(n->ns, &at, c, &c->sock);
    if (err != RMR_OK) {
        rmri_node_conn_free(c);
        return err;
    }
    c->has_sock = c->connected = true;
    n->peerapi.listener[i] = c->handle;
    n->peerapi.at[i] = at;
    return RMR_OK;
}

/* A port that the program has is left to it. */
static void listen_on(rmr_node *n, int i, const rmr_addr *at)
{
    rmr_err err = RMR_E_INUSE;
    for (int k = 0; k < PORT_TRIES && err == RMR_E_INUSE && choose_port(n);
         k++) {
        err = listen_at(n, i, *at);
        if (err == RMR_E_INUSE && listener_of(n, !i))
            break; /* one port for both */
        if (err == RMR_E_INUSE)
            n->peerapi.port = 0;
    }
    if (err != RMR_OK) /* each try makes the pump go round once more */
        n->peerapi.rests_until = rmr_time_add(n->now, LISTEN_REST);
}

void rmri_node_peerapi_pump(rmr_node *n)
{
    nd_peerapi *a = &n->peerapi;
    uint16_t told[2] = {0};
    if (n->phase != ND_PHASE_UP || !n->ns)
        return;
    for (int i = 0; i < 2; i++) {
        const rmr_addr *at = wanted(n, i);
        nd_conn *c = listener_of(n, i);
        if (c && (!at || !rmr_addr_ip_eq(at, &a->at[i]))) {
            rmri_node_conn_end(c, n->now, false);
            c = NULL;
        }
        if (at && !c && n->now >= a->rests_until)
            listen_on(n, i, at);
        told[i] = a->listener[i] ? a->port : 0;
    }
    if (n->ctl)
        rmr_ctl_set_peerapi(n->ctl, n->now, told[0], told[1]);
}

void rmri_node_peerapi_free(rmr_node *n)
{
    rmr_release(&n->env.alloc, n->peerapi.conns, CONNS_SIZE);
    n->peerapi.conns = NULL;
}

/* ---- connections ------------------------------------------------------- */

static uint64_t *place_for(rmr_node *n, const rmr_addr *from, bool denied)
{
    nd_peerapi *a = &n->peerapi;
    uint64_t *place = NULL;
    size_t same = 0, n_denied = 0;
    if (!a->conns)
        a->conns =
            rmr_alloc_zero(&n->env.alloc, CONNS_SIZE, _Alignof(uint64_t));
    if (!a->conns)
        return NULL;
    for (size_t i = 0; i < ND_PEERAPI_CONNS; i++) {
        nd_conn *c = a->conns[i] ? rmr_slots_get(&n->conns, a->conns[i]) : NULL;
        if (!c) {
            a->conns[i] = 0;
            place = &a->conns[i];
            continue;
        }
        same += rmr_addr_ip_eq(&c->ask->from, from);
        n_denied += c->ask->denied;
    }
    return same >= MAX_OF_PEER || (denied && n_denied >= MAX_DENIED) ? NULL
                                                                     : place;
}

static nd_conn *conn_new(rmr_node *n, const rmr_addr *from, bool denied)
{
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_PEERAPI);
    if (!c)
        return NULL;
    c->ask =
        rmr_alloc_zero(&n->env.alloc, sizeof *c->ask, _Alignof(nd_peerapi_ask));
    if (!c->ask || rmri_node_peerapi_http_new(c) != RMR_OK) {
        rmri_node_conn_free(c);
        return NULL;
    }
    c->ask->from = *from;
    c->ask->denied = denied;
    return c;
}

void rmri_node_peerapi_accept(rmr_node *n, rmr_time now, rmr_ns_sock sock,
                              const rmr_addr *remote)
{
    rmr_nm_node peer;
    bool known = rmr_nm_peer_by_ip(n->nm, remote, &peer);
    bool denied = !known || !rmri_node_peerapi_may_ask(n, remote);
    uint64_t *place = known ? place_for(n, remote, denied) : NULL;
    nd_conn *c = place ? conn_new(n, remote, denied) : NULL;
    if (!c) {
        if (denied)
            n->peerapi.denied++;
        else
            n->peerapi.refused++;
        rmr_ns_abort(n->ns, now, sock);
        return;
    }
    *place = c->handle;
    rmri_node_conn_accepted(c, now, sock);
    rmri_node_timer_set(n, &c->timer, rmr_time_add(now, REQUEST_TIMEOUT));
}

void rmri_node_peerapi_conn_free(nd_conn *c)
{
    nd_peerapi_ask *q = c->ask;
    for (int i = 0; i < 2; i++)
        if (c->n->peerapi.listener[i] == c->handle)
            c->n->peerapi.listener[i] = 0;
    if (!q)
        return;
    c->ask = NULL;
    if (q->out)
        rmr_release(&c->n->env.alloc, q->out, q->out_len);
    rmr_release(&c->n->env.alloc, q, sizeof *q);
}

/* ---- the answer -------------------------------------------------------- */

/* The response is out.  Who was refused may be sending still, and a reset would
 * overtake what he was told: the rest is taken until his end. */
static void finish(nd_conn *c, rmr_time now)
{
    if (c->ask->whole)
        rmri_node_conn_end(c, now, true);
    else if (rmr_ns_tcp_shutdown(c->n->ns, now, c->sock) != RMR_OK)
        rmri_node_conn_end(c, now, false);
}

void rmri_node_peerapi_writable(nd_conn *c, rmr_time now)
{
    nd_peerapi_ask *q = c->ask;
    size_t taken = 0;
    if (!q->out || !c->has_sock || q->out_at == q->out_len)
        return;
    rmr_bytes rest = rmr_bytes_of(q->out + q->out_at, q->out_len - q->out_at);
    rmr_err err = rmr_ns_tcp_send(c->n->ns, now, c->sock, rest, &taken);
    q->out_at += taken;
    if (q->out_at == q->out_len)
        finish(c, now);
    else if (err != RMR_OK)
        rmri_node_conn_end(c, now, false);
}

/* May free the connection. */
static void respond(nd_conn *c, rmr_time now, rmr_bytes msg)
{
    nd_peerapi *a = &c->n->peerapi;
    if (c->http_status == 200)
        a->answered++;
    else if (c->http_status == 403)
        a->denied++;
    else
        a->refused++;
    c->ask->out = rmri_node_peerapi_http_lay_out(c, msg, &c->ask->out_len);
    if (!c->ask->out) {
        rmri_node_conn_end(c, now, false);
        return;
    }
    rmri_node_timer_set(c->n, &c->timer, rmr_time_add(now, ANSWER_TIMEOUT));
    rmri_node_peerapi_writable(c, now);
}

void rmri_node_peerapi_answer(rmr_node *n, uint64_t conn, rmr_bytes msg)
{
    nd_conn *c = rmr_slots_get(&n->conns, conn);
    if (!c || c->kind != ND_CONN_PEERAPI || c->ask->out)
        return;
    c->http_status = 200;
    respond(c, n->now, msg);
}

/* ---- the question ------------------------------------------------------ */

/* Its answer may come at once, and end the connection. */
static void ask(nd_conn *c, rmr_time now)
{
    rmr_node *n = c->n;
    const rmr_nm_dns_config *cfg = rmr_nm_dns(n->nm);
    nd_dns_client *k = rmri_node_dns_client(n->dns, ND_DNS_PEER);
    c->ask->asked = true;
    if (!k) {
        c->http_status = 503;
        respond(c, now, rmr_bytes_of(NULL, 0));
        return;
    }
    uint64_t number = (uint64_t)(k - n->dns->clients);
    k->conn = c->handle;
    rmri_node_timer_set(n, &c->timer, rmr_time_add(now, ANSWER_TIMEOUT));
    if (rmr_md_pass(n->dns->md, now, number, cfg->exit_filtered,
                    cfg->n_exit_filtered,
                    rmr_bytes_of(c->ask->msg, c->ask->len)) == RMR_OK)
        return;
    n->dns->clients[number].kind = ND_DNS_FREE;
    c->http_status = 400;
    respond(c, now, rmr_bytes_of(NULL, 0));
}

void rmri_node_peerapi_readable(nd_conn *c, rmr_time now)
{
    rmr_node *n = c->n;
    nd_peerapi_ask *q = c->ask;
    rmr_bytes view;
    bool eof = false;
    while (rmr_ns_tcp_peek(n->ns, c->sock, &view, &eof) == RMR_OK &&
           view.len > 0) {
        if (!q->whole && !c->http_status)
            rmri_node_peerapi_http_read(c, view);
        rmr_ns_tcp_consume(n->ns, now, c->sock, view.len);
    }
    if (q->out && q->out_at == q->out_len && eof) {
        rmri_node_conn_end(c, now, true);
        return;
    }
    if (q->asked || q->out)
        return;
    if (c->http_status) {
        respond(c, now, rmr_bytes_of(NULL, 0));
    } else if (q->whole) {
        ask(c, now);
    } else if (eof) {
        n->peerapi.refused++;
        rmri_node_conn_end(c, now, false);
    }
}
