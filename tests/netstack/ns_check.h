/* Looks into a stack and checks what must always hold. */
#ifndef TEST_NS_CHECK_H
#define TEST_NS_CHECK_H

#include <tcp_internal.h>

#include <stdio.h>
#include <stdlib.h>

#define NS_CHECK(cond)                                                         \
    do {                                                                       \
        if (!(cond)) {                                                         \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);   \
            abort();                                                           \
        }                                                                      \
    } while (0)

/* The list of what is out has no gaps, and its counters are its sums. */
static inline void ns_check_sent(const tcp_conn *c)
{
    uint32_t pipe = 0, lost = 0, sacked = 0, next = c->snd_una;
    for (uint32_t i = 0; i < c->segq.n; i++) {
        const tcp_sent *t = segq_at(&c->segq, i);
        NS_CHECK(t->seq == next && t->len > 0);
        NS_CHECK(!(t->flags & SENT_SACKED) || !(t->flags & SENT_LOST));
        next += t->len;
        if (t->flags & SENT_SACKED)
            sacked += t->len;
        else if (t->flags & SENT_LOST)
            lost += t->len;
        else
            pipe += t->len;
    }
    NS_CHECK(next == c->snd_nxt);
    NS_CHECK(pipe == c->pipe && lost == c->lost && sacked == c->sacked);
    NS_CHECK(tcp_unsent(c) <= c->snd.len);
    NS_CHECK(c->snd_limit <= c->snd_max);
    NS_CHECK(c->cwnd >= c->mss_snd);
}

static inline void ns_check_ranges(const tcp_conn *c)
{
    uint32_t edge = c->rcv_nxt;
    NS_CHECK(seq_le(c->rcv_nxt, c->rcv_adv));
    for (uint32_t i = 0; i < c->ooo.n; i++) {
        NS_CHECK(seq_lt(edge, c->ooo.v[i].start));
        NS_CHECK(seq_lt(c->ooo.v[i].start, c->ooo.v[i].end));
        edge = c->ooo.v[i].end;
    }
    NS_CHECK(seq_le(edge, c->rcv_adv));
}

static inline size_t ns_check_queue(const ns_cq *q)
{
    size_t n = 0;
    for (uint32_t i = 0; i < q->cap; i++)
        n += ns_cq_ring(q)[i] != NULL;
    NS_CHECK(n == q->n);
    NS_CHECK(q->len == 0 || n > 0);
    return n;
}

static inline void ns_check_conn(const rmr_ns *ns, const tcp_conn *c)
{
    rmr_time at = rmr_time_min(c->t_rto, rmr_time_min(c->t_probe, c->t_ack));
    at = rmr_time_min(at, rmr_time_min(c->t_keep, c->t_state));
    at = rmr_time_min(at, c->t_write);
    if (c->flags & CF_DONE) {
        NS_CHECK(!rmr_timer_is_armed(&c->timer));
        return;
    }
    /* An armed timer is never too late; the ring may still have to arm it. */
    if (at != RMR_TIME_NEVER && !ns_node_linked(&c->out))
        NS_CHECK(rmr_timer_is_armed(&c->timer) && c->timer.at <= at);
    if (tcp_synced(c)) {
        ns_check_sent(c);
        ns_check_ranges(c);
        /* What is out, or waits for a window, has a timer. */
        if ((c->segq.n || tcp_unsent(c)) && !ns_node_linked(&c->out))
            NS_CHECK(c->t_rto != RMR_TIME_NEVER ||
                     c->t_write != RMR_TIME_NEVER);
    }
    (void)ns;
}

static inline void ns_check(const rmr_ns *ns)
{
    uint32_t pos = 0;
    uint64_t id;
    size_t chunks = ns->pktq.n_chunks;
    for (ns_head *h; (h = rmr_slots_next(&ns->socks, &pos, &id));) {
        const tcp_conn *c = (const tcp_conn *)(const void *)h;
        NS_CHECK(h->id == id);
        if (h->kind != NS_KIND_CONN)
            continue;
        chunks += ns_check_queue(&c->snd) + ns_check_queue(&c->rcv);
        ns_check_conn(ns, c);
    }
    NS_CHECK(chunks * ns_chunk_size(&ns->pool) == ns->pool.used);
}

#endif
