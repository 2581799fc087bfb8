/* Connecting: ways to the host side by side, each with its own beginning, and
 * who opens first is taken.  By name these are two, the addresses of each family
 * in turn: one that leads nowhere costs a fifth of a second (RFC 8305 5), not
 * the time of all its addresses.  Where there are literals they go first, and
 * the name is asked for behind that fifth if they leave a family out.  By a plan
 * each is one address. */
#include "mc_internal.h"

#include <string.h>

#define CONNECT_TIMEOUT (1500 * RMR_MS) /* one address */
#define HEAD_START (200 * RMR_MS)       /* of the family that is named first */

static bool family_is_wanted(const rmr_mc_link *l, uint8_t family)
{
    /* The families are the host's, not the proxy's. */
    if (l->by_proxy)
        return true;
    return family == RMR_AF_INET ? !l->dial->no_v4 : !l->dial->no_v6;
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
            a->to.port = l->by_proxy ? l->mc->proxy.port : l->dial->port;
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

static void stop_asking(rmr_mc_link *l)
{
    if (l->asks)
        rmr_dns_cancel(l->mc->dns, l->query);
    l->asks = false;
    l->name_at = RMR_TIME_NEVER;
}

/* True: the answer was there, and has gone on, perhaps to the link's end. */
static bool ask(rmr_mc_link *l, rmr_time now)
{
    if (l->name_at == RMR_TIME_NEVER)
        return false;
    if (l->asks) {
        if (now >= l->name_at && !is_trying(l))
            stop_asking(l); /* the time of one connect is over */
        return false;
    }
    if (now < l->name_at && is_trying(l))
        return false;
    l->name_at = rmr_time_add(l->race->began, CONNECT_TIMEOUT);
    rmri_mc_link_ask(l, now);
    return !l->asks;
}

static void set_next(rmr_mc_link *l)
{
    const mc_lane *a = waiting(l);
    bool is_due = !l->asks || !is_trying(l);
    l->next_lane_at = rmr_time_min(a ? a->start_at : RMR_TIME_NEVER,
                                   is_due ? l->name_at : RMR_TIME_NEVER);
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
    if (ask(l, now))
        return;
    set_next(l);
    if (!is_trying(l) && !l->asks)
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
    stop_asking(l);
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
    l->name_at = RMR_TIME_NEVER;
    if (!l->race)
        l->race = rmr_alloc_zero(&l->mc->env.alloc, sizeof *l->race,
                                 _Alignof(mc_race));
    if (l->race)
        l->race->began = now;
    else
        rmri_mc_link_end(l, now, RMR_E_NOMEM, rmr_err_name(RMR_E_NOMEM));
    return l->race != NULL;
}

/* Adds the addresses, and a lane for each family that has none yet: one at
 * once, the other behind its head start. */
static void add_addrs(rmr_mc_link *l, const rmr_addr *addrs, size_t count)
{
    mc_race *r = l->race;
    size_t i = l->n_addrs, room = RMR_DNS_MAX_ADDRS - i;
    if (count > room)
        count = room;
    if (count)
        memcpy(r->addrs + i, addrs, count * sizeof *addrs);
    l->n_addrs += count;
    for (; i < l->n_addrs && l->n_lanes < 2; i++) {
        uint8_t family = (uint8_t)r->addrs[i].family;
        if (family == RMR_AF_NONE || !family_is_wanted(l, family) ||
            (l->n_lanes && family == r->lanes[0].family))
            continue;
        rmr_dur start = l->n_lanes ? HEAD_START : 0;
        lane_add(l, family, rmr_time_add(r->began, start))->next_addr = i;
    }
}

/* Literals that leave a family out which is not off. */
static bool needs_name(const rmr_mc_link *l)
{
    bool has_v4 = l->dial->no_v4, has_v6 = l->dial->no_v6;
    for (size_t i = 0; i < l->dial->n_addrs; i++) {
        has_v4 |= l->dial->addrs[i].family == RMR_AF_INET;
        has_v6 |= l->dial->addrs[i].family == RMR_AF_INET6;
    }
    return l->dial->n_addrs && !l->by_proxy && l->dial->host[0] &&
           !(has_v4 && has_v6);
}

void rmri_mc_race_start(rmr_mc_link *l, rmr_time now, const rmr_addr *addrs,
                        size_t count)
{
    if (!race_new(l, now))
        return;
    add_addrs(l, addrs, count);
    if (needs_name(l))
        l->name_at = rmr_time_add(now, HEAD_START);
    go_on(l, now);
}

void rmri_mc_race_more(rmr_mc_link *l, rmr_time now, const rmr_addr *addrs,
                       size_t count)
{
    l->name_at = RMR_TIME_NEVER;
    add_addrs(l, addrs, count);
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
