/* What the node offers beside its API: a SOCKS5 server, local ports that lead
 * to peers (forwards), tailnet ports that lead to local servers (serves); and
 * who listens for them, for metrics and for the local endpoint. */
#include "node_internal.h"

#include <stdio.h>
#include <string.h>

#define SOCKS_TIMEOUT (30 * RMR_SEC) /* for the request, and for the dial */
#define SERVE_TIMEOUT (10 * RMR_SEC)

/* ---- a dial that a client waits for ------------------------------------ */

static void socks_answer(nd_conn *c, rmr_time now, rmr_err err)
{
    rmr_timers_cancel(&c->n->timers, &c->timer);
    rmr_socks5_reply(c->socks, rmr_socks5_code_of(err), NULL);
    rmr_mc_io_output(c->io);
    if (err != RMR_OK) {
        if (c->has_sock)
            rmr_ns_abort(c->n->ns, now, c->sock);
        c->has_sock = false;
        rmri_node_dns_dial_cancel(c);
    }
}

void rmri_node_service_dialled(nd_conn *c, rmr_time now, rmr_err err)
{
    if (c->kind == ND_CONN_SOCKS && c->socks && c->io) {
        socks_answer(c, now, err);
        return;
    }
    if (err != RMR_OK) {
        rmri_node_conn_end(c, now, false);
        return;
    }
    rmr_timers_cancel(&c->n->timers, &c->timer);
    rmri_node_conn_pump(c, now);
}

void rmri_node_service_timer(nd_conn *c, rmr_time now)
{
    /* A client that says nothing, or a peer that does not answer. */
    if (c->kind == ND_CONN_SOCKS && c->socks && c->io &&
        c->socks->state == RMR_SOCKS5_REQUESTED)
        socks_answer(c, now, RMR_E_TIMEOUT);
    else if (!c->connected || c->socks || c->kind == ND_CONN_METRICS)
        rmri_node_conn_end(c, now, false);
}

/* ---- SOCKS5 ------------------------------------------------------------ */

static void socks_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_conn *c = owner;
    (void)why;
    c->io = NULL;
    rmri_node_conn_end(c, now, false);
}

static void socks_dial(nd_conn *c, rmr_time now)
{
    rmr_socks5 *s = c->socks;
    rmri_node_timer_set(c->n, &c->timer, rmr_time_add(now, SOCKS_TIMEOUT));
    rmr_err err = rmri_node_conn_dial(c, now, s->host, &s->addr, s->port);
    rmr_logf(&c->n->env.log, RMR_LOG_DEBUG, ND_LAYER,
             "SOCKS5: a connection to port %u, %s", (unsigned)s->port,
             err == RMR_OK ? "dialled" : rmr_err_name(err));
    if (err != RMR_OK)
        socks_answer(c, now, err);
}

static void socks_bytes(void *owner, rmr_time now, rmr_buf data)
{
    nd_conn *c = owner;
    size_t used = 0;
    bool asked = false;
    c->n->dirty = true;
    if (c->socks->state == RMR_SOCKS5_READING) {
        rmr_socks5_read(c->socks, rmr_bytes_of(data.ptr, data.len), &used);
        asked = c->socks->state == RMR_SOCKS5_REQUESTED;
    }
    if (asked) {
        rmr_bridge_init(&c->bridge, &c->n->env.alloc, 0);
        c->bridging = true;
    }
    /* What follows the request, also before the answer, waits in the bridge. */
    if (c->bridging && !rmri_node_conn_take(
                           c, rmr_bytes_of(data.ptr + used, data.len - used))) {
        rmri_node_conn_end(c, now, false);
        return;
    }
    if (asked)
        socks_dial(c, now);
    rmr_mc_io_output(c->io);
    if (c->socks->state == RMR_SOCKS5_READING)
        rmr_mc_io_credit(c->io, 1024);
}

static void socks_eof(void *owner, rmr_time now)
{
    nd_conn *c = owner;
    if (c->bridging)
        rmr_bridge_read_eof(&c->bridge, RMR_SIDE_A);
    else if (c->socks->state != RMR_SOCKS5_FAILED) /* else it is answered */
        rmri_node_conn_end(c, now, false);
}

static size_t socks_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    nd_conn *c = owner;
    size_t len = 0;
    rmr_socks5_write(c->socks, scratch, &len);
    if (c->socks->state == RMR_SOCKS5_FAILED && len == 0) {
        rmri_node_conn_end(c, now, true);
        return 0;
    }
    if (c->socks->state == RMR_SOCKS5_FAILED)
        rmr_mc_io_output(c->io); /* once more, to close behind the answer */
    if (c->socks->state == RMR_SOCKS5_OPEN) {
        rmr_socks5_wipe(c->socks);
        rmr_release(&c->n->env.alloc, c->socks, sizeof *c->socks);
        c->socks = NULL;
        rmr_mc_io_hand_over(c->io, &rmri_node_bridge_ops, c);
        rmri_node_conn_pump(c, now);
    }
    return len;
}

static const rmr_mc_io_ops socks_ops = {
    .failed = socks_failed,
    .bytes = socks_bytes,
    .eof = socks_eof,
    .produce = socks_produce,
};

static void socks_accept(rmr_node *n, rmr_time now, uint64_t child)
{
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_SOCKS);
    rmr_mc_io *io = rmr_mc_adopt(n->mc, child, &socks_ops, c);
    rmr_socks5 *s =
        rmr_alloc_zero(&n->env.alloc, sizeof *s, _Alignof(rmr_socks5));
    if (c && io && s &&
        rmr_socks5_init(s, n->socks5_user, n->socks5_password) == RMR_OK) {
        c->io = io;
        c->socks = s;
        rmri_node_timer_set(n, &c->timer, rmr_time_add(now, SOCKS_TIMEOUT));
        rmr_mc_io_credit(io, 1024);
        return;
    }
    rmr_release(&n->env.alloc, s, sizeof *s);
    if (io)
        rmr_mc_io_abort(io);
    if (c)
        rmri_node_conn_free(c);
}

/* ---- forwards ---------------------------------------------------------- */

static void forward_accept(nd_listener *l, rmr_time now, uint64_t child)
{
    rmr_node *n = l->n;
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_FORWARD);
    rmr_mc_io *io = rmr_mc_adopt(n->mc, child, &rmri_node_bridge_ops, c);
    if (!c || !io) {
        if (io)
            rmr_mc_io_abort(io);
        if (c)
            rmri_node_conn_free(c);
        return;
    }
    c->io = io;
    rmr_err err =
        rmri_node_conn_dial(c, now, l->forward.peer, NULL, l->forward.port);
    if (err != RMR_OK) {
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER, "forward to %s:%u: %s",
                 l->forward.peer, l->forward.port, rmr_err_name(err));
        rmri_node_conn_end(c, now, false);
        return;
    }
    rmri_node_timer_set(n, &c->timer, rmr_time_add(now, SOCKS_TIMEOUT));
    rmri_node_conn_start_bridge(c, now);
}

/* ---- serves ------------------------------------------------------------ */

void rmri_node_serve_accept(rmr_node *n, rmr_time now, nd_conn *listener,
                            rmr_ns_sock sock)
{
    const rmr_serve *s = &n->serves[listener->serve_index];
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_SERVE);
    rmr_mc_io *io = NULL;
    if (c)
        io = rmr_mc_connect(n->mc, &s->target, NULL, SERVE_TIMEOUT,
                            &rmri_node_bridge_ops, c);
    if (!io) {
        if (c)
            rmri_node_conn_free(c);
        rmr_ns_abort(n->ns, now, sock);
        return;
    }
    c->io = io;
    rmri_node_conn_accepted(c, now, sock);
    rmri_node_conn_start_bridge(c, now);
}

static rmr_err serves_start(rmr_node *n, rmr_time now)
{
    for (size_t i = 0; i < n->n_serves; i++) {
        rmr_addr any = {0};
        nd_conn *c = rmri_node_conn_new(n, ND_CONN_SERVE_LISTEN);
        if (!c)
            return RMR_E_NOMEM;
        any.port = n->serves[i].port;
        c->serve_index = (uint16_t)i;
        rmr_err err = rmr_ns_tcp_listen(n->ns, &any, c, &c->sock);
        if (err == RMR_E_INUSE) {
            char text[80];
            snprintf(text, sizeof text,
                     "port %u is served twice: leave one of them out",
                     (unsigned)any.port);
            rmri_node_fail(n, now, RMR_E_NODE_LISTEN, text);
        }
        if (err != RMR_OK)
            return err;
        c->has_sock = true;
    }
    return RMR_OK;
}

/* ---- listeners of the adapter ------------------------------------------ */

static const char *listener_text(const nd_listener *l,
                                 char dst[RMR_ADDR_TEXT_MAX])
{
    if (l->kind == ND_CONN_LOCAL)
        return l->n->local_name;
    return rmr_addr_text(&l->at, dst);
}

static const char *listener_name(const nd_listener *l)
{
    switch (l->kind) {
    case ND_CONN_SOCKS:
        return "the SOCKS5 server";
    case ND_CONN_FORWARD:
        return "a forward";
    case ND_CONN_METRICS:
        return "the metrics' server";
    default:
        return "the local endpoint";
    }
}

static void listener_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    nd_listener *l = owner;
    char where[RMR_ADDR_TEXT_MAX];
    (void)now;
    (void)local;
    l->open = true;
    rmr_logf(&l->n->env.log, RMR_LOG_INFO, ND_LAYER, "%s listens on %s",
             listener_name(l), listener_text(l, where));
}

static void listener_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_listener *l = owner;
    char text[192], where[RMR_ADDR_TEXT_MAX];
    l->io = NULL;
    if (l->kind == ND_CONN_LOCAL && why == RMR_E_UNSUPPORTED)
        return;
    if (l->kind == ND_CONN_LOCAL && why == RMR_E_INUSE) {
        rmri_node_fail(l->n, now, RMR_E_NODE_IN_USE, NULL);
        return;
    }
    if (l->kind == ND_CONN_LOCAL && why == RMR_E_TOOBIG) {
        rmri_node_fail(l->n, now, RMR_E_NODE_LISTEN,
                       "the path of the state directory is too long for a "
                       "local socket: choose a shorter one");
        return;
    }
    snprintf(text, sizeof text,
             "cannot listen on %s (%s): choose another address or end what "
             "uses it",
             listener_text(l, where),
             why == RMR_E_INUSE ? "in use" : rmr_err_name(why));
    rmri_node_fail(l->n, now, RMR_E_NODE_LISTEN, text);
}

static void listener_accepted(void *owner, rmr_time now, uint64_t child,
                              const rmr_addr *remote)
{
    nd_listener *l = owner;
    (void)remote;
    l->n->dirty = true;
    if (l->kind == ND_CONN_SOCKS)
        socks_accept(l->n, now, child);
    else if (l->kind == ND_CONN_FORWARD)
        forward_accept(l, now, child);
    else if (l->kind == ND_CONN_METRICS)
        rmri_node_metrics_accept(l->n, now, child);
    else
        rmri_node_local_accept(l->n, now, child);
}

static void listener_accept_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_listener *l = owner;
    rmr_logf(&l->n->env.log, RMR_LOG_WARN, ND_LAYER,
             "a connection can't be accepted (%s): resting for a second",
             rmr_err_name(why));
    rmr_mc_io_pause(l->io, true);
    rmr_backoff_failed(&l->rest, now);
}

static const rmr_mc_io_ops listener_ops = {
    .opened = listener_opened,
    .failed = listener_failed,
    .accepted = listener_accepted,
    .accept_failed = listener_accept_failed,
};

static nd_listener *add_listener(rmr_node *n, nd_conn_kind kind)
{
    nd_listener *l = &n->listeners[n->n_listeners++];
    l->n = n;
    l->kind = kind;
    rmr_backoff_init(&l->rest);
    return l;
}

static size_t max_listeners(const rmr_node *n)
{
    return n->n_forwards + (n->socks5_addr.family != RMR_AF_NONE) +
           (n->metrics_addr.family != RMR_AF_NONE) + (n->local_name != NULL);
}

rmr_err rmri_node_service_start(rmr_node *n, rmr_time now)
{
    size_t count = max_listeners(n);
    if (count)
        n->listeners = rmr_alloc_zero(
            &n->env.alloc, count * sizeof(nd_listener), _Alignof(nd_listener));
    if (count && !n->listeners)
        return RMR_E_NOMEM;
    if (n->socks5_addr.family != RMR_AF_NONE)
        add_listener(n, ND_CONN_SOCKS)->at = n->socks5_addr;
    for (size_t i = 0; i < n->n_forwards; i++) {
        nd_listener *l = add_listener(n, ND_CONN_FORWARD);
        l->forward = n->forwards[i];
        l->at = l->forward.local;
    }
    if (n->metrics_addr.family != RMR_AF_NONE)
        add_listener(n, ND_CONN_METRICS)->at = n->metrics_addr;
    if (n->local_name)
        add_listener(n, ND_CONN_LOCAL);
    for (size_t i = 0; i < n->n_listeners; i++) {
        nd_listener *l = &n->listeners[i];
        bool local = l->kind == ND_CONN_LOCAL;
        l->io = rmr_mc_listen(n->mc, local ? NULL : &l->at,
                              local ? n->local_name : NULL, &listener_ops, l);
        if (!l->io)
            return RMR_E_NOMEM;
    }
    return serves_start(n, now);
}

void rmri_node_service_free(rmr_node *n)
{
    rmr_release(&n->env.alloc, n->listeners,
                max_listeners(n) * sizeof(nd_listener));
    n->listeners = NULL;
}

void rmri_node_service_stop(rmr_node *n)
{
    for (size_t i = 0; i < n->n_listeners; i++) {
        if (n->listeners[i].io)
            rmr_mc_io_close(n->listeners[i].io);
        n->listeners[i].io = NULL;
    }
}

rmr_time rmri_node_service_deadline(const rmr_node *n)
{
    rmr_time at = RMR_TIME_NEVER;
    for (size_t i = 0; i < n->n_listeners; i++)
        at = rmr_time_min(at, rmr_backoff_deadline(&n->listeners[i].rest));
    return at;
}

void rmri_node_service_handle_deadline(rmr_node *n, rmr_time now)
{
    for (size_t i = 0; i < n->n_listeners; i++) {
        nd_listener *l = &n->listeners[i];
        if (rmr_backoff_take(&l->rest, now) && l->io)
            rmr_mc_io_pause(l->io, false);
    }
}
