#include "scale_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

#define SERVER "203.0.113.250"
/* SHA-256 of the certificate in self.pem: relays are known by it, as those that
 * run beside a coordination server are. */
#define PIN "afe95944bab8b5ffc2aaebb57e455a15924f3ebeec7d8ce0e6d53f64ecd64c77"

void sc_need(rmr_err e, const char *what)
{
    if (e == RMR_OK)
        return;
    (void)fprintf(stderr, "coord_scale: %s: %s (%d)\n", what, rmr_err_name(e),
                  (int)e);
    exit(1);
}

void sc_run(scale *w, rmr_dur d)
{
    sc_need(rmr_sim_run_until(w->sim, rmr_time_add(rmr_sim_now(w->sim), d),
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

/* ---- hosts --------------------------------------------------------------- */

static char *read_file(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tls/%s", REMORA_VECTORS, name);
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 16384);
    if (!f || !text || !fread(text, 1, 16383, f))
        abort();
    (void)fclose(f);
    return text;
}

static rmr_sim_host add_host(scale *w, rmr_sim_net net, const char *name,
                             rmr_addr at)
{
    rmr_sim_host_config c;
    rmr_sim_host host;
    rmr_sim_host_config_init(&c, sizeof c);
    c.name = name;
    c.addrs = &at;
    c.n_addrs = 1;
    c.up.delay = c.down.delay = 10 * RMR_MS;
    c.receive_runs = true;
    sc_need(rmr_sim_host_new(w->sim, net, &c, &host), name);
    return host;
}

/* ---- servers ------------------------------------------------------------- */

static void add_relay(scale *w, uint32_t i)
{
    rmr_relay_config c;
    rmr_addr tls = rmr_addr_v4(0, 0, 0, 0, 443);
    rmr_addr stun = rmr_addr_v4(0, 0, 0, 0, 3478);
    char name[24];
    (void)snprintf(name, sizeof name, "relay%u", i + 1);
    rmr_sim_host host =
        add_host(w, RMR_SIM_INTERNET, name,
                 rmr_addr_v4(203, 0, 113, (uint8_t)(240 + i), 0));
    test_rng_seed(&w->relay_rng[i], 50 + i);
    rmr_env env = env_of(&w->relay_heap, &w->relay_rng[i]);
    char *cert = read_file("self.pem"), *key = read_file("ec.key");
    rmr_relay_config_init(&c, sizeof c);
    c.listen = &tls;
    c.n_listen = 1;
    c.stun = &stun;
    c.n_stun = 1;
    c.cert_pem = rmr_bytes_str(cert);
    c.key_pem = rmr_bytes_str(key);
    c.tls_buffers = 64;
    sc_need(rmr_relay_new(&w->relays[i], &env, &c, rmr_sim_now(w->sim)),
            "relay");
    free(cert);
    free(key);
    rmr_machine m = rmr_relay_machine(w->relays[i]);
    sc_need(rmr_sim_add(w->sim, host, &m, &w->relay_programs[i]), "relay");
}

static void derp_map(const scale *w, char *dst, size_t cap)
{
    size_t n = (size_t)snprintf(dst, cap, "{\"Regions\":{");
    for (uint32_t i = 0; i < w->n_relays; i++)
        n += (size_t)snprintf(
            dst + n, cap - n,
            "%s\"%u\":{\"RegionID\":%u,\"RegionCode\":\"r%u\",\"Nodes\":[{"
            "\"Name\":\"%ua\",\"RegionID\":%u,\"HostName\":\"203.0.113.%u\","
            "\"CertName\":\"sha256-raw:" PIN "\","
            "\"IPv4\":\"203.0.113.%u\",\"IPv6\":\"none\"}]}",
            i ? "," : "", i + 1, i + 1, i + 1, i + 1, i + 1, 240 + i, 240 + i);
    (void)snprintf(dst + n, cap - n, "}}");
}

static void add_users(scale *w)
{
    char name[24];
    uint64_t key_id;
    for (uint32_t i = 0; i < w->n_users; i++) {
        rmr_coord_key_wish wish = {.reusable = true};
        (void)snprintf(name, sizeof name, "user%u", i);
        sc_need(rmr_coord_user_add(w->coord, name, &w->user_ids[i]), name);
        wish.user = w->user_ids[i];
        sc_need(rmr_coord_key_add(w->coord, &wish, w->keys[i], &key_id), name);
    }
}

static void add_coord(scale *w)
{
    static const uint8_t key[RMR_KEY_LEN] = {8, 1, 2, 3, [31] = 64};
    char map[4096];
    rmr_coord_config c;
    rmr_addr at = rmr_addr_v4(0, 0, 0, 0, 80);
    test_rng_seed(&w->coord_rng, 40);
    rmr_env env = env_of(&w->coord_heap, &w->coord_rng);
    derp_map(w, map, sizeof map);
    rmr_coord_config_init(&c, sizeof c);
    c.listen = &at;
    c.n_listen = 1;
    c.server_url = "http://" SERVER;
    c.base_domain = "tail.test";
    c.derp_map = rmr_bytes_str(map);
    c.private_key = key;
    sc_need(rmr_coord_new(&w->coord, &env, &c, rmr_sim_now(w->sim)), "coord");
    add_users(w);
    rmr_sim_host host = add_host(w, RMR_SIM_INTERNET, "coord",
                                 rmr_addr_v4(203, 0, 113, 250, 0));
    rmr_machine m = rmr_coord_machine(w->coord);
    sc_need(rmr_sim_add(w->sim, host, &m, &w->coord_program), "coord");
}

/* ---- nodes --------------------------------------------------------------- */

/* SCALE_LOG=n3 shows what that node says, by the virtual clock. */
static void write_log(void *user, rmr_log_level level, const char *layer,
                      const char *msg, size_t len)
{
    const sc_member *m = user;
    (void)level;
    (void)len;
    (void)fprintf(stderr, "%10.3f %s %s: %s\n",
                  (double)rmr_sim_now(m->w->sim) / 1e9, m->hostname, layer,
                  msg);
}

static rmr_log log_of(sc_member *m)
{
    const char *whose = getenv("SCALE_LOG");
    bool is_shown = whose && strcmp(whose, m->hostname) == 0;
    return (rmr_log){is_shown ? write_log : NULL, m,
                     is_shown ? RMR_LOG_DEBUG : RMR_LOG_OFF};
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
    c.control_url = "http://" SERVER;
    c.auth_key = w->keys[m->user];
    c.keep_auth_key = true;
    c.hostname = m->hostname;
    c.callbacks = &cb;
    c.aead = &w->aead;
    c.gcm = w->gcm.name ? &w->gcm : NULL;
    c.h2_frame = w->frame;
    c.decoder = w->decoder;
    m->has_left = m->is_running = false;
    sc_need(rmr_node_new(&m->node, &env, &c, rmr_sim_now(w->sim)), "node");
    rmr_machine x = rmr_node_machine(m->node);
    sc_need(rmr_sim_add(w->sim, m->host, &x, &m->program), "node");
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
    sc_need(rmr_sim_net_new(m->w->sim, RMR_SIM_INTERNET, &g, &m->home), "net");
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
    m->host = add_host(w, m->home, m->hostname, at);
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
    sc_need(rmr_crypto_init(), "crypto");
    sc_need(rmr_aead_new(&w->aead, &env.alloc, NULL), "aead");
    (void)rmr_gcm_new(&w->gcm, &env.alloc); /* not on every processor */
    sc_need(rmr_h2_frame_new(&w->frame, &env), "frame");
    sc_need(rmr_ctl_decoder_new(&w->decoder, &env), "decoder");
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
    sc_need(rmr_sim_new(&w->sim, &c), "sim");
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
        rmr_relay_free(w->relays[i]);
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
        sc_need(RMR_E_INTERNAL, "memory was not given back");
}
