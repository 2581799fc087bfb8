#include "coord_world.h"

#include "node_internal.h"
#include "vectors.h"

#define SERVER "203.0.113.250"
#define PORT 80

static void need(rmr_err err, const char *what)
{
    if (err == RMR_OK)
        return;
    (void)fprintf(stderr, "coord_world: %s: %s (%d)\n", what, rmr_err_name(err),
                  (int)err);
    abort();
}

static rmr_sim_host add_host(cw *w, const char *name, rmr_addr at)
{
    rmr_sim_host_config c;
    rmr_sim_host host;
    rmr_sim_host_config_init(&c, sizeof c);
    c.name = name;
    c.addrs = &at;
    c.n_addrs = 1;
    c.up.delay = c.down.delay = 5 * RMR_MS;
    c.receive_runs = true;
    need(rmr_sim_host_new(w->sim, RMR_SIM_INTERNET, &c, &host), name);
    return host;
}

/* ---- a relay ------------------------------------------------------------- */

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

static void add_relay(cw *w)
{
    rmr_relay_config c;
    rmr_addr tls = rmr_addr_v4(0, 0, 0, 0, 443);
    rmr_addr stun = rmr_addr_v4(0, 0, 0, 0, 3478);
    rmr_env env = test_env(&w->heap, &w->relay_rng, NULL);
    char *cert = read_file("leaf-ec.pem"), *key = read_file("ec.key");
    rmr_sim_host host = add_host(w, "relay", rmr_addr_v4(203, 0, 113, 241, 0));
    env.log.write = NULL;
    test_rng_seed(&w->relay_rng, 5);
    rmr_relay_config_init(&c, sizeof c);
    c.listen = &tls;
    c.n_listen = 1;
    c.stun = &stun;
    c.n_stun = 1;
    c.cert_pem = rmr_bytes_str(cert);
    c.key_pem = rmr_bytes_str(key);
    c.tls_buffers = 16;
    c.max_clients = 64;
    need(rmr_relay_new(&w->relay, &env, &c, rmr_sim_now(w->sim)), "relay");
    free(cert);
    free(key);
    rmr_machine m = rmr_relay_machine(w->relay);
    need(rmr_sim_add(w->sim, host, &m, &w->relay_program), "relay");
}

/* ---- the server ---------------------------------------------------------- */

static void on_coord_event(void *user, const rmr_coord_event *ev)
{
    cw *w = user;
    if (ev->kind == RMR_COORD_EV_READY)
        w->ready = true;
    else if (ev->kind == RMR_COORD_EV_LOGIN)
        memcpy(w->login, ev->text, sizeof w->login);
    else if (ev->kind == RMR_COORD_EV_JOINED)
        w->joined++;
    else if (ev->kind == RMR_COORD_EV_TROUBLE && ++w->troubles)
        (void)snprintf(w->trouble, sizeof w->trouble, "%s", ev->text);
}

static void write_coord_log(void *user, rmr_log_level level, const char *layer,
                            const char *msg, size_t len)
{
    const cw *w = user;
    (void)level;
    (void)len;
    if (w->echo_log)
        (void)fprintf(stderr, "%10.3f %s: %s\n",
                      (double)rmr_sim_now(w->sim) / 1e9, layer, msg);
}

static void start(cw *w)
{
    static const uint8_t key[RMR_KEY_LEN] = {8, 1, 2, 3, [31] = 64};
    rmr_coord_config c;
    rmr_addr at = rmr_addr_v4(0, 0, 0, 0, PORT);
    rmr_coord_callbacks cb = {sizeof cb, w, on_coord_event};
    rmr_env env = test_env(&w->coord_heap, &w->rng, NULL);
    env.log = (rmr_log){write_coord_log, w,
                        w->echo_log ? RMR_LOG_DEBUG : RMR_LOG_OFF};
    rmr_coord_config_init(&c, sizeof c);
    c.listen = &at;
    c.n_listen = 1;
    c.server_url = "http://" SERVER;
    c.base_domain = "tail.test";
    c.derp_map = rmr_bytes_str(
        "{\"Regions\":{\"1\":{\"RegionID\":1,\"RegionCode\":\"r1\",\"Nodes\":[{"
        "\"Name\":\"1a\",\"RegionID\":1,\"HostName\":\"r1.wild.test\",\"IPv4\":"
        "\"203.0.113.241\",\"IPv6\":\"none\"}]}}}");
    c.private_key = key;
    c.callbacks = &cb;
    if (w->configure)
        w->configure(&c);
    need(rmr_coord_new(&w->coord, &env, &c, rmr_sim_now(w->sim)), "coord");
    rmr_machine m = rmr_coord_machine(w->coord);
    need(rmr_sim_add(w->sim, w->host, &m, &w->program), "coord");
}

void cw_init(cw *w, void (*configure)(rmr_coord_config *cfg))
{
    rmr_sim_config c;
    memset(w, 0, sizeof *w);
    w->configure = configure;
    w->echo_log = getenv("WORLD_LOG") != NULL;
    test_rng_seed(&w->rng, 7);
    rmr_sim_config_init(&c, sizeof c);
    c.alloc = test_alloc_table(&w->sim_heap);
    c.seed = 7;
    need(rmr_sim_new(&w->sim, &c), "sim");
    w->ca = read_file("ca-ec.pem");
    add_relay(w);
    w->host = add_host(w, "coord", rmr_addr_v4(203, 0, 113, 250, 0));
    start(w);
    cw_run(w, RMR_SEC);
    assert_true(w->ready);
}

void cw_restart(cw *w)
{
    need(rmr_sim_remove(w->sim, w->program, RMR_SIM_KILLED), "coord");
    rmr_coord_free(w->coord);
    w->ready = false;
    start(w);
}

void cw_free(cw *w)
{
    for (int i = 0; i < w->n_nodes; i++)
        cw_stop(&w->nodes[i]);
    need(rmr_sim_remove(w->sim, w->program, RMR_SIM_KILLED), "coord");
    rmr_coord_free(w->coord);
    need(rmr_sim_remove(w->sim, w->relay_program, RMR_SIM_KILLED), "relay");
    rmr_relay_free(w->relay);
    free(w->ca);
    rmr_sim_free(w->sim);
    assert_int_equal(w->coord_heap.live_blocks, 0);
    assert_int_equal(w->heap.live_blocks, 0);
    assert_int_equal(w->sim_heap.live_blocks, 0);
}

void cw_poke(cw *w)
{
    need(rmr_sim_poke(w->sim, w->program), "poke");
}

uint64_t cw_user(cw *w, const char *name)
{
    uint64_t id;
    need(rmr_coord_user_add(w->coord, name, &id), name);
    return id;
}

void cw_key(cw *w, uint64_t user, char text[RMR_COORD_KEY_TEXT])
{
    uint64_t id;
    rmr_coord_key_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.user = user;
    wish.reusable = true;
    need(rmr_coord_key_add(w->coord, &wish, text, &id), "key");
}

rmr_coord_node cw_find(const cw *w, const char *label)
{
    rmr_coord_node n;
    uint64_t after = 0;
    while (rmr_coord_node_next(w->coord, after, &n) == RMR_OK) {
        if (strcmp(n.given_name, label) == 0)
            return n;
        after = n.id;
    }
    fail_msg("there is no node %s", label);
    return n;
}

/* ---- nodes --------------------------------------------------------------- */

static void write_log(void *user, rmr_log_level level, const char *layer,
                      const char *msg, size_t len)
{
    const cw_node *n = user;
    (void)level;
    (void)len;
    if (n->w->echo_log)
        (void)fprintf(stderr, "%10.3f n%d %s: %s\n",
                      (double)rmr_sim_now(n->w->sim) / 1e9, n->number, layer,
                      msg);
}

static void on_event(void *user, const rmr_node_event *ev)
{
    cw_node *n = user;
    if (ev->kind == RMR_NODE_EV_RUNNING) {
        n->is_running = true;
    } else if (ev->kind == RMR_NODE_EV_STATE) {
        n->needs_login = ev->state == RMR_NODE_NEEDS_LOGIN;
        if (n->needs_login) {
            n->is_running = false;
            (void)snprintf(n->url, sizeof n->url, "%s", ev->text);
        }
    } else {
        n->had_failed |= ev->kind == RMR_NODE_EV_FAILED;
        (void)snprintf(n->why, sizeof n->why, "%s", ev->text);
    }
}

static void on_accept(void *user, void *tag, rmr_node_conn conn,
                      const rmr_addr *remote)
{
    cw_node *n = user;
    (void)tag;
    (void)remote;
    n->conn = conn;
    n->is_connected = true;
}

static void on_connected(void *user, void *tag, rmr_node_conn conn)
{
    cw_node *n = user;
    size_t taken;
    (void)tag;
    n->is_connected = true;
    need(rmr_node_send(n->node, rmr_sim_now(n->w->sim), conn,
                       rmr_bytes_str("hello"), &taken),
         "send");
}

static void on_readable(void *user, void *tag, rmr_node_conn conn)
{
    cw_node *n = user;
    rmr_bytes view;
    bool eof;
    (void)tag;
    while (rmr_node_peek(n->node, conn, &view, &eof) == RMR_OK && view.len) {
        for (size_t i = 0; i < view.len && n->n_got < sizeof n->got - 1; i++)
            n->got[n->n_got++] = (char)view.ptr[i];
        (void)rmr_node_consume(n->node, rmr_sim_now(n->w->sim), conn, view.len);
    }
}

static void on_closed(void *user, void *tag, rmr_node_conn conn, rmr_err why)
{
    cw_node *n = user;
    (void)tag;
    (void)conn;
    (void)why;
    n->is_closed = true;
}

cw_node *cw_add(cw *w, const char *hostname, const char *key)
{
    cw_node *n = &w->nodes[w->n_nodes];
    rmr_node_config c;
    rmr_node_callbacks cb = {.struct_size = sizeof cb,
                             .user = n,
                             .on_event = on_event,
                             .on_accept = on_accept,
                             .on_connected = on_connected,
                             .on_readable = on_readable,
                             .on_closed = on_closed};
    n->w = w;
    n->number = w->n_nodes++;
    test_rng_seed(&n->rng, 100 + (uint64_t)n->number);
    n->env = test_env(&w->heap, &n->rng, NULL);
    n->env.log =
        (rmr_log){write_log, n, w->echo_log ? RMR_LOG_DEBUG : RMR_LOG_OFF};
    n->host = add_host(w, hostname,
                       rmr_addr_v4(198, 51, 100, (uint8_t)(n->number + 1), 0));
    rmr_node_config_init(&c, sizeof c);
    c.control_url = "http://" SERVER;
    c.auth_key = key;
    c.keep_auth_key = true;
    c.hostname = hostname;
    c.ca_pem = rmr_bytes_str(w->ca);
    c.callbacks = &cb;
    if (w->shape)
        w->shape(&c);
    need(rmr_node_new(&n->node, &n->env, &c, rmr_sim_now(w->sim)), hostname);
    rmr_machine m = rmr_node_machine(n->node);
    need(rmr_sim_add(w->sim, n->host, &m, &n->program), hostname);
    return n;
}

void cw_stop(cw_node *n)
{
    if (!n->node)
        return;
    /* One that gave up is gone already. */
    (void)rmr_sim_remove(n->w->sim, n->program, RMR_SIM_KILLED);
    rmr_node_free(n->node);
    n->node = NULL;
}

/* ---- runs ---------------------------------------------------------------- */

void cw_run(cw *w, rmr_dur d)
{
    need(rmr_sim_run_until(w->sim, rmr_time_add(rmr_sim_now(w->sim), d), NULL,
                           NULL),
         "run");
}

bool cw_until(cw *w, rmr_dur d, bool (*holds)(void *user), void *user)
{
    rmr_err err = rmr_sim_run_until(
        w->sim, rmr_time_add(rmr_sim_now(w->sim), d), holds, user);
    if (err != RMR_E_TIMEOUT)
        need(err, "run");
    return err == RMR_OK;
}

static bool all_run(void *user)
{
    const cw *w = user;
    for (int i = 0; i < w->n_nodes; i++) {
        if (w->nodes[i].node && !w->nodes[i].is_running)
            return false;
    }
    return true;
}

bool cw_all_run(cw *w, rmr_dur d)
{
    return cw_until(w, d, all_run, w);
}

bool cw_sees(const cw_node *n, const char *label)
{
    char name[100];
    rmr_nm_node peer;
    (void)snprintf(name, sizeof name, "%s.tail.test.", label);
    return rmr_nm_peer_by_name(n->node->nm, name, &peer);
}

static bool has_word(void *user)
{
    const cw_node *b = user;
    return strcmp(b->got, "hello") == 0;
}

bool cw_reaches(cw_node *a, cw_node *b)
{
    rmr_node_conn listener;
    char ip[RMR_ADDR_TEXT_MAX];
    rmr_nm_node self;
    rmr_time now = rmr_sim_now(a->w->sim);
    assert_true(rmr_nm_self(b->node->nm, &self));
    rmr_addr at = rmr_prefix_addr(&self.addrs[0]);
    memset(b->got, 0, sizeof b->got);
    b->n_got = 0;
    need(rmr_node_listen(b->node, now, 80, NULL, &listener), "listen");
    need(rmr_node_dial(a->node, now, rmr_addr_ip_text(&at, ip), 80, NULL,
                       &a->conn),
         "dial");
    need(rmr_sim_poke(a->w->sim, a->program), "poke");
    need(rmr_sim_poke(a->w->sim, b->program), "poke");
    bool ok = cw_until(a->w, 10 * RMR_SEC, has_word, b);
    now = rmr_sim_now(a->w->sim);
    (void)rmr_node_close(a->node, now, a->conn);
    if (b->is_connected)
        (void)rmr_node_close(b->node, now, b->conn);
    b->is_connected = a->is_connected = false;
    (void)rmr_node_close(b->node, now, listener);
    need(rmr_sim_poke(a->w->sim, a->program), "poke");
    need(rmr_sim_poke(a->w->sim, b->program), "poke");
    return ok;
}
