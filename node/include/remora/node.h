/*
 * remora/node.h - a tailnet node as one machine (remora/io.h), without I/O.
 *
 * It composes the control client, DERP, WireGuard, the IP stack and the
 * services around them (SOCKS5, port forwards, a local control endpoint), and
 * gives the program TCP on the tailnet.  An adapter drives it: io-posix, or
 * yours.  It changes nothing of the host: no interface, route or DNS setting.
 *
 * Threading: one node, one thread at a time; any number of nodes in a process.
 * Memory: through rmr_env.alloc, bounded by the config.  Time: `now` of each
 * call; wall time by RMR_IO_WALL events.
 *
 * Callbacks fire from inside the machine's calls at consistent points; the
 * functions below marked [submit] or [look] may be called in them, free not.
 *
 * Source: the layers' own headers; ARCHITECTURE.md for the composition.
 *
 *     rmr_node_config_init(&cfg, sizeof cfg);
 *     cfg.control_url = "https://headscale.example.com";
 *     cfg.auth_key = key;
 *     cfg.ca_pem = ca_bundle;
 *     cfg.callbacks = &callbacks;
 *     if (rmr_node_new(&node, &env, &cfg, rmr_posix_now()) != RMR_OK)
 *         return 1;
 *     machine = rmr_node_machine(node);
 *     rmr_posix_add(posix, &machine);              // or your adapter
 *     ... in callbacks.on_event, at RMR_NODE_EV_RUNNING:
 *         rmr_node_dial(node, now, "n2", 80, tag, &conn);
 *     err = rmr_posix_run(posix);
 *     rmr_posix_free(posix);
 *     rmr_node_free(node);
 */
#ifndef REMORA_NODE_H
#define REMORA_NODE_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/bridge.h>
#include <remora/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_node rmr_node;
typedef struct rmr_node_conn { /* a tailnet TCP socket; 0: none */
    uint64_t id;
} rmr_node_conn;

enum rmr_node_errcode {
    RMR_E_NODE_STATE_DAMAGED = RMR_ERR(RMR_LAYER_NODE, 4, 1),
    RMR_E_NODE_STATE_WRITE = RMR_ERR(RMR_LAYER_NODE, 4, 2),
    RMR_E_NODE_STATE_READ = RMR_ERR(RMR_LAYER_NODE, 4, 3),
    RMR_E_NODE_LISTEN = RMR_ERR(RMR_LAYER_NODE, 4, 4), /* an address is taken */
    RMR_E_NODE_OTHER_URL = RMR_ERR(RMR_LAYER_NODE, 4, 5), /* state of another
                                                             control server  */
    RMR_E_NODE_CA = RMR_ERR(RMR_LAYER_NODE, 4, 6),
    RMR_E_NODE_IN_USE = RMR_ERR(RMR_LAYER_NODE, 4, 7), /* local endpoint taken:
                                                          another node runs */
    /* The state is sealed by a key that the host does not give. */
    RMR_E_NODE_STATE_SEALED = RMR_ERR(RMR_LAYER_NODE, 4, 8),
    RMR_E_NODE_STATE_NEWER = RMR_ERR(RMR_LAYER_NODE, 4, 9), /* of a later
                                                               remora       */
    /* The host gives a key to seal the state, and it is a plain one: it may
     * have been put in the place of the sealed one.  See take_plain_state. */
    RMR_E_NODE_STATE_PLAIN = RMR_ERR(RMR_LAYER_NODE, 4, 10)
};

typedef enum rmr_node_state { /* names as `tailscale status` has them */
    RMR_NODE_NO_STATE,
    RMR_NODE_STARTING,    /* keys are there, no netmap yet */
    RMR_NODE_NEEDS_LOGIN,
    RMR_NODE_RUNNING,
    RMR_NODE_STOPPED,
    RMR_NODE_NEEDS_APPROVAL /* an administrator must let this node in */
} rmr_node_state;

typedef struct rmr_node_event {
    enum {
        RMR_NODE_EV_STATE,   /* state; text: a URL for NEEDS_LOGIN            */
        RMR_NODE_EV_RUNNING, /* a netmap applied, dials are accepted          */
        RMR_NODE_EV_TROUBLE, /* err, text: it goes on trying                  */
        RMR_NODE_EV_FAILED   /* err, text: it gave up; RMR_IO_STOP follows    */
    } kind;
    rmr_node_state state;
    rmr_err err;
    const char *text;      /* one sentence: what, and what to do; or "" */
    const rmr_addr *ips;   /* RUNNING */
    size_t n_ips;
    /* RUNNING: of the netmap that was cached, for the control server does not
     * answer.  RUNNING comes again, without it, when it does. */
    bool from_cache;
    const char *hostname;  /* RUNNING: the MagicDNS name */
    rmr_dur took;          /* RUNNING: since rmr_node_new */
} rmr_node_event;

typedef struct rmr_node_callbacks {
    uint32_t struct_size;
    void *user;
    void (*on_event)(void *user, const rmr_node_event *ev);
    /* TCP, as in remora/netstack.h; `tag` as given to listen or dial. */
    void (*on_accept)(void *user, void *tag, rmr_node_conn conn,
                      const rmr_addr *remote);
    void (*on_connected)(void *user, void *tag, rmr_node_conn conn);
    void (*on_readable)(void *user, void *tag, rmr_node_conn conn);
    void (*on_writable)(void *user, void *tag, rmr_node_conn conn);
    void (*on_closed)(void *user, void *tag, rmr_node_conn conn, rmr_err why);
    /* only_netcheck: the report, one object of JSON as docs/local-api.md has
     * it; borrowed.  RMR_IO_STOP follows. */
    void (*on_report)(void *user, rmr_bytes json);
    /* For a host with a tunnel interface: an IP packet for it, that the filter
     * let in; borrowed.  The node's stack then gets nothing from peers: dial,
     * listen, forwards, serves and offered routes are without use, the host
     * does it all.  What it sends comes by rmr_node_send_packet. */
    void (*on_packet)(void *user, rmr_bytes packet);
} rmr_node_callbacks;

/* ---- preferences ------------------------------------------------------- */

#define RMR_NODE_MAX_ROUTES 64
#define RMR_NODE_MAX_EXIT_NODE 255 /* bytes */

enum rmr_node_pref { /* the fields of rmr_node_prefs, as bits of `given` */
    RMR_NODE_PREF_HOSTNAME = 1,
    RMR_NODE_PREF_ADVERTISE_ROUTES = 2,
    RMR_NODE_PREF_ADVERTISE_EXIT_NODE = 4,
    RMR_NODE_PREF_ACCEPT_ROUTES = 8,
    RMR_NODE_PREF_EXIT_NODE = 16,
    RMR_NODE_PREF_EXIT_NODE_ALLOW_LAN = 32,
    RMR_NODE_PREF_ACCEPT_DNS = 64,
    RMR_NODE_PREF_SHIELDS_UP = 128,
    RMR_NODE_PREF_WANTED = 256,
    RMR_NODE_PREF_ALL = 511
};

/* What the user wishes of the node; stored with the state. */
typedef struct rmr_node_prefs {
    uint32_t struct_size; /* written by rmr_node_prefs_init                   */
    uint32_t given;       /* which fields count: RMR_NODE_PREF_* bits         */
    const char *hostname; /* 1 to 63 bytes                                    */
    const rmr_prefix *advertise_routes;
    size_t n_advertise_routes; /* at most RMR_NODE_MAX_ROUTES                 */
    bool advertise_exit_node;
    bool accept_routes;
    const char *exit_node; /* name, address or StableID; "": none             */
    bool exit_node_allow_lan;
    bool accept_dns;
    bool shields_up; /* nothing new comes in; replies to us do                */
    bool wanted;     /* false: taken down by the user                         */
} rmr_node_prefs;

/* Where the state is kept, for a program without files: called in place of the
 * operations LOAD and STORE of remora/io.h, inside the machine's next_op.  No
 * function of the node may be called in them, but those marked [look]. */
typedef struct rmr_node_store {
    uint32_t struct_size;
    void *user;
    /* The blob `name` from `offset` on into dst.  *len < dst.len: it ends
     * there.  NOTFOUND: there is none; any other error: it can't be read. */
    rmr_err (*get)(void *user, const char *name, uint64_t offset, rmr_buf dst,
                   size_t *len);
    /* The bytes of the blob `name` at `offset`; 0: a new one begins, and what
     * was put of an unfinished one is void.  With `last` it takes the old
     * one's place, whole and durably: until then get gives the old one. */
    rmr_err (*put)(void *user, const char *name, uint64_t offset,
                   rmr_bytes data, bool last);
} rmr_node_store;

/* The keys that seal the state: number 0 seals, and all of them open.  To
 * change the key give the new one as 0 and the old one as 1: the state is
 * sealed anew when it was read.  NOTFOUND: there is no such key. */
typedef rmr_err (*rmr_node_seal_fn)(void *user, uint32_t number,
                                    uint8_t key[32]);

typedef struct rmr_node_config {
    uint32_t struct_size;     /* written by rmr_node_config_init             */
    const char *control_url;  /* copied; NULL: from the state                */
    const char *auth_key;     /* copied, wiped when used; NULL: state only   */
    const char *hostname;     /* copied; NULL: "remora"                      */
    const char *os_version;   /* copied; may be NULL                         */
    const char *product;      /* copied; NULL: "remora"                      */
    bool ephemeral;
    bool accept_control_key;
    rmr_bytes ca_pem;         /* trust anchors, parsed in _new; empty: none,
                                 and every https server is refused           */
    uint16_t udp_port;        /* default 41641; any free one when taken      */
    rmr_addr socks5;          /* family NONE: off                            */
    const char *socks5_user, *socks5_password; /* copied; NULL: none         */
    const rmr_forward *forwards; /* copied */
    size_t n_forwards;
    const rmr_serve *serves;  /* copied */
    size_t n_serves;
    const char *local_name;   /* local control endpoint ("remora.sock"), copied;
                                 NULL: none.  docs/local-api.md               */
    size_t tcp_buffer;        /* bytes a direction and connection, 1 MiB     */
    const rmr_node_callbacks *callbacks; /* copied */
    bool no_udp;              /* no UDP socket: all traffic goes by relays   */
    bool no_port_mapping;     /* the router is not asked for a port          */
    const rmr_addr *static_endpoints; /* copied; told to peers unverified    */
    size_t n_static_endpoints;        /* at most 16 */
    /* The HTTP proxy through which every stream to the outside goes (control
     * server, relays), by CONNECT; copied.  NULL: none. */
    const char *proxy_host;
    uint16_t proxy_port;
    const char *proxy_auth; /* "user:password" for Basic; NULL: none         */
    const char *no_proxy;   /* hosts that are reached without it, as in the
                               variable NO_PROXY; NULL: none                 */
    /* Measures the network once and ends: no control server, relay, peer or
     * service is met, and nothing is stored.  on_report or EV_FAILED tells. */
    bool only_netcheck;
    rmr_bytes derp_map; /* copied; only_netcheck: the relays, JSON of a DERPMap;
                           empty: those of the netmap that the state keeps   */
    rmr_addr metrics;   /* GET /metrics, plain HTTP, nobody is asked who they
                           are; family NONE: off                             */
    /* Copied; the given fields count more than what the state has, and so does
     * `hostname` above.  NULL: none. */
    const rmr_node_prefs *prefs;
    const rmr_node_store *store; /* copied; NULL: by the adapter             */
    /* Seals the state and the cached netmap; NULL: they are plain. */
    rmr_node_seal_fn seal_key;
    void *seal_user;
    /* Routes.  Offered ones are approved by the control server; what peers send
     * there is dialled by the adapter.  Without host bits; at most 64, and none
     * of length 0, loopback, a group or link-local. */
    const rmr_prefix *advertise_routes; /* copied */
    size_t n_advertise_routes;
    bool advertise_exit_node;  /* 0.0.0.0/0 and ::/0 are offered              */
    bool accept_routes;        /* peers' subnets are reached through them     */
    const char *exit_node;     /* copied; name, tailnet address or stable id of
                                  the peer through which all else is reached.
                                  While it is unknown or does not offer itself,
                                  what would go there is dropped; NULL: none  */
    bool exit_node_allow_lan;  /* the host's own subnets are reached by it    */
    /* The auth key stays in memory, and registers the next node key when one
     * ends; without it the user is asked to log in.  A key is stored before the
     * server hears of it, and a login that is waited for is kept: the next
     * start goes on with either. */
    bool keep_auth_key;
    /* Asked for, "tag:name"; copied; at most 32.  NULL: those of the state;
     * none of an array: none. */
    const char *const *tags;
    size_t n_tags;
    /* With seal_key: a state that is not sealed is taken, and sealed.  For the
     * one start at which an installation begins to be sealed: later whoever can
     * write the file could make this node another by a plain one. */
    bool take_plain_state;
    /* What many nodes of one thread may share; each is retained until all of
     * them are freed.  NULL: of its own. */
    const struct rmr_aead *aead; /* rmr_aead_new: for WireGuard; 52 KB, where it
                                    is ipsec-mb                              */
    const struct rmr_gcm *gcm;   /* rmr_gcm_new: for TLS                      */
    const struct rmr_tls_anchors *anchors; /* instead of ca_pem: some 60 KiB for
                                    a system's 140 certificates              */
    struct rmr_h2_frame *h2_frame; /* rmr_h2_frame_new: 16 KiB in which the
                                    connection to the control server packs    */
    struct rmr_ctl_decoder *decoder; /* rmr_ctl_decoder_new: of compressed maps;
                                    up to 1 MiB, not made for each frame      */
} rmr_node_config;

/**
 * UDP port 41641, 1 MiB of buffer a direction, all else off.        [submit]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_node_config_init(rmr_node_config *cfg, size_t struct_size);

/**
 * A node that does nothing yet: it begins when the adapter tells it WALL.
 *                                                                   [submit]
 *
 * \param env, cfg  Copied, with what they point to.
 *
 * Effects:  allocates.  *out is NULL after an error.
 * Errors:   INVAL (a URL that is none, a text that is too long), NODE_CA (no
 *           certificate in ca_pem), NOMEM, RNG.
 * Lifetime: until rmr_node_free.
 * Source:   none.
 */
RMR_API rmr_err rmr_node_new(rmr_node **out, const rmr_env *env,
                             const rmr_node_config *cfg, rmr_time now);

/**
 * May a config offer this route?  Not one with host bits, of length 0 (that is
 * advertise_exit_node), nor of addresses that no router carries.      [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  tailcfg.Hostinfo, RoutableIPs; RFC 6890 (loopback and the like).
 */
RMR_API bool rmr_node_can_advertise(const rmr_prefix *p);

/**
 * Frees all, wiping keys; NULL is allowed.  Not in a callback.        [pump]
 *
 * Effects: nothing is sent and no callback fires.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_node_free(rmr_node *n);

/**
 * The machine to give to an adapter.                                  [look]
 *
 * Effects:  none.
 * Errors:   none.
 * Lifetime: until rmr_node_free.
 * Source:   remora/io.h.
 */
RMR_API rmr_machine rmr_node_machine(rmr_node *n);

/**
 * Asks the node to end, as an RMR_IO_STOP_REQUEST event does.       [submit]
 *
 * Effects: closes connections in order (no on_closed follows), stores what is
 *          unsaved, then gives RMR_IO_STOP, after 2 s at the latest.
 * Errors:  none.
 * Source:  remora/io.h.
 */
RMR_API void rmr_node_stop(rmr_node *n, rmr_time now);

/**
 * Logs out: the server ends this node's key at once (an ephemeral node is
 * deleted).  Where it agrees the node forgets that key and ends, as by
 * rmr_node_stop(); the next start joins anew.                       [submit]
 *
 * Effects: EV_STATE with NEEDS_LOGIN and the end; or EV_TROUBLE with the
 *          server's words, and all is as before.  A server that can't be
 *          reached is tried until it answers.
 * Errors:  STATE (not started, or ending).
 * Source:  tailcfg.RegisterRequest, Expiry.
 */
RMR_API rmr_err rmr_node_logout(rmr_node *n, rmr_time now);

/**
 * One sentence for the user for any error of the node or its layers: what it
 * is and what to do.                                                  [look]
 *
 * \return A constant string, never NULL.
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API const char *rmr_node_err_text(rmr_err e);

/* ---- TCP on the tailnet ------------------------------------------------ */

/**
 * Accepts connections from peers on a port of every own address.    [submit]
 *
 * Effects:  on_accept for each connection.
 * Errors:   NOTREADY (before the state was loaded), INUSE, INVAL, FULL, NOMEM.
 * Lifetime: until rmr_node_close or rmr_node_abort of *out.
 * Source:   RFC 9293 3.10.1.
 */
RMR_API rmr_err rmr_node_listen(rmr_node *n, rmr_time now, uint16_t port,
                                void *tag, rmr_node_conn *out);

/**
 * Dials a peer.                                                     [submit]
 *
 * \param host  An address, a MagicDNS name, or a name that the tailnet's DNS
 *              knows (a record, a route, its resolvers): it is resolved first.
 *
 * Effects:  on_connected or on_closed (REFUSED, TIMEOUT, UNREACHABLE) later.
 * Errors:   NOTFOUND (no such peer), NOTREADY (no netmap yet), INVAL, INUSE,
 *           UNREACHABLE, FULL, NOMEM.
 * Lifetime: until on_closed, rmr_node_close or rmr_node_abort.
 * Source:   RFC 9293 3.10.1.
 */
RMR_API rmr_err rmr_node_dial(rmr_node *n, rmr_time now, const char *host,
                              uint16_t port, void *tag, rmr_node_conn *out);

/**
 * Sets what callbacks of the connection are given.                  [submit]
 *
 * Effects: callbacks from now on get the new tag.
 * Errors:  BADHANDLE.
 * Source:  none.
 */
RMR_API rmr_err rmr_node_set_tag(rmr_node *n, rmr_node_conn c, void *tag);

/**
 * Queues as much as fits.                                           [submit]
 *
 * \param data  Copied.
 *
 * Effects: *taken < data.len: on_writable will come.  May create output.
 * Errors:  BADHANDLE, STATE (not connected yet, or shut down; *taken is 0).
 * Source:  RFC 9293 3.10.2.
 */
RMR_API rmr_err rmr_node_send(rmr_node *n, rmr_time now, rmr_node_conn c,
                              rmr_bytes data, size_t *taken);

/**
 * The first contiguous bytes to read.                                 [look]
 *
 * \param eof  True with view->len 0: the peer has shut down and all was read.
 *
 * Effects:  none.
 * Errors:   BADHANDLE.
 * Lifetime: the view is good until the next call that is not const.
 * Source:   RFC 9293 3.10.3.
 */
RMR_API rmr_err rmr_node_peek(const rmr_node *n, rmr_node_conn c,
                              rmr_bytes *view, bool *eof);

/**
 * Drops `len` read bytes and opens the window.                      [submit]
 *
 * Effects: may create output.
 * Errors:  INVAL (more than there are), BADHANDLE.
 * Source:  RFC 9293 3.8.6.2.2.
 */
RMR_API rmr_err rmr_node_consume(rmr_node *n, rmr_time now, rmr_node_conn c,
                                 size_t len);

/**
 * No more from us; reading goes on.  FIN after what is queued.      [submit]
 *
 * Effects: may create output and move the deadline.
 * Errors:  BADHANDLE, STATE (both sides have closed already).
 * Source:  RFC 9293 3.6.
 */
RMR_API rmr_err rmr_node_shutdown(rmr_node *n, rmr_time now, rmr_node_conn c);

/**
 * Closes a connection or a listener; its handle is stale at once.   [submit]
 *
 * Effects: what is queued is still sent; unread data makes it a reset.  No
 *          callback follows.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.10.4, RFC 2525 2.17.
 */
RMR_API rmr_err rmr_node_close(rmr_node *n, rmr_time now, rmr_node_conn c);

/**
 * As close, but a connection is reset.                              [submit]
 *
 * Effects: as rmr_node_close; may create a reset.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.10.5.
 */
RMR_API rmr_err rmr_node_abort(rmr_node *n, rmr_time now, rmr_node_conn c);

/**
 * An IP packet from the host's tunnel interface, to a peer, to what a peer
 * routes, or to 100.100.100.100 (names).  Then poke the adapter, as after any
 * call.                                                               [submit]
 *
 * \param packet  Whole, at most 1280 bytes, from an own address; copied.
 *
 * Effects: it goes out with the node's next operations, in order.  An answer
 *          for the host comes by on_packet.
 * Errors:  STATE (no on_packet); NOTREADY (no netmap yet); TOOBIG; MALFORMED;
 *          DENIED (its source is not ours); FULL (256 KiB wait; counted),
 *          NOMEM: dropped, as networks do.
 * Source:  RFC 791 3.1, RFC 8200 3.
 */
RMR_API rmr_err rmr_node_send_packet(rmr_node *n, rmr_time now,
                                     rmr_bytes packet);

/* ---- names ------------------------------------------------------------- */

/* As on_answer of remora/dns.h: err OK with addresses (port 0), or NOTFOUND,
 * TIMEOUT, REFUSED (a server's failure, no server), MALFORMED. */
typedef void (*rmr_node_resolved_fn)(void *user, rmr_err err,
                                     const rmr_addr *addrs, size_t n);

/**
 * Resolves a name as the tailnet's nodes do: peers, records, 4via6, routes of
 * split DNS, the tailnet's resolvers, else the system's.            [submit]
 *
 * \param name  Of one label: with the tailnet's search domains first.
 * \param id    For rmr_node_resolve_cancel; written before `done` is called.
 *
 * Effects:  done is called once, perhaps inside this call, unless it is
 *           cancelled or the node is freed first.
 * Errors:   NOTREADY (no layers yet), INVAL (no name), FULL, NOMEM, RNG: done
 *           is not called then.
 * Lifetime: user until done; the addresses for the call.
 * Source:   remora/magicdns.h, remora/dns.h.
 */
RMR_API rmr_err rmr_node_resolve(rmr_node *n, rmr_time now, const char *name,
                                 rmr_node_resolved_fn done, void *user,
                                 uint64_t *id);

/**
 * The answer is not wanted any more.                                [submit]
 *
 * Effects: done is not called.
 * Errors:  none; an unknown id is ignored.
 * Source:  none.
 */
RMR_API void rmr_node_resolve_cancel(rmr_node *n, uint64_t id);

/**
 * What the last RMR_NODE_EV_STATE said.                               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API rmr_node_state rmr_node_get_state(const rmr_node *n);

/**
 * Nothing given; all else as a new node has it.                       [look]
 *
 * Effects: *prefs is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_node_prefs_init(rmr_node_prefs *prefs, size_t struct_size);

/**
 * Changes the given fields, at once, and stores them.               [submit]
 *
 * \param prefs  Copied; may point to what rmr_node_get_prefs gave.
 *
 * Effects: all given fields or, after an error, none.  Peers and control are
 *          told; the state is saved (EV_TROUBLE when that fails).
 * Errors:  INVAL (a text that is too long, no hostname, too many
 *          routes), NOTREADY (before the state was loaded, or the node ends),
 *          NOMEM.
 * Source:  tailscale.com/ipn, MaskedPrefs.
 */
RMR_API rmr_err rmr_node_set_prefs(rmr_node *n, rmr_time now,
                                   const rmr_node_prefs *prefs);

/**
 * The preferences in force; all are given.                            [look]
 *
 * Effects:  *out is overwritten.
 * Errors:   none.
 * Lifetime: texts and routes until the next call that is not const.
 * Source:   none.
 */
RMR_API void rmr_node_get_prefs(const rmr_node *n, rmr_node_prefs *out,
                                size_t struct_size);

typedef struct rmr_node_stats { /* since the start; sums over the layers */
    uint64_t rx_pkts, tx_pkts, rx_bytes, tx_bytes; /* inner packets           */
    uint64_t rx_udp, tx_udp;   /* datagrams of the node's own UDP sockets     */
    uint64_t dropped_no_path;  /* no peer or no relay for a packet            */
    uint64_t dropped_filter;   /* by the packet filter, from peers            */
    uint64_t dropped_disco;    /* of strangers, or not to be opened           */
    uint64_t wg_discarded, wg_staged_dropped, wg_handshakes;
    uint64_t ns_discarded, tcp_retransmits;
    uint64_t derp_dropped, derp_ignored, derp_connects; /* open regions alone */
    uint64_t dropped_capture;  /* packets that a slow watcher did not get     */
    uint64_t dropped_source; /* from an address that is another peer's        */
    uint64_t routed_tcp, routed_udp, routed_echo; /* flows dialled for peers  */
    uint64_t routed_dropped; /* of them, what no room was for                 */
    uint64_t dropped_host;   /* rmr_node_send_packet, without room            */
    /* Questions of those who use us as exit node: answered; of who may not; no
     * question, or no room. */
    uint64_t peerapi_answered, peerapi_denied, peerapi_refused;
} rmr_node_stats;

/**
 * Counters, by value.                                                 [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract B1 (every drop is counted).
 */
RMR_API void rmr_node_get_stats(const rmr_node *n, rmr_node_stats *out);

/**
 * The state and the counters as Prometheus' text form, 0.0.4: what a listener
 * at cfg.metrics answers, for who writes it elsewhere.                [look]
 *
 * \param dst  Gets the text, without a final NUL; 16 KiB are enough.
 *
 * Effects: *len is written.  Walks all peers.
 * Errors:  BUFSIZE (*len is 0).
 * Source:  Prometheus' exposition formats, text 0.0.4.
 */
RMR_API rmr_err rmr_node_write_metrics(const rmr_node *n, rmr_buf dst,
                                       size_t *len);

typedef struct rmr_node_who { /* a node of the tailnet, and its user */
    const char *id;       /* StableID                                        */
    const char *name;     /* MagicDNS name, without the final dot            */
    const char *hostname; /* as it calls itself                              */
    const char *os;
    rmr_addr ip;          /* its first, or the one that was asked for        */
    uint8_t key[32];      /* its public node key                             */
    int64_t user_id;      /* 0: none                                         */
    const char *user_login, *user_name; /* "": not told                      */
    bool is_self, online, expired;
    const char *tags; /* "tag:a" NUL "tag:b" NUL: n_tags of them             */
    size_t n_tags;
} rmr_node_who;

typedef struct rmr_node_grant { /* what rules grant a node to do here */
    const char *name;   /* such as "example.com/cap/edit"                    */
    const char *values; /* a JSON array as text; "[]": none                  */
} rmr_node_grant;

/**
 * Who has a tailnet address, or a name: for services that let only some in.
 *                                                                     [look]
 *
 * \param host  An address (a port behind it is left aside), or a MagicDNS name.
 *
 * Effects:  *out is overwritten.
 * Errors:   NOTFOUND; NOTREADY (no netmap yet).
 * Lifetime: the texts are good until the next call that is not [look].
 * Source:   none.
 */
RMR_API rmr_err rmr_node_whois(const rmr_node *n, const char *host,
                               rmr_node_who *out);

/**
 * Walks what the control server's rules grant the node of an address for
 * services of ours: start with *pos = 0; false at the end.  One that several
 * rules grant comes several times, and all values hold.               [look]
 *
 * \param from  The peer's address, as on_accept tells it.
 *
 * Effects:  *pos and *out are written.
 * Errors:   none; false where nobody has the address.
 * Lifetime: the texts are good until the next call that is not [look]; the
 *           netmap may not change during a walk.
 * Source:   tailcfg.FilterRule, CapGrant.
 */
RMR_API bool rmr_node_next_grant(const rmr_node *n, const rmr_addr *from,
                                 uint64_t *pos, rmr_node_grant *out);

/**
 * The name that `tailscale status --json` has for it, such as "Running".
 *                                                                     [look]
 *
 * Effects: none.
 * Errors:  none; "NoState" for what is no state.
 * Source:  tailscale.com/ipn, State.
 */
RMR_API const char *rmr_node_state_name(rmr_node_state s);

#ifdef __cplusplus
}
#endif
#endif
