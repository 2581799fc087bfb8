#include "scale_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define DELAY (10 * RMR_MS)
/* SHA-256 of the certificate in self.pem: relays are known by it, as those that
 * run beside a coordination server are. */
#define PIN "afe95944bab8b5ffc2aaebb57e455a15924f3ebeec7d8ce0e6d53f64ecd64c77"

void sc_run(scale *w, rmr_dur d)
{
    parts_need(rmr_sim_run_until(w->sim, rmr_time_add(rmr_sim_now(w->sim), d),
                                 NULL, NULL),
               "run");
}

uint32_t sc_roll(scale *w, uint32_t n)
{
    return (uint32_t)(test_rng_u64(&w->dice) % n);
}

/* ---- memory -------------------------------------------------------------- */

static void *take(void *user, size_t size, size_t align)
{
    sc_heap *h = user;
    void *p = align > 16
                  ? aligned_alloc(align, (size + align - 1) / align * align)
                  : malloc(size);
    if (!p)
        return NULL;
    h->live_blocks++;
    h->live_bytes += size;
    if (h->live_bytes > h->peak_bytes)
        h->peak_bytes = h->live_bytes;
    return p;
}

static void give(void *user, void *ptr, size_t size)
{
    sc_heap *h = user;
    if (!ptr)
        return;
    h->live_blocks--;
    h->live_bytes -= size;
    free(ptr);
}

static rmr_alloc table(sc_heap *h)
{
    rmr_alloc a = {take, give, h};
    return a;
}

static rmr_env env_of(sc_heap *h, test_rng *rng)
{
    rmr_env env = test_env(NULL, rng, NULL);
    env.alloc = table(h);
    env.log.write = NULL;
    return env;
}

/* ---- servers ------------------------------------------------------------- */

static void add_relay(scale *w, uint32_t i)
{
    static const parts_relay_kind kind = {"tls/self.pem", 64, 0};
    parts_relay *r = &w->relays[i];
    test_rng_seed(&r->rng, 50 + i);
    rmr_env env = env_of(&w->relay_heap, &r->rng);
    parts_relay_host(r, w->sim, i, DELAY);
    parts_relay_start(r, w->sim, &env, &kind);
}

static void add_users(scale *w)
{
    char name[24];
    for (uint32_t i = 0; i < w->n_users; i++) {
        (void)snprintf(name, sizeof name, "user%u", i);
        w->user_ids[i] = server_user(w->coord, name);
        server_user_key(w->coord, w->user_ids[i], w->keys[i]);
    }
}

static void add_coord(scale *w)
{
    char map[4096];
    rmr_coord_config c;
    rmr_addr at = rmr_addr_v4(203, 0, 113, 250, 0);
    test_rng_seed(&w->coord_rng, 40);
    rmr_env env = env_of(&w->coord_heap, &w->coord_rng);
    parts_derp_map(map, sizeof map, (1u << w->n_relays) - 1, PIN);
    server_config(&c, rmr_addr_v4(0, 0, 0, 0, 80), "http://" PARTS_SERVER);
    c.derp_map = rmr_bytes_str(map);
    parts_need(rmr_coord_new(&w->coord, &env, &c, rmr_sim_now(w->sim)),
               "coord");
    add_users(w);
    rmr_sim_host host =
        parts_host(w->sim, RMR_SIM_INTERNET, "coord", &at, 1, DELAY);
    rmr_machine m = rmr_coord_machine(w->coord);
    parts_need(rmr_sim_add(w->sim, host, &m, &w->coord_program), "coord");
}

/* ---- nodes --------------------------------------------------------------- */

/* SCALE_LOG=n3 shows what that node says, by the virtual clock. */
static rmr_log log_of(sc_member *m)
{
    const char *whose = getenv("SCALE_LOG");
    bool is_shown = whose && strcmp(whose, m->hostname) == 0;
    return parts_log_table(&m->log, m->w->sim, m->hostname, is_shown);
}

static void on_event(void *user, const rmr_node_event *ev)
{
    sc_member *m = user;
    rmr_node_conn listener;
    rmr_nm_node self;
    if (ev->kind == RMR_NODE_EV_STATE) {
        m->is_running = ev->state == RMR_NODE_RUNNING;
    } else if (ev->kind == RMR_NODE_EV_RUNNING) {
        m->is_running = true;
        (void)rmr_node_listen(m->node, rmr_sim_now(m->w->sim), 80, NULL,
                              &listener);
        if (rmr_nm_self(m->node->nm, &self))
            m->id = self.id;
    } else {
        (void)snprintf(m->why, sizeof m->why, "%s", ev->text);
    }
}

static void on_accept(void *user, void *tag, rmr_node_conn conn,
                      const rmr_addr *remote)
{
    (void)user;
    (void)tag;
    (void)conn;
    (void)remote;
}

static void on_connected(void *user, void *tag, rmr_node_conn conn)
{
    sc_connected(user, tag, conn);
}

static void on_readable(void *user, void *tag, rmr_node_conn conn)
{
    if (!tag)
        sc_heard(user, conn);
}

static void on_closed(void *user, void *tag, rmr_node_conn conn, rmr_err why)
{
    (void)user;
    (void)tag;
    (void)conn;
    (void)why;
}

void sc_start(sc_member *m)
{
    scale *w = m->w;
    rmr_node_config c;
    rmr_node_callbacks cb = {.struct_size = sizeof cb,
                             .user = m,
                             .on_event = on_event,
                             .on_accept = on_accept,
                             .on_connected = on_connected,
                             .on_readable = on_readable,
                             .on_closed = on_closed};
    rmr_env env = env_of(&w->node_heap, &m->rng);
    env.log = log_of(m);
    rmr_node_config_init(&c, sizeof c);
    c.control_url = "http://" PARTS_SERVER;
    c.auth_key = w->keys[m->user];
    c.keep_auth_key = true;
    c.hostname = m->hostname;
    c.callbacks = &cb;
    c.aead = &w->aead;
    c.gcm = w->gcm.name ? &w->gcm : NULL;
    c.h2_frame = w->frame;
    c.decoder = w->decoder;
    m->has_left = m->is_running = false;
    parts_need(rmr_node_new(&m->node, &env, &c, rmr_sim_now(w->sim)), "node");
    rmr_machine x = rmr_node_machine(m->node);
    parts_need(rmr_sim_add(w->sim, m->host, &x, &m->program), "node");
}

void sc_bury(sc_member *m)
{
    if (!m->node)
        return;
    (void)rmr_sim_remove(m->w->sim, m->program, RMR_SIM_KILLED);
    rmr_node_free(m->node);
    m->node = NULL;
    m->is_running = false;
}

/* Every other member has a NAT of its own, each tenth of those a hard one. */
static void add_home(sc_member *m)
{
    rmr_sim_gate_config g;
    rmr_addr outside =
        rmr_addr_v4(22, (uint8_t)(m->number >> 16), (uint8_t)(m->number >> 8),
                    (uint8_t)m->number, 0);
    rmr_sim_gate_config_init(&g, sizeof g);
    g.nat = true;
    g.filtering = RMR_SIM_ADDRESS_AND_PORT_DEPENDENT;
    if (m->number % 20 == 19) {
        g.mapping = RMR_SIM_ADDRESS_AND_PORT_DEPENDENT;
        g.ports = RMR_SIM_PORTS_RANDOM;
    }
    g.outside = &outside;
    g.n_outside = 1;
    g.inside = rmr_addr_v4(192, 168, 1, 1, 0);
    parts_need(rmr_sim_net_new(m->w->sim, RMR_SIM_INTERNET, &g, &m->home),
               "net");
    m->is_home = true;
}

static void add_member(scale *w, uint32_t i)
{
    sc_member *m = &w->members[i];
    rmr_addr at =
        rmr_addr_v4(20, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 0);
    m->w = w;
    m->number = i;
    m->user = i % w->n_users;
    test_rng_seed(&m->rng, 1000 + i);
    (void)snprintf(m->hostname, sizeof m->hostname, "n%u", i);
    if (i & 1) {
        add_home(m);
        at = rmr_addr_v4(192, 168, 1, 10, 0);
    }
    m->host = parts_host(w->sim, m->home, m->hostname, &at, 1, DELAY);
    sc_start(m);
}

void sc_join_all(scale *w)
{
    for (uint32_t i = 0; i < w->n_members; i++) {
        add_member(w, i);
        if (i % 100 == 99)
            sc_run(w, 100 * RMR_MS);
    }
    sc_run(w, 30 * RMR_SEC);
}

uint32_t sc_running(const scale *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_members; i++)
        n += w->members[i].node && w->members[i].is_running;
    return n;
}

/* ---- the world ----------------------------------------------------------- */

static void share(scale *w)
{
    rmr_env env = env_of(&w->shared_heap, NULL);
    parts_need(rmr_crypto_init(), "crypto");
    parts_need(rmr_aead_new(&w->aead, &env.alloc, NULL), "aead");
    (void)rmr_gcm_new(&w->gcm, &env.alloc); /* not on every processor */
    parts_need(rmr_h2_frame_new(&w->frame, &env), "frame");
    parts_need(rmr_ctl_decoder_new(&w->decoder, &env), "decoder");
}

void sc_init(scale *w, uint64_t seed, uint32_t members, uint32_t users,
             uint32_t relays)
{
    rmr_sim_config c;
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->n_members = members;
    w->n_users = users;
    w->n_relays = relays < SC_RELAYS ? relays : SC_RELAYS;
    w->members = calloc(members, sizeof *w->members);
    w->keys = calloc(users, sizeof *w->keys);
    w->user_ids = calloc(users, sizeof *w->user_ids);
    test_rng_seed(&w->dice, seed);
    share(w);
    rmr_sim_config_init(&c, sizeof c);
    c.alloc = table(&w->sim_heap);
    c.seed = seed;
    parts_need(rmr_sim_new(&w->sim, &c), "sim");
    for (uint32_t i = 0; i < w->n_relays; i++)
        add_relay(w, i);
    add_coord(w);
}

void sc_free(scale *w)
{
    rmr_sim_free(w->sim);
    for (uint32_t i = 0; i < w->n_members; i++)
        rmr_node_free(w->members[i].node);
    rmr_coord_free(w->coord);
    for (uint32_t i = 0; i < w->n_relays; i++)
        rmr_relay_free(w->relays[i].relay);
    rmr_aead_wipe(&w->aead);
    rmr_gcm_wipe(&w->gcm);
    rmr_h2_frame_free(w->frame);
    rmr_ctl_decoder_free(w->decoder);
    free(w->members);
    free(w->keys);
    free(w->user_ids);
    free(w->pairs);
    if (w->node_heap.live_blocks || w->coord_heap.live_blocks ||
        w->relay_heap.live_blocks || w->sim_heap.live_blocks ||
        w->shared_heap.live_blocks)
        parts_need(RMR_E_INTERNAL, "memory was not given back");
}
