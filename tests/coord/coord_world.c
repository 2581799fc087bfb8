#include "coord_world.h"

#include "node_internal.h"
#include "server.h"
#include "vectors.h"

#define PORT 80
#define DELAY (5 * RMR_MS)

/* ---- a relay ------------------------------------------------------------- */

static void add_relay(cw *w)
{
    static const parts_relay_kind kind = {"tls/leaf-ec.pem", 16, 64};
    rmr_env env = test_env(&w->heap, &w->relay.rng, NULL);
    env.log.write = NULL;
    test_rng_seed(&w->relay.rng, 5);
    parts_relay_host(&w->relay, w->sim, 0, DELAY);
    parts_relay_start(&w->relay, w->sim, &env, &kind);
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

static void start(cw *w)
{
    rmr_coord_config c;
    char map[512];
    rmr_coord_callbacks cb = {sizeof cb, w, on_coord_event};
    rmr_env env = test_env(&w->coord_heap, &w->rng, NULL);
    env.log = parts_log_table(&w->log, w->sim, "coord", w->echo_log);
    parts_derp_map(map, sizeof map, 1, NULL);
    server_config(&c, rmr_addr_v4(0, 0, 0, 0, PORT), "http://" PARTS_SERVER);
    c.derp_map = rmr_bytes_str(map);
    c.callbacks = &cb;
    if (w->configure)
        w->configure(&c);
    parts_need(rmr_coord_new(&w->coord, &env, &c, rmr_sim_now(w->sim)),
               "coord");
    rmr_machine m = rmr_coord_machine(w->coord);
    parts_need(rmr_sim_add(w->sim, w->host, &m, &w->program), "coord");
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
    parts_need(rmr_sim_new(&w->sim, &c), "sim");
    w->ca = tv_text("tls/ca-ec.pem");
    add_relay(w);
    rmr_addr at = rmr_addr_v4(203, 0, 113, 250, 0);
    w->host = parts_host(w->sim, RMR_SIM_INTERNET, "coord", &at, 1, DELAY);
    start(w);
    cw_run(w, RMR_SEC);
    assert_true(w->ready);
}

void cw_restart(cw *w)
{
    parts_need(rmr_sim_remove(w->sim, w->program, RMR_SIM_KILLED), "coord");
    rmr_coord_free(w->coord);
    w->ready = false;
    start(w);
}

void cw_free(cw *w)
{
    for (int i = 0; i < w->n_nodes; i++)
        cw_stop(&w->nodes[i]);
    parts_need(rmr_sim_remove(w->sim, w->program, RMR_SIM_KILLED), "coord");
    rmr_coord_free(w->coord);
    parts_relay_stop(&w->relay, w->sim);
    free(w->ca);
    rmr_sim_free(w->sim);
    assert_int_equal(w->coord_heap.live_blocks, 0);
    assert_int_equal(w->heap.live_blocks, 0);
    assert_int_equal(w->sim_heap.live_blocks, 0);
}

void cw_poke(cw *w)
{
    parts_need(rmr_sim_poke(w->sim, w->program), "poke");
}

uint64_t cw_user(cw *w, const char *name)
{
    return server_user(w->coord, name);
}

void cw_key(cw *w, uint64_t user, char text[RMR_COORD_KEY_TEXT])
{
    server_user_key(w->coord, user, text);
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
    parts_need(rmr_node_send(n->node, rmr_sim_now(n->w->sim), conn,
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
    (void)snprintf(n->name, sizeof n->name, "n%d", n->number);
    n->env.log = parts_log_table(&n->log, w->sim, n->name, w->echo_log);
    rmr_addr at = rmr_addr_v4(198, 51, 100, (uint8_t)(n->number + 1), 0);
    n->host = parts_host(w->sim, RMR_SIM_INTERNET, hostname, &at, 1, DELAY);
    rmr_node_config_init(&c, sizeof c);
    c.control_url = "http://" PARTS_SERVER;
    c.auth_key = key;
    c.keep_auth_key = true;
    c.hostname = hostname;
    c.ca_pem = rmr_bytes_str(w->ca);
    c.callbacks = &cb;
    if (w->shape)
        w->shape(&c);
    parts_need(rmr_node_new(&n->node, &n->env, &c, rmr_sim_now(w->sim)),
               hostname);
    rmr_machine m = rmr_node_machine(n->node);
    parts_need(rmr_sim_add(w->sim, n->host, &m, &n->program), hostname);
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
    parts_need(rmr_sim_run_until(w->sim, rmr_time_add(rmr_sim_now(w->sim), d),
                                 NULL, NULL),
               "run");
}

bool cw_until(cw *w, rmr_dur d, bool (*holds)(void *user), void *user)
{
    rmr_err err = rmr_sim_run_until(
        w->sim, rmr_time_add(rmr_sim_now(w->sim), d), holds, user);
    if (err != RMR_E_TIMEOUT)
        parts_need(err, "run");
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
    parts_need(rmr_node_listen(b->node, now, 80, NULL, &listener), "listen");
    parts_need(rmr_node_dial(a->node, now, rmr_addr_ip_text(&at, ip), 80, NULL,
                             &a->conn),
               "dial");
    parts_need(rmr_sim_poke(a->w->sim, a->program), "poke");
    parts_need(rmr_sim_poke(a->w->sim, b->program), "poke");
    bool ok = cw_until(a->w, 10 * RMR_SEC, has_word, b);
    now = rmr_sim_now(a->w->sim);
    (void)rmr_node_close(a->node, now, a->conn);
    if (b->is_connected)
        (void)rmr_node_close(b->node, now, b->conn);
    b->is_connected = a->is_connected = false;
    (void)rmr_node_close(b->node, now, listener);
    parts_need(rmr_sim_poke(a->w->sim, a->program), "poke");
    parts_need(rmr_sim_poke(a->w->sim, b->program), "poke");
    return ok;
}
