/* ICMP echo by sockets of the host, where it gives them: what those who ask for
 * the latency of endpoints and those who forward pings have in common. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <string.h>

enum { REQUEST4 = 8, REPLY4 = 0, REQUEST6 = 128, REPLY6 = 129 };

#define HEADER 8

void rmri_node_icmp_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_icmp_sock *s = owner;
    (void)now;
    s->io = NULL;
    s->denied = why == RMR_E_DENIED || why == RMR_E_UNSUPPORTED;
    rmr_ring_wipe(&s->out);
}

bool rmri_node_icmp_open(rmr_node *n, nd_icmp_sock *s, uint8_t family,
                         size_t places, const rmr_mc_io_ops *ops)
{
    rmr_addr any = {0};
    any.family = s->family = family;
    s->n = n;
    if (!s->io && !s->denied) {
        rmr_ring_init(&s->out, &n->env.alloc, places * sizeof(uint16_t));
        s->io = rmr_mc_icmp(n->mc, &any, ops, s);
    }
    return s->io != NULL;
}

bool rmri_node_icmp_put(nd_icmp_sock *s, uint16_t place)
{
    if (rmr_ring_write_all(&s->out, rmr_bytes_of(&place, sizeof place)) !=
        RMR_OK)
        return false;
    rmr_mc_io_output(s->io);
    return true;
}

bool rmri_node_icmp_next(nd_icmp_sock *s, uint16_t *place)
{
    return rmr_ring_read(&s->out, place, sizeof *place) == sizeof *place;
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += rmr_load_be16(p + i);
    if (len % 2)
        sum += (uint32_t)p[len - 1] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

size_t rmri_node_icmp_request(const nd_icmp_sock *s, uint16_t tag,
                              rmr_bytes payload, rmr_buf dst)
{
    size_t len = HEADER + payload.len;
    memset(dst.ptr, 0, HEADER);
    dst.ptr[0] = s->family == RMR_AF_INET6 ? REQUEST6 : REQUEST4;
    rmr_store_be16(dst.ptr + 6, tag);
    if (payload.len)
        memcpy(dst.ptr + HEADER, payload.ptr, payload.len);
    if (s->family == RMR_AF_INET) /* of IPv6 it is the host's work */
        rmr_store_be16(dst.ptr + 2, checksum(dst.ptr, len));
    return len;
}

bool rmri_node_icmp_reply(const nd_icmp_sock *s, rmr_bytes msg, uint16_t *tag,
                          rmr_bytes *payload)
{
    if (msg.len < HEADER ||
        msg.ptr[0] != (s->family == RMR_AF_INET6 ? REPLY6 : REPLY4))
        return false;
    *tag = rmr_load_be16(msg.ptr + 6);
    *payload = rmr_bytes_of(msg.ptr + HEADER, msg.len - HEADER);
    return true;
}
