/* The two values of the upgrade.  Source: RFC 6455 4.1, 4.2.2; RFC 3174. */
#include <remora/text.h>
#include <string.h>
#include "ws_internal.h"

/* ---- SHA-1 ------------------------------------------------------------- */

#define BLOCK 64u

static uint32_t rotl(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

/* RFC 3174 5: the function and the constant of each 20 rounds. */
static uint32_t round_f(unsigned t, uint32_t b, uint32_t c, uint32_t d)
{
    if (t < 20)
        return ((b & c) | (~b & d)) + 0x5a827999u;
    if (t < 40)
        return (b ^ c ^ d) + 0x6ed9eba1u;
    if (t < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    return (b ^ c ^ d) + 0xca62c1d6u;
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    uint32_t w[80], s[5];
    for (unsigned t = 0; t < 16; t++, p += 4)
        w[t] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
               (uint32_t)p[2] << 8 | p[3];
    for (unsigned t = 16; t < 80; t++)
        w[t] = rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    memcpy(s, h, sizeof s);
    for (unsigned t = 0; t < 80; t++) {
        uint32_t next =
            rotl(s[0], 5) + round_f(t, s[1], s[2], s[3]) + s[4] + w[t];
        s[4] = s[3];
        s[3] = s[2];
        s[2] = rotl(s[1], 30);
        s[1] = s[0];
        s[0] = next;
    }
    for (unsigned i = 0; i < 5; i++)
        h[i] += s[i];
}

void rmri_ws_sha1(rmr_bytes in, uint8_t out[20])
{
    uint32_t h[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u,
                     0xc3d2e1f0u};
    uint64_t bits = (uint64_t)in.len * 8;
    while (in.len >= BLOCK) {
        sha1_block(h, in.ptr);
        in.ptr += BLOCK;
        in.len -= BLOCK;
    }
    /* RFC 3174 4: a one, zeros, the length; one block more if it is short. */
    uint8_t last[2 * BLOCK] = {0};
    size_t len = in.len + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
    if (in.len)
        memcpy(last, in.ptr, in.len);
    last[in.len] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        last[len - 1 - i] = (uint8_t)(bits >> (8 * i));
    for (size_t at = 0; at < len; at += BLOCK)
        sha1_block(h, last + at);
    for (unsigned i = 0; i < 20; i++)
        out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- key and accept ---------------------------------------------------- */

rmr_err rmr_ws_key_make(const rmr_rng *rng, char key[RMR_WS_KEY_LEN + 1])
{
    uint8_t nonce[16];
    rmr_err e = rmr_rng_fill(rng, nonce, sizeof nonce);
    if (e != RMR_OK)
        return e;
    (void)rmr_base64(key, nonce, sizeof nonce);
    return RMR_OK;
}

rmr_err rmr_ws_accept_make(rmr_bytes key, char accept[RMR_WS_ACCEPT_LEN + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t nonce[18], sum[20], text[RMR_WS_KEY_LEN + sizeof guid - 1];
    size_t len = sizeof nonce;
    if (key.len != RMR_WS_KEY_LEN || rmr_unbase64(nonce, &len, key) != RMR_OK ||
        len != 16)
        return RMR_E_MALFORMED;
    memcpy(text, key.ptr, RMR_WS_KEY_LEN);
    memcpy(text + RMR_WS_KEY_LEN, guid, sizeof guid - 1);
    rmri_ws_sha1(rmr_bytes_of(text, sizeof text), sum);
    (void)rmr_base64(accept, sum, sizeof sum);
    return RMR_OK;
}

bool rmr_ws_accept_is(const char *key, rmr_bytes accept)
{
    char want[RMR_WS_ACCEPT_LEN + 1];
    return rmr_ws_accept_make(rmr_bytes_str(key), want) == RMR_OK &&
           rmr_bytes_eq_str(accept, want);
}
