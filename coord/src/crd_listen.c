/* Listeners. */
#include "crd_internal.h"

#include <stdio.h>
#include <string.h>

/* After the descriptors ran out: until some that were given up are closed, or
 * until others are. */
#define REST_SHORT (20 * RMR_MS)
#define REST RMR_SEC
/* A client that vanished has the next keep-alive unacknowledged. */
#define UNACKED_MAX (15 * RMR_SEC)

static void tell_ready(rmr_coord *c)
{
    rmr_coord_event ev;
    if (c->ready_told || c->n_open < c->n_listeners)
        return;
    c->ready_told = true;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_READY;
    ev.key = c->public_key;
    rmri_crd_tell(c, &ev);
}

static void opened(void *owner, rmr_time now, const rmr_addr *local)
{
    crd_listener *l = owner;
    rmr_coord_event ev;
    (void)now;
    l->open = true;
    l->c->n_open++;
    l->at = *local;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_LISTENING;
    ev.addr = *local;
    ev.text = l->role == CRD_SOCKET    ? l->name
              : l->role == CRD_METRICS ? "metrics"
                                       : NULL;
    rmri_crd_tell(l->c, &ev);
    tell_ready(l->c);
}

static void failed(void *owner, rmr_time now, rmr_err why)
{
    crd_listener *l = owner;
    char text[160], addr[RMR_ADDR_TEXT_MAX];
    l->io = NULL;
    (void)snprintf(text, sizeof text, "can't listen at %s: %s",
                   l->name ? l->name : rmr_addr_text(&l->at, addr),
                   rmr_err_name(why));
    rmri_crd_fail(l->c, now, why, text);
}

static void accepted(void *owner, rmr_time now, uint64_t child,
                     const rmr_addr *remote)
{
    rmri_crd_conn_accept(owner, now, child, remote);
}

static void accept_failed(void *owner, rmr_time now, rmr_err why)
{
    crd_listener *l = owner;
    (void)why;
    bool some = rmri_crd_conns_thin_out(l->c, now);
    rmr_mc_io_pause(l->io, true);
    l->resume_at = rmr_time_add(now, some ? REST_SHORT : REST);
}

static const rmr_mc_io_ops ops = {
    .opened = opened,
    .failed = failed,
    .accepted = accepted,
    .accept_failed = accept_failed,
};

rmr_err rmri_crd_listen_start(rmr_coord *c)
{
    for (size_t i = 0; i < c->n_listeners; i++) {
        crd_listener *l = &c->listeners[i];
        l->io = rmr_mc_listen(c->mc, &l->at, l->name, &ops, l);
        if (!l->io)
            return RMR_E_NOMEM;
        if (l->role == CRD_MAIN)
            rmr_mc_listen_acked(l->io, UNACKED_MAX);
    }
    return RMR_OK;
}

void rmri_crd_listen_stop(rmr_coord *c)
{
    for (size_t i = 0; i < c->n_listeners; i++) {
        if (c->listeners[i].io)
            rmr_mc_io_close(c->listeners[i].io);
        c->listeners[i].io = NULL;
        c->listeners[i].resume_at = RMR_TIME_NEVER;
    }
}

rmr_time rmri_crd_listen_deadline(const rmr_coord *c)
{
    rmr_time at = RMR_TIME_NEVER;
    for (size_t i = 0; i < c->n_listeners; i++)
        at = rmr_time_min(at, c->listeners[i].resume_at);
    return at;
}

void rmri_crd_listen_handle_deadline(rmr_coord *c, rmr_time now)
{
    for (size_t i = 0; i < c->n_listeners; i++) {
        crd_listener *l = &c->listeners[i];
        if (now < l->resume_at)
            continue;
        l->resume_at = RMR_TIME_NEVER;
        rmr_mc_io_pause(l->io, false);
    }
}
