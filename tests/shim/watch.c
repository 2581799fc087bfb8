/* Counting what passes: watch.h.  Packets are ours or a kernel's, but lengths
 * are checked all the same. */
#include "watch.h"

#include <string.h>

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

typedef struct segment {
    uint8_t key[36];
    uint32_t seq, ack, len; /* len: of the payload */
    uint8_t flags;
    const uint8_t *opts;
    size_t opts_len;
} segment;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}
static bool less(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static void key_of(segment *s, int from, const uint8_t *src, const uint8_t *dst,
                   size_t n, const uint8_t *ports)
{
    memset(s->key, 0, sizeof s->key);
    memcpy(s->key, from ? dst : src, n);
    memcpy(s->key + 16, from ? src : dst, n);
    memcpy(s->key + 32, ports + (from ? 2 : 0), 2);
    memcpy(s->key + 34, ports + (from ? 0 : 2), 2);
}

static bool dissect(segment *s, int from, const uint8_t *p, size_t len)
{
    size_t ip, total;
    bool v4 = len >= 40 && p[0] >> 4 == 4;
    if (v4) {
        ip = (p[0] & 15u) * 4u;
        total = (size_t)p[2] << 8 | p[3];
        if (p[9] != 6 || ip < 20)
            return false;
    } else {
        ip = 40;
        if (len < 60 || p[0] >> 4 != 6 || p[6] != 6)
            return false;
        total = ip + ((size_t)p[4] << 8 | p[5]);
    }
    if (total > len || ip + 20 > total)
        return false;
    const uint8_t *t = p + ip;
    size_t header = (t[12] >> 4) * 4u;
    if (header < 20 || ip + header > total)
        return false;
    key_of(s, from, p + (v4 ? 12 : 8), p + (v4 ? 16 : 24), v4 ? 4 : 16, t);
    s->seq = be32(t + 4);
    s->ack = be32(t + 8);
    s->flags = t[13];
    s->len = (uint32_t)(total - ip - header);
    s->opts = t + 20;
    s->opts_len = header - 20;
    return true;
}

/* RFC 2883: the first block lies below the ACK, or inside the second. */
static bool has_dsack(const segment *s)
{
    for (size_t i = 0; i + 1 < s->opts_len && s->opts[i];) {
        if (s->opts[i] == 1) {
            i++;
            continue;
        }
        size_t n = s->opts[i + 1];
        if (n < 2 || i + n > s->opts_len)
            return false;
        if (s->opts[i] == 5 && n >= 10) {
            const uint8_t *b = s->opts + i + 2;
            if (!less(s->ack, be32(b + 4)))
                return true;
            return n >= 18 && !less(be32(b), be32(b + 8)) &&
                   !less(be32(b + 12), be32(b + 4));
        }
        i += n;
    }
    return false;
}

static watch_flow *flow_of(watch *w, uint64_t now, const segment *s)
{
    size_t oldest = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (memcmp(w->flow[i].key, s->key, sizeof s->key) == 0)
            return &w->flow[i];
        if (w->flow[i].used < w->flow[oldest].used)
            oldest = i;
    }
    watch_flow *f = &w->flow[w->n < WATCH_FLOWS ? w->n++ : oldest];
    memset(f, 0, sizeof *f);
    memcpy(f->key, s->key, sizeof f->key);
    f->used = now;
    return f;
}

static void see_data(watch_dir *d, watch_half *h, uint64_t now,
                     const segment *s)
{
    uint32_t fin = (s->flags & FIN) != 0, syn = (s->flags & SYN) != 0;
    uint32_t end = s->seq + s->len + fin + syn;
    if (!h->known || syn) {
        h->known = true;
        h->fin = false;
        h->end = h->acked = syn ? end : s->seq;
    }
    if (s->len == 0 && !fin)
        return;
    h->fin |= fin;
    d->segments += s->len > 0;
    if (!less(h->end, end)) {
        d->repeats++;
        return;
    }
    uint32_t fresh = end - h->end - fin;
    d->data += fresh < s->len ? fresh : s->len;
    if (h->end == h->acked)
        h->since = now;
    h->end = end;
}

static void see_ack(watch_dir *d, watch_half *h, uint64_t now, uint32_t ack)
{
    if (!h->known || !less(h->acked, ack) || less(h->end, ack))
        return;
    if (now - h->since > d->longest_gap)
        d->longest_gap = now - h->since;
    h->acked = ack;
    h->since = now;
}

void watch_packet(watch *w, uint64_t now, int from, const uint8_t *p,
                  size_t len)
{
    segment s;
    watch_dir *d = &w->dir[from];
    d->packets++;
    d->bytes += len;
    if (!dissect(&s, from, p, len))
        return;
    watch_flow *f = flow_of(w, now, &s);
    f->used = now;
    if (s.flags & RST) {
        bool over = f->half[0].fin && f->half[1].fin;
        *(over ? &d->late_resets : &d->resets) += 1;
        return;
    }
    d->syns += (s.flags & SYN) != 0;
    d->fins += (s.flags & FIN) != 0;
    d->dsacks += has_dsack(&s);
    see_data(d, &f->half[from], now, &s);
    if (s.flags & ACK)
        see_ack(&w->dir[!from], &f->half[!from], now, s.ack);
}
