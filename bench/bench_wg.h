/* Two tunnels with a session between them: shared by the benchmarks of wgcore
 * alone and of the whole pipe. */
#ifndef REMORA_BENCH_WG_H
#define REMORA_BENCH_WG_H

#include "bench.h"

#include <remora/wgcore.h>

typedef struct wg_side {
    rmr_wg *wg;
    rmr_wg_peer peer;
    rmr_wg_endpoint endpoint; /* its own, as the other side sees it */
    uint64_t packets;         /* that came out */
    /* Where they go; NULL: nowhere. */
    void (*sink)(void *user, rmr_buf pkt);
    void *user;
} wg_side;

/* 10.0.0.1 and 10.0.0.2, with a session when `now` is RMR_SEC or later. */
void wg_pair_open(wg_side *a, wg_side *b, const rmr_aead *aead);
void wg_pair_free(wg_side *a, wg_side *b);
/* An IPv4 packet of `len` bytes from host to host of 10.0.0.0/24. */
void wg_ip_packet(uint8_t *p, size_t len, uint8_t from, uint8_t to);
/* Seals a packet at one side and opens it at the other, both in place. */
void wg_pass(wg_side *from, wg_side *to, rmr_pkt *pkt, rmr_time now);

/* The same for many packets a call. */
#define WG_BATCH 64
typedef struct wg_batch {
    size_t n;
    rmr_wg_out out[WG_BATCH];
    rmr_wg_in in[WG_BATCH];
    uint8_t bufs[WG_BATCH][RMR_PKT_HEADROOM + BENCH_PKT + RMR_PKT_TAILROOM];
} wg_batch;

/* Where the i-th packet lies, before and after: BENCH_PKT bytes. */
uint8_t *wg_batch_at(wg_batch *b, size_t i);
/* The packet at the end, of `len` bytes, is one more; at most WG_BATCH. */
void wg_batch_add(wg_batch *b, size_t len);
/* All of them, from one side to the other; none is left then. */
void wg_batch_pass(wg_side *from, wg_side *to, wg_batch *b, rmr_time now);
/* What is due at both sides. */
void wg_pair_deadlines(wg_side *a, wg_side *b, rmr_time now);

#endif
