/*
 * remora/sim.h - the third adapter: whole networks in one process, on a virtual
 * clock.
 *
 * It runs machines (remora/io.h) on simulated hosts.  Hosts lie in nets; a net
 * lies behind a gate (a NAT, a firewall, a router) in another net, and the
 * outermost net, 0, is the Internet.  Every host and every gate hangs at its
 * net by a link, which delays, loses, doubles and reorders.  Two NATs in a row
 * are two nets in a row.
 *
 * Everything that happens is one heap of happenings, ordered by time and, at
 * one time, by the order in which they were made.  Nothing depends on
 * addresses of memory, on the compiler or on floating point: the same calls
 * with the same seed give the same rmr_sim_hash().
 *
 * What it is not: a TCP.  A stream (CONNECT, LISTEN) is a reliable ordered pipe
 * with the path's delay and rate; a chunk that a link loses is tried again, and
 * the stream breaks when that goes on for stream_patience.  Streams pass NATs
 * and firewalls outward only.  ICMP errors are not sent; what does not fit the
 * MTU of a further link vanishes.
 *
 * Threading: one world, one thread at a time.  Memory: from config.alloc.
 * Time: starts at config.start, moves in the rmr_sim_run calls alone.
 *
 * Callbacks and machines' functions fire from the run calls alone.  In a
 * script's function all may be called but the run calls and rmr_sim_free; in a
 * condition only look functions.
 *
 * Source: RFC 4787 for what NATs do, remora/io.h for the machines.
 *
 *     rmr_sim_config_init(&cfg, sizeof cfg);
 *     cfg.alloc = env.alloc;
 *     cfg.seed = 7;
 *     rmr_sim_new(&sim, &cfg);
 *     rmr_sim_gate_config_init(&gate, sizeof gate);
 *     gate.nat = true;
 *     gate.outside = &public_address;
 *     gate.n_outside = 1;
 *     gate.inside = rmr_addr_v4(192, 168, 1, 1, 0);
 *     rmr_sim_net_new(sim, RMR_SIM_INTERNET, &gate, &home);
 *     rmr_sim_host_config_init(&hc, sizeof hc);
 *     hc.addrs = &private_address;
 *     hc.n_addrs = 1;
 *     hc.up.delay = hc.down.delay = 5 * RMR_MS;
 *     rmr_sim_host_new(sim, home, &hc, &host);
 *     rmr_sim_add(sim, host, &machine, &program);
 *     rmr_sim_at(sim, 10 * RMR_SEC, reboot_the_nat, &home);
 *     rmr_sim_run_until(sim, 60 * RMR_SEC, is_direct, world);
 */
#ifndef REMORA_SIM_H
#define REMORA_SIM_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/io.h>
#include <remora/sim_link.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_sim rmr_sim;
typedef uint32_t rmr_sim_net;     /* 0: the Internet                 */
typedef uint32_t rmr_sim_host;    /* from 1                          */
typedef uint32_t rmr_sim_program; /* a machine on a host, from 1     */

#define RMR_SIM_INTERNET ((rmr_sim_net)0)

/* ---- the world ----------------------------------------------------------- */

typedef enum rmr_sim_tap_kind {
    RMR_SIM_TAP_OUT = 1, /* a packet leaves a host ...                       */
    RMR_SIM_TAP_IN       /* ... comes to one                                 */
} rmr_sim_tap_kind;

typedef struct rmr_sim_config {
    uint32_t struct_size;
    rmr_alloc alloc;
    uint64_t seed;
    rmr_time start;          /* of the virtual clock; 1 s                    */
    uint64_t wall_unix_ns;   /* time of day at the start                     */
    rmr_dur stream_patience; /* how long a stream outlives a cut path; 30 s  */
    size_t stream_window;    /* bytes on the way, a direction; 256 KiB       */
    uint32_t max_turns;      /* turns of one program at one instant, after
                                which it is said to spin; 100,000            */
    /* Datagrams as raw IP, for a packet log of each host; checksums are 0.  May
     * be NULL.  Streams are not shown. */
    void (*on_tap)(void *user, rmr_time now, rmr_sim_host host,
                   rmr_sim_tap_kind kind, rmr_bytes ip_packet);
    void *user;
} rmr_sim_config;

/**
 * Seed 1, start 1 s, time of day of 2026, no tap; `alloc` is empty.  [submit]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_sim_config_init(rmr_sim_config *cfg, size_t struct_size);

/**
 * A world with an empty Internet.                                   [submit]
 *
 * \param cfg  Copied.
 *
 * Effects:  allocates.  *out is NULL after an error.
 * Errors:   INVAL, NOMEM.
 * Lifetime: until rmr_sim_free.
 * Source:   none.
 */
RMR_API rmr_err rmr_sim_new(rmr_sim **out, const rmr_sim_config *cfg);

/**
 * Frees all; the machines are not told.  NULL is allowed.             [pump]
 *
 * Effects: none besides.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_sim_free(rmr_sim *s);

/**
 * The text in the form of hosts(5) that every host knows: names of servers.
 * Hosts that run already are told LINKS.                            [submit]
 *
 * \param text  Copied.
 *
 * Effects: LINKS to all programs.
 * Errors:  NOMEM.
 * Source:  hosts(5).
 */
RMR_API rmr_err rmr_sim_set_hosts_text(rmr_sim *s, rmr_bytes text);

/* ---- nets and their gates ------------------------------------------------ */

typedef enum rmr_sim_dependence { /* RFC 4787 4.1 and 5 */
    RMR_SIM_ENDPOINT_INDEPENDENT = 0,
    RMR_SIM_ADDRESS_DEPENDENT,
    RMR_SIM_ADDRESS_AND_PORT_DEPENDENT
} rmr_sim_dependence;

typedef enum rmr_sim_ports { /* RFC 4787 4.2 */
    RMR_SIM_PORTS_PRESERVED = 0, /* the inner port while it is free */
    RMR_SIM_PORTS_RANDOM,
    RMR_SIM_PORTS_SEQUENTIAL
} rmr_sim_ports;

typedef struct rmr_sim_gate_config {
    uint32_t struct_size;
    bool nat; /* IPv4 is translated; else it is routed as IPv6 always is     */
    rmr_sim_dependence mapping;
    rmr_sim_dependence filtering;
    rmr_sim_ports ports;
    bool hairpin;         /* inner hosts reach each other by outer addresses,
                             with the outer source (RFC 4787 6)              */
    bool is_unpaired;     /* each mapping takes any outer address
                             (RFC 4787 4.1, pooling "arbitrary")             */
    bool no_inbound_refresh; /* only what goes out keeps a mapping alive     */
    rmr_dur lifetime;     /* of an idle mapping or pinhole; 120 s            */
    uint32_t max_mappings;   /* 0: 65,536 less the well-known ports          */
    bool has_firewall;    /* of what is routed, not translated: only answers
                             to the same address and port come in; true      */
    bool udp_blocked;     /* no datagram passes, either way                  */
    bool only_tcp_443;    /* nothing but streams to port 443 passes          */
    const rmr_addr *outside; /* IPv4 addresses in the outer net, copied      */
    size_t n_outside;        /* at most 8; 0 without NAT                     */
    rmr_addr inside;      /* its own address in the net; may be NONE         */
    rmr_addr inside6;
    rmr_sim_link_config up, down; /* to the outer net and back               */
} rmr_sim_gate_config;

/**
 * A firewall for what is routed; no NAT, 120 s, links that do nothing.
 *                                                                   [submit]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  RFC 4787 REQ-5.
 */
RMR_API void rmr_sim_gate_config_init(rmr_sim_gate_config *cfg,
                                      size_t struct_size);

/**
 * A net behind a gate in the net `outer`.                           [submit]
 *
 * \param cfg  Copied.
 *
 * Effects: allocates.
 * Errors:  INVAL (a NAT without an outer address, more than 8), BADHANDLE,
 *          INUSE (an outer address is taken in that net), NOMEM.
 * Source:  RFC 4787.
 */
RMR_API rmr_err rmr_sim_net_new(rmr_sim *s, rmr_sim_net outer,
                                const rmr_sim_gate_config *cfg,
                                rmr_sim_net *out);

/**
 * The gate forgets all mappings and pinholes, and streams through it die, as
 * when a home router restarts.  Forwards stay.                      [submit]
 *
 * Effects: from the next packet on.
 * Errors:  BADHANDLE (the Internet has no gate).
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_gate_reboot(rmr_sim *s, rmr_sim_net net);

/**
 * The gate's link carries packets, or loses all.                    [submit]
 *
 * Effects: from the next packet on.
 * Errors:  BADHANDLE.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_gate_set_up(rmr_sim *s, rmr_sim_net net, bool is_up);

/**
 * Other outer addresses, as when a provider numbers anew: mappings are
 * forgotten.                                                        [submit]
 *
 * Effects: from the next packet on.
 * Errors:  BADHANDLE, INVAL, INUSE.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_gate_set_outside(rmr_sim *s, rmr_sim_net net,
                                         const rmr_addr *outside,
                                         size_t n_outside);

typedef enum rmr_sim_ways {
    RMR_SIM_WAY_NONE = 0,
    RMR_SIM_WAY_OUT = 1, /* from the net to the outer one */
    RMR_SIM_WAY_IN = 2,
    RMR_SIM_WAY_BOTH = 3
} rmr_sim_ways;

/**
 * Blocks the UDP of one family that goes these ways, and lets the others pass;
 * for scripts.                                                      [submit]
 *
 * \param family  RMR_AF_NONE: both.
 *
 * Effects: from the next packet on.
 * Errors:  BADHANDLE.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_gate_block_udp(rmr_sim *s, rmr_sim_net net,
                                       uint8_t family, rmr_sim_ways ways);

/**
 * A fixed UDP mapping, open to all: what NAT-PMP, PCP and UPnP make, or a user
 * by hand.                                                          [submit]
 *
 * \param port      Wanted outer port; 0: any.
 * \param lifetime  0 takes the mapping of `inner` away.
 * \param got       The outer address.
 *
 * Effects: from the next packet on.
 * Errors:  BADHANDLE, STATE (no NAT), INUSE (the port), FULL.
 * Source:  RFC 6886 3.3, RFC 6887 11.
 */
RMR_API rmr_err rmr_sim_gate_forward(rmr_sim *s, rmr_sim_net net,
                                     rmr_addr inner, uint16_t port,
                                     rmr_dur lifetime, rmr_addr *got);

typedef struct rmr_sim_gate_stats {
    uint64_t out, in, hairpinned;
    uint64_t mappings;      /* made so far                                  */
    uint64_t live;          /* now, those included that ran out unnoticed   */
    uint64_t filtered;      /* came in, and no pinhole was there            */
    uint64_t unmapped;      /* came in to a port without a mapping          */
    uint64_t blocked, full; /* by udp_blocked and only_tcp_443; no port     */
} rmr_sim_gate_stats;

/** Counters, by value; zeros for what has no gate.                    [look]
 *  Effects: none.  Errors: none.  Source: contract B1. */
RMR_API rmr_sim_gate_stats rmr_sim_gate_get_stats(const rmr_sim *s,
                                                  rmr_sim_net net);

/* ---- hosts --------------------------------------------------------------- */

typedef struct rmr_sim_host_config {
    uint32_t struct_size;
    const char *name;       /* for logs; copied, at most 31 bytes            */
    const rmr_addr *addrs;  /* of its interface, both families; copied       */
    size_t n_addrs;         /* at most 8                                     */
    const rmr_addr *name_servers; /* copied; at most 4                       */
    size_t n_name_servers;
    rmr_sim_link_config up, down; /* to its net and back                     */
    bool no_ping;           /* does not answer ICMP echo                     */
    bool icmp_denied;       /* ICMP sockets are not allowed                  */
    bool no_local_udp;      /* UDP_OPEN fails with DENIED                    */
    bool receive_runs;      /* equal datagrams that came at once are told as
                               one event with seg_size                       */
} rmr_sim_host_config;

/**
 * No address, links that do nothing.                                [submit]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_sim_host_config_init(rmr_sim_host_config *cfg,
                                      size_t struct_size);

/**
 * A host in a net, without a program.                               [submit]
 *
 * \param cfg  Copied.
 *
 * Effects: allocates.
 * Errors:  INVAL, BADHANDLE, INUSE (an address is taken in that net), NOMEM.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_host_new(rmr_sim *s, rmr_sim_net net,
                                 const rmr_sim_host_config *cfg,
                                 rmr_sim_host *out);

/**
 * Runs a machine on a host, from now on.                            [submit]
 *
 * Effects:  WALL and LINKS at the present time, in the next run.
 * Errors:   BADHANDLE, NOMEM.
 * Lifetime: m->self is retained until the machine has stopped, was taken away
 *           or the world was freed.
 * Source:   remora/io.h.
 */
RMR_API rmr_err rmr_sim_add(rmr_sim *s, rmr_sim_host host, const rmr_machine *m,
                            rmr_sim_program *out);

typedef enum rmr_sim_end {
    RMR_SIM_KILLED = 0, /* its sockets are closed: far ends see a reset      */
    RMR_SIM_POWER_CUT   /* nothing is sent: far ends learn it when they send */
} rmr_sim_end;

/**
 * Takes a program away, as a crash does.  To restart it: free the machine, make
 * a new one, rmr_sim_add().                                         [submit]
 *
 * Effects: the machine is not called again.  Blobs stay, without unfinished
 *          stores.
 * Errors:  BADHANDLE (it is gone already).
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_remove(rmr_sim *s, rmr_sim_program program,
                               rmr_sim_end how);

/** The program is asked to stop (RMR_IO_STOP_REQUEST).              [submit]
 *  Effects: in the next run.  Errors: BADHANDLE.  Source: remora/io.h. */
RMR_API rmr_err rmr_sim_request_stop(rmr_sim *s, rmr_sim_program program);

/** Something outside called into the machine (a submit function of its own):
 *  its operations and deadline are looked at in the next run.       [submit]
 *  Effects: in the next run.  Errors: BADHANDLE.  Source: none. */
RMR_API rmr_err rmr_sim_poke(rmr_sim *s, rmr_sim_program program);

/**
 * Whether it still runs, and if not, how it ended.                    [look]
 *
 * \param result  Of STOP, or the fatal result; OK after rmr_sim_remove; may be
 *                NULL.
 *
 * Effects: none.
 * Errors:  none; false for what never was.
 * Source:  none.
 */
RMR_API bool rmr_sim_is_running(const rmr_sim *s, rmr_sim_program program,
                                rmr_err *result);

/** Whether streams that it closed still have bytes to send, as those of a
 *  stopped program may.                                               [look]
 *  Effects: none.  Errors: none.  Source: remora/io.h, CLOSE. */
RMR_API bool rmr_sim_is_flushing(const rmr_sim *s, rmr_sim_program program);

/**
 * The host's link carries packets, or loses all silently.           [submit]
 *
 * Effects: from the next packet on.  No LINKS: nobody pulled the cable here.
 * Errors:  BADHANDLE.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_host_set_up(rmr_sim *s, rmr_sim_host host, bool is_up);

/**
 * The host's link behaves otherwise from now on; what is on it comes as it
 * would have.                                                       [submit]
 *
 * Effects: from the next packet on.
 * Errors:  BADHANDLE.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_host_set_link(rmr_sim *s, rmr_sim_host host,
                                      const rmr_sim_link_config *up,
                                      const rmr_sim_link_config *down);

/**
 * The host moves: other addresses, perhaps in another net.  Streams and sockets
 * that were bound to an address that is gone hear nothing any more. [submit]
 *
 * \param addrs  Copied.  None: it has no network.
 *
 * Effects: LINKS to its programs.
 * Errors:  BADHANDLE, INVAL, INUSE.
 * Source:  remora/io.h, LINKS.
 */
RMR_API rmr_err rmr_sim_host_move(rmr_sim *s, rmr_sim_host host,
                                  rmr_sim_net net, const rmr_addr *addrs,
                                  size_t n_addrs);

/**
 * The host sleeps for `d`: its programs are not called, what comes is lost,
 * the virtual clock goes on.                                        [submit]
 *
 * Effects: at once.
 * Errors:  BADHANDLE.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_host_sleep(rmr_sim *s, rmr_sim_host host, rmr_dur d);

/**
 * The host's time of day jumps; WALL to its programs.               [submit]
 *
 * \param step  ns, forward or back.
 *
 * Effects: in the next run.
 * Errors:  BADHANDLE.
 * Source:  remora/io.h, WALL.
 */
RMR_API rmr_err rmr_sim_host_step_clock(rmr_sim *s, rmr_sim_host host,
                                        int64_t step);

/**
 * For `d` every UDP socket of the host is full: the batch that comes next is
 * kept, BLOCKED, then sent, WRITABLE.                               [submit]
 *
 * Effects: from the next UDP_SEND on.
 * Errors:  BADHANDLE.
 * Source:  remora/io.h, UDP.
 */
RMR_API rmr_err rmr_sim_host_block_sends(rmr_sim *s, rmr_sim_host host,
                                         rmr_dur d);

/** Time of day on a host, Unix ns; 0 for no host.                     [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API uint64_t rmr_sim_host_wall(const rmr_sim *s, rmr_sim_host host);

/**
 * A blob of the host.                                                 [look]
 *
 * \return False: there is none.
 *
 * Effects:  *out.
 * Errors:   none.
 * Lifetime: the view is good until the blob is stored or removed.
 * Source:   none.
 */
RMR_API bool rmr_sim_blob_get(const rmr_sim *s, rmr_sim_host host,
                              const char *name, rmr_bytes *out);

/** Writes a blob; empty data with a NULL pointer removes it; name NULL removes
 *  all of them (a machine that is set up anew).                     [submit]
 *  Effects: at once.  Errors: BADHANDLE, INVAL, NOMEM.  Source: none. */
RMR_API rmr_err rmr_sim_blob_set(rmr_sim *s, rmr_sim_host host,
                                 const char *name, rmr_bytes data);

typedef struct rmr_sim_host_stats {
    uint64_t tx_datagrams, rx_datagrams, tx_bytes, rx_bytes; /* UDP payload */
    uint64_t no_socket, unreachable, too_big, asleep, socket_full;
    uint64_t stream_tx_bytes, stream_rx_bytes, streams_broken;
} rmr_sim_host_stats;

/** Counters, by value; zeros for no host.                             [look]
 *  Effects: none.  Errors: none.  Source: contract B1. */
RMR_API rmr_sim_host_stats rmr_sim_host_get_stats(const rmr_sim *s,
                                                  rmr_sim_host host);

/* ---- time ---------------------------------------------------------------- */

/** The virtual clock.                                                 [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API rmr_time rmr_sim_now(const rmr_sim *s);

/** When something happens next; NEVER: nothing will.                  [look]
 *  Effects: none.  Errors: none.  Source: contract T4. */
RMR_API rmr_time rmr_sim_next(const rmr_sim *s);

/**
 * Calls `fn` at that time, or now when it is past: scripted faults.
 *                                                                   [submit]
 *
 * Effects: one call, from a run.
 * Errors:  NOMEM.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_at(rmr_sim *s, rmr_time at,
                           void (*fn)(void *user, rmr_sim *s), void *user);

/**
 * Runs until `until` holds or it is `end`.                            [pump]
 *
 * \param until  Asked after each happening, and first of all; NULL: never
 *               holds.
 *
 * Effects: all that happens until then; the clock is `end` when `until` did not
 *          hold before.
 * Errors:  TIMEOUT (`until` was given and does not hold), INTERNAL (a machine
 *          spins: max_turns), NOMEM (something is lost; free the world).
 * Source:  remora/io.h.
 */
RMR_API rmr_err rmr_sim_run_until(rmr_sim *s, rmr_time end,
                                  bool (*until)(void *user), void *user);

/**
 * One happening, if one is due at or before `end`.                    [pump]
 *
 * \param happened  False: there was none; the clock is `end` then.
 *
 * Effects: as rmr_sim_run_until.
 * Errors:  INTERNAL, NOMEM.
 * Source:  none.
 */
RMR_API rmr_err rmr_sim_step(rmr_sim *s, rmr_time end, bool *happened);

/** A digest over all operations, deliveries and their times so far.   [look]
 *  Effects: none.  Errors: none.  Source: contract D1. */
RMR_API uint64_t rmr_sim_hash(const rmr_sim *s);

/** Draws from the world's own generator, below `below` (0 gives 0): for scripts
 *  that want chance of the same seed.                               [submit]
 *  Effects: the generator goes on.  Errors: none.  Source: none. */
RMR_API uint64_t rmr_sim_random(rmr_sim *s, uint64_t below);

#ifdef __cplusplus
}
#endif
#endif
