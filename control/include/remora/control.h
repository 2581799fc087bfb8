/*
 * remora/control.h - the TS2021 client: joins a control server and follows it.
 * It is not a server.  Of PingRequests it answers those that go over its own
 * connection and need nobody else (a sign of life over Noise, c2n: /echo); it
 * hands the others on (rmr_nm_callbacks.on_ping_request, rmr_ctl_answer_ping).
 *
 * It fetches the server's key, upgrades to the Noise protocol, registers, polls
 * the map stream into an rmr_nm, sends updates about this node, watches the
 * keep-alives and comes back after every failure with back-off.  It opens no
 * connection: it says where (remora/dial.h) and the host dials, puts TLS on top
 * and moves the bytes.
 *
 * Threading: one object, one thread.  Callbacks fire inside the pump functions;
 * inside one, submit and look functions are allowed, pumps answer REENTRANT.
 * Memory: through rmr_env.alloc, bounded: about 6 KiB, 13 more while a
 * connection is set up or a registration read, HTTP/2's (remora/h2.h) while
 * there is one; the zstd window (at most 8 MiB) lives only while a compressed
 * frame is read (a small one in a shared rmr_ctl_decoder for longer), and a
 * larger one is asked for again without compression.
 * Time: `now` monotonic; wall time by rmr_ctl_set_wall.
 * Randomness: ephemeral keys and the spread of the back-off; a failure of it
 * ends in FAILED with RMR_E_RNG.
 *
 * Source: Tailscale control protocol (ts2021), capability version 138:
 * tailscale.com v1.98, control/controlclient, control/controlhttp,
 * control/controlbase, tailcfg.
 *
 *     rmr_ctl_config_init(&cfg, sizeof cfg);  ... url, keys, netmap ...
 *     rmr_ctl_new(&c, &env, &cfg, now);
 *     each turn:
 *         if (rmr_ctl_wants_stream(c, now, &dial)) start dialling;
 *         rmr_ctl_stream_opened(c, now) / rmr_ctl_stream_closed(c, now, err);
 *         rmr_ctl_read(c, now, in); rmr_ctl_write(c, now, dst, &len);
 *         if (rmr_ctl_wants_close(c)) close the stream;
 */
#ifndef REMORA_CONTROL_H
#define REMORA_CONTROL_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/crypto.h>
#include <remora/dial.h>
#include <remora/netmap.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_CTL_CAPABILITY 138

enum rmr_ctl_errcode {
    /* closed: tried again by itself */
    RMR_E_CTL_HTTP = RMR_ERR(RMR_LAYER_CTL, 3, 1),      /* unexpected status */
    RMR_E_CTL_PROXY = RMR_ERR(RMR_LAYER_CTL, 3, 2),     /* strips Upgrade */
    RMR_E_CTL_GATEWAY = RMR_ERR(RMR_LAYER_CTL, 3, 3),   /* 502, 503, 504 ... */
    RMR_E_CTL_HANDSHAKE = RMR_ERR(RMR_LAYER_CTL, 3, 4), /* Noise failed */
    RMR_E_CTL_REWRITTEN = RMR_ERR(RMR_LAYER_CTL, 3, 5), /* bytes were changed */
    RMR_E_CTL_SILENT = RMR_ERR(RMR_LAYER_CTL, 3, 6),    /* watchdog, 120 s */
    RMR_E_CTL_MAP = RMR_ERR(RMR_LAYER_CTL, 3, 7),       /* malformed map */
    RMR_E_CTL_ENDED = RMR_ERR(RMR_LAYER_CTL, 3, 8),     /* stream ended */
    /* fatal for joining: needs the user */
    RMR_E_CTL_REFUSED = RMR_ERR(RMR_LAYER_CTL, 4, 1),     /* register: Error */
    RMR_E_CTL_AUTH_KEY = RMR_ERR(RMR_LAYER_CTL, 4, 2),    /* bad auth key */
    RMR_E_CTL_NEEDS_LOGIN = RMR_ERR(RMR_LAYER_CTL, 4, 3), /* no key given */
    RMR_E_CTL_KEY_CHANGED = RMR_ERR(RMR_LAYER_CTL, 4, 4), /* pinned over http */
    RMR_E_CTL_TOO_OLD = RMR_ERR(RMR_LAYER_CTL, 4, 5),     /* server: no Noise */
    RMR_E_CTL_TOO_NEW = RMR_ERR(RMR_LAYER_CTL, 4, 6),     /* refuses version */
    RMR_E_CTL_LOCKED = RMR_ERR(RMR_LAYER_CTL, 4, 7),      /* tailnet lock */
    RMR_E_CTL_KEY_EXPIRED = RMR_ERR(RMR_LAYER_CTL, 4, 8)  /* node key expired */
};

/**
 * One sentence for the user: what it is and what to do.               [look]
 *
 * \return A constant string, never NULL; for codes that are not of this layer
 *         what rmr_err_name() says.
 * Effects: none.
 * Errors:  none.
 * Source:  control/controlhttp.
 */
RMR_API const char *rmr_ctl_err_text(rmr_err e);

typedef enum rmr_ctl_state {
    RMR_CTL_CONNECTING, /* dialling, key fetch, upgrade, handshake */
    RMR_CTL_REGISTERING,
    RMR_CTL_NEEDS_LOGIN, /* text: the URL to open; it goes on by itself */
    RMR_CTL_CONNECTED,   /* the map stream is open */
    RMR_CTL_DOWN,        /* err, text: why; it tries again by itself */
    RMR_CTL_FAILED,      /* err, text: why; it stops until rmr_ctl_retry */
    /* After rmr_ctl_logout; err, text: what the server had against it.  It
     * stops, as after FAILED. */
    RMR_CTL_LOGGED_OUT
} rmr_ctl_state;

typedef struct rmr_ctl rmr_ctl;

typedef struct rmr_ctl_callbacks {
    uint32_t struct_size;
    void *user;
    /* text: details from the server or the URL; may be "". */
    void (*on_state)(void *user, rmr_ctl_state state, rmr_err err,
                     const char *text);
    /* The server's Noise key, new or changed (allowed by policy), and proved by
     * a handshake: store it. */
    void (*on_server_key)(void *user, const uint8_t key[RMR_KEY_LEN]);
    /* Registered with this node key: store it.  login: "user@example.com". */
    void (*on_registered)(void *user, const char *login, const char *display);
    /* The server says that the node key has expired.  rmr_ctl_set_node_key()
     * inside goes on with a new one at once; else it ends in FAILED.  Not for a
     * key that is new itself. */
    void (*on_key_expired)(void *user);
    /* The new key was refused.  That before stays, and the map stream of it; a
     * refused auth key is forgotten.  NULL: FAILED instead. */
    void (*on_key_refused)(void *user, rmr_err err, const char *text);
    /* Another form of the upgrade than the one tried first led to the server:
     * store it, for websocket_first. */
    void (*on_upgrade_form)(void *user, bool websocket);
} rmr_ctl_callbacks;

/*
 * A decoder of compressed maps.  A client needs one only while it reads a
 * frame, and making one takes 100 KiB and 10 us or more (it asks the processor
 * what it is, which a virtual machine's host has to answer).  The clients of
 * one thread can share it.  Where a frame begins while another client is within
 * one, a second decoder lives until that frame is over.
 */
typedef struct rmr_ctl_decoder rmr_ctl_decoder;

/**
 * A decoder for clients to share.                                   [submit]
 *
 * Effects: allocates; the first frame allocates more, at most 1 MiB of which
 *          stay between frames.
 * Errors:  NOMEM.
 * Lifetime: until rmr_ctl_decoder_free(); env is copied, and is what frames are
 *          decoded in.
 * Source:  none.
 */
RMR_API rmr_err rmr_ctl_decoder_new(rmr_ctl_decoder **out, const rmr_env *env);

/**
 * Frees; NULL is allowed.  No client may have it any more.          [submit]
 *
 * Effects: it is gone.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_ctl_decoder_free(rmr_ctl_decoder *d);

typedef struct rmr_ctl_config {
    uint32_t struct_size;
    const char *url;      /* copied; http or https */
    const char *auth_key; /* copied, wiped when registered; NULL: none */
    const char *hostname; /* copied */
    /* Copied; NULL: "linux", "", "remora". */
    const char *os, *os_version, *product;
    bool ephemeral;
    bool accept_control_key; /* take over a changed key over plain http */
    bool no_compression;
    uint8_t machine_key[RMR_KEY_LEN]; /* private; copied */
    uint8_t node_public[RMR_KEY_LEN];
    uint8_t old_node_public[RMR_KEY_LEN]; /* zero: none */
    uint8_t disco_public[RMR_KEY_LEN];
    uint8_t server_key[RMR_KEY_LEN]; /* pinned; zero: none */
    uint64_t wall_unix_ns;
    rmr_nm *netmap; /* retained until free; filled by the stream */
    const rmr_ctl_callbacks *callbacks; /* copied */
    const rmr_prefix *routes; /* offered to peers (RoutableIPs); copied */
    size_t n_routes;          /* at most RMR_CTL_MAX_ROUTES */
    const char *exit_node_id; /* stable id of the one in use; copied; NULL */
    /* Not wiped when registered: for the next node key. */
    bool keep_auth_key;
    const char *const *tags; /* asked for, "tag:name" each; copied */
    size_t n_tags;
    /* A key that was to take the place of node_public, as by
     * rmr_ctl_set_node_key(), when the program ended; zero: none.  node_public
     * is registered then, and stays when this one is refused. */
    uint8_t next_node_public[RMR_KEY_LEN];
    /* The login that the key to be registered waits for, as NEEDS_LOGIN told
     * it; copied; NULL: none.  A server that does not know it is asked anew,
     * and so it is where an auth key is given. */
    const char *auth_url;
    bool hold; /* connects, and registers only after rmr_ctl_release()       */
    /* The form of the upgrade that is tried first, as on_upgrade_form told. */
    bool websocket_first;
    /* Shared by the sessions of one thread (remora/h2.h); retained; NULL: one
     * of its own. */
    struct rmr_h2_frame *h2_frame;
    /* Shared by the clients of one thread; retained; NULL: each frame has one
     * of its own. */
    rmr_ctl_decoder *decoder;
} rmr_ctl_config;

#define RMR_CTL_MAX_ROUTES 128

typedef enum rmr_ctl_endpoint_type { /* tailcfg.EndpointType */
    RMR_CTL_EP_UNKNOWN = 0,
    RMR_CTL_EP_LOCAL = 1,
    RMR_CTL_EP_STUN = 2,
    RMR_CTL_EP_PORTMAPPED = 3,
    RMR_CTL_EP_STUN4_LOCAL_PORT = 4,
    RMR_CTL_EP_EXPLICIT = 5
} rmr_ctl_endpoint_type;

typedef struct rmr_ctl_endpoint {
    rmr_addr addr;
    uint8_t type; /* rmr_ctl_endpoint_type */
} rmr_ctl_endpoint;

typedef struct rmr_ctl_latency { /* the least seen to a region's relays */
    uint16_t region;
    bool v6;
    rmr_dur latency;
} rmr_ctl_latency;

typedef struct rmr_ctl_net { /* our place in the network */
    uint32_t struct_size; /* written by rmr_ctl_net_init */
    uint16_t home_derp;   /* 0: none */
    /* 1: yes, 0: no, -1: unknown */
    int8_t mapping_varies, working_ipv6, os_has_ipv6, working_udp;
    int8_t working_icmpv4, upnp, pmp, pcp;
    bool have_port_map;
    const char *link_type, *firewall_mode; /* NULL: not said; <= 31 bytes */
    const rmr_ctl_endpoint *endpoints;
    size_t n_endpoints;
    const rmr_ctl_latency *latencies;
    size_t n_latencies;
} rmr_ctl_net;

typedef struct rmr_ctl_stats {
    uint64_t connects, registers, streams, updates, keepalives, failures;
    uint64_t rx_bytes, tx_bytes, frames;
    rmr_time last_frame;
    uint64_t pings; /* answered: a sign of life, or c2n */
} rmr_ctl_stats;

/**
 * Defaults: nothing set, compression on.                              [look]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_ctl_config_init(rmr_ctl_config *cfg, size_t struct_size);

/**
 * A client that wants its first stream at once.                     [submit]
 *
 * \param cfg  Copied, but for `netmap`, which is retained until the free.
 *
 * Effects: none outside.
 * Errors: INVAL (a URL that is none or has a query; an auth key of the wrapped
 *         form "...--TL..."; a name that is too long; a tag without "tag:", or
 *         more than 1,000 bytes of them; no machine key, node key
 *         or netmap), NOMEM.
 * Lifetime: until rmr_ctl_free().
 * Source: types/key; control/controlclient.
 */
RMR_API rmr_err rmr_ctl_new(rmr_ctl **out, const rmr_env *env,
                            const rmr_ctl_config *cfg, rmr_time now);

/**
 * Frees, and wipes keys; NULL is allowed.  Not from a callback.       [pump]
 *
 * Effects: no callbacks.
 * Errors: none.
 * Source: contract S2.
 */
RMR_API void rmr_ctl_free(rmr_ctl *c);

/**
 * True once per attempt: the host dials `out` now, and tells what came of it
 * by rmr_ctl_stream_opened() or rmr_ctl_stream_closed().            [submit]
 *
 * Effects: on_state(CONNECTING).
 * Errors: false when no stream is wanted, when rmr_ctl_wants_close() was not
 *         asked yet, and within a callback.
 * Source: control/controlclient; https alone for https URLs.
 */
RMR_API bool rmr_ctl_wants_stream(rmr_ctl *c, rmr_time now, rmr_dial *out);

/**
 * The stream is open, TLS too where it was asked for.                 [pump]
 *
 * Effects: output; key, upgrade and handshake have 10 s from here.
 * Errors: STATE (none was wanted), RNG and NOMEM (told by on_state too),
 *         REENTRANT.
 * Source: control/controlclient; control/controlhttp.
 */
RMR_API rmr_err rmr_ctl_stream_opened(rmr_ctl *c, rmr_time now);

/**
 * The stream could not be opened, ended, or broke.                    [pump]
 *
 * \param why   RMR_OK: an orderly end.
 * \param text  Details for the user (a TLS error); may be NULL.
 *
 * Effects: on_state(DOWN or FAILED), or another stream is wanted.  Nothing
 *          when the client has given that stream up itself.
 * Errors: none.
 * Source: control/controlhttp; control/controlclient.
 */
RMR_API void rmr_ctl_stream_closed(rmr_ctl *c, rmr_time now, rmr_err why,
                                   const char *text);

/**
 * The host should close the stream now; answers true once.          [submit]
 *
 * Effects: none more.
 * Errors: none.
 * Source: none.
 */
RMR_API bool rmr_ctl_wants_close(rmr_ctl *c);

/**
 * Stream bytes, all of them taken.                                    [pump]
 *
 * \param in  Borrowed and overwritten (decrypted in place); any length.
 *
 * Effects: any callback, and those of the netmap; output.
 * Errors: the failure that on_state(DOWN or FAILED) has told: close the
 *         stream; CLOSED (there is none); REENTRANT.
 * Source: control/controlbase; RFC 9113; tailcfg.MapResponse.
 */
RMR_API rmr_err rmr_ctl_read(rmr_ctl *c, rmr_time now, rmr_buf in);

/**
 * Fills dst with bytes for the stream.                                [pump]
 *
 * \param dst  Any size.  From 4096 bytes on records are sealed in place.
 * \param len  What was written; 0: nothing now, or an error.
 *
 * Effects: requests that are due are made; on_state(REGISTERING, ...).
 * Errors: as rmr_ctl_read.
 * Source: control/controlbase.
 */
RMR_API rmr_err rmr_ctl_write(rmr_ctl *c, rmr_time now, rmr_buf dst,
                              size_t *len);

/**
 * When rmr_ctl_handle_deadline() is due.                              [look]
 *
 * \return RMR_TIME_NEVER when only the host can go on (it should dial, or the
 *         user is needed).
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_ctl_next_deadline(const rmr_ctl *c);

/**
 * Time-outs, the watchdog, and the end of a back-off.                 [pump]
 *
 * Effects: on_state; output; rmr_ctl_wants_stream() may answer true now.
 * Errors: REENTRANT.  A failure is told by on_state alone.
 * Source: tailcfg.MapResponse; control/controlclient; contract T5.
 */
RMR_API rmr_err rmr_ctl_handle_deadline(rmr_ctl *c, rmr_time now);

/**
 * The wall clock, at `now`; for expiry in the netmap.               [submit]
 *
 * \param unix_ns  0: unknown; no key counts as expired by time then.
 *
 * Effects: from the next frame on.
 * Errors: none.
 * Source: contract T6.
 */
RMR_API void rmr_ctl_set_wall(rmr_ctl *c, rmr_time now, uint64_t unix_ns);

/**
 * Nothing known: no home, no endpoints, every measured value unknown.  [look]
 *
 * Effects: *net is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_ctl_net_init(rmr_ctl_net *net, size_t struct_size);

/**
 * What peers and the server must know of our place in the network; sent by a
 * lite update when it differs, latencies apart: they go with the next one.
 *                                                                   [submit]
 *
 * \param net  Copied with what it points to; endpoints above 64 and latencies
 *             above 64 are left out.
 *
 * Effects: output.
 * Errors: NOMEM (unchanged), INVAL (NULL where a count is not 0).
 * Source: tailcfg.MapRequest, NetInfo.
 */
RMR_API rmr_err rmr_ctl_set_net(rmr_ctl *c, rmr_time now,
                                const rmr_ctl_net *net);

/**
 * The node's name, and whether it lets nothing new in; sent by a lite update
 * when they differ, and with each request from then on.             [submit]
 *
 * \param hostname  Copied.
 *
 * Effects: output.
 * Errors: INVAL (empty, or too long), NOMEM; unchanged then.
 * Source: tailcfg.Hostinfo.
 */
RMR_API rmr_err rmr_ctl_set_host(rmr_ctl *c, rmr_time now,
                                 const char *hostname, bool shields_up);

/**
 * What we offer to route, and the exit node that we use.            [submit]
 *
 * \param routes        Copied, as they are: without host bits.
 * \param exit_node_id  Its stable id, copied, at most 63 bytes; NULL: none.
 *
 * Effects: an update for the server when they differ from what it was told.
 * Errors:  INVAL (too many, too long), NOMEM; unchanged.
 * Source:  tailcfg.Hostinfo, RoutableIPs and ExitNodeID.
 */
RMR_API rmr_err rmr_ctl_set_routes(rmr_ctl *c, rmr_time now,
                                   const rmr_prefix *routes, size_t n,
                                   const char *exit_node_id);

/**
 * At which ports the node answers DNS for those who use it as exit node: its
 * peerAPI.                                                           [submit]
 *
 * \param v4, v6  At its first address of each family; 0: not there.
 *
 * Effects: an update for the server when they differ from what it was told.
 * Errors:  none.
 * Source:  tailcfg.Hostinfo, Services.
 */
RMR_API void rmr_ctl_set_peerapi(rmr_ctl *c, rmr_time now, uint16_t v4,
                                 uint16_t v6);

/**
 * A new node key was made (rotation, or the one before has expired): registers
 * with it.  The map stream of the key before goes on, and comes back, until
 * that succeeded: the server may bring that key to life again.      [submit]
 *
 * \param old_public  The key before, or zeros.
 *
 * Effects: output; out of FAILED, as rmr_ctl_retry().
 * Errors: INVAL (a zero key).
 * Source: tailcfg.RegisterRequest, RegisterResponse.
 */
RMR_API rmr_err rmr_ctl_set_node_key(rmr_ctl *c, rmr_time now,
                                     const uint8_t node_public[RMR_KEY_LEN],
                                     const uint8_t old_public[RMR_KEY_LEN]);

/**
 * Gives a new key up before it is registered: goes on with that before.
 *                                                                   [submit]
 *
 * Effects: the login that is awaited is forgotten.
 * Errors: STATE (there is no new key, or no registered one before it).
 * Source: tailcfg.RegisterRequest.
 */
RMR_API rmr_err rmr_ctl_keep_node_key(rmr_ctl *c);

/**
 * What the node's keys need is done (they are stored): the registration that
 * cfg.hold held back may go.                                        [submit]
 *
 * Effects: output, where the connection is there.
 * Errors: none.
 * Source: none.
 */
RMR_API void rmr_ctl_release(rmr_ctl *c);

/**
 * Logs out: registers with an end in the past.  Whatever the server answers to
 * that ends it; a connection that fails is tried again.             [submit]
 *
 * Effects: on_state(LOGGED_OUT) when answered; out of FAILED and of a back-off,
 *          as rmr_ctl_retry().
 * Errors: none.
 * Source: tailcfg.RegisterRequest, Expiry.
 */
RMR_API void rmr_ctl_logout(rmr_ctl *c, rmr_time now);

/**
 * Posts the answer to a PingRequest whose URL is one of the control connection
 * (rmr_nm_ping.url_is_noise).                                        [submit]
 *
 * \param url   As the request had it.
 * \param body  JSON, copied; at most 4 KiB.
 *
 * Effects: output; what becomes of it is not told.
 * Errors: FULL (the answer before it is not sent yet), INVAL (no URL), TOOBIG,
 *         NOMEM.
 * Source: tailcfg.PingRequest, PingResponse.
 */
RMR_API rmr_err rmr_ctl_answer_ping(rmr_ctl *c, const char *url,
                                    rmr_bytes body);

/**
 * Out of FAILED, or out of a back-off (the network changed): tries now, and
 * begins to count failures anew.                                    [submit]
 *
 * Effects: rmr_ctl_wants_stream() answers true; nothing where a stream is
 *          open or being dialled.
 * Errors: none.
 * Source: control/controlclient.
 */
RMR_API void rmr_ctl_retry(rmr_ctl *c, rmr_time now);

/**
 * The counters, by value.                                             [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_ctl_get_stats(const rmr_ctl *c, rmr_ctl_stats *out);

#ifdef __cplusplus
}
#endif
#endif
