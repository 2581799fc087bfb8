/* Where a run of datagrams goes, as WireGuard's token says. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <string.h>

rmr_wg_endpoint rmri_node_endpoint_udp(const rmr_addr *from, uint16_t socket)
{
    rmr_wg_endpoint e = {0};
    size_t ip_len = rmr_addr_ip_len(from);
    e.bytes[0] = from->family == RMR_AF_INET6 ? '6' : '4';
    memcpy(e.bytes + 1, from->ip, ip_len);
    rmr_store_be16(e.bytes + 1 + ip_len, from->port);
    rmr_store_be16(e.bytes + 3 + ip_len, socket);
    e.len = (uint8_t)(1 + ip_len + 4);
    /* An IPv6 sender has a /64 of addresses. */
    e.bucket_len = (uint8_t)(1 + (ip_len == 16 ? 8 : ip_len));
    return e;
}

/* false: it is none of UDP */
static bool udp_of(const rmr_wg_endpoint *e, nd_route *out)
{
    size_t ip_len = e->bytes[0] == '6' ? 16 : 4;
    if ((e->bytes[0] != '4' && e->bytes[0] != '6') || e->len != 1 + ip_len + 4)
        return false;
    out->udp = rmr_addr_from_bytes(rmr_bytes_of(e->bytes + 1, ip_len),
                                   rmr_load_be16(e->bytes + 1 + ip_len));
    out->socket = rmr_load_be16(e->bytes + 3 + ip_len);
    out->has_udp = true;
    return true;
}

bool rmri_node_path_route(rmr_node *n, rmr_time now, const rmr_wg_endpoint *to,
                          nd_route *out)
{
    (void)n;
    (void)now;
    memset(out, 0, sizeof *out);
    if (to->len != 3 + RMR_KEY_LEN || to->bytes[0] != 'D')
        return udp_of(to, out);
    out->has_derp = true;
    out->region = rmr_load_be16(to->bytes + 1);
    memcpy(out->key, to->bytes + 3, RMR_KEY_LEN);
    return true;
}
