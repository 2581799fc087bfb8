/*
 * link.h - one direction of an impaired link, as a pure object: packets go in
 * with the time, and come out when they are due.  No clock, no socket; what
 * happens to the n-th packet depends on the seed and on n alone (and, for what
 * waits in the queue, on when it came), so that a run repeats.
 *
 * The order of things is that of a real path: too long for the link; no room in
 * the queue; the queue's turn at the link's rate; lost, changed or doubled on
 * the way; delay.
 *
 *     link_config c = {0};
 *     link_parse(&c, "rate=100mbit,queue=256k,delay=10ms,loss=1%", &why);
 *     link_dir *l = link_new(&c);
 *     link_push(l, now, packet, len);
 *     while ((p = link_due(l, now, &len))) { transmit(p, len); link_drop(l); }
 *     sleep_until(link_next(l));
 */
#ifndef SHIM_LINK_H
#define SHIM_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_NEVER UINT64_MAX
#define LINK_MILLION 1000000u

/* Times in ns, probabilities in millionths, 0: off. */
typedef struct link_config {
    uint64_t rate;   /* bytes a second                                 */
    uint64_t queue;  /* bytes that may wait for the rate; then tail drop */
    uint64_t delay;
    uint64_t jitter; /* 0 to this is added; it does not change the order */
    uint32_t loss;   /* each packet by itself                          */
    uint32_t burst_begin, burst_end, burst_loss; /* Gilbert-Elliott    */
    uint32_t hold;       /* reordering: that part ...                  */
    uint32_t hold_every; /* ... or each n-th ...                       */
    uint64_t hold_for;   /* ... comes later by this                    */
    uint32_t duplicate;
    uint32_t corrupt; /* one bit is flipped                            */
    uint32_t mtu;     /* longer ones vanish                            */
    uint64_t seed;
} link_config;

typedef struct link_stats {
    uint64_t in, out, lost, overflow, too_long, held, duplicated, corrupted;
    uint64_t queue_max; /* bytes, the most that waited for the rate */
} link_stats;

typedef struct link_dir link_dir;

/* Reads "name=value,..." into *c; what is not named stays as it is.
 *   rate=100mbit|12m (bytes)   queue=256k   delay=10ms   jitter=500us
 *   loss=1%   burst=0.5%/20%/60% (begin, end, loss inside)
 *   hold=1%/5ms|every50/5ms   dup=1%   corrupt=0.1%   mtu=1280
 * False: *why points into the text, to what was not understood. */
bool link_parse(link_config *c, const char *text, const char **why);

/* NULL without memory. */
link_dir *link_new(const link_config *c);
void link_free(link_dir *l);

/* The packet is copied.  False: it will not come out. */
bool link_push(link_dir *l, uint64_t now, const uint8_t *p, size_t len);

/* When the next packet is due; LINK_NEVER: the link is empty. */
uint64_t link_next(const link_dir *l);
/* The next packet that is due at `now`, until link_drop; NULL: none. */
const uint8_t *link_due(const link_dir *l, uint64_t now, size_t *len);
void link_drop(link_dir *l);

const link_stats *link_get_stats(const link_dir *l);

#endif
