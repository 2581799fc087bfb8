/*
 * remora/portmap.h - a UDP port of the router's, mapped to ours: NAT-PMP, PCP
 * and UPnP IGD, in this order of trust.
 *
 * It finds out which of them the default gateway speaks, makes one mapping,
 * renews it, notices when the gateway forgot it, and takes it back at the end.
 * It maps UDP over IPv4 alone, and talks to nobody but the gateway.
 *
 * The host gives it a UDP socket of its own (any IPv4 port; not one that others
 * use) and dials where it asks for a stream: plain HTTP to the gateway.
 *
 * Threading: one object, one thread.  Callbacks come from pump functions alone;
 * in them all but pump functions may be called.
 * Memory: through rmr_env.alloc: 0.5 KiB, 9 KiB more once a router answered by
 * SSDP, and during a UPnP exchange an HTTP parser (8 KiB head).  Documents are
 * scanned as they come, not kept.
 * Time: `now`, monotonic ns; deadlines are exact.
 *
 * Trust: nothing here is authenticated, so little is believed.  Only a gateway
 * with a private address is asked; only datagrams from it count; a description
 * is fetched only from the address that answered, and its control URL must be
 * there too; PCP replies must carry our nonce; what a mapping says (a public
 * address and a port) is checked and is used as a candidate, no more.
 *
 * Source: RFC 6886 (NAT-PMP), RFC 6887 (PCP), UPnP Device Architecture 1.1 and
 * the services WANIPConnection 1 and 2, WANPPPConnection 1; when to use which:
 * Tailscale's portmapper.
 *
 *     rmr_portmap_new(&pm, &env, &cb);
 *     rmr_portmap_set_network(pm, now, &gateway, &own, port);
 *     rmr_portmap_probe(pm, now);          with each netcheck
 *     rmr_portmap_want(pm, now, true);     when endpoints are gathered
 *     each turn:
 *         if (rmr_portmap_wants_socket(pm)) have one open;
 *         while (!rmr_portmap_write_pkt(pm, now, dst, &len, &to) && len)
 *             send(to, len);
 *         if (rmr_portmap_wants_close(pm)) close the stream;
 *         if (rmr_portmap_wants_stream(pm, now, &dial)) start dialling;
 *         rmr_portmap_write(pm, now, dst, &len) while a stream is open;
 *     a datagram: rmr_portmap_read_pkt;  bytes: rmr_portmap_read
 *     if (rmr_portmap_get_mapping(pm, &mine)) it is an endpoint;
 *     at the end: rmr_portmap_want(pm, now, false), until
 *         rmr_portmap_is_idle(pm), for a second at most; rmr_portmap_free(pm);
 */
#ifndef REMORA_PORTMAP_H
#define REMORA_PORTMAP_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/dial.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_PORTMAP_PKT_MAX 256 /* the longest datagram out */

typedef enum rmr_portmap_kind {
    RMR_PORTMAP_NONE = 0,
    RMR_PORTMAP_NATPMP,
    RMR_PORTMAP_PCP,
    RMR_PORTMAP_UPNP
} rmr_portmap_kind;

typedef struct rmr_portmap_services { /* what the gateway speaks */
    bool upnp, pmp, pcp;
} rmr_portmap_services;

typedef struct rmr_portmap_callbacks {
    uint32_t struct_size;
    void *user;
    /* A probe ended (rmr_netcheck_portmap_done wants to know). */
    void (*on_probed)(void *user, rmr_portmap_services found);
    /* The mapping came, changed (addr) or went (NULL). */
    void (*on_mapping)(void *user, const rmr_addr *addr);
} rmr_portmap_callbacks;

/* dropped: datagrams that were not from the gateway, not asked for, or
 * malformed; refused: the gateway said no. */
typedef struct rmr_portmap_stats {
    uint64_t pkts_out, pkts_in, dropped, refused, made, renewed, lost;
    uint64_t http_asked, http_failed;
} rmr_portmap_stats;

typedef struct rmr_portmap rmr_portmap;

/**
 * Without a network, wanting nothing.                                 [submit]
 *
 * \param env, cb  Copied.
 *
 * Effects: none.
 * Errors:  RMR_E_NOMEM.
 * Source:  none.
 */
RMR_API rmr_err rmr_portmap_new(rmr_portmap **out, const rmr_env *env,
                                const rmr_portmap_callbacks *cb);

/**
 * Frees it; NULL is allowed.  Not from within a callback.  A mapping that was
 * not taken back lasts until its lifetime ends.                         [pump]
 *
 * Effects: none; no callbacks.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_portmap_free(rmr_portmap *pm);

/**
 * The default gateway, our address towards it, the port to map.  Told again
 * whenever one of them changed, which drops the mapping and all that was known
 * of the gateway (a changed port alone: the old mapping is taken back).  [pump]
 *
 * \param gateway, own  IPv4; ports don't count.  NULL, another family, or a
 *                      gateway that is not private: there is none.
 *
 * Effects: on_mapping with NULL; creates output.
 * Errors:  RMR_E_REENTRANT.
 * Source:  portmapper: invalidateMappingsLocked.
 */
RMR_API rmr_err rmr_portmap_set_network(rmr_portmap *pm, rmr_time now,
                                        const rmr_addr *gateway,
                                        const rmr_addr *own,
                                        uint16_t local_port);

/**
 * Finds out what the gateway speaks; on_probed within 250 ms.  What was seen
 * within 10 min is not asked for again.                               [submit]
 *
 * Effects: creates output, moves the deadline.  One under way goes on.
 * Errors:  none.  Without a gateway on_probed says so at the next deadline.
 * Source:  portmapper: Probe.
 */
RMR_API void rmr_portmap_probe(rmr_portmap *pm, rmr_time now);

/**
 * Whether there is to be a mapping.  True, each time that endpoints are
 * gathered: begins to make one, where there is none and none is being made;
 * it is then renewed by itself.  False: takes it back.                [submit]
 *
 * Effects: creates output, moves the deadline.
 * Errors:  RMR_E_RNG (nothing began).
 * Source:  portmapper: GetCachedMappingOrStartCreatingOne, Close.
 */
RMR_API rmr_err rmr_portmap_want(rmr_portmap *pm, rmr_time now, bool on);

/**
 * Whether a UDP socket is to be there now.                              [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_portmap_wants_socket(const rmr_portmap *pm);

/**
 * One datagram to send; *len 0: none now.                               [pump]
 *
 * \param dst  At least RMR_PORTMAP_PKT_MAX bytes.
 * \param to   Written: the gateway, or the SSDP group 239.255.255.250.
 *
 * Effects: it is no longer waiting.
 * Errors:  RMR_E_BUFSIZE (nothing was taken), RMR_E_REENTRANT.
 * Source:  RFC 6886 3.2, 3.3; RFC 6887 7.1, 11.1; UPnP DA 1.1, 1.3.2.
 */
RMR_API rmr_err rmr_portmap_write_pkt(rmr_portmap *pm, rmr_time now,
                                      rmr_buf dst, size_t *len, rmr_addr *to);

/**
 * A datagram that came to the socket.                                   [pump]
 *
 * Effects: on_probed, on_mapping; may move the deadline.
 * Errors:  RMR_E_MALFORMED, RMR_E_UNKNOWN (not from the gateway, or not asked
 *          for): dropped and counted, nothing changed.  RMR_E_REENTRANT.
 * Source:  RFC 6886 3.2 to 3.6; RFC 6887 7.2, 8.3, 11.4; UPnP DA 1.1, 1.3.3.
 */
RMR_API rmr_err rmr_portmap_read_pkt(rmr_portmap *pm, rmr_time now,
                                     const rmr_addr *from, rmr_bytes datagram);

/**
 * True once per HTTP exchange: the host dials `out` (an address, no TLS), then
 * calls rmr_portmap_stream_opened or rmr_portmap_stream_closed.       [submit]
 *
 * Effects: the wish is taken.
 * Errors:  none.
 * Source:  UPnP DA 1.1, 2 and 3.
 */
RMR_API bool rmr_portmap_wants_stream(rmr_portmap *pm, rmr_time now,
                                      rmr_dial *out);

/**
 * The stream is open.                                                   [pump]
 *
 * Effects: creates output (the request).
 * Errors:  RMR_E_STATE (not asked for), RMR_E_NOMEM: close it.
 *          RMR_E_REENTRANT.
 * Source:  UPnP DA 1.1, 2.12 and 3.1.1.
 */
RMR_API rmr_err rmr_portmap_stream_opened(rmr_portmap *pm, rmr_time now);

/**
 * It failed to open, ended (RMR_OK) or broke.                           [pump]
 *
 * Effects: the exchange ends: on_mapping, output, another stream.
 * Errors:  none; does nothing without a stream, and within a callback.
 * Source:  none.
 */
RMR_API void rmr_portmap_stream_closed(rmr_portmap *pm, rmr_time now,
                                       rmr_err why);

/**
 * True when the host should close its stream (the exchange is over, or took too
 * long); true once.                                                   [submit]
 *
 * Effects: the wish is taken; the stream counts as closed.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_portmap_wants_close(rmr_portmap *pm);

/**
 * Bytes of the stream; takes all.                                       [pump]
 *
 * Effects: as rmr_portmap_stream_closed when the response is whole.
 * Errors:  RMR_E_STATE (no stream), RMR_E_REENTRANT.  A bad response ends the
 *          exchange, and is none here.
 * Source:  RFC 9112; UPnP DA 1.1, 2 and 3.
 */
RMR_API rmr_err rmr_portmap_read(rmr_portmap *pm, rmr_time now, rmr_bytes in);

/**
 * Bytes for the stream; *len 0: none now.                               [pump]
 *
 * Effects: they are no longer waiting.
 * Errors:  RMR_E_REENTRANT.
 * Source:  UPnP DA 1.1, 2.12 and 3.1.1.
 */
RMR_API rmr_err rmr_portmap_write(rmr_portmap *pm, rmr_time now, rmr_buf dst,
                                  size_t *len);

/**
 * When something is due; NEVER when idle.                               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_portmap_next_deadline(const rmr_portmap *pm);

/**
 * What is due: waits end, a mapping is renewed or has ended.            [pump]
 *
 * Effects: on_probed, on_mapping; the deadline is later than `now` after it.
 * Errors:  RMR_E_REENTRANT, RMR_E_RNG (the renewal is put off).
 * Source:  RFC 6886 3.3; RFC 6887 11.2.1.
 */
RMR_API rmr_err rmr_portmap_handle_deadline(rmr_portmap *pm, rmr_time now);

/**
 * The mapping that exists now: the public address and port.             [look]
 *
 * \param kind  Written: by which protocol; may be NULL.
 * \return False: there is none; nothing is written.
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_portmap_get_mapping(const rmr_portmap *pm, rmr_addr *addr,
                                     rmr_portmap_kind *kind);

/**
 * Nothing is under way: no probe, no exchange, nothing to take back.    [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_portmap_is_idle(const rmr_portmap *pm);

/**
 * The counters, by value.                                               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_portmap_get_stats(const rmr_portmap *pm,
                                   rmr_portmap_stats *out);

#ifdef __cplusplus
}
#endif
#endif
