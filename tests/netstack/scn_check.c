/* Compares what the end sends with a step. */
#include "scn_world.h"

#include <stdio.h>
#include <string.h>

typedef struct got_opts {
    bool mss, ws, sok, ts;
    uint32_t mss_v, ws_v, tsval, tsecr, n_sack, sack[8];
} got_opts;

static bool read_options(const uint8_t *p, size_t n, got_opts *g)
{
    memset(g, 0, sizeof *g);
    size_t i = 0;
    while (i < n && p[i] != 0) {
        if (p[i] == 1) {
            i++;
            continue;
        }
        if (i + 1 >= n || p[i + 1] < 2 || i + p[i + 1] > n)
            return false;
        const uint8_t *v = p + i + 2;
        switch (p[i]) {
        case 2:
            g->mss = true;
            g->mss_v = rmr_load_be16(v);
            break;
        case 3:
            g->ws = true;
            g->ws_v = v[0];
            break;
        case 4:
            g->sok = true;
            break;
        case 5:
            for (int k = 0; k < (p[i + 1] - 2) / 4; k++)
                g->sack[g->n_sack++] = rmr_load_be32(v + 4 * k);
            break;
        case 8:
            g->ts = true;
            g->tsval = rmr_load_be32(v);
            g->tsecr = rmr_load_be32(v + 4);
            break;
        default:
            return false;
        }
        i += p[i + 1];
    }
    return true;
}

static bool match_options(scn_world *w, const scn_seg *g, const got_opts *o)
{
    if (g->has_mss && (!o->mss || o->mss_v != g->mss))
        return scn_bad(w, "%s", "MSS");
    if ((g->want_ws && !o->ws) || (g->no_ws && o->ws))
        return scn_bad(w, "%s", "window scale");
    if ((g->sok && !o->sok) || (g->no_sok && o->sok))
        return scn_bad(w, "%s", "SACK permitted");
    if ((g->has_ts && !o->ts) || (g->no_ts && o->ts))
        return scn_bad(w, "%s", "timestamps");
    if (g->ts_echo && o->tsecr != g->echo)
        return scn_bad(w, "%s", "timestamp echo");
    if (g->no_sack && o->n_sack)
        return scn_bad(w, "%s", "SACK blocks");
    if (g->n_sack) {
        if (o->n_sack != g->n_sack)
            return scn_bad(w, "%s", "number of SACK blocks");
        for (uint32_t i = 0; i < g->n_sack; i++)
            if (o->sack[i] - w->peer_iss != g->sack[i])
                return scn_bad(w, "%s", "SACK block");
    }
    return true;
}

static bool sums_ok(const uint8_t *b, size_t n)
{
    if (scn_fold(scn_sum16(0, b, 20)) != 0xffff)
        return false;
    uint32_t acc = scn_sum16(0, b + 12, 8) + b[9] + (uint32_t)(n - 20);
    return scn_fold(scn_sum16(acc, b + 20, n - 20)) == 0xffff;
}

bool scn_match(scn_world *w, const scn_seg *g, const scn_pkt *p)
{
    const uint8_t *t = p->b + 20;
    char what[120];
    got_opts o;
    if (p->b[9] != 6 || !sums_ok(p->b, p->len))
        return scn_bad(w, "%s", "not TCP, or a wrong checksum");
    if (memcmp(p->b + 12, w->our_ip, 4) != 0)
        return scn_bad(w, "%s", "from another address");
    size_t hl = (t[12] >> 4) * 4u, len = p->len - 20 - hl;
    uint8_t flags = t[13];
    if ((flags & SCN_S) && !(flags & SCN_R)) {
        w->our_iss = rmr_load_be32(t + 4);
        w->our_iss_known = true;
    }
    uint32_t seq = rmr_load_be32(t + 4) - w->our_iss;
    uint32_t ack = rmr_load_be32(t + 8) - w->peer_iss;
    (void)snprintf(what, sizeof what, "got flags %02x seq %u:%u ack %u wnd %u",
                   flags, seq, seq + (uint32_t)len, ack, rmr_load_be16(t + 14));
    if ((flags & ~SCN_P) != (g->flags & ~SCN_P))
        return scn_bad(w, "%s", what);
    /* Without a connection our numbers have no origin. */
    if (!g->any_seq && seq != g->seq)
        return scn_bad(w, "%s", what);
    if ((g->has_end ? g->end - g->seq : 0) != len)
        return scn_bad(w, "%s", what);
    if (g->has_ack && ack != g->ack)
        return scn_bad(w, "%s", what);
    uint32_t wnd = rmr_load_be16(t + 14);
    if (g->has_wnd && (g->wnd_above ? wnd <= g->wnd : wnd != g->wnd))
        return scn_bad(w, "%s", what);
    if (!read_options(t + 20, hl - 20, &o))
        return scn_bad(w, "%s", "broken options");
    if (o.ts)
        w->tsecr = o.tsval;
    for (size_t i = 0; i < len; i++)
        if (t[hl + i] != scn_stream(seq + i))
            return scn_bad(w, "%s", "payload");
    return match_options(w, g, &o);
}

void scn_look(scn_world *w, const scn_pkt *p)
{
    const uint8_t *t = p->b + 20;
    got_opts o;
    if (read_options(t + 20, (t[12] >> 4) * 4u - 20, &o) && o.ts)
        w->tsecr = o.tsval;
}
