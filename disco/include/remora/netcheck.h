/*
 * remora/netcheck.h - what kind of network this is: which relays answer and how
 * fast, what public addresses we have, whether our NAT maps by destination, and
 * which relay region should be our home.
 *
 * It opens no sockets and resolves no names.  STUN requests and ICMP echoes
 * come out as datagrams; names, HTTPS latency and the captive-portal request
 * are asked of the host (wants_...), who answers when it knows.  The port
 * mapper (remora/portmap.h) is the host's to run beside it.
 *
 *  - rmr_netcheck: one run at a time, its report, and the history of reports
 *    that the choice of a home needs.
 *  - rmr_netcheck_sched: when to run.  The host feeds it triggers.
 *  - rmr_netcheck_info: what of a report control is told, and whether that
 *    changed.
 *
 * Threading: one object, one thread.  The callback comes from pump functions
 * alone, when the object is consistent; in it all but pump functions may be
 * called (rmr_netcheck_start too).
 * Memory: through rmr_env.alloc, on demand: 152 bytes a node of the map and
 * its two names, 280 a region, and during a run 40 a probe (at most 6 a
 * region).  RMR_NETCHECK_MAX_REGIONS regions of RMR_NETCHECK_MAX_NODES nodes
 * (about two megabytes); what a map has beyond is left out and counted.
 * Time: `now`, monotonic ns; deadlines are exact.
 * Numbers: no floating point.  A region's score is in thousandths, and a
 * latency times a score is cut to whole ns, so all machines choose alike.
 *
 * Source: Tailscale's netcheck, as its 1.98 clients do it: probe plans, stop
 * rules, home choice with history and hysteresis; RFC 8489 (STUN); RFC 792
 * (echo).
 *
 *     rmr_netcheck_set_map(nc, now, regions, n, &changed);
 *     if (changed) rmr_netcheck_trigger(&sched, now, RMR_NETCHECK_WHY_MAP);
 *     each turn:
 *         if (rmr_netcheck_sched_wants_run(&sched, now) &&
 *             rmr_netcheck_start(nc, now, &how)) rmr_netcheck_sched_ended(...);
 *         while (rmr_netcheck_wants_name(nc, now, &name)) resolve(&name);
 *         while (!rmr_netcheck_write_pkt(nc, now, dst, &len, &to) && len)
 *             send(to, len);
 *         while (!rmr_netcheck_write_icmp(nc, now, dst, &len, &to) && len) ...
 *         while (rmr_netcheck_wants_https(nc, now, &region)) measure(region);
 *         if (rmr_netcheck_wants_portal(nc, now, &portal)) ask(&portal);
 *     a datagram of class RMR_DATAGRAM_STUN: rmr_netcheck_read_pkt(...)
 *     on_done(report): new endpoints, new home, control is told;
 *         rmr_netcheck_sched_ended(&sched, now, &env.rng);
 */
#ifndef REMORA_NETCHECK_H
#define REMORA_NETCHECK_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_NETCHECK_MAX_REGIONS 1024
#define RMR_NETCHECK_MAX_NODES 8    /* of a region, the first ones */
#define RMR_NETCHECK_MAX_GLOBALS 32 /* different public addresses, a family */
#define RMR_NETCHECK_NAME_MAX 64    /* a node's name and a NUL */
#define RMR_NETCHECK_ICMP_MAX 72    /* the longest echo: header 8, name */
#define RMR_NETCHECK_NO_LATENCY UINT64_MAX
#define RMR_NETCHECK_SCORE_ONE 1000 /* RegionScore 1.0 */

typedef enum rmr_netcheck_tri {
    RMR_NETCHECK_UNKNOWN = 0,
    RMR_NETCHECK_NO,
    RMR_NETCHECK_YES
} rmr_netcheck_tri;

typedef struct rmr_netcheck_node { /* of the DERP map; copied */
    const char *name;  /* "900a"; cut to RMR_NETCHECK_NAME_MAX - 1 bytes      */
    const char *host;  /* to resolve for a family that has no literal and is
                          not switched off                                    */
    rmr_addr v4, v6;   /* literals of the map (the ports don't count), or of
                          family NONE                                         */
    rmr_addr test_ip;  /* STUNTestIP: probed instead of all that; or NONE     */
    bool no_v4, no_v6; /* the map switches that family off ("none")           */
    int32_t stun_port; /* 0: 3478; negative or above 65535: no STUN, no ICMP  */
    bool stun_only;    /* it is no relay: no HTTPS                            */
    bool can_port80;   /* good for the captive-portal check                   */
} rmr_netcheck_node;

typedef struct rmr_netcheck_region {
    uint16_t id;    /* not 0 */
    bool avoid;
    bool no_measure_no_home;
    uint32_t score; /* RegionScore in thousandths; 0: none */
    const rmr_netcheck_node *nodes;
    size_t n_nodes;
} rmr_netcheck_region;

typedef struct rmr_netcheck_latency { /* RMR_NETCHECK_NO_LATENCY: none */
    uint16_t region;
    rmr_dur any; /* the least of all ways, HTTPS and ICMP too */
    rmr_dur v4, v6; /* STUN */
} rmr_netcheck_latency;

typedef struct rmr_netcheck_global { /* a public address, and how often seen */
    rmr_addr addr;
    uint32_t seen;
} rmr_netcheck_global;

typedef struct rmr_netcheck_report {
    rmr_time started, ended;
    bool full;                    /* all regions were looked at              */
    bool udp;                     /* a STUN answer came                      */
    bool ipv4, ipv6;              /* an answer by that family                */
    bool ipv4_can_send, ipv6_can_send; /* a probe could be sent              */
    bool os_has_ipv6;             /* as the host said at the start           */
    bool icmpv4;                  /* an echo came back                       */
    rmr_netcheck_tri mapping_varies; /* MappingVariesByDestIP, IPv4          */
    rmr_netcheck_tri upnp, pmp, pcp; /* as rmr_netcheck_portmap_done said    */
    rmr_netcheck_tri captive_portal;
    uint16_t preferred_derp;      /* 0: nothing found, see rmr_netcheck_home */
    rmr_addr global_v4, global_v6;
    const rmr_netcheck_latency *latency; /* of regions that answered, by id  */
    size_t n_latency;
    const rmr_netcheck_global *globals_v4, *globals_v6; /* as first seen     */
    size_t n_globals_v4, n_globals_v6;
} rmr_netcheck_report;

typedef struct rmr_netcheck rmr_netcheck;

typedef struct rmr_netcheck_callbacks {
    uint32_t struct_size;
    void *user;
    /* A run ended.  The report is borrowed for the call (rmr_netcheck_report
     * gives it later too); NULL: it was stopped, and there is none. */
    void (*on_done)(void *user, const rmr_netcheck_report *report);
} rmr_netcheck_callbacks;

typedef struct rmr_netcheck_config {
    uint32_t struct_size;
    const rmr_netcheck_callbacks *callbacks; /* copied */
    uint32_t max_https; /* asked for at once; 0: 16 */
} rmr_netcheck_config;

typedef struct rmr_netcheck_how { /* of one run */
    bool force_full;     /* else full only when it is time for it            */
    bool have_v4, have_v6; /* some interface has an address that reaches out */
    bool os_has_ipv6;    /* a socket could be bound to [::1]                 */
    bool only_tcp_443;   /* neither STUN nor ICMP                            */
    bool no_icmp;        /* the host has no echo socket                      */
    bool no_https;       /* the host can't measure HTTPS                     */
    bool no_portal;      /* nor look for captive portals                     */
    bool portmap;        /* the host asks the port mapper what is there, and
                            rmr_netcheck_portmap_done tells; the run waits   */
    uint16_t force_region; /* the home that is wished for; 0: none           */
} rmr_netcheck_how;

typedef struct rmr_netcheck_name { /* a look-up that is wanted */
    uint16_t region;
    uint8_t node;     /* place in the region's list */
    bool v4, v6;      /* which families */
    const char *host; /* borrowed until the next set_map */
} rmr_netcheck_name;

typedef struct rmr_netcheck_portal { /* a request that is wanted */
    uint16_t region;
    uint8_t node;
    rmr_addr addr;    /* port 80: GET http://<addr>/generate_204?t=<unix s> with
                         X-Tailscale-Challenge: ts_<addr> */
    rmr_dur timeout;  /* 3 s, or what is left of the run */
} rmr_netcheck_portal;

/* unknown: STUN answers to nothing that was asked; late: behind the end of
 * their run; malformed: no STUN answers at all.  left_out: regions and nodes of
 * the map that were too many; history_merged: latencies that did not fit. */
typedef struct rmr_netcheck_stats {
    uint64_t runs, full_runs, stopped_runs, stun_sent, stun_answers;
    uint64_t unknown, malformed, send_failures, icmp_sent, icmp_answers;
    uint64_t names_asked, names_failed, https_asked, https_failed;
    uint64_t left_out, history_merged, globals_dropped;
} rmr_netcheck_stats;

/* ---- the measurement ---------------------------------------------------- */

/**
 * Defaults.                                                           [submit]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_netcheck_config_init(rmr_netcheck_config *cfg,
                                      size_t struct_size);

/**
 * Without a map and without a report.                                 [submit]
 *
 * \param env, cfg  Copied, with the callbacks.  cfg NULL: defaults.
 *
 * Effects: draws 8 random bytes (for rmr_netcheck_home).
 * Errors:  RMR_E_NOMEM, RMR_E_RNG.
 * Source:  none.
 */
RMR_API rmr_err rmr_netcheck_new(rmr_netcheck **out, const rmr_env *env,
                                 const rmr_netcheck_config *cfg);

/**
 * Frees it; NULL is allowed.  Not from within the callback.             [pump]
 *
 * Effects: a run is over, without a callback.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_netcheck_free(rmr_netcheck *nc);

/**
 * The regions and their nodes; to be told again whenever the map changed.
 * Regions that stay keep their history, nodes that are the same keep the
 * addresses that were found for them.  Equal ids count once, the first.  [pump]
 *
 * \param regions  Copied.  n of 0: no map.
 * \param changed  Written: it differs from what was there.  May be NULL.
 *
 * Effects: when it differs, a run is stopped (on_done with NULL).
 * Errors:  RMR_E_NOMEM (unchanged), RMR_E_INVAL (a region with id 0; NULL where
 *          a name must be), RMR_E_REENTRANT.
 * Source:  DERPMap.
 */
RMR_API rmr_err rmr_netcheck_set_map(rmr_netcheck *nc, rmr_time now,
                                     const rmr_netcheck_region *regions,
                                     size_t n, bool *changed);

/**
 * Begins a run.  It ends by itself, at the latest after 5 s.          [submit]
 *
 * Full when asked, when the last full one began more than 5 min ago, or when
 * the last one had no UDP behind a captive portal.
 *
 * Effects: creates output, moves the deadline.
 * Errors:  RMR_E_STATE (one is under way, or there is no map), RMR_E_NOMEM,
 *          RMR_E_RNG; nothing began then.
 * Source:  netcheck: makeProbePlan.
 */
RMR_API rmr_err rmr_netcheck_start(rmr_netcheck *nc, rmr_time now,
                                   const rmr_netcheck_how *how);

/**
 * Ends a run without a report (the network went down).                  [pump]
 *
 * Effects: on_done with NULL when one was under way.
 * Errors:  RMR_E_REENTRANT.
 * Source:  none.
 */
RMR_API rmr_err rmr_netcheck_stop(rmr_netcheck *nc, rmr_time now);

/**
 * One STUN request to send from the sockets that carry the data; *len 0: none
 * now.                                                                  [pump]
 *
 * \param dst  At least RMR_STUN_REQUEST_LEN bytes.
 * \param to   Written; its family says which socket.
 *
 * Effects: the request counts as sent at `now`.
 * Errors:  RMR_E_BUFSIZE (nothing was taken), RMR_E_REENTRANT.
 * Source:  netcheck: runProbe.
 */
RMR_API rmr_err rmr_netcheck_write_pkt(rmr_netcheck *nc, rmr_time now,
                                       rmr_buf dst, size_t *len, rmr_addr *to);

/**
 * A datagram that looks like STUN.  Its sender does not matter: the transaction
 * id tells.                                                             [pump]
 *
 * Effects: on_done at most once; may move the deadline.
 * Errors:  RMR_E_MALFORMED, RMR_E_UNKNOWN (not an answer to us, or a second
 *          one): dropped and counted, nothing changed.  RMR_E_REENTRANT.
 * Source:  netcheck: addNodeLatency.
 */
RMR_API rmr_err rmr_netcheck_read_pkt(rmr_netcheck *nc, rmr_time now,
                                      rmr_bytes datagram);

/**
 * What was sent to this address did not leave the host (IPv4CanSend and
 * IPv6CanSend come from it).  A host that takes the error for mere loss does
 * not tell.                                                           [submit]
 *
 * Effects: none but on the report.
 * Errors:  none.
 * Source:  netcheck: IPv4CanSend.
 */
RMR_API void rmr_netcheck_send_failed(rmr_netcheck *nc, const rmr_addr *to);

/**
 * A name that the run needs; true once for each.  An answer is kept for 10 min,
 * and an older one is used while the new look-up is under way.        [submit]
 *
 * Effects: the wish is taken: the host answers by rmr_netcheck_resolved.
 * Errors:  none; false: none now.
 * Source:  derp map: an address that is empty is to be resolved.
 */
RMR_API bool rmr_netcheck_wants_name(rmr_netcheck *nc, rmr_time now,
                                     rmr_netcheck_name *out);

/**
 * The addresses of a node's host name; the first of each family counts. [pump]
 *
 * \param addrs  Copied.  n of 0: it failed, or there are none.
 *
 * Effects: probes that waited for it come out; on_done at most once.
 * Errors:  RMR_E_UNKNOWN (no such node), RMR_E_REENTRANT.
 * Source:  netcheck: nodeAddrPort.
 */
RMR_API rmr_err rmr_netcheck_resolved(rmr_netcheck *nc, rmr_time now,
                                      uint16_t region, uint8_t node,
                                      const rmr_addr *addrs, size_t n);

/**
 * A region whose latency is to be measured by HTTPS: STUN did not get through.
 * The host opens TLS to the region's first relay that answers, then times one
 * GET /derp/latency-check on it.                                      [submit]
 *
 * \param timeout  Written: what is left of the run.
 *
 * Effects: the wish is taken: the host answers by rmr_netcheck_https_done.
 * Errors:  none; false: none now.
 * Source:  netcheck: measureHTTPSLatency.
 */
RMR_API bool rmr_netcheck_wants_https(rmr_netcheck *nc, rmr_time now,
                                      uint16_t *region, rmr_dur *timeout);

/**
 * How long the request took, or that it failed (a status above 299 too). [pump]
 *
 * \param err      RMR_OK, or why not.
 * \param latency  From the request to its answer, without the handshakes.
 * \param remote   Which address was reached; may be NULL.
 *
 * Effects: on_done at most once.
 * Errors:  RMR_E_UNKNOWN (not asked for, or too late), RMR_E_REENTRANT.
 * Source:  netcheck: measureHTTPSLatency.
 */
RMR_API rmr_err rmr_netcheck_https_done(rmr_netcheck *nc, rmr_time now,
                                        uint16_t region, rmr_err err,
                                        rmr_dur latency,
                                        const rmr_addr *remote);

/**
 * One ICMP echo request to send (from the type on, no IP header); *len 0: none
 * now.                                                                  [pump]
 *
 * \param dst  At least RMR_NETCHECK_ICMP_MAX bytes.
 *
 * Effects: it counts as sent at `now`.
 * Errors:  RMR_E_BUFSIZE (nothing was taken), RMR_E_REENTRANT.
 * Source:  RFC 792, echo; netcheck: measureICMPLatency.
 */
RMR_API rmr_err rmr_netcheck_write_icmp(rmr_netcheck *nc, rmr_time now,
                                        rmr_buf dst, size_t *len,
                                        rmr_addr *to);

/**
 * An ICMP echo reply, from the type on.  Told by its sequence number and its
 * payload, for hosts may change the identifier.                         [pump]
 *
 * Effects: on_done at most once.
 * Errors:  RMR_E_MALFORMED, RMR_E_UNKNOWN: dropped and counted.
 *          RMR_E_REENTRANT.
 * Source:  RFC 792, echo reply.
 */
RMR_API rmr_err rmr_netcheck_read_icmp(rmr_netcheck *nc, rmr_time now,
                                       rmr_bytes datagram);

/**
 * The host has no echo socket after all.                                [pump]
 *
 * Effects: no echo is waited for; on_done at most once.
 * Errors:  RMR_E_REENTRANT.
 * Source:  none.
 */
RMR_API rmr_err rmr_netcheck_no_icmp(rmr_netcheck *nc, rmr_time now);

/**
 * A request to look for a captive portal; true at most once a run.    [submit]
 *
 * Effects: the wish is taken: the host answers by rmr_netcheck_portal_done.
 * Errors:  none; false: none now.
 * Source:  Tailscale's captive detection: DERP nodes with CanPort80.
 */
RMR_API bool rmr_netcheck_wants_portal(rmr_netcheck *nc, rmr_time now,
                                       rmr_netcheck_portal *out);

/**
 * What came of it.                                                      [pump]
 *
 * \param found  YES: the status was not 204, or X-Tailscale-Response was not
 *               "response ts_<addr>".  NO: all was as it must be.  UNKNOWN: no
 *               answer.
 *
 * Effects: on_done at most once.
 * Errors:  RMR_E_STATE (not asked for, or too late), RMR_E_REENTRANT.
 * Source:  Tailscale's captive detection.
 */
RMR_API rmr_err rmr_netcheck_portal_done(rmr_netcheck *nc, rmr_time now,
                                         rmr_netcheck_tri found);

/**
 * What the port mapper found; for runs with how.portmap.                [pump]
 *
 * Effects: on_done at most once.
 * Errors:  RMR_E_STATE (not waited for), RMR_E_REENTRANT.
 * Source:  netcheck: probePortMapServices.
 */
RMR_API rmr_err rmr_netcheck_portmap_done(rmr_netcheck *nc, rmr_time now,
                                          bool upnp, bool pmp, bool pcp);

/**
 * A frame came from a region's relay: a region that talks to us is alive, and
 * home does not leave it for one lost probe.  Cheap; once in some seconds is
 * enough.                                                             [submit]
 *
 * Effects: on the next choice of a home.
 * Errors:  none; an unknown region is ignored.
 * Source:  netcheck: GetLastDERPActivity.
 */
RMR_API void rmr_netcheck_note_frame(rmr_netcheck *nc, rmr_time now,
                                     uint16_t region);

/**
 * When something is due; NEVER without a run.                           [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_netcheck_next_deadline(const rmr_netcheck *nc);

/**
 * What is due: probes come out, stages end.                             [pump]
 *
 * Effects: on_done at most once; the deadline is later than `now` after it.
 * Errors:  RMR_E_REENTRANT.
 * Source:  contract T5.
 */
RMR_API rmr_err rmr_netcheck_handle_deadline(rmr_netcheck *nc, rmr_time now);

/**
 * Whether a run is under way.                                           [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_netcheck_is_running(const rmr_netcheck *nc);

/**
 * The last report, or NULL.                                             [look]
 *
 * Lifetime: until the next run ends, or the map is set.
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API const rmr_netcheck_report *
rmr_netcheck_get_report(const rmr_netcheck *nc);

/**
 * Whether the sockets should be bound anew before the next run: the last one
 * had IPv4 probes and could send none.                                  [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  magicsock: updateNetInfo.
 */
RMR_API bool rmr_netcheck_wants_rebind(const rmr_netcheck *nc);

/**
 * The region to have as home now.                                       [look]
 *
 * \param current     The present home, 0: none.
 * \param control_up  Without it peers can't learn of a new home, so a home that
 *                    is there stays, unless another was forced.
 * \return The last report's choice; where that is 0 the present one, if the map
 *         still has it, else one that is random but stays the same as long as
 *         the object lives; 0 without any region that can be home.
 * Effects: none.
 * Errors:  none.
 * Source:  magicsock: maybeSetNearestDERP, pickDERPFallback.
 */
RMR_API uint16_t rmr_netcheck_home(const rmr_netcheck *nc, uint16_t current,
                                   bool control_up);

/**
 * A JSON number ("0.5", "2e-1") as a score in thousandths.             [look]
 *
 * \return Cut to whole thousandths, at least 1 for what is above 0, at most
 *         1,000,000 (a factor of 1000); 0 (no score) for what is not above 0 or
 *         is no number.
 * Effects: none.
 * Errors:  none.
 * Source:  HomeParams.RegionScore; no floating point, so that it is the same
 *          everywhere.
 */
RMR_API uint32_t rmr_netcheck_score(rmr_bytes number);

/**
 * The counters, by value.                                               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_netcheck_get_stats(const rmr_netcheck *nc,
                                    rmr_netcheck_stats *out);

/* ---- what control is told ----------------------------------------------- */

typedef struct rmr_netcheck_info { /* NetInfo but for DERPLatency */
    rmr_netcheck_tri mapping_varies, working_ipv6, os_has_ipv6, working_udp;
    rmr_netcheck_tri working_icmpv4, upnp, pmp, pcp;
    bool have_portmap;         /* a mapping exists now */
    uint16_t preferred_derp;   /* the home */
    const char *firewall_mode; /* borrowed; NULL is as "" */
    const char *link_type;     /* borrowed; NULL is as "" */
} rmr_netcheck_info;

/**
 * NetInfo of a report; the two texts are left NULL.                     [look]
 *
 * Effects: *out is overwritten.
 * Errors:  none.
 * Source:  NetInfo.
 */
RMR_API void rmr_netcheck_info_of(const rmr_netcheck_report *report,
                                  uint16_t home, bool have_portmap,
                                  rmr_netcheck_info *out);

/**
 * Whether control need not be told: latencies alone may differ.        [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  NetInfo.BasicallyEqual.
 */
RMR_API bool rmr_netcheck_info_eq(const rmr_netcheck_info *a,
                                  const rmr_netcheck_info *b);

/* ---- when to run -------------------------------------------------------- */

typedef enum rmr_netcheck_why { /* bits */
    RMR_NETCHECK_WHY_MAP = 1 << 0,      /* the DERP map changed               */
    RMR_NETCHECK_WHY_KEY = 1 << 1,      /* the first private key              */
    RMR_NETCHECK_WHY_PEERS = 1 << 2,    /* the first peers                    */
    RMR_NETCHECK_WHY_LINK = 1 << 3,     /* the host's network changed         */
    RMR_NETCHECK_WHY_REBIND = 1 << 4,   /* new sockets                        */
    RMR_NETCHECK_WHY_PORTMAP = 1 << 5,  /* a port mapping came or went        */
    RMR_NETCHECK_WHY_RELAY = 1 << 6,    /* a relay's connection broke         */
    RMR_NETCHECK_WHY_STALE = 1 << 7,    /* endpoints too old for CallMeMaybe  */
    RMR_NETCHECK_WHY_DISCO_KEY = 1 << 8,
    RMR_NETCHECK_WHY_STATIC = 1 << 9,   /* static endpoints changed           */
    RMR_NETCHECK_WHY_PERIODIC = 1 << 10,
    RMR_NETCHECK_WHY_USER = 1 << 11     /* somebody asked for it              */
} rmr_netcheck_why;

typedef struct rmr_netcheck_while { /* what the periodic timer depends on */
    bool network_up;
    bool homeless;    /* no home is wanted */
    bool has_key;
    bool has_peers;
    bool always_stun; /* control's debug-always-stun: traffic does not matter */
} rmr_netcheck_while;

typedef struct rmr_netcheck_sched { /* caller-owned; fields are its own */
    rmr_netcheck_while cond;
    uint32_t pending; /* bits of rmr_netcheck_why */
    bool running;
    bool has_traffic; /* traffic_at counts */
    rmr_time traffic_at;
    rmr_time periodic_at;
    uint64_t runs;
    bool rests; /* a periodic run was due without use: until there is traffic */
} rmr_netcheck_sched;

/**
 * Nothing pending, no periodic run yet, all conditions false.         [submit]
 *
 * Effects: *s is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_netcheck_sched_init(rmr_netcheck_sched *s);

/**
 * What holds now; to be told when it changes.                         [submit]
 *
 * Effects: may move the deadline.
 * Errors:  none.
 * Source:  magicsock: shouldDoPeriodicReSTUN.
 */
RMR_API void rmr_netcheck_sched_set(rmr_netcheck_sched *s,
                                    const rmr_netcheck_while *cond);

/**
 * Tunnel traffic was seen (either way): the next 45 s are not idle.   [submit]
 *
 * Effects: may move the deadline.
 * Errors:  none.
 * Source:  magicsock: the idle rule of periodic STUN.
 */
RMR_API void rmr_netcheck_sched_traffic(rmr_netcheck_sched *s, rmr_time now);

/**
 * A reason to run.  During a run it asks for one more behind it.      [submit]
 *
 * Effects: rmr_netcheck_sched_wants_run answers true when it can.
 * Errors:  none.
 * Source:  magicsock: updateEndpoints, wantEndpointsUpdate.
 */
RMR_API void rmr_netcheck_trigger(rmr_netcheck_sched *s, rmr_time now,
                                  rmr_netcheck_why why);

/**
 * Whether a run is to begin now; true once for each.  Not while one is under
 * way, nor while the network is down (the reasons stay pending).      [submit]
 *
 * \return The reasons, bits of rmr_netcheck_why; 0: no run now.
 * Effects: the run counts as under way until rmr_netcheck_sched_ended.
 * Errors:  none.
 * Source:  as rmr_netcheck_trigger.
 */
RMR_API uint32_t rmr_netcheck_sched_wants_run(rmr_netcheck_sched *s,
                                              rmr_time now);

/**
 * The run is over, well or not; the next periodic one is 20 to 26 s away.
 *                                                                     [submit]
 *
 * Effects: draws 4 random bytes; moves the deadline.
 * Errors:  RMR_E_RNG: the next one is 26 s away, and all else is done.
 * Source:  magicsock: periodicReSTUNTimer.
 */
RMR_API rmr_err rmr_netcheck_sched_ended(rmr_netcheck_sched *s, rmr_time now,
                                         const rmr_rng *rng);

/**
 * When a periodic run is due: ask rmr_netcheck_sched_wants_run then.    [look]
 *
 * \return NEVER while a run is under way or the conditions don't hold; an
 *         instant that has passed where the call was not made yet.
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_netcheck_sched_next_deadline(const rmr_netcheck_sched *s);

#ifdef __cplusplus
}
#endif
#endif
