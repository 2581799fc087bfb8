/* A coordination server and nodes in one process, on the simulator's clock. */
#ifndef REMORA_TESTS_COORD_WORLD_H
#define REMORA_TESTS_COORD_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <remora/coord.h>
#include <remora/node.h>

#include "parts.h"
#include "support.h"

#define CW_NODES 12

typedef struct cw_node {
    struct cw *w;
    int number;
    char name[24];
    parts_log log;
    rmr_sim_host host;
    rmr_sim_program program;
    test_rng rng;
    rmr_env env;
    rmr_node *node;
    bool is_running, needs_login, had_failed;
    char why[200], url[200];
    rmr_node_conn conn;
    bool is_connected, is_closed;
    char got[64];
    size_t n_got;
} cw_node;

typedef struct cw {
    rmr_sim *sim;
    test_alloc heap, sim_heap, coord_heap;
    test_rng rng;
    rmr_coord *coord;
    rmr_sim_host host;
    rmr_sim_program program;
    parts_relay relay;
    char *ca;
    bool ready;
    int joined, troubles;
    char trouble[200];
    char login[RMR_COORD_LOGIN_TEXT];
    cw_node nodes[CW_NODES];
    int n_nodes;
    bool echo_log;
    parts_log log;
    void (*configure)(rmr_coord_config *cfg);
    void (*shape)(rmr_node_config *cfg); /* of nodes that are added; or NULL */
} cw;

void cw_init(cw *w, void (*configure)(rmr_coord_config *cfg));
void cw_free(cw *w);
/* The server is killed and begins anew, with what its store has. */
void cw_restart(cw *w);
uint64_t cw_user(cw *w, const char *name);
/* A reusable key of that user. */
void cw_key(cw *w, uint64_t user, char text[RMR_COORD_KEY_TEXT]);
/* A node; key NULL: it asks for approval. */
cw_node *cw_add(cw *w, const char *hostname, const char *key);
void cw_stop(cw_node *n);
void cw_run(cw *w, rmr_dur d);
/* Runs until it holds; false: not within d. */
bool cw_until(cw *w, rmr_dur d, bool (*holds)(void *user), void *user);
bool cw_all_run(cw *w, rmr_dur d);
/* Administration was done: the server has operations. */
void cw_poke(cw *w);
/* The server's node of that DNS label. */
rmr_coord_node cw_find(const cw *w, const char *label);
/* Has this node a peer of that DNS label? */
bool cw_sees(const cw_node *n, const char *label);
/* A word by TCP from a to b; false: not within 10 s. */
bool cw_reaches(cw_node *a, cw_node *b);

#endif
