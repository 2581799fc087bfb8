/* The way of the packets changed (rmr_ns_path_changed).  A dead way makes a
 * sender wait twice as long before each repeat; when the host has another one,
 * it would wait up to as long again as the old one was dead. */
#include "tcp_internal.h"

/* An acknowledgement is repeated for data that came in the last minute, and
 * when none comes now: the sender may wait for it. */
#define RECENT_MS 60000u
#define QUIET_MS 300u

static void changed(rmr_ns *ns, tcp_conn *c)
{
    if (c->backoff && c->t_rto != RMR_TIME_NEVER)
        rmri_tcp_repeat_now(ns, c);
    uint32_t since = tcp_ms(ns->now) - c->last_data_ms;
    if (tcp_synced(c) && since >= QUIET_MS && since < RECENT_MS) {
        c->flags |= CF_ACK_NOW;
        rmri_tcp_want_output(ns, c);
    }
}

void rmr_ns_path_changed(rmr_ns *ns, rmr_time now,
                         bool (*is_for)(void *user, const rmr_addr *remote),
                         void *user)
{
    uint32_t pos = 0;
    uint64_t id;
    if (now > ns->now)
        ns->now = now;
    for (ns_head *h; (h = rmr_slots_next(&ns->socks, &pos, &id));) {
        tcp_conn *c = (tcp_conn *)(void *)h;
        if ((c->flags & CF_DONE))
            continue;
        rmr_addr remote =
            rmri_ns_addr_of(c->tuple.family, &c->tuple.remote, c->tuple.rport);
        if (!is_for || is_for(user, &remote))
            changed(ns, c);
    }
}
