/* Packets as raw IP for a packet log.  Checksums are left 0. */
#include "sim_internal.h"

#include <string.h>

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static size_t put_ip4(uint8_t *d, const sim_packet *p, size_t payload)
{
    memset(d, 0, 20);
    d[0] = 0x45;
    put16(d + 2, 20 + payload);
    d[6] = 0x40; /* don't fragment */
    d[8] = (uint8_t)(64 - p->hops);
    d[9] = p->proto;
    memcpy(d + 12, p->src.ip, 4);
    memcpy(d + 16, p->dst.ip, 4);
    return 20;
}

static size_t put_ip6(uint8_t *d, const sim_packet *p, size_t payload)
{
    memset(d, 0, 8);
    d[0] = 0x60;
    put16(d + 4, payload);
    d[6] = p->proto == SIM_ICMP ? 58 : p->proto;
    d[7] = (uint8_t)(64 - p->hops);
    memcpy(d + 8, p->src.ip, 16);
    memcpy(d + 24, p->dst.ip, 16);
    return 40;
}

void rmri_sim_tap(rmr_sim *s, rmr_sim_host host, rmr_sim_tap_kind kind,
                  const sim_packet *p)
{
    if (!s->tap)
        return;
    size_t udp = p->proto == SIM_UDP ? 8 : 0;
    size_t n = p->dst.family == RMR_AF_INET ? put_ip4(s->tap, p, udp + p->len)
                                            : put_ip6(s->tap, p, udp + p->len);
    if (udp) {
        put16(s->tap + n, p->src.port);
        put16(s->tap + n + 2, p->dst.port);
        put16(s->tap + n + 4, udp + p->len);
        put16(s->tap + n + 6, 0);
    }
    if (p->len)
        memcpy(s->tap + n + udp, p->data, p->len);
    s->c.on_tap(s->c.user, s->now, host, kind,
                rmr_bytes_of(s->tap, n + udp + p->len));
}
