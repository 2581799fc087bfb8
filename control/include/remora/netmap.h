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
 * Threading: one object, one thread.  Memory: through rmr_env.alloc, one block
 * a peer; bounded by max_peers.  Time: none.
 * Source: Tailscale control protocol, capability version 138 (tailcfg:
 * MapResponse, Node, DERPMap, DNSConfig, UserProfile).
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

typedef struct rmr_nm_node { /* a view */
    uint64_t id;
    int64_t user;
    const char *stable_id;
    const char *name;     /* FQDN without the final dot, lower case */
    const char *hostname; /* Hostinfo.Hostname */
    const char *os;
    uint8_t key[RMR_KEY_LEN];
    uint8_t disco_key[RMR_KEY_LEN]; /* zero: none */
    const rmr_prefix *addrs; /* own addresses */
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
} rmr_nm_node;

typedef struct rmr_nm_derp_node {
    char name[64];
    rmr_dial dial;
    int32_t stun_port; /* -1: none */
    bool stun_only;
} rmr_nm_derp_node;

typedef struct rmr_nm_derp_region { /* a view */
    uint16_t id;
    const char *code, *name;
    bool no_measure_no_home;
    bool avoid;
    const rmr_nm_derp_node *nodes;
    size_t n_nodes;
} rmr_nm_derp_region;

typedef struct rmr_nm_user { /* a view */
    int64_t id;
    const char *login, *display;
} rmr_nm_user;

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

typedef struct rmr_nm_callbacks {
    uint32_t struct_size;
    void *user;
    /* One peer; for REMOVED the view is of what it was.  Look functions alone
     * may be called inside. */
    void (*on_peer)(void *user, rmr_nm_change change, const rmr_nm_node *peer,
                    const uint8_t old_key[RMR_KEY_LEN]);
    /* A whole frame was applied: `changed` is a set of RMR_NM_... bits. */
    void (*on_frame)(void *user, uint32_t changed);
    /* The server asks for a sign of life or shows something. */
    void (*on_ping_request)(void *user, const char *url, bool url_is_noise,
                            const char *types);
    void (*on_pop_browser)(void *user, const char *url);
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

RMR_API void rmr_nm_config_init(rmr_nm_config *cfg, size_t struct_size);
RMR_API rmr_err rmr_nm_new(rmr_nm **out, const rmr_env *env,
                           const rmr_nm_config *cfg);
RMR_API void rmr_nm_free(rmr_nm *nm);

/* ---- filling ---------------------------------------------------------- */

/** A new stream begins: its first frame is a full one. */
RMR_API void rmr_nm_stream_begin(rmr_nm *nm);
/** One frame: begin, feed pieces of any size, end.  `now_unix_ns` serves
 *  PeerSeenChange and expiry.  A broken frame (MALFORMED, TOOBIG) leaves
 *  what was applied before it; nothing is removed by it.               [pump] */
RMR_API void rmr_nm_frame_begin(rmr_nm *nm, uint64_t now_unix_ns);
RMR_API rmr_err rmr_nm_frame_feed(rmr_nm *nm, rmr_bytes json);
RMR_API rmr_err rmr_nm_frame_end(rmr_nm *nm);
/** Writes the whole table as one MapResponse, a piece per call: start with
 *  *pos = 0, call until *len is 0.  dst of at least 64 KiB.  The table may not
 *  change in between.                                                  [look] */
RMR_API rmr_err rmr_nm_save(const rmr_nm *nm, uint64_t *pos, rmr_buf dst,
                            size_t *len);

/* ---- looking ---------------------------------------------------------- */

RMR_API bool rmr_nm_self(const rmr_nm *nm, rmr_nm_node *out);
RMR_API size_t rmr_nm_peer_count(const rmr_nm *nm);
RMR_API bool rmr_nm_peer(const rmr_nm *nm, uint64_t id, rmr_nm_node *out);
RMR_API bool rmr_nm_peer_by_key(const rmr_nm *nm,
                                const uint8_t key[RMR_KEY_LEN],
                                rmr_nm_node *out);
/** By a disco key.  One disco key may be of several nodes: the first. */
RMR_API bool rmr_nm_peer_by_disco(const rmr_nm *nm,
                                  const uint8_t key[RMR_KEY_LEN],
                                  rmr_nm_node *out);
/** By one of its own addresses. */
RMR_API bool rmr_nm_peer_by_ip(const rmr_nm *nm, const rmr_addr *ip,
                               rmr_nm_node *out);
/** By MagicDNS name: the FQDN (final dot optional) or its first label where the
 *  rest is our own domain; case doesn't matter. */
RMR_API bool rmr_nm_peer_by_name(const rmr_nm *nm, const char *name,
                                 rmr_nm_node *out);
/** Walks all peers by rising id: start with *pos = 0; false at the end. */
RMR_API bool rmr_nm_next_peer(const rmr_nm *nm, uint64_t *pos,
                              rmr_nm_node *out);
RMR_API bool rmr_nm_user_profile(const rmr_nm *nm, int64_t id,
                                 rmr_nm_user *out);
RMR_API size_t rmr_nm_derp_count(const rmr_nm *nm);
/** By rising region id. */
RMR_API bool rmr_nm_derp_at(const rmr_nm *nm, size_t i,
                            rmr_nm_derp_region *out);
RMR_API bool rmr_nm_derp_region_by_id(const rmr_nm *nm, uint16_t id,
                                      rmr_nm_derp_region *out);
RMR_API const char *rmr_nm_domain(const rmr_nm *nm);        /* display name */
RMR_API const char *rmr_nm_magic_suffix(const rmr_nm *nm);  /* of our FQDN  */
RMR_API bool rmr_nm_magic_dns_enabled(const rmr_nm *nm);
/** The search domains, NULL behind the last. */
RMR_API const char *rmr_nm_dns_domain_at(const rmr_nm *nm, size_t i);
/** Does this node, or a peer, have the attribute (a key of CapMap)? */
RMR_API bool rmr_nm_self_has_cap(const rmr_nm *nm, const char *name);
RMR_API bool rmr_nm_peer_has_cap(const rmr_nm *nm, uint64_t id,
                                 const char *name);
/** The server's clock as it told last, Unix ns; 0: it has not. */
RMR_API uint64_t rmr_nm_control_time(const rmr_nm *nm);
RMR_API size_t rmr_nm_health_count(const rmr_nm *nm);
RMR_API const char *rmr_nm_health_at(const rmr_nm *nm, size_t i);
/** The packet filter that the rules compiled to; never NULL.  Before the first
 *  frame it lets nothing in. */
struct rmr_filter;
RMR_API struct rmr_filter *rmr_nm_filter(rmr_nm *nm);
RMR_API void rmr_nm_get_stats(const rmr_nm *nm, rmr_nm_stats *out);

#ifdef __cplusplus
}
#endif
#endif
