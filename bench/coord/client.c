/* One client: the control client fills the netmap; here are its stream and what
 * it reports of its peers. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CREDIT ((size_t)256 * 1024)

uint32_t client_wants(const client *c)
{
    const crowd *a = c->all;
    if (a->open)
        return a->n - 1;
    return (a->n - 1 - c->user) / a->n_users;
}

/* ---- the stream ---------------------------------------------------------- */

static void opened(void *owner, rmr_time now, const rmr_addr *local)
{
    client *c = owner;
    (void)local;
    rmr_mc_io_credit(c->io, CREDIT);
    (void)rmr_ctl_stream_opened(c->ctl, now);
    crowd_stir(c);
}

static void failed(void *owner, rmr_time now, rmr_err why)
{
    client *c = owner;
    c->io = NULL;
    rmr_ctl_stream_closed(c->ctl, now, why, NULL);
    crowd_stir(c);
}

static void ended(void *owner, rmr_time now)
{
    client *c = owner;
    rmr_mc_io_close(c->io);
    failed(c, now, RMR_OK);
}

static void bytes(void *owner, rmr_time now, rmr_buf data)
{
    client *c = owner;
    crowd_stir(c);
    if (rmr_ctl_read(c->ctl, now, data) == RMR_OK) {
        rmr_mc_io_credit(c->io, CREDIT);
        return;
    }
    rmr_mc_io_close(c->io); /* the control client has given it up itself */
    c->io = NULL;
}

static size_t produce(void *owner, rmr_time now, rmr_buf dst)
{
    client *c = owner;
    size_t len = 0;
    (void)rmr_ctl_write(c->ctl, now, dst, &len);
    if (len > 0)
        crowd_stir(c);
    return len;
}

static const rmr_mc_io_ops stream_ops = {
    .opened = opened,
    .failed = failed,
    .bytes = bytes,
    .eof = ended,
    .produce = produce,
};

static void dial(client *c, const rmr_dial *to)
{
    rmr_addr at;
    char text[RMR_HOST_MAX + 8];
    (void)snprintf(text, sizeof text, "%s:%u", to->host, (unsigned)to->port);
    if (to->tls || rmr_addr_parse(rmr_bytes_str(text), &at) != RMR_OK)
        die(text, "the URL must be http://, with an address");
    c->io = rmr_mc_connect(c->all->mc, &at, NULL, 30 * RMR_SEC, &stream_ops, c);
    if (!c->io)
        die("connect", "no memory");
}

void client_pump(client *c, rmr_time now)
{
    rmr_dial to;
    if (rmr_ctl_wants_close(c->ctl) && c->io) {
        rmr_mc_io_close(c->io);
        c->io = NULL;
    }
    if (!c->io && rmr_ctl_wants_stream(c->ctl, now, &to))
        dial(c, &to);
    if (c->io)
        rmr_mc_io_output(c->io);
    c->timer.owner = c;
    (void)rmr_timers_set(&c->all->timers, &c->timer,
                         rmr_ctl_next_deadline(c->ctl));
}

/* ---- what it reports ----------------------------------------------------- */

static void set_streams(client *c, bool on)
{
    if (c->streams != on)
        c->all->n_streams += on ? 1u : -1u;
    c->streams = on;
}

/* As a node does when its netcheck is done: the server learns the endpoints
 * behind the beginning of the stream. */
static void tell_place(client *c)
{
    rmr_ctl_net net;
    rmr_ctl_endpoint at[2];
    memset(at, 0, sizeof at);
    at[0].addr = rmr_addr_v4(192, 0, 2, (uint8_t)c->number, c->port);
    at[0].type = RMR_CTL_EP_STUN;
    at[1].addr =
        rmr_addr_v4(10, (uint8_t)(c->number >> 16), (uint8_t)(c->number >> 8),
                    (uint8_t)c->number, 41641);
    at[1].type = RMR_CTL_EP_LOCAL;
    rmr_ctl_net_init(&net, sizeof net);
    net.home_derp = 1;
    net.working_udp = 1;
    net.endpoints = at;
    net.n_endpoints = 2;
    if (rmr_ctl_set_net(c->ctl, rmr_posix_now(), &net) != RMR_OK)
        die("set_net", "no memory");
}

static void on_state(void *user, rmr_ctl_state state, rmr_err err,
                     const char *text)
{
    client *c = user;
    crowd_stir(c);
    set_streams(c, state == RMR_CTL_CONNECTED);
    if (state == RMR_CTL_CONNECTED && !c->port) {
        c->port = 41641;
        tell_place(c);
    }
    if (state == RMR_CTL_DOWN)
        c->all->n_lost++;
    if (state == RMR_CTL_FAILED || state == RMR_CTL_NEEDS_LOGIN)
        die(rmr_ctl_err_text(err), text ? text : "");
}

static bool is_ready(rmr_nm_change what, const rmr_nm_node *p)
{
    static const uint8_t none[RMR_KEY_LEN];
    return what != RMR_NM_PEER_REMOVED && p->online == 1 &&
           p->n_endpoints > 0 && memcmp(p->disco_key, none, sizeof none) != 0;
}

static void see(client *c, uint64_t id, bool on)
{
    if (id / 64 >= c->all->words)
        die("the server's ids of nodes", "they are too large for this program");
    uint64_t bit = (uint64_t)1 << id % 64, *word = &c->seen[id / 64];
    bool before = (*word & bit) != 0;
    if (before == on)
        return;
    uint32_t wants = client_wants(c);
    bool was = c->n_seen == wants;
    *word ^= bit;
    c->n_seen += on ? 1u : -1u;
    bool is = c->n_seen == wants;
    c->all->n_complete += (uint32_t)is - (uint32_t)was;
}

static bool says(const change *x, const rmr_nm_node *p)
{
    if (x->is_name)
        return strcmp(p->hostname, x->name) == 0;
    for (size_t i = 0; i < p->n_endpoints; i++) {
        if (p->endpoints[i].port == x->port)
            return true;
    }
    return false;
}

static void on_peer(void *user, rmr_nm_change what, const rmr_nm_node *peer,
                    const uint8_t old_key[RMR_KEY_LEN])
{
    client *c = user;
    change *x = &c->all->change;
    (void)old_key;
    see(c, peer->id, is_ready(what, peer));
    if (!x->serial || peer->id != x->node || c->heard == x->serial ||
        !says(x, peer))
        return;
    c->heard = x->serial;
    x->ms[x->n_heard++] = (double)(rmr_posix_now() - x->at) / 1e6;
}

static void on_frame(void *user, uint32_t changed)
{
    client *c = user;
    rmr_nm_node self;
    if (changed == RMR_NM_KEEPALIVE)
        return;
    if (c->fresh)
        c->all->n_fresh--;
    c->fresh = false;
    if (!c->id && rmr_nm_self(c->nm, &self))
        c->id = self.id;
}

/* ---- life ---------------------------------------------------------------- */

static void start_map(client *c, const rmr_env *env)
{
    rmr_nm_config cfg;
    rmr_nm_callbacks cb = {.struct_size = sizeof cb,
                           .user = c,
                           .on_peer = on_peer,
                           .on_frame = on_frame};
    rmr_nm_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    if (rmr_nm_new(&c->nm, env, &cfg) != RMR_OK)
        die("netmap", "no memory");
}

static void draw_keys(const rmr_env *env, rmr_ctl_config *cfg)
{
    uint8_t node[RMR_KEY_LEN], disco[RMR_KEY_LEN];
    if (rmr_key_generate(&env->rng, cfg->machine_key) != RMR_OK ||
        rmr_key_generate(&env->rng, node) != RMR_OK ||
        rmr_key_generate(&env->rng, disco) != RMR_OK)
        die("keys", "no randomness");
    rmr_x25519_public(cfg->node_public, node);
    rmr_x25519_public(cfg->disco_public, disco);
}

static uint64_t wall(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * RMR_SEC + (uint64_t)t.tv_nsec;
}

void client_start(client *c)
{
    crowd *a = c->all;
    rmr_env env = rmr_posix_env();
    rmr_ctl_config cfg;
    rmr_ctl_callbacks cb = {
        .struct_size = sizeof cb, .user = c, .on_state = on_state};
    c->seen = calloc(a->words, sizeof *c->seen);
    if (!c->seen)
        die("calloc", "no memory");
    (void)snprintf(c->hostname, sizeof c->hostname, "n%u", c->number);
    if (client_wants(c) == 0)
        a->n_complete++;
    start_map(c, &env);
    c->fresh = true;
    a->n_fresh++;
    rmr_ctl_config_init(&cfg, sizeof cfg);
    draw_keys(&env, &cfg);
    cfg.url = a->url;
    cfg.auth_key = a->auth_keys[c->user];
    cfg.hostname = c->hostname;
    cfg.no_compression = a->plain;
    cfg.wall_unix_ns = wall();
    cfg.netmap = c->nm;
    cfg.callbacks = &cb;
    if (rmr_ctl_new(&c->ctl, &env, &cfg, rmr_posix_now()) != RMR_OK)
        die(a->url, "this is no URL for a client");
    crowd_stir(c);
}

void client_cut(client *c)
{
    rmr_time now = rmr_posix_now();
    if (c->io)
        rmr_mc_io_abort(c->io);
    c->io = NULL;
    if (!c->fresh)
        c->all->n_fresh++;
    c->fresh = true;
    rmr_ctl_stream_closed(c->ctl, now, RMR_E_RESET, NULL);
    rmr_ctl_retry(c->ctl, now);
    crowd_stir(c);
}

void client_move(client *c, uint16_t port)
{
    c->port = port;
    tell_place(c);
    crowd_stir(c);
}

void client_rename(client *c, const char *name)
{
    (void)snprintf(c->hostname, sizeof c->hostname, "%s", name);
    if (rmr_ctl_set_host(c->ctl, rmr_posix_now(), c->hostname, false) != RMR_OK)
        die(name, "this is no host name");
    crowd_stir(c);
}

void client_free(client *c)
{
    rmr_timers_cancel(&c->all->timers, &c->timer);
    rmr_ctl_free(c->ctl);
    rmr_nm_free(c->nm);
    free(c->seen);
}
