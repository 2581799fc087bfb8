/* The streams of fuzz_coord's server, and its beginning and end. */
#include "fuzz_coord_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static client *find(world *w, uint64_t id)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (w->c[i].id == id)
            return &w->c[i];
    }
    return NULL;
}

static void perform(void *user, const rmr_io_op *op)
{
    world *w = user;
    client *c = find(w, op->id);
    if (op->kind == RMR_IO_STREAM_SEND) {
        if (c) {
            need(!c->sending);
            fw_hears(c, op->data);
            c->sending = c->stands;
        }
        if (!c || !c->stands)
            fa_happens(&w->io, RMR_IO_SENT, op->id);
    } else if (op->kind == RMR_IO_CLOSE || op->kind == RMR_IO_ABORT) {
        if (c)
            fw_gone(c);
    }
}

void fw_turn(world *w)
{
    fa_adapter *a = &w->io;
    fa_turn(a);
    for (int i = 0;
         i < 8 && !a->stopped && a->m.next_deadline(a->m.self) <= a->now; i++) {
        need(a->m.handle_deadline(a->m.self, a->now) == RMR_OK);
        fa_turn(a);
    }
}

/* ---- the server ---------------------------------------------------------- */

static void on_event(void *user, const rmr_coord_event *ev)
{
    world *w = user;
    if (ev->kind == RMR_COORD_EV_READY)
        memcpy(w->public_key, ev->key, RMR_KEY_LEN);
    else if (ev->kind == RMR_COORD_EV_LOGIN)
        memcpy(w->login, ev->text, sizeof w->login);
    else if (ev->kind == RMR_COORD_EV_CHECK)
        memcpy(w->check, ev->text, sizeof w->check);
    need(ev->kind != RMR_COORD_EV_FAILED);
}

static void start(world *w)
{
    static const rmr_prefix proxies[] = {
        {.ip = {127, 0, 0, 1}, .family = RMR_AF_INET, .bits = 32},
        {.ip = {10}, .family = RMR_AF_INET, .bits = 8}};
    rmr_coord_callbacks cb = {sizeof cb, w, on_event};
    rmr_coord_store table = fake_table(&w->store);
    rmr_coord_config cfg;
    rmr_env env = test_env(&w->mem, &w->rng, NULL);
    fa_config(&cfg);
    cfg.derp_map = rmr_bytes_str("{\"Regions\":{}}");
    cfg.open = w->open;
    cfg.callbacks = &cb;
    cfg.max_nodes = NODES_MAX;
    cfg.max_logins = LOGINS_MAX;
    cfg.max_connections = CONNECTIONS_MAX;
    cfg.node_expiry = 3600 * RMR_SEC;
    cfg.store = w->stores ? &table : NULL;
    cfg.proxies = w->trusts ? proxies : NULL;
    cfg.n_proxies = w->trusts ? 2 : 0;
    memset(&w->seen, 0, sizeof w->seen);
    need(rmr_coord_new(&w->coord, &env, &cfg, w->io.now) == RMR_OK);
    fa_start(&w->io, w->coord);
    fw_turn(w);
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
    fa_init(&w->io, perform, w);
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
    fa_pass(&w->io, RMR_SEC); /* what the store refused is tried again */
    for (int i = 0; i < CLIENTS; i++) {
        if (w->c[i].id)
            fw_gone(&w->c[i]);
    }
    if (!w->io.stopped)
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
