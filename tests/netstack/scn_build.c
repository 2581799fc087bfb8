/* Builds what the peer sends. */
#include "scn_world.h"

#include <string.h>

const uint8_t scn_our_ip[4] = {100, 64, 0, 1}, scn_peer_ip[4] = {100, 64, 0, 2};

uint32_t scn_sum16(uint32_t acc, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        acc += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
    return acc;
}

uint16_t scn_fold(uint32_t acc)
{
    while (acc >> 16)
        acc = (acc & 0xffff) + (acc >> 16);
    return (uint16_t)acc;
}

static size_t put_options(scn_world *w, const scn_seg *g, uint8_t *o)
{
    size_t n = 0;
    bool syn = (g->flags & SCN_S) != 0;
    if (g->raw_len) {
        memcpy(o, g->raw, g->raw_len);
        n = g->raw_len;
    }
    if (g->has_mss) {
        o[n] = 2;
        o[n + 1] = 4;
        rmr_store_be16(o + n + 2, (uint16_t)g->mss);
        n += 4;
    }
    if (g->sok) {
        o[n++] = 4;
        o[n++] = 2;
    }
    if (g->has_ts) {
        w->tsval = g->ts;
        if (syn)
            w->ts = true;
    }
    if ((g->has_ts || (w->ts && !syn)) && !g->no_ts) {
        o[n] = 8;
        o[n + 1] = 10;
        rmr_store_be32(o + n + 2, w->tsval);
        rmr_store_be32(o + n + 6, w->tsecr - g->echo_back);
        n += 10;
    }
    if (g->has_ws) {
        o[n++] = 3;
        o[n++] = 3;
        o[n++] = (uint8_t)g->ws;
    }
    if (g->n_sack) {
        o[n] = 5;
        o[n + 1] = (uint8_t)(2 + 4 * g->n_sack);
        for (uint32_t i = 0; i < g->n_sack; i++)
            rmr_store_be32(o + n + 2 + 4 * i, w->our_iss + g->sack[i]);
        n += 2 + 4 * g->n_sack;
    }
    while (n % 4)
        o[n++] = 1;
    return n;
}

size_t scn_build_segment(scn_world *w, const scn_seg *g, uint8_t *b)
{
    uint8_t *t = b + 20;
    uint32_t len = g->has_end ? g->end - g->seq : 0;
    memset(b, 0, 40);
    size_t opts = put_options(w, g, t + 20), tcp = 20 + opts;
    for (uint32_t i = 0; i < len; i++)
        t[tcp + i] = scn_stream(g->seq + i);
    rmr_store_be16(t, g->src_is_dst ? w->port : w->peer_port);
    rmr_store_be16(t + 2, w->port);
    rmr_store_be32(t + 4, w->peer_iss + g->seq);
    if (g->flags & SCN_A)
        rmr_store_be32(t + 8, w->our_iss + g->ack);
    t[12] = (uint8_t)(tcp / 4 << 4);
    t[13] = g->flags;
    rmr_store_be16(t + 14, (uint16_t)(g->has_wnd ? g->wnd : w->wnd));
    rmr_store_be16(t + 18, (uint16_t)g->urg);
    if (g->has_off)
        t[12] = (uint8_t)(g->off << 4);
    size_t total = 20 + tcp + len;
    if (g->has_len)
        total = 20 + g->len;
    b[0] = 0x45;
    rmr_store_be16(b + 2, (uint16_t)total);
    b[8] = 64;
    b[9] = 6;
    memcpy(b + 12, g->src_is_dst ? w->our_ip : scn_peer_ip, 4);
    memcpy(b + 16, w->our_ip, 4);
    rmr_store_be16(b + 10, (uint16_t)~scn_fold(scn_sum16(0, b, 20)));
    uint32_t acc = scn_sum16(0, b + 12, 8) + 6 + (uint32_t)(total - 20);
    acc = scn_sum16(acc, t, total - 20);
    rmr_store_be16(t + 16,
                   (uint16_t)(~scn_fold(acc) ^ (g->bad_sum ? 0x5a5a : 0)));
    return total;
}

size_t scn_build_piece(const uint8_t *b, size_t total, char piece, uint16_t id,
                       uint8_t *f)
{
    size_t nr = (size_t)(piece - '0'), from = 24 * nr;
    bool more = nr < 2;
    size_t n = more ? 24 : total - 20 - from;
    memcpy(f, b, 20);
    memcpy(f + 20, b + 20 + from, n);
    rmr_store_be16(f + 2, (uint16_t)(20 + n));
    rmr_store_be16(f + 4, id);
    rmr_store_be16(f + 6, (uint16_t)((more ? 0x2000u : 0u) | from / 8));
    rmr_store_be16(f + 10, 0);
    rmr_store_be16(f + 10, (uint16_t)~scn_fold(scn_sum16(0, f, 20)));
    return 20 + n;
}

/* An error about a segment of ours: its IP header and 8 bytes are quoted. */
size_t scn_build_icmp(const scn_world *w, const scn_icmp *i, uint8_t *b)
{
    uint8_t *q = b + 28;
    memset(b, 0, 56);
    b[0] = q[0] = 0x45;
    rmr_store_be16(b + 2, 56);
    b[8] = q[8] = 64;
    b[9] = 1;
    q[9] = 6;
    memcpy(b + 12, scn_peer_ip, 4);
    memcpy(b + 16, scn_our_ip, 4);
    memcpy(q + 12, scn_our_ip, 4);
    memcpy(q + 16, scn_peer_ip, 4);
    rmr_store_be16(b + 10, (uint16_t)~scn_fold(scn_sum16(0, b, 20)));
    rmr_store_be16(q + 20, w->port);
    rmr_store_be16(q + 22, w->peer_port);
    rmr_store_be32(q + 24, w->our_iss + i->seq);
    b[20] = (uint8_t)i->type;
    b[21] = (uint8_t)i->code;
    rmr_store_be16(b + 26, (uint16_t)i->mtu);
    rmr_store_be16(b + 22, (uint16_t)~scn_fold(scn_sum16(0, b + 20, 36)));
    return 56;
}
