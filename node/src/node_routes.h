/* What the node knows of routes: those that it offers, those of its peers that
 * it uses, and the exit node. */
#ifndef REMORA_NODE_ROUTES_H
#define REMORA_NODE_ROUTES_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/netmap.h>
#include <remora/wgcore.h>

#define ND_MAX_OFFERED RMR_NODE_MAX_ROUTES
#define ND_MAX_ROUTES 4096 /* of peers; more are left out */

typedef struct nd_peer_route {
    rmr_prefix to;
    uint64_t peer; /* id in the netmap */
} nd_peer_route;

typedef struct nd_prefixes { /* grows; node_prefix.c */
    rmr_prefix *p;
    size_t n, cap;
} nd_prefixes;

typedef struct nd_routes {
    /* offered */
    bool is_set; /* the preferences are valid ones: they are in force */
    size_t n_offered; /* of the preferences' routes: all, or none */
    bool exit_offered;
    nd_prefixes local; /* what the filter lets in: own addresses, and offers */
    /* used */
    bool accept, allow_lan;
    char exit_id[64];    /* its stable id, once it was seen; "": not yet */
    uint64_t exit_peer;  /* netmap id; 0: not there */
    nd_peer_route *table; /* the longest prefix first, each once */
    size_t n, cap;
    bool is_stale; /* a peer's routes changed in the frame that is read */
    /* The source that was checked last: a run mostly has one. */
    rmr_wg_peer seen_peer;
    rmr_addr seen_source;
} nd_routes;

#endif
