/* One direction of an impaired link: remora/sim_link.h. */
#include "sim_internal.h"

#include <string.h>

#define NS_PER_SEC 1000000000u

/* ---- chance ----------------------------------------------------------- */

/* Each question about each packet has a number of its own, so that one
 * impairment does not change what another one does. */
enum {
    Q_LOSS,
    Q_BURST,
    Q_BURST_LOSS,
    Q_HOLD,
    Q_DUP,
    Q_CORRUPT,
    Q_BIT,
    Q_JITTER
};

static uint64_t chance(const rmr_sim_link *l, uint64_t question)
{
    return rmri_sim_mix(rmri_sim_mix(l->config.seed * 16 + question) +
                        l->n * 0x9e3779b97f4a7c15u);
}

static bool happens(const rmr_sim_link *l, uint64_t question,
                    uint32_t millionths)
{
    return millionths && chance(l, question) % RMR_SIM_MILLION < millionths;
}

/* ---- the link --------------------------------------------------------- */

void rmr_sim_link_init(rmr_sim_link *l, const rmr_sim_link_config *c)
{
    memset(l, 0, sizeof *l);
    l->config = *c;
    l->delay = c->delay;
    l->is_plain = !c->rate && !c->jitter && !c->loss && !c->burst_begin &&
                  !c->hold && !c->hold_every;
}

/* Bytes that pass in d at the rate.  The two factors are cut at 1e9, so that no
 * product is wider than 64 bits; no floating point, which compilers round in
 * their own ways. */
static uint64_t bytes_in(rmr_dur d, uint64_t rate)
{
    uint64_t s = d / NS_PER_SEC, ns = d % NS_PER_SEC;
    uint64_t high = rate / NS_PER_SEC, low = rate % NS_PER_SEC;
    return s * rate + ns * high + ns * low / NS_PER_SEC;
}

/* Bytes that a packet finds before it. */
static uint64_t queued(const rmr_sim_link *l, rmr_time now)
{
    return l->busy_until > now ? bytes_in(l->busy_until - now, l->config.rate)
                               : 0;
}

/* When the packet has left the queue, which has so much room (0: no bound);
 * NEVER: it found none. */
static rmr_time through_queue(rmr_sim_link *l, rmr_time now, uint64_t room,
                              size_t len)
{
    uint64_t rate = l->config.rate;
    if (!rate)
        return now;
    rmr_time from = l->busy_until > now ? l->busy_until : now;
    uint64_t waiting = queued(l, now);
    if (room && waiting + len > room)
        return RMR_TIME_NEVER;
    if (waiting + len > l->stats.queue_max)
        l->stats.queue_max = waiting + len;
    l->busy_until = from + (uint64_t)len * NS_PER_SEC / rate;
    return l->busy_until;
}

static bool is_lost(rmr_sim_link *l)
{
    const rmr_sim_link_config *c = &l->config;
    bool lost = happens(l, Q_LOSS, c->loss);
    if (!c->burst_begin)
        return lost;
    if (happens(l, Q_BURST, l->in_burst ? c->burst_end : c->burst_begin))
        l->in_burst = !l->in_burst;
    return lost || (l->in_burst && happens(l, Q_BURST_LOSS, c->burst_loss));
}

static bool is_held(const rmr_sim_link *l)
{
    if (l->config.hold_every)
        return l->n % l->config.hold_every == 0;
    return happens(l, Q_HOLD, l->config.hold);
}

static rmr_time in_order(rmr_sim_link *l, rmr_time at)
{
    if (at < l->last_at)
        at = l->last_at;
    l->last_at = at;
    return at;
}

/* Held packets are overtaken; all others keep their order. */
static rmr_time arrival(rmr_sim_link *l, rmr_time sent)
{
    rmr_time at = rmr_time_add(sent, l->config.delay);
    if (l->config.jitter)
        at += chance(l, Q_JITTER) % (l->config.jitter + 1);
    if (is_held(l)) {
        l->stats.held++;
        return rmr_time_add(at, l->config.hold_for);
    }
    return in_order(l, at);
}

bool rmri_sim_link_carry(rmr_sim_link *l, rmr_time now, size_t len,
                         rmr_time *at)
{
    l->n++;
    l->stats.in++;
    if (l->is_plain) {
        *at = in_order(l, rmr_time_add(now, l->delay));
    } else if (is_lost(l)) {
        l->stats.lost++;
        return false;
    } else {
        *at = arrival(l, through_queue(l, now, 0, len));
    }
    l->stats.out++;
    return true;
}

void rmr_sim_link_pass(rmr_sim_link *l, rmr_time now, size_t len,
                       rmr_sim_fate *fate)
{
    memset(fate, 0, sizeof *fate);
    l->n++;
    l->stats.in++;
    if (l->config.mtu && len > l->config.mtu) {
        l->stats.too_long++;
        return;
    }
    bool is_marked = l->config.mark && queued(l, now) + len > l->config.mark;
    rmr_time sent = through_queue(l, now, l->config.queue, len);
    if (sent == RMR_TIME_NEVER) {
        l->stats.overflow++;
        return;
    }
    if (is_lost(l)) {
        l->stats.lost++;
        return;
    }
    fate->at = arrival(l, sent);
    fate->copies = 1;
    fate->is_marked = is_marked;
    l->stats.marked += is_marked;
    if (happens(l, Q_DUP, l->config.duplicate)) {
        fate->copies = 2;
        l->stats.duplicated++;
    }
    if (len && happens(l, Q_CORRUPT, l->config.corrupt)) {
        fate->is_corrupt = true;
        fate->bit = chance(l, Q_BIT) % ((uint64_t)len * 8);
        l->stats.corrupted++;
    }
    l->stats.out += fate->copies;
}
