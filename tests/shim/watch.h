/*
 * watch.h - looks at the TCP packets that pass, and counts: segments, repeats,
 * resets, D-SACKs (what was repeated for nothing), and the longest time in
 * which something was out and no ACK moved on.  No clock, no I/O.
 */
#ifndef SHIM_WATCH_H
#define SHIM_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCH_FLOWS 64

typedef struct watch_dir { /* what one end has sent */
    uint64_t packets, bytes;
    uint64_t segments, data; /* with payload; bytes of it, each one once */
    uint64_t repeats;        /* segments without a new byte */
    uint64_t dsacks, syns, fins;
    uint64_t resets; /* while the connection was not closed by both */
    uint64_t late_resets; /* the answer to an ACK that came twice */
    uint64_t longest_gap;    /* ns, until its data was acknowledged */
} watch_dir;

typedef struct watch_half { /* one direction of a flow */
    bool known, fin;
    uint32_t end;   /* behind the newest byte (or FIN) sent */
    uint32_t acked; /* by the other end */
    uint64_t since; /* of the last progress while something is out */
} watch_half;

typedef struct watch_flow {
    uint8_t key[36]; /* both addresses and ports, side A's first */
    uint64_t used;   /* when last seen */
    watch_half half[2];
} watch_flow;

typedef struct watch {
    watch_dir dir[2];
    watch_flow flow[WATCH_FLOWS];
    size_t n;
} watch;

/* An IP packet that end `from` (0 or 1) has sent. */
void watch_packet(watch *w, uint64_t now, int from, const uint8_t *p,
                  size_t len);

#endif
