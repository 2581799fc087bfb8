/* Congestion control: slow start, CUBIC (RFC 9438) and NewReno (RFC 5681).
 * Integers alone, so that every machine computes the same. */
#include "tcp_internal.h"

#define CUBIC_GAP_MS 200u
#define CUBIC_T_MAX 131072 /* ms; the cube of more would not fit */

uint32_t rmri_tcp_iw(const tcp_conn *c)
{
    uint32_t mss = c->mss_snd; /* RFC 6928 2 */
    return u32_min(TCP_IW_SEGS * mss, u32_max(2 * mss, TCP_IW_BYTES));
}

void rmri_tcp_cc_init(tcp_conn *c)
{
    c->cwnd = rmri_tcp_iw(c);
    c->ssthresh = UINT32_MAX;
    memset(&c->cubic, 0, sizeof c->cubic);
    rmri_tcp_hystart_begin(c);
}

uint32_t rmri_tcp_cc_reduce(tcp_conn *c, uint32_t flight)
{
    rmri_tcp_hystart_end(c);
    return rmri_tcp_cc(c)->reduce(c, flight);
}

const tcp_cc_ops *rmri_tcp_cc(const tcp_conn *c)
{
    return c->cc == RMR_NS_CC_NEWRENO ? &rmri_tcp_cc_newreno
                                      : &rmri_tcp_cc_cubic;
}

/* Byte counting; returns what is left for congestion avoidance. */
static uint32_t slow_start(tcp_conn *c, uint32_t acked)
{
    if (c->cwnd >= c->ssthresh)
        return acked;
    acked = rmri_tcp_hystart_growth(c, acked);
    uint32_t n = u32_min(acked, c->ssthresh - c->cwnd);
    c->cwnd += n;
    return acked - n;
}

static uint32_t floor_of(const tcp_conn *c, uint32_t w)
{
    return u32_max(w, 2u * c->mss_snd);
}

/* ---- NewReno ---------------------------------------------------------- */

static void reno_grow(tcp_conn *c, rmr_time now, uint32_t acked)
{
    (void)now;
    acked = slow_start(c, acked);
    if (!acked)
        return;
    c->cubic.w_est += (uint64_t)acked * c->mss_snd * 1024 / c->cwnd;
    c->cwnd += (uint32_t)(c->cubic.w_est / 1024);
    c->cubic.w_est %= 1024;
}

static uint32_t reno_reduce(tcp_conn *c, uint32_t flight)
{
    return floor_of(c, flight / 2);
}

static void reno_restart(tcp_conn *c)
{
    c->cubic.w_est = 0;
}

const tcp_cc_ops rmri_tcp_cc_newreno = {"newreno", reno_grow, reno_reduce,
                                        reno_restart};

/* ---- CUBIC ------------------------------------------------------------ */

static uint32_t cube_root(uint64_t v)
{
    uint64_t r = 0;
    for (int bit = 20; bit >= 0; bit--) {
        uint64_t t = r | 1ull << bit;
        if (t * t * t <= v)
            r = t;
    }
    return (uint32_t)r;
}

/* K = cbrt(deficit / C) with C = 0.4 segments/s^3, in ms. */
uint32_t rmri_tcp_cubic_k_ms(uint32_t deficit, uint32_t mss)
{
    return cube_root((uint64_t)deficit * 2500000000ull / mss);
}

/* W(t) = C (t - K)^3 + origin, in bytes. */
uint32_t rmri_tcp_cubic_window(const tcp_cubic *q, uint32_t mss, uint64_t t_ms)
{
    int64_t d =
        (int64_t)(t_ms > CUBIC_T_MAX * 2ull ? CUBIC_T_MAX * 2ull : t_ms) -
        (int64_t)q->k_ms;
    if (d > CUBIC_T_MAX)
        d = CUBIC_T_MAX;
    if (d < -CUBIC_T_MAX)
        d = -CUBIC_T_MAX;
    int64_t w = d * d * d / 1000 * (int64_t)mss * 2 / 5 / 1000000;
    w += q->origin;
    return w < 0                         ? 0
           : w > (int64_t)TCP_WINDOW_MAX ? TCP_WINDOW_MAX
                                         : (uint32_t)w;
}

static void begin_epoch(tcp_conn *c, rmr_time now)
{
    tcp_cubic *q = &c->cubic;
    q->epoch = tcp_ms_mark(now);
    q->last = tcp_ms(now);
    q->w_est = (uint64_t)c->cwnd * 1024;
    if (c->cwnd < q->w_max) {
        q->origin = q->w_max;
        q->k_ms = rmri_tcp_cubic_k_ms(q->w_max - c->cwnd, c->mss_snd);
    } else {
        q->origin = c->cwnd;
        q->k_ms = 0;
    }
}

/* Time in which the window was not used does not count (RFC 9438 5.8). */
static void skip_idle(tcp_conn *c, rmr_time now)
{
    tcp_cubic *q = &c->cubic;
    uint32_t gap = tcp_ms(now) - q->last;
    if (gap * RMR_MS > 2 * c->srtt + CUBIC_GAP_MS * RMR_MS)
        q->epoch += gap;
    q->last = tcp_ms(now);
}

/* It moves on when it is so old that its age counts no more: 32 bits would
 * come round. */
static uint32_t epoch_age(tcp_cubic *q, rmr_time now)
{
    uint32_t age = tcp_ms(now) - q->epoch;
    if ((int32_t)age < 0) /* the first millisecond of all */
        return 0;
    if (age > 2 * CUBIC_T_MAX) {
        age = 2 * CUBIC_T_MAX;
        q->epoch = tcp_ms(now) - age;
    }
    return age;
}

static void cubic_grow(tcp_conn *c, rmr_time now, uint32_t acked)
{
    tcp_cubic *q = &c->cubic;
    uint32_t mss = c->mss_snd;
    acked = slow_start(c, acked);
    if (!acked)
        return;
    if (q->epoch == 0)
        begin_epoch(c, now);
    skip_idle(c, now);
    uint64_t t = epoch_age(q, now) + c->srtt / RMR_MS;
    uint32_t target = rmri_tcp_cubic_window(q, mss, t);
    target = u32_min(target, c->cwnd + c->cwnd / 2);
    uint32_t cwnd = c->cwnd;
    if (target > cwnd)
        c->cwnd += (uint32_t)((uint64_t)(target - cwnd) * acked / cwnd);
    /* 4.3: never slower than Reno would be; alpha = 0.529 until then. */
    uint64_t alpha = q->w_est >= (uint64_t)q->w_prior * 1024 ? 1024 : 542;
    q->w_est += (uint64_t)acked * mss * alpha / cwnd;
    c->cwnd = u32_max(c->cwnd, (uint32_t)(q->w_est / 1024));
}

static uint32_t cubic_reduce(tcp_conn *c, uint32_t flight)
{
    tcp_cubic *q = &c->cubic;
    if (q->epoch == 0)
        q->origin = q->w_max; /* where it would have been: see undo */
    q->epoch = 0;
    q->w_prior = c->cwnd;
    q->w_max = c->cwnd < q->w_max /* fast convergence */
                   ? (uint32_t)((uint64_t)c->cwnd * 85 / 100)
                   : c->cwnd;
    return floor_of(c, (uint32_t)((uint64_t)flight * 7 / 10));
}

static void cubic_restart(tcp_conn *c)
{
    c->cubic.epoch = 0;
    c->cubic.w_max = 0;
}

const tcp_cc_ops rmri_tcp_cc_cubic = {"cubic", cubic_grow, cubic_reduce,
                                      cubic_restart};

/* RFC 9438 4.9: an undone loss leaves the curve as it was.  Its plateau still
 * stands in `origin`; from the old cwnd an epoch that begins anew goes on along
 * it. */
void rmri_tcp_cc_undo(tcp_conn *c)
{
    tcp_cubic *q = &c->cubic;
    if (c->ssthresh == UINT32_MAX) {
        rmri_tcp_hystart_begin(c);
        return;
    }
    q->epoch = 0;
    q->w_max = q->w_prior = q->origin;
}
