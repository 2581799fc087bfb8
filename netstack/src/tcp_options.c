/* TCP options in and out (RFC 9293 3.1, RFC 7323, RFC 2018). */
#include "tcp_internal.h"

enum {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,
    OPT_WS = 3,
    OPT_SACK_OK = 4,
    OPT_SACK = 5,
    OPT_TS = 8
};

#define WS_MAX 14

static void parse_sack(const uint8_t *p, size_t len, tcp_opts *o)
{
    size_t n = (len - 2) / 8;
    if ((len - 2) % 8 != 0)
        return;
    o->n_sack = (uint8_t)(n > TCP_SACK_MAX ? TCP_SACK_MAX : n);
    for (uint8_t i = 0; i < o->n_sack; i++) {
        o->sack[i].start = rmr_load_be32(p + 2 + 8u * i);
        o->sack[i].end = rmr_load_be32(p + 6 + 8u * i);
    }
}

static void parse_one(const uint8_t *p, size_t len, tcp_opts *o)
{
    switch (p[0]) {
    case OPT_MSS:
        if (len == 4)
            o->mss = rmr_load_be16(p + 2);
        break;
    case OPT_WS:
        if (len == 3) {
            o->has_ws = true;
            o->ws = p[2] > WS_MAX ? WS_MAX : p[2];
        }
        break;
    case OPT_SACK_OK:
        if (len == 2)
            o->sack_ok = true;
        break;
    case OPT_SACK:
        parse_sack(p, len, o);
        break;
    case OPT_TS:
        if (len == 10) {
            o->has_ts = true;
            o->tsval = rmr_load_be32(p + 2);
            o->tsecr = rmr_load_be32(p + 6);
        }
        break;
    default:
        break;
    }
}

/* A broken option ends the list; what came before it counts, as in Linux. */
void rmri_tcp_options_parse(const uint8_t *p, size_t n, tcp_opts *o)
{
    o->mss = 0;
    o->ws = 0;
    o->has_ws = o->sack_ok = o->has_ts = false;
    o->n_sack = 0;
    /* What most segments carry (RFC 7323 appendix A). */
    if (n == 12 && rmr_load_be32(p) == 0x0101080au) {
        o->has_ts = true;
        o->tsval = rmr_load_be32(p + 4);
        o->tsecr = rmr_load_be32(p + 8);
        return;
    }
    size_t i = 0;
    while (i < n && p[i] != OPT_END) {
        if (p[i] == OPT_NOP) {
            i++;
            continue;
        }
        if (n - i < 2 || p[i + 1] < 2 || p[i + 1] > n - i)
            return;
        parse_one(p + i, p[i + 1], o);
        i += p[i + 1];
    }
}

/* ---- out -------------------------------------------------------------- */

static uint8_t *add(tcp_out *o, uint8_t n)
{
    uint8_t *p = o->opts + o->opts_len;
    o->opts_len = (uint8_t)(o->opts_len + n);
    return p;
}

void rmri_tcp_syn_options(tcp_out *o, const tcp_syn *s)
{
    uint8_t *p = add(o, 4);
    p[0] = OPT_MSS;
    p[1] = 4;
    rmr_store_be16(p + 2, s->mss);
    if (s->sack_ok) {
        p = add(o, 2);
        p[0] = OPT_SACK_OK;
        p[1] = 2;
    }
    if (s->has_ts) {
        p = add(o, 10);
        p[0] = OPT_TS;
        p[1] = 10;
        rmr_store_be32(p + 2, s->tsval);
        rmr_store_be32(p + 6, s->tsecr);
    }
    if (s->has_ws) {
        p = add(o, 4);
        p[0] = OPT_NOP;
        p[1] = OPT_WS;
        p[2] = 3;
        p[3] = s->ws;
    }
    while (o->opts_len % 4 != 0)
        *add(o, 1) = OPT_NOP;
}

void rmri_tcp_ts_option(tcp_out *o, uint32_t tsval, uint32_t tsecr)
{
    uint8_t *p = add(o, TCP_TS_LEN);
    rmr_store_be32(p, 0x0101080au);
    rmr_store_be32(p + 4, tsval);
    rmr_store_be32(p + 8, tsecr);
}

void rmri_tcp_sack_option(tcp_out *o, const tcp_block *b, uint32_t n)
{
    uint8_t *p = add(o, (uint8_t)(4 + 8 * n));
    p[0] = p[1] = OPT_NOP;
    p[2] = OPT_SACK;
    p[3] = (uint8_t)(2 + 8 * n);
    for (uint32_t i = 0; i < n; i++) {
        rmr_store_be32(p + 4 + 8 * i, b[i].start);
        rmr_store_be32(p + 8 + 8 * i, b[i].end);
    }
}
