#include <string.h>

#include <remora/cursor.h>

#include "tls_p256.h"

#ifdef RMRI_TLS_P256

typedef struct point { /* x/z, y/z; infinity is 0, 1, 0 */
    rmri_fe x, y, z;
} point;

typedef struct scalar {
    uint64_t w[4];
} scalar;

static const rmri_fe curve_b = {
    {UINT64_C(0xd89cdf6229c4bddf), UINT64_C(0xacf005cd78843090),
     UINT64_C(0xe5a220abf7212ed6), UINT64_C(0xdc30061d04874834)}};

static void twice(rmri_fe *r, const rmri_fe *a)
{
    rmri_fe_add(r, a, a);
}

static void thrice(rmri_fe *r, const rmri_fe *a)
{
    rmri_fe t;
    rmri_fe_add(&t, a, a);
    rmri_fe_add(r, &t, a);
}

/* (a0 + a1)(b0 + b1) - p0 - p1, p0 = a0 b0, p1 = a1 b1: a0 b1 + a1 b0. */
static void cross(rmri_fe *r, const rmri_fe *a0, const rmri_fe *a1,
                  const rmri_fe *b0, const rmri_fe *b1, const rmri_fe *p0,
                  const rmri_fe *p1)
{
    rmri_fe s, t;
    rmri_fe_add(&s, a0, a1);
    rmri_fe_add(&t, b0, b1);
    rmri_fe_mul(&s, &s, &t);
    rmri_fe_add(&t, p0, p1);
    rmri_fe_sub(r, &s, &t);
}

/* Algorithm 4: any two points, the same and infinity too. */
static void add(point *r, const point *a, const point *b)
{
    rmri_fe xx, yy, zz, xy, yz, xz, t, u, v, w;
    rmri_fe_mul(&xx, &a->x, &b->x);
    rmri_fe_mul(&yy, &a->y, &b->y);
    rmri_fe_mul(&zz, &a->z, &b->z);
    cross(&xy, &a->x, &a->y, &b->x, &b->y, &xx, &yy);
    cross(&yz, &a->y, &a->z, &b->y, &b->z, &yy, &zz);
    cross(&xz, &a->x, &a->z, &b->x, &b->z, &xx, &zz);

    rmri_fe_mul(&t, &curve_b, &zz); /* v, w = yy +- 3 (xz - b zz) */
    rmri_fe_sub(&t, &xz, &t);
    thrice(&t, &t);
    rmri_fe_sub(&w, &yy, &t);
    rmri_fe_add(&v, &yy, &t);
    rmri_fe_mul(&u, &curve_b, &xz); /* u = 3 (b xz - 3 zz - xx) */
    thrice(&zz, &zz);
    rmri_fe_sub(&u, &u, &zz);
    rmri_fe_sub(&u, &u, &xx);
    thrice(&u, &u);
    thrice(&t, &xx); /* t = 3 (xx - zz) */
    rmri_fe_sub(&t, &t, &zz);

    rmri_fe_mul(&r->x, &xy, &v);
    rmri_fe_mul(&xx, &yz, &u);
    rmri_fe_sub(&r->x, &r->x, &xx);
    rmri_fe_mul(&r->y, &v, &w);
    rmri_fe_mul(&xx, &t, &u);
    rmri_fe_add(&r->y, &r->y, &xx);
    rmri_fe_mul(&r->z, &yz, &w);
    rmri_fe_mul(&xx, &xy, &t);
    rmri_fe_add(&r->z, &r->z, &xx);
}

/* Algorithm 6. */
static void add_itself(point *r, const point *a)
{
    rmri_fe xx, yy, zz, xy, xz, yz, t, u, v, w;
    rmri_fe_mul(&xx, &a->x, &a->x);
    rmri_fe_mul(&yy, &a->y, &a->y);
    rmri_fe_mul(&zz, &a->z, &a->z);
    rmri_fe_mul(&xy, &a->x, &a->y);
    twice(&xy, &xy);
    rmri_fe_mul(&xz, &a->x, &a->z);
    twice(&xz, &xz);
    rmri_fe_mul(&yz, &a->y, &a->z);
    twice(&yz, &yz);

    rmri_fe_mul(&t, &curve_b, &zz); /* v, w = yy +- 3 (b zz - xz) */
    rmri_fe_sub(&t, &t, &xz);
    thrice(&t, &t);
    rmri_fe_sub(&w, &yy, &t);
    rmri_fe_add(&v, &yy, &t);
    rmri_fe_mul(&u, &curve_b, &xz); /* u = 3 (b xz - 3 zz - xx) */
    thrice(&zz, &zz);
    rmri_fe_sub(&u, &u, &zz);
    rmri_fe_sub(&u, &u, &xx);
    thrice(&u, &u);
    thrice(&t, &xx); /* t = 3 (xx - zz) */
    rmri_fe_sub(&t, &t, &zz);

    rmri_fe_mul(&r->x, &w, &xy);
    rmri_fe_mul(&xx, &yz, &u);
    rmri_fe_sub(&r->x, &r->x, &xx);
    rmri_fe_mul(&r->y, &v, &w);
    rmri_fe_mul(&xx, &t, &u);
    rmri_fe_add(&r->y, &r->y, &xx);
    rmri_fe_mul(&r->z, &yz, &yy);
    twice(&r->z, &r->z);
    twice(&r->z, &r->z);
}

/* ---- bytes ------------------------------------------------------------- */

/* False: more than 256 bits. */
static bool load_scalar(scalar *s, const uint8_t *from, size_t len)
{
    uint8_t all[32] = {0}, over = 0;
    for (; len > sizeof all; len--)
        over |= *from++;
    memcpy(all + sizeof all - len, from, len);
    for (int i = 0; i < 4; i++)
        s->w[i] = rmr_load_be64(all + 24 - 8 * i);
    rmr_wipe(all, sizeof all);
    return over == 0;
}

/* y^2 = x^3 - 3x + b. */
static bool is_on_curve(const point *p)
{
    rmri_fe left, right, t;
    rmri_fe_mul(&left, &p->y, &p->y);
    rmri_fe_mul(&right, &p->x, &p->x);
    rmri_fe_mul(&right, &right, &p->x);
    thrice(&t, &p->x);
    rmri_fe_sub(&right, &right, &t);
    rmri_fe_add(&right, &right, &curve_b);
    return rmri_fe_equal(&left, &right);
}

static bool load_point(point *p, const uint8_t from[RMRI_P256_POINT])
{
    p->z = rmri_fe_one;
    return from[0] == 4 && rmri_fe_load(&p->x, from + 1) &&
           rmri_fe_load(&p->y, from + 33) && is_on_curve(p);
}

static bool store_point(uint8_t to[RMRI_P256_POINT], const point *p)
{
    static const rmri_fe zero = {{0}};
    rmri_fe inverse, t;
    rmri_fe_invert(&inverse, &p->z);
    to[0] = 4;
    rmri_fe_mul(&t, &p->x, &inverse);
    rmri_fe_store(to + 1, &t);
    rmri_fe_mul(&t, &p->y, &inverse);
    rmri_fe_store(to + 33, &t);
    rmr_wipe(&inverse, sizeof inverse);
    return !rmri_fe_equal(&p->z, &zero);
}

/* ---- multiples --------------------------------------------------------- */

static void set_infinity(point *p)
{
    memset(p, 0, sizeof *p);
    p->y = rmri_fe_one;
}

/* r = a where `mask` is all ones. */
static void take(rmri_fe *r, const rmri_fe *a, uint64_t mask)
{
    for (int i = 0; i < 4; i++)
        r->w[i] = (r->w[i] & ~mask) | (a->w[i] & mask);
}

/* All ones where the two are the same; both are below 2^32. */
static uint64_t same(uint64_t a, uint64_t b)
{
    return rmri_mask(((a ^ b) - 1) >> 63);
}

/* Every entry is read, whichever is wanted. */
static void look_up(point *r, const point table[15], uint64_t digit)
{
    set_infinity(r); /* 0 */
    for (uint64_t i = 1; i <= 15; i++) {
        uint64_t mask = same(i, digit);
        take(&r->x, &table[i - 1].x, mask);
        take(&r->y, &table[i - 1].y, mask);
        take(&r->z, &table[i - 1].z, mask);
    }
}

static void look_up_comb(point *r, const scalar *k, unsigned at)
{
    uint64_t digit = 0;
    for (unsigned i = 0; i < 4; i++)
        digit |= (k->w[i] >> at & 1) << i;
    set_infinity(r);
    for (uint64_t i = 1; i <= 15; i++) {
        uint64_t mask = same(i, digit);
        take(&r->x, &rmri_p256_comb[i - 1][0], mask);
        take(&r->y, &rmri_p256_comb[i - 1][1], mask);
    }
    take(&r->z, &rmri_fe_one, ~same(0, digit));
}

/* r = g * G: a bit of each word at a time, from above. */
static void multiply_generator(point *r, const scalar *g)
{
    point t;
    set_infinity(r);
    for (unsigned at = 64; at-- > 0;) {
        add_itself(r, r);
        look_up_comb(&t, g, at);
        add(r, r, &t);
    }
    rmr_wipe(&t, sizeof t);
}

/* r = k * p + g * G, g NULL: 0; four bits of k at a time. */
static void multiply(point *r, const point *p, const scalar *k, const scalar *g)
{
    point table[15], t; /* p, 2p, ... */
    table[0] = *p;
    for (int i = 1; i < 15; i++)
        add(&table[i], &table[i - 1], p);
    set_infinity(r);
    for (unsigned at = 256; at-- > 0;) {
        add_itself(r, r);
        if (at % 4 == 0) {
            look_up(&t, table, k->w[at / 64] >> at % 64 & 15);
            add(r, r, &t);
        }
        if (g && at < 64) {
            look_up_comb(&t, g, at);
            add(r, r, &t);
        }
    }
    rmr_wipe(table, sizeof table);
    rmr_wipe(&t, sizeof t);
}

/* ---- what is asked for ------------------------------------------------- */

bool rmri_p256_mul(uint8_t bytes[RMRI_P256_POINT], const uint8_t *by,
                   size_t len)
{
    point p, r;
    scalar k;
    bool ok = load_scalar(&k, by, len) && load_point(&p, bytes);
    if (ok) {
        multiply(&r, &p, &k, NULL);
        ok = store_point(bytes, &r);
        rmr_wipe(&r, sizeof r);
    }
    rmr_wipe(&k, sizeof k);
    return ok;
}

bool rmri_p256_mulgen(uint8_t out[RMRI_P256_POINT], const uint8_t *by,
                      size_t len)
{
    point r;
    scalar k;
    bool ok = load_scalar(&k, by, len);
    multiply_generator(&r, &k);
    ok &= store_point(out, &r);
    rmr_wipe(&r, sizeof r);
    rmr_wipe(&k, sizeof k);
    return ok;
}

bool rmri_p256_muladd(uint8_t a[RMRI_P256_POINT], const uint8_t *b,
                      const uint8_t *x, size_t xlen, const uint8_t *y,
                      size_t ylen)
{
    point p, q, sum, part;
    scalar kx, ky;
    bool ok = load_scalar(&kx, x, xlen) && load_scalar(&ky, y, ylen) &&
              load_point(&p, a) && (!b || load_point(&q, b));
    if (ok) {
        multiply(&sum, &p, &kx, b ? NULL : &ky);
        if (b) {
            multiply(&part, &q, &ky, NULL);
            add(&sum, &sum, &part);
            rmr_wipe(&part, sizeof part);
        }
        ok = store_point(a, &sum);
        rmr_wipe(&sum, sizeof sum);
    }
    rmr_wipe(&kx, sizeof kx);
    rmr_wipe(&ky, sizeof ky);
    return ok;
}

#else
typedef int rmri_tls_p256_is_bearssls; /* ISO C wants some declaration */
#endif
