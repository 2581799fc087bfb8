/* The adapter of fuzz_coord's server, and its beginning and end. */
#include "fuzz_coord_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fw_must(bool ok, const char *file, int line)
{
    if (ok)
        return;
    (void)fprintf(stderr, "%s:%d: an invariant does not hold\n", file, line);
    abort();
}

void fw_happens(world *w, rmr_io_event_kind kind, uint64_t id)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    if (kind == RMR_IO_WALL)
        ev.wall_unix_ns = (uint64_t)1800000000 * RMR_SEC + w->wall;
    need(w->m.event(w->m.self, w->now, &ev) == RMR_OK);
}

static client *find(world *w, uint64_t id)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (w->c[i].id == id)
            return &w->c[i];
    }
    return NULL;
}

static void perform(world *w, const rmr_io_op *op)
{
    client *c = find(w, op->id);
    if (op->kind == RMR_IO_LISTEN) {
        need(w->n_doors < DOORS);
        w->door[w->n_doors++] = op->id;
        fw_happens(w, RMR_IO_OPENED, op->id);
    } else if (op->kind == RMR_IO_STREAM_SEND) {
        if (c) {
            need(!c->sending);
            fw_hears(c, op->data);
            c->sending = c->stands;
        }
        if (!c || !c->stands)
            fw_happens(w, RMR_IO_SENT, op->id);
    } else if (op->kind == RMR_IO_CLOSE || op->kind == RMR_IO_ABORT) {
        if (c)
            fw_gone(c);
    } else if (op->kind == RMR_IO_STOP) {
        w->stopped = true;
    }
}

static void work(world *w)
{
    rmr_io_op op;
    size_t n = 0;
    do {
        need(n++ < 100000);
        need(w->m.next_op(w->m.self, w->now,
                          rmr_buf_of(w->scratch, sizeof w->scratch),
                          &op) == RMR_OK);
        if (op.kind != RMR_IO_NONE)
            perform(w, &op);
    } while (op.kind != RMR_IO_NONE && !w->stopped);
}

/* What is due now, too: commits are. */
void fw_turn(world *w)
{
    work(w);
    for (int i = 0;
         i < 8 && !w->stopped && w->m.next_deadline(w->m.self) <= w->now; i++) {
        need(w->m.handle_deadline(w->m.self, w->now) == RMR_OK);
        work(w);
    }
}

void fw_pass(world *w, rmr_dur d)
{
    rmr_time end = rmr_time_add(w->now, d), at;
    size_t n = 0;
    while (!w->stopped && (at = w->m.next_deadline(w->m.self)) <= end) {
        need(n++ < 100000);
        w->now = at > w->now ? at : w->now;
        need(w->m.handle_deadline(w->m.self, w->now) == RMR_OK);
        work(w);
        need(w->stopped || w->m.next_deadline(w->m.self) > w->now);
    }
    w->now = end;
}

/* ---- the server ----------------------------------------------------------- */

static void on_event(void *user, const rmr_coord_event *ev)
{
    world *w = user;
    if (ev->kind == RMR_COORD_EV_READY)
        memcpy(w->public_key, ev->key, RMR_KEY_LEN);
    else if (ev->kind == RMR_COORD_EV_LOGIN)
        memcpy(w->login, ev->text, sizeof w->login);
    need(ev->kind != RMR_COORD_EV_FAILED);
}

static void start(world *w)
{
    static const uint8_t key[RMR_KEY_LEN] = {8, 1, [31] = 64};
    static const rmr_prefix proxies[] = {
        {.ip = {127, 0, 0, 1}, .family = RMR_AF_INET, .bits = 32},
        {.ip = {10}, .family = RMR_AF_INET, .bits = 8}};
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 8080);
    rmr_coord_callbacks cb = {sizeof cb, w, on_event};
    rmr_coord_store table = fake_table(&w->store);
    rmr_coord_config cfg;
    rmr_env env = test_env(&w->mem, &w->rng, NULL);
    rmr_coord_config_init(&cfg, sizeof cfg);
    cfg.listen = &at;
    cfg.n_listen = 1;
    cfg.server_url = "http://127.0.0.1:8080";
    cfg.base_domain = "t.test";
    cfg.derp_map = rmr_bytes_str("{\"Regions\":{}}");
    cfg.private_key = key;
    cfg.socket_name = "s";
    cfg.metrics_listen = &at;
    cfg.open = w->open;
    cfg.callbacks = &cb;
    cfg.max_nodes = NODES_MAX;
    cfg.max_logins = LOGINS_MAX;
    cfg.max_connections = CONNECTIONS_MAX;
    cfg.node_expiry = 3600 * RMR_SEC;
    cfg.store = w->stores ? &table : NULL;
    cfg.proxies = w->trusts ? proxies : NULL;
    cfg.n_proxies = w->trusts ? 2 : 0;
    w->n_doors = 0;
    memset(&w->seen, 0, sizeof w->seen);
    w->stopped = false;
    need(rmr_coord_new(&w->coord, &env, &cfg, w->now) == RMR_OK);
    w->m = rmr_coord_machine(w->coord);
    fw_happens(w, RMR_IO_WALL, 0);
    fw_turn(w);
    need(w->n_doors == DOORS);
}

static void auth_key(world *w, int i, uint64_t user, const char *tag,
                     bool ephemeral)
{
    uint64_t id;
    rmr_coord_key_wish wish = {.user = user,
                               .reusable = i != 3,
                               .ephemeral = ephemeral,
                               .tags = &tag,
                               .n_tags = tag ? 1 : 0};
    need(rmr_coord_key_add(w->coord, &wish, w->auth[i], &id) == RMR_OK);
}

void fw_begin(world *w, uint8_t options)
{
    uint64_t alice, bob;
    memset(w, 0, sizeof *w);
    w->now = RMR_SEC;
    w->last_child = RMR_IO_ADAPTER_ID;
    w->open = options & 1;
    w->stores = options & 2;
    w->trusts = options & 4;
    test_rng_seed(&w->rng, 5);
    for (int i = 0; i < CLIENTS; i++)
        w->c[i].w = w;
    start(w);
    need(rmr_coord_user_add(w->coord, "alice", &alice) == RMR_OK);
    need(rmr_coord_user_add(w->coord, "bob", &bob) == RMR_OK);
    auth_key(w, 0, alice, NULL, false);
    auth_key(w, 1, bob, NULL, true);
    auth_key(w, 2, 0, "tag:t", false);
    auth_key(w, 3, bob, NULL, false);
    fw_turn(w);
}

static void stop(world *w)
{
    w->mem.fail_at = 0;
    w->store.fails = false;
    fw_pass(w, RMR_SEC); /* what the store refused is tried again */
    for (int i = 0; i < CLIENTS; i++) {
        if (w->c[i].id)
            fw_gone(&w->c[i]);
    }
    if (!w->stopped)
        need(rmr_coord_commit(w->coord) == RMR_OK);
    rmr_coord_free(w->coord);
    w->coord = NULL;
    need(w->mem.live_blocks == 0);
    need(!w->store.is_misused && !w->store.is_open);
}

void fw_restart(world *w)
{
    if (!w->stores)
        return;
    rmr_coord_node n;
    size_t before = 0, after = 0;
    for (uint64_t id = 0; rmr_coord_node_next(w->coord, id, &n) == RMR_OK;
         id = n.id)
        before++;
    stop(w);
    start(w);
    for (uint64_t id = 0; rmr_coord_node_next(w->coord, id, &n) == RMR_OK;
         id = n.id)
        after++;
    need(after <= before); /* ephemeral ones may have gone while it stopped */
}

void fw_end(world *w)
{
    stop(w);
    fake_free(&w->store);
}
