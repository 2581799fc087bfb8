/*
 * remora/wgcore.h - WireGuard: one local key, many peers, no I/O.
 *
 * Datagrams go in by rmr_wg_read_pkt and inner IP packets come out by
 * on_packet; inner packets go in by rmr_wg_seal (in place) or rmr_wg_send
 * (copied) and datagrams come out in place or by rmr_wg_write_pkt / flush.
 * It holds handshakes, keys, replay windows, cookies, timers and allowed IPs.
 * It has no sockets, no routes and no opinion on where an endpoint is: an
 * endpoint is an opaque token of the host's (a UDP address, a DERP peer, ...).
 *
 * Threading: one object, one thread at a time.  Memory: all through
 * rmr_env.alloc; the data path allocates nothing.  Time: `now`, monotonic ns;
 * wall time only at creation (TAI64N) and by rmr_wg_set_wall.
 *
 * Source: J. A. Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel";
 * RFC 6479 (replay window).
 *
 *     rmr_wg_config_init(&cfg, sizeof cfg);  ... keys, callbacks ...
 *     rmr_wg_new(&wg, &env, &cfg, now);
 *     rmr_wg_peer_add(wg, now, &pc, &peer);
 *     each turn:
 *         rmr_wg_read_pkt(wg, now, &from, datagram);
 *         rmr_wg_send(wg, now, peer, ip_packet);
 *         if (now >= rmr_wg_next_deadline(wg)) rmr_wg_handle_deadline(wg, now);
 *         rmr_wg_flush(wg, now, scratch, emit, user);
 */
#ifndef REMORA_WGCORE_H
#define REMORA_WGCORE_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/crypto.h>
#include <remora/pkt.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_WG_OVERHEAD 32       /* header 16 and tag 16 */
#define RMR_WG_HEADER_LEN 16
#define RMR_WG_MAX_HANDSHAKE 148 /* longest handshake message */
#define RMR_WG_MAX_PACKET 65455  /* longest inner packet */

typedef struct rmr_wg rmr_wg;
typedef struct rmr_wg_peer { /* index and generation; 0: none */
    uint64_t id;
} rmr_wg_peer;

/* Where a datagram came from or goes to: the host's own bytes.  Equal bytes,
 * equal place; all of them go into cookies.  The first bucket_len name the
 * source for the handshake rate limit: an IPv4 address without its port (a
 * sender may use many), the first 8 bytes of an IPv6 address. */
#define RMR_WG_ENDPOINT_MAX 40
typedef struct rmr_wg_endpoint {
    uint8_t len; /* 0: none */
    uint8_t bucket_len;
    uint8_t bytes[RMR_WG_ENDPOINT_MAX];
} rmr_wg_endpoint;

typedef enum rmr_wg_state {
    RMR_WG_HANDSHAKE_STARTED, /* an initiation was made, first or retry       */
    RMR_WG_ESTABLISHED,       /* a handshake completed: data may flow         */
    RMR_WG_GAVE_UP,           /* no answer to 20 initiations; staged packets
                                 were dropped, the next one begins anew       */
    RMR_WG_EXPIRED            /* keys erased 540 s after the last handshake;
                                 a host with lazy peers removes the peer      */
} rmr_wg_state;

/* Each may be NULL.  Submit and look functions may be called inside; pump
 * functions answer RMR_E_REENTRANT there, and rmr_wg_free does nothing. */
typedef struct rmr_wg_callbacks {
    uint32_t struct_size;
    void *user;
    /* An authentic inner packet whose source is one of the peer's allowed IPs,
     * trimmed to its own length.  Borrowed and writable: it lies in the
     * datagram that was given. */
    void (*on_packet)(void *user, rmr_wg_peer peer, rmr_buf ip_packet);
    /* Told by the next pump call, also when a submit function is the cause. */
    void (*on_state)(void *user, rmr_wg_peer peer, rmr_wg_state state);
    /* An authentic datagram came from another endpoint than the peer's.
     * With roam = true the peer's endpoint is that one already; else this is
     * told of each such datagram. */
    void (*on_endpoint)(void *user, rmr_wg_peer peer,
                        const rmr_wg_endpoint *seen_at);
    /* An initiation claims a key that no peer has (NOT authentic): the host may
     * add the peer in this call (a lazy peer), the initiation goes on then.
     * Such a peer expires after 540 s even if its handshake never completes. */
    void (*on_unknown)(void *user, const uint8_t public_key[RMR_KEY_LEN],
                       const rmr_wg_endpoint *from);
} rmr_wg_callbacks;

typedef struct rmr_wg_config {
    uint32_t struct_size;    /* written by rmr_wg_config_init                 */
    uint32_t max_peers;      /* default 1024; memory grows with those added   */
    uint32_t max_staged_pkts;  /* per peer, default 128, oldest dropped       */
    uint32_t max_staged_bytes; /* over all peers, default 4 MiB               */
    uint32_t mtu;            /* inner; bounds padding; default 1280           */
    bool roam;               /* adopt the endpoint of authentic datagrams     */
    uint32_t load_per_second; /* handshake messages a second above which
                                 cookies are asked for; default 128           */
    uint8_t private_key[RMR_KEY_LEN]; /* copied; the caller wipes its own     */
    uint64_t wall_unix_ns;       /* wall clock at `now` of _new, for TAI64N   */
    uint64_t wall_floor_unix_ns; /* stored by the host; stamps stay above     */
    const rmr_aead *aead;        /* NULL: rmr_aead_default()                  */
    const rmr_wg_callbacks *callbacks; /* copied */
} rmr_wg_config;

typedef struct rmr_wg_peer_config {
    uint32_t struct_size;
    uint8_t public_key[RMR_KEY_LEN];
    bool has_psk;
    uint8_t psk[RMR_KEY_LEN];
    uint16_t persistent_keepalive_s; /* 0: none */
    rmr_wg_endpoint endpoint;        /* len 0: learn it (roam) or never send */
    uint64_t user;                   /* the host's own mark, see stats       */
    uint8_t last_tai64n[12];         /* initiations not above it are refused:
                                        what stats said before a removal     */
} rmr_wg_peer_config;

typedef struct rmr_wg_pkt_info {
    rmr_wg_peer peer;   /* id 0 for a cookie reply to a stranger            */
    rmr_wg_endpoint to; /* len 0: the peer has none; the host knows or drops */
} rmr_wg_pkt_info;

typedef struct rmr_wg_peer_stats {
    uint64_t user;
    uint64_t rx_bytes, tx_bytes; /* datagrams, as `wg show` counts     */
    uint64_t rx_pkts, tx_pkts;   /* inner packets                      */
    uint64_t last_handshake_unix_ns; /* 0: never                       */
    uint64_t staged_dropped;
    rmr_time last_rx, last_tx;   /* 0: never; authentic datagrams      */
    uint32_t staged_pkts;
    uint32_t handshake_attempts;
    bool has_session;            /* a key that may send, at that `now` */
    uint8_t last_tai64n[12];     /* the greatest stamp of an initiation */
} rmr_wg_peer_stats;

typedef struct rmr_wg_stats {
    uint64_t rx_datagrams, tx_datagrams;
    uint64_t discard_malformed, discard_auth, discard_replay, discard_unknown,
        discard_ratelimit, discard_source, discard_inner;
    uint64_t handshakes_initiated, handshakes_answered, handshakes_completed;
    uint64_t cookies_sent, cookies_taken;
    uint64_t staged_dropped, clock_back;
    uint64_t tai64n_floor_unix_ns; /* store it; give it back as the floor */
    size_t memory_bytes;
} rmr_wg_stats;

/**
 * Defaults; then set private_key, wall_unix_ns and callbacks.        [look]
 *
 * \param struct_size  sizeof *cfg, as the caller was compiled.
 *
 * Effects: fills *cfg.  Errors: none.
 * Source:  docs/integrating.md, sized structs.
 */
RMR_API void rmr_wg_config_init(rmr_wg_config *cfg, size_t struct_size);
/** The same for a peer; then set public_key.                         [look]
 *  Effects: fills *pc.  Errors: none.
 *  Source: docs/integrating.md, sized structs. */
RMR_API void rmr_wg_peer_config_init(rmr_wg_peer_config *pc,
                                     size_t struct_size);
/**
 * A tunnel without peers.  rmr_crypto_init() was called before.    [submit]
 *
 * \param env  Copied; what it points to lives as long as the tunnel.
 * \param cfg  Copied, with the callbacks; wipe its private key.
 *
 * Effects: *out is the new object.
 * Errors:  INVAL (no private key, max_peers 0), NOMEM, RNG; *out is untouched.
 * Source:  WireGuard paper 2.
 */
RMR_API rmr_err rmr_wg_new(rmr_wg **out, const rmr_env *env,
                           const rmr_wg_config *cfg, rmr_time now);
/**
 * Ends all: nothing is sent.  NULL is allowed.                       [pump]
 *
 * Effects: wipes every key and frees all memory.  Inside a callback of this
 *          tunnel it does nothing.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_wg_free(rmr_wg *wg);
/**
 * The wall clock was stepped: it is `wall_unix_ns` at `now`.       [submit]
 *
 * Effects: later initiations carry it.  Their stamps never fall: after a step
 *          back they rise by the least amount until the clock has caught up.
 * Errors:  none.
 * Source:  WireGuard paper 5.1 (TAI64N); contract T6.
 */
RMR_API void rmr_wg_set_wall(rmr_wg *wg, rmr_time now, uint64_t wall_unix_ns);
/**
 * A new local key.                                                 [submit]
 *
 * Effects: sessions stop sending, and still open what is on its way; the next
 *          packet to a peer begins a handshake at once.  A peer that has the
 *          new public key is removed.  All peers are walked.
 * Errors:  INVAL (zero); unchanged.
 * Source:  wg(8), set private-key.
 */
RMR_API rmr_err rmr_wg_set_private_key(rmr_wg *wg, rmr_time now,
                                       const uint8_t key[RMR_KEY_LEN]);

/**
 * Adds a peer, without allowed IPs.                                [submit]
 *
 * \param pc   Copied; wipe its PSK.
 * \param out  The handle.
 *
 * Effects: with a keepalive interval, begins a handshake: may make output and
 *          move the deadline.  Costs one X25519.
 * Errors:  INVAL (own key, zero or low-order key, bad endpoint), INUSE (key
 *          known), FULL, NOMEM; unchanged.  RNG.
 * Source:  WireGuard paper 2.
 */
RMR_API rmr_err rmr_wg_peer_add(rmr_wg *wg, rmr_time now,
                                const rmr_wg_peer_config *pc,
                                rmr_wg_peer *out);
/**
 * Removes a peer; nothing is sent.                                 [submit]
 *
 * Effects: wipes its keys, drops what was staged, frees its prefixes; may move
 *          the deadline.  To keep old initiations refused when it comes back,
 *          keep last_tai64n of its stats.
 * Errors:  BADHANDLE.
 * Source:  contract M3, S2.
 */
RMR_API rmr_err rmr_wg_peer_remove(rmr_wg *wg, rmr_time now, rmr_wg_peer peer);
/**
 * Where its datagrams go from now on.                              [submit]
 *
 * \param ep  Copied; len 0: nowhere.
 *
 * Effects: also on datagrams that wait.
 * Errors:  BADHANDLE, INVAL (lengths).
 * Source:  WireGuard paper 2.1.
 */
RMR_API rmr_err rmr_wg_peer_set_endpoint(rmr_wg *wg, rmr_wg_peer peer,
                                         const rmr_wg_endpoint *ep);
/**
 * An empty packet after so many seconds without another; 0: never. [submit]
 *
 * Effects: switching it on sends one at once; may make output and move the
 *          deadline.
 * Errors:  BADHANDLE, RNG.
 * Source:  wg(8), persistent-keepalive.
 */
RMR_API rmr_err rmr_wg_peer_set_keepalive(rmr_wg *wg, rmr_time now,
                                          rmr_wg_peer peer, uint16_t seconds);
/**
 * Replaces the peer's whole set at once.                           [submit]
 *
 * \param prefixes  Copied; host bits are masked.  May be NULL when n is 0.
 *
 * Effects: a prefix that another peer has moves to this one.
 * Errors:  BADHANDLE, INVAL (family, length), NOMEM; unchanged.
 * Source:  WireGuard paper 3 (cryptokey routing).
 */
RMR_API rmr_err rmr_wg_peer_set_allowed_ips(rmr_wg *wg, rmr_wg_peer peer,
                                            const rmr_prefix *prefixes,
                                            size_t n);
/** The peer with that public key; id 0 when there is none.           [look]
 *  Effects: none.  Errors: none.  Source: contract M3. */
RMR_API rmr_wg_peer rmr_wg_peer_find(const rmr_wg *wg,
                                     const uint8_t key[RMR_KEY_LEN]);
/**
 * The peer whose allowed IPs hold the destination of an IP packet, by the
 * longest prefix; id 0 when none does, or when it is no IP packet.   [look]
 *
 * Effects: none.  Errors: none.
 * Source:  WireGuard paper 3.
 */
RMR_API rmr_wg_peer rmr_wg_route(const rmr_wg *wg, rmr_bytes ip_packet);
/** A copy of the peer's numbers.                                     [look]
 *  Effects: none.  Errors: BADHANDLE.  Source: wg(8), show. */
RMR_API rmr_err rmr_wg_peer_get_stats(const rmr_wg *wg, rmr_time now,
                                      rmr_wg_peer peer,
                                      rmr_wg_peer_stats *out);
/** A copy of the tunnel's numbers.                                   [look]
 *  Effects: none.  Errors: none.  Source: contract B1. */
RMR_API void rmr_wg_get_stats(const rmr_wg *wg, rmr_wg_stats *out);

/**
 * Feed one datagram.                                                 [pump]
 *
 * \param from      Its sender's token; copied.
 * \param datagram  Borrowed and overwritten: decrypted in place.  Any length.
 *
 * Effects: on_packet, on_endpoint and on_unknown at most once each, on_state;
 *          may make output; may move the deadline.  Data allocates nothing.
 * Errors:  MALFORMED, AUTH, REPLAY, UNKNOWN, RATELIMIT (state unchanged,
 *          counted); DENIED (authentic, but what is inside is no IP packet of
 *          its length, or its source is not the peer's: counted, timers run);
 *          NOMEM (a handshake: unchanged); INVAL (from), REENTRANT, RNG.
 * Source:  WireGuard paper 5.4, 6.5.
 */
RMR_API rmr_err rmr_wg_read_pkt(rmr_wg *wg, rmr_time now,
                                const rmr_wg_endpoint *from,
                                rmr_buf datagram);

/**
 * Seal one inner packet in place.                                  [submit]
 *
 * \param pkt  In: the inner packet, with RMR_WG_HEADER_LEN of headroom and 31
 *             of tailroom.  Out (RMR_OK): the datagram.
 * \param to   Out: where it goes; len 0 when the peer has no endpoint.
 *
 * Effects: may make output (a handshake); may move the deadline.  Allocates
 *          nothing while the session is good.
 * Errors:  NOTREADY: no key yet, or packets are staged before this one; a copy
 *          is staged too and comes by rmr_wg_write_pkt.  FULL, NOMEM: it could
 *          not be staged and was dropped.  BADHANDLE, INVAL (empty, no room),
 *          TOOBIG, RNG.  `pkt` is unchanged in each case.
 * Source:  WireGuard paper 5.4.6.
 */
RMR_API rmr_err rmr_wg_seal(rmr_wg *wg, rmr_time now, rmr_wg_peer peer,
                            rmr_pkt *pkt, rmr_wg_endpoint *to);
/**
 * The copying form: the packet is queued, and sealed at write.     [submit]
 *
 * Effects: makes output, or begins a handshake; may move the deadline.  While
 *          there is no key, a full queue drops its oldest packets for this one.
 * Errors:  FULL (the queue only waits for rmr_wg_write_pkt, or the tunnel's
 *          bound is reached by other peers), NOMEM: this packet was dropped.
 *          BADHANDLE, INVAL (empty), TOOBIG, RNG.
 * Source:  WireGuard paper 6.1.
 */
RMR_API rmr_err rmr_wg_send(rmr_wg *wg, rmr_time now, rmr_wg_peer peer,
                            rmr_bytes ip_packet);
/**
 * The next datagram that wants to go out: cookie replies, handshakes,
 * keepalives, packets that were staged.                              [pump]
 *
 * \param dst   148 bytes for handshakes; for a packet its length, the padding
 *              and RMR_WG_OVERHEAD.
 * \param len   0 with RMR_OK: nothing now.
 * \param info  Set when *len is not 0.
 *
 * Effects: on_state, before the datagram is chosen; may move the deadline.
 * Errors:  BUFSIZE when dst is shorter than that datagram (nothing is lost);
 *          REENTRANT, RNG.
 * Source:  WireGuard paper 5.4.
 */
RMR_API rmr_err rmr_wg_write_pkt(rmr_wg *wg, rmr_time now, rmr_buf dst,
                                 size_t *len, rmr_wg_pkt_info *info);
typedef rmr_err (*rmr_wg_emit_fn)(void *user, rmr_bytes datagram,
                                  const rmr_wg_pkt_info *info);
/**
 * Hands out all that write_pkt has.                                  [pump]
 *
 * \param scratch  As dst of write_pkt; the datagram is borrowed for `emit`.
 * \param emit     May call anything but rmr_wg_free.
 *
 * Effects: as write_pkt, repeated.  Stops at the first error of `emit` and
 *          returns it; that datagram counts as sent.
 * Errors:  those of write_pkt and of `emit`.
 * Source:  docs/integrating.md, bytes out.
 */
RMR_API rmr_err rmr_wg_flush(rmr_wg *wg, rmr_time now, rmr_buf scratch,
                             rmr_wg_emit_fn emit, void *user);

/** When rmr_wg_handle_deadline wants to be called; NEVER when idle.  [look]
 *  Any other call may move it.  Effects: none.  Errors: none.
 *  Source: WireGuard paper 6; contract T4. */
RMR_API rmr_time rmr_wg_next_deadline(const rmr_wg *wg);
/**
 * Does all that is due at `now`; early calls do nothing.             [pump]
 *
 * Effects: on_state; may make output.  The deadline is later than `now` then.
 *          The work is bounded by the peers that are due.
 * Errors:  REENTRANT, RNG.
 * Source:  WireGuard paper 6; contract T5.
 */
RMR_API rmr_err rmr_wg_handle_deadline(rmr_wg *wg, rmr_time now);

#ifdef __cplusplus
}
#endif
#endif
