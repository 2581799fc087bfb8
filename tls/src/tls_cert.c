#include "tls_cert.h"
#include <remora/text.h>
#include <string.h>
#include "tls_der.h"

/* ---- DER --------------------------------------------------------------- */

static size_t read_length(rmr_rd *r)
{
    uint8_t first = rmr_rd_u8(r);
    if (first < 0x80)
        return first;
    size_t n = first & 0x7fu;
    size_t len = 0;
    if (n == 0 || n > 3) /* indefinite, or larger than a TLS message */
        r->failed = true;
    for (size_t i = 0; i < n && !r->failed; i++)
        len = len << 8 | rmr_rd_u8(r);
    /* DER: the shortest form alone. */
    if (len < 0x80 || (n > 1 && len >> (8 * (n - 1)) == 0))
        r->failed = true;
    return len;
}

rmr_bytes rmri_der_next(rmr_rd *r, uint8_t *tag)
{
    *tag = rmr_rd_u8(r);
    if ((*tag & 0x1f) == 0x1f)
        r->failed = true;
    size_t len = r->failed ? 0 : read_length(r);
    rmr_bytes content = rmr_bytes_of(NULL, 0);
    if (!r->failed)
        content = rmr_rd_bytes(r, len);
    if (r->failed) {
        *tag = 0;
        return rmr_bytes_of(NULL, 0);
    }
    return content;
}

rmr_bytes rmri_der_expect(rmr_rd *r, uint8_t tag)
{
    uint8_t got;
    rmr_bytes content = rmri_der_next(r, &got);
    if (got == tag && !r->failed)
        return content;
    r->failed = true;
    return rmr_bytes_of(NULL, 0);
}

rmr_bytes rmri_der_optional(rmr_rd *r, uint8_t tag, bool *found)
{
    *found = !r->failed && r->left > 0 && r->p[0] == tag;
    return *found ? rmri_der_expect(r, tag) : rmr_bytes_of(NULL, 0);
}

rmr_rd rmri_der_enter(rmr_rd *r, uint8_t tag)
{
    rmr_rd sub = rmr_rd_of(rmri_der_expect(r, tag));
    sub.failed = r->failed;
    return sub;
}

/* ---- time -------------------------------------------------------------- */

/* RFC 5280 4.1.2.5: UTC, with seconds and a Z, without fractions. */
static bool two_digits(rmr_rd *r, unsigned *out)
{
    uint8_t a = rmr_rd_u8(r);
    uint8_t b = rmr_rd_u8(r);
    if (r->failed || a < '0' || a > '9' || b < '0' || b > '9')
        return false;
    *out = (unsigned)(a - '0') * 10 + (unsigned)(b - '0');
    return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar; the year is
 * counted from March, so that the leap day comes last. */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t mp = (month + 9) % 12;
    int64_t doy = (153 * mp + 2) / 5 + (int64_t)day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static bool is_date(unsigned year, unsigned month, unsigned day)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30,
                                   31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

static bool read_year(rmr_rd *text, bool generalized, unsigned *year)
{
    unsigned hi = 0, lo = 0;
    if (generalized) {
        if (!two_digits(text, &hi) || !two_digits(text, &lo))
            return false;
        *year = hi * 100 + lo;
        return true;
    }
    if (!two_digits(text, &lo))
        return false;
    *year = lo < 50 ? 2000 + lo : 1900 + lo;
    return true;
}

static int64_t read_time(rmr_rd *r)
{
    uint8_t tag;
    rmr_rd text = rmr_rd_of(rmri_der_next(r, &tag));
    unsigned year = 0, f[5] = {0};
    bool ok = (tag == RMRI_DER_UTCTIME || tag == RMRI_DER_GENTIME) &&
              read_year(&text, tag == RMRI_DER_GENTIME, &year);
    for (size_t i = 0; ok && i < 5; i++)
        ok = two_digits(&text, &f[i]);
    ok = ok && rmr_rd_u8(&text) == 'Z' && rmr_rd_end_exact(&text) == RMR_OK &&
         is_date(year, f[0], f[1]) && f[2] < 24 && f[3] < 60 && f[4] < 60;
    if (!ok) {
        r->failed = true;
        return 0;
    }
    return days_of(year, f[0], f[1]) * 86400 + f[2] * 3600 + f[3] * 60 + f[4];
}

/* ---- certificate ------------------------------------------------------- */

/* 2.5.4.n (attributes) and 2.5.29.n (extensions). */
enum { ARC_ATTRIBUTE = 0x04, ARC_EXTENSION = 0x1d };

static bool oid_is(rmr_bytes oid, uint8_t arc, uint8_t n)
{
    return oid.len == 3 && oid.ptr[0] == 0x55 && oid.ptr[1] == arc &&
           oid.ptr[2] == n;
}

static rmr_bytes read_common_name(rmr_rd *r)
{
    rmr_bytes cn = rmr_bytes_of(NULL, 0);
    rmr_rd name = rmri_der_enter(r, RMRI_DER_SEQUENCE);
    while (!name.failed && name.left) {
        rmr_rd rdn = rmri_der_enter(&name, RMRI_DER_SET);
        while (!rdn.failed && rdn.left) {
            rmr_rd attr = rmri_der_enter(&rdn, RMRI_DER_SEQUENCE);
            rmr_bytes oid = rmri_der_expect(&attr, RMRI_DER_OID);
            uint8_t tag;
            rmr_bytes value = rmri_der_next(&attr, &tag);
            if (rmr_rd_end_exact(&attr) != RMR_OK)
                rdn.failed = true;
            else if (oid_is(oid, ARC_ATTRIBUTE, 3))
                cn = value;
        }
        if (rdn.failed)
            name.failed = true;
    }
    if (name.failed)
        r->failed = true;
    return cn;
}

static rmr_bytes alt_names_of(rmr_bytes value, rmr_rd *parent)
{
    rmr_rd v = rmr_rd_of(value);
    rmr_bytes names = rmri_der_expect(&v, RMRI_DER_SEQUENCE);
    rmr_rd each = rmr_rd_of(names);
    while (!each.failed && each.left) {
        uint8_t tag;
        (void)rmri_der_next(&each, &tag);
    }
    if (rmr_rd_end_exact(&v) != RMR_OK || each.failed || names.len == 0)
        parent->failed = true;
    return names;
}

static void read_extensions(rmr_bytes content, rmr_rd *parent,
                            rmri_tls_cert *out)
{
    rmr_rd wrap = rmr_rd_of(content);
    rmr_rd list = rmri_der_enter(&wrap, RMRI_DER_SEQUENCE);
    bool seen = false;
    while (!list.failed && list.left) {
        rmr_rd ext = rmri_der_enter(&list, RMRI_DER_SEQUENCE);
        rmr_bytes oid = rmri_der_expect(&ext, RMRI_DER_OID);
        bool found;
        (void)rmri_der_optional(&ext, RMRI_DER_BOOLEAN, &found);
        rmr_bytes value = rmri_der_expect(&ext, RMRI_DER_OCTETS);
        if (rmr_rd_end_exact(&ext) != RMR_OK) {
            list.failed = true;
        } else if (oid_is(oid, ARC_EXTENSION, 17)) {
            if (seen) /* RFC 5280 4.2: no extension twice */
                list.failed = true;
            seen = true;
            out->san = alt_names_of(value, &list);
        }
    }
    if (list.failed || rmr_rd_end_exact(&wrap) != RMR_OK)
        parent->failed = true;
}

static void read_tbs(rmr_rd *tbs, rmri_tls_cert *out)
{
    bool found;
    (void)rmri_der_optional(tbs, 0xa0, &found);    /* version    */
    (void)rmri_der_expect(tbs, RMRI_DER_INTEGER);  /* serial     */
    (void)rmri_der_expect(tbs, RMRI_DER_SEQUENCE); /* signature  */
    rmr_bytes issuer = rmri_der_expect(tbs, RMRI_DER_SEQUENCE);
    rmr_rd validity = rmri_der_enter(tbs, RMRI_DER_SEQUENCE);
    out->not_before = read_time(&validity);
    out->not_after = read_time(&validity);
    if (rmr_rd_end_exact(&validity) != RMR_OK)
        tbs->failed = true;
    rmr_rd subject = *tbs;
    rmr_bytes name = rmri_der_expect(&subject, RMRI_DER_SEQUENCE);
    out->self_issued = rmr_bytes_eq(issuer, name);
    out->cn = read_common_name(tbs);
    (void)rmri_der_expect(tbs, RMRI_DER_SEQUENCE); /* public key */
    (void)rmri_der_optional(tbs, 0x81, &found);    /* unique ids */
    (void)rmri_der_optional(tbs, 0x82, &found);
    rmr_bytes extensions = rmri_der_optional(tbs, 0xa3, &found);
    if (found)
        read_extensions(extensions, tbs, out);
}

rmr_err rmri_tls_cert_read(rmr_bytes der, rmri_tls_cert *out)
{
    memset(out, 0, sizeof *out);
    rmr_rd all = rmr_rd_of(der);
    rmr_rd cert = rmri_der_enter(&all, RMRI_DER_SEQUENCE);
    rmr_rd tbs = rmri_der_enter(&cert, RMRI_DER_SEQUENCE);
    read_tbs(&tbs, out);
    (void)rmri_der_expect(&cert, RMRI_DER_SEQUENCE); /* algorithm */
    (void)rmri_der_expect(&cert, 0x03);              /* signature */
    if (rmr_rd_end_exact(&tbs) != RMR_OK || rmr_rd_end_exact(&cert) != RMR_OK ||
        rmr_rd_end_exact(&all) != RMR_OK) {
        memset(out, 0, sizeof *out);
        return RMR_E_MALFORMED;
    }
    return RMR_OK;
}

bool rmri_tls_cert_is_valid_at(const rmri_tls_cert *c, uint64_t wall_unix_ns)
{
    int64_t now = (int64_t)(wall_unix_ns / RMR_SEC);
    return c->not_before <= now && now <= c->not_after;
}

bool rmri_tls_cert_is_derp_meta(const rmri_tls_cert *c)
{
    static const char prefix[] = "derpkey";
    size_t n = sizeof prefix - 1;
    return c->cn.len >= n && memcmp(c->cn.ptr, prefix, n) == 0;
}
