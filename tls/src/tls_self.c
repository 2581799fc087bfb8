/* A certificate that its own key signs.  DER is written from its end: so each
 * length is known when its element begins.  Source: RFC 5280 4.1, RFC 5480,
 * RFC 5758 3.2, RFC 5915, X.690 8 and 10. */
#include <bearssl/bearssl.h>
#include <remora/text.h>
#include <remora/tls_srv.h>
#include <string.h>

#include "tls_cert.h"
#include "tls_ec.h"
#include "tls_der.h"

#define DER_MAX 768u /* the longest name makes 620 */
#define SCALAR 32u
#define POINT 65u

typedef struct der {
    uint8_t buf[DER_MAX];
    size_t at; /* where what was written begins */
} der;

static void put(der *d, const void *p, size_t len)
{
    d->at -= len;
    memcpy(d->buf + d->at, p, len);
}

/* Makes what was written since d->at was `end` the content of an element. */
static void wrap(der *d, uint8_t tag, size_t end)
{
    size_t len = end - d->at;
    uint8_t head[4] = {tag, (uint8_t)len};
    size_t n = 2;
    if (len >= 0x100) {
        head[1] = 0x82;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
        n = 4;
    } else if (len >= 0x80) {
        head[1] = 0x81;
        head[2] = (uint8_t)len;
        n = 3;
    }
    put(d, head, n);
}

static void element(der *d, uint8_t tag, const void *p, size_t len)
{
    size_t end = d->at;
    put(d, p, len);
    wrap(d, tag, end);
}

/* ---- parts -------------------------------------------------------------- */

static const uint8_t oid_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x03, 0x01, 0x07};
/* SEQUENCE { ecdsa-with-SHA256 } */
static const uint8_t algorithm[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                    0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
/* SEQUENCE { id-ecPublicKey, prime256v1 } */
static const uint8_t key_type[] = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
                                   0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
/* keyUsage, critical: digitalSignature; extKeyUsage: serverAuth;
 * basicConstraints, critical: no CA. */
static const uint8_t fixed_extensions[] = {
    0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04,
    0x04, 0x03, 0x02, 0x07, 0x80, 0x30, 0x13, 0x06, 0x03, 0x55, 0x1d,
    0x25, 0x04, 0x0c, 0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05,
    0x05, 0x07, 0x03, 0x01, 0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13,
    0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00};
/* CN=remora self-signed: who it is of is said by the alternative name, which
 * may be longer than a common name can be. */
static const uint8_t name_der[] = {
    0x30, 0x1d, 0x31, 0x1b, 0x30, 0x19, 0x06, 0x03, 0x55, 0x04, 0x03,
    0x0c, 0x12, 'r',  'e',  'm',  'o',  'r',  'a',  ' ',  's',  'e',
    'l',  'f',  '-',  's',  'i',  'g',  'n',  'e',  'd'};

/* BIT STRING of whole bytes. */
static void bits(der *d, const uint8_t *p, size_t len)
{
    size_t end = d->at;
    put(d, p, len);
    put(d, "\0", 1);
    wrap(d, 0x03, end);
}

static void alt_name(der *d, const rmri_tls_name *name)
{
    static const uint8_t oid[] = {0x06, 0x03, 0x55, 0x1d, 0x11};
    size_t end = d->at;
    if (name->ip.family == RMR_AF_NONE)
        element(d, 0x82, name->dns, strlen(name->dns));
    else
        element(d, 0x87, name->ip.ip, name->ip.family == RMR_AF_INET ? 4 : 16);
    wrap(d, RMRI_DER_SEQUENCE, end);
    wrap(d, RMRI_DER_OCTETS, end);
    put(d, oid, sizeof oid);
    wrap(d, RMRI_DER_SEQUENCE, end);
}

/* RFC 5280 4.1.2.5: two digits of the year through 2049, four from 2050. */
static void moment(der *d, uint64_t unix_ns)
{
    char text[RMR_TIME_TEXT_MAX];
    uint8_t out[15];
    size_t n = 0;
    rmr_time_text(unix_ns, text); /* 2026-11-21T09:17:51.371Z */
    bool late = memcmp(text, "2050", 4) >= 0;
    for (size_t i = late ? 0 : 2; i < 19; i++) {
        if (text[i] >= '0' && text[i] <= '9')
            out[n++] = (uint8_t)text[i];
    }
    out[n++] = 'Z';
    element(d, late ? RMRI_DER_GENTIME : RMRI_DER_UTCTIME, out, n);
}

typedef struct wish {
    rmri_tls_name name;
    uint64_t not_before, not_after;
    uint8_t serial[16];
    uint8_t scalar[SCALAR], point[POINT];
} wish;

static void body(der *d, const wish *w)
{
    static const uint8_t version_3[] = {0xa0, 0x03, 0x02, 0x01, 0x02};
    size_t end = d->at;
    put(d, fixed_extensions, sizeof fixed_extensions);
    alt_name(d, &w->name);
    wrap(d, RMRI_DER_SEQUENCE, end);
    wrap(d, 0xa3, end);
    size_t key_end = d->at;
    bits(d, w->point, sizeof w->point);
    put(d, key_type, sizeof key_type);
    wrap(d, RMRI_DER_SEQUENCE, key_end);
    put(d, name_der, sizeof name_der); /* subject */
    size_t dates_end = d->at;
    moment(d, w->not_after);
    moment(d, w->not_before);
    wrap(d, RMRI_DER_SEQUENCE, dates_end);
    put(d, name_der, sizeof name_der); /* issuer */
    put(d, algorithm, sizeof algorithm);
    element(d, RMRI_DER_INTEGER, w->serial, sizeof w->serial);
    put(d, version_3, sizeof version_3);
    wrap(d, RMRI_DER_SEQUENCE, end);
}

static void private_key(der *d, const wish *w)
{
    static const uint8_t version_1[] = {0x02, 0x01, 0x01};
    size_t end = d->at;
    bits(d, w->point, sizeof w->point);
    wrap(d, 0xa1, end);
    size_t curve_end = d->at;
    put(d, oid_p256, sizeof oid_p256);
    wrap(d, 0xa0, curve_end);
    element(d, RMRI_DER_OCTETS, w->scalar, sizeof w->scalar);
    put(d, version_1, sizeof version_1);
    wrap(d, RMRI_DER_SEQUENCE, end);
}

/* ---- the key, the signature --------------------------------------------- */

static br_ec_private_key key_of(wish *w)
{
    br_ec_private_key sk = {BR_EC_secp256r1, w->scalar, sizeof w->scalar};
    return sk;
}

/* From 1 to the curve's order; what is outside is drawn again. */
static rmr_err draw_key(wish *w, const rmr_rng *rng)
{
    const br_ec_impl *ec = rmri_tls_ec();
    br_ec_private_key sk = key_of(w);
    br_ec_public_key pk;
    uint8_t room[BR_EC_KBUF_PUB_MAX_SIZE];
    static const uint8_t zero[SCALAR];
    size_t len;
    const uint8_t *order = ec->order(BR_EC_secp256r1, &len);
    for (int i = 0; i < 64; i++) {
        if (rmr_rng_fill(rng, w->scalar, sizeof w->scalar) != RMR_OK)
            return RMR_E_RNG;
        if (memcmp(w->scalar, zero, SCALAR) == 0 ||
            memcmp(w->scalar, order, SCALAR) >= 0)
            continue;
        if (br_ec_compute_pub(ec, &pk, room, &sk) != POINT)
            return RMR_E_RNG;
        memcpy(w->point, pk.q, POINT);
        return RMR_OK;
    }
    return RMR_E_RNG; /* a generator that gives the same each time */
}

/* Nonces are RFC 6979's: no second draw that could fail or repeat. */
static void sign(der *d, wish *w)
{
    br_sha256_context sha;
    uint8_t hash[32], sig[80];
    br_ec_private_key sk = key_of(w);
    size_t end = d->at;
    body(d, w);
    br_sha256_init(&sha);
    br_sha256_update(&sha, d->buf + d->at, end - d->at);
    br_sha256_out(&sha, hash);
    size_t len = br_ecdsa_sign_asn1_get_default()(
        rmri_tls_ec(), &br_sha256_vtable, hash, &sk, sig);
    d->at = end;
    bits(d, sig, len);
    put(d, algorithm, sizeof algorithm);
    body(d, w);
    wrap(d, RMRI_DER_SEQUENCE, end);
}

/* ---- PEM ---------------------------------------------------------------- */

static void text(rmr_wr *w, const char *s)
{
    rmr_wr_bytes(w, s, strlen(s));
}

/* RFC 7468: lines of 64. */
static rmr_err pem(const der *d, const char *name, rmr_buf dst, size_t *len)
{
    char line[RMR_BASE64_LEN(48) + 1];
    rmr_wr w = rmr_wr_of(dst);
    text(&w, "-----BEGIN ");
    text(&w, name);
    text(&w, "-----\n");
    for (size_t at = d->at; at < DER_MAX; at += 48) {
        size_t n = DER_MAX - at < 48 ? DER_MAX - at : 48;
        text(&w, rmr_base64(line, d->buf + at, n));
        text(&w, "\n");
    }
    text(&w, "-----END ");
    text(&w, name);
    text(&w, "-----\n");
    rmr_wipe(line, sizeof line);
    *len = w.failed ? 0 : w.len;
    return w.failed ? RMR_E_BUFSIZE : RMR_OK;
}

static bool is_period(uint64_t from, uint64_t to)
{
    /* What RFC 3339 text and our own reader can say. */
    return from < to && to <= (uint64_t)INT64_MAX;
}

static rmr_err make(wish *w, rmr_buf cert, size_t *cert_len, rmr_buf key,
                    size_t *key_len)
{
    der d;
    d.at = DER_MAX;
    sign(&d, w);
    rmr_err e = pem(&d, "CERTIFICATE", cert, cert_len);
    d.at = DER_MAX;
    private_key(&d, w);
    if (e == RMR_OK)
        e = pem(&d, "EC PRIVATE KEY", key, key_len);
    rmr_wipe(&d, sizeof d);
    return e;
}

rmr_err rmr_tls_self_signed(const rmr_rng *rng, const char *name,
                            uint64_t not_before_unix_ns,
                            uint64_t not_after_unix_ns, rmr_buf cert_pem,
                            size_t *cert_len, rmr_buf key_pem, size_t *key_len)
{
    wish w;
    *cert_len = *key_len = 0;
    memset(&w, 0, sizeof w);
    w.not_before = not_before_unix_ns;
    w.not_after = not_after_unix_ns;
    if (rmri_tls_name_parse(name, &w.name) != RMR_OK ||
        !is_period(w.not_before, w.not_after))
        return RMR_E_INVAL;
    rmr_err e = rmr_rng_fill(rng, w.serial, sizeof w.serial);
    /* RFC 5280 4.1.2.2: above zero; and so that it needs all of its bytes. */
    w.serial[0] = (uint8_t)((w.serial[0] & 0x3f) | 0x40);
    if (e == RMR_OK)
        e = draw_key(&w, rng);
    if (e == RMR_OK)
        e = make(&w, cert_pem, cert_len, key_pem, key_len);
    rmr_wipe(&w, sizeof w);
    return e == RMR_OK || e == RMR_E_BUFSIZE ? e : RMR_E_RNG;
}
