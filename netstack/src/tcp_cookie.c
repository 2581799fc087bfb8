/*
 * SYN cookies (RFC 4987 3.6): where no half-open entry can be made, all that it
 * would hold goes into our initial number and into the timestamp, and comes
 * back in the peer's ACK.
 *
 * Initial number: 5 bits of time in steps of 64 s, 3 bits for the MSS, 24 bits
 * of a keyed hash over the tuple, the peer's initial number, time and MSS; and
 * a second keyed hash of the tuple added to it all, so that none of it can be
 * read.  Timestamp: the window scale in the low 4 bits (15: none), SACK in the
 * fifth.  Without timestamps neither is used.
 */
#include "tcp_internal.h"

#define STEP (64 * RMR_SEC)
#define TIME_SHIFT 27u
#define MSS_SHIFT 24u
#define HASH_MASK 0xffffffu
#define STAMP_BITS 31u
#define STAMP_SACK 16u
#define NO_SCALE 15u

static const uint16_t sizes[8] = {536,  1200, 1220, 1240,
                                  1300, 1380, 1440, 1460};

static uint32_t size_index(uint8_t family, uint16_t mss)
{
    uint32_t i = 7;
    if (mss == 0)
        mss = family == RMR_AF_INET ? TCP_MSS_DEFAULT4 : (uint16_t)sizes[2];
    while (i && sizes[i] > mss)
        i--;
    return i;
}

/* Time is hashed in full: a number does not come round with the 5 bits. */
static uint32_t number(const rmr_ns *ns, const ns_tuple *t, uint32_t irs,
                       uint64_t step, uint32_t index)
{
    struct {
        ns_tuple tuple;
        uint32_t irs, index;
        uint64_t step;
    } in;
    memset(&in, 0, sizeof in);
    in.tuple = *t;
    in.irs = irs;
    in.index = index;
    in.step = step;
    uint32_t v =
        (uint32_t)(step & 31) << TIME_SHIFT | index << MSS_SHIFT |
        ((uint32_t)rmr_siphash(&ns->cookie_key[0], &in, sizeof in) & HASH_MASK);
    return v + (uint32_t)rmr_siphash(&ns->cookie_key[1], t, sizeof *t);
}

void rmri_tcp_cookie_make(const rmr_ns *ns, tcp_half *e)
{
    if (!e->has_ts)
        e->has_ws = e->sack_ok = false;
    e->iss = number(ns, &e->tuple, e->irs, ns->now / STEP,
                    size_index(e->tuple.family, e->mss));
}

/* Never later than now: what we send next must not look older. */
uint32_t rmri_tcp_cookie_stamp(const rmr_ns *ns, const tcp_half *e)
{
    uint32_t now = tcp_ts_now(ns, e->ts_off);
    uint32_t v = (now & ~STAMP_BITS) | (e->has_ws ? e->ws : NO_SCALE) |
                 (e->sack_ok ? STAMP_SACK : 0);
    return seq_gt(v, now) ? v - (STAMP_BITS + 1) : v;
}

static void read_stamp(tcp_half *e, const tcp_seg *s)
{
    uint32_t scale = s->o.tsecr & NO_SCALE;
    e->has_ts = s->o.has_ts;
    if (!e->has_ts)
        return;
    e->ts_recent = s->o.tsval;
    e->has_ws = scale != NO_SCALE;
    e->ws = e->has_ws ? (uint8_t)scale : 0;
    e->sack_ok = (s->o.tsecr & STAMP_SACK) != 0;
}

bool rmri_tcp_cookie_read(const rmr_ns *ns, const tcp_seg *s, tcp_half *e)
{
    uint32_t iss = s->ack - 1, irs = s->seq - 1;
    uint32_t v = iss - (uint32_t)rmr_siphash(&ns->cookie_key[1], &s->tuple,
                                             sizeof s->tuple);
    uint32_t index = v >> MSS_SHIFT & 7;
    uint64_t step = ns->now / STEP;
    if ((step & 31) != v >> TIME_SHIFT) {
        if (step == 0 || ((step - 1) & 31) != v >> TIME_SHIFT)
            return false;
        step--;
    }
    if (number(ns, &s->tuple, irs, step, index) != iss)
        return false;
    memset(e, 0, sizeof *e);
    e->tuple = s->tuple;
    e->iss = iss;
    e->irs = irs;
    e->mss = sizes[index];
    e->ts_off = rmri_ns_ts_offset(ns, &s->tuple);
    read_stamp(e, s);
    return true;
}
