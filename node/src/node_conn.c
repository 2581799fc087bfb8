/* TCP connections: those of the program (rmr_node_dial, rmr_node_listen), and
 * those that a service joins to a stream of the adapter by a bridge.  The tag
 * of a netstack socket is its nd_conn. */
#include "node_internal.h"

#include <remora/http1.h>
#include <string.h>

/* A peer that vanished, or whose reset was lost, says nothing more: without
 * probes its connections would stay for ever (RFC 9293 3.8.4). */
#define KEEP_IDLE (300 * RMR_SEC)
#define KEEP_EVERY (30 * RMR_SEC)
#define KEEP_PROBES 5

/* Room for a timer of each connection, so that arming one never fails. */
static bool has_timers(rmr_node *n)
{
    uint32_t cap = n->timers.cap ? n->timers.cap : 8;
    while (cap < n->conns.used)
        cap *= 2;
    return rmr_timers_reserve(&n->timers, cap) == RMR_OK;
}

nd_conn *rmri_node_conn_new(rmr_node *n, nd_conn_kind kind)
{
    uint64_t handle = 0;
    nd_conn *c = rmr_slots_new(&n->conns, &handle);
    if (c && !has_timers(n)) {
        rmr_slots_free(&n->conns, handle);
        c = NULL;
    }
    if (!c)
        return NULL;
    c->n = n;
    c->handle = handle;
    c->kind = kind;
    c->timer.owner = c;
    return c;
}

void rmri_node_conn_free(nd_conn *c)
{
    rmr_node *n = c->n;
    rmr_timers_cancel(&n->timers, &c->timer);
    if (c->bridging)
        rmr_bridge_wipe(&c->bridge);
    if (c->socks) {
        rmr_socks5_wipe(c->socks);
        rmr_release(&n->env.alloc, c->socks, sizeof *c->socks);
    }
    rmr_h1_free(c->h1);
    rmri_node_local_free(c);
    rmri_node_forward_free(c);
    rmri_node_dns_conn_free(c);
    rmri_node_peerapi_conn_free(c);
    rmr_slots_free(&n->conns, c->handle);
    n->dirty = true;
}

void rmri_node_conn_end(nd_conn *c, rmr_time now, bool orderly)
{
    rmr_node *n = c->n;
    if (c->has_sock && n->ns) {
        if (orderly)
            rmr_ns_close(n->ns, now, c->sock);
        else
            rmr_ns_abort(n->ns, now, c->sock);
    }
    if (c->flow.id && n->ns)
        rmr_ns_flow_refuse(n->ns, now, c->flow, RMR_E_REFUSED);
    if (c->io) {
        if (orderly)
            rmr_mc_io_close(c->io);
        else
            rmr_mc_io_abort(c->io);
    }
    rmri_node_conn_free(c);
}

static void has_socket(nd_conn *c, rmr_time now)
{
    c->has_sock = true;
    rmr_ns_tcp_set_keepalive(c->n->ns, now, c->sock, KEEP_IDLE, KEEP_EVERY,
                             KEEP_PROBES);
}

static bool is_own(const rmr_node *n, const rmr_addr *ip)
{
    for (size_t i = 0; i < n->n_ips; i++)
        if (rmr_addr_ip_eq(&n->ips[i], ip))
            return true;
    return false;
}

/* A peer's address, our own, or one behind a peer that routes. */
static rmr_err may_dial(const rmr_node *n, const rmr_addr *to)
{
    rmr_nm_node peer;
    if (rmri_node_dns_is_quad(to)) /* here or nowhere: no exit node has it */
        return rmri_node_dns_has_quad(n, to) ? RMR_OK : RMR_E_NOTREADY;
    if (rmr_nm_peer_by_ip(n->nm, to, &peer) || is_own(n, to))
        return RMR_OK;
    return n->n_ips ? rmri_node_routes_reach(n, to) : RMR_E_NOTREADY;
}

rmr_err rmri_node_conn_dial(nd_conn *c, rmr_time now, const char *host,
                            const rmr_addr *addr, uint16_t port)
{
    rmr_node *n = c->n;
    rmr_nm_node peer;
    rmr_addr to = {0};
    rmr_err err;
    if (!n->nm) /* the last of the layers: it may be that there was no memory */
        return RMR_E_NOTREADY;
    if (addr && addr->family != RMR_AF_NONE)
        to = *addr;
    if (to.family != RMR_AF_NONE ||
        rmr_addr_parse_ip(rmr_bytes_str(host), &to) == RMR_OK ||
        rmri_node_routes_name(n, host, &to))
        err = may_dial(n, &to);
    else
        err = rmri_node_peers_find(n, host, &peer, &to);
    if (err == RMR_E_NOTFOUND && to.family == RMR_AF_NONE)
        return rmri_node_dns_dial(c, host, port);
    if (err != RMR_OK)
        return err;
    to.port = port;
    err = rmr_ns_tcp_connect(n->ns, now, NULL, &to, c, &c->sock);
    if (err == RMR_OK)
        has_socket(c, now);
    n->dirty = true;
    return err;
}

/* A connection that a peer made. */
void rmri_node_conn_accepted(nd_conn *c, rmr_time now, rmr_ns_sock sock)
{
    c->sock = sock;
    c->connected = true;
    rmr_ns_set_tag(c->n->ns, sock, c);
    has_socket(c, now);
}

/* ---- bridges: side A is the adapter's stream, B the tailnet ------------ */

void rmri_node_conn_start_bridge(nd_conn *c, rmr_time now)
{
    rmr_bridge_init(&c->bridge, &c->n->env.alloc, 0);
    c->bridging = true;
    rmri_node_conn_pump(c, now);
}

/* Bytes of the adapter's stream; false: they don't fit (a broken adapter: the
 * credit was the room) or there is no memory, and the stream has a hole. */
bool rmri_node_conn_take(nd_conn *c, rmr_bytes data)
{
    size_t taken = 0;
    if (data.len > 0)
        rmr_bridge_read(&c->bridge, RMR_SIDE_A, data, &taken);
    return taken == data.len;
}

/* false: there is no memory, and no event would come to go on. */
static bool pump_from_tailnet(nd_conn *c, rmr_time now)
{
    rmr_bytes view;
    bool eof = false;
    while (c->has_sock && !c->saw_eof &&
           rmr_ns_tcp_peek(c->n->ns, c->sock, &view, &eof) == RMR_OK) {
        size_t taken = 0;
        if (view.len == 0) {
            if (eof) {
                c->saw_eof = true;
                rmr_bridge_read_eof(&c->bridge, RMR_SIDE_B);
            }
            break;
        }
        if (rmr_bridge_read(&c->bridge, RMR_SIDE_B, view, &taken) ==
            RMR_E_NOMEM)
            return false;
        if (taken == 0)
            break;
        rmr_ns_tcp_consume(c->n->ns, now, c->sock, taken);
    }
    return true;
}

static void pump_to_tailnet(nd_conn *c, rmr_time now)
{
    if (!c->has_sock || !c->connected)
        return;
    rmr_bytes out;
    while ((out = rmr_bridge_peek(&c->bridge, RMR_SIDE_B)).len > 0) {
        size_t taken = 0;
        if (rmr_ns_tcp_send(c->n->ns, now, c->sock, out, &taken) != RMR_OK ||
            taken == 0)
            break;
        rmr_bridge_consume(&c->bridge, RMR_SIDE_B, taken);
    }
    if (rmr_bridge_take_eof(&c->bridge, RMR_SIDE_B))
        rmr_ns_tcp_shutdown(c->n->ns, now, c->sock);
}

/* Moves what can be moved; may free the connection. */
void rmri_node_conn_pump(nd_conn *c, rmr_time now)
{
    c->n->dirty = true;
    if (!pump_from_tailnet(c, now)) {
        rmri_node_conn_end(c, now, false);
        return;
    }
    pump_to_tailnet(c, now);
    /* Before the bridge has the stream, SOCKS5 or `nc` answers first. */
    if (!c->io || c->socks || c->local)
        return;
    if (rmr_bridge_peek(&c->bridge, RMR_SIDE_A).len > 0)
        rmr_mc_io_output(c->io);
    if (rmr_bridge_take_eof(&c->bridge, RMR_SIDE_A))
        rmr_mc_io_shutdown(c->io);
    rmr_mc_io_credit(c->io, rmr_bridge_space(&c->bridge, RMR_SIDE_A));
    if (rmr_bridge_is_done(&c->bridge))
        rmri_node_conn_end(c, now, true);
}

static void bridge_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    (void)local;
    rmri_node_conn_pump(owner, now); /* a serve's target answered */
}

static void bridge_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_conn *c = owner;
    (void)why;
    c->io = NULL; /* gone: the tailnet side learns it by a reset */
    rmri_node_conn_end(c, now, false);
}

static void bridge_bytes(void *owner, rmr_time now, rmr_buf data)
{
    nd_conn *c = owner;
    if (!rmri_node_conn_take(c, rmr_bytes_of(data.ptr, data.len))) {
        rmri_node_conn_end(c, now, false);
        return;
    }
    rmri_node_conn_pump(c, now);
}

static void bridge_eof(void *owner, rmr_time now)
{
    nd_conn *c = owner;
    rmr_bridge_read_eof(&c->bridge, RMR_SIDE_A);
    rmri_node_conn_pump(c, now);
}

static size_t bridge_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    nd_conn *c = owner;
    size_t len = 0;
    rmr_bytes out;
    while ((out = rmr_bridge_peek(&c->bridge, RMR_SIDE_A)).len > 0 &&
           len < scratch.len) {
        size_t part = out.len < scratch.len - len ? out.len : scratch.len - len;
        memcpy(scratch.ptr + len, out.ptr, part);
        rmr_bridge_consume(&c->bridge, RMR_SIDE_A, part);
        len += part;
    }
    if (len > 0)
        rmri_node_conn_pump(c, now); /* room for more of the tailnet's */
    return len;
}

const rmr_mc_io_ops rmri_node_bridge_ops = {
    .opened = bridge_opened,
    .failed = bridge_failed,
    .bytes = bridge_bytes,
    .eof = bridge_eof,
    .produce = bridge_produce,
};

/* ---- netstack's words -------------------------------------------------- */

static bool is_api(const nd_conn *c)
{
    return c->kind == ND_CONN_API || c->kind == ND_CONN_API_LISTEN;
}

static rmr_node_conn public_of(const nd_conn *c)
{
    rmr_node_conn h = {c->handle};
    return h;
}

/* One of the program's callbacks, which may close the connection. */
static void call(rmr_node *n, void (*f)(void *, void *, rmr_node_conn),
                 const nd_conn *c)
{
    if (!f)
        return;
    n->in_callback++;
    f(n->cb.user, c->user_tag, public_of(c));
    n->in_callback--;
}

static void dialled(nd_conn *c, rmr_time now, rmr_err err)
{
    if (c->kind == ND_CONN_LOCAL)
        rmri_node_local_dialled(c, now, err);
    else if (c->kind == ND_CONN_DNS_OUT)
        rmri_node_dns_dialled(c, now, err);
    else
        rmri_node_service_dialled(c, now, err);
}

static void accept_api(rmr_node *n, nd_conn *listener, rmr_ns_sock sock,
                       const rmr_addr *remote)
{
    nd_conn *c = n->cb.on_accept ? rmri_node_conn_new(n, ND_CONN_API) : NULL;
    if (!c) {
        rmr_ns_abort(n->ns, n->now, sock);
        return;
    }
    c->sock = sock;
    c->has_sock = c->connected = true;
    rmr_ns_set_tag(n->ns, sock, c);
    n->in_callback++;
    n->cb.on_accept(n->cb.user, listener->user_tag, public_of(c), remote);
    n->in_callback--;
}

static void on_accept(void *user, void *tag, rmr_ns_sock listener,
                      rmr_ns_sock sock, const rmr_addr *remote)
{
    rmr_node *n = user;
    nd_conn *l = tag;
    (void)listener;
    n->dirty = true;
    if (l->kind == ND_CONN_SERVE_LISTEN)
        rmri_node_serve_accept(n, n->now, l, sock);
    else if (l->kind == ND_CONN_DNS_LISTEN)
        rmri_node_dns_accept(n, n->now, sock);
    else if (l->kind == ND_CONN_PEERAPI_LISTEN)
        rmri_node_peerapi_accept(n, n->now, sock, remote);
    else
        accept_api(n, l, sock, remote);
}

static void on_connected(void *user, void *tag, rmr_ns_sock sock)
{
    rmr_node *n = user;
    nd_conn *c = tag;
    (void)sock;
    n->dirty = true;
    c->connected = true;
    if (is_api(c))
        call(n, n->cb.on_connected, c);
    else
        dialled(c, n->now, RMR_OK);
}

static void on_readable(void *user, void *tag, rmr_ns_sock sock)
{
    rmr_node *n = user;
    nd_conn *c = tag;
    (void)sock;
    n->dirty = true;
    if (!c)
        return;
    if (is_api(c)) {
        call(n, n->cb.on_readable, c);
    } else if (c->dns) {
        rmri_node_dns_readable(c, n->now);
    } else if (c->ask) {
        rmri_node_peerapi_readable(c, n->now);
    } else if (c->bridging) {
        rmri_node_conn_pump(c, n->now);
    }
}

static void on_writable(void *user, void *tag, rmr_ns_sock sock)
{
    rmr_node *n = user;
    nd_conn *c = tag;
    (void)sock;
    n->dirty = true;
    if (!c)
        return;
    if (is_api(c)) {
        call(n, n->cb.on_writable, c);
    } else if (c->ask) {
        rmri_node_peerapi_writable(c, n->now);
    } else if (c->bridging) {
        rmri_node_conn_pump(c, n->now);
    }
}

static void closed_api(rmr_node *n, nd_conn *c, rmr_err why)
{
    rmr_node_conn h = public_of(c);
    void *tag = c->user_tag;
    rmri_node_conn_free(c);
    n->in_callback++;
    if (n->cb.on_closed)
        n->cb.on_closed(n->cb.user, tag, h, why);
    n->in_callback--;
}

void rmri_node_conn_failed(nd_conn *c, rmr_time now, rmr_err why)
{
    if (is_api(c))
        closed_api(c->n, c, why);
    else
        dialled(c, now, why);
}

static void on_datagram(void *user, void *tag, rmr_ns_sock sock,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    rmr_node *n = user;
    nd_conn *c = tag;
    n->dirty = true;
    if (tag && tag == n->dns)
        rmri_node_dns_datagram(n, sock, from, to, data);
    else if (c && c->kind == ND_CONN_ROUTE_UDP)
        rmri_node_forward_datagram(c, data);
}

static void on_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    rmr_node *n = user;
    nd_conn *c = tag;
    (void)sock;
    n->dirty = true;
    if (!c)
        return;
    c->has_sock = false;
    if (is_api(c)) {
        closed_api(n, c, why);
    } else if (!c->connected) {
        dialled(c, n->now, why ? why : RMR_E_CLOSED);
    } else if (why != RMR_OK || !c->bridging) {
        rmri_node_conn_end(c, n->now, false);
    } else {
        /* Both ways ended in order: what is queued for A still goes out. */
        rmr_bridge_read_eof(&c->bridge, RMR_SIDE_B);
        c->saw_eof = true;
        rmri_node_conn_pump(c, n->now);
    }
}

static void on_pong(void *user, const rmr_addr *from, uint16_t id, uint16_t seq,
                    rmr_bytes payload)
{
    rmr_node *n = user;
    rmri_node_local_icmp_pong(n, n->now, from, id, seq, payload);
    rmri_node_ping_icmp_pong(n, n->now, from, id, payload);
}

void rmri_node_conn_ns_callbacks(rmr_ns_callbacks *cb, rmr_node *n)
{
    cb->user = n;
    cb->on_accept = on_accept;
    cb->on_connected = on_connected;
    cb->on_readable = on_readable;
    cb->on_writable = on_writable;
    cb->on_closed = on_closed;
    cb->on_pong = on_pong;
    cb->on_datagram = on_datagram;
}

/* ---- the program's functions ------------------------------------------- */

static nd_conn *api_conn(const rmr_node *n, rmr_node_conn h)
{
    nd_conn *c = rmr_slots_get(&n->conns, h.id);
    return c && is_api(c) && (c->has_sock || c->lookup) ? c : NULL;
}

static void saw_time(rmr_node *n, rmr_time now)
{
    if (now > n->now)
        n->now = now;
    n->dirty = true;
}

rmr_err rmr_node_listen(rmr_node *n, rmr_time now, uint16_t port, void *tag,
                        rmr_node_conn *out)
{
    rmr_addr any = {0};
    saw_time(n, now);
    if (!n->ns)
        return RMR_E_NOTREADY;
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_API_LISTEN);
    if (!c)
        return RMR_E_NOMEM;
    any.port = port;
    rmr_err err = rmr_ns_tcp_listen(n->ns, &any, c, &c->sock);
    if (err != RMR_OK) {
        rmri_node_conn_free(c);
        return err;
    }
    c->has_sock = true;
    c->user_tag = tag;
    out->id = c->handle;
    return RMR_OK;
}

rmr_err rmr_node_dial(rmr_node *n, rmr_time now, const char *host,
                      uint16_t port, void *tag, rmr_node_conn *out)
{
    saw_time(n, now);
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_API);
    if (!c)
        return RMR_E_NOMEM;
    c->user_tag = tag;
    rmr_err err = rmri_node_conn_dial(c, n->now, host, NULL, port);
    if (err != RMR_OK) {
        rmri_node_conn_free(c);
        return err;
    }
    out->id = c->handle;
    return RMR_OK;
}

rmr_err rmr_node_set_tag(rmr_node *n, rmr_node_conn h, void *tag)
{
    nd_conn *c = api_conn(n, h);
    if (!c)
        return RMR_E_BADHANDLE;
    c->user_tag = tag;
    return RMR_OK;
}

rmr_err rmr_node_send(rmr_node *n, rmr_time now, rmr_node_conn h,
                      rmr_bytes data, size_t *taken)
{
    nd_conn *c = api_conn(n, h);
    *taken = 0;
    if (!c)
        return RMR_E_BADHANDLE;
    saw_time(n, now);
    if (!c->has_sock) /* its name is not known yet */
        return RMR_E_STATE;
    return rmr_ns_tcp_send(n->ns, n->now, c->sock, data, taken);
}

rmr_err rmr_node_peek(const rmr_node *n, rmr_node_conn h, rmr_bytes *view,
                      bool *eof)
{
    nd_conn *c = api_conn(n, h);
    if (!c)
        return RMR_E_BADHANDLE;
    if (!c->has_sock) {
        *view = rmr_bytes_of(NULL, 0);
        *eof = false;
        return RMR_OK;
    }
    return rmr_ns_tcp_peek(n->ns, c->sock, view, eof);
}

rmr_err rmr_node_consume(rmr_node *n, rmr_time now, rmr_node_conn h, size_t len)
{
    nd_conn *c = api_conn(n, h);
    if (!c)
        return RMR_E_BADHANDLE;
    saw_time(n, now);
    if (!c->has_sock)
        return len ? RMR_E_INVAL : RMR_OK;
    return rmr_ns_tcp_consume(n->ns, n->now, c->sock, len);
}

rmr_err rmr_node_shutdown(rmr_node *n, rmr_time now, rmr_node_conn h)
{
    nd_conn *c = api_conn(n, h);
    if (!c)
        return RMR_E_BADHANDLE;
    saw_time(n, now);
    if (!c->has_sock)
        return RMR_E_STATE;
    return rmr_ns_tcp_shutdown(n->ns, n->now, c->sock);
}

rmr_err rmr_node_close(rmr_node *n, rmr_time now, rmr_node_conn h)
{
    nd_conn *c = api_conn(n, h);
    if (!c)
        return RMR_E_BADHANDLE;
    saw_time(n, now);
    rmri_node_conn_end(c, n->now, true);
    return RMR_OK;
}

rmr_err rmr_node_abort(rmr_node *n, rmr_time now, rmr_node_conn h)
{
    nd_conn *c = api_conn(n, h);
    if (!c)
        return RMR_E_BADHANDLE;
    saw_time(n, now);
    rmri_node_conn_end(c, n->now, false);
    return RMR_OK;
}
