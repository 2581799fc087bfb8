/*
 * What a node at rest holds, allocation by allocation:
 *
 *     coord_memory [--nodes N] [--relays R] [--rest SECONDS] [--talk] [--shared]
 *
 * N nodes of one user join a coordination server, on the simulator's clock, and
 * rest.  Then the first one's live memory is printed, a line for each place that
 * allocates: bytes, blocks, and the addresses of the callers.  tests/coord/memory
 * makes a table of it.  --talk: each node has talked with the next one before;
 * --shared: all have one table of AEADs, and one frame of HTTP/2.
 */
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remora/coord.h>
#include <remora/h2.h>
#include <remora/node.h>

#include "node_internal.h"
#include "parts.h"
#include "server.h"
#include "support.h"
#include "vectors.h"

#define RELAYS 8
#define DELAY (10 * RMR_MS)
#define FRAMES 12
#define MAX_NODES 256

/* ---- the allocator that knows who asked --------------------------------- */

typedef struct block {
    struct block *next, *before;
    void *start;
    size_t size;
    void *callers[FRAMES];
    int n_callers;
} block;

typedef struct heap {
    block *first;
    size_t live, peak;
} heap;

static void *heap_alloc(void *user, size_t size, size_t align)
{
    heap *h = user;
    void *frames[FRAMES + 1];
    size_t room = sizeof(block) + align;
    uint8_t *start = malloc(room + size);
    if (!start)
        return NULL;
    uintptr_t at = ((uintptr_t)start + room) / align * align;
    uint8_t *p = start + (at - (uintptr_t)start);
    block b = {h->first, NULL, start, size, {NULL}, 0};
    block *head = calloc(1, sizeof *head);
    if (!head)
        abort();
    *head = b;
    int n = backtrace(frames, FRAMES + 1);
    head->n_callers = n - 1;
    memcpy(head->callers, frames + 1, sizeof *frames * (size_t)(n - 1));
    if (h->first)
        h->first->before = head;
    h->first = head;
    memcpy(p - sizeof head, &head, sizeof head);
    h->live += size;
    if (h->live > h->peak)
        h->peak = h->live;
    return p;
}

static void heap_release(void *user, void *ptr, size_t size)
{
    heap *h = user;
    block *b;
    if (!ptr)
        return;
    memcpy(&b, (uint8_t *)ptr - sizeof b, sizeof b);
    if (b->size != size)
        abort();
    if (b->next)
        b->next->before = b->before;
    if (b->before)
        b->before->next = b->next;
    else
        h->first = b->next;
    h->live -= size;
    free(b->start);
    free(b);
}

static void heap_print(const heap *h)
{
    for (const block *b = h->first; b; b = b->next) {
        (void)printf("%zu", b->size);
        for (int i = 0; i < b->n_callers; i++)
            (void)printf(" %p", b->callers[i]);
        (void)printf("\n");
    }
}

/* ---- the world ----------------------------------------------------------- */

typedef struct member {
    rmr_sim_host host;
    rmr_sim_program program;
    test_rng rng;
    heap heap;
    rmr_node *node;
    char hostname[24];
    bool is_running;
} member;

static struct {
    rmr_sim *sim;
    rmr_coord *coord;
    parts_relay relays[RELAYS];
    rmr_sim_program coord_program;
    test_rng coord_rng;
    uint32_t n_relays, n_members;
    member members[MAX_NODES];
    char key[RMR_COORD_KEY_TEXT];
    char *ca;
    bool shares; /* tables of AEADs */
    rmr_aead aead;
    rmr_gcm gcm;
    rmr_h2_frame *frame;
} w;

static void add_relay(uint32_t i)
{
    static const parts_relay_kind kind = {"tls/leaf-ec.pem", 64, 0};
    parts_relay *r = &w.relays[i];
    test_rng_seed(&r->rng, 50 + i);
    rmr_env env = test_env(NULL, &r->rng, NULL);
    parts_relay_host(r, w.sim, i, DELAY);
    parts_relay_start(r, w.sim, &env, &kind);
}

static void add_coord(void)
{
    char map[4096];
    rmr_coord_config c;
    rmr_addr at = rmr_addr_v4(203, 0, 113, 250, 0);
    rmr_env env = test_env(NULL, &w.coord_rng, NULL);
    test_rng_seed(&w.coord_rng, 40);
    parts_derp_map(map, sizeof map, (1u << w.n_relays) - 1, NULL);
    server_config(&c, rmr_addr_v4(0, 0, 0, 0, 80), "http://" PARTS_SERVER);
    c.derp_map = rmr_bytes_str(map);
    parts_need(rmr_coord_new(&w.coord, &env, &c, rmr_sim_now(w.sim)), "coord");
    server_user_key(w.coord, server_user(w.coord, "user"), w.key);
    rmr_sim_host host =
        parts_host(w.sim, RMR_SIM_INTERNET, "coord", &at, 1, DELAY);
    rmr_machine m = rmr_coord_machine(w.coord);
    parts_need(rmr_sim_add(w.sim, host, &m, &w.coord_program), "coord");
}

static void on_event(void *user, const rmr_node_event *ev)
{
    member *m = user;
    m->is_running |= ev->kind == RMR_NODE_EV_RUNNING;
}

static void add_member(uint32_t i)
{
    member *m = &w.members[i];
    rmr_node_config c;
    rmr_node_callbacks cb = {
        .struct_size = sizeof cb, .user = m, .on_event = on_event};
    test_rng_seed(&m->rng, 1000 + i);
    (void)snprintf(m->hostname, sizeof m->hostname, "n%u", i);
    rmr_addr at = rmr_addr_v4(20, 0, 0, (uint8_t)i, 0);
    m->host = parts_host(w.sim, RMR_SIM_INTERNET, m->hostname, &at, 1, DELAY);
    rmr_env env = {{heap_alloc, heap_release, &m->heap},
                   test_rng_table(&m->rng),
                   {NULL, NULL, RMR_LOG_OFF}};
    rmr_node_config_init(&c, sizeof c);
    c.control_url = "http://" PARTS_SERVER;
    c.auth_key = w.key;
    c.keep_auth_key = true;
    c.hostname = m->hostname;
    c.ca_pem = rmr_bytes_str(w.ca);
    c.aead = w.shares ? &w.aead : NULL;
    c.h2_frame = w.shares ? w.frame : NULL;
    c.gcm = w.shares && w.gcm.name ? &w.gcm : NULL;
    c.callbacks = &cb;
    parts_need(rmr_node_new(&m->node, &env, &c, rmr_sim_now(w.sim)), "node");
    rmr_machine x = rmr_node_machine(m->node);
    parts_need(rmr_sim_add(w.sim, m->host, &x, &m->program), "node");
}

static void run(rmr_dur d)
{
    parts_need(rmr_sim_run_until(w.sim, rmr_time_add(rmr_sim_now(w.sim), d),
                                 NULL, NULL),
               "run");
}

static void talk(void)
{
    rmr_nm_node peer;
    char ip[RMR_ADDR_TEXT_MAX];
    for (uint32_t i = 0; i < w.n_members; i++) {
        member *a = &w.members[i], *b = &w.members[(i + 1) % w.n_members];
        rmr_node_conn conn;
        if (!rmr_nm_self(b->node->nm, &peer))
            continue;
        rmr_addr at = rmr_prefix_addr(&peer.addrs[0]);
        parts_need(rmr_node_dial(a->node, rmr_sim_now(w.sim),
                                 rmr_addr_ip_text(&at, ip), 80, NULL, &conn),
                   "dial");
        parts_need(rmr_sim_poke(w.sim, a->program), "poke");
    }
    run(5 * RMR_SEC);
}

static uint32_t number(int argc, char **argv, const char *name, uint32_t value)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            value = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    return value;
}

static bool has(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    rmr_sim_config c;
    uint32_t up = 0;
    w.n_members = number(argc, argv, "--nodes", 20);
    w.n_relays = number(argc, argv, "--relays", 3);
    if (w.n_members > MAX_NODES || w.n_relays > RELAYS)
        return 2;
    w.shares = has(argc, argv, "--shared");
    w.ca = tv_text("tls/ca-ec.pem");
    rmr_alloc plain = test_alloc_table(NULL);
    parts_need(rmr_crypto_init(), "crypto");
    parts_need(rmr_aead_new(&w.aead, &plain, NULL), "aead");
    (void)rmr_gcm_new(&w.gcm, &plain);
    rmr_env env = test_env(NULL, NULL, NULL);
    parts_need(rmr_h2_frame_new(&w.frame, &env), "frame");
    rmr_sim_config_init(&c, sizeof c);
    c.alloc = test_alloc_table(NULL);
    c.seed = 1;
    parts_need(rmr_sim_new(&w.sim, &c), "sim");
    for (uint32_t i = 0; i < w.n_relays; i++)
        add_relay(i);
    add_coord();
    for (uint32_t i = 0; i < w.n_members; i++)
        add_member(i);
    run(20 * RMR_SEC);
    if (has(argc, argv, "--talk"))
        talk();
    run(number(argc, argv, "--rest", 120) * RMR_SEC);
    for (uint32_t i = 0; i < w.n_members; i++)
        up += w.members[i].is_running;
    (void)fprintf(stderr, "%u of %u run; live %zu, peak %zu\n", up, w.n_members,
                  w.members[0].heap.live, w.members[0].heap.peak);
    heap_print(&w.members[0].heap);
    rmr_sim_free(w.sim);
    for (uint32_t i = 0; i < w.n_members; i++) {
        rmr_node_free(w.members[i].node);
        if (w.members[i].heap.live)
            (void)fprintf(stderr, "node %u leaks %zu\n", i,
                          w.members[i].heap.live);
    }
    rmr_coord_free(w.coord);
    for (uint32_t i = 0; i < w.n_relays; i++)
        rmr_relay_free(w.relays[i].relay);
    rmr_aead_wipe(&w.aead);
    rmr_gcm_wipe(&w.gcm);
    rmr_h2_frame_free(w.frame);
    free(w.ca);
    return up == w.n_members ? 0 : 1;
}
