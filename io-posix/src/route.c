/* What Apple's systems and BSD tell of their network by the routing socket
 * (route(4)): that something changed, and the gateways of default routes. */
#include "posix_internal.h"

#include <net/route.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysctl.h>

/* Addresses of a message begin at multiples of this. */
#ifdef __APPLE__
#define STEP sizeof(uint32_t)
#else
#define STEP sizeof(long)
#endif

#define MAX_DUMP ((size_t)1 << 20) /* a host's routes; more is not looked at */

int rmri_posix_routes_open(void)
{
    return rmri_posix_set_up(socket(PF_ROUTE, SOCK_RAW, AF_UNSPEC));
}

typedef struct one_addr { /* of a message, as its bytes are */
    uint8_t family;
    rmr_bytes body; /* behind length and family; empty: the length is 0 */
} one_addr;

/* The next address of a message; false: it is cut. */
static bool take_addr(rmr_bytes *in, one_addr *out)
{
    if (in->len == 0)
        return false;
    size_t len = in->ptr[0], step = len ? (len + STEP - 1) & ~(STEP - 1) : STEP;
    if (len > in->len || (len && len < 2))
        return false;
    out->family = len ? in->ptr[1] : 0;
    out->body = rmr_bytes_of(in->ptr + (len ? 2 : 0), len ? len - 2 : 0);
    step = step < in->len ? step : in->len;
    *in = rmr_bytes_of(in->ptr + step, in->len - step);
    return true;
}

static bool is_zero(rmr_bytes b, size_t from)
{
    for (size_t i = from; i < b.len; i++)
        if (b.ptr[i])
            return false;
    return true;
}

/* A sockaddr_in's or sockaddr_in6's address.  In the kernel the index of a
 * link-local one's interface stands in its second word. */
static rmr_addr addr_of(const one_addr *a)
{
    rmr_addr out;
    memset(&out, 0, sizeof out);
    if (a->family == AF_INET && a->body.len >= 6) {
        out = rmr_addr_from_bytes(rmr_bytes_of(a->body.ptr + 2, 4), 0);
    } else if (a->family == AF_INET6 && a->body.len >= 22) {
        uint8_t ip[16];
        memcpy(ip, a->body.ptr + 6, sizeof ip);
        bool is_local = ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
        uint32_t zone = is_local ? (uint32_t)ip[2] << 8 | ip[3] : 0;
        if (is_local)
            ip[2] = ip[3] = 0;
        out = rmr_addr_from_bytes(rmr_bytes_of(ip, sizeof ip), 0);
        out.zone = zone;
    }
    return out;
}

/* The gateway of a default route; family 0: it is none. */
static rmr_addr gateway_of(const struct rt_msghdr *h, rmr_bytes in)
{
    one_addr parts[RTAX_MAX];
    rmr_addr none;
    memset(parts, 0, sizeof parts);
    memset(&none, 0, sizeof none);
    for (int i = 0; i < RTAX_MAX; i++) {
        if (!(h->rtm_addrs & (1 << i)))
            continue;
        if (!take_addr(&in, &parts[i]))
            return none;
    }
    /* Behind the port, and IPv6's flow: the address, maybe cut short. */
    size_t skip = parts[RTAX_DST].family == AF_INET6 ? 6 : 2;
    bool is_default =
        (h->rtm_addrs & RTA_DST) && is_zero(parts[RTAX_DST].body, skip) &&
        (h->rtm_addrs & RTA_NETMASK) && is_zero(parts[RTAX_NETMASK].body, 0);
    return is_default ? addr_of(&parts[RTAX_GATEWAY]) : none;
}

static bool is_wanted(const struct rt_msghdr *h)
{
    int flags = h->rtm_flags;
#ifdef RTF_IFSCOPE /* of sockets that are bound to an interface */
    if (flags & RTF_IFSCOPE)
        return false;
#endif
    return h->rtm_version == RTM_VERSION && (flags & RTF_UP) &&
           (flags & RTF_GATEWAY);
}

static size_t take_all(rmr_bytes in, rmr_addr *out, size_t max)
{
    size_t n = 0;
    struct rt_msghdr h;
    while (n < max && in.len >= sizeof h) {
        memcpy(&h, in.ptr, sizeof h);
        if (h.rtm_msglen < sizeof h || h.rtm_msglen > in.len)
            break;
        rmr_bytes body =
            rmr_bytes_of(in.ptr + sizeof h, h.rtm_msglen - sizeof h);
        if (is_wanted(&h)) {
            out[n] = gateway_of(&h, body);
            n += out[n].family != 0;
        }
        in = rmr_bytes_of(in.ptr + h.rtm_msglen, in.len - h.rtm_msglen);
    }
    return n;
}

size_t rmri_posix_gateways(rmr_addr *out, size_t max)
{
    int mib[] = {CTL_NET, PF_ROUTE, 0, 0, NET_RT_FLAGS, RTF_GATEWAY};
    size_t len = 0, n = 0;
    if (sysctl(mib, 6, NULL, &len, NULL, 0) != 0 || len > MAX_DUMP)
        return 0;
    len += len / 8 + 1024; /* there may be more of them by now */
    uint8_t *dump = malloc(len);
    if (dump && sysctl(mib, 6, dump, &len, NULL, 0) == 0)
        n = take_all(rmr_bytes_of(dump, len), out, max);
    free(dump);
    return n;
}
