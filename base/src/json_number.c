/* JSON numbers as int64 and as double.  strtod depends on the locale, so the
 * double is made here: exactly, by integers of bounded size. */
#include <remora/json.h>

#include <float.h>
#include <string.h>

_Static_assert(DBL_MANT_DIG == 53 && DBL_MAX_EXP == 1024,
               "double is IEEE 754 binary64");

rmr_err rmr_json_int(rmr_json_kind kind, rmr_bytes text, int64_t *out)
{
    bool minus = text.len > 0 && text.ptr[0] == '-';
    uint64_t max = (uint64_t)INT64_MAX + (minus ? 1 : 0), v = 0;
    if (kind != RMR_JSON_NUMBER || text.len == (minus ? 1u : 0u))
        return RMR_E_MALFORMED;
    for (size_t i = minus ? 1 : 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return RMR_E_MALFORMED;
        uint64_t d = (uint64_t)(text.ptr[i] - '0');
        if (v > (max - d) / 10)
            return RMR_E_MALFORMED;
        v = v * 10 + d;
    }
    /* -v - 1 + 1: INT64_MIN has no positive counterpart. */
    *out = minus && v ? -(int64_t)(v - 1) - 1 : (int64_t)v;
    return RMR_OK;
}

/* ---- integers of up to 4096 bits -------------------------------------- */

/* Enough: the largest are 801 digits (2661 bits) and 10^1125 (3738 bits), and
 * one is shifted to the length of the other and one bit more. */
#define LIMBS 128

typedef struct big {
    uint32_t limb[LIMBS]; /* lowest first */
    size_t n;             /* limbs in use; the highest is not 0 */
} big;

static void big_mul_add(big *b, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;
    for (size_t i = 0; i < b->n; i++) {
        carry += (uint64_t)b->limb[i] * factor;
        b->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && b->n < LIMBS)
        b->limb[b->n++] = (uint32_t)carry;
}

static void big_mul_pow10(big *b, int64_t n)
{
    for (; n >= 9; n -= 9)
        big_mul_add(b, 1000000000, 0);
    for (; n > 0; n--)
        big_mul_add(b, 10, 0);
}

static void big_shift_left(big *b, size_t bits)
{
    size_t limbs = bits / 32;
    for (bits %= 32; bits; bits--)
        big_mul_add(b, 2, 0);
    if (limbs == 0 || b->n + limbs > LIMBS)
        return;
    memmove(b->limb + limbs, b->limb, b->n * sizeof b->limb[0]);
    memset(b->limb, 0, limbs * sizeof b->limb[0]);
    b->n += limbs;
}

static size_t big_bits(const big *b)
{
    size_t bits = 32 * (b->n - 1);
    for (uint32_t top = b->limb[b->n - 1]; top; top >>= 1)
        bits++;
    return bits;
}

static int big_compare(const big *a, const big *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (size_t i = a->n; i-- > 0;) {
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    }
    return 0;
}

/* a -= b, where a >= b. */
static void big_subtract(big *a, const big *b)
{
    uint64_t borrow = 0;
    for (size_t i = 0; i < a->n; i++) {
        uint64_t take = borrow + (i < b->n ? b->limb[i] : 0);
        borrow = a->limb[i] < take;
        a->limb[i] = (uint32_t)(a->limb[i] - take);
    }
    while (a->n && a->limb[a->n - 1] == 0)
        a->n--;
}

/* ---- decimal to binary ------------------------------------------------ */

/* More digits than these can't move a value over the middle between two
 * doubles, which has at most 767; that there are any is one digit more. */
#define MAX_DIGITS 800

/* A literal, as digits * 10^exp. */
typedef struct decimal {
    const uint8_t *p; /* the first digit that is not 0; a point may follow */
    size_t n;         /* digits                                            */
    int64_t exp;
    bool minus;
} decimal;

/* Splits a literal that the reader has checked; false for one that it has
 * not. */
static bool read_decimal(rmr_bytes text, decimal *d)
{
    /* More than any text has digits, and short of overflow. */
    const int64_t limit = 1000000000000000;
    const uint8_t *p = text.ptr, *end = text.ptr + text.len;
    bool point = false, any = false, e_minus = false;
    int64_t e = 0;
    memset(d, 0, sizeof *d);
    d->minus = *p == '-';
    if (d->minus)
        p++;
    for (; p < end && ((*p >= '0' && *p <= '9') || (*p == '.' && !point));
         p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        any = true;
        if (d->n == 0 && *p != '0')
            d->p = p;
        if (d->p)
            d->n++;
        if (point)
            d->exp--;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '-' || *p == '+'))
            e_minus = *p++ == '-';
        any = any && p < end;
        for (; p < end && *p >= '0' && *p <= '9'; p++)
            e = e < limit ? e * 10 + (*p - '0') : limit;
    }
    d->exp += e_minus ? -e : e;
    return any && p == end;
}

/* Digits one by one, over the point. */
static uint32_t next_digit(const uint8_t **p)
{
    if (**p == '.')
        (*p)++;
    return (uint32_t)(*(*p)++ - '0');
}

/* Up to 19 digits and a small power: both are exact as doubles, so one rounded
 * operation gives the right result (W. D. Clinger, 1990). */
static bool fast_double(const decimal *d, double *out)
{
#if FLT_EVAL_METHOD == 0
    static const double powers[] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (d->n > 19 || d->exp < -22 || d->exp > 22)
        return false;
    uint64_t m = 0;
    const uint8_t *p = d->p;
    for (size_t i = 0; i < d->n; i++)
        m = m * 10 + next_digit(&p);
    if (m >> 53)
        return false;
    *out =
        d->exp < 0 ? (double)m / powers[-d->exp] : (double)m * powers[d->exp];
    return true;
#else
    (void)d;
    (void)out;
    return false;
#endif
}

/* The bits of num / den * 2^e2, where num / den is at least 1/2 and below 1;
 * rounds to nearest, ties to even. */
static uint64_t divide(big *num, const big *den, int e2)
{
    const int min_e2 = DBL_MIN_EXP; /* -1021: 1/2 * 2^-1021 is normal yet */
    int bits = e2 >= min_e2 ? 53 : 53 - (min_e2 - e2);
    uint64_t q = 0;
    if (bits < 0)
        return 0;
    for (int i = 0; i < bits; i++) {
        big_shift_left(num, 1);
        q <<= 1;
        if (big_compare(num, den) >= 0) {
            big_subtract(num, den);
            q |= 1;
        }
    }
    big_shift_left(num, 1);
    int rest = big_compare(num, den);
    if (rest > 0 || (rest == 0 && (q & 1)))
        q++; /* a carry out of the mantissa raises the exponent, as it should */
    return e2 >= min_e2 ? ((uint64_t)(e2 - min_e2) << 52) + q : q;
}

static uint64_t slow_double(const decimal *d)
{
    big num, den;
    int64_t exp = d->exp;
    const uint8_t *p = d->p;
    size_t n = d->n < MAX_DIGITS ? d->n : MAX_DIGITS;
    num.n = 0;
    for (size_t i = 0; i < n; i++)
        big_mul_add(&num, 10, next_digit(&p));
    bool rest = false;
    for (size_t i = n; i < d->n; i++)
        rest |= next_digit(&p) != 0;
    exp += (int64_t)(d->n - n);
    if (rest) {
        big_mul_add(&num, 10, 1);
        exp--;
    }
    den.n = 1;
    den.limb[0] = 1;
    big_mul_pow10(exp < 0 ? &den : &num, exp < 0 ? -exp : exp);
    /* Equal lengths: the quotient is above 1/2 and below 2. */
    int e2 = (int)big_bits(&num) - (int)big_bits(&den);
    if (e2 < 0)
        big_shift_left(&num, (size_t)-e2);
    else
        big_shift_left(&den, (size_t)e2);
    if (big_compare(&num, &den) >= 0) {
        big_shift_left(&den, 1);
        e2++;
    }
    return divide(&num, &den, e2);
}

rmr_err rmr_json_double(rmr_json_kind kind, rmr_bytes text, double *out)
{
    decimal d;
    double v = 0;
    if (kind != RMR_JSON_NUMBER || text.len == 0 || !read_decimal(text, &d))
        return RMR_E_MALFORMED;
    int64_t magnitude = d.exp + (int64_t)d.n; /* below 10^magnitude */
    if (d.n && magnitude > DBL_MAX_10_EXP + 1)
        return RMR_E_MALFORMED;
    if (d.n && magnitude >= -324 && !fast_double(&d, &v)) {
        uint64_t bits = slow_double(&d);
        if (bits >= (uint64_t)0x7ff << 52)
            return RMR_E_MALFORMED;
        memcpy(&v, &bits, sizeof v);
    }
    *out = d.minus ? -v : v;
    return RMR_OK;
}
