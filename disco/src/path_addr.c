/* What is told from addresses alone: which of two paths is better, which may
 * be pinged, how a peer's endpoints are packed, sizes of pings. */
#include "path_internal.h"

#include <remora/cursor.h>

#include <string.h>

const uint16_t rmri_path_mtus[RMRI_PATH_MTUS] = {1280, 1360, 1400,
                                                 1500, 8000, 9000};

#define UDP_HEADER 8
#define PING_LEN 124 /* with the node key, without padding */

uint16_t rmri_path_ping_padding(uint16_t wire_mtu, const rmr_addr *to)
{
    uint16_t ip = to->family == RMR_AF_INET6 ? 40 : 20;
    return (uint16_t)(wire_mtu - UDP_HEADER - ip - PING_LEN);
}

static bool is_link_local(const rmr_addr *a)
{
    if (a->family == RMR_AF_INET)
        return a->ip[0] == 169 && a->ip[1] == 254;
    return a->family == RMR_AF_INET6 && a->ip[0] == 0xfe &&
           (a->ip[1] & 0xc0) == 0x80;
}

static uint64_t address_points(const rmr_addr *a)
{
    uint64_t points = a->family == RMR_AF_INET6 ? 10 : 0;
    if (rmr_addr_is_loopback(a))
        return points + 50;
    if (is_link_local(a))
        return points + 30;
    return rmr_addr_is_private(a) ? points + 20 : points;
}

/* slow > fast: how many points of a hundred the faster one is worth more.  The
 * product can't wrap below 5 years. */
static uint64_t latency_points(rmr_dur fast, rmr_dur slow)
{
    return 100 - fast * 100 / slow;
}

bool rmri_path_better(const path_quality *a, const path_quality *b)
{
    if (rmr_addr_eq(&a->udp, &b->udp) && a->vni == b->vni)
        return a->mtu > b->mtu;
    if (b->udp.family == RMR_AF_NONE)
        return true;
    if (a->udp.family == RMR_AF_NONE)
        return false;
    if ((a->vni != 0) != (b->vni != 0))
        return a->vni == 0;
    uint64_t pa = address_points(&a->udp), pb = address_points(&b->udp);
    if (a->latency > b->latency)
        pb += latency_points(b->latency, a->latency);
    else if (b->latency > 0)
        pa += latency_points(a->latency, b->latency);
    /* One per cent is noise. */
    if (pa <= 1 && pb == 0)
        return false;
    return pa > pb;
}

bool rmri_path_is_same(const path_quality *a, const rmr_addr *udp,
                       uint16_t socket)
{
    return a->socket == socket && rmr_addr_eq(&a->udp, udp);
}

static bool is_tailnet(const rmr_addr *a)
{
    static const uint8_t ula[6] = {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0};
    if (a->family == RMR_AF_INET)
        return a->ip[0] == 100 && (a->ip[1] & 0xc0) == 64;
    return memcmp(a->ip, ula, sizeof ula) == 0;
}

static bool is_zero(const rmr_addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->ip, zero, sizeof zero) == 0;
}

/* May an address that a peer or the map names be pinged?  Not what is no
 * address of one host, nor what would go through the tunnel again. */
bool rmri_path_is_candidate(const rmr_addr *a)
{
    if (rmr_addr_ip_len(a) == 0 || a->port == 0 || is_zero(a) || is_tailnet(a))
        return false;
    if (a->family == RMR_AF_INET) /* this network, multicast, reserved */
        return a->ip[0] != 0 && a->ip[0] < 224;
    return a->ip[0] != 0xff && !is_link_local(a);
}

/* The port is not looked at. */
bool rmri_path_is_public_v4(const rmr_addr *a)
{
    rmr_addr b = *a;
    b.port = 1;
    return a->family == RMR_AF_INET && rmri_path_is_candidate(&b) &&
           !rmr_addr_is_private(a);
}

/* ---- packing ---------------------------------------------------------- */

size_t rmri_path_pack(uint8_t *dst, const rmr_addr *list, size_t n)
{
    size_t len = 0, kept = 0;
    for (size_t i = 0; i < n && kept < RMR_PATH_MAX_CANDIDATES; i++) {
        if (!rmri_path_is_candidate(&list[i]))
            continue;
        size_t ip = rmr_addr_ip_len(&list[i]);
        if (dst) {
            dst[len] = list[i].family;
            rmr_store_be16(dst + len + 1, list[i].port);
            memcpy(dst + len + 3, list[i].ip, ip);
        }
        len += 3 + ip;
        kept++;
    }
    return len;
}

bool rmri_path_unpack(const uint8_t *src, size_t len, size_t *pos,
                      rmr_addr *out)
{
    if (*pos >= len)
        return false;
    const uint8_t *at = src + *pos;
    size_t ip = at[0] == RMR_AF_INET ? 4 : 16;
    *out = rmr_addr_from_bytes(rmr_bytes_of(at + 3, ip), rmr_load_be16(at + 1));
    *pos += 3 + ip;
    return true;
}
