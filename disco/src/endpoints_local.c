/* Which of the host's own addresses are worth telling others. */
#include "endpoints_internal.h"

#include <string.h>

#define PER_SUBNET 2 /* IPv6: some hosts have hundreds out of one */

typedef enum rank { SKIP, LOOPBACK, LAST_RESORT, GOOD } rank;

static bool in(const rmr_addr *a, const char *net)
{
    rmr_prefix p;
    return rmr_prefix_parse(rmr_bytes_str(net), &p) == RMR_OK &&
           rmr_prefix_contains(&p, a);
}

/* 100.115.92.0/23 is ChromeOS's, between its virtual machines. */
static bool is_of_tailnet(const rmr_addr *a)
{
    return (in(a, "100.64.0.0/10") && !in(a, "100.115.92.0/23")) ||
           in(a, "fd7a:115c:a1e0::/48");
}

/* ZeroTier and NetBird: two overlays that carry each other flood each other. */
static bool is_other_overlay(const char *name)
{
    return name && ((name[0] == 'z' && name[1] == 't') ||
                    rmr_bytes_eq_str(rmr_bytes_str(name), "wt0"));
}

static bool is_loopback_name(const char *name)
{
    rmr_bytes n = rmr_bytes_str(name);
    return rmr_bytes_eq_str(n, "lo") || rmr_bytes_eq_str(n, "lo0");
}

static rank rank_of(const rmr_endpoints_iface *i)
{
    const rmr_addr *a = &i->addr;
    if (a->family == RMR_AF_NONE || is_other_overlay(i->name) ||
        is_of_tailnet(a))
        return SKIP;
    if (rmr_addr_is_loopback(a) || is_loopback_name(i->name))
        return LOOPBACK;
    if (in(a, "fe80::/10"))
        return SKIP;
    return in(a, "169.254.0.0/16") || in(a, "fc00::/7") ? LAST_RESORT : GOOD;
}

/* How many before it are in the same subnet on the same interface. */
static size_t before_in_subnet(const rmr_endpoints_iface *ifaces, size_t at)
{
    const rmr_endpoints_iface *me = &ifaces[at];
    rmr_prefix net = {.family = RMR_AF_INET6,
                      .bits = me->bits && me->bits <= 128 ? me->bits : 64};
    size_t n = 0;
    memcpy(net.ip, me->addr.ip, sizeof net.ip);
    for (size_t i = 0; i < at; i++)
        n += rmr_prefix_contains(&net, &ifaces[i].addr) &&
             rmr_bytes_eq(rmr_bytes_str(ifaces[i].name),
                          rmr_bytes_str(me->name));
    return n;
}

/* IPv4 first, then by their bytes. */
static bool is_less(const rmr_addr *a, const rmr_addr *b)
{
    if (a->family != b->family)
        return a->family == RMR_AF_INET;
    int c = memcmp(a->ip, b->ip, sizeof a->ip);
    return c ? c < 0 : a->zone < b->zone;
}

typedef struct sorted {
    rmr_addr *list;
    size_t n, max, left_out;
} sorted;

static void insert(sorted *s, rmr_addr a)
{
    size_t at = 0;
    a.port = 0;
    while (at < s->n && is_less(&s->list[at], &a))
        at++;
    if (at < s->n && rmr_addr_eq(&s->list[at], &a))
        return;
    s->left_out += s->n == s->max;
    if (at == s->max)
        return;
    size_t keep = s->n < s->max ? s->n : s->max - 1;
    memmove(&s->list[at + 1], &s->list[at], (keep - at) * sizeof *s->list);
    s->list[at] = a;
    s->n = keep + 1;
}

static void take(const rmr_endpoints_iface *ifaces, size_t n, rank which,
                 sorted *out)
{
    for (size_t i = 0; i < n; i++) {
        if (rank_of(&ifaces[i]) != which)
            continue;
        bool many = which == GOOD && ifaces[i].addr.family == RMR_AF_INET6 &&
                    before_in_subnet(ifaces, i) >= PER_SUBNET;
        if (!many)
            insert(out, ifaces[i].addr);
    }
}

size_t rmri_endpoints_local(const rmr_endpoints_iface *ifaces, size_t n,
                            rmr_addr *out, size_t max, bool loopback,
                            uint64_t *left_out)
{
    sorted s = {out, 0, max, 0};
    take(ifaces, n, GOOD, &s);
    if (s.n == 0)
        take(ifaces, n, LAST_RESORT, &s);
    if (s.n == 0 && loopback)
        take(ifaces, n, LOOPBACK, &s);
    *left_out += s.left_out;
    return s.n;
}

size_t rmr_endpoints_local(const rmr_endpoints_iface *ifaces, size_t n,
                           rmr_addr *out, size_t max)
{
    uint64_t left_out = 0;
    return rmri_endpoints_local(ifaces, n, out, max, true, &left_out);
}
