/* The world of fuzz_node: one node, whole, under the null ciphers and a TLS that
 * copies, and all that it talks to, by hand and in one process.  One file a
 * subject:
 *   fuzz_node.c          the target: an input is a program of steps
 *   fuzz_node_adapter.c  performs operations, tells events, and checks both
 *   fuzz_node_stream.c   streams, piece by piece
 *   fuzz_node_control.c  the control server, and the netmap that it tells
 *   fuzz_node_relay.c    the relay, and other servers of HTTP
 *   fuzz_node_net.c      who answers datagrams: STUN, DNS, peers
 *   fuzz_node_peer.c     peers: disco, WireGuard, and the stack of one of them
 *   fuzz_node_app.c      the program above the node: calls and callbacks
 *   fuzz_node_tls.c      the TLS that copies
 *
 * All that is at random comes from the input.  What the model says is honest
 * until the input changes bytes on their way; then `is_tampered`, and what only
 * honest servers keep is not checked any more. */
#ifndef FUZZ_NODE_WORLD_H
#define FUZZ_NODE_WORLD_H

#include <remora/crypto.h>
#include <remora/io.h>
#include <remora/netstack.h>
#include <remora/node.h>

#include "need.h"
#include "support.h"

#define WIRES 48
#define SOCKS 320 /* the main pair, a punch's, others */
#define DOORS 16
#define FLYING 64 /* datagrams on their way to the node */
#define BLOBS 4
#define PEERS 4
#define CONNS 16
#define PROVED 64
#define PINGS 64
#define MAX_MEMORY ((size_t)32 << 20)

typedef struct fz_bytes { /* it grows */
    uint8_t *p;
    size_t len, cap;
} fz_bytes;

void fz_add(fz_bytes *b, const void *p, size_t n);
void fz_text(fz_bytes *b, const char *text);
void fz_drop(fz_bytes *b, size_t n);
void fz_free(fz_bytes *b);

typedef enum fz_far { FAR_NOBODY, FAR_CONTROL, FAR_WEB, FAR_PROGRAM } fz_far;

typedef struct fz_wire { /* a stream */
    uint64_t id; /* 0: none */
    fz_far far;
    bool is_open, is_sending, is_shut, ends, eof_told;
    bool was_asked, has_tls; /* what the node's first byte was */
    size_t credit;
    fz_bytes in, out; /* to the node, and from it, not understood yet */
    /* control */
    bool has_records;
    fz_bytes plain, body; /* HTTP/2 of the node's records; a request's body */
    uint32_t body_of, map_stream;
    bool wants_zstd;
    /* relay */
    bool is_relay;
    uint16_t region;
} fz_wire;

typedef struct fz_sock {
    uint64_t id; /* 0: none */
    bool is_open, is_blocked, is_icmp;
    uint8_t family;
    uint16_t port;
} fz_sock;

typedef struct fz_door { /* a listener */
    uint64_t id;
    uint16_t port; /* 0: the local endpoint */
    bool is_open, is_paused;
} fz_door;

typedef struct fz_flying {
    uint64_t sock; /* 0: by the relay of `region` */
    rmr_addr from;
    uint8_t key[RMR_KEY_LEN];
    uint16_t region;
    fz_bytes data;
} fz_flying;

typedef struct fz_blob {
    char name[64];
    uint64_t store_id;
    fz_bytes now, next;
} fz_blob;

typedef struct fz_peer {
    bool is_there; /* in the netmap */
    uint8_t shape; /* bits of what the netmap says of it */
    uint8_t version; /* of its key */
    uint16_t port;
    uint32_t their_index; /* of the node's session; 0: none */
    uint64_t counter;
    bool by_relay; /* where the node was heard last */
} fz_peer;

typedef struct fz_conn { /* of the program */
    rmr_node_conn conn; /* 0: none */
    bool is_listener, is_connected, is_checked;
    uint64_t sent, got;
} fz_conn;

typedef struct fz_world {
    const uint8_t *p; /* the rest of the input */
    size_t left;
    test_alloc mem;
    test_rng rng;
    test_log log;
    rmr_env env;
    rmr_node *node;
    rmr_machine m;
    rmr_time now;
    uint8_t options;
    bool is_stopped, has_failed, is_tampered, memory_fails;
    rmr_node_state state;
    uint64_t last_id, last_child;
    uint32_t n_ops;
    uint8_t spoil; /* the next bytes that are told get this changed; 0: none */
    fz_wire wires[WIRES];
    fz_sock socks[SOCKS];
    size_t n_wires, n_socks; /* no more places were ever used */
    fz_door doors[DOORS];
    fz_flying flying[FLYING];
    size_t n_flying;
    fz_blob blobs[BLOBS];
    /* control */
    uint8_t reg_mode, map_mode;
    char node_key[65];
    bool filter_told; /* a packet filter went out */
    uint8_t self_shape, derp_shape, dns_shape, filter_shape;
    /* net */
    uint8_t dns_mode;
    bool no_stun;
    rmr_addr proved[PROVED]; /* where WireGuard or a pong came from */
    size_t n_proved;
    struct {
        uint8_t txid[12];
        rmr_addr to;
    } pings[PINGS];
    size_t n_pings;
    /* peers */
    fz_peer peers[PEERS];
    test_alloc ns_mem;
    rmr_env ns_env;
    test_rng ns_rng;
    rmr_ns *ns; /* of peer 0 */
    rmr_ns_sock ns_socks[CONNS];
    uint64_t ns_sent[CONNS], ns_got[CONNS];
    /* program */
    fz_conn conns[CONNS];
    uint64_t resolving;
    bool lazy; /* it does not read */
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
} fz_world;

/* ---- the input ---------------------------------------------------------- */

uint8_t fz_take(fz_world *w);
rmr_bytes fz_chunk(fz_world *w); /* a length byte, and so many */

/* ---- fuzz_node_adapter.c ------------------------------------------------ */

void fz_start(fz_world *w);   /* a node, with the blobs that there are */
void fz_end(fz_world *w);     /* it is freed, and everything given back */
void fz_event(fz_world *w, rmr_io_event *ev);
void fz_tell(fz_world *w, rmr_io_event_kind kind, uint64_t id, rmr_err err);
void fz_drain(fz_world *w);   /* performs what the node wants */
void fz_pass(fz_world *w, rmr_time to);
void fz_links(fz_world *w, uint8_t shape);
void fz_wall(fz_world *w, uint64_t unix_ns);
fz_sock *fz_sock_of(fz_world *w, uint64_t id);
/* A copy of exactly that size, perhaps spoilt; freed by the caller. */
uint8_t *fz_copy(fz_world *w, const void *p, size_t n);

/* ---- fuzz_node_stream.c ------------------------------------------------- */

fz_wire *fz_wire_of(fz_world *w, uint64_t id);
fz_wire *fz_wire_new(fz_world *w, uint64_t id, fz_far far);
void fz_wire_free(fz_wire *s);
void fz_wire_op(fz_world *w, const rmr_io_op *op);
bool fz_wire_step(fz_world *w, fz_wire *s); /* false: nothing to do */
void fz_wire_say(fz_wire *s, const void *p, size_t n); /* to the node */
void fz_connect(fz_world *w, const rmr_io_op *op);
void fz_accept(fz_world *w, uint8_t which, rmr_bytes text);

/* ---- fuzz_node_control.c ------------------------------------------------ */

void fz_control_read(fz_world *w, fz_wire *s);
void fz_control_delta(fz_world *w, uint8_t kind, uint8_t arg);
void fz_control_json(fz_world *w, rmr_bytes text);
void fz_control_frame(fz_wire *s, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *p, size_t n);
fz_wire *fz_control_wire(fz_world *w); /* with records; NULL: none */

/* ---- fuzz_node_relay.c -------------------------------------------------- */

void fz_web_read(fz_world *w, fz_wire *s);
fz_wire *fz_relay_wire(fz_world *w, uint16_t region); /* 0: any */
void fz_relay_frame(fz_wire *s, uint8_t type, rmr_bytes a, rmr_bytes b);

/* ---- fuzz_node_net.c ---------------------------------------------------- */

void fz_net_send(fz_world *w, const fz_sock *s, const rmr_io_op *op);
void fz_net_fly(fz_world *w, uint64_t sock, const rmr_addr *from,
                const uint8_t *key, uint16_t region, rmr_bytes data);
bool fz_net_step(fz_world *w);

/* ---- fuzz_node_peer.c --------------------------------------------------- */

void fz_peers_new(fz_world *w);
void fz_peers_free(fz_world *w);
void fz_peer_key(const fz_world *w, size_t i, uint8_t key[RMR_KEY_LEN]);
void fz_peer_disco_key(size_t i, uint8_t key[RMR_KEY_LEN]);
rmr_addr fz_peer_addr(const fz_world *w, size_t i);
/* The node sent this to it. */
void fz_peer_read(fz_world *w, size_t i, rmr_bytes data, bool by_relay);
void fz_peer_disco(fz_world *w, size_t i, uint8_t kind, bool by_relay);
void fz_peer_wireguard(fz_world *w, size_t i, uint8_t type, rmr_bytes inner,
                       bool by_relay);
void fz_peer_act(fz_world *w, uint8_t what);
bool fz_peers_step(fz_world *w);
rmr_time fz_peers_deadline(const fz_world *w);

/* ---- fuzz_node_app.c ---------------------------------------------------- */

void fz_app_config(fz_world *w, rmr_node_config *cfg);
void fz_app_call(fz_world *w, uint8_t what);
void fz_app_check(fz_world *w);
uint8_t fz_pattern(uint64_t at);

#endif
