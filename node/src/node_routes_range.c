/* Ranges of addresses, and what they mean to routes: which none of ours leads
 * to, which are the tailnet's, 4via6, and the subnets that this host is on. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <remora/text.h>
#include <string.h>

bool rmri_node_same_text(const char *a, const char *b)
{
    return rmr_bytes_eq_str(rmr_bytes_str(a), b);
}

/* What no route of ours reaches, whoever asks for it: this host itself, and
 * addresses that mean something on a link alone. */
bool rmri_node_ip_is_forbidden(const rmr_addr *ip)
{
    static const uint8_t none[16] = {0};
    if (ip->family == RMR_AF_INET)
        return ip->ip[0] == 0 || ip->ip[0] == 127 || ip->ip[0] >= 224 ||
               (ip->ip[0] == 169 && ip->ip[1] == 254);
    return memcmp(ip->ip, none, 8) == 0 || ip->ip[0] == 0xff ||
           (ip->ip[0] == 0xfe && (ip->ip[1] & 0xc0) == 0x80);
}

static bool is_whole(const rmr_prefix *p)
{
    return p->bits == (p->family == RMR_AF_INET ? 32 : 128);
}

/* Single addresses of the tailnet's ranges; 100.115.92.0/23 is ChromeOS'. */
bool rmri_node_prefix_is_tailnet_ip(const rmr_prefix *p)
{
    static const uint8_t ula[] = {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0};
    if (!is_whole(p))
        return false;
    if (p->family == RMR_AF_INET)
        return p->ip[0] == 100 && (p->ip[1] & 0xc0) == 64 &&
               !(p->ip[1] == 115 && (p->ip[2] & 0xfe) == 92);
    return memcmp(p->ip, ula, sizeof ula) == 0;
}

static const uint8_t via6[] = {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0x0b, 0x1a};

bool rmri_node_routes_target(const rmr_addr *to, rmr_addr *target)
{
    *target = *to;
    if (to->family == RMR_AF_INET6 && memcmp(to->ip, via6, sizeof via6) == 0)
        *target = rmr_addr_from_bytes(rmr_bytes_of(to->ip + 12, 4), to->port);
    return !rmri_node_ip_is_forbidden(target);
}

/* "10-1-2-3-via-7", alone or below the tailnet's domain. */
bool rmri_node_routes_name(const rmr_node *n, const char *name, rmr_addr *out)
{
    static const char word[] = "-via-";
    rmr_bytes text = rmr_bytes_str(name), part;
    rmr_addr a = {.family = RMR_AF_INET6};
    size_t label = 0, at = 0, start = 0;
    uint64_t v;
    while (label < text.len && text.ptr[label] != '.')
        label++;
    if (label < text.len &&
        !rmri_node_same_text(name + label + 1,
                             n->nm ? rmr_nm_magic_suffix(n->nm) : ""))
        return false;
    memcpy(a.ip, via6, sizeof via6);
    for (size_t i = 0; i < 4; i++, start = at + 1) {
        for (at = start; at < label && text.ptr[at] != '-';)
            at++;
        part = rmr_bytes_of(text.ptr + start, at - start);
        if (at >= label || rmr_parse_u64(part, 255, &v) != RMR_OK)
            return false;
        a.ip[12 + i] = (uint8_t)v;
    }
    if (label - at < sizeof word - 1 ||
        memcmp(text.ptr + at, word, sizeof word - 1) != 0)
        return false;
    at += sizeof word - 1;
    part = rmr_bytes_of(text.ptr + at, label - at);
    if (rmr_parse_u64(part, UINT32_MAX, &v) != RMR_OK)
        return false;
    rmr_store_be32(a.ip + 8, (uint32_t)v);
    *out = a;
    return true;
}

/* A subnet of a link of this host's; not that of an address alone. */
bool rmri_node_link_subnet(const rmr_node *n, size_t i, rmr_prefix *out)
{
    const rmr_addr *a = &n->link_addrs[i];
    rmr_prefix p = {0};
    memcpy(p.ip, a->ip, sizeof p.ip);
    p.family = a->family;
    p.bits = n->link_of[i].bits;
    if (p.bits == 0 || is_whole(&p) || rmri_node_ip_is_forbidden(a))
        return false;
    *out = rmri_node_prefix_masked(&p);
    return true;
}

/* 4via6 is among them. */
bool rmri_node_ip_is_tailnet(const rmr_addr *ip)
{
    rmr_prefix p = {0};
    memcpy(p.ip, ip->ip, sizeof p.ip);
    p.family = ip->family;
    p.bits = ip->family == RMR_AF_INET ? 32 : 128;
    return rmri_node_prefix_is_tailnet_ip(&p);
}

bool rmri_node_routes_is_lan(const rmr_node *n, const rmr_addr *ip)
{
    rmr_prefix p;
    if (!rmri_node_exit_text(n)[0] || !n->routes.allow_lan ||
        rmri_node_ip_is_tailnet(ip))
        return false;
    for (size_t i = 0; i < n->n_link_addrs; i++)
        if (rmri_node_link_subnet(n, i, &p) && rmr_prefix_contains(&p, ip))
            return true;
    return false;
}

bool rmr_node_can_advertise(const rmr_prefix *p)
{
    rmr_addr first = rmr_prefix_addr(p), target;
    if ((p->family != RMR_AF_INET && p->family != RMR_AF_INET6) ||
        p->bits == 0 || !rmri_node_prefix_is_clean(p))
        return false;
    /* Of 4via6 the site must be given whole. */
    if (p->family == RMR_AF_INET6 && memcmp(p->ip, via6, sizeof via6) == 0)
        return p->bits >= 96;
    return rmri_node_routes_target(&first, &target);
}
