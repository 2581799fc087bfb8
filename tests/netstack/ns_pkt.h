/* Packets as another host would send them. */
#ifndef TEST_NS_PKT_H
#define TEST_NS_PKT_H

#include <ns_internal.h>

enum { PKT_FIN = 1, PKT_SYN = 2, PKT_RST = 4, PKT_ACK = 16 };

/* An IP header before `n` bytes of payload that lie at p + 20 or p + 40. */
static inline size_t pkt_ip(uint8_t *p, const rmr_addr *from,
                            const rmr_addr *to, uint8_t proto, size_t n)
{
    ns_ip src = rmri_ns_ip_of(from), dst = rmri_ns_ip_of(to);
    size_t hl = rmri_ns_ip_write(p, from->family, &src, &dst, proto, n, 0);
    return hl + n;
}

static inline uint64_t pkt_pseudo(const rmr_addr *from, const rmr_addr *to,
                                  uint8_t proto, size_t n)
{
    ns_ip src = rmri_ns_ip_of(from), dst = rmri_ns_ip_of(to);
    return rmri_ns_sum_pseudo(from->family, &src, &dst, proto, n);
}

static inline size_t pkt_udp(uint8_t *p, const rmr_addr *from,
                             const rmr_addr *to, const void *data, size_t n)
{
    uint8_t *h = p + ns_ip_header_len(from->family);
    rmr_store_be16(h, from->port);
    rmr_store_be16(h + 2, to->port);
    rmr_store_be16(h + 4, (uint16_t)(8 + n));
    rmr_store_be16(h + 6, 0);
    if (n)
        memcpy(h + 8, data, n);
    rmri_ns_sum_store(
        h + 6, rmri_ns_sum(pkt_pseudo(from, to, 17, 8 + n), h, 8 + n));
    return pkt_ip(p, from, to, 17, 8 + n);
}

/* A segment without data; a SYN offers MSS 1200, scale 5, SACK and a stamp. */
static inline size_t pkt_tcp(uint8_t *p, const rmr_addr *from,
                             const rmr_addr *to, uint8_t flags, uint32_t seq,
                             uint32_t ack)
{
    static const uint8_t opts[20] = {2, 4, 4, 176, 4, 2, 8, 10, 0, 0,
                                     3, 0, 0, 0,   0, 0, 1, 3,  3, 5};
    uint8_t *h = p + ns_ip_header_len(from->family);
    size_t n = flags & PKT_SYN ? 40 : 20;
    memset(h, 0, 20);
    rmr_store_be16(h, from->port);
    rmr_store_be16(h + 2, to->port);
    rmr_store_be32(h + 4, seq);
    rmr_store_be32(h + 8, ack);
    h[12] = (uint8_t)(n / 4 << 4);
    h[13] = flags;
    rmr_store_be16(h + 14, 60000);
    if (n == 40)
        memcpy(h + 20, opts, 20);
    rmri_ns_sum_store(h + 16, rmri_ns_sum(pkt_pseudo(from, to, 6, n), h, n));
    return pkt_ip(p, from, to, 6, n);
}

/* ICMP or ICMPv6: type, code, four bytes, and what follows. */
static inline size_t pkt_icmp(uint8_t *p, const rmr_addr *from,
                              const rmr_addr *to, uint8_t type, uint8_t code,
                              uint32_t rest, const void *data, size_t n)
{
    bool v4 = from->family == RMR_AF_INET;
    uint8_t *h = p + ns_ip_header_len(from->family);
    h[0] = type;
    h[1] = code;
    h[2] = h[3] = 0;
    rmr_store_be32(h + 4, rest);
    if (n)
        memcpy(h + 8, data, n);
    uint64_t sum = v4 ? 0 : pkt_pseudo(from, to, 58, 8 + n);
    rmri_ns_sum_store(h + 2, rmri_ns_sum(sum, h, 8 + n));
    return pkt_ip(p, from, to, v4 ? 1 : 58, 8 + n);
}

#endif
