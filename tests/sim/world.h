/* A whole tailnet in one process: a control server, relays with STUN, and nodes
 * on hosts behind gates, on the simulator's clock.
 *
 * In the environment: WORLD_LOG=1 shows what the nodes log; WORLD_PCAP=DIR
 * writes DIR/SEED-HOST.pcap, the UDP packets of each host. */
#ifndef REMORA_TEST_SIM_WORLD_H
#define REMORA_TEST_SIM_WORLD_H

#include "parts.h"
#include "pcap.h"
#include "support.h"

#include <sodium.h>

#include <remora/node.h>

#define WORLD_NODES 8
#define WORLD_RELAYS 3
#define WORLD_HOSTS 16

typedef struct world world;

typedef struct world_node {
    world *w;
    int number;
    char name[24];
    parts_log log;
    rmr_sim_host host;
    rmr_sim_program program;
    test_rng rng;
    rmr_env env;
    rmr_node *node;
    bool is_running; /* it said so */
    bool from_cache; /* ... when it did so last */
    bool had_failed;
    bool is_connected, is_closed;
    rmr_err why;
    rmr_node_conn conn;      /* dialled, or accepted */
    uint64_t sends_left, got; /* bytes of the pattern */
    uint64_t sent;
    crypto_hash_sha256_state sha_sent, sha_got;
} world_node;

struct world {
    rmr_sim *sim;
    test_alloc heap;     /* of nodes and relays */
    test_alloc sim_heap; /* of the simulator, which remembers each program */
    void *control; /* control_machine; NULL: down */
    rmr_sim_host control_host;
    rmr_sim_program control_program;
    parts_relay relays[WORLD_RELAYS];
    int n_relays;
    uint32_t without; /* bits of relays that the DERPMap leaves out */
    world_node nodes[WORLD_NODES];
    int n_nodes;
    uint64_t seed;
    size_t tcp_buffer; /* of nodes that are added: 256 KiB */
    /* Changes the config of each node that is added; NULL: none. */
    void (*configure)(int number, rmr_node_config *cfg);
    bool echo_log; /* to stderr: WORLD_LOG is set */
    pcap *logs[WORLD_HOSTS]; /* of each host, where WORLD_PCAP is set */
};

/* A control server at 203.0.113.250 and relays at 203.0.113.240 and on, 10 ms
 * from the Internet's middle each. */
void world_init(world *w, uint64_t seed, int n_relays);
void world_free(world *w);
/* The relay's process is killed; it starts anew. */
void world_relay_stop(world *w, uint16_t region);
void world_relay_start(world *w, uint16_t region);
/* The same of the control server; what it knew of the nodes is lost. */
void world_control_stop(world *w);
void world_control_start(world *w);
/* The server's DERPMap has this region no more, or has it again; all are told. */
void world_region_set(world *w, uint16_t region, bool is_there);
/* Peers that are no hosts come or go, at all nodes. */
void world_churn(world *w, int from, int n, bool come);
/* The node's process is killed; it starts anew with the state of its host. */
void world_node_stop(world_node *n);
void world_node_start(world_node *n);
/* A net behind such a gate, whose outside is 198.51.100.(10 * n + 1) and on. */
rmr_sim_net world_net(world *w, rmr_sim_net outer,
                      const rmr_sim_gate_config *g);
/* A host with a node on it. */
world_node *world_node_add(world *w, rmr_sim_net net, const char *ip,
                           const char *ip6);
/* All nodes run; false after d. */
bool world_all_run(world *w, rmr_dur d);
void world_run(world *w, rmr_dur d);
/* The routes that a node offers are approved, or not any more. */
void world_approve(world_node *n, bool yes);
/* a dials b's port 80; b's program takes what comes.  a sends n bytes. */
void world_dial(world_node *a, world_node *b);
void world_send(world_node *a, uint64_t n);
/* b has all that a sent, and its SHA-256 is that of what a sent. */
bool world_arrived(const world_node *a, const world_node *b);
/* a's best path to b is a trusted UDP path. */
bool world_is_direct(const world_node *a, const world_node *b);
/* Its address; family NONE: none. */
rmr_addr world_path(const world_node *a, const world_node *b);
/* Its home region. */
uint16_t world_home(const world_node *n);

#endif
