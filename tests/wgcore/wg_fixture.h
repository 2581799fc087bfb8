/* Two tunnels, A and B, and what their tests need: a scripted generator, a
 * record of callbacks, a wire that is drained by hand. */
#ifndef WG_FIXTURE_H
#define WG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support.h"
#include "vectors.h"
#include "wg_internal.h"

#define WGF_BUF 2048
#define WGF_WALL 1700000000000000000u
#define WGF_T0 (1000 * RMR_SEC)

typedef struct wgf_rng { /* gives scripted bytes to draws of their length */
    test_rng base;
    uint8_t bytes[1024];
    uint8_t len[64];
    size_t n, next, used;
} wgf_rng;

void wgf_script(wgf_rng *r, const uint8_t *bytes, size_t len);

typedef struct wgf_side {
    rmr_wg *wg;
    test_alloc alloc;
    wgf_rng rng;
    test_log *log; /* of the caller; NULL: none */
    uint8_t priv[32], pub[32];
    rmr_wg_endpoint at; /* where this side's datagrams come from */
    rmr_wg_peer peer;   /* the other side                        */

    size_t n_packets; /* delivered */
    uint8_t last[WGF_BUF];
    size_t last_len;
    rmr_wg_peer last_peer;
    unsigned n_state[4];
    size_t n_endpoint, n_unknown;
    rmr_wg_endpoint seen;
    uint8_t unknown[32];
    /* Run inside the next callback, when set. */
    void (*inside)(struct wgf_side *s, rmr_wg_peer peer);
    void *inside_user;
    /* Told of each, when set. */
    void (*on_packet)(struct wgf_side *s, rmr_wg_peer peer, rmr_buf packet);
    void (*on_job)(struct wgf_side *s, rmr_wg_job *job);
    void *user;
} wgf_side;

typedef struct wgf {
    rmr_time now;
    wgf_side a, b;
    bool has_psk;
    uint8_t psk[32];
} wgf;

rmr_wg_endpoint wgf_endpoint(const char *text);
rmr_env wgf_env(wgf_side *s);
rmr_wg_callbacks wgf_callbacks(wgf_side *s);
/* Keys of the side from its seed, and a tunnel without peers. */
void wgf_config(wgf_side *s, rmr_wg_config *cfg, rmr_wg_callbacks *cb);
void wgf_side_keys(wgf_side *s, uint64_t seed, const char *at);
void wgf_side_open(wgf_side *s, rmr_time now);
void wgf_side_close(wgf_side *s); /* and nothing is left */
rmr_wg_peer wgf_add(wgf_side *s, rmr_time now, const uint8_t pub[32],
                    const uint8_t *psk, const rmr_wg_endpoint *at);
void wgf_allow(wgf_side *s, rmr_wg_peer p, const char *prefixes);
wg_peer *wgf_state(wgf_side *s); /* the side's peer, from inside */

/* A at 10.0.0.1, B at 10.0.0.2, knowing each other. */
void wgf_open(wgf *f);
void wgf_close(wgf *f);
/* One datagram of `s`, or 0. */
size_t wgf_take(wgf *f, wgf_side *s, uint8_t buf[WGF_BUF]);
/* Gives it to the other side. */
rmr_err wgf_give(wgf *f, wgf_side *to, const uint8_t *d, size_t n);
wgf_side *wgf_other(wgf *f, wgf_side *s);
/* Until the wire is quiet; returns how many datagrams went over it. */
size_t wgf_exchange(wgf *f);
/* Handles the deadlines of both sides up to `until`, exchanging. */
void wgf_run(wgf *f, rmr_time until);
void wgf_handshake(wgf *f); /* A begins; both have a key then */

/* An IPv4 packet of `len` bytes, A to B or B to A. */
size_t wgf_packet(const wgf *f, const wgf_side *from, uint8_t *dst, size_t len);
rmr_err wgf_send(wgf *f, wgf_side *s, size_t len);
/* By rmr_wg_seal, the datagram to buf. */
rmr_err wgf_seal(wgf *f, wgf_side *s, size_t len, uint8_t buf[WGF_BUF],
                 size_t *n);

/* An AEAD that takes anything for authentic and changes nothing. */
const rmr_aead *wgf_open_aead(void);

/* A number over all state that a refused datagram must not change. */
uint64_t wgf_digest(const rmr_wg *wg);

int wgf_group_setup(void **state);

#endif
