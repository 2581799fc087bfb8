/* Telling STUN, Geneve, disco and WireGuard apart on one socket.  The order and
 * the lengths are those of Tailscale's clients: another order would class some
 * datagrams differently than the peer that sent them. */
#include <remora/disco.h>

#include <remora/cursor.h>

#include "disco_internal.h"

#include <string.h>

/* Magic and sender: what the reference asks for before it calls it disco. */
#define MIN_DISCO 38
#define GENEVE_LEN 8

enum { GENEVE_DISCO = 0x7a11, GENEVE_WIREGUARD = 0x7a12 };

const uint8_t rmri_disco_magic[RMRI_DISCO_MAGIC_LEN] = {0x54, 0x53, 0xf0,
                                                        0x9f, 0x92, 0xac};

rmr_addr rmr_disco_derp_addr(uint16_t region)
{
    return rmr_addr_v4(127, 3, 3, 40, region);
}

static bool is_disco(rmr_bytes d)
{
    return d.len >= MIN_DISCO &&
           memcmp(d.ptr, rmri_disco_magic, sizeof rmri_disco_magic) == 0;
}

/* RFC 8489 5: two zero bits, the cookie, and the method Binding. */
static bool is_stun(rmr_bytes d)
{
    return d.len >= 20 && (d.ptr[0] & 0xc0) == 0 && d.ptr[1] == 0x01 &&
           rmr_load_be32(d.ptr + 4) == 0x2112a442;
}

/* RFC 8926 3.4.  The option length is not looked at, as in the reference. */
static bool is_geneve(rmr_bytes d)
{
    return d.len >= GENEVE_LEN && (d.ptr[0] & 0xc0) == 0 &&
           (d.ptr[1] & 0x3f) == 0 && d.ptr[7] == 0;
}

static void unwrap(rmr_disco_view *v)
{
    const uint8_t *p = v->payload.ptr;
    v->geneve = true;
    v->control = (p[1] & 0x80) != 0;
    v->vni = rmr_load_be32(p + 4) >> 8;
    v->payload = rmr_bytes_of(p + GENEVE_LEN, v->payload.len - GENEVE_LEN);
}

rmr_disco_view rmr_disco_split(rmr_bytes datagram, bool from_derp)
{
    rmr_disco_view v;
    memset(&v, 0, sizeof v);
    v.payload = datagram;
    v.cls = RMR_DATAGRAM_WIREGUARD;
    if (datagram.len == 0) {
        v.cls = RMR_DATAGRAM_EMPTY;
        return v;
    }
    if (!from_derp && is_stun(datagram)) {
        v.cls = RMR_DATAGRAM_STUN;
        return v;
    }
    if (is_geneve(datagram)) {
        uint16_t proto = rmr_load_be16(datagram.ptr + 2);
        rmr_bytes inside =
            rmr_bytes_of(datagram.ptr + GENEVE_LEN, datagram.len - GENEVE_LEN);
        if (proto == GENEVE_WIREGUARD) {
            unwrap(&v);
            return v;
        }
        if (proto == GENEVE_DISCO) {
            if (!from_derp && is_disco(inside)) {
                unwrap(&v);
                v.cls = RMR_DATAGRAM_DISCO;
            }
            return v;
        }
    }
    if (is_disco(datagram))
        v.cls = RMR_DATAGRAM_DISCO;
    return v;
}

rmr_disco_class rmr_disco_classify(rmr_bytes datagram)
{
    return rmr_disco_split(datagram, false).cls;
}

rmr_err rmr_disco_sender(rmr_bytes datagram, uint8_t key[RMR_KEY_LEN])
{
    if (!is_disco(datagram))
        return RMR_E_MALFORMED;
    memcpy(key, datagram.ptr + RMRI_DISCO_MAGIC_LEN, RMR_KEY_LEN);
    return RMR_OK;
}
