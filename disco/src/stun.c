/* STUN Binding: requests and responses, both ways. */
#include <remora/stun.h>

#include <remora/cursor.h>

#include <string.h>

#define HEADER_LEN 20
#define FINGERPRINT_LEN 8 /* with its attribute header */

enum { BINDING_REQUEST = 0x0001, BINDING_SUCCESS = 0x0101 };

enum {
    ATTR_MAPPED = 0x0001,
    ATTR_XOR_MAPPED = 0x0020,
    ATTR_XOR_MAPPED_OLD = 0x8020, /* before it had its final number */
    ATTR_SOFTWARE = 0x8022,
    ATTR_FINGERPRINT = 0x8028
};

static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};
static const char software[] = "tailnode";

/* RFC 8489 14.7: CRC-32 of ITU V.42, four bits at a time: the table is small
 * and a request is short. */
static uint32_t fingerprint(const uint8_t *p, size_t n)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc ^ 0x5354554e;
}

/* ---- out -------------------------------------------------------------- */

static void put_header(rmr_wr *w, uint16_t type, uint16_t length,
                       const uint8_t txid[RMR_STUN_TXID_LEN])
{
    rmr_wr_be16(w, type);
    rmr_wr_be16(w, length);
    rmr_wr_bytes(w, cookie, sizeof cookie);
    rmr_wr_bytes(w, txid, RMR_STUN_TXID_LEN);
}

static rmr_err end(const rmr_wr *w, size_t *len)
{
    rmr_err e = rmr_wr_end(w);
    if (e == RMR_OK)
        *len = w->len;
    return e;
}

rmr_err rmr_stun_build_request(rmr_buf dst, size_t *len,
                               const uint8_t txid[RMR_STUN_TXID_LEN])
{
    rmr_wr w = rmr_wr_of(dst);
    *len = 0;
    if (dst.len < RMR_STUN_REQUEST_LEN)
        return RMR_E_BUFSIZE;
    put_header(&w, BINDING_REQUEST, RMR_STUN_REQUEST_LEN - HEADER_LEN, txid);
    rmr_wr_be16(&w, ATTR_SOFTWARE);
    rmr_wr_be16(&w, sizeof software - 1);
    rmr_wr_str(&w, software);
    /* The header that it covers has the final length already. */
    uint32_t fp = fingerprint(dst.ptr, w.len);
    rmr_wr_be16(&w, ATTR_FINGERPRINT);
    rmr_wr_be16(&w, 4);
    rmr_wr_be32(&w, fp);
    return end(&w, len);
}

rmr_err rmr_stun_build_response(rmr_buf dst, size_t *len,
                                const uint8_t txid[RMR_STUN_TXID_LEN],
                                const rmr_addr *from)
{
    rmr_addr a =
        rmr_addr_from_bytes(rmr_bytes_of(from->ip, rmr_addr_ip_len(from)), 0);
    uint16_t n = (uint16_t)rmr_addr_ip_len(&a);
    rmr_wr w = rmr_wr_of(dst);
    *len = 0;
    if (n == 0)
        return RMR_E_INVAL;
    put_header(&w, BINDING_SUCCESS, (uint16_t)(8 + n), txid);
    rmr_wr_be16(&w, ATTR_XOR_MAPPED);
    rmr_wr_be16(&w, (uint16_t)(4 + n));
    rmr_wr_be16(&w, n == 4 ? 1 : 2);
    rmr_wr_be16(&w, from->port ^ 0x2112);
    for (size_t i = 0; i < n; i++)
        rmr_wr_u8(&w, a.ip[i] ^ (i < 4 ? cookie[i] : txid[i - 4]));
    return end(&w, len);
}

/* ---- in --------------------------------------------------------------- */

/* RFC 8489 5: two zero bits and the cookie. */
static bool is_message(rmr_bytes d, uint16_t type)
{
    return d.len >= HEADER_LEN && rmr_load_be16(d.ptr) == type &&
           memcmp(d.ptr + 4, cookie, sizeof cookie) == 0;
}

typedef struct attr {
    uint16_t type;
    rmr_bytes value;
} attr;

/* False at the end, and where `r` failed. */
static bool next_attr(rmr_rd *r, attr *a)
{
    if (r->left == 0)
        return false;
    a->type = rmr_rd_be16(r);
    size_t n = rmr_rd_be16(r);
    a->value = rmr_rd_bytes(r, n);
    rmr_rd_skip(r, (4 - n % 4) % 4);
    return !r->failed;
}

rmr_err rmr_stun_parse_request(rmr_bytes datagram,
                               uint8_t txid[RMR_STUN_TXID_LEN])
{
    if (!is_message(datagram, BINDING_REQUEST))
        return RMR_E_MALFORMED;
    rmr_rd r = rmr_rd_of(
        rmr_bytes_of(datagram.ptr + HEADER_LEN, datagram.len - HEADER_LEN));
    bool is_ours = false;
    attr a, last = {0, {NULL, 0}};
    while (next_attr(&r, &a)) {
        is_ours = is_ours || (a.type == ATTR_SOFTWARE &&
                              rmr_bytes_eq_str(a.value, software));
        last = a;
    }
    if (r.failed || !is_ours || last.type != ATTR_FINGERPRINT ||
        last.value.len != 4 ||
        rmr_load_be32(last.value.ptr) !=
            fingerprint(datagram.ptr, datagram.len - FINGERPRINT_LEN))
        return RMR_E_MALFORMED;
    memcpy(txid, datagram.ptr + 8, RMR_STUN_TXID_LEN);
    return RMR_OK;
}

rmr_err rmr_stun_answer(rmr_buf dst, size_t *len, rmr_bytes datagram,
                        const rmr_addr *from)
{
    uint8_t txid[RMR_STUN_TXID_LEN];
    *len = 0;
    rmr_err e = rmr_stun_parse_request(datagram, txid);
    return e ? e : rmr_stun_build_response(dst, len, txid, from);
}

/* The value of one of the MAPPED-ADDRESS attributes; longer ones than their
 * family needs are taken.  `mask`: 16 bytes, or NULL. */
static bool get_addr(rmr_bytes value, const uint8_t *mask, rmr_addr *out)
{
    uint8_t ip[16];
    rmr_rd r = rmr_rd_of(value);
    rmr_rd_skip(&r, 1);
    uint8_t family = rmr_rd_u8(&r);
    uint16_t port = rmr_rd_be16(&r);
    size_t n = family == 1 ? 4 : family == 2 ? 16 : 0;
    rmr_rd_copy(&r, ip, n);
    if (n == 0 || r.failed)
        return false;
    for (size_t i = 0; mask && i < n; i++)
        ip[i] ^= mask[i];
    if (mask)
        port ^= 0x2112;
    *out = rmr_addr_from_bytes(rmr_bytes_of(ip, n), port);
    return true;
}

rmr_err rmr_stun_parse_response(rmr_bytes datagram,
                                uint8_t txid[RMR_STUN_TXID_LEN],
                                rmr_addr *mapped)
{
    if (!is_message(datagram, BINDING_SUCCESS))
        return RMR_E_MALFORMED;
    rmr_rd whole = rmr_rd_of(
        rmr_bytes_of(datagram.ptr + HEADER_LEN, datagram.len - HEADER_LEN));
    rmr_rd r = rmr_rd_of(rmr_rd_bytes(&whole, rmr_load_be16(datagram.ptr + 2)));
    rmr_addr xored, plain;
    bool has_xored = false, has_plain = false;
    attr a;
    /* The mask is the cookie and the transaction id, as they lie in the
     * header. */
    while (!whole.failed && next_attr(&r, &a)) {
        bool ok = true;
        if (a.type == ATTR_XOR_MAPPED || a.type == ATTR_XOR_MAPPED_OLD)
            ok = has_xored = get_addr(a.value, datagram.ptr + 4, &xored);
        else if (a.type == ATTR_MAPPED)
            ok = has_plain = get_addr(a.value, NULL, &plain);
        if (!ok)
            return RMR_E_MALFORMED;
    }
    if (whole.failed || r.failed || !(has_xored || has_plain))
        return RMR_E_MALFORMED;
    memcpy(txid, datagram.ptr + 8, RMR_STUN_TXID_LEN);
    *mapped = has_xored ? xored : plain;
    return RMR_OK;
}
