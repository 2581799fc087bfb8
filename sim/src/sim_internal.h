/* The simulator's inside: one world, its heap of happenings, and the parts that
 * run on it. */
#ifndef REMORA_SIM_INTERNAL_H
#define REMORA_SIM_INTERNAL_H

#include "rng.h"
#include "sim_map.h"

#include <remora/handle.h>
#include <remora/sim.h>

#define SIM_MAX_ADDRS 8
#define SIM_MAX_SERVERS 4
#define SIM_MAX_DEPTH 8        /* gates in a row                             */
#define SIM_CHUNK 16384        /* most of a stream in one piece              */
#define SIM_BACKLOG 512        /* streams that wait for a paused listener    */
#define SIM_SOCKET_BYTES ((size_t)1024 * 1024) /* that wait for a program  */
#define SIM_LARGEST_UDP 65507u /* RFC 768: 65,535 less the two headers       */

enum { SIM_ICMP = 1, SIM_TCP = 6, SIM_UDP = 17, SIM_LOCAL = 250 };

/* ---- happenings ---------------------------------------------------------- */

typedef struct sim_happening sim_happening;
typedef void (*sim_run_fn)(rmr_sim *s, sim_happening *h);

struct sim_happening {
    sim_run_fn run;
    uint64_t a, b;
    void *ptr; /* released after `run`, unless that took it (set NULL) */
    size_t size;
};

typedef struct sim_due { /* when a happening happens */
    rmr_time at;
    uint64_t order; /* ties happen as they were made */
    size_t place;   /* of the happening */
} sim_due;

/* ---- nets ---------------------------------------------------------------- */

typedef struct sim_mapping { /* of a NAT; RFC 4787 */
    uint8_t proto;
    rmr_addr inner, outer;
    rmr_addr remote; /* as far as the mapping depends on it */
    rmr_time until;
    bool is_forward; /* made by rmr_sim_gate_forward: open to all */
} sim_mapping;

typedef struct sim_gate {
    rmr_sim_gate_config c;
    rmr_addr outside[SIM_MAX_ADDRS];
    rmr_sim_link up, down;
    rmr_sim_net outer, net;
    rmr_sim_ways blocked[2]; /* for UDP over IPv4, IPv6 */
    bool is_up;
    uint32_t epoch; /* reboots so far: streams remember it */
    uint64_t rng;
    uint16_t next_port;
    rmr_slots mappings;
    sim_map by_inner, by_outer; /* -> mapping                 */
    sim_map pinholes;           /* -> until when              */
    rmr_sim_gate_stats stats;
} sim_gate;

typedef struct sim_net {
    sim_gate *gate; /* NULL: the Internet */
} sim_net;

/* ---- hosts --------------------------------------------------------------- */

typedef struct sim_blob {
    struct sim_blob *next;
    char name[128];
    uint8_t *data;
    size_t len, cap;
    uint32_t program; /* of an unfinished store, else 0 */
    uint64_t id;
} sim_blob;

typedef struct sim_host {
    /* What each packet looks at comes first. */
    rmr_time sleeps_until;
    rmr_sim_net net;
    bool is_up, no_ping, icmp_denied, no_local_udp, receive_runs;
    size_t n_addrs;
    rmr_addr addrs[SIM_MAX_ADDRS];
    rmr_sim_link up, down;
    rmr_sim_host_stats stats;
    char name[32];
    rmr_addr servers[SIM_MAX_SERVERS];
    size_t n_servers;
    rmr_time blocked_until;
    uint64_t rng;
    int64_t clock_step;
    sim_blob *blobs; /* whole ones */
} sim_host;

/* ---- programs and what they have open ------------------------------------ */

typedef struct sim_program {
    rmr_machine m;
    rmr_sim_host host;
    bool is_running;
    rmr_err result;
    rmr_time due;      /* its deadline, as of its last turn        */
    rmr_time wake_at;  /* the earliest wake in the heap            */
    rmr_time turns_at; /* the instant that turns counts for        */
    uint32_t turns;
    uint64_t last_child;
    sim_blob *stores; /* unfinished */
} sim_program;

typedef enum sim_kind {
    SIM_SOCKET = 1, /* UDP or ICMP */
    SIM_LISTENER,
    SIM_END, /* of a stream */
    SIM_REQUEST
} sim_kind;

typedef struct sim_object {
    sim_kind kind;
    uint32_t program; /* 0: its program is gone; an end alone outlives it */
    uint64_t id;
    rmr_sim_host host;
    /* SOCKET, LISTENER */
    uint8_t proto;
    rmr_addr local;
    uint64_t name; /* digest of a local endpoint's name */
    bool is_bound;
    bool is_whole; /* dont_fragment */
    uint64_t next_bound; /* object with the same protocol and port */
    bool is_blocked;
    uint8_t *kept; /* the batch of a full socket */
    size_t kept_len;
    uint32_t kept_seg;
    rmr_addr kept_to;
    struct sim_packet *first_in, *last_in; /* came, not told yet */
    size_t in_bytes;
    bool read_due;
    /* LISTENER */
    bool is_paused;
    uint64_t *waiting; /* streams while it is paused, SIM_BACKLOG; or NULL */
    size_t n_waiting;
    /* END */
    uint64_t stream;
    uint8_t side;
} sim_object;

typedef struct sim_told { /* an event on its way to a program */
    rmr_io_event ev;
    uint8_t data[]; /* of ev */
} sim_told;

/* ---- streams ------------------------------------------------------------- */

typedef struct sim_piece { /* of a stream's bytes */
    struct sim_piece *next;
    size_t len, at; /* at: given or sent already */
    uint8_t data[];
} sim_piece;

typedef struct sim_fifo {
    sim_piece *first, *last;
    size_t len;
} sim_fifo;

typedef struct sim_end {
    uint64_t object;  /* 0: never was, or closed */
    uint64_t id;      /* the object's            */
    uint32_t program; /* whose it is or was      */
    rmr_sim_host host;
    rmr_addr local;
    bool is_open;   /* OPENED or ACCEPTED was told                      */
    bool is_dead;   /* reset, or its host forgot it                     */
    bool is_closed; /* the machine wants to hear nothing more           */
    bool is_shut, fin_sent;
    bool is_sending; /* a STREAM_SEND waits for its SENT */
    bool fin_came, eof_told, reset_came;
    bool deliver_due;
    rmr_err reset_err;
    size_t credit;
    sim_fifo out, in;
    size_t on_way; /* sent, and not taken by the far machine yet */
    rmr_time last_arrival;
    rmr_time failing_since; /* NEVER: not failing */
    rmr_dur retry;
    bool waits; /* for the retry timer */
} sim_end;

typedef struct sim_path { /* from the connecting host outward */
    rmr_sim_host from, to;
    bool is_local;
    uint32_t n_up, n_down;
    rmr_sim_net up[SIM_MAX_DEPTH], down[SIM_MAX_DEPTH]; /* gates passed */
    uint32_t up_epoch[SIM_MAX_DEPTH], down_epoch[SIM_MAX_DEPTH];
} sim_path;

typedef struct sim_stream {
    sim_end end[2]; /* [0] connected, [1] listened */
    sim_path path;
    rmr_addr remote; /* what was dialled */
    rmr_addr seen;   /* the connecting side as the listener sees it */
    uint64_t listener;
    rmr_time gives_up;
    rmr_dur syn_retry;
} sim_stream;

/* ---- packets ------------------------------------------------------------- */

typedef struct sim_packet {
    struct sim_packet *next; /* in a socket */
    uint8_t proto;
    bool is_reply; /* ICMP echo: a reply, made by a host itself */
    bool is_whole; /* it must not be fragmented */
    uint8_t hops;
    rmr_addr src, dst; /* ICMP echo: the port is the identifier */
    size_t len;
    uint8_t data[];
} sim_packet;

/* ---- the world ----------------------------------------------------------- */

struct rmr_sim {
    rmr_sim_config c;
    rmr_time now;
    uint64_t order;
    uint64_t hash;
    uint64_t rng;
    rmr_err failed; /* sticky */
    bool is_running;
    sim_happening *happenings; /* in no order; those free are a list by .a */
    size_t cap_happenings, n_happenings, free_happening;
    sim_due *heap; /* what comes later */
    size_t used, cap;
    sim_due *soon; /* what comes at this very instant: a ring */
    size_t cap_soon, first_soon, n_soon;
    sim_net *nets;
    size_t n_nets, cap_nets;
    sim_host **hosts; /* [0] is host 1 */
    size_t n_hosts, cap_hosts;
    sim_program **programs; /* [0] is program 1 */
    size_t n_programs, cap_programs;
    rmr_slots objects, streams;
    sim_map by_id;    /* program, id -> object                       */
    sim_map by_port;  /* host and protocol, family and port -> object */
    sim_map by_addr;  /* address, net -> host or gate */
    size_t n_routers; /* gates that are no NAT */
    uint8_t *hosts_text;
    size_t hosts_len;
    uint8_t *scratch; /* RMR_IO_SCRATCH_MIN, for next_op */
    uint8_t *run;     /* of datagrams                    */
    uint8_t *tap;     /* a packet for on_tap             */
};

/* sim_heap.c */
void rmri_sim_happen(rmr_sim *s, rmr_time at, sim_run_fn run, uint64_t a,
                     uint64_t b, void *ptr, size_t size);
void rmri_sim_note(rmr_sim *s, uint64_t what, uint64_t a, uint64_t b,
                   rmr_bytes data);
void rmri_sim_fail(rmr_sim *s);
void *rmri_sim_alloc(rmr_sim *s, size_t size); /* NULL: the world failed */
void rmri_sim_heap_free(rmr_sim *s);
bool rmri_sim_grow(rmr_sim *s, void **tab, size_t *cap, size_t need,
                   size_t item);

/* sim_host.c */
sim_host *rmri_sim_host(const rmr_sim *s, rmr_sim_host host);
bool rmri_sim_host_has(const sim_host *h, const rmr_addr *ip);
bool rmri_sim_is_any(const rmr_addr *a);
bool rmri_sim_addrs_ok(const rmr_sim *s, rmr_sim_net net, const rmr_addr *addrs,
                       size_t n, rmr_sim_host but);
bool rmri_sim_source(const sim_host *h, const rmr_addr *to, rmr_addr *src);
bool rmri_sim_sleeps(const rmr_sim *s, const sim_host *h);
void rmri_sim_tell_hosts(rmr_sim *s, rmr_sim_host host, rmr_io_event_kind kind);
void rmri_sim_hosts_free(rmr_sim *s);

/* sim_program.c */
sim_program *rmri_sim_program(const rmr_sim *s, uint32_t number);
void rmri_sim_tell(rmr_sim *s, uint32_t program, const rmr_io_event *ev,
                   rmr_bytes data);
void rmri_sim_answer(rmr_sim *s, uint32_t program, rmr_io_event_kind kind,
                     uint64_t id, rmr_err err);
void rmri_sim_give(rmr_sim *s, uint32_t program, const rmr_io_event *ev);
void rmri_sim_programs_free(rmr_sim *s);

/* sim_object.c */
sim_object *rmri_sim_object(const rmr_sim *s, uint64_t handle);
sim_object *rmri_sim_object_of(const rmr_sim *s, uint32_t program, uint64_t id,
                               uint64_t *handle);
sim_object *rmri_sim_object_new(rmr_sim *s, sim_kind kind, uint32_t program,
                                uint64_t id, uint64_t *handle);
void rmri_sim_object_free(rmr_sim *s, uint64_t handle);
rmr_err rmri_sim_bind(rmr_sim *s, uint64_t handle, uint8_t proto,
                      rmr_addr local);
uint64_t rmri_sim_bound(const rmr_sim *s, rmr_sim_host host, uint8_t proto,
                        const rmr_addr *local);
uint64_t rmri_sim_digest(rmr_bytes b);

/* sim_op.c */
void rmri_sim_perform(rmr_sim *s, uint32_t program, const rmr_io_op *op);

/* sim_udp.c */
void rmri_sim_udp_open(rmr_sim *s, uint32_t program, const rmr_io_op *op);
void rmri_sim_udp_send(rmr_sim *s, sim_object *o, uint64_t handle,
                       const rmr_io_op *op);
bool rmri_sim_arrive(rmr_sim *s, sim_packet *p, sim_host *h,
                     rmr_sim_host host); /* true: it took the packet */
void rmri_sim_socket_wipe(rmr_sim *s, sim_object *o);

/* sim_route.c */
void rmri_sim_leave(rmr_sim *s, rmr_sim_host from, sim_packet *p);
sim_packet *rmri_sim_packet(rmr_sim *s, rmr_bytes data);
size_t rmri_sim_packet_ip_len(const sim_packet *p);

/* sim_where.c: whose an address of a net is; 0: no host's, no gate's. */
rmr_sim_host rmri_sim_in_net(const rmr_sim *s, rmr_sim_net net,
                             const rmr_addr *ip);
rmr_sim_net rmri_sim_gate_at(const rmr_sim *s, rmr_sim_net outer,
                             const rmr_addr *ip);
void rmri_sim_where_put(rmr_sim *s, rmr_sim_net net, const rmr_addr *addrs,
                        size_t n, uint32_t number, bool is_gate);
void rmri_sim_where_del(rmr_sim *s, rmr_sim_net net, const rmr_addr *addrs,
                        size_t n);

/* sim_nat.c: RMR_OK, or why it does not pass; the packet is changed. */
bool rmri_sim_gate_out(rmr_sim *s, sim_gate *g, sim_packet *p);
bool rmri_sim_gate_in(rmr_sim *s, sim_gate *g, sim_packet *p);
bool rmri_sim_gate_hairpin(rmr_sim *s, sim_gate *g, sim_packet *p);
bool rmri_sim_gate_owns(const sim_gate *g, const rmr_addr *ip);
bool rmri_sim_translates(const sim_gate *g, const rmr_addr *ip);
void rmri_sim_gate_forget(rmr_sim *s, sim_gate *g);

/* sim_gate.c */
sim_gate *rmri_sim_gate(const rmr_sim *s, rmr_sim_net net);
void rmri_sim_nets_free(rmr_sim *s);

/* sim_path.c */
bool rmri_sim_path_find(const rmr_sim *s, rmr_sim_host from, const rmr_addr *to,
                        sim_path *p);
bool rmri_sim_path_carry(rmr_sim *s, const sim_stream *st, int side,
                         rmr_time now, size_t len, rmr_time *at);

/* sim_stream.c, sim_bytes.c */
void rmri_sim_listen(rmr_sim *s, uint32_t program, const rmr_io_op *op);
void rmri_sim_connect(rmr_sim *s, uint32_t program, const rmr_io_op *op);
void rmri_sim_resume(rmr_sim *s, uint64_t listener);
void rmri_sim_listener_close(rmr_sim *s, uint64_t listener);
sim_stream *rmri_sim_stream(const rmr_sim *s, uint64_t handle);
void rmri_sim_stream_send(rmr_sim *s, sim_object *o, rmr_bytes data);
void rmri_sim_stream_read(rmr_sim *s, sim_object *o, size_t credit);
void rmri_sim_stream_shut(rmr_sim *s, sim_object *o);
void rmri_sim_stream_close(rmr_sim *s, sim_object *o);
void rmri_sim_stream_abort(rmr_sim *s, sim_object *o, bool silently);
void rmri_sim_stream_pump(rmr_sim *s, uint64_t handle, int side);
void rmri_sim_stream_forget(rmr_sim *s, uint64_t handle);
void rmri_sim_stream_reset(rmr_sim *s, uint64_t handle, int side, rmr_err err);
void rmri_sim_streams_free(rmr_sim *s);

/* sim_blob.c */
void rmri_sim_load(rmr_sim *s, uint32_t program, const rmr_io_op *op);
void rmri_sim_store(rmr_sim *s, uint32_t program, const rmr_io_op *op);
bool rmri_sim_store_close(rmr_sim *s, uint32_t program, uint64_t id);
void rmri_sim_stores_drop(rmr_sim *s, uint32_t program);
bool rmri_sim_name_ok(rmr_bytes name);

/* sim_tap.c */
void rmri_sim_tap(rmr_sim *s, rmr_sim_host host, rmr_sim_tap_kind kind,
                  const sim_packet *p);

/* link.c: a piece of a stream; false: lost.  Nothing is doubled, changed or
 * too long, and the queue takes it all: TCP sees to that. */
bool rmri_sim_link_carry(rmr_sim_link *l, rmr_time now, size_t len,
                         rmr_time *at);

#endif
