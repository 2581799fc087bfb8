/* Two nodes, a relay and a network in memory: streams with small buffers, whose
 * every step (a part delivered, a send done, an end told) is chosen by a seeded
 * scheduler; datagrams between the nodes' addresses, where they are let through,
 * in any order, and a STUN server at the relay.  The control server is refused;
 * the netmap is fed as text. */
#ifndef REMORA_NODE_PAIR_H
#define REMORA_NODE_PAIR_H

#include "node_internal.h"
#include "support.h"

#define PAIR_PIPE ((size_t)16 * 1024) /* what a socket holds */
#define PAIR_CONNS 64
#define PAIR_LISTENERS 32
#define PAIR_RELAY_PORT 9443
#define PAIR_STUN_PORT 3478
#define PAIR_PMP_PORT 5351
#define PAIR_MAPPED_PORT 5555 /* at 203.0.113.9, what the gateway maps */
#define PAIR_SILENT_PORT 3479
#define PAIR_WALL (1790000000u * RMR_SEC) /* at the start */
#define PAIR_SOCKETS 64
#define PAIR_DATAGRAMS 256 /* under way; more are dropped */

typedef enum pair_kind { PAIR_NODE = 1, PAIR_APP, PAIR_RELAY } pair_kind;

typedef struct pair_end {
    pair_kind kind;
    int node;
    uint64_t id;
    bool open, sending, shut, closed, dead, eof_told, reset_due;
    size_t credit;
    uint8_t *out; /* a STREAM_SEND that the pipe did not take yet */
    size_t out_len, out_at;
} pair_end;

typedef struct pair_pipe {
    uint8_t *buf;
    size_t len, cap;
    bool fin, sink;
} pair_pipe;

typedef struct pair_conn {
    bool used, relay_up;
    uint16_t port;
    pair_end end[2];
    pair_pipe pipe[2]; /* [i]: from end i */
    uint8_t key[RMR_KEY_LEN]; /* the relay's client */
} pair_conn;

typedef struct pair_socket {
    int node;
    uint64_t id;
    uint16_t port;
    bool used;
    bool whole; /* opened with dont_fragment, and told so */
} pair_socket;

typedef struct pair_datagram {
    rmr_addr from, to;
    uint8_t *data;
    size_t len;
} pair_datagram;

typedef struct pair_node {
    test_alloc alloc;
    test_rng rng;
    test_log log;
    rmr_env env;
    rmr_node *n;
    rmr_machine m;
    bool stopped;
    rmr_addr addr;    /* its only one */
    bool late_stores; /* done when the streams have nothing more to do */
    uint64_t stored[2]; /* ... these; 0: none */
    size_t udp_opens; /* operations */
    rmr_err send_err; /* each UDP_SEND fails so */
    rmr_addr refused; /* ... or DENIED, those to this address alone */
} pair_node;

typedef struct pair {
    rmr_time now;
    test_rng rng;
    pair_node node[2];
    pair_conn conns[PAIR_CONNS];
    struct {
        int node;
        uint64_t id;
        rmr_addr at;
        char name[32];
        bool used;
    } listeners[PAIR_LISTENERS];
    uint64_t last_child;
    uint8_t relay_private[RMR_KEY_LEN], relay_public[RMR_KEY_LEN];
    uint32_t drop_permille; /* of the relay's packets, and of datagrams */
    size_t relayed;         /* packets that the relay passed on */
    bool udp; /* datagrams between the nodes are let through */
    bool no_stun;
    bool no_https; /* the relay gives no answer about its latency */
    bool no_whole; /* the adapter does not know dont_fragment */
    size_t path_mtu; /* of the network; 0: none.  Others are fragmented. */
    size_t longest; /* datagram that a socket sent, and IP header */
    bool gateway; /* there is one, 10.0.0.254, that speaks NAT-PMP */
    size_t unmapped; /* mappings that were taken back */
    size_t asked;    /* questions at port 53 of an address outside */
    bool dns_silent; /* nobody answers them; else A with 100.64.0.2 */
    bool dns_cut;    /* they are answered with TC alone */
    bool dns_tcp;    /* the test answers them at port 53 by TCP; else refused */
    const char *dns; /* DNSConfig's JSON; NULL: none */
    const char *routes; /* JSON of AllowedIPs of the second node, from a comma on */
    const char *extra;  /* JSON of its other fields, from a comma on */
    const char *attribute; /* that control gives node 0; NULL: none */
    bool two_regions; /* the map has a region 2, where alone STUN answers */
    size_t direct; /* that came through */
    size_t https;  /* latencies that were asked for at the relay */
    pair_socket sockets[PAIR_SOCKETS];
    pair_datagram datagrams[PAIR_DATAGRAMS];
    size_t n_datagrams;
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
} pair;

void pair_init(pair *p, uint64_t seed);
void pair_free(pair *p);
/* The relay sends each of its clients a keep-alive. */
void pair_keep_alive(pair *p);
/* Starts node i with the config and the pair's own callbacks, if it has none.*/
void pair_start(pair *p, int i, rmr_node_config *cfg);
/* Both have started: feeds each the netmap of the two. */
void pair_feed_netmaps(pair *p);
/* One random step of the network; false: nothing was possible. */
bool pair_step(pair *p);
/* Lets time pass to the next deadline, at most by d. */
void pair_wait(pair *p, rmr_dur d);
/* Steps and waits until `until` holds, at most for d. */
bool pair_run(pair *p, rmr_dur d, bool (*until)(void *user), void *user);
/* Another address of node i; it is told.  What goes to the old one is lost. */
void pair_set_addr(pair *p, int i, rmr_addr addr);
/* The wall clock of node i, as it is told. */
void pair_set_wall(pair *p, int i, uint64_t unix_ns);
void pair_break_relay(pair *p); /* resets its connections */
void pair_drain(pair *p, int i);
uint64_t pair_random(pair *p, uint64_t below);

/* ---- the programs beside the nodes ------------------------------------ */

/* To a listener of a node, by port or name; NULL: there is none. */
pair_conn *pair_dial(pair *p, int node, uint16_t port, const char *name);
/* The connection that a node made to this port; NULL: not (yet). */
pair_conn *pair_accepted(pair *p, uint16_t port);
int pair_app_side(const pair_conn *c);
size_t pair_write(pair_conn *c, const void *data, size_t len);
size_t pair_read(pair_conn *c, void *dst, size_t cap);
bool pair_is_eof(const pair_conn *c); /* all was read, no more comes */
bool pair_is_reset(const pair_conn *c);
void pair_shut(pair_conn *c);
void pair_close(pair_conn *c);
void pair_abort(pair_conn *c);

#endif
