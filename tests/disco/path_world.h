/* Up to four nodes with rmr_paths, a wire between them and a virtual clock, for
 * tests and the fuzzer.  The wire knows who has which address, what is blocked,
 * how long it takes, and two kinds of NAT; it also knows the truth against
 * which the invariants are checked:
 * - a UDP address gets data only after the peer was pinged there and answered;
 * - a packet goes by one UDP path and one relay at most. */
#ifndef REMORA_PATH_WORLD_H
#define REMORA_PATH_WORLD_H

#include <remora/disco.h>
#include <remora/path.h>

#include "support.h"

#define W_NODES 4
#define W_ADDRS 4
#define W_SEQS 4096
#define W_PROVED 512

typedef enum w_nat { W_OPEN, W_EASY, W_HARD } w_nat;

typedef struct w_pkt {
    struct w_pkt *next;
    rmr_time at;
    rmr_path_to from;
    int src, dst;
    bool data;
    uint32_t seq;
    rmr_addr sent_to; /* UDP: where its sender sent it */
    uint16_t sent_by; /* ... and by which socket       */
    size_t len;
    uint8_t bytes[];
} w_pkt;

typedef struct w_mapping {
    rmr_addr to; /* hard: one for each destination */
    uint16_t socket, port;
} w_mapping;

typedef struct w_proof { /* `peer` got our ping at this address */
    rmr_addr udp;
    uint16_t socket;
    uint8_t peer;
    bool answered;
} w_proof;

struct w_world;
typedef struct w_node {
    struct w_world *w;
    int i;
    bool exists;
    rmr_paths *p;
    test_alloc mem;
    test_rng rng;
    uint8_t node_private[32], node_key[32], disco_private[32], disco_key[32];
    rmr_path_peer peer[W_NODES];
    rmr_addr addr[W_ADDRS]; /* the k-th ones of two nodes can talk */
    bool in_map[W_ADDRS], in_call[W_ADDRS], addr_down[W_ADDRS];
    uint16_t home;
    bool wireguard_only, no_disco;
    /* NAT of address 0 */
    w_nat nat;
    rmr_addr outer;
    w_mapping maps[2048];
    size_t n_maps;
    uint8_t allowed[8192]; /* easy: ports of the other NAT, a bit each */
    uint16_t port_map[65536]; /* 1 + index in maps */
    bool sock_open[RMR_PATH_MAX_SOCKET + 1];
    size_t n_open, most_open, n_opens, n_closes;
    bool fail_opens;
    bool refresh_never;
    size_t refreshes;
    /* what happened */
    w_proof proved[W_PROVED];
    size_t n_proved;
    uint8_t got[W_NODES][W_SEQS]; /* copies of each packet */
    uint32_t next_seq[W_NODES];
    uint64_t sent_udp, sent_derp, sent_both, sent_none;
    uint64_t pings_out, pongs_out, calls_out, others_out; /* by length */
    rmr_time astray_since; /* disco to addresses of nobody, in 5 s */
    size_t astray;
    size_t n_path, n_pong;
    rmr_path_pong last_pong;
    uint64_t last_tag;
} w_node;

typedef struct w_world {
    w_node node[W_NODES];
    rmr_time now;
    uint64_t seq;
    w_pkt *wire;
    rmr_dur delay[W_ADDRS], derp_delay;
    bool blocked[W_ADDRS]; /* UDP between the k-th addresses */
    bool derp_down, mute;  /* mute: no data counted          */
    bool every_ms;         /* drive each ms, not at deadlines */
    bool may_lose_checks;  /* allocation fails: no strict proofs */
    uint32_t switches;
    uint64_t trace;        /* of all datagrams               */
    bool print;
    w_pkt *last_derp[W_NODES]; /* copies, for replays */
    w_pkt *caught; /* the last disco datagram to an address of nobody */
} w_world;

void w_init(w_world *w, uint64_t seed);
/* Addresses 203.0.113.i:41641, 192.168.0.i, 2001:db8::i, 198.51.100.i; the
 * first is in the map and in calls. */
void w_add(w_world *w, int i);
/* Makes rmr_paths of all nodes and makes them know each other. */
void w_start(w_world *w);
void w_end(w_world *w);
void w_config(const w_world *w, int of, rmr_path_peer_config *c,
              rmr_addr eps[W_ADDRS]);
void w_drain(w_world *w, int i);
/* Who caught what went astray throws it back as a word of its receiver's. */
void w_throw_back(w_world *w);
/* A NAT that forgets, or gets another address; a network that does. */
void w_forget_mappings(w_world *w, int i);
void w_move(w_world *w, int i, int k);
/* The host measures: all echoes that are wanted are answered. */
void w_echo(w_world *w, int i, rmr_dur latency);
/* A data packet from i to j; false: the paths said no. */
bool w_send(w_world *w, int i, int j);
void w_run(w_world *w, rmr_dur d);
/* With a packet each way every `every`. */
void w_talk(w_world *w, int i, int j, rmr_dur every, rmr_dur d);
void w_info(w_world *w, int i, int j, rmr_path_info *out);
bool w_direct(w_world *w, int i, int j); /* trusted */
rmr_path_to w_udp(const w_world *w, int i, int k);
/* Seals a message of node i for node j. */
size_t w_seal(w_world *w, int i, int j, const rmr_disco_msg *m, uint8_t *dst,
              size_t cap);
/* j reads a message of i; the result of rmr_paths_read. */
rmr_err w_say(w_world *w, int i, int j, const rmr_path_to *from,
              const rmr_disco_msg *m);
rmr_path_to w_derp(const w_world *w, int i);

#endif
