/* Connecting: the addresses of each family in turn, the two families side by
 * side, and who opens first is taken.  One that leads nowhere costs a fifth of a
 * second (RFC 8305 5), not the time of all its addresses. */
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

static mc_lane *other_lane(mc_lane *a)
{
    return a == &a->l->lanes[0] ? &a->l->lanes[1] : &a->l->lanes[0];
}

static const rmr_mc_io_ops lane_ops;

/* Goes to the lane's next address; false: it has none. */
static bool lane_next(mc_lane *a)
{
    rmr_mc_link *l = a->l;
    while (a->family != RMR_AF_NONE && a->next_addr < l->n_addrs) {
        const rmr_addr *to = &l->addrs[a->next_addr++];
        if (to->family != a->family)
            continue;
        a->to = *to;
        a->to.port = l->by_proxy ? l->mc->proxy.port : l->dial.port;
        a->io =
            rmr_mc_connect(l->mc, &a->to, NULL, CONNECT_TIMEOUT, &lane_ops, a);
        if (a->io)
            return true;
        l->last_err = RMR_E_NOMEM;
    }
    return false;
}

void rmri_mc_race_second(rmr_mc_link *l, rmr_time now)
{
    (void)now;
    l->second_at = RMR_TIME_NEVER;
    (void)lane_next(&l->lanes[1]);
}

void rmri_mc_race_stop(rmr_mc_link *l)
{
    for (size_t i = 0; i < 2; i++) {
        if (l->lanes[i].io)
            rmr_mc_io_abort(l->lanes[i].io);
        l->lanes[i].io = NULL;
    }
    l->second_at = RMR_TIME_NEVER;
}

/* A lane has come to its end. */
static void lane_ended(mc_lane *a, rmr_time now)
{
    rmr_mc_link *l = a->l;
    if (l->second_at != RMR_TIME_NEVER)
        rmri_mc_race_second(l, now); /* nothing to wait for any more */
    if (!other_lane(a)->io && !a->io)
        rmri_mc_link_end(l, now, l->last_err ? l->last_err : RMR_E_UNREACHABLE,
                         "no address of the host could be reached");
}

static void lane_failed(void *owner, rmr_time now, rmr_err why)
{
    mc_lane *a = owner;
    a->io = NULL;
    a->l->last_err = why;
    if (!lane_next(a))
        lane_ended(a, now);
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

void rmri_mc_race_start(rmr_mc_link *l, rmr_time now)
{
    memset(l->lanes, 0, sizeof l->lanes);
    l->lanes[0].l = l->lanes[1].l = l;
    for (size_t i = 0; i < l->n_addrs; i++) {
        uint8_t family = (uint8_t)l->addrs[i].family;
        mc_lane *a = &l->lanes[l->lanes[0].family != RMR_AF_NONE];
        if (family_is_wanted(l, family) && family != l->lanes[0].family)
            a->family = family;
    }
    l->state = LINK_CONNECTING;
    if (l->lanes[1].family != RMR_AF_NONE)
        l->second_at = rmr_time_add(now, HEAD_START);
    if (!lane_next(&l->lanes[0]))
        lane_ended(&l->lanes[0], now);
}
