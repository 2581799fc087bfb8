/* Connecting: ways to the host side by side, each with its own beginning, and
 * who opens first is taken.  By name these are two, the addresses of each family
 * in turn: one that leads nowhere costs a fifth of a second (RFC 8305 5), not
 * the time of all its addresses.  By a plan each is one address. */
#include "mc_internal.h"

#include <string.h>

#define CONNECT_TIMEOUT (1500 * RMR_MS) /* one address */
#define HEAD_START (200 * RMR_MS)       /* of the family that is named first */

static bool family_is_wanted(const rmr_mc_link *l, uint8_t family)
{
    /* The families are the host's, not the proxy's. */
    if (l->by_proxy)
        return true;
    return family == RMR_AF_INET ? !l->dial.no_v4 : !l->dial.no_v6;
}

static const rmr_mc_io_ops lane_ops;

/* Goes to the lane's next address; false: it has none. */
static bool lane_next(mc_lane *a)
{
    rmr_mc_link *l = a->l;
    while (a->next_addr < a->end_addr) {
        const rmr_addr *to = &l->race->addrs[a->next_addr++];
        if (to->family != a->family)
            continue;
        a->to = *to;
        if (a->timeout == 0)
            a->to.port = l->by_proxy ? l->mc->proxy.port : l->dial.port;
        a->io = rmr_mc_connect(l->mc, &a->to, NULL,
                               a->timeout ? a->timeout : CONNECT_TIMEOUT,
                               &lane_ops, a);
        if (a->io)
            return true;
        l->last_err = RMR_E_NOMEM;
    }
    return false;
}

/* The lane that waits and is the first to begin; NULL: none waits. */
static mc_lane *waiting(rmr_mc_link *l)
{
    mc_lane *first = NULL;
    for (size_t i = 0; i < l->n_lanes; i++) {
        mc_lane *a = &l->race->lanes[i];
        if (a->start_at != RMR_TIME_NEVER &&
            (!first || a->start_at < first->start_at))
            first = a;
    }
    return first;
}

static bool is_trying(const rmr_mc_link *l)
{
    for (size_t i = 0; i < l->n_lanes; i++)
        if (l->race->lanes[i].io)
            return true;
    return false;
}

/* Begins what is due, and what need not wait as nothing else is tried. */
static void go_on(rmr_mc_link *l, rmr_time now)
{
    mc_lane *a = waiting(l);
    while (a && (now >= a->start_at || !is_trying(l))) {
        a->start_at = RMR_TIME_NEVER;
        (void)lane_next(a);
        a = waiting(l);
    }
    l->next_lane_at = a ? a->start_at : RMR_TIME_NEVER;
    if (!is_trying(l))
        rmri_mc_link_end(l, now, l->last_err ? l->last_err : RMR_E_UNREACHABLE,
                         "no address of the host could be reached");
}

void rmri_mc_race_due(rmr_mc_link *l, rmr_time now)
{
    go_on(l, now);
}

void rmri_mc_race_stop(rmr_mc_link *l)
{
    for (size_t i = 0; i < l->n_lanes; i++) {
        if (l->race->lanes[i].io)
            rmr_mc_io_abort(l->race->lanes[i].io);
        l->race->lanes[i].io = NULL;
    }
    l->n_lanes = l->n_addrs = 0;
    l->next_lane_at = RMR_TIME_NEVER;
    rmr_release(&l->mc->env.alloc, l->race, sizeof *l->race);
    l->race = NULL;
}

static void lane_failed(void *owner, rmr_time now, rmr_err why)
{
    mc_lane *a = owner;
    a->io = NULL;
    a->l->last_err = why;
    if (!lane_next(a))
        go_on(a->l, now);
}

static void lane_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    mc_lane *a = owner;
    rmr_mc_link *l = a->l;
    rmr_mc_io *io = a->io;
    a->io = NULL;
    l->remote = a->to;
    rmri_mc_race_stop(l);
    rmri_mc_link_connected(l, now, io, local);
}

static const rmr_mc_io_ops lane_ops = {
    .opened = lane_opened,
    .failed = lane_failed,
};

static mc_lane *lane_add(rmr_mc_link *l, uint8_t family, rmr_time start_at)
{
    mc_lane *a = &l->race->lanes[l->n_lanes++];
    memset(a, 0, sizeof *a);
    a->l = l;
    a->family = family;
    a->end_addr = l->n_addrs;
    a->start_at = start_at;
    return a;
}

/* False: no memory; the link has ended. */
static bool race_new(rmr_mc_link *l, rmr_time now)
{
    l->state = LINK_CONNECTING;
    l->n_lanes = 0;
    if (!l->race)
        l->race = rmr_alloc_zero(&l->mc->env.alloc, sizeof *l->race,
                                 _Alignof(mc_race));
    if (!l->race)
        rmri_mc_link_end(l, now, RMR_E_NOMEM, rmr_err_name(RMR_E_NOMEM));
    return l->race != NULL;
}

void rmri_mc_race_start(rmr_mc_link *l, rmr_time now, const rmr_addr *addrs,
                        size_t count)
{
    if (!race_new(l, now))
        return;
    l->n_addrs = count < RMR_DNS_MAX_ADDRS ? count : RMR_DNS_MAX_ADDRS;
    memcpy(l->race->addrs, addrs, l->n_addrs * sizeof *addrs);
    for (size_t i = 0; i < l->n_addrs && l->n_lanes < 2; i++) {
        uint8_t family = (uint8_t)l->race->addrs[i].family;
        if (family == RMR_AF_NONE || !family_is_wanted(l, family) ||
            (l->n_lanes && family == l->race->lanes[0].family))
            continue;
        lane_add(l, family, l->n_lanes ? rmr_time_add(now, HEAD_START) : now);
    }
    go_on(l, now);
}

_Static_assert(RMR_DIAL_PLAN_MAX <= RMR_DNS_MAX_ADDRS, "a plan fits addrs");

void rmri_mc_race_plan(rmr_mc_link *l, rmr_time now, const rmr_dial_plan *plan)
{
    if (!race_new(l, now))
        return;
    l->n_addrs = plan->n < RMR_DIAL_PLAN_MAX ? plan->n : RMR_DIAL_PLAN_MAX;
    for (size_t i = 0; i < l->n_addrs; i++) {
        const rmr_dial_try *t = &plan->tries[i];
        mc_lane *a =
            lane_add(l, (uint8_t)t->addr.family, rmr_time_add(now, t->delay));
        l->race->addrs[i] = t->addr;
        a->next_addr = i;
        a->end_addr = i + 1;
        a->timeout = t->timeout ? t->timeout : CONNECT_TIMEOUT;
    }
    go_on(l, now);
}
