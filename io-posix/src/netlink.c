/* What Linux tells of its network by netlink (RFC 3549): that something
 * changed, own addresses, and the gateways of default routes.  (getifaddrs(3)
 * asks the same, from a corner of libc that nothing else here needs: 100 KiB of
 * resident memory.) */
#include "posix_internal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
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

/* ---- dumps ------------------------------------------------------------- */

/* Takes the body of one message of the kind that was asked for. */
typedef void (*take_fn)(void *user, rmr_bytes body);

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

/* false: the dump has ended, well or not. */
static bool take_part(rmr_bytes in, uint16_t type, take_fn take, void *user,
                      bool *is_whole)
{
    struct nlmsghdr h;
    rmr_bytes body;
    while (take_message(&in, &h, &body)) {
        *is_whole = h.nlmsg_type == NLMSG_DONE;
        if (*is_whole || h.nlmsg_type == NLMSG_ERROR)
            return false;
        if (h.nlmsg_type == type)
            take(user, body);
    }
    return true;
}

/* Asks for all of a kind: `type` is that of the answers, `ask` of the question.
 * true: the dump came to its end. */
static bool dump(uint16_t ask_type, uint16_t type, take_fn take, void *user)
{
    struct {
        struct nlmsghdr h;
        struct rtgenmsg family; /* any */
    } ask;
    uint8_t in[8192]; /* what the kernel makes a message for at least */
    struct timeval patience = {1, 0}; /* it answers at once */
    bool is_whole = false;
    int fd = open_bound(0, true);
    if (fd < 0)
        return false;
    memset(&ask, 0, sizeof ask);
    ask.h.nlmsg_len = sizeof ask;
    ask.h.nlmsg_type = ask_type;
    ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    bool is_on = send(fd, &ask, sizeof ask, 0) == (ssize_t)sizeof ask;
    for (int i = 0; is_on && i < MAX_READS; i++) {
        ssize_t n = recv(fd, in, sizeof in, 0);
        is_on = n > 0 && take_part(rmr_bytes_of(in, (size_t)n), type, take,
                                   user, &is_whole);
    }
    (void)close(fd);
    return is_whole;
}

/* The head of a message's body, and what follows it: attributes. */
static bool take_head(rmr_bytes body, void *head, size_t size, rmr_bytes *attrs)
{
    if (body.len < size)
        return false;
    memcpy(head, body.ptr, size);
    size_t padded = (size + 3) & ~(size_t)3;
    padded = padded < body.len ? padded : body.len;
    *attrs = rmr_bytes_of(body.ptr + padded, body.len - padded);
    return true;
}

/* ---- own addresses ----------------------------------------------------- */

typedef struct up_link {
    uint32_t index;
    char name[IFNAMSIZ];
} up_link;

typedef struct addresses {
    up_link up[64]; /* what is not in it counts as down */
    size_t n_up;
    rmr_addr *out;
    rmr_io_link *of_out;
    size_t n, max;
} addresses;

static void take_link(void *user, rmr_bytes body)
{
    addresses *a = user;
    struct ifinfomsg m;
    struct rtattr t;
    rmr_bytes in, v;
    if (!take_head(body, &m, sizeof m, &in) || !(m.ifi_flags & IFF_UP) ||
        a->n_up == sizeof a->up / sizeof a->up[0])
        return;
    up_link *l = &a->up[a->n_up++];
    memset(l, 0, sizeof *l);
    l->index = (uint32_t)m.ifi_index;
    while (take_attr(&in, &t, &v))
        if (t.rta_type == IFLA_IFNAME && v.len <= sizeof l->name)
            memcpy(l->name, v.ptr, v.len);
    l->name[sizeof l->name - 1] = '\0';
}

static const up_link *find_link(const addresses *a, uint32_t index)
{
    for (size_t i = 0; i < a->n_up; i++)
        if (a->up[i].index == index)
            return &a->up[i];
    return NULL;
}

static void take_address(void *user, rmr_bytes body)
{
    addresses *a = user;
    struct ifaddrmsg m;
    struct rtattr t;
    rmr_bytes in, v, ip = {NULL, 0};
    if (a->n == a->max || !take_head(body, &m, sizeof m, &in) ||
        (m.ifa_family != AF_INET && m.ifa_family != AF_INET6))
        return;
    const up_link *l = find_link(a, m.ifa_index);
    size_t ip_len = m.ifa_family == AF_INET6 ? 16 : 4;
    while (take_attr(&in, &t, &v)) {
        /* Where the two differ the link is to one peer, and ADDRESS is the
         * peer's. */
        bool is_ip = t.rta_type == IFA_LOCAL ||
                     (t.rta_type == IFA_ADDRESS && ip.len == 0);
        if (is_ip && v.len == ip_len)
            ip = v;
    }
    if (!l || ip.len == 0)
        return;
    rmr_addr *to = &a->out[a->n];
    *to = rmr_addr_from_bytes(ip, 0);
    if (to->family == RMR_AF_INET6 && m.ifa_scope == RT_SCOPE_LINK)
        to->zone = m.ifa_index;
    rmr_io_link *of = &a->of_out[a->n++];
    memset(of, 0, sizeof *of);
    of->bits = m.ifa_prefixlen;
    (void)snprintf(of->name, sizeof of->name, "%s", l->name);
}

bool rmri_posix_own_addrs(rmr_addr *out, rmr_io_link *of_out, size_t max,
                          size_t *n)
{
    addresses a;
    memset(&a, 0, sizeof a);
    a.out = out;
    a.of_out = of_out;
    a.max = max;
    bool ok = dump(RTM_GETLINK, RTM_NEWLINK, take_link, &a) &&
              dump(RTM_GETADDR, RTM_NEWADDR, take_address, &a);
    *n = a.n;
    return ok;
}

/* ---- gateways ---------------------------------------------------------- */

typedef struct gateways {
    rmr_addr *out;
    size_t n, max;
} gateways;

static bool is_default(const struct rtmsg *r)
{
    return (r->rtm_family == AF_INET || r->rtm_family == AF_INET6) &&
           r->rtm_dst_len == 0 && r->rtm_table == RT_TABLE_MAIN &&
           r->rtm_type == RTN_UNICAST;
}

/* A default route of the main table with a gateway. */
static void take_route(void *user, rmr_bytes body)
{
    gateways *g = user;
    struct rtmsg r;
    struct rtattr t;
    rmr_addr a;
    uint32_t zone = 0;
    rmr_bytes in, v;
    memset(&a, 0, sizeof a);
    if (!take_head(body, &r, sizeof r, &in) || !is_default(&r))
        return;
    size_t ip_len = r.rtm_family == AF_INET6 ? 16 : 4;
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

size_t rmri_posix_gateways(rmr_addr *out, size_t max)
{
    gateways g = {out, 0, max};
    (void)dump(RTM_GETROUTE, RTM_NEWROUTE, take_route, &g);
    return g.n;
}
