/*
 * remora/netstack.h - a userspace IP stack: IPv4, IPv6, ICMP echo, UDP, TCP.
 *
 * IP packets go in by rmr_ns_read_pkt and come out by rmr_ns_write_pkt; the
 * application has TCP and UDP sockets as handles.  The link is point-to-point
 * (a tunnel): there is no Ethernet, ARP, neighbour discovery or routing, and
 * packets to an own address come back in by themselves.
 *
 * Addresses to listen and bind to: family NONE is any own address of both
 * families, a zero address any own one of its family.  All three kinds may hold
 * one port side by side; a packet goes to the most exact.  With cfg.forward the
 * stack also answers for foreign addresses: for them there are exact binds and
 * flows, which the host is asked about.  Own addresses (also those of services)
 * never become flows.
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

/* A flow to an address that is not ours, which waits for the host's answer. */
typedef struct rmr_ns_flow { /* index and generation; 0: none */
    uint64_t id;
} rmr_ns_flow;

#define RMR_NS_ICMP 1 /* protocol numbers, of both families where they share */
#define RMR_NS_TCP 6
#define RMR_NS_UDP 17
#define RMR_NS_ICMP6 58

typedef enum rmr_ns_dir { RMR_NS_IN, RMR_NS_OUT } rmr_ns_dir;

typedef struct rmr_ns_view { /* a checked packet, as a filter sees it */
    rmr_ns_dir dir;
    uint8_t protocol;
    uint8_t tcp_flags; /* FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32     */
    uint8_t icmp_type, icmp_code;
    uint8_t tos;
    rmr_addr from, to;           /* ports are 0 where there are none */
    rmr_bytes packet;            /* of one in fragments: the first of them */
} rmr_ns_view;

typedef enum rmr_ns_verdict {
    RMR_NS_ACCEPT,
    RMR_NS_DROP,  /* silently, counted */
    /* Of what we send, the own socket is told as if the answer came back. */
    RMR_NS_REJECT,  /* TCP: a reset; else administratively prohibited */
    RMR_NS_NO_ROUTE /* nobody carries it there: host unreachable */
} rmr_ns_verdict;

/* What came back about a packet of a socket. */
typedef struct rmr_ns_error {
    rmr_err why;          /* REFUSED, UNREACHABLE, TOOBIG, TIMEOUT (its hop
                             limit, or its reassembly), PROTOCOL, DENIED */
    uint8_t type, code;   /* of the ICMP message, of the family's numbering */
    uint32_t mtu;         /* TOOBIG: of the path */
    rmr_addr to;          /* where the packet went */
} rmr_ns_error;

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
     * REFUSED, TIMEOUT, UNREACHABLE; a UDP flow: TIMEOUT (silence), FULL (it
     * made room for another).  OK comes only when all that was received
     * has been consumed: the end of stream then, also for who never peeked at
     * it.  Last callback of a socket; its handle is stale afterwards.  Not
     * called after rmr_ns_close or rmr_ns_abort. */
    void (*on_closed)(void *user, void *tag, rmr_ns_sock sock, rmr_err why);
    /* A UDP datagram; borrowed.  Its traffic class: rmr_ns_datagram_tos. */
    void (*on_datagram)(void *user, void *tag, rmr_ns_sock sock,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data);
    /* An echo reply, also to a ping that is not ours: compare id and seq. */
    void (*on_pong)(void *user, const rmr_addr *from, uint16_t id,
                    uint16_t seq, rmr_bytes payload);
    /* An ICMP error about what this socket sent; of UDP also what our own
     * filter said of it.  TCP: soft, the connection goes on; UDP: the datagram
     * is lost. */
    void (*on_error)(void *user, void *tag, rmr_ns_sock sock,
                     const rmr_ns_error *error);
    /* Three timeouts in a row without progress: the path may be dead (R1 of
     * RFC 9293 3.8.3).  The connection goes on. */
    void (*on_suspect)(void *user, void *tag, rmr_ns_sock sock);
    /* Every packet that comes in, before any state is made for it and before
     * any answer (also one that is refused for its extension headers, when
     * that is answered), and every one that leaves; not what goes from us to
     * ourselves.  A datagram in fragments is asked about once, by its first
     * one.  Look functions alone may be called.  NULL: all are accepted. */
    rmr_ns_verdict (*on_filter)(void *user, const rmr_ns_view *view);
    /* With cfg.forward: a TCP SYN or the first datagram to an address that is
     * not ours.  The host answers by rmr_ns_flow_accept or _refuse, in this
     * call or later; repeats are absorbed meanwhile (of UDP, up to 16
     * datagrams wait).  NULL: such SYNs are reset, datagrams dropped. */
    void (*on_flow)(void *user, rmr_ns_flow flow, uint8_t protocol,
                    const rmr_addr *from, const rmr_addr *to);
    /* The client gave up (by a reset, or no SYN for three of its intervals),
     * or 60 s passed: stop dialling.  The handle is stale afterwards.  Not
     * called after an answer. */
    void (*on_flow_gone)(void *user, void *tag, rmr_ns_flow flow);
    /* With cfg.forward: an echo request to an address that is not ours; the
     * host may answer by rmr_ns_echo_reply. */
    void (*on_echo)(void *user, const rmr_addr *from, const rmr_addr *to,
                    uint16_t id, uint16_t seq, rmr_bytes payload);
    /* A packet for a raw socket, with its IP header; borrowed. */
    void (*on_raw)(void *user, void *tag, rmr_ns_sock sock,
                   rmr_bytes ip_packet);
} rmr_ns_callbacks;

typedef enum rmr_ns_cc { RMR_NS_CC_CUBIC, RMR_NS_CC_NEWRENO } rmr_ns_cc;

typedef struct rmr_ns_config {
    uint32_t struct_size;      /* written by rmr_ns_config_init              */
    uint32_t mtu;              /* 576...65535, default 1280                  */
    uint32_t max_sockets;      /* default 4096                               */
    uint32_t max_time_wait;    /* default 16384 small entries                */
    size_t tcp_recv_max;       /* bytes a connection, default 4 MiB          */
    size_t tcp_send_max;       /* bytes a connection, default 4 MiB          */
    size_t memory_max;         /* socket buffers together, default 64 MiB; a
                                  quarter of it is kept for what arrives     */
    uint32_t backlog;          /* half-open connections a listener, 128      */
    rmr_dur time_wait;         /* default 60 s                               */
    bool no_nagle;             /* default false                              */
    const rmr_ns_callbacks *callbacks; /* copied */
    uint32_t congestion;       /* rmr_ns_cc, default CUBIC                   */
    bool forward;              /* flows to foreign addresses: on_flow        */
    uint32_t max_flows;        /* unanswered ones, default 1024; 2/3 a source */
    uint32_t max_udp_flows;    /* accepted ones (not counted as sockets),
                                  default 4096; 1/4 a source, the longest
                                  idle makes room                            */
    bool no_udp_fragments;     /* a datagram above the path's MTU is TOOBIG  */
    uint32_t unaccepted;       /* open connections a listener that is paused
                                  holds, default 128                         */
    rmr_dur user_timeout;      /* unacknowledged data ends a connection after
                                  this; 0 (default): after 15 repeats        */
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
    /* tcp_spurious: reductions that were undone.  discard_flows: requests above
     * the bounds, and datagrams that waited for an answer in vain. */
    uint64_t tcp_cookies_sent, tcp_cookies_taken, tcp_spurious,
        path_mtu_lowered, discard_filtered, discard_flows, tx_fragments;
    uint32_t half_open, flows, udp_flows; /* now */
    uint64_t path_mtu_evicted; /* of 1024 paths, the one used longest ago */
    /* discard_icmp: errors about nothing that is out or that tell nothing new,
     * pongs that nobody hears, pings whose answer is above the MTU, and all
     * messages that the stack has no use for.
     * discard_segment: TCP that reached a socket, a request, a half-open or a
     * TIME-WAIT entry and was dropped by the checks without an answer. */
    uint64_t discard_icmp, discard_segment;
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
    rmr_err soft_error;     /* the last that ICMP told, or OK */
    uint32_t half_open, unaccepted; /* of a listener */
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
 * Errors:  FULL (RMR_NS_MAX_ADDRS), INVAL (also an address that no host has on
 *          a link: the unspecified, loopback, groups, v4-mapped; of IPv4 all
 *          of 0/8, 127/8 and from 224/8 on).
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
 * Errors:  MALFORMED, UNKNOWN (not for us), DENIED (by the filter), FULL,
 *          NOMEM: dropped and counted; REENTRANT.
 * Source:  RFC 791, RFC 8200; then the protocol's.
 */
RMR_API rmr_err rmr_ns_read_pkt(rmr_ns *ns, rmr_time now, rmr_bytes ip_packet);

/**
 * Feeds a packet that write_pkt gave back in: with cfg.forward, one of ours to
 * a foreign address that the host itself reaches.  It becomes a flow of
 * ourselves.                                                         [pump]
 *
 * \param ip_packet  As write_pkt gave it; borrowed.
 *
 * Effects: as rmr_ns_read_pkt; the filter is not asked again.
 * Errors:  as rmr_ns_read_pkt.
 * Source:  RFC 1122 3.3.1.1 (what is local).
 */
RMR_API rmr_err rmr_ns_return_pkt(rmr_ns *ns, rmr_time now,
                                  rmr_bytes ip_packet);

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
 * The way of the packet that write_pkt gave last is full: the connection that
 * it is from sends no more until rmr_ns_release.  Others go on.     [submit]
 *
 * \param tag  The host's word for the way: a relay, say.  Tags whose low 12
 *             bits agree are released together.
 *
 * Effects: its timers run on.  A packet of no connection (UDP, ICMP, a reset)
 *          holds nothing.
 * Errors:  none.
 * Source:  RFC 9293 3.8.6: what a sender is held back by is its own business.
 */
RMR_API void rmr_ns_hold(rmr_ns *ns, uint32_t tag);

/**
 * The way has room again.                                          [submit]
 *
 * Effects: what was held for `tag` may send.
 * Errors:  none.
 * Source:  as rmr_ns_hold.
 */
RMR_API void rmr_ns_release(rmr_ns *ns, uint32_t tag);

/**
 * Packets go another way now: connections that wait for a repeat, longer each
 * time because the old way was dead, repeat at once and begin to count anew;
 * those whose data stopped coming of late acknowledge it once more, as the
 * last ACK may be lost.  One that hears from its peer is not disturbed.
 *                                                                  [submit]
 *
 * \param is_for  Whether the way to `remote` is one of them, asked for each
 *                connection; NULL: all are.
 *
 * Effects: may create output; may move the deadline.
 * Errors:  none.
 * Source:  RFC 6298 5.5 leaves the wait to who knows better; RFC 6069 does
 *          likewise for ICMP.
 */
RMR_API void rmr_ns_path_changed(rmr_ns *ns, rmr_time now,
                                 bool (*is_for)(void *user,
                                                const rmr_addr *remote),
                                 void *user);

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
 * \param local  Address (NONE or zero: see the top) and port.  One that is not
 *               ours is allowed; with cfg.forward it serves that address.
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
 * Errors:  UNREACHABLE (no such own address, or no host has the remote one),
 *          INUSE, INVAL, FULL, NOMEM.
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
 *          60 s (rmr_ns_tcp_set_linger).  Unread data makes it a reset.  No
 *          callback follows.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.10.4, RFC 2525 2.17.
 */
RMR_API rmr_err rmr_ns_close(rmr_ns *ns, rmr_time now, rmr_ns_sock s);

/**
 * As close, but a connection is reset.                             [submit]
 *
 * Effects: as rmr_ns_close; may create a reset.  The client of a UDP flow is
 *          told that nobody listens (port unreachable).
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
 * How long data may stay unacknowledged before the connection ends. [submit]
 *
 * It counts from the last progress, also for what waits behind a window that
 * stays closed, and while a connection is being opened.
 *
 * \param timeout  0: after 15 repeats, the default (of the config).  In steps
 *                 of a ms.
 *
 * Effects: begins anew for what is out; may move the deadline;
 *          on_closed(TIMEOUT) when it passes.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.8.3, RFC 5482 (the local limit; the option isn't sent).
 */
RMR_API rmr_err rmr_ns_tcp_set_user_timeout(rmr_ns *ns, rmr_time now,
                                            rmr_ns_sock s, rmr_dur timeout);

/**
 * How long rmr_ns_close goes on delivering without progress.       [submit]
 *
 * \param linger  Default 60 s, in steps of a ms.  0: rmr_ns_close resets, as
 *                rmr_ns_abort does.
 *
 * Effects: on a later rmr_ns_close.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.10.4; POSIX SO_LINGER, without its waiting.
 */
RMR_API rmr_err rmr_ns_tcp_set_linger(rmr_ns *ns, rmr_ns_sock s,
                                      rmr_dur linger);

/**
 * The most that the buffers of a connection may hold.              [submit]
 *
 * \param recv_max, send_max  Bytes, at most those of the config; 0: as it is.
 *
 * Effects: below what is held now: nothing is lost, and it shrinks as it is
 *          read or acknowledged.  The window is never taken back: what was
 *          promised (64 KiB at the start) may still come.  They still begin
 *          at 64 KiB at the most and grow with the path.
 * Errors:  BADHANDLE, INVAL.
 * Source:  RFC 9293 3.8.6.
 */
RMR_API rmr_err rmr_ns_tcp_set_buffers(rmr_ns *ns, rmr_ns_sock s,
                                       size_t recv_max, size_t send_max);

/**
 * Bounds of a listener.                                            [submit]
 *
 * \param half_open   Connections whose handshake isn't finished; above them
 *                    SYN cookies are sent.  0: cookies always.
 * \param unaccepted  Open ones that wait while it is paused; above them the
 *                    final ACK is ignored, and the peer repeats.
 *
 * Effects: on what comes later.
 * Errors:  BADHANDLE.
 * Source:  RFC 4987 3.6 (cookies).
 */
RMR_API rmr_err rmr_ns_tcp_set_backlog(rmr_ns *ns, rmr_ns_sock listener,
                                       uint32_t half_open,
                                       uint32_t unaccepted);

/**
 * Holds on_accept of a listener back, or lets it go on.            [submit]
 *
 * Those that wait read and acknowledge; one that is reset meanwhile is never
 * heard of.  rmr_ns_close of the listener resets them.
 *
 * Effects: on_accept for each that waited, by the next pump call.
 * Errors:  BADHANDLE.
 * Source:  none; what a host does that is out of descriptors.
 */
RMR_API rmr_err rmr_ns_tcp_pause(rmr_ns *ns, rmr_time now,
                                 rmr_ns_sock listener, bool paused);

/**
 * The largest packet that the path to an address takes, as learned; the MTU of
 * the config when nothing is known.                                  [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  RFC 1191, RFC 8201.
 */
RMR_API uint32_t rmr_ns_path_mtu(const rmr_ns *ns, const rmr_addr *to);

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
 * \param local  As for listen: with cfg.forward it serves a foreign address,
 *               and answers from it.  NULL: any of both families; port 0: a
 *               free one.
 *
 * Effects: on_datagram for each that no connected socket takes; on_error.
 * Errors:  INUSE, INVAL, FULL, NOMEM.
 * Lifetime: until rmr_ns_close.
 * Source:  RFC 768.
 */
RMR_API rmr_err rmr_ns_udp_bind(rmr_ns *ns, const rmr_addr *local, void *tag,
                                rmr_ns_sock *out);

/**
 * Queues one datagram.                                             [submit]
 *
 * \param from  Its address (the port is the socket's); NULL or NONE: the
 *              socket's, or an own one of `to`'s family.  To answer from where
 *              one was asked: the `to` of on_datagram.
 * \param to    NULL: the peer of a connected socket, the only one it has.
 * \param data  Copied; at most 65,507 bytes.  Above the path's MTU it goes in
 *              fragments, unless the config says no.
 *
 * Effects: creates output: all of it or nothing.
 * Errors:  BADHANDLE, INVAL, TOOBIG, UNREACHABLE (no such own address, not of
 *          the socket's family, or `to` is a group, loopback or nobody), FULL
 *          (256 KiB wait for write_pkt, more with an MTU above 4032, or no
 *          memory).
 * Source:  RFC 768; RFC 791 3.2, RFC 8200 4.5 (fragments), RFC 7739 (ids).
 */
RMR_API rmr_err rmr_ns_udp_send(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                const rmr_addr *from, const rmr_addr *to,
                                rmr_bytes data);

/**
 * A socket that talks with one peer alone.                         [submit]
 *
 * \param local   As for rmr_ns_tcp_connect; the port may be that of a bound
 *                socket, which hears all others then.
 * \param remote  Address and port.
 *
 * Effects: on_datagram for those of `remote`; on_error(REFUSED) when nobody
 *          listens there.  rmr_ns_udp_send takes NULL for `to`.
 * Errors:  UNREACHABLE (no such own address), INUSE, INVAL, FULL, NOMEM.
 * Lifetime: until rmr_ns_close.
 * Source:  RFC 768, RFC 1122 4.1.3.
 */
RMR_API rmr_err rmr_ns_udp_connect(rmr_ns *ns, const rmr_addr *local,
                                   const rmr_addr *remote, void *tag,
                                   rmr_ns_sock *out);

/**
 * The traffic class byte (DSCP and ECN) of what a socket sends.    [submit]
 *
 * Effects: on what a connection or UDP socket sends later.  Default 0.  Of a
 *          connection the ECN bits stay 0: there is no ECN in its handshake.
 * Errors:  BADHANDLE (also listeners and raw sockets).
 * Source:  RFC 2474; RFC 3168 6.1.
 */
RMR_API rmr_err rmr_ns_set_tos(rmr_ns *ns, rmr_ns_sock s, uint8_t tos);

/**
 * The traffic class byte of the datagram of the on_datagram that is running:
 * DSCP and ECN, as it arrived.                                       [look]
 *
 * Effects: none.
 * Errors:  0 outside of on_datagram.
 * Source:  RFC 3168 5.
 */
RMR_API uint8_t rmr_ns_datagram_tos(const rmr_ns *ns);

/* ---- flows to foreign addresses --------------------------------------- */

/**
 * Takes a flow.                                                    [submit]
 *
 * Dial the backend first and accept when it is connected: so refused is
 * refused at the client, too.
 *
 * \param tag  Of the new socket, whose local address is the foreign one.
 *
 * Effects: TCP: the SYN is answered; on_connected when the handshake is done,
 *          on_closed when it never is.  Nagle is off, keep-alive on (5 min,
 *          30 s, 5 probes).  UDP: on_datagram for the datagrams that waited,
 *          by the next pump call; on_closed(TIMEOUT) after 120 s of silence
 *          (port 53: 30 s), on_closed(FULL) when it makes room.
 * Errors:  BADHANDLE (it is gone), INVAL, FULL, NOMEM: it still waits.
 * Lifetime: as of a connection, or until on_closed.
 * Source:  RFC 9293 3.10.7.2.
 */
RMR_API rmr_err rmr_ns_flow_accept(rmr_ns *ns, rmr_time now, rmr_ns_flow flow,
                                   void *tag, rmr_ns_sock *out);

/**
 * Refuses a flow.                                                  [submit]
 *
 * \param why  REFUSED: a reset, or port unreachable for UDP; UNREACHABLE: host
 *             unreachable; DENIED: administratively prohibited; anything else:
 *             silence.
 *
 * Effects: the handle is stale.
 * Errors:  BADHANDLE.
 * Source:  RFC 9293 3.10.7.1; RFC 792, RFC 4443 3.1.
 */
RMR_API rmr_err rmr_ns_flow_refuse(rmr_ns *ns, rmr_time now, rmr_ns_flow flow,
                                   rmr_err why);

/**
 * What on_flow_gone is given.                                      [submit]
 *
 * Effects: none besides.
 * Errors:  BADHANDLE.
 * Source:  none.
 */
RMR_API rmr_err rmr_ns_flow_set_tag(rmr_ns *ns, rmr_ns_flow flow, void *tag);

/* ---- raw IP ----------------------------------------------------------- */

/**
 * Hears all packets of one protocol to own addresses, whole.       [submit]
 *
 * \param family    RMR_AF_INET, RMR_AF_INET6.
 * \param protocol  0...255.  TCP, UDP and ICMP are handled by the stack all
 *                  the same.
 *
 * Effects: on_raw for each that passed the checks of IP; put together when it
 *          came in fragments.
 * Errors:  INVAL, FULL, NOMEM.
 * Lifetime: until rmr_ns_close.
 * Source:  RFC 791, RFC 8200.
 */
RMR_API rmr_err rmr_ns_raw_open(rmr_ns *ns, uint8_t family, uint8_t protocol,
                                void *tag, rmr_ns_sock *out);

/**
 * Sends a whole IP packet, as it is.                               [submit]
 *
 * \param ip_packet  Copied.  Its lengths, the sum of an IPv4 header, both
 *                   addresses and the chain of extension headers are checked,
 *                   not the options, nor what follows; it is no fragment.  Its
 *                   source is an own address, with cfg.forward any.
 *
 * Effects: creates output.  The filter sees it when it leaves.
 * Errors:  MALFORMED, UNREACHABLE (not our address), TOOBIG, FULL.
 * Source:  RFC 791, RFC 8200.
 */
RMR_API rmr_err rmr_ns_raw_send(rmr_ns *ns, rmr_time now, rmr_bytes ip_packet);

/* ---- ICMP ------------------------------------------------------------- */

/**
 * Answers an on_echo.                                              [submit]
 *
 * \param from  The foreign address that was pinged.
 *
 * Effects: creates output.
 * Errors:  INVAL, TOOBIG, FULL.
 * Source:  RFC 792, RFC 4443 4.2.
 */
RMR_API rmr_err rmr_ns_echo_reply(rmr_ns *ns, rmr_time now,
                                  const rmr_addr *from, const rmr_addr *to,
                                  uint16_t id, uint16_t seq,
                                  rmr_bytes payload);

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
