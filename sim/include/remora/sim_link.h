/*
 * remora/sim_link.h - one direction of an impaired link, as a pure object.
 *
 * What happens to the n-th packet depends on the seed and on n alone (and, for
 * what waits in the queue, on when it came), so that a run repeats.  The order
 * of things is that of a real path: too long for the link; no room in the
 * queue; the queue's turn at the link's rate; lost, changed or doubled on the
 * way; delay.
 *
 * A link says when each packet comes out (rmr_sim_link_pass: for whoever keeps
 * the packets); a pipe keeps them too, and marks the IP packets among them
 * whose sender knows ECN (RFC 3168) instead of waiting until the queue is full.
 *
 * Threading: one link, one thread at a time.  Memory: a link takes none, a pipe
 * from the allocator that it is given.  Time: ns, the caller's; none is read.
 * Source: RFC 3168 for marks, RFC 4814 and tc-netem(8) for what the
 * impairments mean; Gilbert and Elliott's model for bursts.
 *
 *     rmr_sim_link_config c = {0};
 *     rmr_sim_link_parse(&c, "rate=100mbit,queue=256k,delay=10ms", NULL);
 *     rmr_sim_pipe_new(&p, &alloc, &c);
 *     rmr_sim_pipe_push(p, now, packet);
 *     while (rmr_sim_pipe_due(p, now, &packet)) {
 *         transmit(packet);
 *         rmr_sim_pipe_drop(p);
 *     }
 *     sleep_until(rmr_sim_pipe_next(p));
 */
#ifndef REMORA_SIM_LINK_H
#define REMORA_SIM_LINK_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_SIM_MILLION 1000000u

/* Probabilities in millionths; 0: off. */
typedef struct rmr_sim_link_config {
    uint64_t rate;  /* bytes a second                                      */
    uint64_t queue; /* bytes that may wait for the rate; then tail drop     */
    rmr_dur delay;
    rmr_dur jitter; /* 0 to this is added; it does not change the order     */
    uint32_t loss;  /* each packet by itself                                */
    uint32_t burst_begin, burst_end, burst_loss; /* Gilbert-Elliott         */
    uint32_t hold;       /* reordering: that part ...                       */
    uint32_t hold_every; /* ... or each n-th ...                            */
    rmr_dur hold_for;    /* ... comes later by this                         */
    uint32_t duplicate;
    uint32_t corrupt; /* one bit is flipped                                 */
    uint32_t mtu;     /* longer ones vanish                                 */
    uint64_t mark;    /* bytes in the queue above which ECN marks are set    */
    uint64_t seed;
    bool fragments; /* of a simulated host: what is longer than the MTU comes
                       through all the same, unless its socket was opened with
                       dont_fragment */
} rmr_sim_link_config;

typedef struct rmr_sim_link_stats {
    uint64_t in, out, lost, overflow, too_long, held, duplicated, corrupted;
    uint64_t marked;    /* met a queue above `mark`, whether ECN or not */
    uint64_t queue_max; /* bytes, the most that waited for the rate */
} rmr_sim_link_stats;

typedef struct rmr_sim_link { /* the caller's; look at stats alone */
    /* What a link without a rate and without chance looks at, side by side: of
     * a world of thousands of links none is in the cache. */
    bool is_plain; /* it delays, and that is all; MTU aside */
    bool in_burst;
    uint64_t n;       /* packets so far          */
    rmr_time last_at; /* of what was not held    */
    rmr_dur delay;    /* config's                */
    rmr_sim_link_stats stats;
    rmr_time busy_until; /* the rate's              */
    rmr_sim_link_config config;
} rmr_sim_link;

typedef struct rmr_sim_fate { /* of one packet */
    unsigned copies;  /* 0: it does not come out; 2: it is doubled      */
    rmr_time at;      /* when it does                                   */
    bool is_marked;   /* congestion was met (RFC 3168 5, CE)            */
    bool is_corrupt;  /* of the first copy ...                          */
    uint64_t bit;     /* ... this bit is flipped, from 0, lowest first  */
} rmr_sim_fate;

/**
 * Reads "name=value,..." into *c; what is not named stays as it is.   [look]
 *   rate=100mbit|12m (bytes)   queue=256k   delay=10ms   jitter=500us
 *   loss=1%   burst=0.5%/20%/60% (begin, end, loss inside)
 *   hold=1%/5ms|every50/5ms   dup=1%   corrupt=0.1%   mtu=1280   mark=64k
 *
 * \param text  NUL-terminated.
 * \param at    Where it was not understood, in `text`; may be NULL.
 *
 * Effects: *c after success alone.
 * Errors:  MALFORMED.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_link_parse(rmr_sim_link_config *c, const char *text,
                                   const char **at);

/**
 * An idle link.                                                     [submit]
 *
 * Effects: *l is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_sim_link_init(rmr_sim_link *l, const rmr_sim_link_config *c);

/**
 * One packet of `len` bytes enters: what becomes of it.               [pump]
 *
 * Effects: the link has carried one packet more; *fate is written.
 * Errors:  none.
 * Source:  as the head of this file.
 */
RMR_API void rmr_sim_link_pass(rmr_sim_link *l, rmr_time now, size_t len,
                               rmr_sim_fate *fate);

typedef struct rmr_sim_pipe rmr_sim_pipe;

/**
 * A link that keeps its packets.                                    [submit]
 *
 * \param a, c  Copied.
 *
 * Effects:  allocates.
 * Errors:   NOMEM; *out is NULL then.
 * Lifetime: until rmr_sim_pipe_free.
 * Source:   none.
 */
RMR_API rmr_err rmr_sim_pipe_new(rmr_sim_pipe **out, const rmr_alloc *a,
                                 const rmr_sim_link_config *c);

/** Frees it with what is inside; NULL is allowed.                     [pump]
 *  Effects: none besides.  Errors: none.  Source: none. */
RMR_API void rmr_sim_pipe_free(rmr_sim_pipe *p);

/**
 * One packet enters.                                                  [pump]
 *
 * \param packet  Copied.
 *
 * Effects: may move rmr_sim_pipe_next.
 * Errors:  UNREACHABLE (it will not come out; see the stats), NOMEM.
 * Source:  as the head of this file.
 */
RMR_API rmr_err rmr_sim_pipe_push(rmr_sim_pipe *p, rmr_time now,
                                  rmr_bytes packet);

/** When the next packet is due; NEVER: the pipe is empty.             [look]
 *  Effects: none.  Errors: none.  Source: contract T4. */
RMR_API rmr_time rmr_sim_pipe_next(const rmr_sim_pipe *p);

/**
 * The next packet that is due at `now`.                               [look]
 *
 * \return False: none.
 *
 * Effects:  *packet after true.
 * Errors:   none.
 * Lifetime: the view is good until rmr_sim_pipe_drop or a push.
 * Source:   none.
 */
RMR_API bool rmr_sim_pipe_due(const rmr_sim_pipe *p, rmr_time now,
                              rmr_bytes *packet);

/** Takes the first packet out; nothing when there is none.            [pump]
 *  Effects: moves rmr_sim_pipe_next.  Errors: none.  Source: none. */
RMR_API void rmr_sim_pipe_drop(rmr_sim_pipe *p);

/** Counters of the link, by value.                                    [look]
 *  Effects: none.  Errors: none.  Source: contract B1. */
RMR_API rmr_sim_link_stats rmr_sim_pipe_stats(const rmr_sim_pipe *p);

#ifdef __cplusplus
}
#endif
#endif
