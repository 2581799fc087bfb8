/* The other relays of the region: with each a connection as its mesh peer,
 * which tells who is there and takes packets for them. */
#include "relay_internal.h"

#include <string.h>

#define QUEUE_PKTS 1024
#define QUEUE_BYTES ((size_t)4 * 1024 * 1024)

struct rl_mesh {
    rmr_relay *r;
    rmr_derp *derp;
    rmr_mc_link *link;
    uint64_t number; /* of the forwarder, as the switch knows it */
    bool told;       /* that it can't be reached */
    bool is_self;
};

static const uint8_t *relay_key(const rl_mesh *m, uint8_t key[RMR_KEY_LEN])
{
    return rmr_derp_relay_key(m->derp, key) ? key : NULL;
}

/* A list that all relays of a region share names this one, too. */
static bool check_self(rl_mesh *m)
{
    uint8_t key[RMR_KEY_LEN];
    if (!m->is_self && relay_key(m, key) &&
        memcmp(key, m->r->public_key, RMR_KEY_LEN) == 0) {
        m->is_self = true;
        rmr_logf(&m->r->env.log, RMR_LOG_INFO, RL_LAYER,
                 "mesh: this is the relay itself; it is left out");
        rmri_relay_stir(m->r);
    }
    return m->is_self;
}

/* ---- what its relay says ----------------------------------------------- */

static void on_up(void *user)
{
    rl_mesh *m = user;
    m->told = false;
}

static void on_down(void *user, rmr_err why)
{
    rl_mesh *m = user;
    rmr_dsw_forwarder_forget(m->r->sw, m->r->now, m->number);
    if (!m->told && !m->is_self)
        rmri_relay_trouble(m->r, why, "a relay of the mesh can't be reached");
    m->told = true;
}

static void on_present(void *user, const uint8_t key[RMR_KEY_LEN])
{
    rl_mesh *m = user;
    /* It tells of our own connection, too.  Before the login is done it is
     * anyone. */
    if (check_self(m) || !rmr_derp_is_up(m->derp) ||
        memcmp(key, m->r->public_key, RMR_KEY_LEN) == 0)
        return;
    rmr_dsw_forwarder_add(m->r->sw, m->r->now, key, m->number);
}

/* That it does not know a key (reason 1) is no news of where the key is. */
static void on_gone(void *user, const uint8_t key[RMR_KEY_LEN], uint8_t reason)
{
    rl_mesh *m = user;
    if (reason == 0)
        rmr_dsw_forwarder_remove(m->r->sw, m->r->now, key, m->number);
}

/* ---- the stream -------------------------------------------------------- */

static void link_opened(void *owner, rmr_time now)
{
    rl_mesh *m = owner;
    rmr_derp_stream_opened(m->derp, now);
}

static void link_closed(void *owner, rmr_time now, rmr_err why,
                        const char *text)
{
    rl_mesh *m = owner;
    (void)text;
    rmr_derp_stream_closed(m->derp, now, why);
}

static rmr_err link_read(void *owner, rmr_time now, rmr_buf data)
{
    rl_mesh *m = owner;
    return rmr_derp_read(m->derp, now, data);
}

static rmr_err link_write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    rl_mesh *m = owner;
    return rmr_derp_write(m->derp, now, dst, len);
}

static const rmr_mc_link_ops link_ops = {.opened = link_opened,
                                         .closed = link_closed,
                                         .read = link_read,
                                         .write = link_write};

/* ---- life -------------------------------------------------------------- */

static rmr_err mesh_new(rl_mesh *m, rmr_time now, const rmr_dial *dial)
{
    rmr_relay *r = m->r;
    rmr_derp_callbacks cb = {0};
    rmr_derp_config cfg;
    rmr_derp_node node;
    memset(&node, 0, sizeof node);
    node.dial = *dial;
    cb.struct_size = (uint32_t)sizeof cb;
    cb.user = m;
    cb.on_up = on_up;
    cb.on_down = on_down;
    cb.on_peer_gone = on_gone;
    cb.on_peer_present = on_present;
    rmr_derp_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, r->private_key, RMR_KEY_LEN);
    cfg.nodes = &node;
    cfg.n_nodes = 1;
    cfg.always_on = true;
    cfg.queue_pkts = QUEUE_PKTS;
    cfg.queue_bytes = QUEUE_BYTES;
    cfg.mesh_key = r->mesh_key;
    cfg.callbacks = &cb;
    rmr_err err = rmr_derp_new(&m->derp, &r->env, &cfg, now);
    rmr_wipe(&cfg, sizeof cfg);
    if (err != RMR_OK)
        return err;
    m->link = rmr_mc_link_new(r->mc, &link_ops, m);
    return m->link ? RMR_OK : RMR_E_NOMEM;
}

rmr_err rmri_relay_mesh_start(rmr_relay *r, rmr_time now)
{
    rmr_err err = RMR_OK;
    if (r->n_mesh_dials == 0)
        return RMR_OK;
    r->mesh = rmr_alloc_zero(&r->env.alloc, r->n_mesh_dials * sizeof *r->mesh,
                             _Alignof(rl_mesh));
    if (!r->mesh)
        return RMR_E_NOMEM;
    r->n_mesh = r->n_mesh_dials;
    for (size_t i = 0; i < r->n_mesh && err == RMR_OK; i++) {
        r->mesh[i].r = r;
        r->mesh[i].number = i + 1;
        err = mesh_new(&r->mesh[i], now, &r->mesh_dials[i]);
    }
    return err;
}

void rmri_relay_mesh_free(rmr_relay *r)
{
    for (size_t i = 0; i < r->n_mesh; i++) {
        rmr_mc_link_free(r->mesh[i].link);
        rmr_derp_free(r->mesh[i].derp);
    }
    rmr_release(&r->env.alloc, r->mesh, r->n_mesh * sizeof *r->mesh);
    r->mesh = NULL;
    r->n_mesh = 0;
}

/* A mesh whose start was cut short by memory has parts that are not there. */
static bool runs(const rl_mesh *m)
{
    return m->derp && m->link && !m->is_self;
}

void rmri_relay_mesh_pump(rmr_relay *r, rmr_time now)
{
    for (size_t i = 0; i < r->n_mesh; i++) {
        rl_mesh *m = &r->mesh[i];
        rmr_dial dial;
        if (!m->derp || !m->link)
            continue;
        if (!m->is_self && check_self(m))
            rmr_mc_link_close(m->link, now);
        if (m->is_self || r->phase != RL_PHASE_UP)
            continue;
        if (rmr_derp_wants_close(m->derp))
            rmr_mc_link_close(m->link, now);
        if (rmr_derp_wants_stream(m->derp, now, &dial))
            rmr_mc_link_dial(m->link, now, &dial);
        rmr_mc_link_output(m->link);
    }
}

rmr_time rmri_relay_mesh_deadline(const rmr_relay *r)
{
    rmr_time at = RMR_TIME_NEVER;
    for (size_t i = 0; i < r->n_mesh; i++)
        if (runs(&r->mesh[i]))
            at = rmr_time_min(at, rmr_derp_next_deadline(r->mesh[i].derp));
    return at;
}

void rmri_relay_mesh_handle_deadline(rmr_relay *r, rmr_time now)
{
    for (size_t i = 0; i < r->n_mesh; i++)
        if (runs(&r->mesh[i]))
            rmr_derp_handle_deadline(r->mesh[i].derp, now);
}

void rmri_relay_mesh_forward(rmr_relay *r, uint64_t forwarder,
                             const uint8_t src[RMR_KEY_LEN],
                             const uint8_t dst[RMR_KEY_LEN], rmr_bytes packet)
{
    if (forwarder == 0 || forwarder > r->n_mesh)
        return;
    rl_mesh *m = &r->mesh[forwarder - 1];
    if (!runs(m) || !rmr_derp_is_up(m->derp))
        return;
    rmr_derp_forward(m->derp, r->now, src, dst, packet);
    rmr_mc_link_output(m->link);
}
