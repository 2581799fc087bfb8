/* What Linux tells of its network by netlink (RFC 3549): that something
 * changed, and the gateways of default routes. */
#include "posix_internal.h"

#ifdef __linux__

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_READS 64 /* of one dump or one burst */

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

int rmri_posix_netlink_open(void)
{
    return open_bound(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                          RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
                      false);
}

/* What it says does not matter: we look.  ENOBUFS: it had more to say than the
 * socket holds. */
bool rmri_posix_netlink_drain(int fd)
{
    uint8_t sink[4096];
    bool has_news = false;
    for (int i = 0; i < MAX_READS; i++) {
        ssize_t n = recv(fd, sink, sizeof sink, 0);
        if (n < 0 && rmri_posix_would_block(errno))
            break;
        has_news = true;
    }
    return has_news;
}

/* ---- gateways ---------------------------------------------------------- */

typedef struct gateways {
    rmr_addr *out;
    size_t n, max;
} gateways;

/* A default route of the main table with a gateway. */
static void take_route(gateways *g, const struct nlmsghdr *h)
{
    const struct rtmsg *r = NLMSG_DATA(h);
    rmr_addr a;
    uint32_t zone = 0;
    memset(&a, 0, sizeof a);
    if (h->nlmsg_type != RTM_NEWROUTE ||
        h->nlmsg_len < NLMSG_LENGTH(sizeof *r) || r->rtm_dst_len != 0 ||
        (r->rtm_family != AF_INET && r->rtm_family != AF_INET6) ||
        r->rtm_table != RT_TABLE_MAIN || r->rtm_type != RTN_UNICAST)
        return;
    size_t ip_len = r->rtm_family == AF_INET6 ? 16 : 4;
    unsigned left = (unsigned)RTM_PAYLOAD(h);
    for (const struct rtattr *t = RTM_RTA(r); RTA_OK(t, left);
         t = RTA_NEXT(t, left)) {
        if (t->rta_type == RTA_GATEWAY && RTA_PAYLOAD(t) == ip_len)
            a = rmr_addr_from_bytes(rmr_bytes_of(RTA_DATA(t), ip_len), 0);
        else if (t->rta_type == RTA_OIF && RTA_PAYLOAD(t) == sizeof zone)
            memcpy(&zone, RTA_DATA(t), sizeof zone);
    }
    if (a.family == RMR_AF_INET6 && a.ip[0] == 0xfe) /* link-local */
        a.zone = zone;
    if (a.family && g->n < g->max)
        g->out[g->n++] = a;
}

/* false: the dump has ended. */
static bool take_part(gateways *g, const void *part, size_t len)
{
    unsigned left = (unsigned)len;
    for (const struct nlmsghdr *h = part; NLMSG_OK(h, left);
         h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
            return false;
        take_route(g, h);
    }
    return true;
}

size_t rmri_posix_gateways(rmr_addr *out, size_t max)
{
    struct {
        struct nlmsghdr h;
        struct rtmsg r;
    } ask;
    union {
        struct nlmsghdr align;
        uint8_t bytes[16384];
    } in;
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
        ssize_t n = recv(fd, in.bytes, sizeof in.bytes, 0);
        is_on = n > 0 && take_part(&g, in.bytes, (size_t)n);
    }
    (void)close(fd);
    return g.n;
}

#else

int rmri_posix_netlink_open(void)
{
    return -1;
}

bool rmri_posix_netlink_drain(int fd)
{
    (void)fd;
    return false;
}

size_t rmri_posix_gateways(rmr_addr *out, size_t max)
{
    (void)out;
    (void)max;
    return 0;
}

#endif
