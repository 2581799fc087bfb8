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
 * equal place.  The first bucket_len bytes name the source for the handshake
 * rate limit and the first cookie_len for cookies (leave a UDP port out of the
 * former: a sender may use many). */
#define RMR_WG_ENDPOINT_MAX 40
typedef struct rmr_wg_endpoint {
    uint8_t len; /* 0: none */
    uint8_t bucket_len;
    uint8_t bytes[RMR_WG_ENDPOINT_MAX];
} rmr_wg_endpoint;

typedef enum rmr_wg_state {
    RMR_WG_HANDSHAKE_STARTED, /* an initiation was made                       */
    RMR_WG_ESTABLISHED,       /* a handshake completed: data may flow         */
    RMR_WG_GAVE_UP,           /* no answer for 90 s; staged packets dropped   */
    RMR_WG_EXPIRED            /* keys erased after 540 s without a session    */
} rmr_wg_state;

typedef struct rmr_wg_callbacks {
    uint32_t struct_size;
    void *user;
    /* An authentic inner packet whose source is one of the peer's allowed IPs,
     * trimmed to its own length.  Borrowed and writable: it lies in the
     * datagram that was given. */
    void (*on_packet)(void *user, rmr_wg_peer peer, rmr_buf ip_packet);
    void (*on_state)(void *user, rmr_wg_peer peer, rmr_wg_state state);
    /* An authentic datagram came from another endpoint than the peer's.
     * With roam = true the peer's endpoint is that one already. */
    void (*on_endpoint)(void *user, rmr_wg_peer peer,
                        const rmr_wg_endpoint *seen_at);
    /* An initiation claims a key that no peer has (NOT authentic): the host may
     * add the peer in this call (a lazy peer), the initiation goes on then. */
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
    rmr_wg_peer peer;     /* id 0 for a cookie reply to a stranger */
    rmr_wg_endpoint to;
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

RMR_API void rmr_wg_config_init(rmr_wg_config *cfg, size_t struct_size);
RMR_API void rmr_wg_peer_config_init(rmr_wg_peer_config *pc,
                                     size_t struct_size);
/** Errors: RMR_E_INVAL, RMR_E_NOMEM, RMR_E_RNG.                      [submit] */
RMR_API rmr_err rmr_wg_new(rmr_wg **out, const rmr_env *env,
                           const rmr_wg_config *cfg, rmr_time now);
/** NULL is allowed.  Wipes every key.                                  [pump] */
RMR_API void rmr_wg_free(rmr_wg *wg);
/** The wall clock was stepped: it is `wall_unix_ns` at `now`.        [submit] */
RMR_API void rmr_wg_set_wall(rmr_wg *wg, rmr_time now, uint64_t wall_unix_ns);
/** A new local key: all sessions stop sending, handshakes begin anew.
 *  Errors: RMR_E_NOMEM.                                              [submit] */
RMR_API rmr_err rmr_wg_set_private_key(rmr_wg *wg, rmr_time now,
                                       const uint8_t key[RMR_KEY_LEN]);

/** Errors: RMR_E_INVAL (own key, low order, zero), RMR_E_INUSE (key known),
 *  RMR_E_FULL, RMR_E_NOMEM.                                          [submit] */
RMR_API rmr_err rmr_wg_peer_add(rmr_wg *wg, rmr_time now,
                                const rmr_wg_peer_config *pc,
                                rmr_wg_peer *out);
/** Errors: RMR_E_BADHANDLE. */
RMR_API rmr_err rmr_wg_peer_remove(rmr_wg *wg, rmr_time now, rmr_wg_peer peer);
RMR_API rmr_err rmr_wg_peer_set_endpoint(rmr_wg *wg, rmr_wg_peer peer,
                                         const rmr_wg_endpoint *ep);
RMR_API rmr_err rmr_wg_peer_set_keepalive(rmr_wg *wg, rmr_time now,
                                          rmr_wg_peer peer, uint16_t seconds);
/** Replaces the peer's whole set at once; a prefix that another peer has moves
 *  to this one.  Host bits are masked.  Errors: BADHANDLE, NOMEM (unchanged). */
RMR_API rmr_err rmr_wg_peer_set_allowed_ips(rmr_wg *wg, rmr_wg_peer peer,
                                            const rmr_prefix *prefixes,
                                            size_t n);
/** The peer with that public key; id 0 when there is none.             [look] */
RMR_API rmr_wg_peer rmr_wg_peer_find(const rmr_wg *wg,
                                     const uint8_t key[RMR_KEY_LEN]);
/** The peer whose allowed IPs hold the destination of an IP packet; id 0 when
 *  none does.                                                          [look] */
RMR_API rmr_wg_peer rmr_wg_route(const rmr_wg *wg, rmr_bytes ip_packet);
RMR_API rmr_err rmr_wg_peer_get_stats(const rmr_wg *wg, rmr_time now,
                                      rmr_wg_peer peer,
                                      rmr_wg_peer_stats *out);
RMR_API void rmr_wg_get_stats(const rmr_wg *wg, rmr_wg_stats *out);

/**
 * Feed one datagram.                                                  [pump]
 * \param from      Its sender's token; copied.
 * \param datagram  Borrowed and overwritten: decrypted in place.
 * Effects: on_packet at most once; may make output; may move the deadline.
 * Errors:  MALFORMED, AUTH, REPLAY, UNKNOWN, RATELIMIT (state unchanged,
 *          counted); DENIED (authentic, but the inner packet's source is not
 *          the peer's); REENTRANT.
 * Source:  WireGuard paper 5.4, 6.5.
 */
RMR_API rmr_err rmr_wg_read_pkt(rmr_wg *wg, rmr_time now,
                                const rmr_wg_endpoint *from,
                                rmr_buf datagram);

/**
 * Seal one inner packet in place.                                   [submit]
 * \param pkt  In: the inner packet, with RMR_WG_HEADER_LEN of headroom and 31
 *             of tailroom.  Out (RMR_OK): the datagram.
 * \param to   Out: where it goes; len 0 when the peer has no endpoint.
 * Errors: NOTREADY: no key yet; a copy is staged and a handshake begun, the
 *         datagram comes later by rmr_wg_write_pkt.  BADHANDLE, INVAL (no
 *         room), TOOBIG.  FULL: staging is full and this one was dropped.
 */
RMR_API rmr_err rmr_wg_seal(rmr_wg *wg, rmr_time now, rmr_wg_peer peer,
                            rmr_pkt *pkt, rmr_wg_endpoint *to);
/** The copying form: the packet is queued (sealed at write).  Errors: as seal,
 *  but RMR_OK also when it waits for a handshake.                   [submit] */
RMR_API rmr_err rmr_wg_send(rmr_wg *wg, rmr_time now, rmr_wg_peer peer,
                            rmr_bytes ip_packet);
/**
 * The next datagram that wants to go out: handshakes, keepalives, packets that
 * were staged.                                                        [pump]
 * \param len  0 with RMR_OK: nothing now.
 * Errors: BUFSIZE when dst is shorter than that datagram (nothing is lost).
 */
RMR_API rmr_err rmr_wg_write_pkt(rmr_wg *wg, rmr_time now, rmr_buf dst,
                                 size_t *len, rmr_wg_pkt_info *info);
/** Hands out all that write_pkt has; stops at the first error of `emit` and
 *  returns it (that datagram counts as sent).                          [pump] */
typedef rmr_err (*rmr_wg_emit_fn)(void *user, rmr_bytes datagram,
                                  const rmr_wg_pkt_info *info);
RMR_API rmr_err rmr_wg_flush(rmr_wg *wg, rmr_time now, rmr_buf scratch,
                             rmr_wg_emit_fn emit, void *user);

RMR_API rmr_time rmr_wg_next_deadline(const rmr_wg *wg);
RMR_API rmr_err rmr_wg_handle_deadline(rmr_wg *wg, rmr_time now);

#ifdef __cplusplus
}
#endif
#endif
