/*
 * remora/io.h - the I/O vocabulary between machines and adapters.
 *
 * A machine is anything runnable: a node, a relay, a coordination server, a
 * lone tunnel.  It does no I/O; it asks for it by operations and hears of it by
 * events.  An adapter (io-posix, io-gcd, sim, or yours) performs operations and
 * reports events, and knows no protocol.
 *
 * Rules:
 *  - Ids.  Every socket, listener, stream and request has a 64-bit id.  The
 *    machine chooses ids without the top bit; the adapter chooses the ids of
 *    accepted streams, with the top bit (RMR_IO_ADAPTER_ID).  An id is never
 *    used twice.
 *  - Answers.  UDP_OPEN, ICMP_OPEN, CONNECT and LISTEN end in one OPENED or
 *    FAILED;
 *    STREAM_SEND in one SENT (or RESET of the stream); LOAD in LOADED parts or
 *    FAILED; STORE in one STORED or FAILED after its last part; RESOLVE in
 *    RESOLVED or FAILED.
 *    CLOSE has no answer, and no event of that id follows it.
 *  - Streams.  A stream delivers BYTES only against credit that READ gave, and
 *    the machine has at most one STREAM_SEND outstanding per stream.  EOF: the
 *    far end sends no more; the other direction goes on.  RESET: the stream is
 *    gone in both directions, no CLOSE is needed (one does no harm).
 *  - UDP.  UDP_SEND has no answer.  A full socket keeps the batch it was given,
 *    BLOCKED says so; the machine gives no more to that socket until WRITABLE.
 *    A UDP_SEND with seg_size is one run of equal datagrams to one address: the
 *    cheap form, which the host may send in one piece.  DATAGRAMS with seg_size
 *    is such a run as it came, all from one sender.
 *    UDP_OPEN with dont_fragment: nothing that is sent there is cut, neither by
 *    the host nor on the way (IPv4's DF); what the host knows to be too long is
 *    told by SEND_FAILED, TOOBIG.  OPENED with dont_fragment says that it is
 *    so; where the host can't do it the socket is opened without.
 *  - ICMP echo.  ICMP_OPEN gives a socket for echo messages of one family;
 *    UDP_SEND and DATAGRAMS carry them from the ICMP type on, without an IP
 *    header, one a time (seg_size 0; the port of the address means nothing).
 *    Only echo replies are told.  The host may write an identifier and a
 *    checksum of its own, and tell replies to others' requests: match by the
 *    sequence number and the payload.  FAILED with DENIED or UNSUPPORTED where
 *    the host has no such sockets for us.
 *  - Links.  LINKS comes after the first WALL, where the adapter knows of the
 *    host's network, and again whenever an address, the default route, a name
 *    server or the hosts text changed; a burst of changes may come as one.
 *  - Memory.  What an event points to is lent for the call.  What an operation
 *    points to lies in the scratch given to next_op, or is constant; the
 *    adapter may use the scratch until it calls next_op again; it has written
 *    or copied what it needs by then.
 *  - Turns.  One `now` per turn.  After events and deadlines the adapter calls
 *    next_op until it answers RMR_IO_NONE.
 *  - Time of day comes as a WALL event: the first event of all, and again after
 *    the wall clock was stepped.
 *  - TLS, names and retries are the machine's own business.
 *
 * Source: docs/integrating.md; style of the contract in ARCHITECTURE.md.
 */
#ifndef REMORA_IO_H
#define REMORA_IO_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_IO_ADAPTER_ID ((uint64_t)1 << 63)

/* Scratch that every machine can work with. */
#define RMR_IO_SCRATCH_MIN ((size_t)72 * 1024)

typedef enum rmr_io_op_kind {
    RMR_IO_NONE = 0,
    RMR_IO_UDP_OPEN,      /* addr: local, port 0 = any; dont_fragment         */
    RMR_IO_UDP_SEND,      /* addr: to; data; seg_size                         */
    RMR_IO_CONNECT,       /* addr, or name: a local endpoint; timeout         */
    RMR_IO_LISTEN,        /* addr, or name: a local endpoint                  */
    RMR_IO_ACCEPT_PAUSE,  /* on a listener: hold further streams back ...     */
    RMR_IO_ACCEPT_RESUME, /* ... and go on                                    */
    RMR_IO_READ,          /* credit: this many bytes more may be delivered    */
    RMR_IO_STREAM_SEND,   /* data                                             */
    RMR_IO_SHUTDOWN,      /* no more from us, after what was sent             */
    RMR_IO_CLOSE,         /* any id; a stream's queued bytes are still sent   */
    RMR_IO_ABORT,         /* a stream: drop what is queued, reset             */
    RMR_IO_RESOLVE,       /* name: host name; optional for adapters           */
    RMR_IO_LOAD,          /* name: blob                                       */
    RMR_IO_STORE,         /* name, data: replace the blob atomically, durably */
    RMR_IO_STOP,          /* the machine has ended; err: RMR_OK when as asked */
    RMR_IO_ICMP_OPEN      /* addr.family; optional for adapters               */
} rmr_io_op_kind;

typedef struct rmr_io_op {
    rmr_io_op_kind kind;
    uint64_t id;
    rmr_addr addr;
    rmr_bytes data;
    rmr_bytes name;    /* text, not NUL-terminated                            */
    uint32_t seg_size; /* UDP_SEND: data is datagrams of this size, the last
                          may be shorter; 0 = one datagram                    */
    size_t credit;     /* READ                                                */
    bool more;         /* STORE: further parts follow under the same id; the
                          blob is replaced when the last one has come         */
    rmr_dur timeout;   /* CONNECT, RESOLVE; 0 = the adapter's default.
                          LISTEN: what its streams send may stay unacknowledged
                          for so long, then they are RESET; a wish that not
                          every host can fulfil; 0 = the host's own patience  */
    rmr_err err;       /* STOP                                                */
    bool dont_fragment; /* UDP_OPEN                                           */
} rmr_io_op;

typedef enum rmr_io_event_kind {
    RMR_IO_OPENED = 1,  /* id; addr: the local address; dont_fragment         */
    RMR_IO_FAILED,      /* id; err: NOTFOUND, INUSE, REFUSED, UNREACHABLE,
                           TIMEOUT, DENIED, NOFILES, UNSUPPORTED, TOOBIG (a
                           local endpoint's path), IO                        */
    RMR_IO_SENT,        /* id: the STREAM_SEND is done                        */
    RMR_IO_LOADED,      /* id; data; more: further parts follow               */
    RMR_IO_STORED,      /* id: durable                                        */
    RMR_IO_RESOLVED,    /* id; addrs, n_addrs                                 */
    RMR_IO_DATAGRAMS,   /* id; addr: sender; data; seg_size as in UDP_SEND    */
    RMR_IO_BYTES,       /* id; data                                           */
    RMR_IO_EOF,         /* id                                                 */
    RMR_IO_RESET,       /* id; err                                            */
    RMR_IO_ACCEPTED,    /* id: the listener; child: the stream; addr: remote  */
    RMR_IO_ACCEPT_FAILED, /* id: the listener; err (NOFILES: no descriptors)  */
    RMR_IO_BLOCKED,     /* id: a UDP socket is full                           */
    RMR_IO_WRITABLE,    /* id: it has room again                              */
    RMR_IO_SEND_FAILED, /* id; addr: to; err: TOOBIG, UNREACHABLE, ...        */
    RMR_IO_LINKS,       /* links                                              */
    RMR_IO_WALL,        /* wall_unix_ns                                       */
    RMR_IO_STOP_REQUEST /* the host wants the machine to end (SIGTERM)        */
} rmr_io_event_kind;

typedef struct rmr_io_link { /* what an own address is on */
    char name[16]; /* of the interface; "": unknown */
    uint8_t bits;  /* length of the subnet's prefix; 0: unknown */
} rmr_io_link;

typedef struct rmr_io_links { /* what the host knows of its network */
    const rmr_addr *addrs; /* own addresses, of interfaces that are up */
    size_t n_addrs;
    const rmr_addr *gateways; /* of default routes */
    size_t n_gateways;
    const rmr_addr *name_servers; /* with ports */
    size_t n_name_servers;
    rmr_bytes hosts; /* text in the form of hosts(5), may be empty */
    rmr_bytes search; /* space-separated search domains, may be empty */
    const rmr_io_link *of_addrs; /* one for each of addrs; NULL: not told */
} rmr_io_links;

typedef struct rmr_io_event {
    rmr_io_event_kind kind;
    uint64_t id;
    uint64_t child;
    rmr_addr addr;
    rmr_buf data;
    uint32_t seg_size;
    rmr_err err;
    bool more; /* LOADED: not the last part of the blob */
    const rmr_addr *addrs;
    size_t n_addrs;
    const rmr_io_links *links;
    uint64_t wall_unix_ns;
    bool dont_fragment; /* OPENED: as UDP_OPEN wished                         */
} rmr_io_event;

typedef struct rmr_machine { /* what an adapter drives */
    void *self;
    /* Takes one event; may change the deadline and the operations.  A result
     * of class fatal: drop the machine. */
    rmr_err (*event)(void *self, rmr_time now, const rmr_io_event *ev);
    /* Gives the next operation, RMR_IO_NONE when there is none now.  `scratch`
     * is of at least RMR_IO_SCRATCH_MIN bytes. */
    rmr_err (*next_op)(void *self, rmr_time now, rmr_buf scratch,
                       rmr_io_op *op);
    rmr_time (*next_deadline)(const void *self);
    rmr_err (*handle_deadline)(void *self, rmr_time now);
} rmr_machine;

#ifdef __cplusplus
}
#endif
#endif
