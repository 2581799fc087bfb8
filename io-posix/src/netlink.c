/* What Linux tells of its network by netlink (RFC 3549): that something
 * changed, and the gateways of default routes. */
#include "posix_internal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_READS 64 /* of one dump */

static int open_bound(uint32_t groups, bool is_blocking)
{
    struct sockaddr_nl a;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    memset(&a, 0, sizeof a);
    a.nl_family = AF_NETLINK;
    a.nl_groups = groups;
    bool is_bound =
        fd >= 0 && bind(fd, (struct sockaddr *)(void *)&a, sizeof a) == 0;
    fd = rmri_posix_unless(!is_bound, fd);
    return is_blocking || fd < 0 ? fd : rmri_posix_set_up(fd);
}

int rmri_posix_routes_open(void)
{
    return open_bound(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                          RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
                      false);
}

/* ---- gateways ---------------------------------------------------------- */

typedef struct gateways {
    rmr_addr *out;
    size_t n, max;
} gateways;

/* Takes a header of `size` bytes and the length that it states, which counts
 * the header; *body: what follows within it.  false: there is no other. */
static bool take_tlv(rmr_bytes *in, void *header, size_t size, size_t len,
                     rmr_bytes *body)
{
    if (len < size || len > in->len)
        return false;
    size_t step = (len + 3) & ~(size_t)3; /* padded to four bytes */
    memcpy(header, in->ptr, size);
    *body = rmr_bytes_of(in->ptr + size, len - size);
    step = step < in->len ? step : in->len;
    *in = rmr_bytes_of(in->ptr + step, in->len - step);
    return true;
}

static bool take_attr(rmr_bytes *in, struct rtattr *t, rmr_bytes *body)
{
    if (in->len < sizeof *t)
        return false;
    memcpy(t, in->ptr, sizeof *t);
    return take_tlv(in, t, sizeof *t, t->rta_len, body);
}

static bool take_message(rmr_bytes *in, struct nlmsghdr *h, rmr_bytes *body)
{
    if (in->len < sizeof *h)
        return false;
    memcpy(h, in->ptr, sizeof *h);
    return take_tlv(in, h, sizeof *h, h->nlmsg_len, body);
}

static bool is_default(const struct rtmsg *r)
{
    return (r->rtm_family == AF_INET || r->rtm_family == AF_INET6) &&
           r->rtm_dst_len == 0 && r->rtm_table == RT_TABLE_MAIN &&
           r->rtm_type == RTN_UNICAST;
}

/* A default route of the main table with a gateway. */
static void take_route(gateways *g, rmr_bytes body)
{
    struct rtmsg r;
    struct rtattr t;
    rmr_addr a;
    uint32_t zone = 0;
    memset(&a, 0, sizeof a);
    if (body.len < sizeof r)
        return;
    memcpy(&r, body.ptr, sizeof r);
    if (!is_default(&r))
        return;
    size_t ip_len = r.rtm_family == AF_INET6 ? 16 : 4;
    rmr_bytes in = rmr_bytes_of(body.ptr + sizeof r, body.len - sizeof r), v;
    while (take_attr(&in, &t, &v)) {
        if (t.rta_type == RTA_GATEWAY && v.len == ip_len)
            a = rmr_addr_from_bytes(v, 0);
        else if (t.rta_type == RTA_OIF && v.len == sizeof zone)
            memcpy(&zone, v.ptr, sizeof zone);
    }
    if (a.family == RMR_AF_INET6 && a.ip[0] == 0xfe) /* link-local */
        a.zone = zone;
    if (a.family && g->n < g->max)
        g->out[g->n++] = a;
}

/* false: the dump has ended. */
static bool take_part(gateways *g, rmr_bytes in)
{
    struct nlmsghdr h;
    rmr_bytes body;
    while (take_message(&in, &h, &body)) {
        if (h.nlmsg_type == NLMSG_DONE || h.nlmsg_type == NLMSG_ERROR)
            return false;
        if (h.nlmsg_type == RTM_NEWROUTE)
            take_route(g, body);
    }
    return true;
}

size_t rmri_posix_gateways(rmr_addr *out, size_t max)
{
    struct {
        struct nlmsghdr h;
        struct rtmsg r;
    } ask;
    uint8_t in[16384];
    gateways g = {out, 0, max};
    struct timeval patience = {1, 0}; /* the kernel answers at once */
    int fd = open_bound(0, true);
    if (fd < 0)
        return 0;
    memset(&ask, 0, sizeof ask);
    ask.h.nlmsg_len = sizeof ask;
    ask.h.nlmsg_type = RTM_GETROUTE;
    ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    bool is_on = send(fd, &ask, sizeof ask, 0) == (ssize_t)sizeof ask;
    for (int i = 0; is_on && i < MAX_READS; i++) {
        ssize_t n = recv(fd, in, sizeof in, 0);
        is_on = n > 0 && take_part(&g, rmr_bytes_of(in, (size_t)n));
    }
    (void)close(fd);
    return g.n;
}
