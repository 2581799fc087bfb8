/* Two stacks with one connection between them, and a turn of both: shared by
 * the benchmarks of TCP alone and of the whole pipe. */
#ifndef REMORA_BENCH_TCP_H
#define REMORA_BENCH_TCP_H

#include "bench.h"

#include <remora/netstack.h>

typedef struct tcp_side {
    rmr_ns *ns;
    rmr_ns_sock sock;
    uint64_t received;
    bool connected;
} tcp_side;

typedef struct tcp_pair { /* the program writes to a and reads from b */
    tcp_side a, b;
    rmr_time now;
} tcp_pair;

/* Takes at most `burst` packets from one stack to the other; says how many. */
#define TCP_BURST 64 /* more than a turn's bytes fill */
typedef size_t (*tcp_carry)(void *user, tcp_side *from, tcp_side *to,
                            rmr_time now, size_t burst);
/* Directly. */
size_t tcp_carry_plain(void *user, tcp_side *from, tcp_side *to, rmr_time now,
                       size_t burst);

/* 10.0.0.1 and 10.0.0.2, connected; windows of 1 MiB. */
void tcp_pair_open(tcp_pair *p);
void tcp_pair_free(tcp_pair *p);
/* 64 KiB in, across, out, and the acknowledgements back, `burst` packets at a
 * time.  20 us pass. */
void tcp_pair_turn(tcp_pair *p, tcp_carry carry, void *user, size_t burst);

#endif
