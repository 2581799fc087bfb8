/* A packet with room before and behind it. */
#include <remora/pkt.h>

rmr_pkt rmr_pkt_of(rmr_buf buf, size_t headroom)
{
    rmr_pkt p;
    p.base = buf.ptr;
    p.cap = buf.len < UINT32_MAX ? (uint32_t)buf.len : UINT32_MAX;
    p.off = headroom < p.cap ? (uint32_t)headroom : p.cap;
    p.len = 0;
    return p;
}

uint8_t *rmr_pkt_push(rmr_pkt *p, size_t n)
{
    if (n > p->off)
        return NULL;
    p->off -= (uint32_t)n;
    p->len += (uint32_t)n;
    return p->base + p->off;
}

uint8_t *rmr_pkt_pull(rmr_pkt *p, size_t n)
{
    if (n > p->len)
        return NULL;
    p->off += (uint32_t)n;
    p->len -= (uint32_t)n;
    return p->base + p->off;
}

uint8_t *rmr_pkt_put(rmr_pkt *p, size_t n)
{
    if (n > rmr_pkt_tailroom(p))
        return NULL;
    uint8_t *at = p->base + p->off + p->len;
    p->len += (uint32_t)n;
    return at;
}

void rmr_pkt_trim(rmr_pkt *p, size_t len)
{
    if (len < p->len)
        p->len = (uint32_t)len;
}
