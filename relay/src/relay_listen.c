/* Listeners, and the sockets of STUN, which open with them. */
#include "relay_internal.h"

#include <stdio.h>

#define REST RMR_SEC /* after the descriptors ran out */
/* A client that vanished has the next keep-alive unacknowledged. */
#define UNACKED_MAX (15 * RMR_SEC)

const char *rmri_relay_door_name(rl_door door)
{
    static const char *const names[RL_DOORS] = {"relay", "http", "metrics",
                                                "stun"};
    return names[door];
}

static void tell_ready(rmr_relay *r)
{
    if (r->ready_told || r->n_open < r->n_listeners)
        return;
    r->ready_told = true;
    rmr_relay_event ev = {0};
    ev.kind = RMR_RELAY_EV_READY;
    ev.key = r->public_key;
    rmri_relay_tell(r, &ev);
}

void rmri_relay_listen_opened(rl_listener *l, const rmr_addr *local)
{
    rmr_relay_event ev = {0};
    l->open = true;
    l->r->n_open++;
    l->at = *local;
    ev.kind = RMR_RELAY_EV_LISTENING;
    ev.what = rmri_relay_door_name(l->door);
    ev.addr = *local;
    rmri_relay_tell(l->r, &ev);
    tell_ready(l->r);
}

static void opened(void *owner, rmr_time now, const rmr_addr *local)
{
    (void)now;
    rmri_relay_listen_opened(owner, local);
}

static void failed(void *owner, rmr_time now, rmr_err why)
{
    rl_listener *l = owner;
    char text[160], addr[RMR_ADDR_TEXT_MAX];
    l->io = NULL;
    snprintf(text, sizeof text, "can't listen at %s for %s: %s",
             rmr_addr_text(&l->at, addr), rmri_relay_door_name(l->door),
             rmr_err_name(why));
    rmri_relay_fail(l->r, now, why, text);
}

static void accepted(void *owner, rmr_time now, uint64_t child,
                     const rmr_addr *remote)
{
    rmri_relay_conn_accept(owner, now, child, remote);
}

/* Accepting at once again would fail the same way. */
static void accept_failed(void *owner, rmr_time now, rmr_err why)
{
    rl_listener *l = owner;
    (void)why;
    rmr_mc_io_pause(l->io, true);
    l->resume_at = rmr_time_add(now, REST);
}

static const rmr_mc_io_ops ops = {
    .opened = opened,
    .failed = failed,
    .accepted = accepted,
    .accept_failed = accept_failed,
};

rmr_err rmri_relay_listen_start(rmr_relay *r)
{
    for (size_t i = 0; i < r->n_listeners; i++) {
        rl_listener *l = &r->listeners[i];
        l->io = l->door == RL_DOOR_STUN
                    ? rmr_mc_udp(r->mc, &l->at, &rmri_relay_stun_ops, l)
                    : rmr_mc_listen(r->mc, &l->at, NULL, &ops, l);
        if (!l->io)
            return RMR_E_NOMEM;
        if (l->door != RL_DOOR_STUN)
            rmr_mc_listen_acked(l->io, UNACKED_MAX);
    }
    return RMR_OK;
}

void rmri_relay_listen_stop(rmr_relay *r)
{
    for (size_t i = 0; i < r->n_listeners; i++) {
        if (r->listeners[i].io)
            rmr_mc_io_close(r->listeners[i].io);
        r->listeners[i].io = NULL;
        r->listeners[i].resume_at = RMR_TIME_NEVER;
    }
}

rmr_time rmri_relay_listen_deadline(const rmr_relay *r)
{
    rmr_time at = RMR_TIME_NEVER;
    for (size_t i = 0; i < r->n_listeners; i++)
        at = rmr_time_min(at, r->listeners[i].resume_at);
    return at;
}

void rmri_relay_listen_handle_deadline(rmr_relay *r, rmr_time now)
{
    for (size_t i = 0; i < r->n_listeners; i++) {
        rl_listener *l = &r->listeners[i];
        if (now < l->resume_at)
            continue;
        l->resume_at = RMR_TIME_NEVER;
        rmr_mc_io_pause(l->io, false);
    }
}
