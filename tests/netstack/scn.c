#include "scn.h"

#include "ns_check.h"
#include "support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PKTS 128
#define WAIT_MAX (3 * RMR_SEC)
#define LATE_MAX (70 * RMR_SEC)

enum { F = 1, S = 2, R = 4, P = 8, A = 16, U = 32, E = 64, C = 128 };

typedef struct pkt {
    size_t len;
    uint8_t b[1300];
} pkt;

typedef struct world {
    const scn_opts *o;
    scn_result *r;
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_ns_callbacks cb;
    rmr_time now;
    pkt q[MAX_PKTS];
    size_t q_head, q_n;
    rmr_ns_sock listener, sock, pending;
    bool has_pending, connected, closed, accept_due;
    rmr_err why;
    uint16_t port, peer_port;
    uint32_t our_iss, peer_iss;
    bool our_iss_known, active;
    /* what the peer has agreed to and will send */
    bool ts;
    uint32_t tsval, tsecr, wnd;
    uint64_t sent, got; /* the application's streams */
    char step[256];
} world;

/* ---- small things ----------------------------------------------------- */

static bool bad(world *w, const char *fmt, ...) RMR_PRINTF(2, 3);

static bool bad(world *w, const char *fmt, ...)
{
    if (!w->r->err[0]) {
        char msg[128];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(msg, sizeof msg, fmt, ap);
        va_end(ap);
        (void)snprintf(w->r->err, sizeof w->r->err, "at \"%s\": %s", w->step,
                       msg);
    }
    return false;
}

static uint8_t stream(uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 3 + 5);
}

static uint32_t sum16(uint32_t acc, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        acc += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
    return acc;
}

static uint16_t fold(uint32_t acc)
{
    while (acc >> 16)
        acc = (acc & 0xffff) + (acc >> 16);
    return (uint16_t)acc;
}

static const uint8_t our_ip[4] = {100, 64, 0, 1}, peer_ip[4] = {100, 64, 0, 2};

/* ---- callbacks -------------------------------------------------------- */

static void on_accept(void *user, void *tag, rmr_ns_sock l, rmr_ns_sock s,
                      const rmr_addr *remote)
{
    world *w = user;
    (void)tag;
    (void)l;
    (void)remote;
    w->pending = s;
    w->has_pending = true;
}

static void on_connected(void *user, void *tag, rmr_ns_sock s)
{
    world *w = user;
    (void)tag;
    (void)s;
    w->connected = true;
}

static void on_closed(void *user, void *tag, rmr_ns_sock s, rmr_err why)
{
    world *w = user;
    (void)tag;
    (void)s;
    w->closed = true;
    w->why = why;
}

/* ---- pumping ---------------------------------------------------------- */

static bool pump(world *w)
{
    for (;;) {
        if (w->q_n == MAX_PKTS)
            return bad(w, "%s", "too many packets");
        pkt *p = &w->q[(w->q_head + w->q_n) % MAX_PKTS];
        if (rmr_ns_write_pkt(w->ns, w->now, rmr_buf_of(p->b, sizeof p->b),
                             &p->len))
            return bad(w, "%s", "write_pkt fails");
        if (!p->len) {
            ns_check(w->ns);
            return true;
        }
        w->q_n++;
    }
}

static bool fire(world *w)
{
    if (rmr_ns_next_deadline(w->ns) > w->now)
        return true;
    if (rmr_ns_handle_deadline(w->ns, w->now))
        return bad(w, "%s", "handle_deadline fails");
    if (rmr_ns_next_deadline(w->ns) <= w->now)
        return bad(w, "%s", "a deadline survives its handling");
    return pump(w);
}

/* Moves to `target`; with `stop`, only until something is sent. */
static bool run_to(world *w, rmr_time target, bool stop)
{
    while (!(stop && w->q_n)) {
        rmr_time d = rmr_ns_next_deadline(w->ns);
        if (d > target) {
            w->now = target;
            return true;
        }
        if (d > w->now)
            w->now = d;
        if (!fire(w))
            return false;
    }
    return true;
}

static void feed(world *w, const uint8_t *b, size_t n)
{
    /* An exact copy, so that the sanitizer sees reads past the end. */
    uint8_t *copy = malloc(n);
    if (!copy)
        abort();
    memcpy(copy, b, n);
    (void)rmr_ns_read_pkt(w->ns, w->now, rmr_bytes_of(copy, n));
    free(copy);
}

/* ---- segments --------------------------------------------------------- */

typedef struct seg { /* as written in a step */
    uint8_t flags;
    bool any_seq, has_end, has_ack, has_wnd, wnd_above;
    uint32_t seq, end, ack, wnd;
    bool has_mss, has_ws, want_ws, sok, has_ts, any_ts, ts_echo;
    bool no_ts, no_sack, no_ws, no_sok, bad_sum, src_is_dst;
    uint32_t mss, ws, ts, echo, urg;
    uint32_t n_sack, sack[8];
    bool has_off, has_len;
    uint32_t off, len;
    uint32_t step;      /* a run of segments of this length */
    uint32_t echo_back; /* so many ms before the right echo */
    uint8_t raw[40];
    size_t raw_len;
    char frag[16];
} seg;

static bool is_word(const char *s, const char *what)
{
    return strncmp(s, what, strlen(what)) == 0;
}

static uint8_t flags_of(const char *s)
{
    static const char names[] = "FSRP.UEC";
    uint8_t f = 0;
    for (; *s && *s != '-'; s++) {
        const char *at = strchr(names, *s);
        if (at)
            f = (uint8_t)(f | 1u << (at - names));
    }
    return f;
}

static bool parse_sack(const char *s, seg *g)
{
    while (*s && g->n_sack < 8) {
        char *end;
        g->sack[g->n_sack++] = (uint32_t)strtoul(s, &end, 10);
        if (*end == '-' || *end == ',')
            end++;
        s = end;
    }
    return g->n_sack % 2 == 0;
}

static bool parse_field(world *w, char *f, seg *g)
{
    if (f[0] == '/') {
        g->step = (uint32_t)atoi(f + 1);
    } else if (is_word(f, "ecr-")) {
        g->echo_back = (uint32_t)atoi(f + 4);
    } else if (is_word(f, "mss")) {
        g->has_mss = true;
        g->mss = (uint32_t)atoi(f + 3);
    } else if (is_word(f, "ws")) {
        g->want_ws = true;
        g->has_ws = f[2] != 0;
        g->ws = (uint32_t)atoi(f + 2);
    } else if (!strcmp(f, "sok")) {
        g->sok = true;
    } else if (is_word(f, "ts*:")) {
        g->has_ts = g->any_ts = g->ts_echo = true;
        g->echo = (uint32_t)atoi(f + 4);
    } else if (is_word(f, "ts")) {
        g->has_ts = true;
        g->any_ts = f[2] == 0;
        g->ts = (uint32_t)atoi(f + 2);
    } else if (!strcmp(f, "nots")) {
        g->no_ts = true;
    } else if (!strcmp(f, "nosack")) {
        g->no_sack = true;
    } else if (!strcmp(f, "nows")) {
        g->no_ws = true;
    } else if (!strcmp(f, "nosok")) {
        g->no_sok = true;
    } else if (!strcmp(f, "bad")) {
        g->bad_sum = true;
    } else if (!strcmp(f, "src=dst")) {
        g->src_is_dst = true;
    } else if (is_word(f, "sack")) {
        return parse_sack(f + 4, g);
    } else if (is_word(f, "raw")) {
        g->raw_len = test_unhex(g->raw, sizeof g->raw, f + 3);
    } else if (is_word(f, "urg")) {
        g->urg = (uint32_t)atoi(f + 3);
    } else if (is_word(f, "off=")) {
        g->has_off = true;
        g->off = (uint32_t)atoi(f + 4);
        char *len = strstr(f, "len=");
        g->has_len = len != NULL;
        g->len = len ? (uint32_t)atoi(len + 4) : 0;
    } else if (f[0] == 'a') {
        g->has_ack = true;
        g->ack = (uint32_t)strtol(f + 1, NULL, 10);
    } else if (f[0] == 'w') {
        g->has_wnd = true;
        g->wnd_above = f[1] == '>';
        g->wnd = (uint32_t)atoi(f + (g->wnd_above ? 2 : 1));
    } else {
        return bad(w, "what is \"%s\"?", f);
    }
    return true;
}

/* "FLAGS seq[:end] field ..." */
static bool parse_seg(world *w, const char *text, seg *g)
{
    char copy[256], *save = NULL;
    memset(g, 0, sizeof *g);
    (void)snprintf(copy, sizeof copy, "%s", text);
    char *word = strtok_r(copy, " ", &save);
    if (!word)
        return bad(w, "%s", "no flags");
    g->flags = flags_of(word);
    word = strtok_r(NULL, " ", &save);
    if (!word)
        return bad(w, "%s", "no sequence number");
    g->any_seq = word[0] == '*';
    char *end;
    g->seq = g->end = g->any_seq ? 0 : (uint32_t)strtoul(word, &end, 10);
    if (!g->any_seq && *end == ':') {
        g->has_end = true;
        g->end = (uint32_t)strtoul(end + 1, NULL, 10);
    }
    while ((word = strtok_r(NULL, " ", &save)))
        if (!parse_field(w, word, g))
            return false;
    return true;
}

/* ---- building what the peer sends ------------------------------------- */

static size_t put_options(world *w, const seg *g, uint8_t *o)
{
    size_t n = 0;
    bool syn = (g->flags & S) != 0;
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

static size_t put_segment(world *w, const seg *g, uint8_t *b)
{
    uint8_t *t = b + 20;
    uint32_t len = g->has_end ? g->end - g->seq : 0;
    memset(b, 0, 40);
    size_t opts = put_options(w, g, t + 20), tcp = 20 + opts;
    for (uint32_t i = 0; i < len; i++)
        t[tcp + i] = stream(g->seq + i);
    rmr_store_be16(t, g->src_is_dst ? w->port : w->peer_port);
    rmr_store_be16(t + 2, w->port);
    rmr_store_be32(t + 4, w->peer_iss + g->seq);
    if (g->flags & A)
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
    memcpy(b + 12, g->src_is_dst ? our_ip : peer_ip, 4);
    memcpy(b + 16, our_ip, 4);
    rmr_store_be16(b + 10, (uint16_t)~fold(sum16(0, b, 20)));
    uint32_t acc = sum16(0, b + 12, 8) + 6 + (uint32_t)(total - 20);
    acc = sum16(acc, t, total - 20);
    rmr_store_be16(t + 16, (uint16_t)(~fold(acc) ^ (g->bad_sum ? 0x5a5a : 0)));
    return total;
}

static void feed_pieces(world *w, const uint8_t *b, size_t total,
                        const char *order)
{
    static uint16_t id = 100;
    id++;
    for (; *order; order++) {
        size_t piece = (size_t)(*order - '0'), from = 24 * piece;
        size_t payload = total - 20, n = piece < 2 ? 24 : payload - from;
        uint8_t f[1300];
        memcpy(f, b, 20);
        memcpy(f + 20, b + 20 + from, n);
        rmr_store_be16(f + 2, (uint16_t)(20 + n));
        rmr_store_be16(f + 4, id);
        rmr_store_be16(f + 6,
                       (uint16_t)((piece < 2 ? 0x2000u : 0u) | from / 8));
        rmr_store_be16(f + 10, 0);
        rmr_store_be16(f + 10, (uint16_t)~fold(sum16(0, f, 20)));
        feed(w, f, 20 + n);
    }
}

static bool step_in(world *w, const char *text, const char *frag, bool later)
{
    seg g;
    uint8_t b[8192];
    if (!parse_seg(w, text, &g))
        return false;
    while (g.step && g.end - g.seq > g.step) {
        seg part = g;
        part.end = g.seq + g.step;
        feed(w, b, put_segment(w, &part, b));
        if (!pump(w))
            return false;
        g.seq += g.step;
    }
    size_t total = put_segment(w, &g, b);
    if (frag[0])
        feed_pieces(w, b, total, frag);
    else
        feed(w, b, total);
    return later || pump(w);
}

/* "T/C seqN": about a segment of ours. */
static bool step_icmp(world *w, const char *text)
{
    uint8_t b[56] = {0}, *q = b + 28;
    uint32_t type = (uint32_t)atoi(text);
    uint32_t code = (uint32_t)atoi(strchr(text, '/') + 1);
    uint32_t seq = (uint32_t)atoi(strstr(text, "seq") + 3);
    b[0] = q[0] = 0x45;
    rmr_store_be16(b + 2, sizeof b);
    b[8] = q[8] = 64;
    b[9] = 1;
    q[9] = 6;
    memcpy(b + 12, peer_ip, 4);
    memcpy(b + 16, our_ip, 4);
    memcpy(q + 12, our_ip, 4);
    memcpy(q + 16, peer_ip, 4);
    rmr_store_be16(b + 10, (uint16_t)~fold(sum16(0, b, 20)));
    rmr_store_be16(q + 20, w->port);
    rmr_store_be16(q + 22, w->peer_port);
    rmr_store_be32(q + 24, w->our_iss + seq);
    b[20] = (uint8_t)type;
    b[21] = (uint8_t)code;
    rmr_store_be16(b + 22, (uint16_t)~fold(sum16(0, b + 20, 36)));
    feed(w, b, sizeof b);
    return pump(w);
}

/* ---- matching what the stack sends ------------------------------------ */

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

static bool match_options(world *w, const seg *g, const got_opts *o)
{
    if (g->has_mss && (!o->mss || o->mss_v != g->mss))
        return bad(w, "%s", "MSS");
    if ((g->want_ws && !o->ws) || (g->no_ws && o->ws))
        return bad(w, "%s", "window scale");
    if ((g->sok && !o->sok) || (g->no_sok && o->sok))
        return bad(w, "%s", "SACK permitted");
    if ((g->has_ts && !o->ts) || (g->no_ts && o->ts))
        return bad(w, "%s", "timestamps");
    if (g->ts_echo && o->tsecr != g->echo)
        return bad(w, "%s", "timestamp echo");
    if (g->no_sack && o->n_sack)
        return bad(w, "%s", "SACK blocks");
    if (g->n_sack) {
        if (o->n_sack != g->n_sack)
            return bad(w, "%s", "number of SACK blocks");
        for (uint32_t i = 0; i < g->n_sack; i++)
            if (o->sack[i] - w->peer_iss != g->sack[i])
                return bad(w, "%s", "SACK block");
    }
    return true;
}

static bool sums_ok(const uint8_t *b, size_t n)
{
    if (fold(sum16(0, b, 20)) != 0xffff)
        return false;
    uint32_t acc = sum16(0, b + 12, 8) + b[9] + (uint32_t)(n - 20);
    return fold(sum16(acc, b + 20, n - 20)) == 0xffff;
}

static bool match(world *w, const seg *g, const pkt *p)
{
    const uint8_t *t = p->b + 20;
    char what[120];
    got_opts o;
    if (p->b[9] != 6 || !sums_ok(p->b, p->len))
        return bad(w, "%s", "not TCP, or a wrong checksum");
    size_t hl = (t[12] >> 4) * 4u, len = p->len - 20 - hl;
    uint8_t flags = t[13];
    if ((flags & S) && !(flags & R)) {
        w->our_iss = rmr_load_be32(t + 4);
        w->our_iss_known = true;
    }
    uint32_t seq = rmr_load_be32(t + 4) - w->our_iss;
    uint32_t ack = rmr_load_be32(t + 8) - w->peer_iss;
    (void)snprintf(what, sizeof what, "got flags %02x seq %u:%u ack %u wnd %u",
                   flags, seq, seq + (uint32_t)len, ack, rmr_load_be16(t + 14));
    if ((flags & ~P) != (g->flags & ~P))
        return bad(w, "%s", what);
    /* Without a connection our numbers have no origin. */
    if (!g->any_seq && seq != g->seq)
        return bad(w, "%s", what);
    if ((g->has_end ? g->end - g->seq : 0) != len)
        return bad(w, "%s", what);
    if (g->has_ack && ack != g->ack)
        return bad(w, "%s", what);
    uint32_t wnd = rmr_load_be16(t + 14);
    if (g->has_wnd && (g->wnd_above ? wnd <= g->wnd : wnd != g->wnd))
        return bad(w, "%s", what);
    if (!read_options(t + 20, hl - 20, &o))
        return bad(w, "%s", "broken options");
    if (o.ts)
        w->tsecr = o.tsval;
    for (size_t i = 0; i < len; i++)
        if (t[hl + i] != stream(seq + i))
            return bad(w, "%s", "payload");
    return match_options(w, g, &o);
}

static bool match_next(world *w, const seg *g, rmr_dur wait)
{
    if (!w->q_n && wait && !run_to(w, w->now + wait, true))
        return false;
    if (!w->q_n)
        return bad(w, "%s", "nothing was sent");
    pkt *p = &w->q[w->q_head];
    w->q_head = (w->q_head + 1) % MAX_PKTS;
    w->q_n--;
    if (w->active && !w->our_iss_known)
        w->port = rmr_load_be16(p->b + 20);
    return match(w, g, p);
}

static bool step_out(world *w, const char *text, rmr_dur wait)
{
    seg g;
    if (!parse_seg(w, text, &g))
        return false;
    while (g.step && g.end - g.seq > g.step) {
        seg part = g;
        part.end = g.seq + g.step;
        if (!match_next(w, &part, wait))
            return false;
        g.seq += g.step;
    }
    return match_next(w, &g, wait);
}

static bool step_anything(world *w)
{
    while (w->q_n) {
        const uint8_t *t = w->q[w->q_head].b + 20;
        got_opts o;
        if (read_options(t + 20, (t[12] >> 4) * 4u - 20, &o) && o.ts)
            w->tsecr = o.tsval;
        w->q_head = (w->q_head + 1) % MAX_PKTS;
        w->q_n--;
    }
    return true;
}

static bool step_silence(world *w, const char *text)
{
    rmr_dur ms = text[0] ? (rmr_dur)atoi(text) : 150;
    if (!w->q_n && !run_to(w, w->now + ms * RMR_MS, true))
        return false;
    if (w->q_n) {
        seg any = {0};
        any.flags = 0xff;
        (void)match(w, &any, &w->q[w->q_head]);
        return false;
    }
    return true;
}

/* ---- the application -------------------------------------------------- */

static bool ok(world *w, rmr_err e, const char *what)
{
    return e == RMR_OK ? true : bad(w, "%s fails", what);
}

static bool app_send(world *w, size_t n)
{
    while (n) {
        uint8_t b[1000];
        size_t k = n < sizeof b ? n : sizeof b, taken;
        for (size_t i = 0; i < k; i++)
            b[i] = stream(1 + w->sent + i);
        if (!ok(w,
                rmr_ns_tcp_send(w->ns, w->now, w->sock, rmr_bytes_of(b, k),
                                &taken),
                "send"))
            return false;
        if (taken != k)
            return bad(w, "%s", "send takes less");
        w->sent += k;
        n -= k;
    }
    return pump(w);
}

/* Reads up to n bytes and checks them. */
static bool app_read(world *w, size_t n)
{
    for (;;) {
        rmr_bytes v;
        bool eof;
        if (rmr_ns_tcp_peek(w->ns, w->sock, &v, &eof) || v.len == 0 || n == 0)
            return pump(w);
        size_t k = v.len < n ? v.len : n;
        for (size_t i = 0; i < k; i++)
            if (v.ptr[i] != stream(1 + w->got + i))
                return bad(w, "%s", "wrong data");
        w->got += k;
        n -= k;
        if (!ok(w, rmr_ns_tcp_consume(w->ns, w->now, w->sock, k), "consume"))
            return false;
    }
}

static bool app_listen(world *w)
{
    rmr_addr a = rmr_addr_v4(0, 0, 0, 0, 80);
    return ok(w, rmr_ns_tcp_listen(w->ns, &a, NULL, &w->listener), "listen");
}

static bool app_accept(world *w)
{
    if (!w->has_pending)
        return bad(w, "%s", "nothing to accept");
    w->sock = w->pending;
    return ok(w, rmr_ns_tcp_set_nodelay(w->ns, w->sock, true), "nodelay") &&
           pump(w);
}

static bool app_connect(world *w)
{
    rmr_addr to = rmr_addr_v4(100, 64, 0, 2, 40000);
    w->active = true;
    w->our_iss_known = false;
    return ok(w, rmr_ns_tcp_connect(w->ns, w->now, NULL, &to, NULL, &w->sock),
              "connect") &&
           ok(w, rmr_ns_tcp_set_nodelay(w->ns, w->sock, true), "nodelay") &&
           pump(w);
}

static bool step_app(world *w, const char *t)
{
    rmr_err e = RMR_OK;
    if (is_word(t, "listen"))
        return app_listen(w);
    if (is_word(t, "port ")) {
        w->port = (uint16_t)atoi(t + 5);
        return true;
    }
    if (!strcmp(t, "accept"))
        return app_accept(w);
    if (!strcmp(t, "connect"))
        return app_connect(w);
    if (is_word(t, "send "))
        return app_send(w, (size_t)atoi(t + 5));
    if (is_word(t, "recv "))
        return app_read(w, (size_t)atoi(t + 5));
    if (!strcmp(t, "nagle"))
        e = rmr_ns_tcp_set_nodelay(w->ns, w->sock, false);
    else if (!strcmp(t, "close"))
        e = rmr_ns_close(w->ns, w->now, w->sock);
    else if (!strcmp(t, "abort"))
        e = rmr_ns_abort(w->ns, w->now, w->sock);
    else if (!strcmp(t, "shutwr"))
        e = rmr_ns_tcp_shutdown(w->ns, w->now, w->sock);
    else if (!strcmp(t, "ka 1,1"))
        e = rmr_ns_tcp_set_keepalive(w->ns, w->now, w->sock, RMR_SEC, RMR_SEC,
                                     2);
    else
        return bad(w, "the application can't \"%s\"", t);
    return ok(w, e, t) && pump(w);
}

static bool closed_with(world *w, rmr_err why)
{
    if (!w->closed)
        return bad(w, "%s", "not closed");
    return w->why == why ? true : bad(w, "closed: %s", rmr_err_name(w->why));
}

static bool step_event(world *w, const char *t)
{
    rmr_ns_stats st;
    rmr_ns_get_stats(w->ns, &st);
    if (is_word(t, "data ")) {
        if (!w->sock.id && !app_accept(w))
            return false;
        if (!app_read(w, SIZE_MAX))
            return false;
        return w->got == (uint64_t)atoi(t + 5) ? true
                                               : bad(w, "%s", "other length");
    }
    if (!strcmp(t, "nodata"))
        return app_read(w, SIZE_MAX) &&
               (w->got == 0 || bad(w, "%s", "there is data"));
    if (!strcmp(t, "eof")) {
        rmr_bytes v;
        bool eof = false;
        (void)app_read(w, SIZE_MAX);
        if (w->closed && w->why == RMR_OK)
            return true;
        (void)rmr_ns_tcp_peek(w->ns, w->sock, &v, &eof);
        return eof ? true : bad(w, "%s", "no end of stream");
    }
    if (!strcmp(t, "connected"))
        return w->connected ? true : bad(w, "%s", "not connected");
    if (!strcmp(t, "noaccept"))
        return w->has_pending ? bad(w, "%s", "accepted") : true;
    if (!strcmp(t, "reset"))
        return closed_with(w, RMR_E_RESET);
    if (!strcmp(t, "refused"))
        return closed_with(w, RMR_E_REFUSED);
    if (!strcmp(t, "timeout"))
        return closed_with(w, RMR_E_TIMEOUT);
    if (is_word(t, "cwnd ")) { /* in segments */
        rmr_ns_tcp_info info;
        if (rmr_ns_tcp_get_info(w->ns, w->sock, &info) || !info.mss)
            return bad(w, "%s", "no connection");
        return info.cwnd_bytes / info.mss == (uint32_t)atoi(t + 5)
                   ? true
                   : bad(w, "it is %u bytes", info.cwnd_bytes);
    }
    if (!strcmp(t, "freed"))
        return st.sockets == (w->listener.id ? 1u : 0u) && st.time_wait == 0
                   ? true
                   : bad(w, "%s", "still there");
    return bad(w, "no event \"%s\"", t);
}

/* ---- steps ------------------------------------------------------------ */

static bool run_steps(world *w, char *steps);

static void open_options(world *w, const char *opts, char *syn, size_t cap)
{
    char copy[100], *save = NULL;
    bool mss = false;
    (void)snprintf(copy, sizeof copy, "%s", opts);
    syn[0] = 0;
    for (char *f = strtok_r(copy, ",", &save); f;
         f = strtok_r(NULL, ",", &save)) {
        size_t n = strlen(syn);
        if (is_word(f, "rcv="))
            continue;
        mss |= is_word(f, "mss");
        if (f[0] == 'w' && f[1] != 's')
            w->wnd = (uint32_t)atoi(f + 1);
        else
            (void)snprintf(syn + n, cap - n, " %s%s", f,
                           strcmp(f, "ts") ? "" : "100");
    }
    if (!mss) {
        size_t n = strlen(syn);
        (void)snprintf(syn + n, cap - n, " mss1240");
    }
}

/* EST(opts) and ACT(opts). */
static bool open_conn(world *w, const char *t)
{
    char opts[100] = "", syn[160], steps[400];
    const char *p = strchr(t, '(');
    if (p)
        (void)snprintf(opts, sizeof opts, "%.*s", (int)strcspn(p + 1, ")"),
                       p + 1);
    open_options(w, opts, syn, sizeof syn);
    if (is_word(t, "EST"))
        (void)snprintf(steps, sizeof steps,
                       "app: listen ; < S 0%s ; > S. 0 a1 ; < . 1 a1 ; "
                       "app: accept",
                       syn);
    else
        (void)snprintf(steps, sizeof steps,
                       "app: connect ; > S 0 ; < S. 0 a1%s ; > . 1 a1 ; "
                       "ev: connected",
                       syn);
    return run_steps(w, steps);
}

static bool run_one(world *w, const char *t)
{
    if (is_word(t, "app: "))
        return step_app(w, t + 5);
    if (is_word(t, "ev: "))
        return step_event(w, t + 4);
    if (is_word(t, "EST") || is_word(t, "ACT"))
        return open_conn(w, t);
    if (t[0] == '+') {
        return run_to(w, w->now + strtoull(t + 1, NULL, 10) * RMR_MS, false);
    }
    if (is_word(t, ">none"))
        return step_silence(w, t + 5 + (t[5] == ' '));
    if (!strcmp(t, ">any"))
        return step_anything(w);
    if (is_word(t, ">now "))
        return step_out(w, t + 5, 0);
    if (is_word(t, ">late "))
        return step_out(w, t + 6, LATE_MAX);
    if (is_word(t, "> "))
        return step_out(w, t + 2, WAIT_MAX);
    if (is_word(t, "<frag ")) {
        char order[16] = "";
        (void)sscanf(t + 6, "%15[0-9]", order);
        return step_in(w, t + 6 + strlen(order) + 1, order, false);
    }
    if (is_word(t, "< icmp"))
        return step_icmp(w, t + 6);
    if (is_word(t, "< "))
        return step_in(w, t + 2, "", false);
    if (is_word(t, "<+ "))
        return step_in(w, t + 3, "", true);
    return bad(w, "%s", "not a step");
}

/* "N × < ..." and "> N × ...". */
static bool run_step(world *w, const char *t)
{
    char one[256];
    int n = 1, used = 0;
    (void)snprintf(w->step, sizeof w->step, "%s", t);
    (void)snprintf(one, sizeof one, "%s", t);
    if (sscanf(t, "%d \xc3\x97 %n", &n, &used) == 1 && used)
        (void)snprintf(one, sizeof one, "%s", t + used);
    else if (sscanf(t, "> %d \xc3\x97 %n", &n, &used) == 1 && used)
        (void)snprintf(one, sizeof one, "> %s", t + used);
    else
        n = 1;
    while (n-- > 0)
        if (!run_one(w, one))
            return false;
    return true;
}

static bool run_steps(world *w, char *steps)
{
    char *save = NULL;
    for (char *t = strtok_r(steps, ";", &save); t;
         t = strtok_r(NULL, ";", &save)) {
        while (*t == ' ')
            t++;
        size_t n = strlen(t);
        while (n && (t[n - 1] == ' ' || t[n - 1] == '\n'))
            t[--n] = 0;
        if (!run_step(w, t))
            return false;
    }
    return true;
}

/* ---- worlds ----------------------------------------------------------- */

static rmr_err new_stack(world *w, size_t recv_max)
{
    rmr_ns_config cfg;
    test_rng_seed(&w->rng, 1);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    w->cb.struct_size = sizeof w->cb;
    w->cb.user = w;
    w->cb.on_accept = on_accept;
    w->cb.on_connected = on_connected;
    w->cb.on_closed = on_closed;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &w->cb;
    cfg.congestion = RMR_NS_CC_CUBIC;
    if (recv_max)
        cfg.tcp_recv_max = recv_max;
    return rmr_ns_new(&w->ns, &env, &cfg, w->now);
}

/* Chooses `now` so that a number that grows with it begins right below 2^32. */
static void choose_now(world *w)
{
    ns_tuple t;
    memset(&t, 0, sizeof t);
    memcpy(t.local.b, our_ip, 4);
    memcpy(t.remote.b, peer_ip, 4);
    t.rport = 40000;
    t.lport = 80;
    t.family = RMR_AF_INET;
    t.proto = 6;
    w->ns->now = 0;
    if (w->o->isn_wrap) {
        uint32_t h = rmri_ns_isn(w->ns, &t);
        w->now = (rmr_time)(0xffffff00u - h) * 4000;
    } else if (w->o->stamp_wrap) {
        uint32_t off = rmri_ns_ts_offset(w->ns, &t);
        w->now = (rmr_time)(0xfffffff0u - off) * RMR_MS;
    }
    w->ns->now = w->now;
}

static void world_run(world *w, const char *line)
{
    char steps[2048];
    const char *p = strchr(line, '|');
    p = p ? strchr(p + 1, '|') : NULL;
    if (!p) {
        (void)bad(w, "%s", "no steps");
        return;
    }
    (void)snprintf(steps, sizeof steps, "%s", p + 1);
    const char *rcv = strstr(steps, "rcv=");
    rmr_err e = new_stack(w, rcv ? (size_t)atoi(rcv + 4) : 0);
    if (e) {
        (void)ok(w, e, "new");
        return;
    }
    choose_now(w);
    rmr_addr me = rmr_addr_v4(100, 64, 0, 1, 0);
    if (ok(w, rmr_ns_addr_add(w->ns, &me), "addr_add"))
        (void)run_steps(w, steps);
    rmr_ns_free(w->ns);
}

void scn_run(const char *line, const scn_opts *o, scn_result *r)
{
    world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    memset(r, 0, sizeof *r);
    w->o = o;
    w->r = r;
    w->now = 5000 * RMR_SEC;
    w->port = 80;
    w->peer_port = 40000;
    w->peer_iss = o->peer_iss;
    w->wnd = 65535;
    w->alloc.fail_at = o->fail_at;
    world_run(w, line);
    r->allocs = w->alloc.calls;
    r->alloc_failed = w->alloc.failed != 0;
    if (w->alloc.live_blocks && !strstr(r->err, "leak")) {
        r->alloc_failed = false; /* not to be forgiven */
        (void)snprintf(r->err, sizeof r->err, "leak of %zu blocks",
                       w->alloc.live_blocks);
    }
    free(w);
}
