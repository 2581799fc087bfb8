/*
 * remora/netstack.h - a userspace IP stack: IPv4, IPv6, ICMP echo, UDP, TCP.
 *
 * IP packets go in by rmr_ns_read_pkt and come out by rmr_ns_write_pkt; the
 * application has TCP and UDP sockets as handles.  The link is point-to-point
 * (a tunnel): there is no Ethernet, ARP, neighbour discovery or routing, and
 * packets to an own address come back in by themselves.
 *
 * Threading: one stack, one thread.  Memory: all through rmr_env.alloc, bounded
 * by the config.  Time: `now`, monotonic ns; one `now` per batch.
 * Callbacks fire at packet boundaries; inside one, submit and look functions
 * may be called, pump functions answer RMR_E_REENTRANT.
 *
 * Source: RFC 9293 (TCP), 5681, 6298, 6582, 6675, 7323, 2018, 8985, 9438,
 * 6928, 5961, 6528, 6056; RFC 791, 8200, 792, 4443, 768.
 *
 *     rmr_ns_config_init(&cfg, sizeof cfg);  ... callbacks ...
 *     rmr_ns_new(&ns, &env, &cfg, now);
 *     rmr_ns_addr_add(ns, &my_ip);
 *     rmr_ns_tcp_connect(ns, now, NULL, &remote, my_tag, &sock);
 *     each turn:
 *         rmr_ns_read_pkt(ns, now, packet);
 *         rmr_ns_tcp_send(ns, now, sock, data, &taken);
 *         if (now >= rmr_ns_next_deadline(ns)) rmr_ns_handle_deadline(ns, now);
 *         while (!rmr_ns_write_pkt(ns, now, buf, &len) && len) transmit();
 */
#ifndef REMORA_NETSTACK_H
#define REMORA_NETSTACK_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/pkt.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_ns rmr_ns;
typedef struct rmr_ns_sock { /* index and generation; 0: none */
    uint64_t id;
} rmr_ns_sock;

#define RMR_NS_MAX_ADDRS 16

typedef struct rmr_ns_callbacks {
    uint32_t struct_size;
    void *user;
    /* A connection to a listener is open; `tag` is the listener's, the new
     * socket has none until rmr_ns_set_tag.  Closing it here refuses it. */
    void (*on_accept)(void *user, void *tag, rmr_ns_sock listener,
                      rmr_ns_sock sock, const rmr_addr *remote);
    /* A dialled connection is open. */
    void (*on_connected)(void *user, void *tag, rmr_ns_sock sock);
    /* There is data (or the end of stream) to read; once per change. */
    void (*on_readable)(void *user, void *tag, rmr_ns_sock sock);
    /* A socket whose send buffer was full takes data again. */
    void (*on_writable)(void *user, void *tag, rmr_ns_sock sock);
    /* The socket is gone, by error or after both sides closed: OK, RESET,
     * REFUSED, TIMEOUT, UNREACHABLE.  Last callback of a socket; its handle is
     * stale afterwards.  Not called after rmr_ns_abort. */
    void (*on_closed)(void *user, void *tag, rmr_ns_sock sock, rmr_err why);
    /* A UDP datagram; borrowed. */
    void (*on_datagram)(void *user, void *tag, rmr_ns_sock sock,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data);
    /* An echo reply to rmr_ns_ping. */
    void (*on_pong)(void *user, const rmr_addr *from, uint16_t id,
                    uint16_t seq, rmr_bytes payload);
} rmr_ns_callbacks;

typedef enum rmr_ns_cc { RMR_NS_CC_CUBIC, RMR_NS_CC_NEWRENO } rmr_ns_cc;

typedef struct rmr_ns_config {
    uint32_t struct_size;      /* written by rmr_ns_config_init              */
    uint32_t mtu;              /* default 1280                               */
    uint32_t max_sockets;      /* default 4096                               */
    uint32_t max_time_wait;    /* default 4096 small entries                 */
    size_t tcp_recv_max;       /* bytes a connection, default 1 MiB          */
    size_t tcp_send_max;       /* bytes a connection, default 1 MiB          */
    size_t memory_max;         /* socket buffers together, default 64 MiB    */
    uint32_t backlog;          /* half-open and unaccepted a listener, 128   */
    rmr_dur time_wait;         /* default 60 s                               */
    bool no_nagle;             /* default false                              */
    const rmr_ns_callbacks *callbacks; /* copied */
    uint32_t congestion;       /* rmr_ns_cc, default CUBIC                   */
} rmr_ns_config;

typedef struct rmr_ns_stats {
    uint64_t rx_pkts, tx_pkts, rx_bytes, tx_bytes;
    uint64_t discard_malformed, discard_checksum, discard_not_local,
        discard_no_socket, discard_full, discard_fragment;
    uint64_t tcp_accepted, tcp_connected, tcp_resets_sent, tcp_resets_got,
        tcp_retransmits, tcp_timeouts, tcp_challenge_acks;
    uint64_t icmp_echo_answered, clock_back;
    uint32_t sockets, time_wait;
    size_t buffer_bytes;
} rmr_ns_stats;

typedef enum rmr_ns_tcp_state {
    RMR_NS_CLOSED,
    RMR_NS_LISTEN,
    RMR_NS_SYN_SENT,
    RMR_NS_SYN_RECEIVED,
    RMR_NS_ESTABLISHED,
    RMR_NS_FIN_WAIT_1,
    RMR_NS_FIN_WAIT_2,
    RMR_NS_CLOSE_WAIT,
    RMR_NS_CLOSING,
    RMR_NS_LAST_ACK,
    RMR_NS_TIME_WAIT
} rmr_ns_tcp_state;

typedef struct rmr_ns_tcp_info {
    rmr_ns_tcp_state state;
    rmr_addr local, remote;
    rmr_dur srtt, rto;
    uint32_t mss, cwnd_bytes, ssthresh_bytes, in_flight_bytes, snd_wnd_bytes,
        rcv_wnd_bytes;
    uint64_t retransmits;
    size_t unsent_bytes, unacked_bytes, unread_bytes;
} rmr_ns_tcp_info;

RMR_API void rmr_ns_config_init(rmr_ns_config *cfg, size_t struct_size);
/** Draws its secrets (ISN, ports, hashing) from env->rng.
 *  Errors: INVAL, NOMEM, RNG.                                       [submit] */
RMR_API rmr_err rmr_ns_new(rmr_ns **out, const rmr_env *env,
                           const rmr_ns_config *cfg, rmr_time now);
/** NULL is allowed.  No callbacks, nothing is sent.                    [pump] */
RMR_API void rmr_ns_free(rmr_ns *ns);

/** Own addresses.  Connections from a removed address are reset.
 *  Errors: FULL (RMR_NS_MAX_ADDRS), INVAL.                          [submit] */
RMR_API rmr_err rmr_ns_addr_add(rmr_ns *ns, const rmr_addr *ip);
RMR_API rmr_err rmr_ns_addr_remove(rmr_ns *ns, rmr_time now,
                                   const rmr_addr *ip);

/** Feed one IP packet; borrowed, not changed.  Bytes behind the packet's own
 *  length are ignored.                                                 [pump]
 *  Errors: MALFORMED, UNKNOWN (not for us), FULL: dropped and counted. */
RMR_API rmr_err rmr_ns_read_pkt(rmr_ns *ns, rmr_time now, rmr_bytes ip_packet);
/** The next IP packet to send.  *len 0: none now.  A `dst` shorter than the MTU
 *  is BUFSIZE.  Work a call is bounded; call until *len is 0.          [pump] */
RMR_API rmr_err rmr_ns_write_pkt(rmr_ns *ns, rmr_time now, rmr_buf dst,
                                 size_t *len);
RMR_API rmr_time rmr_ns_next_deadline(const rmr_ns *ns);
RMR_API rmr_err rmr_ns_handle_deadline(rmr_ns *ns, rmr_time now);

/* ---- TCP -------------------------------------------------------------- */

/** \param local  Address (family NONE or all zero: any own address) and port.
 *  Errors: INUSE, INVAL, FULL, NOMEM.                               [submit] */
RMR_API rmr_err rmr_ns_tcp_listen(rmr_ns *ns, const rmr_addr *local, void *tag,
                                  rmr_ns_sock *out);
/** \param local  NULL: an own address of the remote's family and a free port.
 *  Effects: on_connected or on_closed later.
 *  Errors: UNREACHABLE (no own address of that family), INUSE, FULL, NOMEM. */
RMR_API rmr_err rmr_ns_tcp_connect(rmr_ns *ns, rmr_time now,
                                   const rmr_addr *local,
                                   const rmr_addr *remote, void *tag,
                                   rmr_ns_sock *out);
RMR_API rmr_err rmr_ns_set_tag(rmr_ns *ns, rmr_ns_sock s, void *tag);
/** Queues as much as fits.  *taken < data.len: on_writable will come.
 *  Errors: BADHANDLE, STATE (not connected yet: taken 0, or shut down). */
RMR_API rmr_err rmr_ns_tcp_send(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                rmr_bytes data, size_t *taken);
/** Room in the send buffer now.                                        [look] */
RMR_API size_t rmr_ns_tcp_send_space(const rmr_ns *ns, rmr_ns_sock s);
/** The first contiguous bytes to read, until the next non-const call.
 *  view->len 0 with *eof true: the far end has shut down and all was read. */
RMR_API rmr_err rmr_ns_tcp_peek(const rmr_ns *ns, rmr_ns_sock s,
                                rmr_bytes *view, bool *eof);
/** Drops n read bytes and opens the window.  Errors: INVAL (more than there
 *  are), BADHANDLE.                                                 [submit] */
RMR_API rmr_err rmr_ns_tcp_consume(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                   size_t n);
/** No more from us; reading goes on (FIN after what is queued).     [submit] */
RMR_API rmr_err rmr_ns_tcp_shutdown(rmr_ns *ns, rmr_time now, rmr_ns_sock s);
/** Orderly close of both directions; for UDP and listeners at once.  What is
 *  queued is still sent; on_closed is not called and the handle is stale at
 *  once.  Unread data makes it a reset (RFC 2525 2.17).             [submit] */
RMR_API rmr_err rmr_ns_close(rmr_ns *ns, rmr_time now, rmr_ns_sock s);
/** RST, and the handle is stale at once.                            [submit] */
RMR_API rmr_err rmr_ns_abort(rmr_ns *ns, rmr_time now, rmr_ns_sock s);
RMR_API rmr_err rmr_ns_tcp_set_nodelay(rmr_ns *ns, rmr_ns_sock s, bool on);
/** idle 0: off (the default).                                       [submit] */
RMR_API rmr_err rmr_ns_tcp_set_keepalive(rmr_ns *ns, rmr_time now,
                                         rmr_ns_sock s, rmr_dur idle,
                                         rmr_dur interval, uint32_t probes);
RMR_API rmr_err rmr_ns_tcp_get_info(const rmr_ns *ns, rmr_ns_sock s,
                                    rmr_ns_tcp_info *out);

/* ---- UDP -------------------------------------------------------------- */

/** \param local  As for listen; port 0: a free one.
 *  Errors: INUSE, FULL, NOMEM. */
RMR_API rmr_err rmr_ns_udp_bind(rmr_ns *ns, const rmr_addr *local, void *tag,
                                rmr_ns_sock *out);
/** \param from  NULL: the socket's, or the own address of `to`'s family.
 *  Errors: BADHANDLE, TOOBIG, UNREACHABLE, FULL (output queue). */
RMR_API rmr_err rmr_ns_udp_send(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                const rmr_addr *from, const rmr_addr *to,
                                rmr_bytes data);

/* ---- ICMP ------------------------------------------------------------- */

/** An echo request.  Errors: UNREACHABLE, TOOBIG, FULL. */
RMR_API rmr_err rmr_ns_ping(rmr_ns *ns, rmr_time now, const rmr_addr *to,
                            uint16_t id, uint16_t seq, rmr_bytes payload);

RMR_API void rmr_ns_get_stats(const rmr_ns *ns, rmr_ns_stats *out);

#ifdef __cplusplus
}
#endif
#endif
