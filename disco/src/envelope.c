/* The envelope: magic, sender's key, nonce, NaCl box of the plaintext. */
#include <remora/disco.h>

#include "disco_internal.h"

#include <string.h>

#define NONCE_AT (RMRI_DISCO_MAGIC_LEN + RMR_KEY_LEN)
#define OVERHEAD (RMR_DISCO_HEADER_LEN + RMR_TAG_LEN)

static bool has_envelope(rmr_bytes d)
{
    return d.len >= OVERHEAD &&
           memcmp(d.ptr, rmri_disco_magic, sizeof rmri_disco_magic) == 0;
}

/* `plain` has room for d.len - OVERHEAD bytes, or is where the ciphertext is.
 */
static rmr_err open_into(uint8_t *plain, rmr_bytes d,
                         const uint8_t shared[RMR_KEY_LEN], rmr_disco_msg *out)
{
    rmr_bytes box = rmr_bytes_of(d.ptr + RMR_DISCO_HEADER_LEN,
                                 d.len - RMR_DISCO_HEADER_LEN);
    rmr_err e = rmr_box_open(plain, shared, d.ptr + NONCE_AT, box);
    if (e != RMR_OK)
        return e;
    return rmri_disco_parse(rmr_bytes_of(plain, d.len - OVERHEAD), out);
}

rmr_err rmr_disco_open(rmr_bytes datagram, const uint8_t shared[RMR_KEY_LEN],
                       rmr_disco_msg *out)
{
    uint8_t plain[RMR_DISCO_OPEN_MAX];
    memset(out, 0, sizeof *out);
    if (!has_envelope(datagram))
        return RMR_E_MALFORMED;
    if (datagram.len > sizeof plain)
        return RMR_E_TOOBIG;
    return open_into(plain, datagram, shared, out);
}

rmr_err rmr_disco_open_in_place(rmr_buf datagram,
                                const uint8_t shared[RMR_KEY_LEN],
                                rmr_disco_msg *out)
{
    rmr_bytes d = rmr_bytes_of(datagram.ptr, datagram.len);
    memset(out, 0, sizeof *out);
    if (!has_envelope(d))
        return RMR_E_MALFORMED;
    return open_into(datagram.ptr + OVERHEAD, d, shared, out);
}

/* Around the n bytes of plaintext that are in their place in dst. */
static void wrap(rmr_buf dst, size_t n, const uint8_t own_public[RMR_KEY_LEN],
                 const uint8_t shared[RMR_KEY_LEN],
                 const uint8_t nonce[RMR_BOX_NONCE_LEN])
{
    memcpy(dst.ptr, rmri_disco_magic, RMRI_DISCO_MAGIC_LEN);
    memcpy(dst.ptr + RMRI_DISCO_MAGIC_LEN, own_public, RMR_KEY_LEN);
    memcpy(dst.ptr + NONCE_AT, nonce, RMR_BOX_NONCE_LEN);
    rmr_box_seal(dst.ptr + RMR_DISCO_HEADER_LEN, shared, nonce,
                 rmr_bytes_of(dst.ptr + OVERHEAD, n));
}

rmr_err rmr_disco_seal(rmr_buf dst, size_t *len,
                       const uint8_t own_public[RMR_KEY_LEN],
                       const uint8_t shared[RMR_KEY_LEN],
                       const uint8_t nonce[RMR_BOX_NONCE_LEN],
                       const rmr_disco_msg *msg)
{
    size_t n;
    *len = 0;
    if (dst.len < OVERHEAD)
        return RMR_E_BUFSIZE;
    rmr_err e = rmri_disco_build(
        rmr_buf_of(dst.ptr + OVERHEAD, dst.len - OVERHEAD), &n, msg);
    if (e != RMR_OK)
        return e;
    wrap(dst, n, own_public, shared, nonce);
    *len = OVERHEAD + n;
    return RMR_OK;
}

rmr_err rmri_disco_seal_plain(rmr_buf dst, size_t *len,
                              const uint8_t own_public[RMR_KEY_LEN],
                              const uint8_t shared[RMR_KEY_LEN],
                              const uint8_t nonce[RMR_BOX_NONCE_LEN],
                              rmr_bytes plain)
{
    *len = 0;
    if (dst.len < OVERHEAD + plain.len)
        return RMR_E_BUFSIZE;
    memcpy(dst.ptr + OVERHEAD, plain.ptr, plain.len);
    wrap(dst, plain.len, own_public, shared, nonce);
    *len = OVERHEAD + plain.len;
    return RMR_OK;
}
