/* Connections that the host holds back, because the way of their packets is
 * full.  A held one is in ns->held where it would else be in ns->out. */
#include "tcp_internal.h"

/* A connection has 12 bits for it. */
#define HELD_MASK 0xfffu

void rmr_ns_hold(rmr_ns *ns, uint32_t tag)
{
    ns_head *h = rmr_slots_get(&ns->socks, ns->last_out);
    if (!h || h->kind != NS_KIND_CONN)
        return;
    tcp_conn *c = NS_OWNER(h, tcp_conn, head);
    if (c->flags & CF_DONE)
        return;
    ns_list_unlink(&c->out);
    ns_list_push(&ns->held, &c->out);
    c->held_for = tag & HELD_MASK;
}

void rmr_ns_release(rmr_ns *ns, uint32_t tag)
{
    for (ns_node *at = ns->held.next, *next; at != &ns->held; at = next) {
        tcp_conn *c = NS_OWNER(at, tcp_conn, out);
        next = at->next;
        if (c->held_for != (tag & HELD_MASK))
            continue;
        ns_list_unlink(&c->out);
        ns_list_push(&ns->out, &c->out);
    }
}
