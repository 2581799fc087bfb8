/* Two binary tries with path compression.  A node either owns a prefix or has
 * two children. */
#include <string.h>

#include "wg_internal.h"

#define NODE_ALIGN _Alignof(wg_node)

static wg_ip ip_of(uint8_t family, const uint8_t *b)
{
    wg_ip ip = {0, 0};
    if (family == RMR_AF_INET) {
        ip.hi = (uint64_t)rmr_load_be32(b) << 32;
    } else {
        ip.hi = rmr_load_be64(b);
        ip.lo = rmr_load_be64(b + 8);
    }
    return ip;
}

static bool ip_eq(wg_ip a, wg_ip b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

/* The first `bits` bits of ip. */
static wg_ip ip_mask(wg_ip ip, unsigned bits)
{
    if (bits < 64) {
        ip.lo = 0;
        ip.hi = bits ? ip.hi & (UINT64_MAX << (64 - bits)) : 0;
    } else if (bits < 128) {
        ip.lo = bits > 64 ? ip.lo & (UINT64_MAX << (128 - bits)) : 0;
    }
    return ip;
}

static unsigned ip_bit(wg_ip ip, unsigned at)
{
    return (unsigned)((at < 64 ? ip.hi >> (63 - at) : ip.lo >> (127 - at)) & 1);
}

static bool covers(const wg_node *n, wg_ip ip)
{
    return ip_eq(ip_mask(ip, n->bits), n->ip);
}

static unsigned common_bits(wg_ip a, wg_ip b)
{
    unsigned n = 0;
    while (n < 128 && ip_bit(a, n) == ip_bit(b, n))
        n++;
    return n;
}

static wg_node **root_of(wg_ips *t, uint8_t family)
{
    return &t->root[family == RMR_AF_INET6];
}

static unsigned max_bits(uint8_t family)
{
    return family == RMR_AF_INET ? 32 : 128;
}

bool rmri_wg_prefix_ok(const rmr_prefix *p)
{
    return (p->family == RMR_AF_INET || p->family == RMR_AF_INET6) &&
           p->bits <= max_bits(p->family);
}

/* ---- memory ----------------------------------------------------------- */

rmr_err rmri_wg_ips_reserve(wg_ips *t, size_t n)
{
    /* A prefix needs its node and at most one more, where paths fork. */
    if (n > SIZE_MAX / 2)
        return RMR_E_NOMEM;
    for (size_t i = 0; i < 2 * n; i++) {
        wg_node *node =
            (wg_node *)rmr_alloc_zero(t->alloc, sizeof *node, NODE_ALIGN);
        if (!node) {
            rmri_wg_ips_unreserve(t);
            return RMR_E_NOMEM;
        }
        node->owner_next = t->spare;
        t->spare = node;
    }
    return RMR_OK;
}

void rmri_wg_ips_unreserve(wg_ips *t)
{
    while (t->spare) {
        wg_node *n = t->spare;
        t->spare = n->owner_next;
        rmr_release(t->alloc, n, sizeof *n);
    }
}

static wg_node *take(wg_ips *t, wg_ip ip, unsigned bits, uint8_t family)
{
    wg_node *n = t->spare;
    t->spare = n->owner_next;
    memset(n, 0, sizeof *n);
    n->ip = ip_mask(ip, bits);
    n->bits = (uint8_t)bits;
    n->family = family;
    return n;
}

/* ---- owners ----------------------------------------------------------- */

static void disown(wg_node *n)
{
    wg_peer *p = n->peer;
    if (!p)
        return;
    if (n->owner_prev)
        n->owner_prev->owner_next = n->owner_next;
    else
        p->prefixes = n->owner_next;
    if (n->owner_next)
        n->owner_next->owner_prev = n->owner_prev;
    n->owner_prev = n->owner_next = NULL;
    n->peer = NULL;
    if (n->family == RMR_AF_INET && n->bits == 32 && ip_eq(n->ip, p->host4))
        p->has_host4 = false;
    if (n->family == RMR_AF_INET6 && n->bits == 128 && ip_eq(n->ip, p->host6))
        p->has_host6 = false;
}

static void own(wg_node *n, wg_peer *p)
{
    n->peer = p;
    n->owner_next = p->prefixes;
    if (n->owner_next)
        n->owner_next->owner_prev = n;
    p->prefixes = n;
    /* No longer prefix can take a whole address away: equality is enough to
     * know the owner, without a walk (rmri_wg_ips_owns). */
    if (n->family == RMR_AF_INET && n->bits == 32 && !p->has_host4) {
        p->host4 = n->ip;
        p->has_host4 = true;
    }
    if (n->family == RMR_AF_INET6 && n->bits == 128 && !p->has_host6) {
        p->host6 = n->ip;
        p->has_host6 = true;
    }
}

/* ---- shape ------------------------------------------------------------ */

static void set_child(wg_node *parent, wg_node *child)
{
    parent->child[ip_bit(child->ip, parent->bits)] = child;
    child->parent = parent;
}

/* Puts `with` (or nothing) where `n` hangs. */
static void replace(wg_ips *t, wg_node *n, wg_node *with)
{
    if (!n->parent)
        *root_of(t, n->family) = with;
    else
        n->parent->child[n->parent->child[1] == n] = with;
    if (with)
        with->parent = n->parent;
}

void rmri_wg_ips_insert(wg_ips *t, wg_peer *p, const rmr_prefix *prefix)
{
    uint8_t family = prefix->family;
    unsigned bits = prefix->bits;
    wg_ip ip = ip_mask(ip_of(family, prefix->ip), bits);
    wg_node **at = root_of(t, family), *parent = NULL;

    while (*at && (*at)->bits <= bits && covers(*at, ip)) {
        if ((*at)->bits == bits) {
            disown(*at); /* an equal prefix moves */
            own(*at, p);
            return;
        }
        parent = *at;
        at = &parent->child[ip_bit(ip, parent->bits)];
    }
    wg_node *leaf = take(t, ip, bits, family), *old = *at;
    own(leaf, p);
    if (!old) {
        *at = leaf;
        leaf->parent = parent;
        return;
    }
    unsigned common = common_bits(ip, old->ip);
    if (common >= bits) { /* the new prefix holds the old node */
        *at = leaf;
        leaf->parent = parent;
        set_child(leaf, old);
        return;
    }
    wg_node *fork = take(t, ip, common, family);
    *at = fork;
    fork->parent = parent;
    set_child(fork, leaf);
    set_child(fork, old);
}

/* Takes out a node without a peer unless it forks; then its parent may be one
 * that no longer forks. */
static void collapse(wg_ips *t, wg_node *n)
{
    while (n && !n->peer && !(n->child[0] && n->child[1])) {
        wg_node *parent = n->parent;
        replace(t, n, n->child[0] ? n->child[0] : n->child[1]);
        rmr_release(t->alloc, n, sizeof *n);
        n = parent;
    }
}

void rmri_wg_ips_remove_peer(wg_ips *t, wg_peer *p)
{
    while (p->prefixes) {
        wg_node *n = p->prefixes;
        disown(n);
        collapse(t, n);
    }
}

/* ---- look-up ---------------------------------------------------------- */

wg_peer *rmri_wg_ips_find(const wg_ips *t, uint8_t family, const uint8_t *b)
{
    wg_ip ip = ip_of(family, b);
    unsigned max = max_bits(family);
    wg_peer *found = NULL;
    const wg_node *n = t->root[family == RMR_AF_INET6];
    while (n && covers(n, ip)) {
        if (n->peer)
            found = n->peer;
        if (n->bits == max)
            break;
        n = n->child[ip_bit(ip, n->bits)];
    }
    return found;
}
