/*
 * remora/endpoints.h - the addresses at which others may reach us, gathered in
 * the order in which they are believed, and kept for a while after they were
 * last seen.
 *
 * It does no I/O: what a netcheck found, the port mapping and the host's own
 * addresses are given to it.  It decides nothing about paths.
 *
 * Source: Tailscale's magicsock and netmon, as the 1.98 clients gather and
 * cache endpoints.
 * Threading: one object, one thread.  Memory: the caller's struct, and from
 * rmr_alloc what the set and the cache take, at most 5 KiB.  Time: `now`,
 * monotonic ns.
 *
 *     rmr_endpoints eps;
 *     rmr_endpoints_init(&eps, &env.alloc);
 *     ... after each netcheck, or when links or the mapping changed:
 *     rmr_endpoints_input in = {.report = report, .ifaces = ifaces, ...};
 *     if (rmr_endpoints_gather(&eps, now, &in) &&
 *         rmr_endpoints_may_advertise(&eps, have_derp_map))
 *         send eps.list[0...eps.n - 1] to control, and to the path layer;
 */
#ifndef REMORA_ENDPOINTS_H
#define REMORA_ENDPOINTS_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/netcheck.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_ENDPOINTS_MAX 96        /* of a set; later ones are left out      */
#define RMR_ENDPOINTS_CACHE_MAX 64  /* remembered; the oldest goes first      */
#define RMR_ENDPOINTS_CACHE_PER_IP 6
#define RMR_ENDPOINTS_CACHE_FOR ((rmr_dur)310 * RMR_SEC)
#define RMR_ENDPOINTS_FRESH_FOR ((rmr_dur)27 * RMR_SEC) /* CallMeMaybe */

typedef enum rmr_endpoint_type { /* the numbers that control is told */
    RMR_ENDPOINT_UNKNOWN = 0,
    RMR_ENDPOINT_LOCAL = 1,
    RMR_ENDPOINT_STUN = 2,
    RMR_ENDPOINT_PORTMAPPED = 3,
    RMR_ENDPOINT_STUN4_LOCAL_PORT = 4,
    RMR_ENDPOINT_EXPLICIT = 5
} rmr_endpoint_type;

typedef struct rmr_endpoint {
    rmr_addr addr;
    uint8_t type; /* rmr_endpoint_type */
} rmr_endpoint;

typedef struct rmr_endpoints_iface { /* one address of the host */
    rmr_addr addr;    /* the port does not count */
    uint8_t bits;     /* length of its subnet's prefix; 0: unknown (as 24 for
                         IPv4, 64 for IPv6) */
    const char *name; /* of the interface, borrowed; NULL or "": unknown */
} rmr_endpoints_iface;

typedef struct rmr_endpoints_input { /* borrowed for the call */
    const rmr_netcheck_report *report; /* NULL: none yet */
    const rmr_addr *portmap;           /* the mapping, NULL: none */
    uint16_t fixed_port;               /* configured; 0: any */
    uint16_t local_port;               /* of the IPv4 socket, 0: not open */
    rmr_addr bound;                    /* the sockets are bound to this address
                                          alone; family NONE: to all */
    const rmr_addr *cloud;             /* public addresses of a cloud instance;
                                          their ports don't count */
    size_t n_cloud;
    const rmr_addr *fixed;             /* configured endpoints, with ports */
    size_t n_fixed;
    const rmr_endpoints_iface *ifaces; /* of interfaces that are up */
    size_t n_ifaces;
} rmr_endpoints_input;

typedef struct rmr_endpoints_cached { /* of the object */
    rmr_endpoint ep;
    rmr_time seen;
} rmr_endpoints_cached;

typedef struct rmr_endpoints { /* caller-owned; list and n are for looking */
    rmr_endpoint *list;
    size_t n;
    rmr_time gathered_at; /* RMR_TIME_NEVER: not yet */
    uint64_t left_out;    /* endpoints that did not fit */
    uint64_t evicted;     /* from the cache, before their time */
    rmr_endpoints_cached *cache;
    size_t n_cache;
    rmr_time now; /* the latest seen */
    rmr_alloc alloc;
    size_t cap, cap_cache;
} rmr_endpoints;

/**
 * An empty set.                                                       [submit]
 *
 * Effects: *e is overwritten; alloc is copied.
 * Errors:  none.
 * Lifetime: until rmr_endpoints_wipe().
 * Source:  none.
 */
RMR_API void rmr_endpoints_init(rmr_endpoints *e, const rmr_alloc *alloc);

/**
 * Gives its memory back; one that is all zero is fine too.            [submit]
 *
 * Effects: *e is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_endpoints_wipe(rmr_endpoints *e);

/**
 * Gathers anew, in this order; the first of equal addresses fixes its type:
 * port mapping; public IPv4, then IPv6 addresses; the public IPv4 address with
 * the configured port, where the NAT maps by destination; a cloud's addresses;
 * what was seen of these within RMR_ENDPOINTS_CACHE_FOR; configured ones; the
 * host's own addresses (rmr_endpoints_local).                         [submit]
 *
 * \return True when the set (addresses and types, in any order) is another one
 *         than before.
 * Effects: list, n, gathered_at and the cache are written.
 * Errors:  none; what does not fit, or finds no memory, is left out and
 *          counted.
 * Source:  magicsock: determineEndpoints; endpointTracker.
 */
RMR_API bool rmr_endpoints_gather(rmr_endpoints *e, rmr_time now,
                                  const rmr_endpoints_input *in);

/**
 * Forgets what was remembered (the network changed).                  [submit]
 *
 * Effects: on the cache alone.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_endpoints_forget(rmr_endpoints *e);

/**
 * Of the host's addresses those that are worth telling, sorted: not of
 * interfaces named zt... or wt0, not of the tailnet itself (100.64.0.0/10 but
 * 100.115.92.0/23, fd7a:115c:a1e0::/48), no IPv6 link-local ones, at most two
 * IPv6 ones a subnet; IPv4 link-local and fc00::/7 ones where there is nothing
 * better; loopback where there is nothing at all.                       [look]
 *
 * \param out  Of RMR_ENDPOINTS_MAX at most; ports are 0.
 * \return How many.
 * Effects: out is written.
 * Errors:  none; what does not fit is left out.
 * Source:  netmon: LocalAddresses.
 */
RMR_API size_t rmr_endpoints_local(const rmr_endpoints_iface *ifaces, size_t n,
                                   rmr_addr *out, size_t max);

/**
 * The same addresses with the same types, in any order.                 [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  magicsock: endpointSetsEqual.
 */
RMR_API bool rmr_endpoints_same(const rmr_endpoint *a, size_t na,
                                const rmr_endpoint *b, size_t nb);

/**
 * Whether the set may be told: not before there is a relay map or a STUN
 * endpoint, for a set without either is of no use.                      [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  magicsock: setEndpoints.
 */
RMR_API bool rmr_endpoints_may_advertise(const rmr_endpoints *e,
                                         bool have_derp_map);

/**
 * Gathered within RMR_ENDPOINTS_FRESH_FOR: good enough for a CallMeMaybe.
 *                                                                       [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  magicsock: endpointsFreshEnoughDuration.
 */
RMR_API bool rmr_endpoints_is_fresh(const rmr_endpoints *e, rmr_time now);

#ifdef __cplusplus
}
#endif
#endif
