/* A tailnet of thousands on the simulator's clock: servers, members, what
 * befalls them, and whether all is well. */
#ifndef REMORA_TESTS_COORD_SCALE_WORLD_H
#define REMORA_TESTS_COORD_SCALE_WORLD_H

#include <remora/coord.h>
#include <remora/crypto.h>
#include <remora/h2.h>
#include <remora/node.h>

#include "node_internal.h"
#include "parts.h"
#include "support.h"

#define SC_RELAYS 8
#define SC_BRIDGES 8

/* An allocator that counts, and does nothing else: what it counts is what the
 * machines asked for, without malloc's own. */
typedef struct sc_heap {
    size_t live_bytes, live_blocks, peak_bytes;
} sc_heap;

typedef struct scale scale;

typedef struct sc_member {
    scale *w;
    uint32_t number, user;
    uint32_t moves; /* its addresses so far */
    bool is_home;   /* behind its NAT, if it has one */
    rmr_sim_net home;
    rmr_sim_host host;
    rmr_sim_program program;
    test_rng rng;
    rmr_node *node; /* NULL: it is away */
    uint64_t id;    /* the server's number for it */
    bool is_running, has_left;
    rmr_time changed_at;
    char hostname[24], why[120];
    parts_log log;
} sc_member;

typedef struct sc_pair { /* a says a word to b */
    sc_member *a, *b;
    bool was_heard;
} sc_pair;

typedef struct sc_bridge { /* by the policy `from` may reach `to` */
    uint32_t from, to;
} sc_bridge;

typedef enum sc_kind {
    SC_JOIN,
    SC_LEAVE,
    SC_ROAM,
    SC_EXPIRE,
    SC_POLICY,
    SC_KINDS
} sc_kind;

struct scale {
    uint32_t n_members, n_users, n_relays;
    uint64_t seed;
    rmr_sim *sim;
    sc_heap node_heap, coord_heap, relay_heap, sim_heap, shared_heap;
    rmr_aead aead; /* what the nodes share */
    rmr_gcm gcm;
    rmr_h2_frame *frame;
    rmr_ctl_decoder *decoder;
    test_rng coord_rng, dice;
    rmr_coord *coord;
    rmr_sim_program coord_program;
    parts_relay relays[SC_RELAYS];
    sc_member *members;
    uint64_t *user_ids;
    char (*keys)[RMR_COORD_KEY_TEXT];
    sc_bridge bridges[SC_BRIDGES];
    uint32_t n_bridges;
    sc_pair *pairs;
    uint32_t n_pairs;
    uint32_t done[SC_KINDS];
    uint64_t checked_pairs, checked_netmaps, checked_strangers;
    uint32_t faults; /* told on stderr */
};

/* scale_world.c */
void sc_init(scale *w, uint64_t seed, uint32_t members, uint32_t users,
             uint32_t relays);
void sc_free(scale *w);
void sc_run(scale *w, rmr_dur d);
uint32_t sc_roll(scale *w, uint32_t n);
void sc_join_all(scale *w);
uint32_t sc_running(const scale *w);
void sc_start(sc_member *m);
/* Frees what has ended, or is ended by that. */
void sc_bury(sc_member *m);

/* scale_change.c */
void sc_change(scale *w);
bool sc_may_reach(const scale *w, uint32_t from, uint32_t to);
bool sc_may_see(const scale *w, uint32_t a, uint32_t b);

/* scale_check.c: each adds to `faults` and tells. */
void sc_check_netmaps(scale *w);
void sc_check_some_pairs(scale *w, uint32_t pairs);
void sc_check_rounds(scale *w, uint32_t rounds);
void sc_heard(sc_member *m, rmr_node_conn conn);
void sc_connected(sc_member *m, sc_pair *p, rmr_node_conn conn);

#endif
