/*
 * HyStart++ (RFC 9406): the first slow start ends when the round trip grows,
 * before the queue on the path overflows.  Times are in microseconds; 0: none.
 *
 * RFC 9406 4.3 also bounds the growth of one ACK to 8 segments for senders
 * without pacing.  We don't: in a tunnel one ACK often answers a whole batch.
 */
#include "tcp_internal.h"

#define SAMPLES_MIN 8u
#define THRESH_MIN_US 4000u
#define THRESH_MAX_US 16000u
#define CSS_ROUNDS 5u
#define CSS_DIVISOR 4u

static bool is_on(const tcp_conn *c)
{
    return c->ssthresh == UINT32_MAX;
}

void rmri_tcp_hystart_begin(tcp_conn *c)
{
    memset(&c->hystart, 0, sizeof c->hystart);
    c->hystart.end = c->snd_nxt;
}

/* Its memory becomes that of congestion avoidance. */
void rmri_tcp_hystart_end(tcp_conn *c)
{
    if (is_on(c))
        memset(&c->cubic, 0, sizeof c->cubic);
}

uint32_t rmri_tcp_hystart_growth(const tcp_conn *c, uint32_t acked)
{
    return is_on(c) && c->hystart.css_left ? acked / CSS_DIVISOR : acked;
}

/* False: slow start is over. */
static bool next_round(tcp_conn *c)
{
    tcp_hystart *h = &c->hystart;
    h->end = c->snd_nxt;
    h->last_us = h->now_us;
    h->now_us = 0;
    h->n = 0;
    if (h->css_left && --h->css_left == 0) {
        rmri_tcp_hystart_end(c);
        c->ssthresh = c->cwnd;
        return false;
    }
    return true;
}

void rmri_tcp_hystart_ack(tcp_conn *c, rmr_dur rtt)
{
    tcp_hystart *h = &c->hystart;
    if (!is_on(c) || (seq_gt(c->snd_una, h->end) && !next_round(c)) || rtt == 0)
        return;
    uint32_t us =
        rtt / RMR_US < UINT32_MAX ? (uint32_t)(rtt / RMR_US) + 1 : UINT32_MAX;
    if (h->now_us == 0 || us < h->now_us)
        h->now_us = us;
    if (h->n < SAMPLES_MIN)
        h->n++;
    if (h->n < SAMPLES_MIN)
        return;
    if (h->css_left) { /* it was a burst, not a queue */
        if (h->now_us < h->base_us)
            h->css_left = 0;
        return;
    }
    uint32_t thresh =
        u32_max(THRESH_MIN_US, u32_min(h->last_us / 8, THRESH_MAX_US));
    if (h->last_us && h->now_us - thresh >= h->last_us && h->now_us > thresh) {
        h->base_us = h->now_us;
        h->css_left = CSS_ROUNDS;
    }
}
