/*
 * remora/path.h - which way packets go to each peer: straight by UDP, or
 * through a DERP relay.  One object keeps the paths of all peers: candidates,
 * pings, the best path and how long it is trusted, the reverse routes of DERP,
 * and hole punching between a hard and an easy NAT.
 *
 * It is not: STUN, netcheck and the gathering of own endpoints (their results
 * are given in), WireGuard (it says only where a packet goes), peer relays
 * (disco messages 4 to 9 are ignored), nor the sockets.
 *
 * The two rules that all else serves:
 * - A UDP address gets WireGuard packets only after a Pong proved that the peer
 *   is reached there (or, for a WireGuard-only peer, because control says so).
 * - While the best address is not trusted, packets go both ways, by UDP and by
 *   the relay, so that none is lost on the switch.
 *
 * A turn of the host:
 *     datagrams that rmr_disco_split calls DISCO go to rmr_paths_read; for all
 *     others rmr_paths_source tells the peer, and when WireGuard proved the
 *     sender, rmr_paths_note_received;
 *     rmr_paths_route for each packet (or run of packets) to a peer;
 *     rmr_paths_write_pkt until it gives nothing;
 *     rmr_paths_next_socket_op until false, where birthday is on;
 *     rmr_paths_wants_endpoints and rmr_paths_next_echo, once each turn.
 *
 * Source: Tailscale's disco protocol, as its 1.98 clients speak it (the state
 * machine of an endpoint); docs/integrating.md for the contract.
 * Threading: one object, one thread.  Time: an argument.
 * Memory: from rmr_env.  A cold peer (no traffic for five minutes) has its keys
 * and packed endpoints alone, an active one its candidates and pings; the
 * figures are in disco/README.md and are tested.
 *
 *     rmr_paths_config_init(&cfg, sizeof cfg);
 *     memcpy(cfg.node_key, my_node_public, 32);
 *     memcpy(cfg.disco_private, my_disco_private, 32);
 *     cfg.callbacks = &callbacks;
 *     if (rmr_paths_new(&p, &env, &cfg, now)) fail();
 *     if (rmr_paths_peer_add(p, now, &peer_config, &peer)) fail();
 *     ...
 *     rmr_path_route r;
 *     if (rmr_paths_route(p, now, peer, &r) == RMR_OK) {
 *         if (r.has_udp) my_udp_send(r.socket, &r.udp, packet);
 *         if (r.has_derp) my_derp_send(r.region, peer_node_key, packet);
 *     }
 *     while (!rmr_paths_write_pkt(p, now, dst, &len, &to) && len)
 *         to.udp.family ? my_udp_send(to.socket, &to.udp, dst, len)
 *                       : my_derp_send(to.region, to.key, dst, len);
 */
#ifndef REMORA_PATH_H
#define REMORA_PATH_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/crypto.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_PATH_MAX_CANDIDATES 100   /* a peer                              */
#define RMR_PATH_MAX_OWN 32           /* own endpoints that are announced    */
#define RMR_PATH_WIRE_MTU 1360        /* assumed: tunnel 1280 + 80           */
#define RMR_PATH_BIRTHDAY_SOCKETS 256 /* most sockets of one punch           */
#define RMR_PATH_KEPT_SOCKETS 64      /* most that stay open for their peers */
#define RMR_PATH_MAX_SOCKET 320       /* the highest number of a socket      */

typedef struct rmr_paths rmr_paths;
typedef struct rmr_path_peer { /* generation and index; 0: none */
    uint64_t id;
} rmr_path_peer;

/* Where a datagram goes, or came from.  By UDP when udp.family is set; else by
 * DERP. */
typedef struct rmr_path_to {
    rmr_addr udp;
    uint16_t socket;          /* UDP: 0 is the main pair, above: by a punch */
    uint16_t region;          /* DERP                                       */
    uint8_t key[RMR_KEY_LEN]; /* DERP: the node key of the other side       */
} rmr_path_to;

/* Where a WireGuard packet goes.  Both set: send a copy each way. */
typedef struct rmr_path_route {
    rmr_addr udp;
    uint16_t socket;
    uint16_t region;
    uint16_t wire_mtu; /* of the UDP path: IP header and all */
    bool has_udp;
    bool has_derp; /* to `region`, and there to the peer's node key */
} rmr_path_route;

enum rmr_path_switches { /* as control's attributes of the same names */
    RMR_PATHS_SILENT_DISCO = 1,   /* no heartbeats; traffic extends trust     */
    RMR_PATHS_PROBE_LIFETIME = 2, /* statistics of how long NAT mappings live */
    RMR_PATHS_PEER_MTU = 4,       /* sized pings; the host has set DF         */
    RMR_PATHS_BIRTHDAY = 8,       /* punching by many sockets (remora only)   */
    RMR_PATHS_NO_UDP = 16         /* only-tcp-443: everything by DERP         */
};

typedef enum rmr_path_varies { /* netcheck: MappingVariesByDestIP */
    RMR_PATH_VARIES_UNKNOWN,
    RMR_PATH_VARIES_NO,
    RMR_PATH_VARIES_YES
} rmr_path_varies;

typedef struct rmr_path_pong { /* the answer to a ping of the host's */
    rmr_path_to from; /* the address pinged, or the relay and node */
    rmr_dur latency;
    rmr_addr seen_as; /* what the peer saw us as; told, not proven */
} rmr_path_pong;

/* Fired by read, write_pkt and handle_deadline alone; in them all functions but
 * these three and free may be called. */
typedef struct rmr_path_callbacks {
    uint32_t struct_size;
    void *user;
    /* The best path of a peer changed, is trusted no more in the midst of
     * traffic, or there is none any more: see rmr_paths_info.  Several changes
     * of one turn may be told once. */
    void (*on_path)(void *user, rmr_path_peer peer);
    void (*on_pong)(void *user, rmr_path_peer peer, uint64_t tag,
                    const rmr_path_pong *pong);
} rmr_path_callbacks;

typedef struct rmr_paths_config {
    uint32_t struct_size;
    uint32_t max_peers;      /* default 10,000                              */
    uint32_t max_queue_pkts; /* datagrams waiting for write_pkt; 4,096      */
    uint32_t max_shared;     /* shared keys cached, one a disco key; 1,024  */
    uint32_t switches;       /* RMR_PATHS_...; default RMR_PATHS_BIRTHDAY   */
    uint8_t node_key[RMR_KEY_LEN];      /* own, public; said in each ping   */
    uint8_t disco_private[RMR_KEY_LEN]; /* fresh at each start; copied      */
    const rmr_path_callbacks *callbacks; /* copied; NULL: none              */
} rmr_paths_config;

enum rmr_path_peer_fields { /* for rmr_paths_peer_set */
    RMR_PATH_SET_DISCO_KEY = 1,
    RMR_PATH_SET_HOME = 2,
    RMR_PATH_SET_ENDPOINTS = 4,
    RMR_PATH_SET_EXPIRED = 8,
    RMR_PATH_SET_ALL = 15
};

typedef struct rmr_path_peer_config {
    uint32_t struct_size;
    uint8_t node_key[RMR_KEY_LEN];  /* its identity: never changes          */
    uint8_t disco_key[RMR_KEY_LEN]; /* all zero: none                       */
    uint16_t home;                  /* DERP region, 0: none                 */
    bool wireguard_only;            /* no disco, no DERP; never changes     */
    bool expired;                   /* its node key ended: nothing is sent  */
    const rmr_addr *endpoints;      /* of the network map; copied           */
    size_t n_endpoints;             /* more than MAX_CANDIDATES are left out */
} rmr_path_peer_config;

typedef struct rmr_path_info { /* of a peer, for status */
    bool has_best;     /* there is a UDP path ...                           */
    bool trusted;      /* ... and it is used alone                          */
    bool wireguard_only;
    bool active;       /* it has the memory of an active peer               */
    bool heartbeat;    /* sent to within 45 s                               */
    bool punching;
    rmr_addr udp;      /* best                                              */
    uint16_t socket;
    uint16_t wire_mtu;
    uint16_t home;     /* DERP region, 0: none                              */
    uint16_t reverse;  /* region that it was last heard from, 0: none       */
    uint16_t n_candidates;
    rmr_dur latency;   /* of best                                           */
    rmr_time trusted_until;
    rmr_time last_send, last_received; /* 0: never */
} rmr_path_info;

typedef struct rmr_path_candidate { /* of a peer, for debugging */
    rmr_addr udp;
    uint16_t socket;
    bool from_map, from_call, from_ping;
    bool answered;     /* a Pong came, with this latency */
    rmr_dur latency;
} rmr_path_candidate;

typedef struct rmr_paths_stats {
    uint64_t peers, active_peers, sources;        /* now                    */
    uint64_t pings_sent, pings_received, pongs_sent, pongs_received;
    uint64_t calls_sent, calls_received;          /* call-me-maybe          */
    uint64_t ping_timeouts, best_changes, best_lost;
    uint64_t dropped_unknown;     /* sender is no peer's disco key          */
    uint64_t dropped_undecryptable;
    uint64_t dropped_malformed;   /* no disco, unknown type, broken         */
    uint64_t dropped_mismatch;    /* wrong way or node for this message     */
    uint64_t dropped_duplicate;   /* pings seen before                      */
    uint64_t dropped_pongs;       /* no such ping, or candidate gone        */
    uint64_t dropped_candidates;  /* refused or put out: a peer had 100     */
    uint64_t dropped_queue_pkts;  /* the output queue was full              */
    uint64_t dropped_nomem;
    uint64_t shared_computed;     /* X25519 runs: misses of the cache       */
    uint64_t punches_begun, punches_won, punches_declined, punches_failed;
    uint64_t punch_probes_sent;
    /* Lifetime probing, by the cliffs of 10, 30 and 60 s. */
    uint64_t lifetime_sent[3], lifetime_alive[3];
} rmr_paths_stats;

typedef enum rmr_path_socket_kind {
    RMR_PATH_SOCKET_OPEN = 1, /* IPv4, UDP, any port, every address         */
    RMR_PATH_SOCKET_CLOSE     /* comes only after socket_opened             */
} rmr_path_socket_kind;

typedef struct rmr_path_socket_op {
    rmr_path_socket_kind kind;
    uint16_t socket; /* 1...RMR_PATH_MAX_SOCKET */
} rmr_path_socket_op;

/* ---- the object ------------------------------------------------------- */

/**
 * The defaults; then set node_key, disco_private and callbacks.      [submit]
 *
 * Effects: on *cfg alone.  Errors: none.
 * Source:  docs/integrating.md (struct_size).
 */
RMR_API void rmr_paths_config_init(rmr_paths_config *cfg, size_t struct_size);

/**
 * Paths of no peer yet.                                              [submit]
 *
 * \param cfg  Copied; the caller wipes its own private key.
 *
 * Effects: draws randomness for its hash tables.
 * Errors:  INVAL (no keys, a bound of 0 or above 2^20), NOMEM, RNG; *out is
 *          NULL then.
 * Source:  disco identities: one key pair an engine, made at each start.
 */
RMR_API rmr_err rmr_paths_new(rmr_paths **out, const rmr_env *env,
                              const rmr_paths_config *cfg, rmr_time now);

/**
 * Forgets all and wipes the keys; NULL is fine.                        [pump]
 *
 * Effects: frees; sockets that were opened are the host's to close.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_paths_free(rmr_paths *p);

/**
 * Other switches, taken from now on.                                 [submit]
 *
 * \param switches  RMR_PATHS_... of all that are on.
 *
 * Effects: heartbeats stop or start with the next packet; with NO_UDP or
 *          without BIRTHDAY punches end, with NO_UDP best paths are cleared.
 *          With PEER_MTU active peers are pinged anew.
 * Errors:  none; unknown bits are ignored.
 * Source:  attributes silent-disco, probe-udp-lifetime, peer-mtu-enable,
 *          only-tcp-443.
 */
RMR_API void rmr_paths_set_switches(rmr_paths *p, rmr_time now,
                                    uint32_t switches);

/**
 * Another own disco key.                                             [submit]
 *
 * Effects: all shared keys are wiped and pings under way are forgotten; the
 *          best paths stay until their trust ends.
 * Errors:  INVAL (all zero), unchanged.
 * Source:  disco identities.
 */
RMR_API rmr_err rmr_paths_set_disco_key(rmr_paths *p, rmr_time now,
                                        const uint8_t priv[RMR_KEY_LEN]);

/**
 * Another own node key.                                              [submit]
 *
 * Effects: pings carry it from now on.
 * Errors:  INVAL (all zero), unchanged.
 * Source:  disco Ping.
 */
RMR_API rmr_err rmr_paths_set_node_key(rmr_paths *p,
                                       const uint8_t node_key[RMR_KEY_LEN]);

/**
 * The own disco key's public half, as control is told it.              [look]
 *
 * Effects: on `key` alone.  Errors: none.
 * Source:  disco identities.
 */
RMR_API void rmr_paths_disco_key(const rmr_paths *p, uint8_t key[RMR_KEY_LEN]);

/* ---- peers ------------------------------------------------------------ */

/**
 * A peer of the network map.                                         [submit]
 *
 * A peer without a disco key that is not WireGuard-only is kept, but reached
 * through DERP alone.
 *
 * Effects: takes the memory of a cold peer.
 * Errors:  INVAL (key of zeros), INUSE (the node key is there already), FULL,
 *          NOMEM; unchanged.
 * Source:  disco identities; 13 (WireGuard-only).
 */
RMR_API rmr_err rmr_paths_peer_add(rmr_paths *p, rmr_time now,
                                   const rmr_path_peer_config *cfg,
                                   rmr_path_peer *out);

/**
 * What the network map says now.                                     [submit]
 *
 * \param fields  RMR_PATH_SET_...: which fields of cfg are looked at.
 *
 * Effects: a new disco key keeps candidates and best; an endpoint that is no
 *          longer listed goes at the next round of pings unless the peer named
 *          it itself.
 * Errors:  BADHANDLE, NOMEM; unchanged.
 * Source:  candidates (map patches may replace home or endpoints alone); disco
 *          key change.
 */
RMR_API rmr_err rmr_paths_peer_set(rmr_paths *p, rmr_time now,
                                   rmr_path_peer peer, uint32_t fields,
                                   const rmr_path_peer_config *cfg);

/**
 * Forgets a peer, its pings and its addresses.                       [submit]
 *
 * Effects: as said; its shared key is wiped when no other peer has that key.
 *          Sockets of a punch with it close.
 * Errors:  BADHANDLE.
 * Source:  peer removal; node key rotation is removal and addition.
 */
RMR_API rmr_err rmr_paths_peer_remove(rmr_paths *p, rmr_time now,
                                      rmr_path_peer peer);

/**
 * The peer of a node key.                                              [look]
 *
 * Effects: on *out.  Errors: false; *out is untouched then.
 * Source:  disco identities.
 */
RMR_API bool rmr_paths_find(const rmr_paths *p,
                            const uint8_t node_key[RMR_KEY_LEN],
                            rmr_path_peer *out);

/** The node key of a peer.                                              [look]
 *  Effects: on `key`.  Errors: false: no such peer; untouched then.
 *  Source: disco identities. */
RMR_API bool rmr_paths_node_key(const rmr_paths *p, rmr_path_peer peer,
                                uint8_t key[RMR_KEY_LEN]);

/**
 * What status prints of a peer.                                        [look]
 *
 * \param now  For `trusted`; changes nothing.
 *
 * Effects: on *out.  Errors: BADHANDLE; *out is zero then.
 * Source:  state of an endpoint.
 */
RMR_API rmr_err rmr_paths_info(const rmr_paths *p, rmr_time now,
                               rmr_path_peer peer, rmr_path_info *out);

/**
 * The i-th candidate of a peer; their order is of no meaning.          [look]
 *
 * Effects: on *out.  Errors: false when there is no such; *out is zero then.
 * Source:  candidates.
 */
RMR_API bool rmr_paths_candidate(const rmr_paths *p, rmr_path_peer peer,
                                 size_t i, rmr_path_candidate *out);

/* ---- packets ---------------------------------------------------------- */

/**
 * WireGuard packets are about to go to a peer: where to?  One call serves all
 * packets of a run that leaves now.                                  [submit]
 *
 * Effects: the peer is active for 45 s; may begin discovery (datagrams for
 *          write_pkt) and the heartbeat.  Allocates for the first packet of a
 *          cold peer; without memory the route is that of DERP.
 * Errors:  BADHANDLE; DENIED (the peer expired); UNREACHABLE (no path known,
 *          discovery was begun all the same); RNG.  *out is zero then.
 * Source:  sending a WireGuard packet; reverse routes (derp, which connection).
 */
RMR_API rmr_err rmr_paths_route(rmr_paths *p, rmr_time now, rmr_path_peer peer,
                                rmr_path_route *out);

/**
 * The peer whose datagrams come from a UDP address: a hint for WireGuard, to be
 * proved by it, and never a path to send by.                           [look]
 *
 * Effects: on *out.  Errors: false when nobody is known; *out is untouched.
 * Source:  demultiplexing, receive map.
 */
RMR_API bool rmr_paths_source(const rmr_paths *p, const rmr_addr *from,
                              rmr_path_peer *out);

/**
 * WireGuard authenticated a packet of this peer from there.          [submit]
 *
 * \param from  A UDP address, or a DERP region (the key is not looked at).
 *
 * Effects: the address is mapped to the peer for receiving, or the region is
 *          its reverse route; no path to send by, unless the peer is
 *          WireGuard-only.  Silent disco: trust is extended when it is best.
 * Errors:  BADHANDLE.
 * Source:  activity; silent disco; WireGuard-only; derp reverse routes.
 */
RMR_API rmr_err rmr_paths_note_received(rmr_paths *p, rmr_time now,
                                        rmr_path_peer peer,
                                        const rmr_path_to *from);

/**
 * A datagram that was to go by UDP could not be sent.                [submit]
 *
 * \param why  UNREACHABLE: best is cleared when it is this address.  TOOBIG:
 *             nothing (a sized ping).  Any other, and UNREACHABLE too: pings
 *             that left for it in this turn are forgotten, so that they do not
 *             time out as if the path had failed.
 *
 * Effects: as said.  Errors: none.
 * Source:  sending a WireGuard packet, EHOSTUNREACH; discovery round.
 */
RMR_API void rmr_paths_send_failed(rmr_paths *p, rmr_time now,
                                   const rmr_path_to *to, rmr_err why);

/**
 * A frame of this node came through a region, or the relay says that the node
 * is not there, or a region's connection broke.                      [submit]
 *
 * Effects: the reverse route is set or forgotten.  A region that goes down
 *          costs a walk over all peers.
 * Errors:  none; unknown nodes are ignored.
 * Source:  derp, which connection to use for a peer.
 */
RMR_API void rmr_paths_note_derp_source(rmr_paths *p, rmr_time now,
                                        const uint8_t node_key[RMR_KEY_LEN],
                                        uint16_t region);
/** As rmr_paths_note_derp_source: the node left.                     [submit]
 *  Effects: its reverse route through this region is forgotten.
 *  Errors: none.  Source: derp, PeerGone of any reason. */
RMR_API void rmr_paths_derp_gone(rmr_paths *p, rmr_time now,
                                 const uint8_t node_key[RMR_KEY_LEN],
                                 uint16_t region);
/** A region's connection is open.  The way to a peer by DERP is its home when
 *  that is open; else its reverse route; else its home, to be dialled. [submit]
 *  Effects: as said; more than 64 open ones are not remembered.
 *  Errors: none.  Source: derp, which connection to use for a peer. */
RMR_API void rmr_paths_region_up(rmr_paths *p, rmr_time now, uint16_t region);
/** As rmr_paths_note_derp_source: the connection broke.              [submit]
 *  Effects: all reverse routes through this region are forgotten.
 *  Errors: none.  Source: derp, reading (error). */
RMR_API void rmr_paths_region_down(rmr_paths *p, rmr_time now,
                                   uint16_t region);

/* ---- disco ------------------------------------------------------------ */

/**
 * A disco datagram, from UDP or DERP.                                  [pump]
 *
 * \param from      DERP: region and the sender's node key.  Copied.
 * \param datagram  Borrowed and overwritten.  Any length, any content.
 *
 * Effects: answers queue for write_pkt; paths may change; callbacks.
 * Errors:  UNKNOWN (no peer has that disco key; nothing was computed), AUTH,
 *          MALFORMED (broken, wrapped in Geneve, or a type not known), REPLAY
 *          (a ping seen before), DENIED (came by a way or from a node that may
 *          not say this), NOTFOUND (a pong of no ping): counted, ignore.
 *          REENTRANT; RNG (fatal).
 * Source:  handler preconditions; pong received; ping received; CallMeMaybe.
 */
RMR_API rmr_err rmr_paths_read(rmr_paths *p, rmr_time now,
                               const rmr_path_to *from, rmr_buf datagram);

/* The longest datagram of write_pkt: without and with RMR_PATHS_PEER_MTU. */
#define RMR_PATHS_MAX_DATAGRAM 1024
#define RMR_PATHS_MAX_DATAGRAM_MTU 9000

/**
 * The next disco datagram that is to go.                               [pump]
 *
 * \param dst  At least MAX_DATAGRAM, or MAX_DATAGRAM_MTU where PEER_MTU is on.
 * \param len  0: none (for now).
 *
 * Effects: dst, *len and *to are written; callbacks.
 * Errors:  BUFSIZE (nothing lost), REENTRANT, RNG (fatal); *len is 0 then.
 * Source:  disco envelope and messages.
 */
RMR_API rmr_err rmr_paths_write_pkt(rmr_paths *p, rmr_time now, rmr_buf dst,
                                    size_t *len, rmr_path_to *to);

/**
 * When handle_deadline is due next; RMR_TIME_NEVER when idle.          [look]
 *
 * Effects: none.  Errors: none.  Source: contract T4.
 */
RMR_API rmr_time rmr_paths_next_deadline(const rmr_paths *p);

/**
 * Heartbeats, ping timeouts, upgrades, punches, forgetting.            [pump]
 *
 * Effects: datagrams queue; paths may be cleared; callbacks.
 * Errors:  REENTRANT, RNG (fatal).
 * Source:  heartbeat; timers and constants.
 */
RMR_API rmr_err rmr_paths_handle_deadline(rmr_paths *p, rmr_time now);

/**
 * Pings a peer for the host: by its path when that is trusted; else all its
 * candidates and the relay, calling it over the relay too.  Each answer is told
 * by on_pong; none after 5 s.                                        [submit]
 *
 * \param tag  Given back with the answers.
 *
 * Effects: datagrams queue; counts as activity, like a packet.
 * Errors:  BADHANDLE, DENIED (expired), UNSUPPORTED (no disco key, or
 *          WireGuard-only), NOMEM, RNG.
 * Source:  `tailscale ping` of type disco.
 */
RMR_API rmr_err rmr_paths_ping(rmr_paths *p, rmr_time now, rmr_path_peer peer,
                               uint64_t tag);

/* ---- what the host finds out ------------------------------------------ */

/**
 * Own endpoints, as announced to control.                            [submit]
 *
 * \param list         Copied; the first RMR_PATH_MAX_OWN are used.
 * \param gathered_at  When they were found out: CallMeMaybe wants them not
 *                     older than 27 s.
 *
 * Effects: calls that waited for them queue.
 * Errors:  none; where there is no memory for them those of before stay.
 * Source:  CallMeMaybe (all advertised addresses); endpoints fresh enough.
 */
RMR_API void rmr_paths_set_own_endpoints(rmr_paths *p, rmr_time now,
                                         const rmr_addr *list, size_t n,
                                         rmr_time gathered_at);

/**
 * Fresh own endpoints are wanted.  True once for each want: run a netcheck and
 * call set_own_endpoints, also when nothing changed.                 [submit]
 *
 * Effects: the want is taken.  Errors: none.
 * Source:  CallMeMaybe: refresh first when older than 27 s.  (Where none come
 *          within 6 s, those of before are sent.)
 */
RMR_API bool rmr_paths_wants_endpoints(rmr_paths *p);

/**
 * What netcheck says of the NAT before us.                           [submit]
 *
 * \param varies     MappingVariesByDestIP.
 * \param public_v4  The global IPv4 address and port of the main socket, or
 *                   NULL.
 *
 * Effects: who punches, and what it says of itself.
 * Errors:  none.
 * Source:  netcheck report; birthday punching (disco/README.md).
 */
RMR_API void rmr_paths_set_nat(rmr_paths *p, rmr_time now,
                               rmr_path_varies varies,
                               const rmr_addr *public_v4);

/**
 * The host's network changed, its main sockets are new.              [submit]
 *
 * Effects: best paths and trust of all peers are cleared (candidates stay) and
 *          own endpoints count as old; peers with a heartbeat are pinged at
 *          once, and all packets go by the relay too until a Pong comes.  Extra
 *          sockets close.
 * Errors:  none.
 * Source:  sockets, errors, network changes: rebind.
 */
RMR_API void rmr_paths_rebind(rmr_paths *p, rmr_time now);

/**
 * An ICMP echo that is wanted, to choose among the endpoints of a
 * WireGuard-only peer.  A host that can't do them leaves this alone: the choice
 * is random then.                                                    [submit]
 *
 * Effects: the want is taken; *peer and *to are written.
 * Errors:  false: none.
 * Source:  WireGuard-only peers.
 */
RMR_API bool rmr_paths_next_echo(rmr_paths *p, rmr_path_peer *peer,
                                 rmr_addr *to);

/**
 * The answer to such an echo.  One that stays away needs no call.    [submit]
 *
 * Effects: the latency counts at the next choice.
 * Errors:  BADHANDLE; an address that the peer does not have is ignored.
 * Source:  WireGuard-only peers.
 */
RMR_API rmr_err rmr_paths_echo_done(rmr_paths *p, rmr_time now,
                                    rmr_path_peer peer, const rmr_addr *to,
                                    rmr_dur latency);

/* ---- extra sockets of a punch ----------------------------------------- */

/**
 * The next socket to open or to close.                               [submit]
 *
 * What comes in on such a socket is told with its number; what goes out by it
 * has its number in rmr_path_to or rmr_path_route.
 *
 * Effects: the want is taken; after OPEN the host calls socket_opened.
 * Errors:  false: none.
 * Source:  birthday punching (disco/README.md).
 */
RMR_API bool rmr_paths_next_socket_op(rmr_paths *p, rmr_path_socket_op *op);

/**
 * A socket is open, or could not be opened, or broke later.          [submit]
 *
 * Effects: the punch goes on by it, or without it; a best path by it is
 *          cleared.  A failed one needs no close.
 * Errors:  none; unknown numbers are ignored.
 * Source:  birthday punching (disco/README.md).
 */
RMR_API void rmr_paths_socket_opened(rmr_paths *p, rmr_time now,
                                     uint16_t socket, rmr_err err);

/** Counters since new, and what there is now.                          [look]
 *  Effects: none.  Errors: none.  Source: contract B1. */
RMR_API rmr_paths_stats rmr_paths_get_stats(const rmr_paths *p);

#ifdef __cplusplus
}
#endif
#endif
