/*
 * remora/netmap.h - the table of what a control server told: this node, its
 * peers, the DERP map, names; and the decoder that fills it from MapResponses.
 *
 * The decoder takes JSON in pieces as it arrives and applies one element (one
 * peer, one region, one rule) at a time: its working memory is fixed, and a
 * delta costs by its own size.  The table can be written out as a MapResponse
 * and read back, which is how the last netmap is kept.
 *
 * Views (rmr_nm_node, ...) are filled from packed storage; what they point to
 * is borrowed until the next call that is not const.
 *
 * It is not a validator: what it can't read of an element it drops and counts
 * (stats.dropped_elements), and goes on.  Expiry by the clock is seen in views
 * (`expired`), as of the last frame; it makes no event.
 *
 * Threading: one object, one thread.  Inside a callback look functions alone
 * are allowed.  Memory: through rmr_env.alloc, one block a peer (400 to 580
 * bytes with its indexes), 3 KiB for the rest and 2 for the filter, 26 more
 * from a frame's first byte to frame_end (none for a bare keep-alive); bounded
 * by max_peers.  Time: none but the wall time of each frame.
 *
 *     rmr_nm_new(&nm, &env, &cfg);
 *     rmr_nm_stream_begin(nm);
 *     each frame:
 *         rmr_nm_frame_begin(nm, wall);
 *         while (more) rmr_nm_frame_feed(nm, piece);
 *         rmr_nm_frame_end(nm);
 *     for (pos = 0; rmr_nm_next_peer(nm, &pos, &peer);)
 *         show(peer.name, peer.online);
 *
 * Source: Tailscale control protocol, capability version 138 (tailcfg:
 * MapResponse, Node, DERPMap, DNSConfig, UserProfile, FilterRule).
 */
#ifndef REMORA_NETMAP_H
#define REMORA_NETMAP_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/crypto.h>
#include <remora/dial.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_nm rmr_nm;
struct rmr_filter;

/* What a node says that it serves (Hostinfo.Services). */
typedef enum rmr_nm_proto {
    RMR_NM_PROTO_TCP = 1,
    RMR_NM_PROTO_UDP,
    RMR_NM_PROTO_PEERAPI4,
    RMR_NM_PROTO_PEERAPI6,
    RMR_NM_PROTO_PEERAPI_DNS /* answers DNS for those who use it as exit */
} rmr_nm_proto;

typedef struct rmr_nm_service {
    uint16_t port;
    uint16_t proto; /* rmr_nm_proto */
} rmr_nm_service;

typedef struct rmr_nm_node { /* a view */
    uint64_t id;
    int64_t user;
    const char *stable_id;
    const char *name;     /* FQDN without the final dot, lower case */
    const char *hostname; /* Hostinfo.Hostname */
    const char *os;
    uint8_t key[RMR_KEY_LEN];
    uint8_t disco_key[RMR_KEY_LEN]; /* zero: none */
    const rmr_prefix *addrs;        /* own addresses */
    size_t n_addrs;
    const rmr_prefix *allowed_ips;
    size_t n_allowed_ips;
    const rmr_prefix *primary_routes;
    size_t n_primary_routes;
    const rmr_addr *endpoints;
    size_t n_endpoints;
    uint64_t key_expiry_unix_ns; /* 0: never */
    uint64_t last_seen_unix_ns;  /* 0: unknown */
    uint64_t created_unix_ns;
    uint16_t home_derp; /* 0: unknown */
    uint16_t cap;
    int8_t online; /* 1, 0, -1: unknown */
    bool expired, machine_authorized, wireguard_only, jailed;
    size_t n_caps;    /* rmr_nm_cap_at */
    const char *tags; /* rmr_nm_tag_at; "tag:a" NUL "tag:b" NUL */
    size_t n_tags;
    const rmr_nm_service *services;
    size_t n_services;
} rmr_nm_node;

/* A capability: of a node (CapMap), or granted to a peer (CapGrant). */
typedef struct rmr_nm_cap { /* a view */
    const char *name;
    const char *values; /* a JSON array as text; "[]": none */
} rmr_nm_cap;

typedef struct rmr_nm_derp_node { /* a view */
    const char *name, *host;
    const char *cert_name; /* as rmr_dial's; "": host */
    rmr_addr addrs[2];     /* as rmr_dial's: literals, of a family each */
    uint8_t n_addrs;
    bool no_v4, no_v6, tls, insecure;
    uint16_t port;
    rmr_addr stun_test_ip; /* probed instead of its own; family NONE: none */
    int32_t stun_port;     /* -1: neither STUN nor ICMP */
    bool stun_only;
    bool can_port80; /* answers /generate_204 on TCP 80 */
} rmr_nm_derp_node;

typedef struct rmr_nm_derp_region { /* a view */
    uint16_t id;
    const char *code, *name;
    double latitude, longitude; /* degrees; 0, 0: not said */
    double score; /* factor to its latency when a home is chosen; 1: as it is */
    bool no_measure_no_home;
    bool avoid;
    const rmr_nm_derp_node *nodes;
    size_t n_nodes;
} rmr_nm_derp_region;

typedef struct rmr_nm_user { /* a view */
    int64_t id;
    const char *login, *display;
    const char *picture; /* a URL, or "" */
    const char *groups;  /* rmr_nm_group_at; "a" NUL "b" NUL */
    size_t n_groups;
} rmr_nm_user;

/* Whose an address is. */
typedef struct rmr_nm_who { /* a view */
    rmr_nm_node node;
    bool is_self;
    bool has_user;
    rmr_nm_user user;
    rmr_addr ours; /* our own address that such a peer talks to: the target of
                      its grants; family NONE: we have none of that family */
} rmr_nm_who;

typedef enum rmr_nm_severity {
    RMR_NM_SEVERITY_LOW,
    RMR_NM_SEVERITY_MEDIUM, /* also what does not say */
    RMR_NM_SEVERITY_HIGH
} rmr_nm_severity;

typedef struct rmr_nm_message { /* a view: a health line */
    const char *id; /* "": of the old list, which is text alone */
    const char *title, *text;
    const char *action_url, *action_label; /* "": nothing to press */
    rmr_nm_severity severity;
    bool impacts_connectivity;
} rmr_nm_message;

/* ---- DNS: what DNSConfig said, names in lower case without final dot -- */

typedef enum rmr_nm_resolver_kind {
    RMR_NM_RESOLVER_OTHER, /* a form that is not known */
    RMR_NM_RESOLVER_DNS,   /* UDP and TCP at `addr` */
    RMR_NM_RESOLVER_HTTPS, /* DNS over HTTPS, the URL in `text` */
    RMR_NM_RESOLVER_HTTP   /* the same without TLS, inside the tailnet */
} rmr_nm_resolver_kind;

typedef struct rmr_nm_resolver {
    const char *text;          /* as it was written */
    rmr_nm_resolver_kind kind;
    rmr_addr addr;             /* with its port, 53 where none is written;
                                  HTTP: of the URL where it is an address */
    const rmr_addr *bootstrap; /* addresses of the URL's host; no port */
    size_t n_bootstrap;
    bool with_exit_node; /* also asked while an exit node is in use */
} rmr_nm_resolver;

typedef struct rmr_nm_dns_route {
    const char *suffix; /* "": all names */
    const rmr_nm_resolver *resolvers;
    size_t n_resolvers; /* 0: this node answers for it, alone */
} rmr_nm_dns_route;

typedef struct rmr_nm_dns_record {
    const char *name;
    rmr_addr addr; /* port 0 */
} rmr_nm_dns_record;

typedef struct rmr_nm_dns_config {
    bool proxied; /* MagicDNS is on */
    const rmr_nm_resolver *resolvers; /* for all that no route takes */
    size_t n_resolvers;
    const rmr_nm_resolver *fallback;
    size_t n_fallback;
    const rmr_nm_dns_route *routes; /* by rising suffix */
    size_t n_routes;
    const char *const *domains; /* to search */
    size_t n_domains;
    const rmr_nm_dns_record *records; /* ExtraRecords: A and AAAA alone */
    size_t n_records;
    const char *const *cert_domains;
    size_t n_cert_domains;
    const char *const *exit_filtered; /* suffixes (".x") and names that an exit
                                         node does not answer for others */
    size_t n_exit_filtered;
} rmr_nm_dns_config;

typedef enum rmr_nm_change {
    RMR_NM_PEER_ADDED,
    RMR_NM_PEER_CHANGED, /* old_key differs from the key when it was rotated */
    RMR_NM_PEER_REMOVED
} rmr_nm_change;

/* What a frame changed, as a set of bits in on_frame. */
enum {
    RMR_NM_SELF = 1 << 0,
    RMR_NM_PEERS = 1 << 1,
    RMR_NM_DERP_MAP = 1 << 2,
    RMR_NM_DNS = 1 << 3,
    RMR_NM_FILTER = 1 << 4,
    RMR_NM_USERS = 1 << 5,
    RMR_NM_HEALTH = 1 << 6,
    RMR_NM_KEEPALIVE = 1 << 7
};

typedef struct rmr_nm_ping { /* a PingRequest; a view */
    const char *url;
    const char *types; /* "": a HEAD of `url`; else "disco,TSMP,ICMP..." */
    rmr_addr ip;       /* whom to ping; family NONE: nobody */
    bool url_is_noise; /* the answer goes by rmr_ctl_answer_ping() */
} rmr_nm_ping;

typedef struct rmr_nm_callbacks {
    uint32_t struct_size;
    void *user;
    /* One peer; for REMOVED the view is of what it was.  Look functions alone
     * may be called inside. */
    void (*on_peer)(void *user, rmr_nm_change change, const rmr_nm_node *peer,
                    const uint8_t old_key[RMR_KEY_LEN]);
    /* A whole frame was applied: `changed` is a set of RMR_NM_... bits. */
    void (*on_frame)(void *user, uint32_t changed);
    /* The server asks for a sign of life, or for a peer to be pinged; or it
     * shows something.  Submit functions of the client may be called inside. */
    void (*on_ping_request)(void *user, const rmr_nm_ping *ping);
    void (*on_pop_browser)(void *user, const char *url);
    /* After on_peer: its disco key is another one, so it was started anew and
     * has lost its sessions. */
    void (*on_peer_restarted)(void *user, const rmr_nm_node *peer);
} rmr_nm_callbacks;

typedef struct rmr_nm_config {
    uint32_t struct_size;
    uint32_t max_peers; /* default 100,000; more are dropped and counted */
    const rmr_nm_callbacks *callbacks; /* copied */
} rmr_nm_config;

typedef struct rmr_nm_stats {
    uint64_t frames, bytes, peers_added, peers_changed, peers_removed, patches;
    uint64_t dropped_elements; /* too big, malformed inside, or above max */
    size_t memory_bytes;
} rmr_nm_stats;

/**
 * Defaults: 100,000 peers, no callbacks.                              [look]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_nm_config_init(rmr_nm_config *cfg, size_t struct_size);

/**
 * An empty table.                                                   [submit]
 *
 * Effects: allocates.
 * Errors:  INVAL (no room for any peer), NOMEM, RNG (the keys of the indexes).
 * Lifetime: until rmr_nm_free(); env and cfg are copied.
 * Source:  none.
 */
RMR_API rmr_err rmr_nm_new(rmr_nm **out, const rmr_env *env,
                           const rmr_nm_config *cfg);

/**
 * Frees, its filter too; NULL is allowed.  Not from a callback.       [pump]
 *
 * Effects: no callbacks.
 * Errors: none.
 * Source: none.
 */
RMR_API void rmr_nm_free(rmr_nm *nm);

/* ---- filling ---------------------------------------------------------- */

/**
 * A new stream begins: its first frame with a Node is a full one, and what
 * that does not say (peers, filters, DNS, health) is not so any more. [submit]
 *
 * Effects: at the end of that frame.
 * Errors: none.
 * Source: tailcfg.MapResponse.
 */
RMR_API void rmr_nm_stream_begin(rmr_nm *nm);

/**
 * Begins a frame; one that was not ended is given up.                 [pump]
 *
 * \param now_unix_ns  For PeerSeenChange and expiry; 0: unknown.
 *
 * Effects: none seen.  Does nothing within a callback.
 * Errors: none.
 * Source: tailcfg.MapResponse; control/controlclient.
 */
RMR_API void rmr_nm_frame_begin(rmr_nm *nm, uint64_t now_unix_ns);

/**
 * A piece of the frame's JSON, of any size.                           [pump]
 *
 * Effects: on_peer for each that differs, on_ping_request, on_pop_browser.
 *          Peers are applied as they are read; DERP regions, DNS and the
 *          filter when they are whole.
 * Errors: MALFORMED (not JSON, or no object), TOOBIG (a string of a rule above
 *         8 KiB, nested too deep, too many filters), NOMEM; sticky until the
 *         next frame.  STATE (no frame), REENTRANT.
 * Source: tailcfg.MapResponse, Node, DERPMap; RFC 8259.
 */
RMR_API rmr_err rmr_nm_frame_feed(rmr_nm *nm, rmr_bytes json);

/**
 * The frame is over.  Only now do peers go that a full list left out, and is
 * the filter compiled.                                                [pump]
 *
 * Effects: on_peer(REMOVED), then on_frame.  After a broken frame neither:
 *          what was applied of it stays, nothing is removed by it.  The
 *          filter's local addresses are set to this node's where it changed;
 *          who advertises routes sets them again in on_frame.
 * Errors: as rmr_nm_frame_feed.  NOMEM while compiling: the filter lets
 *         nothing in until the next frame.
 * Source: tailcfg.MapResponse; wgengine/filter.
 */
RMR_API rmr_err rmr_nm_frame_end(rmr_nm *nm);

/**
 * Looks which peers' keys have ended since the last look; walks all peers.
 *                                                                     [pump]
 *
 * \param now_unix_ns  Our clock.
 * \return When, by the server's clock (rmr_nm_server_time), the next key ends;
 *         0: none does, the clock is not set, or a frame is being read.
 * Effects: on_peer(CHANGED) for each that ended, on_frame(RMR_NM_PEERS) when
 *          there was one.
 * Errors: none.
 * Source: tailcfg.Node, KeyExpiry; control/controlclient.
 */
RMR_API uint64_t rmr_nm_expire(rmr_nm *nm, uint64_t now_unix_ns);

/**
 * Writes the whole table as one MapResponse, a piece per call.        [look]
 *
 * \param pos  0 at first, then as it was left.  The table may not change in
 *             between.
 * \param dst  At least 64 KiB.
 * \param len  What was written; 0: that was all.
 *
 * Effects: dst, *len and *pos are written; the table stays.
 * Errors:  BUFSIZE, INVAL (a position that is none).
 * Source:  control/controlclient.
 */
RMR_API rmr_err rmr_nm_save(const rmr_nm *nm, uint64_t *pos, rmr_buf dst,
                            size_t *len);

/**
 * Marks the table as it is now, for rmr_nm_save_since.              [submit]
 * Not while a frame is read.
 * Effects: what differs is noted from now on: 8 bytes for each peer that
 *          goes, of 4,096 at most.
 * Errors:  none.
 * Source:  none; ours.
 */
RMR_API void rmr_nm_mark(rmr_nm *nm);
/**
 * How many peers changed or came since the mark, and are there; SIZE_MAX: what
 * changed can't be told in a frame (never marked, the DERP map or DNS changed,
 * too many went, no memory).                                          [look]
 * Effects: none.
 * Errors:  none.
 * Source:  none; ours.
 */
RMR_API size_t rmr_nm_unsaved(const rmr_nm *nm);
/**
 * Writes what makes the table of the mark this one, as a MapResponse: as
 * rmr_nm_save does.  Whom no node has any more, a user, may stay.     [look]
 *
 * Effects: dst, *len and *pos are written; the table and its mark stay.
 * Errors:  STATE (rmr_nm_unsaved is SIZE_MAX), BUFSIZE, INVAL.
 * Source:  control/controlclient.
 */
RMR_API rmr_err rmr_nm_save_since(const rmr_nm *nm, uint64_t *pos, rmr_buf dst,
                                  size_t *len);

/* ---- looking ---------------------------------------------------------- */

/**
 * This node; false before the first frame.                            [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  MapResponse.Node.
 */
RMR_API bool rmr_nm_self(const rmr_nm *nm, rmr_nm_node *out);

/**
 * How many peers there are.                                           [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API size_t rmr_nm_peer_count(const rmr_nm *nm);

/**
 * A peer by its id; false: there is none.                             [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  tailcfg.MapResponse.
 */
RMR_API bool rmr_nm_peer(const rmr_nm *nm, uint64_t id, rmr_nm_node *out);

/**
 * By node key.  Of several with one key the one of the lowest id, here and in
 * the next three.                                                     [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_nm_peer_by_key(const rmr_nm *nm,
                                const uint8_t key[RMR_KEY_LEN],
                                rmr_nm_node *out);

/**
 * By disco key.                                                       [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_nm_peer_by_disco(const rmr_nm *nm,
                                  const uint8_t key[RMR_KEY_LEN],
                                  rmr_nm_node *out);

/**
 * By one of its own addresses; the port does not matter.              [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  Node.Addresses.
 */
RMR_API bool rmr_nm_peer_by_ip(const rmr_nm *nm, const rmr_addr *ip,
                               rmr_nm_node *out);

/**
 * By MagicDNS name: the FQDN (final dot optional), or its first label where the
 * rest is our own domain; case doesn't matter.                        [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  tailcfg.DNSConfig.
 */
RMR_API bool rmr_nm_peer_by_name(const rmr_nm *nm, const char *name,
                                 rmr_nm_node *out);

/**
 * Walks all peers by rising id: start with *pos = 0; false at the end.  The
 * table may change in between.                                        [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_nm_next_peer(const rmr_nm *nm, uint64_t *pos,
                              rmr_nm_node *out);

/**
 * A user by id (rmr_nm_node.user); false: not told.                   [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  MapResponse.UserProfiles.
 */
RMR_API bool rmr_nm_user_profile(const rmr_nm *nm, int64_t id,
                                 rmr_nm_user *out);

/**
 * Walks all users by rising id: start with *pos = 0; false at the end.
 *                                                                     [look]
 *
 * Effects: *pos moves on.
 * Errors:  none.
 * Source:  MapResponse.UserProfiles.
 */
RMR_API bool rmr_nm_next_user(const rmr_nm *nm, size_t *pos,
                              rmr_nm_user *out);

/**
 * How many DERP regions there are.                                    [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  DERPMap.
 */
RMR_API size_t rmr_nm_derp_count(const rmr_nm *nm);

/**
 * A region by its place, by rising region id; false behind the last.  [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  DERPMap.Regions.
 */
RMR_API bool rmr_nm_derp_at(const rmr_nm *nm, size_t i,
                            rmr_nm_derp_region *out);

/**
 * A region by its id.                                                 [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  DERPMap.Regions.
 */
RMR_API bool rmr_nm_derp_region_by_id(const rmr_nm *nm, uint16_t id,
                                      rmr_nm_derp_region *out);

/**
 * How a relay of the map is dialled: within 10 s.                     [look]
 *
 * Effects: *out is written, all of it (unused bytes are 0).  Errors: none.
 * Source: tailcfg.DERPNode.
 */
RMR_API void rmr_nm_derp_dial(const rmr_nm_derp_node *node, rmr_dial *out);

/**
 * The tailnet's display name; "" before it is told.                   [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  MapResponse.Domain.
 */
RMR_API const char *rmr_nm_domain(const rmr_nm *nm);

/**
 * The MagicDNS suffix: our FQDN without its first label, or "".       [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  tailcfg.DNSConfig.
 */
RMR_API const char *rmr_nm_magic_suffix(const rmr_nm *nm);

/**
 * Is MagicDNS on?                                                     [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  DNSConfig.Proxied.
 */
RMR_API bool rmr_nm_magic_dns_enabled(const rmr_nm *nm);

/**
 * All of DNSConfig; never NULL, and empty before it was told.         [look]
 *
 * Lifetime: until the next call that is not const, as views.
 * Effects: none.
 * Errors:  none.
 * Source:  MapResponse.DNSConfig.
 */
RMR_API const rmr_nm_dns_config *rmr_nm_dns(const rmr_nm *nm);

/**
 * The route of a name: that of the longest suffix which it equals or lies
 * under; NULL: none.  Case and a final dot don't matter.              [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  DNSConfig.Routes.
 */
RMR_API const rmr_nm_dns_route *rmr_nm_dns_route_of(const rmr_nm *nm,
                                                    const char *name);

/**
 * The search domains, NULL behind the last.                           [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  DNSConfig.Domains.
 */
RMR_API const char *rmr_nm_dns_domain_at(const rmr_nm *nm, size_t i);

/**
 * Does this node have the attribute (a key of CapMap)?                [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  tailcfg.MapResponse.
 */
RMR_API bool rmr_nm_self_has_cap(const rmr_nm *nm, const char *name);

/**
 * Does that peer have it?                                             [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  Node.CapMap.
 */
RMR_API bool rmr_nm_peer_has_cap(const rmr_nm *nm, uint64_t id,
                                 const char *name);

/**
 * A capability of a node, by its place.                               [look]
 *
 * \param id  Of a peer or of this node.
 *
 * Effects: none.
 * Errors:  false: no such node, or behind the last.
 * Source:  Node.CapMap, Node.Capabilities.
 */
RMR_API bool rmr_nm_cap_at(const rmr_nm *nm, uint64_t id, size_t i,
                           rmr_nm_cap *out);

/**
 * The values of a capability of a node as a JSON array; NULL: it has not that
 * capability.                                                         [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  Node.CapMap.
 */
RMR_API const char *rmr_nm_cap_values(const rmr_nm *nm, uint64_t id,
                                      const char *name);

/**
 * A tag of a node ("tag:web"); NULL behind the last.                  [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  Node.Tags.
 */
RMR_API const char *rmr_nm_tag_at(const rmr_nm_node *node, size_t i);

/**
 * A group of a user; NULL behind the last.                            [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  UserProfile.Groups.
 */
RMR_API const char *rmr_nm_group_at(const rmr_nm_user *user, size_t i);

/**
 * Whose tailnet address is that?  This node's own addresses count.  What the
 * peer was granted here: rmr_nm_next_grant from `addr` to `out->ours`. [look]
 *
 * \param addr  The port does not matter.
 *
 * Effects: none.
 * Errors:  false: nobody's.
 * Source:  tailcfg.Node, UserProfile; ipn/ipnlocal (WhoIs).
 */
RMR_API bool rmr_nm_whois(const rmr_nm *nm, const rmr_addr *addr,
                          rmr_nm_who *out);

/**
 * Walks what the filter's rules grant to applications: start with *pos = 0;
 * false at the end.  A capability that several rules grant comes several
 * times; all values hold.  The table may not change in between.       [look]
 *
 * \param from  A peer's address.
 * \param to    Ours.
 *
 * Effects: *pos and *out are written.
 * Errors:  none.
 * Source:  FilterRule.CapGrant; wgengine/filter (CapsWithValues).
 */
RMR_API bool rmr_nm_next_grant(const rmr_nm *nm, uint64_t *pos,
                               const rmr_addr *from, const rmr_addr *to,
                               rmr_nm_cap *out);

/**
 * Is that capability granted?                                         [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  FilterRule.CapGrant.
 */
RMR_API bool rmr_nm_is_granted(const rmr_nm *nm, const rmr_addr *from,
                               const rmr_addr *to, const char *name);

/**
 * The server's clock as it told last, Unix ns; 0: it has not.         [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  control/controlclient.
 */
RMR_API uint64_t rmr_nm_control_time(const rmr_nm *nm);

/**
 * What the server's clock says when ours says `unix_ns`: the same, but for a
 * difference of more than a minute.                                   [look]
 *
 * \return 0 for 0, and for a time before 2023: that clock is not set, and no
 *         key counts as ended by it.
 * Effects: none.
 * Errors:  none.
 * Source:  tailcfg.MapResponse, ControlTime.
 */
RMR_API uint64_t rmr_nm_server_time(const rmr_nm *nm, uint64_t unix_ns);

/**
 * How many health lines there are: those of Health, and DisplayMessages. [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  tailcfg.MapResponse.
 */
RMR_API size_t rmr_nm_health_count(const rmr_nm *nm);

/**
 * A health line; "" behind the last.                                  [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  tailcfg.MapResponse.
 */
RMR_API const char *rmr_nm_health_at(const rmr_nm *nm, size_t i);

/**
 * The same with all that was said of it; false behind the last.       [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  MapResponse.DisplayMessages, Health.
 */
RMR_API bool rmr_nm_message_at(const rmr_nm *nm, size_t i,
                               rmr_nm_message *out);

/**
 * How long the server asks this client to be silent, in seconds, as the frame
 * that was read last said: 0 to 300.                                  [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  MapResponse.Debug.SleepSeconds.
 */
RMR_API uint32_t rmr_nm_sleep_seconds(const rmr_nm *nm);

/**
 * The packet filter that the rules compiled to; never NULL.  Before the first
 * frame it lets nothing in.                                           [look]
 *
 * Lifetime: the netmap's.
 * Effects: none.
 * Errors:  none.
 * Source:  wgengine/filter.
 */
RMR_API struct rmr_filter *rmr_nm_filter(rmr_nm *nm);

/**
 * The counters, by value.                                             [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_nm_get_stats(const rmr_nm *nm, rmr_nm_stats *out);

#ifdef __cplusplus
}
#endif
#endif
