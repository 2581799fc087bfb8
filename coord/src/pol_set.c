/* Sets of addresses as sorted ranges, and the prefixes that make a range up. */
#include "pol_internal.h"

#include <remora/cursor.h>

#include <stdio.h>
#include <string.h>

int rmri_pol_ip_cmp(pol_ip a, pol_ip b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return (a.lo > b.lo) - (a.lo < b.lo);
}

static pol_ip ip_next(pol_ip a)
{
    a.lo++;
    a.hi += a.lo == 0;
    return a;
}

static uint64_t low_bits(unsigned n)
{
    return n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

/* The last address of the block of 2^n that begins at a. */
static pol_ip block_end(pol_ip a, unsigned n)
{
    a.lo |= low_bits(n);
    if (n > 64)
        a.hi |= low_bits(n - 64);
    return a;
}

static unsigned width(uint8_t family)
{
    return family == RMR_AF_INET ? 32 : 128;
}

static pol_ip ip_load(uint8_t family, const uint8_t *p)
{
    pol_ip ip = {0, 0};
    if (family == RMR_AF_INET) {
        ip.lo = rmr_load_be32(p);
    } else {
        ip.hi = rmr_load_be64(p);
        ip.lo = rmr_load_be64(p + 8);
    }
    return ip;
}

pol_ip rmri_pol_ip_of(const rmr_addr *a)
{
    return ip_load(a->family, a->ip);
}

pol_range rmri_pol_range_of(const rmr_prefix *p)
{
    pol_range r = {ip_load(p->family, p->ip), {0, 0}, p->family};
    unsigned host = width(p->family) - p->bits;
    r.a.lo &= ~low_bits(host);
    if (host > 64)
        r.a.hi &= ~low_bits(host - 64);
    r.b = block_end(r.a, host);
    return r;
}

pol_range rmri_pol_range_one(uint8_t family, pol_ip ip)
{
    pol_range r = {ip, ip, family};
    return r;
}

int rmri_pol_range_cmp(const void *a, const void *b, const void *ctx)
{
    const pol_range *x = a, *y = b;
    (void)ctx;
    if (x->family != y->family)
        return x->family < y->family ? -1 : 1;
    int c = rmri_pol_ip_cmp(x->a, y->a);
    return c ? c : rmri_pol_ip_cmp(x->b, y->b);
}

bool rmri_pol_range_overlaps(const pol_range *a, const pol_range *b)
{
    return a->family == b->family && rmri_pol_ip_cmp(a->a, b->b) <= 0 &&
           rmri_pol_ip_cmp(b->a, a->b) <= 0;
}

bool rmri_pol_range_within(const pol_range *in, const pol_range *out)
{
    return in->family == out->family && rmri_pol_ip_cmp(in->a, out->a) >= 0 &&
           rmri_pol_ip_cmp(in->b, out->b) <= 0;
}

/* ---- sets ------------------------------------------------------------- */

static pol_range *range_at(const pol_set *s, uint32_t i)
{
    return POL_AT(pol_range, &s->r, i);
}

void rmri_pol_set_init(pol_set *s)
{
    memset(s, 0, sizeof *s);
    s->r.size = sizeof(pol_range);
}

void rmri_pol_set_free(pol_set *s, const rmr_alloc *a)
{
    rmri_pol_vec_free(&s->r, a);
}

void rmri_pol_set_clear(pol_set *s)
{
    s->r.n = 0;
}

/* Whether b begins within a or right behind it; a is not after b. */
static bool touches(const pol_range *a, const pol_range *b)
{
    if (a->family != b->family)
        return false;
    pol_ip next = ip_next(a->b);
    return rmri_pol_ip_cmp(b->a, a->b) <= 0 || rmri_pol_ip_cmp(b->a, next) == 0;
}

bool rmri_pol_set_add(pol_set *s, const rmr_alloc *a, const pol_range *r)
{
    /* What comes in order, as from the table, is joined at once. */
    if (s->r.n) {
        pol_range *last = range_at(s, s->r.n - 1);
        if (rmri_pol_range_cmp(last, r, NULL) <= 0 && touches(last, r)) {
            if (rmri_pol_ip_cmp(r->b, last->b) > 0)
                last->b = r->b;
            return true;
        }
    }
    pol_range *p = rmri_pol_vec_add(&s->r, a);
    if (!p)
        return false;
    *p = *r;
    return true;
}

bool rmri_pol_set_add_all(pol_set *s, const rmr_alloc *a, const pol_set *from)
{
    for (uint32_t i = 0; i < from->r.n; i++) {
        if (!rmri_pol_set_add(s, a, range_at(from, i)))
            return false;
    }
    return true;
}

void rmri_pol_set_done(pol_set *s)
{
    rmri_pol_sort(s->r.p, s->r.n, sizeof(pol_range), rmri_pol_range_cmp, NULL);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->r.n; i++) {
        const pol_range *r = range_at(s, i);
        if (n && touches(range_at(s, n - 1), r)) {
            if (rmri_pol_ip_cmp(r->b, range_at(s, n - 1)->b) > 0)
                range_at(s, n - 1)->b = r->b;
        } else {
            *range_at(s, n++) = *r;
        }
    }
    s->r.n = n;
}

uint32_t rmri_pol_set_find(const pol_set *s, const pol_range *r)
{
    uint32_t lo = 0, hi = s->r.n;
    while (lo < hi) { /* the first that does not end before r begins */
        uint32_t mid = lo + (hi - lo) / 2;
        const pol_range *m = range_at(s, mid);
        bool before = m->family != r->family ? m->family < r->family
                                             : rmri_pol_ip_cmp(m->b, r->a) < 0;
        if (before)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < s->r.n && rmri_pol_range_overlaps(range_at(s, lo), r))
        return lo;
    return s->r.n;
}

bool rmri_pol_set_overlaps(const pol_set *s, const pol_range *r)
{
    return rmri_pol_set_find(s, r) < s->r.n;
}

bool rmri_pol_set_has_range(const pol_set *s, const pol_range *r)
{
    uint32_t i = rmri_pol_set_find(s, r);
    return i < s->r.n && rmri_pol_range_cmp(range_at(s, i), r, NULL) == 0;
}

bool rmri_pol_set_eq(const pol_set *a, const pol_set *b)
{
    if (a->r.n != b->r.n)
        return false;
    for (uint32_t i = 0; i < a->r.n; i++) {
        if (rmri_pol_range_cmp(range_at(a, i), range_at(b, i), NULL) != 0)
            return false;
    }
    return true;
}

/* It only saves comparisons: who can choose addresses gains nothing here. */
uint64_t rmri_pol_set_hash(const pol_set *s)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < s->r.n; i++) {
        const pol_range *r = range_at(s, i);
        const uint64_t v[5] = {r->family, r->a.hi, r->a.lo, r->b.hi, r->b.lo};
        for (size_t k = 0; k < 5; k++) {
            h = (h ^ v[k]) * 0xff51afd7ed558ccdu;
            h ^= h >> 32;
        }
    }
    return h;
}

/* ---- prefixes ---------------------------------------------------------- */

/* Zero bits at the low end. */
static unsigned trailing(pol_ip a, unsigned max)
{
    unsigned n = 0;
    while (n < max && n < 64 && !(a.lo >> n & 1))
        n++;
    while (n >= 64 && n < max && !(a.hi >> (n - 64) & 1))
        n++;
    return n;
}

bool rmri_pol_range_split(pol_range *r, pol_range *prefix)
{
    unsigned n = trailing(r->a, width(r->family));
    while (rmri_pol_ip_cmp(block_end(r->a, n), r->b) > 0)
        n--;
    prefix->family = r->family;
    prefix->a = r->a;
    prefix->b = block_end(r->a, n);
    if (rmri_pol_ip_cmp(prefix->b, r->b) == 0)
        return false;
    r->a = ip_next(prefix->b);
    return true;
}

static rmr_addr ip_addr(uint8_t family, pol_ip ip)
{
    rmr_addr a;
    memset(&a, 0, sizeof a);
    a.family = family;
    if (family == RMR_AF_INET) {
        rmr_store_be32(a.ip, (uint32_t)ip.lo);
    } else {
        rmr_store_be64(a.ip, ip.hi);
        rmr_store_be64(a.ip + 8, ip.lo);
    }
    return a;
}

const char *rmri_pol_prefix_text(const pol_range *r,
                                 char dst[RMR_PREFIX_TEXT_MAX])
{
    rmr_addr a = ip_addr(r->family, r->a);
    unsigned host = 0;
    while (rmri_pol_ip_cmp(block_end(r->a, host), r->b) < 0)
        host++;
    rmr_prefix p = {{0}, r->family, (uint8_t)(width(r->family) - host)};
    memcpy(p.ip, a.ip, sizeof p.ip);
    return rmr_prefix_text(&p, dst);
}

const char *rmri_pol_range_text(const pol_range *r,
                                char dst[POL_RANGE_TEXT_MAX])
{
    rmr_addr a = ip_addr(r->family, r->a), b = ip_addr(r->family, r->b);
    pol_range rest = *r, first;
    char text[RMR_ADDR_TEXT_MAX], text2[RMR_ADDR_TEXT_MAX];
    if (rmri_pol_ip_cmp(r->a, r->b) == 0)
        rmr_addr_ip_text(&a, dst);
    else if (!rmri_pol_range_split(&rest, &first))
        rmri_pol_prefix_text(&first, dst);
    else
        snprintf(dst, POL_RANGE_TEXT_MAX, "%s-%s", rmr_addr_ip_text(&a, text),
                 rmr_addr_ip_text(&b, text2));
    return dst;
}

/* ---- fixed sets --------------------------------------------------------- */

#define V4(a, b)                                                               \
    {                                                                          \
        {0, (a)}, {0, (b)}, RMR_AF_INET                                        \
    }

/* 100.64.0.0/10 without 100.115.92.0/23, and fd7a:115c:a1e0::/48. */
const pol_range rmri_pol_tailnet[3] = {
    V4(0x64400000, 0x64735bff),
    V4(0x64735e00, 0x647fffff),
    {{0xfd7a115ca1e00000, 0}, {0xfd7a115ca1e0ffff, UINT64_MAX}, RMR_AF_INET6},
};

/* All of IPv4 but 10/8, 100.64/10, 169.254/16, 172.16/12, 192.168/16; and
 * 2000::/3. */
const pol_range rmri_pol_internet[] = {
    V4(0x00000000, 0x09ffffff),
    V4(0x0b000000, 0x643fffff),
    V4(0x64800000, 0xa9fdffff),
    V4(0xa9ff0000, 0xac0fffff),
    V4(0xac200000, 0xc0a7ffff),
    V4(0xc0a90000, 0xffffffff),
    {{0x2000000000000000, 0}, {0x3fffffffffffffff, UINT64_MAX}, RMR_AF_INET6},
};
const uint32_t rmri_pol_n_internet =
    sizeof rmri_pol_internet / sizeof rmri_pol_internet[0];

const pol_range rmri_pol_all[2] = {
    V4(0, 0xffffffff),
    {{0, 0}, {UINT64_MAX, UINT64_MAX}, RMR_AF_INET6},
};
