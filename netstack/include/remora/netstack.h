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

/* Each may be NULL; without on_accept every connection is refused.  Inside one,
 * submit and look functions may be called, also for the same socket; pump
 * functions answer RMR_E_REENTRANT there, and rmr_ns_free does nothing.
 * The order for one socket: accept or connected, readable, writable, closed. */
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
     * REFUSED, TIMEOUT, UNREACHABLE.  OK comes only when all that was received
     * has been consumed: the end of stream then, also for who never peeked at
     * it.  Last callback of a socket; its handle is stale afterwards.  Not
     * called after rmr_ns_close or rmr_ns_abort. */
    void (*on_closed)(void *user, void *tag, rmr_ns_sock sock, rmr_err why);
    /* A UDP datagram; borrowed. */
    void (*on_datagram)(void *user, void *tag, rmr_ns_sock sock,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data);
    /* An echo reply, also to a ping that is not ours: compare id and seq. */
    void (*on_pong)(void *user, const rmr_addr *from, uint16_t id,
                    uint16_t seq, rmr_bytes payload);
} rmr_ns_callbacks;

typedef enum rmr_ns_cc { RMR_NS_CC_CUBIC, RMR_NS_CC_NEWRENO } rmr_ns_cc;

typedef struct rmr_ns_config {
    uint32_t struct_size;      /* written by rmr_ns_config_init              */
    uint32_t mtu;              /* 576...65535, default 1280                  */
    uint32_t max_sockets;      /* default 4096                               */
    uint32_t max_time_wait;    /* default 4096 small entries                 */
    size_t tcp_recv_max;       /* bytes a connection, default 1 MiB          */
    size_t tcp_send_max;       /* bytes a connection, default 1 MiB          */
    size_t memory_max;         /* socket buffers together, default 64 MiB; a
                                  quarter of it is kept for what arrives     */
    uint32_t backlog;          /* half-open connections a listener, 128      */
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
    uint32_t sockets, time_wait; /* sockets: also those that are closing */
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

/* ---- the stack -------------------------------------------------------- */

/**
 * Writes the defaults; struct_size is the caller's sizeof.          [look]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  style guide, sized structs.
 */
RMR_API void rmr_ns_config_init(rmr_ns_config *cfg, size_t struct_size);

/**
 * A stack without addresses.                                       [submit]
 *
 * Effects: draws its secrets (initial numbers, ports, hashing) from env->rng.
 * Errors:  INVAL, NOMEM, RNG; *out is untouched then.
 * Lifetime: until rmr_ns_free; `env` and `cfg` are copied.
 * Source:  RFC 6528 (numbers), RFC 6056 (ports).
 */
RMR_API rmr_err rmr_ns_new(rmr_ns **out, const rmr_env *env,
                           const rmr_ns_config *cfg, rmr_time now);

/**
 * Frees it; NULL is allowed.                                         [pump]
 *
 * Effects: no callbacks, nothing is sent.  Nothing at all inside a callback.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_ns_free(rmr_ns *ns);

/**
 * Adds an own address; a known one is no error.                    [submit]
 *
 * Effects: packets to it are taken from now on.
 * Errors:  FULL (RMR_NS_MAX_ADDRS), INVAL.
 * Source:  none.
 */
RMR_API rmr_err rmr_ns_addr_add(rmr_ns *ns, const rmr_addr *ip);

/**
 * Removes an own address.                                          [submit]
 *
 * Effects: its connections are reset: on_closed(RESET) by the next pump call,
 *          and the peers are told.  Listeners and UDP sockets stay.
 * Errors:  INVAL (not there).
 * Source:  none.
 */
RMR_API rmr_err rmr_ns_addr_remove(rmr_ns *ns, rmr_time now,
                                   const rmr_addr *ip);

/**
 * Feeds one IP packet.                                               [pump]
 *
 * \param ip_packet  Borrowed for the call, not changed.  Bytes behind the
 *                   packet's own length are ignored.
 *
 * Effects: any callbacks; may create output; may move the deadline.
 * Errors:  MALFORMED, UNKNOWN (not for us), FULL, NOMEM: dropped and counted;
 *          REENTRANT.
 * Source:  RFC 791, RFC 8200; then the protocol's.
 */
RMR_API rmr_err rmr_ns_read_pkt(rmr_ns *ns, rmr_time now, rmr_bytes ip_packet);

/**
 * Writes the next IP packet to send; call until *len is 0.           [pump]
 *
 * \param dst  At least the MTU; headroom is the caller's own business.
 *
 * Effects: packets to own addresses are read at once, so any callback may
 *          fire.  Work is bounded: at most 256 of these a call; when there are
 *          more, *len is 0 and the deadline is due right after `now`.
 * Errors:  BUFSIZE (nothing is lost), REENTRANT.
 * Source:  contract, write.
 */
RMR_API rmr_err rmr_ns_write_pkt(rmr_ns *ns, rmr_time now, rmr_buf dst,
                                 size_t *len);

/**
 * When handle_deadline is due; RMR_TIME_NEVER when idle.             [look]
 *
 * It may be early: a connection's timer that was moved later is looked at when
 * its old time comes.
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_ns_next_deadline(const rmr_ns *ns);

/**
 * Does what is due at `now`.                                         [pump]
 *
 * Effects: any callbacks; may create output; the deadline is later than `now`
 *          afterwards.  Early calls do nothing.
 * Errors:  REENTRANT.
 * Source:  contract T5.
 */
RMR_API rmr_err rmr_ns_handle_deadline(rmr_ns *ns, rmr_time now);

/* ---- TCP -------------------------------------------------------------- */

/**
 * Listens for connections.                                         [submit]
 *
 * \param local  Address (family NONE or all zero: any own address) and port.
 *               One that is not ours yet is allowed.
 *
 * Effects: on_accept for each connection.
 * Errors:  INUSE, INVAL, FULL, NOMEM.
 * Lifetime: until rmr_ns_close.
 * Source:  RFC 9293 3.10.1.
 */
RMR_API rmr_err rmr_ns_tcp_listen(rmr_ns *ns, const rmr_addr *local, void *tag,
                                  rmr_ns_sock *out);

/**
 * Dials.                                                           [submit]
 *
 * \param local  NULL, or zero parts: an own address of the remote's family (to
 *               an own address: that one) and a free port.
 *
 * Effects: on_connected or on_closed (REFUSED, TIMEOUT after 127 s,
 *          UNREACHABLE) later.
 * Errors:  UNREACHABLE (no such own address), INUSE, INVAL, FULL, NOMEM.
 * Lifetime: until on_closed, rmr_ns_close or rmr_ns_abort.
 * Source:  RFC 9293 3.10.1, RFC 6191 (a tuple in TIME-WAIT).
 */
RMR_API rmr_err rmr_ns_tcp_connect(rmr_ns *ns, rmr_time now,
                                   const rmr_addr *local,
                                   const rmr_addr *remote, void *tag,
                                   rmr_ns_sock *out);

/**
 * Sets what callbacks of the socket (any kind) are given.          [submit]
 *
 * Effects: callbacks from now on get the new tag.
 * Errors:  BADHANDLE.
 * Source:  none.
 */
RMR_API rmr_err rmr_ns_set_tag(rmr_ns *ns, rmr_ns_sock s, void *tag);

/**
 * Queues as much as fits.                                          [submit]
 *
 * \param data  Copied.
 *
 * Effects: *taken < data.len: on_writable will come, also when it was memory
 *          that was short.
 * Errors:  BADHANDLE, STATE (not connected yet, or shut down; *taken is 0).
 * Source:  RFC 9293 3.10.2.
 */
RMR_API rmr_err rmr_ns_tcp_send(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                rmr_bytes data, size_t *taken);

/**
 * Room in the send buffer now, memory permitting.                    [look]
 *
 * Effects: none.
 * Errors:  0 for a handle that is stale or can't send.
 * Source:  none.
 */
RMR_API size_t rmr_ns_tcp_send_space(const rmr_ns *ns, rmr_ns_sock s);

/**
 * The first contiguous bytes to read.                                [look]
 *
 * \param eof  True with view->len 0: the far end has shut down and all was
 *             read.
 *
 * Effects: none.
 * Errors:  BADHANDLE.
 * Lifetime: the view is good until the next non-const call.
 * Source:  RFC 9293 3.10.3.
 */
RMR_API rmr_err rmr_ns_tcp_peek(const rmr_ns *ns, rmr_ns_sock s,
                                rmr_bytes *view, bool *eof);

/**
 * Drops n read bytes and opens the window.                         [submit]
 *
 * Effects: may create output.
 * Errors:  INVAL (more than there are), BADHANDLE.
 * Source:  RFC 9293 3.8.6.2.2.
 */
RMR_API rmr_err rmr_ns_tcp_consume(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                   size_t n);

/**
 * No more from us; reading goes on.  FIN after what is queued.     [submit]
 *
 * Effects: may create output and move the deadline.
 * Errors:  BADHANDLE, STATE (both sides have closed already).
 * Source:  RFC 9293 3.6.
 */
RMR_API rmr_err rmr_ns_tcp_shutdown(rmr_ns *ns, rmr_time now, rmr_ns_sock s);

/**
 * Closes a socket of any kind; its handle is stale at once.        [submit]
 *
 * Effects: listeners and UDP sockets end at once; half-open connections of a
 *          listener are reset, those that were accepted stay.  A connection
 *          still sends what is queued, for as long as that makes progress in
 *          60 s.  Unread data makes it a reset.  No callback follows.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.10.4, RFC 2525 2.17.
 */
RMR_API rmr_err rmr_ns_close(rmr_ns *ns, rmr_time now, rmr_ns_sock s);

/**
 * As close, but a connection is reset.                             [submit]
 *
 * Effects: as rmr_ns_close; may create a reset.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.10.5.
 */
RMR_API rmr_err rmr_ns_abort(rmr_ns *ns, rmr_time now, rmr_ns_sock s);

/**
 * Nagle's algorithm off (true) or on.                              [submit]
 *
 * Effects: what Nagle held back goes with the next write.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.7.4.
 */
RMR_API rmr_err rmr_ns_tcp_set_nodelay(rmr_ns *ns, rmr_ns_sock s, bool on);

/**
 * Probes a connection that was silent for `idle`, each `interval`. [submit]
 *
 * \param idle    0: off (the default).
 * \param probes  At most 255 count; after that many without an answer the peer
 *                is reset and on_closed(TIMEOUT) fires.
 *
 * Effects: may move the deadline.
 * Errors:  BADHANDLE, INVAL (interval or probes 0).
 * Source:  RFC 9293 3.8.4.
 */
RMR_API rmr_err rmr_ns_tcp_set_keepalive(rmr_ns *ns, rmr_time now,
                                         rmr_ns_sock s, rmr_dur idle,
                                         rmr_dur interval, uint32_t probes);

/**
 * State and numbers of a connection or listener.                     [look]
 *
 * Effects: none.
 * Errors:  BADHANDLE; *out is zeroed then.
 * Source:  none.
 */
RMR_API rmr_err rmr_ns_tcp_get_info(const rmr_ns *ns, rmr_ns_sock s,
                                    rmr_ns_tcp_info *out);

/* ---- UDP -------------------------------------------------------------- */

/**
 * Receives datagrams.                                              [submit]
 *
 * \param local  As for listen; NULL: any; port 0: a free one.
 *
 * Effects: on_datagram for each.
 * Errors:  INUSE, INVAL, FULL, NOMEM.
 * Lifetime: until rmr_ns_close.
 * Source:  RFC 768.
 */
RMR_API rmr_err rmr_ns_udp_bind(rmr_ns *ns, const rmr_addr *local, void *tag,
                                rmr_ns_sock *out);

/**
 * Queues one datagram.                                             [submit]
 *
 * \param from  Its address; NULL: the socket's, or an own one of `to`'s family.
 * \param data  Copied.  At most what fits one packet of the MTU.
 *
 * Effects: creates output.
 * Errors:  BADHANDLE, INVAL, TOOBIG, UNREACHABLE (no such own address), FULL
 *          (256 KiB wait for write_pkt, or no memory).
 * Source:  RFC 768.
 */
RMR_API rmr_err rmr_ns_udp_send(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                const rmr_addr *from, const rmr_addr *to,
                                rmr_bytes data);

/* ---- ICMP ------------------------------------------------------------- */

/**
 * Queues an echo request.  Requests to us are answered by the stack. [submit]
 *
 * Effects: on_pong for each answer.
 * Errors:  INVAL, UNREACHABLE (no own address of that family), TOOBIG, FULL.
 * Source:  RFC 792, RFC 4443 4.
 */
RMR_API rmr_err rmr_ns_ping(rmr_ns *ns, rmr_time now, const rmr_addr *to,
                            uint16_t id, uint16_t seq, rmr_bytes payload);

/**
 * Reads all counters.                                                [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_ns_get_stats(const rmr_ns *ns, rmr_ns_stats *out);

#ifdef __cplusplus
}
#endif
#endif
