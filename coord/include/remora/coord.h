/*
 * remora/coord.h - a coordination server as a machine.
 *
 * Tailscale clients and remora nodes join it by TS2021: it listens, does TLS
 * and HTTP/1.1, upgrades connections to Noise and HTTP/2, registers nodes, and
 * streams to each the map of those that it may see.  It moves no packets: nodes
 * reach each other directly, or by relays that its DERP map names.
 *
 * Source: the control protocol of Tailscale 1.98 (capability version 138) as
 * Headscale serves it; RFC 9110, 9112, 9113.
 * Threading: one server, one thread.  Time: `now` of the machine's calls; time
 * of day by the event WALL.
 * Memory: from rmr_env; a node that is known takes about 1.3 KiB, one that is
 * connected some 14 KiB, most of it for HTTP/2; TLS 4 KiB more, and up to 38
 * while it is in use.
 *
 *     rmr_coord_config cfg;
 *     rmr_coord_config_init(&cfg, sizeof cfg);
 *     cfg.listen = &addr;
 *     cfg.n_listen = 1;
 *     cfg.server_url = "http://192.0.2.1:8080";
 *     cfg.derp_map = json;
 *     if (rmr_coord_new(&coord, &env, &cfg, rmr_posix_now())) fail();
 *     rmr_coord_user_add(coord, "alice", &user);
 *     rmr_coord_key_add(coord, now, &wish, key_text, &id);
 *     rmr_machine m = rmr_coord_machine(coord);
 *     rmr_posix_add(posix, &m);
 *     rmr_posix_run(posix);    // RMR_IO_STOP_REQUEST ends it
 *     rmr_coord_free(coord);
 */
#ifndef REMORA_COORD_H
#define REMORA_COORD_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/crypto.h>
#include <remora/io.h>
#include <remora/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_COORD_KEY_BLOB "noise_private.key"
/* "hskey-auth-", 12 hex digits, "-", 64 hex digits, NUL. */
#define RMR_COORD_KEY_TEXT 89
/* "hskey-authreq-", 24 hex digits, NUL. */
#define RMR_COORD_LOGIN_TEXT 39
/* "hskey-api-", 12 hex digits, "-", 64 hex digits, NUL. */
#define RMR_COORD_API_KEY_TEXT 88
#define RMR_COORD_MAX_ENDPOINTS 32
#define RMR_COORD_MAX_ROUTES 64
#define RMR_COORD_MAX_TAGS 16

typedef struct rmr_coord rmr_coord;
typedef struct rmr_coord_store rmr_coord_store; /* remora/coord_store.h */

/* ---- configuration ------------------------------------------------------ */

typedef enum rmr_coord_event_kind {
    RMR_COORD_EV_READY = 1,  /* all listeners are open; key                  */
    RMR_COORD_EV_LISTENING,  /* one is; addr; text: the socket's name,
                                "metrics", or NULL                           */
    RMR_COORD_EV_LOGIN,      /* a node waits for approval; text: its login id,
                                node: its host name; addr: from where it asks */
    RMR_COORD_EV_JOINED,     /* a node registered; id, node; addr: from where */
    RMR_COORD_EV_TROUBLE,    /* it goes on without something; text, err      */
    RMR_COORD_EV_FAILED,     /* it gives up; text, err; STOP follows         */
    RMR_COORD_EV_STOPPED,
    RMR_COORD_EV_CHECK       /* somebody wants in by SSH where the policy asks
                                for a proof: text: the id to decide by; node:
                                at whose server; user: as whom there; from:
                                the node that knocks; addr: its address      */
} rmr_coord_event_kind;

typedef struct rmr_coord_event { /* borrowed for the call */
    rmr_coord_event_kind kind;
    rmr_addr addr;
    const uint8_t *key; /* the server's public Noise key, 32 bytes */
    const char *text, *node;
    uint64_t id;
    rmr_err err;
    const char *from, *user; /* of CHECK */
} rmr_coord_event;

typedef struct rmr_coord_callbacks {
    uint32_t struct_size;
    void *user;
    void (*on_event)(void *user, const rmr_coord_event *ev); /* may be NULL */
} rmr_coord_callbacks;

typedef struct rmr_coord_dns_route { /* who is asked for names of a domain */
    const char *domain;
    const char *const *resolvers; /* addresses, or https:// URLs             */
    size_t n_resolvers;
} rmr_coord_dns_route;

typedef struct rmr_coord_dns_record {
    const char *name, *type, *value; /* type: "A" or "AAAA"                  */
} rmr_coord_dns_record;

typedef struct rmr_coord_dns { /* what clients get beside MagicDNS           */
    bool off;      /* names of nodes are not answered by clients             */
    const char *const *resolvers;
    size_t n_resolvers;
    bool fallback; /* they are asked only where the host has none            */
    const rmr_coord_dns_route *routes;
    size_t n_routes;
    const char *const *search; /* domains behind base_domain                 */
    size_t n_search;
    const rmr_coord_dns_record *records;
    size_t n_records;
} rmr_coord_dns;

typedef enum rmr_coord_policy_mode { /* where the policy is kept             */
    RMR_COORD_POLICY_DATABASE, /* in the store; the REST API replaces it     */
    RMR_COORD_POLICY_FILE      /* in a file of the program, which gives its
                                  text; the REST API only reads it           */
} rmr_coord_policy_mode;

/* All that is pointed to is copied. */
typedef struct rmr_coord_config {
    uint32_t struct_size;
    const rmr_addr *listen; /* TLS where there is a certificate, else plain
                               HTTP; at most 8; port 0: any                  */
    size_t n_listen;
    rmr_bytes cert_pem, key_pem;
    const char *server_url;  /* what nodes are told to reach it by           */
    const char *base_domain; /* of MagicDNS names; NULL or "": none          */
    rmr_prefix v4, v6;       /* where addresses are taken from; family NONE:
                                none; 100.64.0.0/10, fd7a:115c:a1e0::/48     */
    const rmr_coord_dns *dns; /* NULL: MagicDNS alone                        */
    rmr_bytes derp_map;      /* JSON as clients get it; none: no relays      */
    bool open;               /* where there is no policy: all reach all;
                                false: users reach their own nodes alone     */
    const uint8_t *private_key; /* 32 bytes; NULL: the blob
                                   RMR_COORD_KEY_BLOB, made if there is none */
    rmr_dur node_expiry;       /* of nodes' keys, tags excepted; 0: never    */
    rmr_dur ephemeral_timeout; /* offline, until such a node goes; 120 s     */
    rmr_dur offline_grace;     /* until a lost node is called offline; 10 s  */
    uint32_t max_nodes;        /* 65,536                                     */
    uint32_t max_connections;  /* 65,536; a quarter (256 at least) without a
                                  map stream.  When it is full, the address
                                  that has most of these loses its oldest    */
    uint32_t max_logins; /* that wait for approval; 1,024; full: likewise    */
    const rmr_coord_callbacks *callbacks; /* copied; may be NULL             */
    const rmr_coord_store *store; /* copied; NULL: memory alone              */
    /* The REST API is served on `listen`, to those with an API key; here, on a
     * local endpoint, to whoever can open it.  NULL: nowhere else. */
    const char *socket_name;
    const rmr_addr *metrics_listen; /* plain HTTP, /metrics alone; or NULL   */
    const char *version; /* what /version says; NULL: "unknown"              */
    rmr_coord_policy_mode policy_mode; /* DATABASE                           */
    rmr_bytes policy; /* its text from the start on, in FILE mode alone; NULL:
                         none.  Its tests are not run then, for they may be
                         about what is not there yet: the log says what fails */
    /* Proxies in front: from them X-Forwarded-For (its last address that is
     * none of theirs), or else X-Real-IP, is who asks, in events and logs; from
     * others these are ignored.  A prefix of everybody is refused. */
    const rmr_prefix *proxies;
    size_t n_proxies;
    /* Handshakes that an address (IPv6: a /64) may begin a second, and at once
     * behind a rest: 100, 8,192.  What is above that is answered 429 before it
     * costs anything.  Rate 0: no limit. */
    uint32_t handshake_rate, handshake_burst;
    /* What the program adds to /metrics, such as a relay's: families of other
     * names.  Writes up to dst.len bytes (32 KiB), answers how many; calls
     * nothing of the server.  NULL: nothing. */
    size_t (*more_metrics)(void *user, rmr_buf dst);
    void *more_metrics_user;
} rmr_coord_config;

/** Sets every field to its default.
 *  Effects: on *cfg.  Errors: none.  Source: contract, sized structs. */
RMR_API void rmr_coord_config_init(rmr_coord_config *cfg, size_t struct_size);
/** A server that waits for its first event (WALL).
 *  Effects: allocates; draws randomness; reads the store.
 *  Errors: INVAL (nothing to listen at, no URL or one that is none, prefixes
 *  that are too small, a certificate without its key, a store without one of
 *  its functions), TOOBIG (dns: 16 KiB as JSON), what rmr_tls_identity_new
 *  says, MALFORMED (derp_map is no JSON, a stored row is none, the policy is
 *  bad: the log says which and why), FULL (more nodes are stored than
 *  max_nodes), what the store says, NOMEM, RNG.
 *  Lifetime: env and cfg are copied; the caller wipes its own key.  What the
 *  store's `user` is outlives the server.
 *  Source: none. */
RMR_API rmr_err rmr_coord_new(rmr_coord **out, const rmr_env *env,
                              const rmr_coord_config *cfg, rmr_time now);
/** Wipes and frees; NULL is allowed.  Not within a callback.
 *  Effects: nothing is sent, nothing is stored (STOP was behind a commit).
 *  Errors: none.  Source: contract S2. */
RMR_API void rmr_coord_free(rmr_coord *c);
/** What an adapter drives.
 *  Effects: none.  Errors: none.  Lifetime: until free.
 *  Source: remora/io.h. */
RMR_API rmr_machine rmr_coord_machine(rmr_coord *c);
/** Ends in order: no connection is taken any more, streams end.  Also by the
 *  event STOP_REQUEST.
 *  Effects: STOP comes when all was sent, or after 2 s.  Errors: none.
 *  Source: none. */
RMR_API void rmr_coord_stop(rmr_coord *c, rmr_time now);

/** Another certificate and key, for connections that begin from now on.
 *  Effects: as said.
 *  Errors: STATE (it had none from the start), what rmr_tls_identity_new says;
 *  the old one stays then.
 *  Source: none. */
RMR_API rmr_err rmr_coord_set_certificate(rmr_coord *c, rmr_bytes cert_pem,
                                          rmr_bytes key_pem);

/* What follows is administration.  It takes effect at once, on open map
 * streams too; behind it the adapter asks for operations, as after an event.
 * With a store it lasts from the next turn on, or from rmr_coord_commit; while
 * the store fails, what changes something answers RMR_E_IO and changes nothing
 * (remora/coord_store.h). */

/** Stores all that changed, now.  Without a store, or a change: nothing.
 *  Effects: who waits for it is answered; JOINED, TROUBLE.
 *  Errors: what the store says: nothing was stored, all of it is tried again;
 *  REENTRANT (within a callback).
 *  Source: none. */
RMR_API rmr_err rmr_coord_commit(rmr_coord *c);

/** Another DNS configuration.
 *  Effects: open streams are told, where it is another one.
 *  Errors: TOOBIG (16 KiB as JSON), NOMEM; the old one stays then.
 *  Source: tailcfg.MapResponse.DNSConfig. */
RMR_API rmr_err rmr_coord_set_dns(rmr_coord *c, const rmr_coord_dns *dns);

/** Another DERP map.
 *
 *  \param json  As clients get it, copied; {"Regions":{}} takes all relays
 *               away.
 *
 *  Effects: open streams are told, where it is another one.
 *  Errors: MALFORMED (no JSON object), NOMEM; the old one stays then.
 *  Source: tailcfg.MapResponse.DERPMap. */
RMR_API rmr_err rmr_coord_set_derp_map(rmr_coord *c, rmr_bytes json);

/* ---- the policy --------------------------------------------------------- */

/** Puts a policy in force in place of the one before, on open map streams too:
 *  who gains or loses sight of a peer, or has other rules, is told; nobody
 *  else.
 *
 *  \param text  HuJSON (remora/policy.h); copied.
 *  \param why   NULL, or filled where the text is refused.
 *
 *  Effects: as said; routes are approved that it approves; stored in DATABASE
 *  mode.
 *  Errors: MALFORMED (no policy, or one of its tests fails; why tells), TOOBIG
 *  (why tells), IO (DATABASE mode alone), NOMEM; the old one stays in force.
 *  Source: Headscale's API, PUT /api/v1/policy, and its SIGHUP. */
RMR_API rmr_err rmr_coord_set_policy(rmr_coord *c, rmr_bytes text,
                                     rmr_pol_why *why);
/** What rmr_coord_set_policy would say to that text.                 [look]
 *  Effects: on *why where it is refused.
 *  Errors: MALFORMED, TOOBIG, NOMEM.
 *  Source: Headscale's API, POST /api/v1/policy/check. */
RMR_API rmr_err rmr_coord_check_policy(rmr_coord *c, rmr_bytes text,
                                       rmr_pol_why *why);

typedef struct rmr_coord_policy { /* borrowed until the next change */
    rmr_bytes text;
    uint64_t updated_unix_ns; /* 0: in FILE mode */
} rmr_coord_policy;

/** The policy that was given.                                        [look]
 *  Effects: on *out.
 *  Errors: NOTFOUND: none was, so that rmr_coord_config's `open` decides.
 *  Source: Headscale's API, GET /api/v1/policy. */
RMR_API rmr_err rmr_coord_get_policy(const rmr_coord *c,
                                     rmr_coord_policy *out);

/* ---- users -------------------------------------------------------------- */

typedef struct rmr_coord_user { /* borrowed until the next change */
    uint64_t id;
    const char *name;
    uint64_t created_unix_ns;
    size_t n_nodes;
} rmr_coord_user;

/** A new user.
 *  Effects: as said.
 *  Errors: INVAL (1 to 255 of A-Z a-z 0-9 . _ @ -, a letter first), INUSE (the
 *  name is taken), NOMEM.
 *  Source: Headscale's API, POST /api/v1/user, stricter. */
RMR_API rmr_err rmr_coord_user_add(rmr_coord *c, const char *name,
                                   uint64_t *id);
/** The user of that id, or (id 0) of that name.                      [look]
 *  Effects: on *out.  Errors: NOTFOUND.  Source: none. */
RMR_API rmr_err rmr_coord_user_get(const rmr_coord *c, uint64_t id,
                                   const char *name, rmr_coord_user *out);
/** The first user with an id above `after`.                          [look]
 *  Effects: on *out.  Errors: NOTFOUND: there is none.  Source: none. */
RMR_API rmr_err rmr_coord_user_next(const rmr_coord *c, uint64_t after,
                                    rmr_coord_user *out);
/** Renames; nodes learn of it.
 *  Effects: as said.  Errors: as rmr_coord_user_add, NOTFOUND.
 *  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_user_rename(rmr_coord *c, uint64_t id,
                                      const char *name);
/** What people are shown of a user; NULL: as it was, "": nothing.  At most
 *  1,024 bytes each.
 *  Effects: as said.  Errors: NOTFOUND, INVAL (too long), NOMEM (part of it may
 *  be changed).
 *  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_user_describe(rmr_coord *c, uint64_t id,
                                        const char *display, const char *email,
                                        const char *picture);
/** Removes a user without nodes, with its keys.
 *  Effects: as said.  Errors: NOTFOUND, INUSE (it has nodes).
 *  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_user_remove(rmr_coord *c, uint64_t id);

/* ---- pre-auth keys ------------------------------------------------------ */

typedef struct rmr_coord_key_wish {
    uint64_t user; /* 0: tags alone */
    bool reusable, ephemeral;
    uint64_t expiry_unix_ns; /* 0: never */
    const char *const *tags; /* "tag:..." */
    size_t n_tags;
} rmr_coord_key_wish;

typedef struct rmr_coord_key { /* borrowed until the next change */
    uint64_t id, user;
    char prefix[13]; /* the public 12 digits */
    bool reusable, ephemeral, used;
    uint64_t expiry_unix_ns, created_unix_ns;
    const char *const *tags;
    size_t n_tags;
} rmr_coord_key;

/** A new pre-auth key.
 *
 *  \param text  Gets the whole key; it can't be had again, as only its hash is
 *               kept.
 *
 *  Effects: draws randomness.
 *  Errors: NOTFOUND (the user), INVAL (neither user nor tags, a bad tag), RNG,
 *  NOMEM.
 *  Source: Headscale's API, POST /api/v1/preauthkey. */
RMR_API rmr_err rmr_coord_key_add(rmr_coord *c, const rmr_coord_key_wish *wish,
                                  char text[RMR_COORD_KEY_TEXT], uint64_t *id);
/** The first key with an id above `after`.                           [look]
 *  Effects: on *out.  Errors: NOTFOUND.  Source: none. */
RMR_API rmr_err rmr_coord_key_next(const rmr_coord *c, uint64_t after,
                                   rmr_coord_key *out);
/** Nobody joins by it any more; who did stays.
 *  Effects: as said.  Errors: NOTFOUND.  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_key_expire(rmr_coord *c, uint64_t id);
/** Forgets it.
 *  Effects: as said.  Errors: NOTFOUND.  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_key_remove(rmr_coord *c, uint64_t id);

/* ---- keys of the REST API ------------------------------------------------ */

typedef struct rmr_coord_api_key {
    uint64_t id;
    char prefix[13];         /* the public 12 digits */
    uint64_t expiry_unix_ns; /* 0: never */
    uint64_t created_unix_ns;
} rmr_coord_api_key;

/** A new key of the REST API.
 *
 *  \param text  Gets the whole key; it can't be had again, as only its hash is
 *               kept.
 *
 *  Effects: draws randomness.
 *  Errors: RNG, NOMEM.
 *  Source: Headscale's API, POST /api/v1/apikey. */
RMR_API rmr_err rmr_coord_api_key_add(rmr_coord *c, uint64_t expiry_unix_ns,
                                      char text[RMR_COORD_API_KEY_TEXT],
                                      uint64_t *id);
/** The first key with an id above `after`.                           [look]
 *  Effects: on *out.  Errors: NOTFOUND.  Source: none. */
RMR_API rmr_err rmr_coord_api_key_next(const rmr_coord *c, uint64_t after,
                                       rmr_coord_api_key *out);
/** Nobody gets in by it any more.
 *  Effects: as said.  Errors: NOTFOUND.  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_api_key_expire(rmr_coord *c, uint64_t id);
/** Forgets it.
 *  Effects: as said.  Errors: NOTFOUND.  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_api_key_remove(rmr_coord *c, uint64_t id);

/* ---- nodes -------------------------------------------------------------- */

typedef struct rmr_coord_node { /* borrowed until the next change */
    uint64_t id, user; /* user 0: it has tags alone */
    const uint8_t *machine_key, *node_key, *disco_key; /* 32 bytes each */
    const char *hostname;   /* as the client says */
    const char *given_name; /* its DNS label */
    rmr_addr v4, v6;        /* family NONE: none */
    bool online, ephemeral, expired;
    uint64_t created_unix_ns, last_seen_unix_ns, expiry_unix_ns;
    uint64_t key; /* the pre-auth key that it came by, or 0 */
    const char *const *tags;
    size_t n_tags;
    const rmr_addr *endpoints;
    size_t n_endpoints;
    uint16_t home_derp, capability;
    const rmr_prefix *announced, *approved; /* routes */
    size_t n_announced, n_approved;
} rmr_coord_node;

/** A node.                                                           [look]
 *  Effects: on *out.  Errors: NOTFOUND.  Source: none. */
RMR_API rmr_err rmr_coord_node_get(const rmr_coord *c, uint64_t id,
                                   rmr_coord_node *out);
/** The first node with an id above `after`.                          [look]
 *  Effects: on *out.  Errors: NOTFOUND.  Source: none. */
RMR_API rmr_err rmr_coord_node_next(const rmr_coord *c, uint64_t after,
                                    rmr_coord_node *out);
/** Is this the key of a node?  For a relay that admits the tailnet's nodes
 *  alone; one whose key ended is a node still.                       [look]
 *  Effects: none.  Errors: none.  Source: Headscale's API, POST /verify. */
RMR_API bool rmr_coord_has_node_key(const rmr_coord *c,
                                    const uint8_t key[RMR_KEY_LEN]);
/** Another DNS label.
 *  Effects: as said.  Errors: NOTFOUND, INVAL (no label), INUSE.
 *  Source: Headscale's API; RFC 1035 2.3.1. */
RMR_API rmr_err rmr_coord_node_rename(rmr_coord *c, uint64_t id,
                                      const char *label);
/** Its key ends at that time; 0: never.  Past: at once.
 *  Effects: as said.  Errors: NOTFOUND.  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_node_expire(rmr_coord *c, uint64_t id,
                                      uint64_t at_unix_ns);
/** Forgets it; its streams end and its peers drop it.
 *  Effects: as said.  Errors: NOTFOUND.  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_node_remove(rmr_coord *c, uint64_t id);
/** Its tags, which take it from its user for good.
 *  Effects: as said.
 *  Errors: NOTFOUND, INVAL (none, too many, a bad one), DENIED (the policy's
 *  tagOwners has not got one of them), NOMEM.
 *  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_node_set_tags(rmr_coord *c, uint64_t id,
                                        const char *const *tags, size_t n);
/** The routes that it may serve; one exit route is both.
 *  Effects: as said.  Errors: NOTFOUND, INVAL (too many, host bits), NOMEM.
 *  Source: Headscale's API. */
RMR_API rmr_err rmr_coord_node_approve(rmr_coord *c, uint64_t id,
                                       const rmr_prefix *routes, size_t n);

/* ---- logins that wait for approval -------------------------------------- */

/** The node that waits under that id becomes the user's, or gets the tags that
 *  it asks for.
 *  Effects: its client is answered.
 *  Errors: NOTFOUND (the login, or the user), DENIED (the user may not give it
 *  one of those tags; it goes on waiting), INUSE (another node has its key by
 *  now), FULL (no address is left), NOMEM.
 *  Source: Headscale's API, POST /api/v1/auth/register. */
RMR_API rmr_err rmr_coord_login_approve(rmr_coord *c, const char *login,
                                        uint64_t user, uint64_t *node);

/** Ends that login: its client is told, and may ask anew.
 *  Effects: as said.  Errors: NOTFOUND.
 *  Source: Headscale's API, POST /api/v1/auth/reject. */
RMR_API rmr_err rmr_coord_login_reject(rmr_coord *c, const char *login);

/** Says yes or no to somebody who wants in by SSH under a rule with "check"
 *  (the event CHECK).  A yes is good for the rule's checkPeriod, until the end
 *  of the server or another policy.
 *  Effects: the node that asks is answered.
 *  Errors: NOTFOUND (no such id, or it was decided, or 15 minutes are over; a
 *  yes where no rule asks for it any more, which the node is told).
 *  Source: Headscale's API, POST /api/v1/auth/approve; tailcfg.SSHAction. */
RMR_API rmr_err rmr_coord_check_decide(rmr_coord *c, const char *id, bool yes);

/* ---- figures ------------------------------------------------------------ */

typedef struct rmr_coord_stats {
    uint64_t nodes, online, users, connections, streams;
    uint64_t accepted, rejected;     /* connections                         */
    uint64_t handshakes, bad_handshakes;
    uint64_t registers, refused;     /* ... with an error                   */
    uint64_t updates, map_requests;  /* lite updates; streams               */
    uint64_t frames, frame_bytes;    /* of map streams, as sent             */
    uint64_t bad_requests;           /* inside Noise                        */
    uint64_t commits, rows;          /* stored, and rows in them            */
    uint64_t failed_commits;
    uint64_t displaced; /* connections that gave their place to another */
    uint64_t forwarded; /* requests of which a trusted proxy said who asks   */
    uint64_t untrusted; /* ... somebody else: ignored                        */
    uint64_t limited;   /* handshakes of addresses that began too many       */
    uint64_t repeated;  /* frames that were made for another stream          */
} rmr_coord_stats;

/** Counters since the start.                                         [look]
 *  Effects: on *out.  Errors: none.  Source: none. */
RMR_API void rmr_coord_get_stats(const rmr_coord *c, rmr_coord_stats *out);

#ifdef __cplusplus
}
#endif
#endif
