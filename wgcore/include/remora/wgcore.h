/*
 * remora/wgcore.h - WireGuard: one local key, many peers, no I/O.
 *
 * Datagrams go in by rmr_wg_read_pkts and inner IP packets come out by
 * on_packet; inner packets go in by rmr_wg_seal_n (in place) or rmr_wg_send
 * (copied) and datagrams come out in place or by rmr_wg_write_run / flush.
 * Each has a form for one packet, and rmr_wg_job puts the cipher's work alone
 * on other threads.
 * It holds handshakes, keys, replay windows, cookies, timers and allowed IPs.
 * It has no sockets, no routes and no opinion on where an endpoint is: an
 * endpoint is an opaque token of the host's (a UDP address, a DERP peer, ...).
 *
 * Threading: one object, one thread at a time; rmr_wg_job_run, which has no
 * object, on any.  Memory: all through rmr_env.alloc; the data path allocates
 * nothing, and a batch takes 4 KiB of stack.  Time: `now`, monotonic ns;
 * wall time only at creation (TAI64N) and by rmr_wg_set_wall.
 *
 * Source: J. A. Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel";
 * RFC 6479 (replay window).
 *
 *     rmr_wg_config_init(&cfg, sizeof cfg);  ... keys, callbacks ...
 *     rmr_wg_new(&wg, &env, &cfg, now);
 *     rmr_wg_peer_add(wg, now, &pc, &peer);
 *     each turn:
 *         rmr_wg_read_pkts(wg, now, in, n_in);
 *         rmr_wg_seal_n(wg, now, out, n_out);     each `out` that is RMR_OK
 *                                                 is a datagram now
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
    RMR_WG_HANDSHAKE_STARTED, /* an initiation was made, first or retry; a host
                                 that keeps a source address to answer from
                                 forgets it now: the way may have changed     */
    RMR_WG_ESTABLISHED,       /* a handshake completed: data may flow         */
    RMR_WG_GAVE_UP,           /* no answer to 20 initiations; staged packets
                                 were dropped, the next one begins anew       */
    RMR_WG_EXPIRED            /* keys erased 540 s after the last handshake;
                                 a host with lazy peers removes the peer      */
} rmr_wg_state;

typedef struct rmr_wg_job rmr_wg_job;

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
    /* A job came to its end, in the order of its peer and direction: it is the
     * host's again, and job->err says how it went. */
    void (*on_job)(void *user, rmr_wg_job *job);
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
    /* Outlives the tunnel; several on one thread may share it.  NULL: an
     * instance of the fastest for this processor, in memory of env.alloc, made
     * by rmr_wg_new (so not on two threads at once, see rmr_aead_new) and ended
     * by rmr_wg_free.  rmr_aead_default() is the one that takes no memory. */
    const rmr_aead *aead;
    const rmr_wg_callbacks *callbacks; /* copied */
    bool ecn; /* the `ecn` of packets in and out is used; default off */
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
    uint8_t ecn; /* with cfg.ecn: for the outer header, as inside; else 0     */
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
    uint64_t jobs_dropped; /* because their key or peer went meanwhile */
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
 * Asks for a fresh handshake.                                      [submit]
 *
 * Effects: the peer's session stops sending, and still opens what is on its
 *          way; a handshake that is out is forgotten.  The next packet to the
 *          peer begins one at once, as if none had been lately.
 * Errors:  BADHANDLE.
 * Source:  WireGuard paper 6.2, what a change of the own key does.
 */
RMR_API rmr_err rmr_wg_peer_expire(rmr_wg *wg, rmr_time now,
                                   rmr_wg_peer peer);
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
 * The host is under load: its receive queue is full, say.          [submit]
 *
 * Effects: for a second, handshake messages must carry a cookie, as above
 *          load_per_second.
 * Errors:  none.
 * Source:  WireGuard paper 5.3.
 */
RMR_API void rmr_wg_hint_load(rmr_wg *wg, rmr_time now);

/**
 * Feed one datagram: rmr_wg_read_pkts with one.                      [pump]
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

typedef struct rmr_wg_in { /* a received datagram */
    const rmr_wg_endpoint *from; /* its sender's token                        */
    rmr_buf datagram; /* any length; decrypted in place                       */
    rmr_err err;      /* set: what rmr_wg_read_pkt would have answered        */
    uint8_t ecn;      /* of the outer header, with cfg.ecn: 3 marks an inner
                         packet that takes part in ECN                        */
} rmr_wg_in;
/**
 * Feed an array of datagrams, from any peers in any mixture.         [pump]
 *
 * \param in  In the order of arrival; borrowed, with what they point to, and
 *            overwritten.  After a refusal the content of a datagram is
 *            unspecified.
 *
 * Effects: as rmr_wg_read_pkt for each in turn, with one `now`: on_packet comes
 *          in order, handshake messages act in their place, and the ciphers of
 *          the data between them are opened together, up to 64 at a time.
 * Errors:  in the items.  REENTRANT, RNG: so do all items that are left; what
 *          came before stands.
 * Source:  WireGuard paper 5.4, 6.5.
 */
RMR_API rmr_err rmr_wg_read_pkts(rmr_wg *wg, rmr_time now, rmr_wg_in *in,
                                 size_t n);

/**
 * Seal one inner packet in place: rmr_wg_seal_n with one.          [submit]
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
typedef struct rmr_wg_out { /* a packet to send */
    rmr_wg_peer peer;
    rmr_pkt pkt;  /* in: the inner packet, with room as rmr_wg_seal wants it;
                     out, with RMR_OK: the datagram                           */
    const rmr_wg_endpoint *to; /* set with RMR_OK: where it goes (len 0: the
                     host knows), until the next call that is not look        */
    rmr_err err;  /* set: what rmr_wg_seal would have answered                */
    uint8_t ecn;  /* set with RMR_OK, as in rmr_wg_pkt_info                   */
} rmr_wg_out;
/**
 * Seal an array of inner packets in place, to any peers in any mixture.
 *                                                                  [submit]
 *
 * Packets that lie in one buffer, the headroom of each at the end of the
 * datagram before it, come out as one span, which UDP can send as one (GSO).
 *
 * \param out  In the order of sending; borrowed.
 *
 * Effects: as rmr_wg_seal for each in turn, with one `now`.  Packets in a row
 *          to one peer share its look-up and timers, and up to 64 one call of
 *          the cipher.
 * Errors:  in the items.  RNG: so do all items that are left; what came before
 *          stands.
 * Source:  WireGuard paper 5.4.6.
 */
RMR_API rmr_err rmr_wg_seal_n(rmr_wg *wg, rmr_time now, rmr_wg_out *out,
                              size_t n);

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
/**
 * The next datagrams that want to go out to one peer, back to back: as UDP
 * sends them in one call (GSO).                                      [pump]
 *
 * \param dst       As for write_pkt; a run ends where it is full, after 64
 *                  datagrams, and below 65,508 bytes.
 * \param len       Of all of them; 0 with RMR_OK: nothing now.
 * \param seg_size  Of each; the last one may be shorter.
 *
 * Effects: as write_pkt, of which it is the form for many.
 * Errors:  as write_pkt.
 * Source:  WireGuard paper 5.4.
 */
RMR_API rmr_err rmr_wg_write_run(rmr_wg *wg, rmr_time now, rmr_buf dst,
                                 size_t *len, size_t *seg_size,
                                 rmr_wg_pkt_info *info);
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

/* ---- jobs: the cipher's work on other threads ------------------------- */

/*
 * A job is one data packet on its way through the cipher.  The owner's thread
 * issues it (rmr_wg_job_seal, rmr_wg_job_read): there its key and counter are
 * fixed, in order.  Any thread runs it (rmr_wg_job_run).  The owner's thread
 * ends it (rmr_wg_job_end); each peer's jobs of one direction leave in the
 * order of their issue, and only then do replay check, timers and delivery
 * happen, and on_job gives the job back.
 *
 * Threads: rmr_wg_job_run alone may run on another one, each job on one and
 * once, and with an rmr_aead that no other uses then (rmr_aead_new; it must be
 * of the back end of cfg.aead).  It touches the job, its packet and its key.
 * Handing jobs over and back is the host's, and so is the order of memory: a
 * queue with a lock does it.
 *
 * Memory: the host's.  A job lies where its packet lies, and is wgcore's from
 * its issue to on_job: neither it nor its packet may be moved, read or written
 * but by rmr_wg_job_run.  Before rmr_wg_free the host waits for its threads;
 * jobs that are out then are forgotten and need no end (zero one to use it
 * again).
 *
 * A key that goes meanwhile keeps its memory, for its jobs alone, and is wiped
 * with the last of them; they end with UNKNOWN, as those of a key that became
 * too old.  While seals of a peer are out, what else is to be sent to it waits
 * behind them.  What is read by rmr_wg_read_pkts overtakes the jobs: use one of
 * both.
 */
#define RMR_WG_MAX_JOBS 1024 /* of a peer, in each direction */

struct rmr_wg_job { /* zero it once */
    void *user;     /* the host's */
    /* seal: in, then from on_job with RMR_OK out, as in rmr_wg_out.
     * open: the datagram. */
    rmr_pkt pkt;
    rmr_wg_peer peer; /* seal: in.  open: set, whose key it is */
    /* seal: set with RMR_OK, good inside on_job until a call that is not look.
     * open: in, retained until on_job. */
    const rmr_wg_endpoint *at;
    rmr_err err; /* set, good from on_job on */
    uint8_t ecn; /* as in rmr_wg_out, rmr_wg_in */
    /* wgcore's: */
    uint8_t kind, state;
    rmr_wg_job *next;
    void *key;
    rmr_aead_item item;
};

/**
 * Issues the sealing of job->pkt to job->peer.                     [submit]
 *
 * Effects: RMR_OK: the packet has its counter, header and padding; the job is
 *          out.  Else it is the host's still, and all is as with rmr_wg_seal.
 * Errors:  those of rmr_wg_seal; FULL too when RMR_WG_MAX_JOBS are out, and
 *          INVAL without on_job.
 * Lifetime: until on_job.
 * Source:  WireGuard paper 5.4.6.
 */
RMR_API rmr_err rmr_wg_job_seal(rmr_wg *wg, rmr_time now, rmr_wg_job *job);
/**
 * Issues the opening of a datagram, or handles it when it is no data. [pump]
 *
 * \param is_out  Set: the job is out.  Else it is the host's still, and the
 *                answer is what came of the datagram.
 *
 * Effects: a handshake message has those of rmr_wg_read_pkt, at once.
 * Errors:  those of rmr_wg_read_pkt but DENIED; FULL when RMR_WG_MAX_JOBS are
 *          out (the datagram is lost), INVAL without on_job.
 * Lifetime: until on_job.
 * Source:  WireGuard paper 5.4, 6.5.
 */
RMR_API rmr_err rmr_wg_job_read(rmr_wg *wg, rmr_time now, rmr_wg_job *job,
                                bool *is_out);
/**
 * Does the cipher's work of jobs, on any thread.                     [look]
 *
 * \param aead  An instance of this thread's.
 * \param jobs  Of both kinds and any tunnels.
 *
 * Effects: on the jobs and their packets alone; no state of a tunnel is read.
 * Errors:  none here.
 * Source:  RFC 8439 2.8.
 */
RMR_API void rmr_wg_job_run(const rmr_aead *aead, rmr_wg_job *const *jobs,
                            size_t n);
/**
 * A job has run.                                                     [pump]
 *
 * Effects: it leaves, with those behind it that had waited, unless it waits
 *          for one before it: on_packet and on_endpoint as rmr_wg_read_pkt has
 *          them, on_job for each, at most RMR_WG_MAX_JOBS of them.  May make
 *          output and move the deadline.
 * Errors:  INVAL (not out, or not run: unchanged), REENTRANT; RNG.
 * Source:  WireGuard paper 5.4.6, 6.5.
 */
RMR_API rmr_err rmr_wg_job_end(rmr_wg *wg, rmr_time now, rmr_wg_job *job);

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
