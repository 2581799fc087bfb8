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
    RMR_E_NODE_IN_USE = RMR_ERR(RMR_LAYER_NODE, 4, 7) /* local endpoint taken:
                                                         another node runs  */
};

typedef enum rmr_node_state { /* names as `tailscale status` has them */
    RMR_NODE_NO_STATE,
    RMR_NODE_STARTING,    /* keys are there, no netmap yet */
    RMR_NODE_NEEDS_LOGIN,
    RMR_NODE_RUNNING,
    RMR_NODE_STOPPED
} rmr_node_state;

typedef struct rmr_node_event {
    enum {
        RMR_NODE_EV_STATE,   /* state; text: a URL for NEEDS_LOGIN            */
        RMR_NODE_EV_RUNNING, /* first live netmap applied, dials are accepted */
        RMR_NODE_EV_TROUBLE, /* err, text: it goes on trying                  */
        RMR_NODE_EV_FAILED   /* err, text: it gave up; RMR_IO_STOP follows    */
    } kind;
    rmr_node_state state;
    rmr_err err;
    const char *text;      /* one sentence: what, and what to do; or "" */
    const rmr_addr *ips;   /* RUNNING */
    size_t n_ips;
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
} rmr_node_callbacks;

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
    /* The auth key stays in memory, and registers the next node key when one
     * ends; without it the user is asked to log in. */
    bool keep_auth_key;
    const char *const *tags; /* asked for, "tag:name"; copied; at most 32    */
    size_t n_tags;
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
 * \param host  An address or a MagicDNS name.
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
 * What the last RMR_NODE_EV_STATE said.                               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API rmr_node_state rmr_node_get_state(const rmr_node *n);

typedef struct rmr_node_stats { /* since the start; sums over the layers */
    uint64_t rx_pkts, tx_pkts, rx_bytes, tx_bytes; /* inner packets           */
    uint64_t rx_udp, tx_udp;   /* datagrams of the node's own UDP sockets     */
    uint64_t dropped_no_path;  /* no peer or no relay for a packet            */
    uint64_t dropped_filter;   /* by the packet filter, from peers            */
    uint64_t dropped_disco;    /* of strangers, or not to be opened           */
    uint64_t wg_discarded, wg_staged_dropped, wg_handshakes;
    uint64_t ns_discarded, tcp_retransmits;
    uint64_t derp_dropped, derp_ignored, derp_connects; /* open regions alone */
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
