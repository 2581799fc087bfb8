/*
 * remora/relay.h - a DERP relay as a machine.
 *
 * It listens, does TLS and HTTP/1.1, upgrades connections to DERP (raw or in
 * WebSocket frames), switches packets between node keys, answers STUN, meshes
 * with the other relays of its region, asks a URL whom to admit, and shows its
 * metrics.  It is no node: it has no tailnet address and sees sealed packets
 * alone.  It reads no files: certificates and keys are given, its own key may
 * be kept as a blob.
 *
 * Source: the DERP protocol, version 2, and the HTTP endpoints around it, as
 * Tailscale's derper 1.98 has them; RFC 9110, 9112, 6455, 8489.
 * Threading: one relay, one thread.  Time: `now` of the machine's calls.
 * Memory: from rmr_env; an idle client below 9 KiB with TLS, 2 KiB without; TLS
 * buffers and queued packets lie in bounded pools.
 *
 *     rmr_relay_config cfg;
 *     rmr_relay_config_init(&cfg, sizeof cfg);
 *     cfg.listen = &addr;
 *     cfg.n_listen = 1;
 *     cfg.cert_pem = chain;
 *     cfg.key_pem = key;
 *     cfg.callbacks = &callbacks;
 *     if (rmr_relay_new(&relay, &env, &cfg, rmr_posix_now())) fail();
 *     rmr_machine m = rmr_relay_machine(relay);
 *     rmr_posix_add(posix, &m);
 *     rmr_posix_run(posix);    // RMR_IO_STOP_REQUEST ends it gracefully
 *     rmr_relay_free(relay);
 */
#ifndef REMORA_RELAY_H
#define REMORA_RELAY_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/crypto.h>
#include <remora/dial.h>
#include <remora/io.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_RELAY_KEY_BLOB "relay.key"
#define RMR_RELAY_METRICS_MAX ((size_t)32 * 1024)

typedef struct rmr_relay rmr_relay;

typedef enum rmr_relay_event_kind {
    RMR_RELAY_EV_READY = 1, /* all listeners are open; key                   */
    RMR_RELAY_EV_LISTENING, /* one is; addr, what                            */
    RMR_RELAY_EV_TROUBLE,   /* it goes on without something; text, err       */
    RMR_RELAY_EV_FAILED,    /* it gives up; text, err; STOP follows          */
    RMR_RELAY_EV_STOPPED
} rmr_relay_event_kind;

typedef struct rmr_relay_event { /* borrowed for the call */
    rmr_relay_event_kind kind;
    const char *what;  /* "relay", "http", "stun", "metrics" */
    rmr_addr addr;
    const uint8_t *key; /* the relay's public key, 32 bytes */
    const char *text;
    rmr_err err;
} rmr_relay_event;

typedef struct rmr_relay_usage { /* of the process, for the metrics */
    uint64_t open_files;   /* descriptors                                    */
    uint64_t memory_bytes; /* resident                                       */
    uint64_t start_bytes;  /* ... when it began                              */
} rmr_relay_usage;

typedef struct rmr_relay_callbacks {
    uint32_t struct_size;
    void *user;
    void (*on_event)(void *user, const rmr_relay_event *ev); /* may be NULL */
    /* Asked with each look at the metrics; false: not known.  NULL likewise:
     * those metrics are left out then.  It calls nothing of the relay. */
    bool (*on_usage)(void *user, rmr_relay_usage *out);
    /* May this client, who proved its key, use the relay?  Asked before a URL
     * is, and again each minute, when no ends its connection; not for mesh
     * peers.  NULL: yes.  It calls nothing of the relay. */
    bool (*may_enter)(void *user, const uint8_t key[RMR_KEY_LEN],
                      const rmr_addr *from);
} rmr_relay_callbacks;

typedef struct rmr_relay_name { /* for /bootstrap-dns */
    const char *host;
    const rmr_addr *addrs; /* ports don't count */
    size_t n_addrs;
} rmr_relay_name;

/* All that is pointed to is copied. */
typedef struct rmr_relay_config {
    uint32_t struct_size;
    const rmr_addr *listen;  /* TLS, or plain HTTP; at most 8; port 0: any    */
    size_t n_listen;
    rmr_bytes cert_pem, key_pem; /* none: plain HTTP, which must be wanted    */
    bool insecure_http;
    const rmr_addr *http;    /* plain HTTP beside TLS: /generate_204, and a
                                redirect for the rest; at most 8              */
    size_t n_http;
    const rmr_addr *stun;    /* UDP; at most 8                                */
    size_t n_stun;
    const rmr_addr *metrics; /* plain HTTP: GET /metrics; at most 8           */
    size_t n_metrics;

    bool keep_key;           /* the private key is the blob RMR_RELAY_KEY_BLOB,
                                made where there is none                      */
    const uint8_t *private_key; /* 32 bytes; NULL: keep_key, or a new one     */

    const uint8_t *mesh_key; /* 32 bytes; NULL: no mesh                       */
    const rmr_dial *mesh;    /* the other relays of the region; at most 64    */
    size_t n_mesh;
    const char *verify_url;  /* NULL: all are admitted                        */
    bool verify_fail_closed; /* an URL that can't be reached refuses          */
    rmr_bytes ca_pem;        /* whom to trust as mesh and verify_url          */

    /* The HTTP proxy for streams to the mesh and verify_url, by CONNECT. */
    const char *proxy_host;  /* NULL: none                                    */
    uint16_t proxy_port;
    const char *proxy_auth;  /* "user:password" for Basic; NULL: none         */
    const char *no_proxy;    /* reached without it, as in NO_PROXY            */

    uint64_t rate_bytes;     /* a second and client; 0: no limit              */
    uint64_t rate_burst;     /* raised to the largest packet                  */
    const rmr_relay_name *bootstrap; /* at most 256                           */
    size_t n_bootstrap;
    uint32_t max_clients;    /* connections; 65,536                           */
    uint32_t tls_buffers;    /* of 16.3 KiB, for those that are busy; 2,048   */
    uint32_t restart_in_ms;  /* told to clients at the end; 1,000             */
    uint32_t restart_try_ms; /* ... and for how long to try; 30,000           */
    const rmr_relay_callbacks *callbacks; /* copied; may be NULL              */
} rmr_relay_config;

/** "HOST", "HOST:PORT" or an http(s) URL as a place to mesh with.     [look]
 *  Effects: on *out.  Errors: MALFORMED, TOOBIG; *out is untouched then.
 *  Source: derper's list of mesh peers; port 443 and TLS where none is said. */
RMR_API rmr_err rmr_relay_mesh_dial(const char *text, rmr_dial *out);
/** Sets every field to its default.
 *  Effects: on *cfg.  Errors: none.  Source: contract, sized structs. */
RMR_API void rmr_relay_config_init(rmr_relay_config *cfg, size_t struct_size);
/** A relay that waits for its first event (WALL).
 *  Effects: allocates; draws randomness.
 *  Errors: INVAL (nothing to listen at, too many of something, a URL that is
 *  none, TLS neither given nor declined), what rmr_tls_identity_new says of
 *  certificate and key, MALFORMED (ca_pem), NOMEM, RNG.
 *  Lifetime: env and cfg are copied; the caller wipes its own keys.
 *  Source: none. */
RMR_API rmr_err rmr_relay_new(rmr_relay **out, const rmr_env *env,
                              const rmr_relay_config *cfg, rmr_time now);
/** Wipes and frees; NULL is allowed.  Not within a callback.
 *  Effects: nothing is sent.  Errors: none.  Source: contract S2. */
RMR_API void rmr_relay_free(rmr_relay *r);
/** What an adapter drives.
 *  Effects: none.  Errors: none.  Lifetime: until free.
 *  Source: remora/io.h. */
RMR_API rmr_machine rmr_relay_machine(rmr_relay *r);
/** Tells the clients that it restarts, and ends.  Also by the event
 *  STOP_REQUEST.
 *  Effects: no connection is taken any more; STOP comes when all was sent, or
 *  after 2 s.  Errors: none.  Source: DERP frame Restarting. */
RMR_API void rmr_relay_stop(rmr_relay *r, rmr_time now);
/** A renewed certificate, for connections from now on.
 *  Effects: as said; those that are open keep the old one.
 *  Errors: STATE (it speaks plain HTTP), as rmr_tls_identity_new; the old one
 *  stays then.  Source: none. */
RMR_API rmr_err rmr_relay_set_certificate(rmr_relay *r, rmr_bytes cert_pem,
                                          rmr_bytes key_pem);
/** Another rate limit, for all clients.
 *  Effects: as said.  Errors: none.  Source: derper's rate configuration. */
RMR_API void rmr_relay_set_rate(rmr_relay *r, rmr_time now,
                                uint64_t rate_bytes, uint64_t burst_bytes);
/** Writes the metrics in Prometheus' text form, 0.0.4.               [look]
 *  Effects: on dst and *len; calls on_usage.
 *  Errors: BUFSIZE (RMR_RELAY_METRICS_MAX bytes are enough), STATE before it is
 *  ready.
 *  Source: the names that derper exports. */
RMR_API rmr_err rmr_relay_metrics(const rmr_relay *r, rmr_buf dst,
                                  size_t *len);

/** What an error of rmr_relay_new or rmr_relay_set_certificate means, for
 *  the user; never NULL.                                              [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API const char *rmr_relay_err_text(rmr_err err);

#ifdef __cplusplus
}
#endif
#endif
