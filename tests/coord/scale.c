/*
 * A large tailnet in one process and one thread, on the simulator's clock:
 *
 *     coord_scale [--nodes N] [--users U] [--relays R] [--hours H]
 *                 [--changes PER-HOUR] [--pairs P] [--seed S]
 *
 * All nodes join one coordination server; then, hour by hour, nodes join and
 * leave, change address, expire, are renamed; at the end P pairs within users
 * talk by TCP.  Prints what it took, and the trace's hash.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <remora/coord.h>
#include <remora/node.h>
#include <remora/relay.h>
#include <remora/sim.h>

#include "node_internal.h"
#include "support.h"
#include "vectors.h"

#define SERVER "203.0.113.250"

typedef struct member {
    struct world *w;
    uint32_t number, user;
    rmr_sim_host host;
    rmr_sim_program program;
    test_rng rng;
    rmr_node *node;
    char hostname[24];
    bool is_running;
    uint32_t got;
} member;

typedef struct world {
    rmr_sim *sim;
    test_alloc node_heap, coord_heap, relay_heap, sim_heap;
    test_rng rng, coord_rng, relay_rng[8], dice;
    rmr_coord *coord;
    rmr_sim_program coord_program;
    rmr_relay *relays[8];
    rmr_sim_program relay_programs[8];
    uint32_t n_relays;
    member *members;
    uint32_t n_members, n_users;
    char (*keys)[RMR_COORD_KEY_TEXT];
    char *ca;
} world;

static world w;

static void need(rmr_err e, const char *what)
{
    if (e == RMR_OK)
        return;
    (void)fprintf(stderr, "coord_scale: %s: %s (%d)\n", what, rmr_err_name(e),
                  (int)e);
    exit(1);
}

static double cpu(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t roll(uint32_t n)
{
    return (uint32_t)(test_rng_u64(&w.dice) % n);
}

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

static rmr_sim_host add_host(const char *name, rmr_addr at)
{
    rmr_sim_host_config c;
    rmr_sim_host host;
    rmr_sim_host_config_init(&c, sizeof c);
    c.name = name;
    c.addrs = &at;
    c.n_addrs = 1;
    c.up.delay = c.down.delay = 10 * RMR_MS;
    c.receive_runs = true;
    need(rmr_sim_host_new(w.sim, RMR_SIM_INTERNET, &c, &host), name);
    return host;
}

/* ---- servers ------------------------------------------------------------- */

static void add_relay(uint32_t i)
{
    rmr_relay_config c;
    rmr_addr tls = rmr_addr_v4(0, 0, 0, 0, 443);
    rmr_addr stun = rmr_addr_v4(0, 0, 0, 0, 3478);
    char name[24];
    (void)snprintf(name, sizeof name, "relay%u", i + 1);
    rmr_sim_host host =
        add_host(name, rmr_addr_v4(203, 0, 113, (uint8_t)(240 + i), 0));
    test_rng_seed(&w.relay_rng[i], 50 + i);
    rmr_env env = test_env(&w.relay_heap, &w.relay_rng[i], NULL);
    char *cert = read_file("leaf-ec.pem"), *key = read_file("ec.key");
    env.log.write = NULL;
    rmr_relay_config_init(&c, sizeof c);
    c.listen = &tls;
    c.n_listen = 1;
    c.stun = &stun;
    c.n_stun = 1;
    c.cert_pem = rmr_bytes_str(cert);
    c.key_pem = rmr_bytes_str(key);
    c.tls_buffers = 64;
    need(rmr_relay_new(&w.relays[i], &env, &c, rmr_sim_now(w.sim)), "relay");
    free(cert);
    free(key);
    rmr_machine m = rmr_relay_machine(w.relays[i]);
    need(rmr_sim_add(w.sim, host, &m, &w.relay_programs[i]), "relay");
}

static void derp_map(char *dst, size_t cap)
{
    size_t n = (size_t)snprintf(dst, cap, "{\"Regions\":{");
    for (uint32_t i = 0; i < w.n_relays; i++)
        n += (size_t)snprintf(
            dst + n, cap - n,
            "%s\"%u\":{\"RegionID\":%u,\"RegionCode\":\"r%u\",\"Nodes\":[{"
            "\"Name\":\"%ua\",\"RegionID\":%u,\"HostName\":\"r%u.wild.test\","
            "\"IPv4\":\"203.0.113.%u\",\"IPv6\":\"none\"}]}",
            i ? "," : "", i + 1, i + 1, i + 1, i + 1, i + 1, i + 1, 240 + i);
    (void)snprintf(dst + n, cap - n, "}}");
}

static void add_coord(void)
{
    static const uint8_t key[RMR_KEY_LEN] = {8, 1, 2, 3, [31] = 64};
    char map[4096], name[24];
    rmr_coord_config c;
    rmr_addr at = rmr_addr_v4(0, 0, 0, 0, 80);
    uint64_t id, key_id;
    rmr_env env = test_env(&w.coord_heap, &w.coord_rng, NULL);
    env.log.write = NULL;
    test_rng_seed(&w.coord_rng, 40);
    derp_map(map, sizeof map);
    rmr_coord_config_init(&c, sizeof c);
    c.listen = &at;
    c.n_listen = 1;
    c.server_url = "http://" SERVER;
    c.base_domain = "tail.test";
    c.derp_map = rmr_bytes_str(map);
    c.private_key = key;
    need(rmr_coord_new(&w.coord, &env, &c, rmr_sim_now(w.sim)), "coord");
    for (uint32_t i = 0; i < w.n_users; i++) {
        rmr_coord_key_wish wish = {.reusable = true};
        (void)snprintf(name, sizeof name, "user%u", i);
        need(rmr_coord_user_add(w.coord, name, &id), name);
        wish.user = id;
        need(rmr_coord_key_add(w.coord, &wish, w.keys[i], &key_id), name);
    }
    rmr_sim_host host = add_host("coord", rmr_addr_v4(203, 0, 113, 250, 0));
    rmr_machine m = rmr_coord_machine(w.coord);
    need(rmr_sim_add(w.sim, host, &m, &w.coord_program), "coord");
}

/* ---- nodes --------------------------------------------------------------- */

static void on_event(void *user, const rmr_node_event *ev)
{
    member *m = user;
    m->is_running |= ev->kind == RMR_NODE_EV_RUNNING;
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
    member *m = user;
    size_t taken;
    (void)tag;
    (void)rmr_node_send(m->node, rmr_sim_now(w.sim), conn, rmr_bytes_str("x"),
                        &taken);
}

static void on_readable(void *user, void *tag, rmr_node_conn conn)
{
    member *m = user;
    rmr_bytes view;
    bool eof;
    (void)tag;
    if (rmr_node_peek(m->node, conn, &view, &eof) == RMR_OK && view.len) {
        m->got++;
        (void)rmr_node_consume(m->node, rmr_sim_now(w.sim), conn, view.len);
    }
}

static void start(member *m)
{
    rmr_node_config c;
    rmr_node_callbacks cb = {.struct_size = sizeof cb,
                             .user = m,
                             .on_event = on_event,
                             .on_accept = on_accept,
                             .on_connected = on_connected,
                             .on_readable = on_readable};
    rmr_env env = test_env(&w.node_heap, &m->rng, NULL);
    env.log.write = NULL;
    rmr_node_config_init(&c, sizeof c);
    c.control_url = "http://" SERVER;
    c.auth_key = w.keys[m->user];
    c.keep_auth_key = true;
    c.hostname = m->hostname;
    c.ca_pem = rmr_bytes_str(w.ca);
    c.callbacks = &cb;
    need(rmr_node_new(&m->node, &env, &c, rmr_sim_now(w.sim)), "node");
    rmr_machine x = rmr_node_machine(m->node);
    need(rmr_sim_add(w.sim, m->host, &x, &m->program), "node");
}

static void stop(member *m)
{
    need(rmr_sim_remove(w.sim, m->program, RMR_SIM_KILLED), "node");
    rmr_node_free(m->node);
    m->node = NULL;
    m->is_running = false;
}

static void add_member(uint32_t i)
{
    member *m = &w.members[i];
    m->w = &w;
    m->number = i;
    m->user = i % w.n_users;
    test_rng_seed(&m->rng, 1000 + i);
    (void)snprintf(m->hostname, sizeof m->hostname, "n%u", i);
    m->host =
        add_host(m->hostname, rmr_addr_v4(20, (uint8_t)(i >> 16),
                                          (uint8_t)(i >> 8), (uint8_t)i, 0));
    start(m);
}

/* ---- hours --------------------------------------------------------------- */

static void run(rmr_dur d)
{
    need(rmr_sim_run_until(w.sim, rmr_time_add(rmr_sim_now(w.sim), d), NULL,
                           NULL),
         "run");
}

static uint32_t running(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w.n_members; i++)
        n += w.members[i].node && w.members[i].is_running;
    return n;
}

static rmr_coord_node random_node(void)
{
    rmr_coord_node n;
    memset(&n, 0, sizeof n);
    if (rmr_coord_node_next(w.coord, roll(w.n_members), &n) != RMR_OK)
        (void)rmr_coord_node_next(w.coord, 0, &n);
    return n;
}

static void change(uint32_t number)
{
    member *m = &w.members[roll(w.n_members)];
    char label[32];
    switch (number % 4) {
    case 0:
        if (m->node)
            stop(m);
        else
            start(m);
        break;
    case 1:
        (void)snprintf(label, sizeof label, "new%u", number);
        (void)rmr_coord_node_rename(w.coord, random_node().id, label);
        break;
    case 2:
        (void)rmr_coord_node_expire(w.coord, random_node().id, 1);
        break;
    default:
        if (m->node) { /* restarted elsewhere, as a phone is */
            stop(m);
            start(m);
        }
        break;
    }
    need(rmr_sim_poke(w.sim, w.coord_program), "poke");
}

static uint32_t talk(uint32_t pairs)
{
    rmr_node_conn conn;
    uint32_t dialled = 0;
    for (uint32_t i = 0; i < w.n_members; i++) {
        if (w.members[i].node)
            (void)rmr_node_listen(w.members[i].node, rmr_sim_now(w.sim), 80,
                                  NULL, &conn);
    }
    for (uint32_t i = 0; i < pairs; i++) {
        member *a = &w.members[roll(w.n_members)];
        uint32_t per_user = w.n_members / w.n_users;
        member *b = &w.members[roll(per_user) * w.n_users + a->user];
        rmr_nm_node self;
        char ip[RMR_ADDR_TEXT_MAX];
        if (a == b || !a->node || !b->node || !rmr_nm_self(b->node->nm, &self))
            continue;
        rmr_addr at = rmr_prefix_addr(&self.addrs[0]);
        if (rmr_node_dial(a->node, rmr_sim_now(w.sim),
                          rmr_addr_ip_text(&at, ip), 80, NULL, &conn) != RMR_OK)
            continue;
        dialled++;
        need(rmr_sim_poke(w.sim, a->program), "poke");
        need(rmr_sim_poke(w.sim, b->program), "poke");
    }
    run(15 * RMR_SEC);
    return dialled;
}

static uint32_t heard(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w.n_members; i++)
        n += w.members[i].got;
    return n;
}

static uint32_t number(int argc, char **argv, const char *name, uint32_t value)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            value = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    return value;
}

int main(int argc, char **argv)
{
    uint32_t nodes = number(argc, argv, "--nodes", 100);
    uint32_t hours = number(argc, argv, "--hours", 1);
    uint32_t changes = number(argc, argv, "--changes", 240);
    uint32_t pairs = number(argc, argv, "--pairs", 50);
    uint32_t seed = number(argc, argv, "--seed", 1), done = 0;
    rmr_sim_config c;
    rmr_coord_stats st;
    w.n_members = nodes;
    w.n_users = number(argc, argv, "--users", nodes / 20 ? nodes / 20 : 1);
    w.n_relays = number(argc, argv, "--relays", 3);
    w.members = calloc(nodes, sizeof *w.members);
    w.keys = calloc(w.n_users, sizeof *w.keys);
    w.ca = read_file("ca-ec.pem");
    test_rng_seed(&w.dice, seed);
    rmr_sim_config_init(&c, sizeof c);
    c.alloc = test_alloc_table(&w.sim_heap);
    c.seed = seed;
    need(rmr_sim_new(&w.sim, &c), "sim");
    for (uint32_t i = 0; i < w.n_relays; i++)
        add_relay(i);
    add_coord();
    double began = cpu();
    for (uint32_t i = 0; i < nodes; i++) {
        add_member(i);
        if (i % 100 == 99)
            run(100 * RMR_MS);
    }
    run(20 * RMR_SEC);
    (void)printf("joined: %u of %u run, %.1f CPU s\n", running(), nodes,
                 cpu() - began);
    (void)printf("memory: %zu bytes a node, %zu of the server's for each\n",
                 w.node_heap.live_bytes / nodes,
                 w.coord_heap.live_bytes / nodes);
    began = cpu();
    for (uint32_t h = 0; h < hours; h++) {
        for (uint32_t i = 0; i < changes; i++) {
            change(done++);
            run(3600 * RMR_SEC / (changes ? changes : 1));
        }
    }
    if (hours)
        (void)printf("%u hours with %u changes: %.1f CPU s\n", hours, done,
                     cpu() - began);
    run(30 * RMR_SEC);
    uint32_t dialled = talk(pairs), talked = heard();
    rmr_coord_get_stats(w.coord, &st);
    (void)printf(
        "pairs that talk: %u of %u; %llu frames, %llu bytes a frame\n", heard(),
        dialled, (unsigned long long)st.frames,
        (unsigned long long)(st.frames ? st.frame_bytes / st.frames : 0));
    (void)printf("trace %016llx\n", (unsigned long long)rmr_sim_hash(w.sim));
    rmr_sim_free(w.sim);
    for (uint32_t i = 0; i < nodes; i++)
        rmr_node_free(w.members[i].node);
    rmr_coord_free(w.coord);
    for (uint32_t i = 0; i < w.n_relays; i++)
        rmr_relay_free(w.relays[i]);
    free(w.members);
    free(w.keys);
    free(w.ca);
    return talked == dialled ? 0 : 1;
}
